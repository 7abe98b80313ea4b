//! Opening a recording: nothing is released before its own check (FORMAT.md, "Opening").
//!
//! [`Opening`] holds the checked statements; [`Opening::segment`] checks header, key and part list; a
//! [`SegmentOpening`] opens parts in any order and from any thread. Every refusal is a class a person can act on.

use vault_proto::geometry::BodyShape;
use vault_proto::ids::Digest;
use vault_proto::labels;
use vault_proto::recording::{CheckedRecording, ProvenSegment, Refusal};
use vault_proto::sealed_header::{SealedHeader, SealedHeaderError};
use vault_proto::tree;
use vault_proto::wire::MAX_DETAILS;

use crate::age_file;
use crate::details::{Details, DetailsError};
use crate::file_key::FileKey;
use crate::identity::{UnwrapError, unwrap_header};
pub use crate::open_error::OpenError;
use crate::payload::PayloadOpener;
use crate::recording_key::RecordingKey;

/// A recording whose statements were checked, and its key.
pub struct Opening<'a> {
    recording: &'a CheckedRecording,
    key: &'a RecordingKey,
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

/// Recipients of everything but the key object: the recording's key alone.
const RECIPIENTS: usize = 1;

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
    /// Prepares to open `recording` with its key.
    pub const fn new(recording: &'a CheckedRecording, key: &'a RecordingKey) -> Self {
        Self { recording, key }
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
        let digest = Digest::of(header);
        let header = SealedHeader::parse(header, &context, manifest.suite, RECIPIENTS)
            .map_err(|error| header_refusal(&what, &error))?;
        let file_key = self.unwrap(&what, &header)?;
        if digest != proven.header {
            return Err(not_entitled(format!(
                "{what} has another header than the one that its sealer signed"
            )));
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

    /// Opens the details object. Only a recording with a final seal has one; where there is one, this comes before any
    /// segment: the details say how much of each track is released ([`TrackRelease`](crate::track_release)).
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn details(&self, object: &[u8]) -> Result<Details, OpenError> {
        let what = "the details";
        let final_seal =
            self.recording.final_seal().ok_or_else(|| damaged("details without a final seal".to_owned()))?;
        if object.len() > MAX_DETAILS {
            return Err(damaged("the details are longer than any that are sealed".to_owned()));
        }
        if Digest::of(object) != final_seal.details {
            return Err(damaged("the details are not those that were sealed".to_owned()));
        }
        let manifest = self.recording.manifest();
        let context = labels::details_context(&manifest.digest());
        let (header, length) = SealedHeader::parse_prefix(object, &context, manifest.suite, RECIPIENTS)
            .map_err(|error| header_refusal(what, &error))?;
        let file_key = self.unwrap(what, &header)?;
        let body = object.get(length..).unwrap_or_default();
        let forged = |error: String| not_entitled(format!("{what} do not open with their own key ({error})"));
        // The text is shorter than its object, whose length was looked at.
        let text = age_file::read_body(&file_key, header.header(), body, MAX_DETAILS)
            .map_err(|error| forged(error.to_string()))?;
        let refused = |error: DetailsError| damaged(format!("{what}: {error}"));
        let details = Details::parse(&text).map_err(refused)?;
        details.check_tracks(&self.recording.held_by_track()).map_err(refused)?;
        Ok(details)
    }

    fn unwrap(&self, what: &str, header: &SealedHeader) -> Result<FileKey, OpenError> {
        let unwrapped = unwrap_header(&[self.key.identity()], header.header());
        let file_key = unwrapped.map_err(|error| {
            damaged(match error {
                UnwrapError::NoMatch => {
                    format!("the header of {what} does not open with the key of its recording")
                }
                error => format!("the header of {what}: {error}"),
            })
        })?;
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
