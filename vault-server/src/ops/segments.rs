//! Filling and reading the segments of a recording (PROTOCOL.md, sections 4.2 and 4.3).

use std::fmt;

use vault_proto::base64;
use vault_proto::geometry::MAX_SEGMENTS;
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::labels::{DETAILS_TRACK, context};
use vault_proto::problem::ProblemCode;
use vault_proto::sealed_header::SealedHeader;
use vault_proto::statements::{SegmentProgress, SegmentSeal};
use vault_proto::tree::parts_root;
use vault_proto::wire::OpenSegment;

use super::{RECIPIENTS, Vault, parse_statement, statement_refused, stored_manifest};
use crate::authorize::{Action, Permit};
use crate::blob::{BlobError, BlobKey, BodyReader, Day, Object};
use crate::event::{Caller, Event};
use crate::problem::Problem;
use crate::store::{
    Change, NewPart, NewSeal, NewSegment, PartRow, SegmentRow, StoreError, Stored, is_too_far_ahead,
};

/// A body to be read: how much of it counts, and its tag once it is sealed.
pub struct Body {
    /// The bytes.
    pub reader: Box<dyn BodyReader>,
    /// Bytes that count.
    pub length: u64,
    /// Root over the part hashes; `None` while the segment is open.
    pub parts_root: Option<Digest>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("length", &self.length).finish_non_exhaustive()
    }
}

fn refused(detail: &'static str) -> Problem {
    Problem::with_detail(ProblemCode::StatementRefused, detail)
}

/// A segment that is not there is, for one who fills it, a step too early.
fn segment_to_fill(vault: &Vault, permit: &Permit, index: u32) -> Result<SegmentRow, Problem> {
    vault.store.segment(permit, index).map_err(|error| match error {
        StoreError::NotFound => ProblemCode::OutOfOrder.into(),
        other => other.into(),
    })
}

/// The segment, if it is there. A store that fails is not one without the segment.
fn existing(vault: &Vault, permit: &Permit, index: u32) -> Result<Option<SegmentRow>, Problem> {
    match vault.store.segment(permit, index) {
        Ok(row) => Ok(Some(row)),
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens segment `index`, from the body of the request.
///
/// # Errors
/// [`ProblemCode::BadRequest`], [`ProblemCode::StatementRefused`], [`ProblemCode::OutOfOrder`],
/// [`ProblemCode::Conflict`].
pub fn open(
    vault: &Vault,
    caller: &Caller,
    recording: RecordingId,
    index: u32,
    body: &[u8],
) -> Result<Stored, Problem> {
    let permit = vault.permit(caller, Action::OpenSegment, recording)?;
    let request: OpenSegment =
        serde_json::from_slice(body).map_err(|_| Problem::bad_request("The body is not a segment."))?;
    let header =
        base64::decode(&request.header).ok_or_else(|| Problem::bad_request("The header is not base64."))?;
    if index >= MAX_SEGMENTS || request.track == DETAILS_TRACK {
        return Err(refused("No segment can have this index or track."));
    }
    vault.segment_locks.exclusive((recording, index), || {
        let row = vault.store.recording(&permit)?;
        let manifest = stored_manifest(&row)?;
        let expected = context(&manifest.digest(), index, request.track);
        SealedHeader::parse(&header, &expected, manifest.unverified().suite, RECIPIENTS)
            .map_err(|_| refused("The header is not a sealed header of this segment and suite."))?;
        let header_length = u32::try_from(header.len()).unwrap_or(u32::MAX);
        let OpenSegment { track, part_chunks, .. } = request;
        let segment = NewSegment { index, track, part_chunks, header: Digest::of(&header), header_length };
        let event = Event::permitted(&permit, caller).on_segment(index);
        // The row decides: only when it is missing may blobs be written, so a header that a row names never changes.
        if existing(vault, &permit, index)?.is_some() {
            return Ok(vault.store.open_segment(&permit, &event, &segment)?.stored);
        }
        let follows = match index.checked_sub(1) {
            None => true,
            Some(previous) => {
                existing(vault, &permit, previous)?.is_some_and(|segment| segment.seal.is_some())
            }
        };
        if !follows || row.final_seal.is_some() {
            return Err(ProblemCode::OutOfOrder.into());
        }
        let key = |object| BlobKey::new(&permit, object);
        let room = vault.room.for_new(&*vault.blobs, u64::from(header_length))?;
        let header_key = key(Object::Header { segment: index })?;
        match dropped_body(vault, &permit, &key(Object::Body { segment: index })?, index)? {
            // The sealer dropped it whole: its header goes like its bytes, and leaves nothing however often.
            Dropped::Emptied => vault.blobs.put(&header_key, &header)?,
            Dropped::SetAside | Dropped::Never => vault.put_unnamed(&header_key, &header)?,
        }
        vault.blobs.create_body(&key(Object::Body { segment: index })?)?;
        let change = vault.store.open_segment(&permit, &event, &segment)?;
        room.settle(change.bytes);
        Ok(change.stored)
    })
}

/// What there was in the place of a segment that is to be opened.
enum Dropped {
    /// Nothing that its sealer dropped.
    Never,
    /// A segment that its sealer dropped, without a byte left of it.
    Emptied,
    /// One with bytes in it, which are kept aside now.
    SetAside,
}

/// Makes way for the body of a segment that is to be opened. One with bytes in it is that of a segment that its sealer
/// dropped, or the index is older than it.
fn dropped_body(vault: &Vault, permit: &Permit, key: &BlobKey, index: u32) -> Result<Dropped, Problem> {
    let bytes = match vault.blobs.size(key) {
        Err(BlobError::NotFound) => 0,
        size => size?,
    };
    let name = key.path();
    match (bytes, was_abandoned(vault, permit, index)?) {
        (0, true) => Ok(Dropped::Emptied),
        (0, false) => Ok(Dropped::Never),
        (_, true) => {
            vault.blobs.set_aside(&name, &Day::of((vault.clock)()))?;
            Ok(Dropped::SetAside)
        }
        (_, false) => Err(Problem::internal(&format_args!("the index does not know {name}"))),
    }
}

/// Whether the sealer ever dropped a segment of this number.
fn was_abandoned(vault: &Vault, permit: &Permit, index: u32) -> Result<bool, Problem> {
    let recording = permit.recording().ok_or(Problem::not_found())?;
    Ok(vault.store.named(recording, Some(index))?.is_some_and(|named| named.abandoned))
}

/// Drops a segment that was never sealed: its sealing process died before anything of it could be kept.
///
/// # Errors
/// [`ProblemCode::OutOfOrder`] if it is sealed.
pub fn abandon(
    vault: &Vault,
    caller: &Caller,
    recording: RecordingId,
    index: u32,
) -> Result<Stored, Problem> {
    let permit = vault.permit(caller, Action::AbandonSegment, recording)?;
    vault.segment_locks.exclusive((recording, index), || {
        let event = Event::permitted(&permit, caller).on_segment(index);
        let Change { stored, bytes } = vault.store.abandon_segment(&permit, &event, index)?;
        vault.room.count(bytes);
        if stored == Stored::Same && !was_abandoned(vault, &permit, index)? {
            // The index never knew such a segment, so it cannot know what a body of that name holds.
            return Ok(stored);
        }
        // The sealer dropped these bytes, now or before a crash; the next segment of this number starts from none.
        match vault.blobs.truncate_body(&BlobKey::new(&permit, Object::Body { segment: index })?, 0) {
            Ok(()) | Err(BlobError::NotFound) => Ok(stored),
            Err(error) => Err(error.into()),
        }
    })
}

/// Stores part `part` of a segment. `digest` is the SHA-256 of `bytes`, already compared with the signed one.
///
/// # Errors
/// [`ProblemCode::BadRequest`], [`ProblemCode::OutOfOrder`], [`ProblemCode::Conflict`], [`ProblemCode::StorageFull`].
pub fn store_part(
    vault: &Vault,
    caller: &Caller,
    recording: RecordingId,
    (segment, part): (u32, u32),
    bytes: &[u8],
    digest: Digest,
    progress: Option<&[u8]>,
) -> Result<Stored, Problem> {
    let permit = vault.permit(caller, Action::StorePart, recording)?;
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let row = PartRow { digest, length };
    let progress =
        progress.map(|bytes| check_progress(vault, &permit, caller, (segment, part), bytes)).transpose()?;
    let new = NewPart { segment, part, row, progress };
    let key = BlobKey::new(&permit, Object::Body { segment })?;
    let event = Event::permitted(&permit, caller).on_part(segment, part);
    vault.segment_locks.shared((recording, segment), || {
        vault.part_locks.exclusive((recording, segment, part), || {
            // A part that a row names is never written again: readers may be reading it.
            match vault.store.part(&permit, segment, part)? {
                Some(stored) if stored == new.row => return Ok(Stored::Same),
                Some(_) => return Err(ProblemCode::Conflict.into()),
                None => {}
            }
            let open = segment_to_fill(vault, &permit, segment)?;
            if !open.part_chunks.is_possible_length(part, bytes.len()) {
                return Err(Problem::bad_request("No part of this number can have this length."));
            }
            if open.seal.is_some() {
                return Err(ProblemCode::OutOfOrder.into());
            }
            if is_too_far_ahead(part, open.parts) {
                return Err(Problem::with_detail(
                    ProblemCode::OutOfOrder,
                    "Parts long before this one are not stored yet.",
                ));
            }
            let with_progress = u64::try_from(new.progress.as_ref().map_or(0, Vec::len)).unwrap_or(u64::MAX);
            let room = vault.room.for_new(&*vault.blobs, u64::from(length).saturating_add(with_progress))?;
            vault.blobs.write_part(&key, open.part_chunks.offset(part), bytes)?;
            let change = vault.store.add_part(&permit, &event, &new)?;
            room.settle(change.bytes);
            Ok(change.stored)
        })
    })
}

/// Checks the progress that comes with part `part`: all but its root, which waits for parts that may come later.
fn check_progress(
    vault: &Vault,
    permit: &Permit,
    caller: &Caller,
    (segment, part): (u32, u32),
    bytes: &[u8],
) -> Result<Vec<u8>, Problem> {
    let envelope = parse_statement::<SegmentProgress>(bytes)?;
    // Whoever may store a part signs with the manifest's sealer key.
    let progress = envelope
        .verify(caller.actor.key_id, &caller.device)
        .map_err(|_| refused("The progress is not signed by the recording's sealer."))?;
    let manifest = stored_manifest(&vault.store.recording(permit)?)?;
    let previous = match segment.checked_sub(1) {
        None => None,
        Some(previous) => segment_to_fill(vault, permit, previous)?.seal,
    };
    let previous = previous.map(|seal| parse_statement::<SegmentSeal>(&seal)).transpose()?;
    let open = segment_to_fill(vault, permit, segment)?;
    let fits = progress.manifest == manifest.digest()
        && progress.index == segment
        && progress.track == open.track
        && progress.header == open.header
        && progress.part_chunks == open.part_chunks
        && part.checked_add(1) == Some(progress.parts)
        && progress.previous == previous.map(|seal| seal.digest());
    if fits { Ok(bytes.to_vec()) } else { Err(refused("The progress is not that of this part's segment.")) }
}

/// Seals a segment, from the envelope in the body of the request.
///
/// # Errors
/// [`ProblemCode::StatementRefused`], [`ProblemCode::OutOfOrder`], [`ProblemCode::Conflict`].
pub fn seal(
    vault: &Vault,
    caller: &Caller,
    recording: RecordingId,
    index: u32,
    body: &[u8],
) -> Result<Stored, Problem> {
    let permit = vault.permit(caller, Action::SealSegment, recording)?;
    let envelope = parse_statement::<SegmentSeal>(body)?;
    vault.segment_locks.exclusive((recording, index), || {
        let segment = segment_to_fill(vault, &permit, index)?;
        let body_key = BlobKey::new(&permit, Object::Body { segment: index })?;
        if let Some(stored) = &segment.seal {
            if stored != body {
                return Err(ProblemCode::Conflict.into());
            }
            // A crash after the commit may have left the tail; then nobody got an answer, and the sealer asks again.
            vault.blobs.truncate_body(&body_key, segment.bytes)?;
            return Ok(Stored::Same);
        }
        let manifest = vault.checked_manifest(&permit)?;
        let (previous, previous_envelope) = index
            .checked_sub(1)
            .map(|previous| verified_seal(vault, &permit, &manifest, previous))
            .transpose()?
            .unzip();
        let seal = manifest
            .check_seal(index, previous.as_ref(), &envelope)
            .map_err(|refusal| statement_refused(&refusal))?;
        let fits = seal.track == segment.track
            && seal.header == segment.header
            && seal.part_chunks == segment.part_chunks;
        if !fits {
            return Err(refused("The seal is for another track or header, or for parts of another size."));
        }
        if segment.parts < seal.parts {
            return Err(Problem::with_detail(ProblemCode::OutOfOrder, "Not all parts are stored yet."));
        }
        let mut parts = vault.store.parts(&permit, index)?;
        parts.truncate(usize::try_from(seal.parts).unwrap_or(usize::MAX));
        let shape = seal.shape().ok_or_else(|| refused("No body can have this length."))?;
        let lengths_fit =
            (0u32..).zip(&parts).all(|(number, part)| u64::from(part.length) == shape.part_length(number));
        if !lengths_fit || parts_root(parts.iter().map(|part| &part.digest)) != seal.parts_root {
            return Err(refused("The seal does not fit the parts that are stored."));
        }
        // What is lost already is not to be sealed as if it were there.
        if vault.blobs.open_body(&body_key)?.length()? < seal.body_length {
            return Err(Problem::internal(&"a stored body is shorter than its rows say"));
        }
        let hashes: Vec<u8> = parts.iter().flat_map(|part| *part.digest.as_bytes()).collect();
        let length = hashes.len().saturating_add(body.len());
        let room = vault.room.for_ending(&*vault.blobs, u64::try_from(length).unwrap_or(u64::MAX))?;
        vault.put_unnamed(&BlobKey::new(&permit, Object::Parts { segment: index })?, &hashes)?;
        vault.put_unnamed(&BlobKey::new(&permit, Object::Seal { segment: index })?, body)?;
        let new = NewSeal {
            segment: index,
            parts: seal.parts,
            body_length: seal.body_length,
            parts_root: seal.parts_root,
            previous: previous_envelope,
            envelope: body.to_vec(),
        };
        let event = Event::permitted(&permit, caller).on_segment(index);
        let Change { stored, bytes } = vault.store.seal_segment(&permit, &event, &new)?;
        room.settle(bytes);
        // Only now: until the commit, the parts beyond were promised to the sealer.
        vault.blobs.truncate_body(&body_key, seal.body_length)?;
        Ok(stored)
    })
}

/// A sealed segment's seal, and the digest of its envelope as it is stored.
fn verified_seal(
    vault: &Vault,
    permit: &Permit,
    manifest: &vault_proto::recording::CheckedManifest,
    index: u32,
) -> Result<(vault_proto::envelope::Verified<SegmentSeal>, Digest), Problem> {
    let bytes = vault.store.segment(permit, index)?.seal.ok_or(Problem::from(ProblemCode::OutOfOrder))?;
    let statement = manifest.manifest();
    vault_proto::envelope::Envelope::<SegmentSeal>::parse(&bytes)
        .and_then(|seal| seal.verify(statement.sealer_key, statement.signer()))
        .map(|verified| (verified, Digest::of(&bytes)))
        .map_err(|error| Problem::internal(&error))
}

/// The hashes of a segment's parts, 32 bytes each, from part 0 to the first gap.
///
/// # Errors
/// [`ProblemCode::NotFound`].
pub fn part_hashes(
    vault: &Vault,
    caller: &Caller,
    recording: RecordingId,
    segment: u32,
) -> Result<Vec<u8>, Problem> {
    let permit = vault.permit(caller, Action::FetchPartHashes, recording)?;
    let parts = vault.store.parts(&permit, segment)?;
    Ok(parts.iter().flat_map(|part| *part.digest.as_bytes()).collect())
}

/// Most bytes of memory that [`part_hashes`] takes: rows and hashes. A list that grows meanwhile grows by little.
///
/// # Errors
/// [`ProblemCode::NotFound`].
pub fn part_hashes_size(
    vault: &Vault,
    caller: &Caller,
    recording: RecordingId,
    segment: u32,
) -> Result<usize, Problem> {
    let permit = vault.permit(caller, Action::FetchPartHashes, recording)?;
    let parts = vault.store.segment(&permit, segment)?.parts;
    // Vectors that grow have twice the room that they need at most.
    let each = 2 * (size_of::<PartRow>() + Digest::BYTES);
    Ok(usize::try_from(parts).unwrap_or(usize::MAX).saturating_mul(each).saturating_add(16 * 1024))
}

/// A segment's header.
///
/// # Errors
/// [`ProblemCode::NotFound`].
pub fn header(
    vault: &Vault,
    caller: &Caller,
    recording: RecordingId,
    segment: u32,
) -> Result<Vec<u8>, Problem> {
    let permit = vault.permit(caller, Action::FetchHeader, recording)?;
    // Nobody abandons the segment between the row and the bytes.
    vault.segment_locks.shared((recording, segment), || {
        let row = vault.store.segment(&permit, segment)?;
        let header = vault.blobs.get(&BlobKey::new(&permit, Object::Header { segment })?)?;
        if Digest::of(&header) != row.header {
            return Err(Problem::internal(&"a stored header is not the one that its row names"));
        }
        Ok(header)
    })
}

/// A segment's body, as far as it is stored without a gap.
///
/// # Errors
/// [`ProblemCode::NotFound`].
pub fn body(vault: &Vault, caller: &Caller, recording: RecordingId, segment: u32) -> Result<Body, Problem> {
    let permit = vault.permit(caller, Action::FetchBody, recording)?;
    let key = BlobKey::new(&permit, Object::Body { segment })?;
    // Nobody abandons the segment between the row and the bytes.
    vault.segment_locks.shared((recording, segment), || {
        let row = vault.store.segment(&permit, segment)?;
        let reader = vault.blobs.open_body(&key)?;
        if reader.length()? < row.bytes {
            return Err(Problem::internal(&"a stored body is shorter than its rows say"));
        }
        Ok(Body { reader, length: row.bytes, parts_root: row.parts_root })
    })
}
