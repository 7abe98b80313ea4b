//! Key objects: a recording's own identity, sealed to its readers (FORMAT.md, "Key object").
//!
//! What needs no key of them is checked here, by the server before it stores one, by a scrubber, and by a reader before
//! it unwraps anything.

use crate::geometry::{CHUNK_TAG, PAYLOAD_NONCE};
use crate::ids::{AccountId, Digest, KeyId};
use crate::labels;
use crate::recording::Refusal;
use crate::sealed_header::{MAX_SEALED_HEADER, SealedHeader, SealedHeaderError};
use crate::statements::{Manifest, Reader};

/// Most bytes of the text in a key object.
pub const MAX_KEY_TEXT: usize = 1024;
/// Most bytes of a key object: its header, the payload nonce, its text and one tag.
pub const MAX_KEY_OBJECT: usize = MAX_SEALED_HEADER + PAYLOAD_NONCE + MAX_KEY_TEXT + CHUNK_TAG;

/// One generation of the key object: what was signed of it, and for whom it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGeneration {
    /// Its number: 0 is the sealer's, others are those of grants.
    pub number: u64,
    /// Whom it was made for, in the order of its stanzas.
    pub readers: Vec<Reader>,
    /// SHA-256 of the object.
    pub object: Digest,
}

impl KeyGeneration {
    /// Generation 0, which comes with the manifest.
    pub fn first(manifest: &Manifest) -> Self {
        Self { number: 0, readers: manifest.readers.clone(), object: manifest.key_object }
    }

    /// Who made it, in words.
    pub const fn maker(&self) -> &'static str {
        if self.number == 0 { "its sealer" } else { "who granted it" }
    }

    /// Whether it was made for this key of this account.
    pub fn is_for(&self, account: AccountId, key: KeyId) -> bool {
        self.readers.iter().any(|reader| (reader.account, reader.key) == (account, key))
    }
}

/// Checks a key object of generation 0 as far as that needs no key. Gives its header and how long that is.
///
/// # Errors
/// As [`check_key_generation`].
pub fn check_key_object(manifest: &Manifest, object: &[u8]) -> Result<(SealedHeader, usize), Refusal> {
    check_key_generation(manifest, &KeyGeneration::first(manifest), object)
}

/// Checks a key object of any generation as far as that needs no key. Gives its header and how long that is.
///
/// # Errors
/// [`Refusal::NotEntitled`] if it was never sealed for a recording, or who made it made it for others than the readers;
/// [`Refusal::MixUp`] if it is that of another recording; [`Refusal::Damaged`] if it is not the one that was signed.
pub fn check_key_generation(
    manifest: &Manifest,
    generation: &KeyGeneration,
    object: &[u8],
) -> Result<(SealedHeader, usize), Refusal> {
    let context = labels::key_context(&manifest.tenant, &manifest.recording, &manifest.key);
    let parsed = SealedHeader::parse_prefix(object, &context, manifest.suite, generation.readers.len());
    let is_signed = object.len() <= MAX_KEY_OBJECT && Digest::of(object) == generation.object;
    match parsed {
        Err(error @ SealedHeaderError::NoContext) => Err(Refusal::NotEntitled(format!("its key: {error}"))),
        Err(error @ SealedHeaderError::OtherContext) => Err(Refusal::MixUp(format!("its key: {error}"))),
        _ if !is_signed => {
            Err(Refusal::Damaged("its key is not the one that its manifest was signed with".to_owned()))
        }
        Err(error) => {
            Err(Refusal::NotEntitled(format!("{} made its key for others: {error}", generation.maker())))
        }
        Ok((_, length)) if object.len() < length + PAYLOAD_NONCE + CHUNK_TAG => {
            Err(Refusal::NotEntitled(format!("{} made its key without a text", generation.maker())))
        }
        Ok(parsed) => Ok(parsed),
    }
}
