//! Opening a recording: nothing is released before its own check (FORMAT.md, "Opening").
//!
//! [`Opening`] holds the checked statements; [`Opening::segment`] checks header, key and part list; a
//! [`SegmentOpening`] opens parts in any order and from any thread. Every refusal is a class a person can act on.

use vault_proto::geometry::BodyShape;
use vault_proto::ids::{AccountId, Digest, KeyId};
use vault_proto::labels;
use vault_proto::recording::{CheckedRecording, ProvenSegment, Refusal};
use vault_proto::sealed_header::{SealedHeader, SealedHeaderError};
use vault_proto::tree;
use vault_proto::wire::MAX_DETAILS;

use crate::details::Details;
use crate::file_key::FileKey;
use crate::identity::{Identity, UnwrapError};
use crate::payload::PayloadOpener;
use crate::payload_reader::PayloadReader;
use crate::sealing::key_commitment;

/// Why a recording, or a piece of it, was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Refused by a check that needs no key, or by one that does, of the same class.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The identity is not among the recipients.
    #[error("this account is not a reader of this recording")]
    NotAReader,
    /// The recording's suite is not the identity's.
    #[error("the recording is sealed with suite {recording}, and this account's identity is of suite {own}")]
    OtherSuite {
        /// Suite of the recording.
        recording: &'static str,
        /// Suite of the identity.
        own: &'static str,
    },
}

/// A recording whose statements were checked, and an identity to open it with.
pub struct Opening<'a> {
    recording: &'a CheckedRecording,
    identity: &'a Identity,
}

/// A segment whose header, key and part list were checked. Opens parts.
pub struct SegmentOpening {
    index: u32,
    shape: BodyShape,
    hashes: Vec<Digest>,
    file_key: FileKey,
    header: SealedHeader,
}

/// Opens the parts of a segment whose part 0, which holds the payload nonce, was checked.
pub struct PartOpener {
    index: u32,
    shape: BodyShape,
    hashes: Vec<Digest>,
    payload: PayloadOpener,
}

fn damaged(text: String) -> OpenError {
    OpenError::Refused(Refusal::Damaged(text))
}

fn not_entitled(text: String) -> OpenError {
    OpenError::Refused(Refusal::NotEntitled(text))
}

/// Classifies a header that is not the one expected for `what`.
fn header_refusal(what: &str, error: &SealedHeaderError) -> OpenError {
    let text = format!("the header of {what}: {error}");
    OpenError::Refused(match error {
        SealedHeaderError::NoContext => Refusal::NotEntitled(text),
        SealedHeaderError::OtherContext => Refusal::MixUp(text),
        _ => Refusal::Damaged(text),
    })
}

impl<'a> Opening<'a> {
    /// Prepares to open `recording` with `identity` of `account`.
    ///
    /// # Errors
    /// [`OpenError::NotAReader`] if the recording's manifest does not name the account with the key of this identity;
    /// [`OpenError::OtherSuite`].
    pub fn new(
        recording: &'a CheckedRecording,
        account: AccountId,
        identity: &'a Identity,
    ) -> Result<Self, OpenError> {
        let manifest = recording.manifest();
        let Some(recipient) = manifest.recipients.iter().find(|recipient| recipient.account == account)
        else {
            return Err(OpenError::NotAReader);
        };
        if manifest.suite != identity.suite() {
            return Err(OpenError::OtherSuite {
                recording: manifest.suite.name(),
                own: identity.suite().name(),
            });
        }
        // An identity of another epoch: said here, so that a header is not blamed for it.
        if recipient.key != KeyId::of_recipient(&identity.recipient().to_string()) {
            return Err(OpenError::NotAReader);
        }
        Ok(Self { recording, identity })
    }

    /// The checked statements.
    pub const fn recording(&self) -> &'a CheckedRecording {
        self.recording
    }

    /// Checks a segment's header and part hash list. A list may be longer than what is proved of a segment that was
    /// never sealed; what is beyond is left out.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn segment(
        &self,
        proven: &ProvenSegment,
        header: &[u8],
        parts: &[u8],
    ) -> Result<SegmentOpening, OpenError> {
        let what = format!("segment {}", proven.index);
        let manifest = self.recording.manifest();
        let context = labels::context(&manifest.digest(), proven.index, proven.track);
        let header = SealedHeader::parse(header, &context, manifest.suite)
            .map_err(|error| header_refusal(&what, &error))?;
        let file_key = self.unwrap(&what, &header)?;
        if key_commitment(&file_key, &context) != proven.key_commitment {
            return Err(not_entitled(format!("{what} has another key than the one its sealer committed to")));
        }
        let known = 32 * proven.shape.parts() as usize;
        let parts = if proven.sealed { parts } else { parts.get(..known).unwrap_or(parts) };
        let (hashes, rest) = parts.as_chunks::<32>();
        let hashes: Vec<Digest> = hashes.iter().map(|hash| Digest::from_bytes(*hash)).collect();
        let complete = rest.is_empty() && hashes.len() == proven.shape.parts() as usize;
        if !complete || tree::parts_root(&hashes) != proven.parts_root {
            return Err(damaged(format!("the list of parts of {what} is not the one that was sealed")));
        }
        Ok(SegmentOpening { index: proven.index, shape: proven.shape, hashes, file_key, header })
    }

    /// Opens the details object. Only a recording with a final seal has one.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn details(&self, object: &[u8]) -> Result<Details, OpenError> {
        let what = "the details";
        let final_seal =
            self.recording.final_seal().ok_or_else(|| damaged("details without a final seal".to_owned()))?;
        if Digest::of(object) != final_seal.details {
            return Err(damaged("the details are not those that were sealed".to_owned()));
        }
        let manifest = self.recording.manifest();
        let context = labels::details_context(&manifest.digest());
        let (header, length) = SealedHeader::parse_prefix(object, &context, manifest.suite)
            .map_err(|error| header_refusal(what, &error))?;
        let file_key = self.unwrap(what, &header)?;
        let body = object.get(length..).unwrap_or_default();
        let forged = |error: String| not_entitled(format!("{what} do not open with their own key ({error})"));
        let (nonce, chunks) = body.split_first_chunk().ok_or_else(|| forged("no payload".to_owned()))?;
        let opener = PayloadOpener::new(&file_key, header.header(), nonce)
            .map_err(|error| forged(error.to_string()))?;
        let text = PayloadReader::new(chunks, opener)
            .read_whole(chunks.len(), MAX_DETAILS)
            .map_err(|error| forged(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|_| damaged(format!("{what} are not of a known form")))
    }

    fn unwrap(&self, what: &str, header: &SealedHeader) -> Result<FileKey, OpenError> {
        let file_key = match crate::identity::unwrap_header(&[self.identity], header.header()) {
            Ok(file_key) => file_key,
            Err(UnwrapError::NoMatch) => {
                // The manifest names this identity. Too few stanzas show that somebody else made the header; a stanza
                // that does not open may as well be damaged.
                return Err(if header.readers().len() < self.recording.manifest().recipients.len() {
                    not_entitled(format!("the header of {what} leaves out a reader its manifest names"))
                } else {
                    damaged(format!(
                        "the header of {what} has no stanza that opens with the key its manifest names"
                    ))
                });
            }
            Err(error) => return Err(damaged(format!("the header of {what}: {error}"))),
        };
        file_key
            .verify(header.header())
            .map_err(|error| damaged(format!("the header of {what}: {error}")))?;
        Ok(file_key)
    }
}

impl SegmentOpening {
    /// Number of the segment.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Geometry of its body.
    pub const fn shape(&self) -> &BodyShape {
        &self.shape
    }

    /// Checks part 0, whose first bytes are the payload nonce, and goes on to the parts. The file key is wiped here.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn start(self, part_0: &[u8]) -> Result<PartOpener, OpenError> {
        check_part(self.index, &self.shape, &self.hashes, 0, part_0)?;
        let nonce =
            part_0.first_chunk().ok_or_else(|| damaged(format!("segment {} has no body", self.index)))?;
        let payload = PayloadOpener::new(&self.file_key, self.header.header(), nonce)
            .map_err(|error| damaged(format!("segment {}: {error}", self.index)))?;
        Ok(PartOpener { index: self.index, shape: self.shape, hashes: self.hashes, payload })
    }
}

fn check_part(
    segment: u32,
    shape: &BodyShape,
    hashes: &[Digest],
    part: u32,
    ciphertext: &[u8],
) -> Result<(), OpenError> {
    let expected = usize::try_from(part).ok().and_then(|part| hashes.get(part));
    // The length too: a list of hashes alone would let a seal promise more bytes than its parts hold.
    if shape.part_length(part) == ciphertext.len() as u64 && expected == Some(&Digest::of(ciphertext)) {
        Ok(())
    } else {
        Err(damaged(format!("segment {segment}, part {part} is not the part that was sealed")))
    }
}

impl PartOpener {
    /// Geometry of the body.
    pub const fn shape(&self) -> &BodyShape {
        &self.shape
    }

    /// Checks and opens part `part`: first its hash, then each chunk, and only then the plaintext is returned.
    ///
    /// # Errors
    /// [`OpenError`], naming segment and part.
    pub fn open(&self, part: u32, ciphertext: Vec<u8>) -> Result<Vec<u8>, OpenError> {
        check_part(self.index, &self.shape, &self.hashes, part, &ciphertext)?;
        let (place, ends_body) = ((part, self.shape.part_chunks()), part + 1 == self.shape.parts());
        self.payload.open_part(place, ciphertext, ends_body, self.shape.end()).map_err(|error| {
            // The bytes are those that were signed, so nothing was altered on the way.
            not_entitled(format!(
                "segment {}, part {part} was not made with its segment's key ({error})",
                self.index
            ))
        })
    }
}

#[cfg(test)]
mod tests;
