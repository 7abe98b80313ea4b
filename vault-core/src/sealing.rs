//! Sealing a recording: segments of parts on the way, signed seals at each end (FORMAT.md, sections 5 to 11).
//!
//! A [`RecordingSealer`] hands out one [`SegmentSealer`] at a time; that hands out part jobs, which run on any thread
//! and come back as ciphertext with its hash. No function takes a nonce or a counter: a part's number is given once, by
//! [`SegmentSealer::next_part`], and a segment's file key exists only inside its sealer. After a crash there is nothing
//! to resume it with: [`SegmentFacts`], which hold no secret, are enough to seal what was acknowledged.

use std::collections::BTreeMap;
use std::slice;

use vault_proto::envelope::{Envelope, Statement, StatementError, Unsigned, Verified};
use vault_proto::geometry::{BodyEnd, MAX_SEGMENTS, PartChunks};
use vault_proto::ids::{Digest, KeyId, PublicKey};
use vault_proto::labels;
use vault_proto::sealed_header::context_stanza;
use vault_proto::statements::{
    FinalSeal, Manifest, NotYet, RecordingStatus, SegmentProgress, SegmentSeal, Suite,
};
use vault_proto::timestamp::Timestamp;
use vault_proto::tree::{self, TreeBuilder};
use vault_proto::wire::MAX_DETAILS;
use zeroize::Zeroizing;

use crate::age_file;
use crate::details::{Details, MAX_TITLE};
use crate::file_key::FileKey;
use crate::payload::{PartJob, PayloadSealer, SealPartError};
use crate::random::RandomError;
use crate::recipient::{Recipient, WrapError};
use crate::signing_key::SigningKey;

/// Why nothing could be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// A recipient's key cannot be wrapped to.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// A part that does not follow on what was sealed before.
    #[error(transparent)]
    Payload(#[from] SealPartError),
    /// A statement that breaks its own rules.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// A header outside the grammar, from recipients that are none.
    #[error(transparent)]
    Header(#[from] vault_proto::age_header::HeaderError),
    /// A key other than the manifest's.
    #[error("the recording's key is not the one that its manifest names")]
    OtherKey,
    /// Parts are missing, or their lengths do not make a body.
    #[error("the parts of segment {0} do not make a whole body")]
    Incomplete(u32),
    /// A device other than the one that signed the manifest.
    #[error("this device did not begin the recording, so it cannot end it")]
    OtherDevice,
    /// The recording has as many segments as it can have: it has to end.
    #[error("a recording has at most {MAX_SEGMENTS} segments")]
    Full,
    /// The title is too long.
    #[error("the title has more than {MAX_TITLE} characters")]
    Title,
    /// The details do not become JSON, are too long, or name other tracks than those that were sealed.
    #[error("the details could not be written: {0}")]
    Details(String),
}

/// Prepares `manifest` for the signature of the device it names as its sealer key.
///
/// # Errors
/// [`SealError::OtherDevice`] if `device` is another; [`SealError::Statement`].
pub fn prepare_manifest(manifest: &Manifest, device: PublicKey) -> Result<Unsigned<Manifest>, SealError> {
    if KeyId::of_device(&device) != manifest.sealer_key {
        return Err(SealError::OtherDevice);
    }
    Ok(Unsigned::prepare(manifest, manifest.sealer_key, device)?)
}

/// Key id of a device key.
pub fn device_key_id(device: &SigningKey) -> KeyId {
    KeyId::of_device(&PublicKey::from_bytes(device.public()))
}

/// Seals the segments of one recording, one after the other.
#[must_use = "a recording without a final seal is shown as cut off"]
pub struct RecordingSealer {
    manifest: Verified<Manifest>,
    key: Recipient,
    segments: u32,
    last_seal: Option<Digest>,
    total_length: u64,
    /// Plaintext bytes of the segments so far, by track.
    held: BTreeMap<u8, u64>,
    /// The newest seal that was signed for each segment, whatever became of it.
    signed_seals: BTreeMap<u32, Digest>,
    /// The newest final seal that was signed.
    signed_end: Option<Digest>,
}

/// Seals one segment. Its file key is wiped when it is dropped or finished.
#[must_use = "a segment that is never finished is lost to its readers"]
pub struct SegmentSealer {
    start: SegmentStart,
    header: Vec<u8>,
    payload: PayloadSealer,
}

/// What is public about a segment from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentStart {
    /// Number of the segment.
    pub index: u32,
    /// Its track.
    pub track: u8,
    /// How many chunks its parts have.
    pub part_chunks: PartChunks,
    /// SHA-256 of its header; enough to seal the segment after a crash.
    pub header: Digest,
}

/// What a seal says about a segment: no secret, so it may rest on a disk while the segment grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFacts {
    /// The segment.
    pub start: SegmentStart,
    /// Hashes of its parts, in order.
    pub part_hashes: Vec<Digest>,
    /// Ciphertext bytes of its last part.
    pub last_part_length: usize,
    /// How it ends.
    pub end: BodyEnd,
}

impl RecordingSealer {
    /// Starts a recording whose manifest is `manifest`; `key` is the recipient of its key.
    ///
    /// # Errors
    /// [`SealError::OtherKey`] if it is not.
    pub fn new(manifest: Verified<Manifest>, key: Recipient) -> Result<Self, SealError> {
        if manifest.key != KeyId::of_recipient(&key.to_string()) || key.suite() != manifest.suite {
            return Err(SealError::OtherKey);
        }
        Ok(Self {
            manifest,
            key,
            segments: 0,
            last_seal: None,
            total_length: 0,
            held: BTreeMap::new(),
            signed_seals: BTreeMap::new(),
            signed_end: None,
        })
    }

    /// Learns of a seal that this device signed for a segment before. If parts that it names are lost, so that another
    /// has to be signed in its place, that one names it.
    pub fn has_signed(&mut self, index: u32, seal: Digest) {
        self.signed_seals.insert(index, seal);
    }

    /// Learns of a final seal that this device signed before. One that is signed in its place names it.
    pub const fn has_ended(&mut self, end: Digest) {
        self.signed_end = Some(end);
    }

    /// The manifest.
    pub const fn manifest(&self) -> &Verified<Manifest> {
        &self.manifest
    }

    /// Counts a segment that is sealed: just now, before, or by a process that died.
    ///
    /// # Errors
    /// [`SealError::Incomplete`] if `seal` is not the next one of this recording.
    pub fn continue_after(&mut self, seal: &Envelope<SegmentSeal>) -> Result<(), SealError> {
        let seal = seal.verify(self.manifest.sealer_key, self.manifest.signer())?;
        let shape = seal.shape().ok_or(SealError::Incomplete(seal.index))?;
        if seal.manifest != self.manifest.digest()
            || seal.index != self.segments
            || seal.previous != self.last_seal
        {
            return Err(SealError::Incomplete(seal.index));
        }
        self.segments += 1;
        self.last_seal = Some(seal.digest());
        self.total_length += shape.plaintext_length();
        *self.held.entry(seal.track).or_default() += shape.plaintext_length();
        Ok(())
    }

    /// Number of segments sealed so far, which is the index of the next one.
    pub const fn segments(&self) -> u32 {
        self.segments
    }

    /// Digest of the seal of the last segment so far.
    pub const fn last_seal(&self) -> Option<Digest> {
        self.last_seal
    }

    /// Plaintext bytes sealed so far, padding among them.
    pub const fn total_length(&self) -> u64 {
        self.total_length
    }

    /// Begins the next segment, in parts of so many chunks, with a file key of its own.
    ///
    /// # Errors
    /// [`SealError::Full`] after the last one that a recording can have; [`SealError`].
    pub fn begin_segment(&self, track: u8, part_chunks: PartChunks) -> Result<SegmentSealer, SealError> {
        self.begin(self.segments, track, part_chunks)
    }

    /// Begins a segment that may come to be the one with number `index`, with a file key of its own: what is recorded
    /// and not yet a part, kept on the sealer's own disk. Whatever becomes the segment of that number in the end, only
    /// one is ever sealed.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn begin_tail(&self, index: u32, track: u8) -> Result<SegmentSealer, SealError> {
        // It is one part, whatever it holds.
        self.begin(index, track, PartChunks::FIFTEEN)
    }

    fn begin(&self, index: u32, track: u8, part_chunks: PartChunks) -> Result<SegmentSealer, SealError> {
        if index >= MAX_SEGMENTS {
            return Err(SealError::Full);
        }
        let context = labels::context(&self.manifest.digest(), index, track);
        let file_key = FileKey::generate()?;
        let stanzas = vec![context_stanza(&context)?, self.key.wrap(&file_key)?];
        let header = file_key.authenticate(stanzas)?.encode();
        let payload = PayloadSealer::new(file_key, part_chunks)?;
        let start = SegmentStart { index, track, part_chunks, header: Digest::of(&header) };
        Ok(SegmentSealer { start, header, payload })
    }

    /// Prepares the seal of the segment that comes next. It counts once it is signed and [`Self::continue_after`] it.
    ///
    /// # Errors
    /// [`SealError::Incomplete`] if the facts do not make a body or are of another segment.
    pub fn prepare_seal(&self, facts: &SegmentFacts) -> Result<Unsigned<SegmentSeal>, SealError> {
        let SegmentStart { index, track, part_chunks, header } = facts.start;
        let incomplete = SealError::Incomplete(index);
        let parts = u32::try_from(facts.part_hashes.len()).ok().filter(|&parts| parts > 0);
        let (Some(parts), true) = (parts, index == self.segments) else {
            return Err(incomplete);
        };
        let seal = SegmentSeal {
            manifest: self.manifest.digest(),
            index,
            track,
            body_length: part_chunks.offset(parts - 1) + facts.last_part_length as u64,
            parts,
            parts_root: tree::parts_root(&facts.part_hashes),
            end: facts.end,
            header,
            previous: self.last_seal,
            part_chunks,
            supersedes: self.signed_seals.get(&index).copied(),
        };
        // Never signed for nothing: what breaks the geometry could not be counted afterwards.
        seal.shape().ok_or(incomplete)?;
        self.prepare(&seal)
    }

    /// Prepares the word of how far the segment that comes next has come: `parts` holds the hashes of its parts so far,
    /// all of them full.
    ///
    /// # Errors
    /// [`SealError::Statement`] if there is no part yet.
    pub fn prepare_progress(
        &self,
        segment: &SegmentStart,
        parts: &TreeBuilder,
        recorded: Timestamp,
    ) -> Result<Unsigned<SegmentProgress>, SealError> {
        self.prepare(&SegmentProgress {
            manifest: self.manifest.digest(),
            index: segment.index,
            track: segment.track,
            parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
            parts_root: parts.root(),
            header: segment.header,
            previous: self.last_seal,
            recorded,
            part_chunks: segment.part_chunks,
            tail: NotYet,
        })
    }

    /// Seals the details and prepares the end. Returns the details object and the final seal.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn prepare_final(
        &self,
        details: &Details,
        status: RecordingStatus,
        ended: Timestamp,
    ) -> Result<(Vec<u8>, Unsigned<FinalSeal>), SealError> {
        if details.title.as_ref().is_some_and(|title| title.chars().count() > MAX_TITLE) {
            return Err(SealError::Title);
        }
        let last_seal = self.last_seal.ok_or(SealError::Incomplete(0))?;
        // Never signed for nothing: a reader refuses details of other tracks.
        details.check_tracks(&self.held).map_err(|error| SealError::Details(error.to_string()))?;
        let text = details.to_text().map_err(|error| SealError::Details(error.to_string()))?;
        let context = context_stanza(&labels::details_context(&self.manifest.digest()))?;
        let object = age_file::seal_small(slice::from_ref(&self.key), Some(context), &text)
            .map_err(|error| SealError::Details(error.to_string()))?;
        if object.len() > MAX_DETAILS {
            return Err(SealError::Details(format!(
                "they have {} bytes, {MAX_DETAILS} at most",
                object.len()
            )));
        }
        let seal = self.prepare(&FinalSeal {
            manifest: self.manifest.digest(),
            segments: self.segments,
            last_seal,
            total_length: self.total_length,
            details: Digest::of(&object),
            ended,
            status,
            supersedes: self.signed_end,
        })?;
        Ok((object, seal))
    }

    /// All statements of a recording are its first signer's.
    fn prepare<T: Statement>(&self, statement: &T) -> Result<Unsigned<T>, SealError> {
        Ok(Unsigned::prepare(statement, self.manifest.sealer_key, *self.manifest.signer())?)
    }

    /// Suite of the recording.
    pub fn suite(&self) -> Suite {
        self.manifest.suite
    }
}

impl SegmentSealer {
    /// What is public about it.
    pub const fn start(&self) -> SegmentStart {
        self.start
    }

    /// Its header, to be stored before the first part.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Numbers the next part: a full one, or one with fewer bytes if it is the `last`.
    ///
    /// # Errors
    /// [`SealError::Payload`] after the last part, for a part of another length, or past the cap of a segment.
    pub fn next_part(
        &mut self,
        plaintext: impl Into<Zeroizing<Vec<u8>>>,
        last: bool,
    ) -> Result<PartJob, SealError> {
        Ok(self.payload.next_part(plaintext, last)?)
    }

    /// Parts that can still be given out; the last of them only as the segment's last.
    pub fn parts_left(&self) -> u32 {
        self.payload.parts_left()
    }

    /// The facts of the finished segment; its file key is wiped here.
    pub fn finish(self, part_hashes: Vec<Digest>, last_part_length: usize) -> SegmentFacts {
        SegmentFacts { start: self.start, part_hashes, last_part_length, end: BodyEnd::Final }
    }
}

#[cfg(test)]
mod tests;
