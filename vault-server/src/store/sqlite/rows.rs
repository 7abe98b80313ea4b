//! Reading and writing rows. Writes go through [`write`], which steps the statement to its end.

use rusqlite::{Connection, ErrorCode, Params, Row};
use vault_proto::timestamp::Timestamp;

use super::{StoreError, failed};
use crate::event::Event;

/// SQLITE_IOERR_SHMSIZE: no room to grow the shared index of the write-ahead log.
const NO_ROOM_FOR_INDEX: i32 = 4874;
/// SQLITE_IOERR_WRITE: a write failed, and not because the disk is full.
const WRITE_FAILED: i32 = 778;

pub(super) fn classified(error: &rusqlite::Error) -> StoreError {
    match error {
        rusqlite::Error::SqliteFailure(failure, _)
            if failure.code == ErrorCode::DiskFull
                || failure.extended_code == NO_ROOM_FOR_INDEX
                || (failure.extended_code == WRITE_FAILED && file_size_is_limited()) =>
        {
            StoreError::Full
        }
        rusqlite::Error::SqliteFailure(failure, _) if failure.code == ErrorCode::ConstraintViolation => {
            StoreError::Conflict
        }
        // The message of SQLite alone: its parameters never enter it.
        other => StoreError::Failed(other.to_string()),
    }
}

/// Whether this process may not make files as large as the disk has room for (`ulimit -f`): SQLite does not tell a file
/// that may not grow from a broken disk.
fn file_size_is_limited() -> bool {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current.is_some()
}

/// Changes rows; returns how many.
pub(super) fn write(db: &Connection, sql: &str, params: impl Params) -> Result<usize, StoreError> {
    db.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(failed)
}

/// All rows.
pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let collect = || -> rusqlite::Result<Vec<T>> {
        let mut statement = db.prepare_cached(sql)?;
        statement.query_map(params, read)?.collect()
    };
    collect().map_err(failed)
}

/// The first row, if there is one.
pub(super) fn first<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StoreError> {
    let take = || -> rusqlite::Result<Option<T>> {
        let mut statement = db.prepare_cached(sql)?;
        statement.query_map(params, read)?.next().transpose()
    };
    take().map_err(failed)
}

/// A stored time; times are stored as seconds since 1970.
pub(super) fn time(seconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_unix_seconds(seconds).map_err(|error| damaged(&error))
}

/// A number as it is stored.
pub(super) fn number(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number)
        .map_err(|error| StoreError::Failed(format!("a number is too large to be stored: {error}")))
}

/// A row that does not hold what was stored.
pub(super) fn damaged(what: &dyn std::fmt::Display) -> StoreError {
    StoreError::Failed(format!("a stored row is damaged: {what}"))
}

pub(super) fn add_event(db: &Connection, event: &Event) -> Result<(), StoreError> {
    write(
        db,
        "INSERT OR REPLACE INTO events (at, account, key_id, action, recording, segment, part, request_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        (
            event.at.unix_seconds(),
            event.account.as_bytes(),
            event.key_id.as_bytes(),
            event.action,
            event.recording.as_ref().map(|id| id.as_bytes()),
            event.segment,
            event.part,
            &event.request_id,
        ),
    )
    .map(drop)
}
