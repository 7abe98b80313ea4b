//! Creating, listing and describing recordings (PROTOCOL.md, sections 4.2 and 4.3).

use serde::Deserialize;
use vault_proto::base64;
use vault_proto::envelope::MAX_ENVELOPE;
use vault_proto::http_signature::MAX_SKEW_SECONDS;
use vault_proto::ids::{AccountId, Digest, RecordingId};
use vault_proto::key_object::check_key_object;
use vault_proto::problem::ProblemCode;
use vault_proto::recording::CheckedManifest;
use vault_proto::statements::Manifest;
use vault_proto::wire::{
    DEFAULT_PAGE, Last, MAX_PAGE, RecordingEntry, RecordingPage, RecordingRecord, SegmentRecord,
};

use super::{Vault, parse_statement, statement_refused, stored_manifest};
use crate::authorize::{Action, Parties, Permit, authorize, authorize_newest_manifest};
use crate::blob::{BlobKey, Object};
use crate::event::{Caller, Event};
use crate::problem::Problem;
use crate::store::{HexPrefix, ListQuery, NewRecording, SegmentRow, StoreError, Stored};

/// How far a manifest's `created` may lie behind the server's clock, in seconds: a recording may have begun without the
/// server, and waited for it.
const MAX_AGE_SECONDS: i64 = 30 * 24 * 60 * 60;
/// How far it may lie ahead, in seconds: no further than that of the request that brings it.
const MAX_AHEAD_SECONDS: i64 = MAX_SKEW_SECONDS;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateText {
    manifest: String,
    key: String,
    statements: Vec<String>,
}

/// Which part of the caller's list is asked for, as it came.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRequest {
    /// Cursor of the page before.
    pub after: Option<String>,
    /// Most entries.
    pub limit: Option<u32>,
    /// Beginning of the ids.
    pub prefix: Option<String>,
}

/// Stores a manifest, its key object and the statements that came with it, from the body of the request.
///
/// # Errors
/// [`ProblemCode::BadRequest`], [`ProblemCode::Forbidden`], [`ProblemCode::StatementRefused`],
/// [`ProblemCode::Conflict`], [`ProblemCode::StorageFull`].
pub fn create(vault: &Vault, caller: &Caller, body: &[u8]) -> Result<Stored, Problem> {
    let text: CreateText = serde_json::from_slice(body)
        .map_err(|_| Problem::bad_request("The body is not a manifest with its key and statements."))?;
    let key = base64::decode(&text.key).ok_or_else(|| Problem::bad_request("The key is not base64."))?;
    let envelope = parse_statement::<Manifest>(text.manifest.as_bytes())?;
    let manifest = envelope.unverified();
    let permit = authorize(&caller.actor, Action::CreateRecording, Some(&Parties::of(manifest)))?;
    let named = vault.named_by(manifest, &text.statements)?;
    let known = vault.known(manifest.participants().all())?;
    CheckedManifest::check(
        manifest.recording,
        vault.organisation,
        text.manifest.as_bytes(),
        &named.statements,
        &known,
    )
    .map_err(|refusal| statement_refused(&refusal))?;
    check_key_object(manifest, &key).map_err(|refusal| statement_refused(&refusal))?;
    if manifest.sequence >= super::accounts::MAX_NUMBER {
        return Err(Problem::with_detail(ProblemCode::StatementRefused, "The sequence number is too large."));
    }
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let recording =
        NewRecording { manifest: envelope.clone(), key_length: length(&key), statements: named.new };
    let statements: Vec<(Digest, &[u8])> =
        recording.statements.iter().map(|(digest, envelope)| (*digest, envelope.as_slice())).collect();
    vault.recording_locks.exclusive(manifest.recording, || {
        if vault.store.would_create(&permit, &recording)? == Stored::Same {
            return Ok(Stored::Same);
        }
        let age = caller.at.unix_seconds() - manifest.created.unix_seconds();
        if age > MAX_AGE_SECONDS {
            let detail = format!("It was created more than 30 days before the server's time, {}.", caller.at);
            return Err(Problem::with_detail(ProblemCode::StatementRefused, detail));
        }
        if age < -MAX_AHEAD_SECONDS {
            let detail = format!("It was created later than the server's time, {}.", caller.at);
            return Err(Problem::with_detail(ProblemCode::StatementRefused, detail));
        }
        let length =
            statements.iter().fold(text.manifest.len().saturating_add(key.len()), |sum, (_, envelope)| {
                sum.saturating_add(envelope.len())
            });
        let room = vault.room.for_new(&*vault.blobs, u64::try_from(length).unwrap_or(u64::MAX))?;
        check_objects_without_row(vault, &permit, text.manifest.as_bytes())?;
        vault.put_unnamed(&BlobKey::new(&permit, Object::Key { generation: 0 })?, &key)?;
        vault.put_unnamed(&BlobKey::new(&permit, Object::Manifest)?, text.manifest.as_bytes())?;
        let event = Event::permitted(&permit, caller);
        let change = vault.with_statements(&statements, || {
            Ok(vault.store.create_recording(&permit, &event, &recording)?)
        })?;
        room.settle(change.bytes);
        Ok(change.stored)
    })
}

/// Refuses to begin a recording over objects that the index does not know: it may be the older one.
fn check_objects_without_row(vault: &Vault, permit: &Permit, manifest: &[u8]) -> Result<(), Problem> {
    let recording = permit.recording().ok_or(Problem::not_found())?;
    for file in vault.blobs.files(recording)? {
        match (file.segment, file.object) {
            (Some(_), _)
            | (None, Some(Object::Details | Object::Final | Object::Key { generation: 1.. })) => {
                return Err(Problem::internal(&format_args!("the index does not know {}", file.name)));
            }
            (None, Some(Object::Manifest)) => {
                if vault.blobs.get(&BlobKey::new(permit, Object::Manifest)?)? != manifest {
                    return Err(ProblemCode::Conflict.into());
                }
            }
            (None, _) => {}
        }
    }
    Ok(())
}

/// A page of the caller's recordings.
///
/// # Errors
/// [`ProblemCode::BadRequest`].
pub fn list(vault: &Vault, caller: &Caller, request: &ListRequest) -> Result<RecordingPage, Problem> {
    let permit = authorize(&caller.actor, Action::ListRecordings, None)?;
    let limit = request.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request("The limit must be 1 to 500."));
    }
    let prefix = request
        .prefix
        .as_deref()
        .map(|prefix| {
            HexPrefix::parse(prefix, RecordingId::BYTES).ok_or_else(|| {
                Problem::bad_request("The prefix must be 8 to 32 lowercase hexadecimal digits.")
            })
        })
        .transpose()?;
    let bad_cursor = || Problem::bad_request("The cursor is not one of this list.");
    let after =
        request.after.as_deref().map(|cursor| cursor.parse().map_err(|_| bad_cursor())).transpose()?;
    let query = ListQuery {
        after,
        // One more tells whether there is another page.
        limit: limit + 1,
        prefix,
    };
    let mut listed = vault.store.list(&permit, &query).map_err(|error| match error {
        StoreError::NotFound => bad_cursor(),
        other => other.into(),
    })?;
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = listed.len() > page;
    listed.truncate(page);
    let last = listed.last().map(|entry| entry.recording.to_string());
    let recordings = listed
        .into_iter()
        .map(|entry| RecordingEntry {
            recording: entry.recording,
            finished: entry.finished,
            bytes: entry.bytes,
        })
        .collect();
    Ok(RecordingPage { recordings, next: last.filter(|_| more) })
}

fn text(bytes: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|_| Problem::internal(&"a stored statement is no text"))
}

fn segment_record(row: SegmentRow) -> Result<SegmentRecord, Problem> {
    Ok(SegmentRecord {
        track: row.track,
        parts: row.parts,
        bytes: row.bytes,
        seal: row.seal.map(text).transpose()?,
        progress: row.progress.map(text).transpose()?,
    })
}

/// All statements of a recording.
///
/// # Errors
/// [`ProblemCode::NotFound`].
pub fn record(vault: &Vault, caller: &Caller, recording: RecordingId) -> Result<RecordingRecord, Problem> {
    let permit = vault.permit(caller, Action::FetchStatements, recording)?;
    let row = vault.store.recording(&permit)?;
    let segments = vault.store.segments(&permit)?;
    stored_manifest(&row)?;
    Ok(RecordingRecord {
        manifest: text(row.manifest)?,
        segments: segments.into_iter().map(segment_record).collect::<Result<_, _>>()?,
        final_seal: row.final_seal.map(text).transpose()?,
        details_bytes: row.details.map(|details| details.length),
        last_stored: row.last_stored,
    })
}

/// The key object of a generation.
///
/// # Errors
/// [`ProblemCode::NotFound`], also if there is no such generation.
pub fn key(
    vault: &Vault,
    caller: &Caller,
    recording: RecordingId,
    generation: u32,
) -> Result<Vec<u8>, Problem> {
    let permit = vault.permit(caller, Action::FetchKey, recording)?;
    if generation != 0 {
        return Err(Problem::not_found());
    }
    let manifest = stored_manifest(&vault.store.recording(&permit)?)?;
    let key = vault.blobs.get(&BlobKey::new(&permit, Object::Key { generation })?)?;
    if Digest::of(&key) != manifest.unverified().key_object {
        return Err(Problem::internal(&"a stored key is not the one that its manifest names"));
    }
    Ok(key)
}

/// Most bytes of memory that [`record`] takes until its answer is encoded.
///
/// # Errors
/// [`ProblemCode::NotFound`].
pub fn record_size(vault: &Vault, caller: &Caller, recording: RecordingId) -> Result<usize, Problem> {
    let permit = vault.permit(caller, Action::FetchStatements, recording)?;
    Ok(super::size_while_encoded(vault.store.statements_size(&permit)?))
}

/// The newest manifest that the calling device has signed for `account`.
///
/// # Errors
/// [`ProblemCode::NotFound`] unless `account` is the caller's own; [`ProblemCode::CertificateExpired`].
pub fn last(vault: &Vault, caller: &Caller, account: AccountId) -> Result<Last, Problem> {
    let permit = authorize_newest_manifest(&caller.actor, account)?;
    let manifest = vault.store.newest_manifest(&permit)?;
    if let Some(manifest) = &manifest {
        parse_statement::<Manifest>(manifest)
            .map_err(|_| Problem::internal(&"a stored manifest is damaged"))?;
    }
    Ok(Last { manifest: manifest.map(text).transpose()? })
}

/// Most bytes of memory that [`last`] takes until its answer is encoded.
pub fn last_size() -> usize {
    super::size_while_encoded(u64::try_from(MAX_ENVELOPE).unwrap_or(u64::MAX))
}

/// SHA-256 of stored bytes and their length, as the metadata keeps them.
pub(super) fn measured(bytes: &[u8]) -> (Digest, u64) {
    (Digest::of(bytes), u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}
