//! The seed of an account: 32 random bytes, 24 words on paper, and every key that follows from them.
//!
//! ```text
//! key = HKDF-SHA-256(ikm = seed, salt = empty, info = label ‖ 0x00)                  roots
//! key = HKDF-SHA-256(ikm = seed, salt = empty, info = label ‖ 0x00 ‖ u32be epoch)    identities
//! ```

use bip39::{Language, Mnemonic};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::file_key::derive;
use crate::identity::Identity;
use crate::random::RandomError;
use crate::recipient::RecipientError;
use crate::secret_bytes::SecretBytes;
use crate::signing_key::SigningKey;
use crate::wiped_stack::on_wiped_stack;
use vault_proto::statements::Suite;

const ACCOUNT_ROOT: &[u8] = b"recording-vault/v1/account-root";
const ORGANISATION_ROOT: &[u8] = b"recording-vault/v1/organisation-root";
const IDENTITY_X25519: &[u8] = b"recording-vault/v1/identity/x25519";
const IDENTITY_PQ: &[u8] = b"recording-vault/v1/identity/pq";

/// Words in a written seed.
pub const WORDS: usize = 24;

const LONGEST_WORD: usize = 8;

/// What is wrong with 24 words. The messages name places, never words: a wrong word is nearly a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SeedWordsError {
    /// A word that is not in the list of BIP 39's English words.
    #[error("word {position} is not in the list: look at the sheet again")]
    UnknownWord {
        /// Which word, counted from 1.
        position: usize,
    },
    /// Too few words or too many.
    #[error("{found} words were given, {WORDS} are needed")]
    WordCount {
        /// How many there are.
        found: usize,
    },
    /// All words are in the list, and they do not belong together.
    #[error("each word is in the list, but together they are not a seed: one is wrong, or two are swapped")]
    Checksum,
}

/// 32 secret bytes that all keys of an account follow from. Wiped on drop.
pub struct Seed(SecretBytes<32>);

impl Seed {
    /// The account's root key, which signs its key lists.
    #[must_use]
    pub fn account_root(&self) -> SigningKey {
        on_wiped_stack(|| SigningKey::from_secret(derive(None, self.0.expose(), &[ACCOUNT_ROOT, &[0]])))
    }

    /// An organisation's root key, which signs its issuers.
    #[must_use]
    pub fn organisation_root(&self) -> SigningKey {
        on_wiped_stack(|| SigningKey::from_secret(derive(None, self.0.expose(), &[ORGANISATION_ROOT, &[0]])))
    }

    /// The account's encryption identity of one epoch.
    ///
    /// # Errors
    /// [`RecipientError::UnsafeKey`] if the identity has no safe recipient, which no seed is known to come to.
    pub fn identity(&self, suite: Suite, epoch: u32) -> Result<Identity, RecipientError> {
        let label = match suite {
            Suite::X25519 => IDENTITY_X25519,
            Suite::Pq => IDENTITY_PQ,
        };
        on_wiped_stack(|| {
            Identity::from_secret(suite, derive(None, self.0.expose(), &[label, &[0], &epoch.to_be_bytes()]))
        })
    }

    /// A new random seed.
    ///
    /// # Errors
    /// [`RandomError`] if the operating system gives no random bytes.
    pub fn generate() -> Result<Self, RandomError> {
        SecretBytes::generate().map(Self)
    }

    /// The seed as 24 English words of BIP 39, in lower case with single spaces. The text is wiped on drop.
    #[must_use]
    pub fn to_words(&self) -> Zeroizing<String> {
        on_wiped_stack(|| self.spell())
    }

    fn spell(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(WORDS * (LONGEST_WORD + 1)));
        // 32 bytes are one of the lengths that BIP 39 allows.
        if let Ok(mnemonic) = Mnemonic::from_entropy_in(Language::English, self.0.expose()) {
            for word in mnemonic.words() {
                if !out.is_empty() {
                    out.push(' ');
                }
                out.push_str(word);
            }
        }
        out
    }

    /// Reads 24 words as a person types them: in any case, with any white space between and around.
    ///
    /// # Errors
    /// [`SeedWordsError`], of which an unknown word comes first, then the count, then the checksum.
    pub fn from_words(text: &str) -> Result<Self, SeedWordsError> {
        on_wiped_stack(|| Self::read_words(text))
    }

    fn read_words(text: &str) -> Result<Self, SeedWordsError> {
        let mut found = 0;
        let mut joined = Zeroizing::new(String::with_capacity(WORDS * (LONGEST_WORD + 1)));
        for typed in text.split_whitespace() {
            found += 1;
            let unknown = SeedWordsError::UnknownWord { position: found };
            if typed.len() > LONGEST_WORD {
                return Err(unknown);
            }
            let word = Zeroizing::new(typed.to_ascii_lowercase());
            Language::English.find_word(&word).ok_or(unknown)?;
            if found <= WORDS {
                if found > 1 {
                    joined.push(' ');
                }
                joined.push_str(&word);
            }
        }
        if found != WORDS {
            return Err(SeedWordsError::WordCount { found });
        }
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &joined);
        let mnemonic = mnemonic.map_err(|_| SeedWordsError::Checksum)?;
        let (entropy, length) = mnemonic.to_entropy_array();
        let entropy = Zeroizing::new(entropy);
        let seed = SecretBytes::try_fill(|out| match entropy.get(..length) {
            Some(bytes) if bytes.len() == out.len() => {
                out.copy_from_slice(bytes);
                Ok(())
            }
            _ => Err(SeedWordsError::WordCount { found }),
        })?;
        Ok(Self(seed))
    }
}

/// The 2048 words that seeds are written in, one a line: for whoever reads 24 of them without this crate.
pub fn word_list() -> String {
    Language::English.word_list().iter().map(|word| format!("{word}\n")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    static_assertions::assert_not_impl_any!(
        Seed: Clone, Copy, std::fmt::Debug, std::fmt::Display, serde::Serialize, PartialEq
    );

    fn seed_of(bytes: [u8; 32]) -> Seed {
        Seed(SecretBytes::fill(|out| *out = bytes))
    }

    #[test]
    fn the_vectors_of_bip_39_read_and_print() {
        for (hex, words) in [
            (
                "0000000000000000000000000000000000000000000000000000000000000000",
                "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                 abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art",
            ),
            (
                "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f",
                "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth \
                 useful legal winner thank year wave sausage worth title",
            ),
            (
                "f585c11aec520db57dd353c69554b21a89b20fb0650966fa0a9d6f74fd989d8f",
                "void come effort suffer camp survey warrior heavy shoot primary clutch crush open amazing screen \
                 patrol group space point ten exist slush involve unfold",
            ),
        ] {
            let seed = Seed::from_words(words).unwrap();
            assert_eq!(HEXLOWER.encode(seed.0.expose()), hex);
            assert_eq!(*seed.to_words(), words);
            let typed = format!("  {}\n", words.to_uppercase().replace(' ', "\t \r\n"));
            assert_eq!(Seed::from_words(&typed).unwrap().0.expose(), seed.0.expose());
        }
    }

    #[test]
    fn mistakes_are_named() {
        let words = seed_of([0x7f; 32]).to_words();
        let words: Vec<&str> = words.split(' ').collect();
        let error = |words: &[&str]| Seed::from_words(&words.join(" ")).err();
        assert_eq!(error(&words[..23]), Some(SeedWordsError::WordCount { found: 23 }));
        assert_eq!(error(&[&words[..], &["zoo"]].concat()), Some(SeedWordsError::WordCount { found: 25 }));
        assert_eq!(error(&[]), Some(SeedWordsError::WordCount { found: 0 }));
        assert_eq!(error(&words[..12]), Some(SeedWordsError::WordCount { found: 12 }));
        for at in [0, 11, 23] {
            for wrong in ["zooo", "legal-winner", "\u{e9}t\u{e9}", "abandonabandon"] {
                let mut changed = words.clone();
                changed[at] = wrong;
                assert_eq!(
                    error(&changed),
                    Some(SeedWordsError::UnknownWord { position: at + 1 }),
                    "{wrong}"
                );
            }
        }
        let mut swapped = words.clone();
        swapped.swap(0, 1);
        assert_eq!(error(&swapped), Some(SeedWordsError::Checksum));
    }

    #[test]
    fn derived_keys_are_fixed_for_ever() {
        // Computed apart from this program, with Python's hmac and hashlib.
        let seed = seed_of([0x7f; 32]);
        assert_eq!(
            *seed.account_root().export(),
            "ac9a49a907d86204670b5d615cae41d11480742b4abc0036d43ce9e60c683c79"
        );
        assert_eq!(
            *seed.organisation_root().export(),
            "9c17dfda8cd6aa6929d271778b841f7aa7f327efce25549bcd8bad8cdbe635f4"
        );
        let x25519 = seed.identity(Suite::X25519, 1).unwrap();
        assert_eq!(
            *x25519.export(),
            "AGE-SECRET-KEY-1C3N3XTDXP7D82Y6NCP7R6LQ07C9476NVQYVL63PPLK86QKY4GKCSQZZT2H"
        );
        let pq = seed.identity(Suite::Pq, 258).unwrap();
        assert_eq!(
            *pq.export(),
            "AGE-SECRET-KEY-PQ-1WR9A9VK6C69T4KZ8GZWJ0PAMPQQFUVQADX5N4DLRMZ0W0G6AP4KSDHETYU"
        );
    }

    #[test]
    fn no_two_labels_or_epochs_give_the_same_key() {
        let seed = seed_of([1; 32]);
        let mut seen = HashSet::new();
        assert!(seen.insert(seed.account_root().export().to_string()));
        assert!(seen.insert(seed.organisation_root().export().to_string()));
        for suite in [Suite::X25519, Suite::Pq] {
            for epoch in [0, 1, 2, 256, u32::MAX] {
                let identity = seed.identity(suite, epoch).unwrap();
                assert_eq!(identity.suite(), suite);
                assert!(
                    seen.insert(
                        HEXLOWER.encode(
                            derive(
                                None,
                                seed.0.expose(),
                                &[
                                    if suite == Suite::Pq { IDENTITY_PQ } else { IDENTITY_X25519 },
                                    &[0],
                                    &epoch.to_be_bytes()
                                ]
                            )
                            .expose()
                        )
                    )
                );
            }
        }
        assert_eq!(seen.len(), 12);
    }

    proptest! {
        #[test]
        fn words_round_trip(bytes in prop::array::uniform32(any::<u8>())) {
            let seed = seed_of(bytes);
            let back = Seed::from_words(&seed.to_words()).unwrap();
            prop_assert_eq!(back.0.expose(), &bytes);
        }

        #[test]
        fn one_wrong_word_never_gives_the_same_seed(
            bytes in prop::array::uniform32(any::<u8>()),
            at in 0..WORDS,
            word in 0..2048usize,
        ) {
            let text = seed_of(bytes).to_words();
            let mut words: Vec<&str> = text.split(' ').collect();
            words[at] = Language::English.word_list()[word];
            match Seed::from_words(&words.join(" ")) {
                Ok(seed) => prop_assert_eq!(*seed.0.expose() == bytes, words.join(" ") == *text),
                Err(error) => prop_assert_eq!(error, SeedWordsError::Checksum),
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,200}") {
            prop_assert!(Seed::from_words(&text).is_err());
        }
    }
}
