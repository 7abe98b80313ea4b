//! The BIP 39 vectors of 24 words (the Trezor list), through the seed's words.
//!
//! The list is in the source of the very `bip39` package that the product is built with, and is read from there at test
//! time; none of it is in this repository.

use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use sha2::Sha256;
use vault_core::seed::{Seed, SeedWordsError};

use crate::registry_package;

/// Pairs of 64 hexadecimal digits and the 24 words that stand in the string literal after them.
fn vectors(source: &str) -> Vec<(Vec<u8>, String)> {
    let literals: Vec<&str> = source.split('"').collect();
    let mut vectors = Vec::new();
    for (at, literal) in literals.iter().enumerate() {
        let Ok(entropy) = HEXLOWER.decode(literal.as_bytes()) else { continue };
        let words = literals.get(at + 2).copied().unwrap_or_default();
        if entropy.len() == 32 && words.split(' ').filter(|word| word.len() >= 3).count() == 24 {
            vectors.push((entropy, words.to_owned()));
        }
    }
    vectors
}

#[test]
fn the_trezor_list() {
    let vectors = vectors(&registry_package::read("bip39", "src/lib.rs"));
    for (entropy, words) in &vectors {
        let seed = Seed::from_words(words).unwrap();
        assert_eq!(*seed.to_words(), *words);
        // The entropy itself has no public accessor: the root derived from it shows which it is.
        let mut root = [0; 32];
        Hkdf::<Sha256>::new(None, entropy).expand(b"recording-vault/v1/account-root\0", &mut root).unwrap();
        assert_eq!(*seed.account_root().export(), HEXLOWER.encode(&root), "{words}");

        let mut last_changed: Vec<&str> = words.split(' ').collect();
        last_changed[23] = if last_changed[23] == "zoo" { "zone" } else { "zoo" };
        assert!(matches!(Seed::from_words(&last_changed.join(" ")), Err(SeedWordsError::Checksum)));
    }
    println!("{} vectors of 24 words", vectors.len());
    assert!(vectors.len() >= 8, "{} vectors found", vectors.len());
}
