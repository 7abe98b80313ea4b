//! The key of a recording: an identity of its own, sealed to the recording's readers (FORMAT.md, "Key object").
//!
//! Segments and details are sealed to its recipient alone and never change; who reads is who can open the key object.
//! A sealer holds the identity only until the key object is made: what it seals afterwards it cannot open.

use vault_proto::ids::{AccountId, KeyId, OrganisationId, RecordingId};
use vault_proto::key_object::{KeyGeneration, MAX_KEY_TEXT, check_key_generation};
use vault_proto::labels;
use vault_proto::recording::{CheckedRecording, Refusal};
use vault_proto::sealed_header::context_stanza;
use vault_proto::statements::{Reader, Suite, is_plain_label};
use zeroize::Zeroizing;

use crate::age_file::{self, SealError};
use crate::identity::{Identity, unwrap_header};
use crate::open_error::OpenError;
use crate::random::RandomError;
use crate::recipient::Recipient;

/// What the line of a note begins with.
const NOTE: &str = "# note: ";

/// The identity of one recording. Wiped on drop.
pub struct RecordingKey(Identity);

impl RecordingKey {
    /// A new one, for a recording of this suite.
    ///
    /// # Errors
    /// [`RandomError`] if the operating system gives no random bytes.
    pub fn generate(suite: Suite) -> Result<Self, RandomError> {
        Identity::generate(suite).map(Self)
    }

    /// What the recording is sealed to.
    pub fn recipient(&self) -> &Recipient {
        self.0.recipient()
    }

    /// Key id of its recipient, as the manifest names it.
    pub fn id(&self) -> KeyId {
        KeyId::of_recipient(&self.0.recipient().to_string())
    }

    pub(crate) const fn identity(&self) -> &Identity {
        &self.0
    }

    /// Reads the text of a key object: perhaps a note in a line of its own, then the identity, each line ended by one
    /// line feed. `None` for anything else (FORMAT.md, "Key object").
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let identity = match text.strip_prefix(NOTE) {
            Some(note) => note.split_once('\n').filter(|(note, _)| is_plain_label(note))?.1,
            None => text,
        };
        Identity::parse(identity.strip_suffix('\n')?).ok().map(Self)
    }

    /// Seals it to the readers of `recording`, in the order of the manifest that will name them.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(
        &self,
        tenant: &OrganisationId,
        recording: &RecordingId,
        readers: &[Recipient],
    ) -> Result<Vec<u8>, SealError> {
        let context = context_stanza(&labels::key_context(tenant, recording, &self.id()))?;
        let identity = self.0.export();
        let mut text = Zeroizing::new(Vec::with_capacity(identity.len() + 1));
        text.extend_from_slice(identity.as_bytes());
        text.push(b'\n');
        age_file::seal_small(readers, Some(context), &text)
    }

    /// Opens the key object of a recording with `identity` of `account`.
    ///
    /// # Errors
    /// [`OpenError::NotAReader`] if the manifest does not name the account with the key of this identity;
    /// [`OpenError::OtherSuite`]; [`OpenError::Refused`].
    pub fn open(
        recording: &CheckedRecording,
        account: AccountId,
        identity: &Identity,
        object: &[u8],
    ) -> Result<Self, OpenError> {
        let generation = KeyGeneration::first(recording.manifest());
        Self::open_generation(recording, &generation, account, identity, object)
    }

    /// Opens the key object of any generation, for whom that was made.
    ///
    /// # Errors
    /// As [`Self::open`], of the readers of that generation.
    pub fn open_generation(
        recording: &CheckedRecording,
        generation: &KeyGeneration,
        account: AccountId,
        identity: &Identity,
        object: &[u8],
    ) -> Result<Self, OpenError> {
        let manifest = recording.manifest();
        check_reader_among(&generation.readers, manifest.suite, account, identity)?;
        let (header, length) = check_key_generation(manifest, generation, object)?;
        // It is the object that was signed: whatever is wrong with it is the doing of who made it.
        let forged = |error: String| {
            OpenError::Refused(Refusal::NotEntitled(format!(
                "{} made a key that its readers cannot open: {error}",
                generation.maker()
            )))
        };
        let file_key =
            unwrap_header(&[identity], header.header()).map_err(|error| forged(error.to_string()))?;
        let body = object.get(length..).unwrap_or_default();
        let text = age_file::read_body(&file_key, header.header(), body, MAX_KEY_TEXT)
            .map_err(|error| forged(error.to_string()))?;
        let key = Self::from_text(&text).ok_or_else(|| forged("it is no identity".to_owned()))?;
        if key.0.suite() != manifest.suite || key.id() != manifest.key {
            return Err(forged("it is not the one that its manifest names".to_owned()));
        }
        Ok(key)
    }
}

/// Whether `identity` is the one with which `account` is named as a reader.
///
/// # Errors
/// [`OpenError::NotAReader`], [`OpenError::OtherSuite`].
pub fn check_reader(
    recording: &CheckedRecording,
    account: AccountId,
    identity: &Identity,
) -> Result<(), OpenError> {
    let manifest = recording.manifest();
    check_reader_among(&manifest.readers, manifest.suite, account, identity)
}

fn check_reader_among(
    readers: &[Reader],
    suite: Suite,
    account: AccountId,
    identity: &Identity,
) -> Result<(), OpenError> {
    let Some(reader) = readers.iter().find(|reader| reader.account == account) else {
        return Err(OpenError::NotAReader);
    };
    if suite != identity.suite() {
        return Err(OpenError::OtherSuite { recording: suite.name(), own: identity.suite().name() });
    }
    // An identity of another epoch: said here, so that a key object is not blamed for it.
    if reader.key != KeyId::of_recipient(&identity.recipient().to_string()) {
        return Err(OpenError::NotAReader);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
