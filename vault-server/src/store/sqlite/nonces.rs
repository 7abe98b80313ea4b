//! Which requests were made before.

use rusqlite::Connection;
use vault_proto::http_signature::Nonce;
use vault_proto::ids::KeyId;

use super::rows::{damaged, first, write};
use super::{NonceUse, StoreError};
use crate::store::NONCE_RETENTION_SECONDS;

/// How far the floor lags behind before old rows are deleted, so that not every request deletes.
const PRUNE_EVERY_SECONDS: i64 = 60;

pub(super) fn use_nonce(
    db: &Connection,
    key: KeyId,
    nonce: Nonce,
    created: i64,
    now: i64,
) -> Result<NonceUse, StoreError> {
    let mut floor = first(db, "SELECT created FROM nonce_floor", (), |row| row.get::<_, i64>(0))?
        .ok_or_else(|| damaged(&"no nonce floor"))?;
    let keep_from = now.saturating_sub(NONCE_RETENTION_SECONDS);
    if keep_from >= floor.saturating_add(PRUNE_EVERY_SECONDS) {
        write(db, "DELETE FROM nonces WHERE created < ?1", [keep_from])?;
        // The floor never sinks, so a clock that is set back cannot make a forgotten request fresh again.
        write(db, "UPDATE nonce_floor SET created = ?1", [keep_from])?;
        floor = keep_from;
    }
    if created < floor {
        return Ok(NonceUse::Forgotten);
    }
    let added = write(
        db,
        "INSERT INTO nonces (key_id, nonce, created) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        (key.as_bytes(), nonce.as_bytes(), created),
    )?;
    Ok(if added == 1 { NonceUse::Fresh } else { NonceUse::Repeated })
}
