//! Which requests were made before.
//!
//! Every request that was ever used is either in the table, or not younger than the youngest request that was deleted
//! from it: the floor. So no clock, however it jumps, makes a request count twice. The floor rises only to times of
//! requests that were used, and only as far as deleting has got, which moves with the time that really passes: a clock
//! that runs ahead for a while leaves requests of the future in the table, and no floor that would refuse those of the
//! present afterwards.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rusqlite::Connection;
use vault_proto::http_signature::Nonce;
use vault_proto::ids::KeyId;

use super::rows::{damaged, first, write};
use super::{NonceUse, StoreError};
use crate::store::NONCE_RETENTION_SECONDS;

/// Time between two deletions, so that not every request deletes.
const PRUNE_EVERY_SECONDS: i64 = 60;
/// How far deleting may get at once after a start.
const HEAD_START_SECONDS: i64 = 60 * 60;
/// How many times faster than real time deleting may get on, to catch up after a rest.
const CATCH_UP: i64 = 10;

/// What is known of the requests made before.
pub(super) struct NonceMemory {
    opened: Instant,
    progress: Mutex<Progress>,
}

struct Progress {
    /// Where deleting stood when the store was opened; `None` while nothing was ever used.
    start: Option<i64>,
    /// Requests created before it have been deleted.
    deleted: i64,
}

fn floor(db: &Connection) -> Result<i64, StoreError> {
    first(db, "SELECT created FROM nonce_floor", (), |row| row.get(0))?
        .ok_or_else(|| damaged(&"no nonce floor"))
}

impl NonceMemory {
    pub(super) fn open(db: &Connection) -> Result<Self, StoreError> {
        let floor = floor(db)?;
        let oldest: Option<i64> =
            first(db, "SELECT min(created) FROM nonces", (), |row| row.get(0))?.flatten();
        let start = if floor > 0 { Some(floor) } else { oldest };
        let progress = Mutex::new(Progress { start, deleted: floor });
        Ok(Self { opened: Instant::now(), progress })
    }

    /// Requests created before it may be deleted now.
    fn deletable(&self, start: i64, now: i64) -> i64 {
        let open = i64::try_from(self.opened.elapsed().as_secs()).unwrap_or(i64::MAX);
        let reached = start.saturating_add(HEAD_START_SECONDS).saturating_add(open.saturating_mul(CATCH_UP));
        reached.min(now.saturating_sub(NONCE_RETENTION_SECONDS))
    }

    pub(super) fn use_nonce(
        &self,
        db: &Connection,
        key: KeyId,
        nonce: Nonce,
        created: i64,
        now: i64,
    ) -> Result<NonceUse, StoreError> {
        // Only the writing thread comes here; a panic in between leaves what the table says true.
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *progress.start.get_or_insert(now);
        let before = self.deletable(start, now);
        if before >= progress.deleted.saturating_add(PRUNE_EVERY_SECONDS) {
            // The floor never sinks, so a clock that is set back cannot make a forgotten request fresh again.
            write(
                db,
                "UPDATE nonce_floor SET created =
                     max(created, coalesce((SELECT max(created) + 1 FROM nonces WHERE created < ?1), 0))",
                [before],
            )?;
            write(db, "DELETE FROM nonces WHERE created < ?1", [before])?;
            progress.deleted = before;
        }
        if created < floor(db)? {
            return Ok(NonceUse::Forgotten);
        }
        let added = write(
            db,
            "INSERT INTO nonces (key_id, nonce, created) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            (key.as_bytes(), nonce.as_bytes(), created),
        )?;
        Ok(if added == 1 { NonceUse::Fresh } else { NonceUse::Repeated })
    }
}
