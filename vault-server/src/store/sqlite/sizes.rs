//! How much is stored.

use rusqlite::{Connection, Params};
use vault_proto::ids::{AccountId, RecordingId};

use super::StoreError;
use super::rows::{damaged, first};

fn sum(db: &Connection, sql: &str, params: impl Params) -> Result<u64, StoreError> {
    let sum: i64 = first(db, sql, params, |row| row.get(0))?.unwrap_or(0);
    u64::try_from(sum).map_err(|error| damaged(&error))
}

pub(super) fn is_enrolled(db: &Connection, account: AccountId) -> Result<bool, StoreError> {
    let found: Option<bool> =
        first(db, "SELECT 1 FROM accounts WHERE account = ?1", [account.as_bytes()], |row| row.get(0))?;
    Ok(found.is_some())
}

pub(super) fn directory(db: &Connection, account: AccountId) -> Result<u64, StoreError> {
    sum(
        db,
        "SELECT coalesce(sum(length(envelope)), 0) FROM statements WHERE digest IN (
             SELECT issuer FROM accounts WHERE account = ?1
             UNION SELECT certificate FROM accounts WHERE account = ?1
             UNION SELECT key_list FROM key_lists WHERE account = ?1)",
        [account.as_bytes()],
    )
}

pub(super) fn statements(db: &Connection, recording: RecordingId) -> Result<u64, StoreError> {
    sum(
        db,
        "SELECT length(manifest) + coalesce(length(final_seal), 0)
              + coalesce((SELECT sum(100 + coalesce(length(seal), 0)) FROM segments
                          WHERE segments.number = recordings.number), 0)
         FROM recordings WHERE recording = ?1",
        [recording.as_bytes()],
    )
}

pub(super) fn stored(db: &Connection) -> Result<u64, StoreError> {
    sum(
        db,
        "SELECT (SELECT coalesce(sum(stored), 0) FROM recordings)
              + (SELECT coalesce(sum(length(envelope)), 0) FROM statements)",
        (),
    )
}
