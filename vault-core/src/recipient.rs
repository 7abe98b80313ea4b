//! Recipients: the public keys that file keys are wrapped for.
//!
//! Two suites, each with one spelling of a recipient and one stanza (C2SP `age`): `x25519` with `age1…` and `X25519`,
//! `pq` with `age1pq1…` and `mlkem768x25519`. A recipient string never names a program: plugin recipients do not exist
//! here.

use std::fmt;
use std::str::FromStr;

use hpke::aead::ChaCha20Poly1305 as HpkeChaCha20Poly1305;
use hpke::inout::InOutBuf;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeS, Serializable, single_shot_seal_inout_detached_with_rng};
use thiserror::Error;
use vault_proto::age_header::{HeaderError, Stanza, encode_argument};
use vault_proto::statements::Suite;
use x25519_dalek::{PublicKey, StaticSecret, x25519};
use zeroize::Zeroizing;

use crate::bech32_key::{self, Case};
use crate::chunk_aead::ChunkAead;
use crate::file_key::{FileKey, derive};
use crate::random::{self, RandomError};
use crate::wiped_stack::on_wiped_stack;

/// Tag of the stanza of the suite [`Suite::X25519`].
pub const X25519_TAG: &str = "X25519";
/// Tag of the stanza of the suite [`Suite::Pq`].
pub const PQ_TAG: &str = "mlkem768x25519";

pub(crate) const X25519_INFO: &[u8] = b"age-encryption.org/v1/X25519";
pub(crate) const PQ_INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
/// Length of the encapsulated key of the suite `pq`: an ML-KEM-768 ciphertext, then an X25519 share.
pub(crate) const PQ_ENC_LEN: usize = 1120;
/// Where the X25519 share begins in it.
pub(crate) const PQ_ENC_SHARE: usize = 1088;
/// The wrap keys are used once each, so age fixes their nonce.
pub(crate) const WRAP_NONCE: [u8; 12] = [0; 12];

const PQ_RECIPIENT_LEN: usize = 1216;
const PQ_RECIPIENT_POINT: usize = 1184;
const X25519_HRP: &str = "age";
const PQ_HRP: &str = "age1pq";

/// Why a string is not a recipient that files are sealed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecipientError {
    /// Neither `age1…` nor `age1pq1…` in its one spelling; plugin recipients and SSH keys are among these.
    #[error("this is not an age recipient (age1… or age1pq1…): copy it again, in full and unchanged")]
    Malformed,
    /// Well spelt, but no usable public key: nobody, or everybody, could open what is sealed to it.
    #[error("this age recipient holds no safe public key: ask its owner for a new one")]
    UnsafeKey,
}

/// Why a file key could not be wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WrapError {
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The recipient's key was refused by the cryptography. A parsed [`Recipient`] does not come to this.
    #[error("the recipient's public key cannot be encrypted to; nothing was sealed")]
    Refused,
    /// The stanza does not fit an age header.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// A public key that file keys are wrapped for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Recipient(Key);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    X25519([u8; 32]),
    Pq(Box<[u8; PQ_RECIPIENT_LEN]>),
}

impl Recipient {
    /// The suite that this recipient belongs to.
    #[must_use]
    pub fn suite(&self) -> Suite {
        match self.0 {
            Key::X25519(_) => Suite::X25519,
            Key::Pq(_) => Suite::Pq,
        }
    }

    /// Wraps a file key so that only the holder of this recipient's identity can unwrap it.
    ///
    /// # Errors
    /// [`WrapError::Random`] if the operating system gives no random bytes.
    pub fn wrap(&self, file_key: &FileKey) -> Result<Stanza, WrapError> {
        on_wiped_stack(|| match &self.0 {
            Key::X25519(public) => wrap_x25519(public, file_key),
            Key::Pq(public) => wrap_pq(&public[..], file_key),
        })
    }

    pub(crate) fn from_x25519(public: [u8; 32]) -> Result<Self, RecipientError> {
        if !is_canonical(&public) || is_low_order(&public) {
            return Err(RecipientError::UnsafeKey);
        }
        Ok(Self(Key::X25519(public)))
    }

    pub(crate) fn from_pq(public: Box<[u8; PQ_RECIPIENT_LEN]>) -> Result<Self, RecipientError> {
        let point = public.get(PQ_RECIPIENT_POINT..).and_then(|point| <&[u8; 32]>::try_from(point).ok());
        let point_is_safe = point.is_some_and(|point| is_canonical(point) && !is_low_order(point));
        if !point_is_safe || <XWing as Kem>::PublicKey::from_bytes(&public[..]).is_err() {
            return Err(RecipientError::UnsafeKey);
        }
        Ok(Self(Key::Pq(public)))
    }

    /// The raw public key: 32 bytes for `x25519`, 1,216 for `pq`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Key::X25519(public) => public,
            Key::Pq(public) => &public[..],
        }
    }
}

impl FromStr for Recipient {
    type Err = RecipientError;

    fn from_str(text: &str) -> Result<Self, RecipientError> {
        let mut public = [0; 32];
        if bech32_key::decode(text, X25519_HRP, Case::Lower, &mut public).is_some() {
            return Self::from_x25519(public);
        }
        let mut public = Box::new([0; PQ_RECIPIENT_LEN]);
        if bech32_key::decode(text, PQ_HRP, Case::Lower, &mut public[..]).is_some() {
            return Self::from_pq(public);
        }
        Err(RecipientError::Malformed)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hrp = match self.suite() {
            Suite::X25519 => X25519_HRP,
            Suite::Pq => PQ_HRP,
        };
        let text = bech32_key::encode(hrp, Case::Lower, self.as_bytes()).ok_or(fmt::Error)?;
        f.write_str(&text)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

/// Whether an X25519 share yields the same all-zero secret for everyone. Any clamped scalar tells: it is a multiple of
/// the cofactor, so exactly the points of low order vanish.
pub(crate) fn is_low_order(share: &[u8; 32]) -> bool {
    x25519([1; 32], *share) == [0; 32]
}

/// Whether the bytes are the one encoding of their coordinate, below 2^255 - 19. Another encoding would make a
/// recipient whose stanzas its own identity, which computes its recipient anew, cannot unwrap.
fn is_canonical(coordinate: &[u8; 32]) -> bool {
    let mut big_endian = *coordinate;
    big_endian.reverse();
    let mut prime = [0xff; 32];
    let [first, .., last] = &mut prime;
    *first = 0x7f;
    *last = 0xed;
    big_endian < prime
}

/// C2SP `age`, "X25519 recipient stanza".
fn wrap_x25519(public: &[u8; 32], file_key: &FileKey) -> Result<Stanza, WrapError> {
    let mut seed = Zeroizing::new([0; 32]);
    random::fill(&mut seed[..])?;
    let ephemeral = StaticSecret::from(*seed);
    let share = PublicKey::from(&ephemeral).to_bytes();
    let shared = ephemeral.diffie_hellman(&PublicKey::from(*public));
    if !shared.was_contributory() {
        return Err(WrapError::Refused);
    }
    let wrap_key = derive(Some(&[share, *public].concat()), shared.as_bytes(), &[X25519_INFO]);
    let mut body = file_key.expose().to_vec();
    let tag =
        ChunkAead::new(wrap_key.expose()).seal(&WRAP_NONCE, &mut body).map_err(|_| WrapError::Refused)?;
    body.extend_from_slice(&tag);
    Ok(Stanza::new(X25519_TAG, vec![encode_argument(&share)], body)?)
}

/// C2SP `age`, "mlkem768x25519 recipient stanza": HPKE SealBase with X-Wing, HKDF-SHA256 and ChaCha20-Poly1305.
fn wrap_pq(public: &[u8], file_key: &FileKey) -> Result<Stanza, WrapError> {
    let public = <XWing as Kem>::PublicKey::from_bytes(public).map_err(|_| WrapError::Refused)?;
    let mut randomness = DrawnRandomness::draw()?;
    let mut body = file_key.expose().to_vec();
    let sealed = single_shot_seal_inout_detached_with_rng::<HpkeChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        &public,
        PQ_INFO,
        InOutBuf::from(body.as_mut_slice()),
        &[],
        &mut randomness,
    );
    let (enc, tag) = sealed.map_err(|_| WrapError::Refused)?;
    if randomness.overdrawn {
        return Err(WrapError::Refused);
    }
    body.extend_from_slice(&tag.to_bytes());
    Ok(Stanza::new(PQ_TAG, vec![encode_argument(&enc.to_bytes())], body)?)
}

/// The 64 random bytes of one X-Wing encapsulation, drawn beforehand: the KEM wants a source that cannot fail, and a
/// failure of the operating system has to be an error, not a panic.
struct DrawnRandomness {
    bytes: Zeroizing<[u8; 64]>,
    used: usize,
    overdrawn: bool,
}

impl DrawnRandomness {
    fn draw() -> Result<Self, RandomError> {
        let mut drawn = Self { bytes: Zeroizing::new([0; 64]), used: 0, overdrawn: false };
        random::fill(&mut drawn.bytes[..])?;
        Ok(drawn)
    }
}

impl TryRng for DrawnRandomness {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        let end = self.used.saturating_add(out.len());
        match self.bytes.get(self.used..end) {
            Some(bytes) => out.copy_from_slice(bytes),
            None => self.overdrawn = true,
        }
        self.used = end;
        Ok(())
    }
}

impl TryCryptoRng for DrawnRandomness {}

#[cfg(test)]
mod tests {
    use super::*;

    const X25519: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

    #[test]
    fn the_recipient_of_the_specification_reads_and_prints() {
        let recipient: Recipient = X25519.parse().unwrap();
        assert_eq!(recipient.suite(), Suite::X25519);
        assert_eq!(recipient.to_string(), X25519);
        assert_eq!(format!("{recipient:?}"), format!("Recipient({X25519})"));
    }

    #[test]
    fn anything_but_the_one_spelling_is_refused() {
        let mixed = X25519.replace("zvk", "ZVK");
        let plugin = bech32_key::encode("age1yubikey", Case::Lower, &[2; 33]).unwrap();
        let tag = bech32_key::encode("age1tag", Case::Lower, &[2; 33]).unwrap();
        let short = bech32_key::encode("age", Case::Lower, &[9; 31]).unwrap();
        let pq_short = bech32_key::encode("age1pq", Case::Lower, &[9; 1215]).unwrap();
        let wrong_length_for_prefix = bech32_key::encode("age1pq", Case::Lower, &[9; 32]).unwrap();
        for text in [
            "",
            "age",
            "age1",
            "age1/../../bin/sh",
            "age1pq1/../../bin/sh",
            &X25519.to_ascii_uppercase(),
            &mixed,
            &format!(" {X25519}"),
            &format!("{X25519}\n"),
            &X25519[..X25519.len() - 1],
            &X25519.replace("zvk", "zvl"),
            &plugin,
            &tag,
            &short,
            &pq_short,
            &wrong_length_for_prefix,
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN",
            "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX",
        ] {
            assert_eq!(text.parse::<Recipient>(), Err(RecipientError::Malformed), "{text:?}");
        }
    }

    /// The points of order 1, 2, 4 and 8, then the same in encodings that are not canonical.
    fn low_order_points() -> Vec<[u8; 32]> {
        let hex = data_encoding::HEXLOWER;
        let mut points: Vec<[u8; 32]> = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ]
        .iter()
        .map(|text| hex.decode(text.as_bytes()).unwrap().try_into().unwrap())
        .collect();
        for mut point in points.clone() {
            point[31] |= 0x80;
            points.push(point);
        }
        points
    }

    #[test]
    fn low_order_and_non_canonical_points_are_refused() {
        for point in low_order_points() {
            assert!(is_low_order(&point), "{point:?}");
            let text = bech32_key::encode("age", Case::Lower, &point).unwrap();
            assert_eq!(text.parse::<Recipient>(), Err(RecipientError::UnsafeKey), "{point:?}");
        }
        let mut high_bit = [9; 32];
        assert!(!is_low_order(&high_bit));
        assert!(Recipient::from_x25519(high_bit).is_ok());
        high_bit[31] |= 0x80;
        assert_eq!(Recipient::from_x25519(high_bit), Err(RecipientError::UnsafeKey));
        let mut above_prime = [0xff; 32];
        above_prime[31] = 0x7f;
        assert!(!is_low_order(&above_prime));
        assert_eq!(Recipient::from_x25519(above_prime), Err(RecipientError::UnsafeKey));
    }

    #[test]
    fn pq_recipients_with_a_bad_half_are_refused() {
        let identity = crate::identity::Identity::generate(Suite::Pq).unwrap();
        let good: [u8; PQ_RECIPIENT_LEN] = identity.recipient().as_bytes().try_into().unwrap();
        assert!(Recipient::from_pq(Box::new(good)).is_ok());
        for point in low_order_points() {
            let mut bad = good;
            bad[PQ_RECIPIENT_POINT..].copy_from_slice(&point);
            assert_eq!(Recipient::from_pq(Box::new(bad)), Err(RecipientError::UnsafeKey), "{point:?}");
        }
        // FIPS 203's modulus check: coefficients are below 3329.
        let mut bad = good;
        bad[..3].copy_from_slice(&[0xff; 3]);
        assert_eq!(Recipient::from_pq(Box::new(bad)), Err(RecipientError::UnsafeKey));
    }

    #[test]
    fn wrapping_twice_gives_different_stanzas() {
        for suite in [Suite::X25519, Suite::Pq] {
            let identity = crate::identity::Identity::generate(suite).unwrap();
            let key = FileKey::generate().unwrap();
            let first = identity.recipient().wrap(&key).unwrap();
            let second = identity.recipient().wrap(&key).unwrap();
            assert_ne!(first.args(), second.args());
            assert_ne!(first.body(), second.body());
            assert_eq!(first.body().len(), 32);
        }
    }

    #[test]
    fn randomness_that_runs_out_is_noticed() {
        let mut drawn = DrawnRandomness::draw().unwrap();
        let mut all = [0; 64];
        drawn.try_fill_bytes(&mut all).unwrap();
        assert!(!drawn.overdrawn);
        assert_eq!(drawn.try_next_u32(), Ok(0));
        assert!(drawn.overdrawn);
    }
}
