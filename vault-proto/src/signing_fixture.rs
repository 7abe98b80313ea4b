//! Keys and times of the tests, told apart by small numbers.

use ed25519_dalek::SigningKey;

use crate::ids::PublicKey;
use crate::timestamp::Timestamp;

pub(crate) fn signing_key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

pub(crate) fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes(signing_key(number).verifying_key().to_bytes())
}

pub(crate) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}
