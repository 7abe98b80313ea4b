//! Recordings as a whole: manifest, list, details, final seal.

use rusqlite::Connection;
use vault_proto::ids::{AccountId, Digest, KeyId, RecordingId};
use vault_proto::statements::Participants;
use vault_proto::timestamp::Timestamp;
use vault_proto::wire::MAX_EMPTY_RECORDINGS;

use super::rows::{all, damaged, first, time, write};
use super::{
    DetailsRow, FinalRow, ListQuery, ListedRecording, NewRecording, RecordingRow, StoreError, Stored,
};
use crate::authorize::{Actor, Parties, Standing};

pub(super) fn parties(db: &Connection, recording: RecordingId) -> Result<Option<Parties>, StoreError> {
    first(
        db,
        "SELECT patient, clinician, sealer, sealer_key FROM recordings WHERE recording = ?1",
        [recording.as_bytes()],
        |row| {
            Ok(Parties {
                recording,
                people: Participants {
                    patient: AccountId::from_bytes(row.get(0)?),
                    clinician: AccountId::from_bytes(row.get(1)?),
                    sealer: AccountId::from_bytes(row.get(2)?),
                },
                sealer_key: KeyId::from_bytes(row.get(3)?),
            })
        },
    )
}

/// The number by which rows name a recording.
pub(super) fn number(db: &Connection, recording: RecordingId) -> Result<i64, StoreError> {
    first(db, "SELECT number FROM recordings WHERE recording = ?1", [recording.as_bytes()], |row| row.get(0))?
        .ok_or(StoreError::NotFound)
}

fn sequence(recording: &NewRecording) -> Result<i64, StoreError> {
    i64::try_from(recording.manifest.unverified().sequence).map_err(|_| StoreError::Conflict)
}

pub(super) fn would_create(db: &Connection, recording: &NewRecording) -> Result<Stored, StoreError> {
    let manifest = recording.manifest.unverified();
    let stored: Vec<Vec<u8>> = all(
        db,
        "SELECT manifest FROM recordings WHERE recording = ?1 OR (sealer_key = ?2 AND sequence = ?3)",
        (manifest.recording.as_bytes(), manifest.sealer_key.as_bytes(), sequence(recording)?),
        |row| row.get(0),
    )?;
    if stored.iter().any(|stored| stored != recording.manifest.bytes()) {
        return Err(StoreError::Conflict);
    }
    if !stored.is_empty() {
        return Ok(Stored::Same);
    }
    let empty: u32 = first(
        db,
        "SELECT count(*) FROM recordings WHERE sealer = ?1 AND bytes = 0",
        [manifest.sealer.as_bytes()],
        |row| row.get(0),
    )?
    .unwrap_or(0);
    if empty < MAX_EMPTY_RECORDINGS { Ok(Stored::New) } else { Err(StoreError::AccountFull) }
}

/// A key that another account listed before is that account's sealer in what it signed then, and this one's business no
/// more than any recording of others.
pub(super) fn newest_manifest(db: &Connection, actor: &Actor) -> Result<Option<Vec<u8>>, StoreError> {
    first(
        db,
        "SELECT manifest FROM recordings WHERE sealer_key = ?1 AND sealer = ?2 ORDER BY sequence DESC LIMIT 1",
        (actor.key_id.as_bytes(), actor.account.as_bytes()),
        |row| row.get(0),
    )
}

/// Bytes that are stored of a recording; 0 if there is none.
pub(super) fn stored(db: &Connection, recording: RecordingId) -> Result<i64, StoreError> {
    let stored =
        first(db, "SELECT stored FROM recordings WHERE recording = ?1", [recording.as_bytes()], |row| {
            row.get(0)
        })?;
    Ok(stored.unwrap_or(0))
}

/// Counts bytes that are stored of a recording now, or fewer if `bytes` is negative. Those of parts are counted apart.
pub(super) fn count(db: &Connection, number: i64, bytes: i64) -> Result<(), StoreError> {
    write(db, "UPDATE recordings SET stored = stored + ?2 WHERE number = ?1", (number, bytes)).map(drop)
}

/// The length of a value as it is counted.
pub(super) fn length(bytes: &[u8]) -> Result<i64, StoreError> {
    i64::try_from(bytes.len()).map_err(|error| StoreError::Failed(error.to_string()))
}

pub(super) fn create(db: &Connection, recording: &NewRecording, at: Timestamp) -> Result<Stored, StoreError> {
    if would_create(db, recording)? == Stored::Same {
        return Ok(Stored::Same);
    }
    let manifest = recording.manifest.unverified();
    write(
        db,
        "INSERT INTO recordings
             (recording, patient, clinician, sealer, sealer_key, sequence, manifest, key_length, stored, last_stored)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        (
            manifest.recording.as_bytes(),
            manifest.patient.as_bytes(),
            manifest.clinician.as_bytes(),
            manifest.sealer.as_bytes(),
            manifest.sealer_key.as_bytes(),
            sequence(recording)?,
            recording.manifest.bytes(),
            recording.key_length,
            length(recording.manifest.bytes())?.saturating_add(i64::from(recording.key_length)),
            at.unix_seconds(),
        ),
    )?;
    let number = number(db, manifest.recording)?;
    for account in manifest.participants().all() {
        write(
            db,
            "INSERT INTO participants (account, number) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            (account.as_bytes(), number),
        )?;
    }
    Ok(Stored::New)
}

pub(super) fn recording(db: &Connection, recording: RecordingId) -> Result<RecordingRow, StoreError> {
    type Columns = (Vec<u8>, Option<[u8; 32]>, Option<i64>, Option<Vec<u8>>, i64);
    let parties = parties(db, recording)?.ok_or(StoreError::NotFound)?;
    let (manifest, digest, length, final_seal, last_stored): Columns = first(
        db,
        "SELECT manifest, details_digest, details_length, final_seal, last_stored
         FROM recordings WHERE recording = ?1",
        [recording.as_bytes()],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
    )?
    .ok_or(StoreError::NotFound)?;
    let details = match (digest, length) {
        (Some(digest), Some(length)) => Some(DetailsRow {
            digest: Digest::from_bytes(digest),
            length: u64::try_from(length).map_err(|error| damaged(&error))?,
        }),
        _ => None,
    };
    Ok(RecordingRow { parties, manifest, details, final_seal, last_stored: time(last_stored)? })
}

pub(super) fn list(
    db: &Connection,
    actor: &Actor,
    query: &ListQuery,
) -> Result<Vec<ListedRecording>, StoreError> {
    let Actor { account, standing, .. } = actor;
    let all_roles = *standing == Standing::InForce;
    let before = match query.after {
        None => i64::MAX,
        Some(after) => first(
            db,
            "SELECT number FROM recordings JOIN participants USING (number)
             WHERE recording = ?1 AND account = ?2",
            (after.as_bytes(), account.as_bytes()),
            |row| row.get(0),
        )?
        .ok_or(StoreError::NotFound)?,
    };
    let (low, high) = query
        .prefix
        .as_ref()
        .map_or((&[][..], &[0xff; RecordingId::BYTES][..]), |prefix| (prefix.low(), prefix.high()));
    let rows: Vec<([u8; 16], bool, i64)> = all(
        db,
        "SELECT recording, final_seal IS NOT NULL, bytes
         FROM participants JOIN recordings USING (number)
         WHERE account = ?1 AND number < ?2 AND recording BETWEEN ?3 AND ?4 AND (?6 OR patient = ?1)
         ORDER BY number DESC LIMIT ?5",
        (account.as_bytes(), before, low, high, query.limit, all_roles),
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    rows.into_iter()
        .map(|(recording, finished, bytes)| {
            Ok(ListedRecording {
                recording: RecordingId::from_bytes(recording),
                finished,
                bytes: u64::try_from(bytes).map_err(|error| damaged(&error))?,
            })
        })
        .collect()
}

/// Notes when something of a recording was last stored.
pub(super) fn touch(db: &Connection, number: i64, at: Timestamp) -> Result<(), StoreError> {
    write(
        db,
        "UPDATE recordings SET last_stored = max(last_stored, ?2) WHERE number = ?1",
        (number, at.unix_seconds()),
    )
    .map(drop)
}

pub(super) fn set_details(
    db: &Connection,
    recording: RecordingId,
    details: &DetailsRow,
    at: Timestamp,
) -> Result<Stored, StoreError> {
    let row = self::recording(db, recording)?;
    if row.details.as_ref() == Some(details) {
        return Ok(Stored::Same);
    }
    if row.final_seal.is_some() {
        return Err(StoreError::Conflict);
    }
    let number = number(db, recording)?;
    check_all_sealed(db, number)?;
    let length = i64::try_from(details.length).map_err(|_| StoreError::OutOfOrder)?;
    write(
        db,
        "UPDATE recordings SET stored = stored + ?3 - coalesce(details_length, 0),
                details_digest = ?2, details_length = ?3 WHERE number = ?1",
        (number, details.digest.as_bytes(), length),
    )?;
    touch(db, number, at)?;
    Ok(Stored::New)
}

/// Whether there are segments and all of them are sealed.
fn check_all_sealed(db: &Connection, number: i64) -> Result<(), StoreError> {
    let (segments, open): (i64, i64) = first(
        db,
        "SELECT count(*), count(*) - count(seal) FROM segments WHERE number = ?1",
        [number],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?
    .ok_or(StoreError::NotFound)?;
    if segments == 0 || open > 0 { Err(StoreError::OutOfOrder) } else { Ok(()) }
}

pub(super) fn set_final_seal(
    db: &Connection,
    recording: RecordingId,
    final_seal: &FinalRow,
    at: Timestamp,
) -> Result<Stored, StoreError> {
    let row = self::recording(db, recording)?;
    match row.final_seal {
        Some(stored) if stored == final_seal.envelope => return Ok(Stored::Same),
        Some(_) => return Err(StoreError::Conflict),
        None => {}
    }
    if row.details.map(|details| details.digest) != Some(final_seal.details) {
        return Err(StoreError::OutOfOrder);
    }
    let number = number(db, recording)?;
    check_all_sealed(db, number)?;
    let last: Option<(u32, Vec<u8>)> = first(
        db,
        "SELECT segment, seal FROM segments WHERE number = ?1 ORDER BY segment DESC LIMIT 1",
        [number],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let checked = last.is_some_and(|(segment, seal)| {
        segment.checked_add(1) == Some(final_seal.segments) && Digest::of(&seal) == final_seal.last_seal
    });
    if !checked {
        return Err(StoreError::OutOfOrder);
    }
    write(db, "UPDATE recordings SET final_seal = ?2 WHERE number = ?1", (number, &final_seal.envelope))?;
    let progress: Vec<i64> =
        all(db, "DELETE FROM progress WHERE number = ?1 RETURNING length(envelope)", [number], |row| {
            row.get(0)
        })?;
    count(db, number, length(&final_seal.envelope)?.saturating_sub(progress.iter().sum()))?;
    touch(db, number, at)?;
    Ok(Stored::New)
}
