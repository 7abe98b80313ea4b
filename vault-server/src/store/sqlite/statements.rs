//! Statements by their digests.

use rusqlite::Connection;
use vault_proto::envelope::{Envelope, Statement};
use vault_proto::ids::Digest;

use super::StoreError;
use super::recordings::length;
use super::rows::{all, damaged, first, write};

/// Statements of one page.
const PAGE: u32 = 1000;

/// The envelope with this digest.
pub(super) fn envelope(db: &Connection, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
    first(db, "SELECT envelope FROM statements WHERE digest = ?1", [digest.as_bytes()], |row| row.get(0))
}

/// Bytes of the envelope with this digest.
pub(super) fn size(db: &Connection, digest: &Digest) -> Result<Option<u64>, StoreError> {
    let length: Option<i64> =
        first(db, "SELECT length(envelope) FROM statements WHERE digest = ?1", [digest.as_bytes()], |row| {
            row.get(0)
        })?;
    length.map(|length| u64::try_from(length).map_err(|error| damaged(&error))).transpose()
}

/// The statements above `after`, ascending, each with its bytes.
pub(super) fn page(db: &Connection, after: Option<&Digest>) -> Result<Vec<(Digest, u64)>, StoreError> {
    let after: &[u8] = after.map_or(&[], |digest| digest.as_bytes());
    let page: Vec<([u8; 32], i64)> = all(
        db,
        "SELECT digest, length(envelope) FROM statements WHERE digest > ?1 ORDER BY digest LIMIT ?2",
        (after, PAGE),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    page.into_iter()
        .map(|(digest, length)| {
            Ok((Digest::from_bytes(digest), u64::try_from(length).map_err(|error| damaged(&error))?))
        })
        .collect()
}

/// Adds a statement, unless it is there. Gives how many bytes more are stored than before.
pub(super) fn add(db: &Connection, digest: &Digest, envelope: &[u8]) -> Result<i64, StoreError> {
    let added = write(
        db,
        "INSERT INTO statements (digest, envelope) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING",
        (digest.as_bytes(), envelope),
    )?;
    if added == 0 { Ok(0) } else { length(envelope) }
}

/// As [`add`], and gives its digest, too.
pub(super) fn add_statement<T: Statement>(
    db: &Connection,
    statement: &Envelope<T>,
) -> Result<(Digest, i64), StoreError> {
    let digest = statement.digest();
    Ok((digest, add(db, &digest, statement.bytes())?))
}
