//! Which requests were made before.
//!
//! Every request that was ever used is either in the table, or not younger than the youngest request that was deleted
//! from it: the floor. So no clock, however it jumps, makes a request count twice. The floor rises only to times of
//! requests that were used, and only as far as deleting has got, which moves with the time that really passes: a clock
//! that runs ahead for a while leaves requests of the future in the table, and no floor that would refuse those of the
//! present afterwards.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rusqlite::Connection;
use vault_proto::http_signature::MAX_SKEW_SECONDS;
use vault_proto::ids::{AccountId, Digest};

use super::nonce_reserve::NonceReserve;
use super::rows::{damaged, first, write};
use super::{NewNonce, NonceUse, StoreError};
use crate::store::{MAX_NONCES, NONCE_RETENTION_SECONDS};

/// Time between two deletions, so that not every request deletes.
pub(super) const PRUNE_EVERY_SECONDS: i64 = 60;
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
    /// Requests of each account since the store was opened, by the minute of their time. An account cannot restart a
    /// server, so those of before need no counting.
    used: HashMap<AccountId, BTreeMap<i64, u32>>,
    /// Most of one account.
    most: u32,
    /// Room for those of reads on a full disk; `None` if it could not be had.
    reserve: Option<NonceReserve>,
}

/// A request in few bytes: 128 bits of SHA-256 over key and nonce.
pub(super) type NonceId = [u8; 16];

fn id(nonce: &NewNonce) -> Result<NonceId, StoreError> {
    let mut bytes = nonce.key.as_bytes().to_vec();
    bytes.extend(nonce.nonce.as_bytes());
    let digest = Digest::of(&bytes);
    digest.as_bytes().first_chunk().copied().ok_or_else(|| damaged(&"a digest that is too short"))
}

impl Progress {
    /// Whether an account has used as many as are kept of it. Those of the future, which a clock that was ahead has
    /// left, do not count: it could not do without them.
    fn is_over(&self, nonce: &NewNonce) -> bool {
        let last = nonce.now.saturating_add(MAX_SKEW_SECONDS).div_euclid(60);
        let minutes = self.used.get(&nonce.account).into_iter().flat_map(|minutes| minutes.range(..=last));
        minutes.fold(0_u32, |sum, (_, used)| sum.saturating_add(*used)) >= self.most
    }

    /// What the reserve says of a request: used, too old, or nothing.
    fn in_reserve(&self, id: &NonceId, created: i64) -> Option<NonceUse> {
        self.reserve.as_ref().and_then(|reserve| reserve.knows(id, created))
    }
}

fn floor(db: &Connection) -> Result<i64, StoreError> {
    first(db, "SELECT created FROM nonce_floor", (), |row| row.get(0))?
        .ok_or_else(|| damaged(&"no nonce floor"))
}

impl NonceMemory {
    pub(super) fn open(db: &Connection, reserve: Option<NonceReserve>) -> Result<Self, StoreError> {
        let floor = floor(db)?;
        let oldest: Option<i64> =
            first(db, "SELECT min(created) FROM nonces", (), |row| row.get(0))?.flatten();
        let start = if floor > 0 { Some(floor) } else { oldest };
        let progress = Progress { start, deleted: floor, used: HashMap::new(), most: MAX_NONCES, reserve };
        Ok(Self { opened: Instant::now(), progress: Mutex::new(progress) })
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // A panic in between leaves what the table and the reserve say true.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps so many of one account.
    pub(super) fn limit(&self, most: u32) {
        self.progress().most = most;
    }

    /// Whether there is room for nonces of reads on a full disk.
    pub(super) fn has_reserve(&self) -> bool {
        self.progress().reserve.is_some()
    }

    /// Counts a request that was used.
    pub(super) fn count(&self, nonce: &NewNonce) {
        let mut progress = self.progress();
        let minutes = progress.used.entry(nonce.account).or_default();
        let used = minutes.entry(nonce.created.div_euclid(60)).or_default();
        *used = used.saturating_add(1);
    }

    /// Requests created before it may be deleted now.
    fn deletable(&self, start: i64, now: i64) -> i64 {
        let open = i64::try_from(self.opened.elapsed().as_secs()).unwrap_or(i64::MAX);
        let reached = start.saturating_add(HEAD_START_SECONDS).saturating_add(open.saturating_mul(CATCH_UP));
        reached.min(now.saturating_sub(NONCE_RETENTION_SECONDS))
    }

    /// Marks a request as used, in the writer's transaction.
    pub(super) fn use_nonce(&self, db: &Connection, nonce: &NewNonce) -> Result<NonceUse, StoreError> {
        let (id, mut progress) = (id(nonce)?, self.progress());
        let start = *progress.start.get_or_insert(nonce.now);
        let before = self.deletable(start, nonce.now);
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
            progress.used.retain(|_, minutes| {
                *minutes = minutes.split_off(&before.div_euclid(60));
                !minutes.is_empty()
            });
        }
        if nonce.created < floor(db)? {
            return Ok(NonceUse::Forgotten);
        }
        if let Some(known) = progress.in_reserve(&id, nonce.created) {
            return Ok(known);
        }
        if progress.is_over(nonce) {
            return Ok(NonceUse::TooMany);
        }
        let added = write(
            db,
            "INSERT INTO nonces (id, created) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            (id, nonce.created),
        )?;
        Ok(if added == 1 { NonceUse::Fresh } else { NonceUse::Repeated })
    }

    /// Marks a request that only reads as used, for which there is no room in the table. On the writing thread and
    /// outside of a transaction: nobody adds a row meanwhile.
    pub(super) fn use_reserve(&self, db: &Connection, nonce: &NewNonce) -> Result<NonceUse, StoreError> {
        let (id, mut progress) = (id(nonce)?, self.progress());
        let start = *progress.start.get_or_insert(nonce.now);
        let before = self.deletable(start, nonce.now);
        if nonce.created < floor(db)? {
            return Ok(NonceUse::Forgotten);
        }
        let row: Option<bool> = first(db, "SELECT 1 FROM nonces WHERE id = ?1", [id], |row| row.get(0))?;
        if row.is_some() {
            return Ok(NonceUse::Repeated);
        }
        if let Some(known) = progress.in_reserve(&id, nonce.created) {
            return Ok(known);
        }
        if progress.is_over(nonce) {
            return Ok(NonceUse::TooMany);
        }
        let reserve = progress.reserve.as_mut().ok_or(StoreError::Full)?;
        reserve.add(id, nonce, before)
    }
}
