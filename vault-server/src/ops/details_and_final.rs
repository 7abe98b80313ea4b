//! The end of a recording: details, then final seal (PROTOCOL.md, section 4.2).

use vault_proto::envelope::{Envelope, Verified};
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::labels::details_context;
use vault_proto::problem::ProblemCode;
use vault_proto::sealed_header::SealedHeader;
use vault_proto::statements::{FinalSeal, SegmentSeal};

use super::recordings::measured;
use super::{RECIPIENTS, Vault, parse_statement, statement_refused, stored_manifest};
use crate::authorize::{Action, Permit};
use crate::blob::{BlobKey, Object};
use crate::event::{Caller, Event};
use crate::problem::Problem;
use crate::store::{DetailsRow, FinalRow, SegmentRow, Stored};

/// Fewest bytes of an age payload: its nonce and one empty chunk.
const MIN_PAYLOAD: usize = 32;

fn refused(detail: &'static str) -> Problem {
    Problem::with_detail(ProblemCode::StatementRefused, detail)
}

/// The segments, if there are any and all are sealed.
fn sealed_segments(vault: &Vault, permit: &Permit) -> Result<Vec<SegmentRow>, Problem> {
    let segments = vault.store.segments(permit)?;
    if segments.is_empty() || segments.iter().any(|segment| segment.seal.is_none()) {
        return Err(Problem::with_detail(ProblemCode::OutOfOrder, "Not all segments are sealed yet."));
    }
    Ok(segments)
}

/// Stores the details object, in place of the one before as long as there is no final seal: a sealer that died before
/// the final seal makes new details.
///
/// # Errors
/// [`ProblemCode::StatementRefused`], [`ProblemCode::OutOfOrder`], [`ProblemCode::Conflict`].
pub fn store_details(
    vault: &Vault,
    caller: &Caller,
    recording: RecordingId,
    body: &[u8],
) -> Result<Stored, Problem> {
    let permit = vault.permit(caller, Action::StoreDetails, recording)?;
    vault.recording_locks.exclusive(recording, || {
        let row = vault.store.recording(&permit)?;
        let (digest, length) = measured(body);
        let details = DetailsRow { digest, length };
        if row.final_seal.is_some() {
            return if row.details == Some(details) {
                Ok(Stored::Same)
            } else {
                Err(ProblemCode::Conflict.into())
            };
        }
        let manifest = stored_manifest(&row)?;
        let (context, suite) = (details_context(&manifest.digest()), manifest.unverified().suite);
        let (_, header_length) = SealedHeader::parse_prefix(body, &context, suite, RECIPIENTS)
            .map_err(|_| refused("The details do not begin with a sealed header of this recording."))?;
        if body.len() < header_length.saturating_add(MIN_PAYLOAD) {
            return Err(refused("The details are cut off."));
        }
        sealed_segments(vault, &permit)?;
        // Also if the row names these very bytes: a crash may have left others there.
        let room = vault.room.for_new(&*vault.blobs, length)?;
        let key = BlobKey::new(&permit, Object::Details)?;
        let is_named =
            |object: &[u8]| row.details.is_some_and(|named| measured(object) == (named.digest, named.length));
        match vault.blobs.get(&key) {
            // The sealer replaces them.
            Ok(stored) if is_named(&stored) => vault.blobs.put(&key, body)?,
            _ => vault.put_unnamed(&key, body)?,
        }
        let event = Event::permitted(&permit, caller);
        let change = vault.store.set_details(&permit, &event, &details)?;
        room.settle(change.bytes);
        Ok(change.stored)
    })
}

/// The details object.
///
/// # Errors
/// [`ProblemCode::NotFound`].
pub fn details(vault: &Vault, caller: &Caller, recording: RecordingId) -> Result<Vec<u8>, Problem> {
    let permit = vault.permit(caller, Action::FetchDetails, recording)?;
    // Object and row change together under this lock.
    vault.recording_locks.shared(recording, || {
        let row = vault.store.recording(&permit)?.details.ok_or(Problem::not_found())?;
        let object = vault.blobs.get(&BlobKey::new(&permit, Object::Details)?)?;
        if measured(&object) != (row.digest, row.length) {
            return Err(Problem::internal(&"the stored details are not those that their row names"));
        }
        Ok(object)
    })
}

/// Stores the final seal, from the envelope in the body of the request.
///
/// # Errors
/// [`ProblemCode::StatementRefused`], [`ProblemCode::OutOfOrder`], [`ProblemCode::Conflict`].
pub fn store_final_seal(
    vault: &Vault,
    caller: &Caller,
    recording: RecordingId,
    body: &[u8],
) -> Result<Stored, Problem> {
    let permit = vault.permit(caller, Action::StoreFinalSeal, recording)?;
    let envelope = parse_statement::<FinalSeal>(body)?;
    vault.recording_locks.exclusive(recording, || {
        let row = vault.store.recording(&permit)?;
        match row.final_seal {
            Some(stored) if stored == body => return Ok(Stored::Same),
            Some(_) => return Err(ProblemCode::Conflict.into()),
            None => {}
        }
        let segments = sealed_segments(vault, &permit)?;
        let Some(details) = row.details else {
            return Err(Problem::with_detail(ProblemCode::OutOfOrder, "The details are not stored yet."));
        };
        let manifest = vault.checked_manifest(&permit)?;
        let statement = manifest.manifest();
        let seals = segments
            .iter()
            .filter_map(|segment| segment.seal.as_deref())
            .map(|seal| {
                Envelope::<SegmentSeal>::parse(seal)?.verify(statement.sealer_key, statement.signer())
            })
            .collect::<Result<Vec<Verified<SegmentSeal>>, _>>()
            .map_err(|error| Problem::internal(&error))?;
        let final_seal =
            manifest.check_final(&seals, &envelope).map_err(|refusal| statement_refused(&refusal))?;
        // The object itself is what readers get: a crash may have replaced it without its row.
        let object = vault.blobs.get(&BlobKey::new(&permit, Object::Details)?)?;
        if final_seal.details != details.digest || Digest::of(&object) != details.digest {
            return Err(refused("The final seal is for other details."));
        }
        let room = vault.room.for_ending(&*vault.blobs, u64::try_from(body.len()).unwrap_or(u64::MAX))?;
        vault.put_unnamed(&BlobKey::new(&permit, Object::Final)?, body)?;
        let event = Event::permitted(&permit, caller);
        let last_seal = segments.last().and_then(|segment| segment.seal.as_deref()).unwrap_or_default();
        let final_row = FinalRow {
            details: details.digest,
            segments: u32::try_from(segments.len()).unwrap_or(u32::MAX),
            last_seal: Digest::of(last_seal),
            envelope: body.to_vec(),
        };
        let change = vault.store.set_final_seal(&permit, &event, &final_row)?;
        room.settle(change.bytes);
        Ok(change.stored)
    })
}
