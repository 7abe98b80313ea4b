//! Room: what may be stored at most, and what the disk keeps free.
//!
//! Everything that an account can have stored asks for room before it is written, in three kinds. What is *new* leaves
//! [`Limits::min_free`] free, and is counted. What *passes* (comparisons) leaves as much free and is not counted: it
//! is gone in minutes. What *ends* something that is stored already (seals) may use half of what is kept free, so that
//! what is under way when the disk fills can be sealed. The other half is for the nonces of reads, which ask for none.

use std::sync::{Mutex, MutexGuard, PoisonError};

use vault_proto::problem::ProblemCode;

use crate::blob::BlobStore;
use crate::limits::Limits;
use crate::problem::Problem;

/// Bytes that are stored or about to be.
#[derive(Debug, Default)]
struct Taken {
    /// Of what is stored for good, and of what is being written to be.
    counted: u64,
    /// Of what is being written right now.
    in_progress: u64,
}

/// How much more may be stored.
#[derive(Debug, Default)]
pub(super) struct Room {
    max_bytes: Option<u64>,
    min_free: u64,
    taken: Mutex<Taken>,
}

/// Room for one write. Dropped without [`settle`](Self::settle), it is free again.
#[derive(Debug)]
#[must_use]
pub(super) struct Reservation<'a> {
    room: &'a Room,
    counted: u64,
    in_progress: u64,
}

impl Room {
    /// Room under these limits, of which `stored` bytes are taken.
    pub(super) fn new(limits: &Limits, stored: u64) -> Self {
        let taken = Mutex::new(Taken { counted: stored, in_progress: 0 });
        Self { max_bytes: limits.max_bytes, min_free: limits.min_free, taken }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for `bytes` bytes of objects or statements that are stored for good.
    ///
    /// # Errors
    /// [`ProblemCode::StorageFull`].
    pub(super) fn for_new(&self, blobs: &dyn BlobStore, bytes: u64) -> Result<Reservation<'_>, Problem> {
        self.reserve(blobs, bytes, bytes, self.max_bytes, self.min_free)
    }

    /// Room for `bytes` bytes that are gone in minutes.
    ///
    /// # Errors
    /// [`ProblemCode::StorageFull`].
    pub(super) fn for_passing(&self, blobs: &dyn BlobStore, bytes: u64) -> Result<Reservation<'_>, Problem> {
        self.reserve(blobs, bytes, 0, None, self.min_free)
    }

    /// Room for `bytes` bytes that end what is stored already.
    ///
    /// # Errors
    /// [`ProblemCode::StorageFull`].
    pub(super) fn for_ending(&self, blobs: &dyn BlobStore, bytes: u64) -> Result<Reservation<'_>, Problem> {
        self.reserve(blobs, bytes, bytes, None, self.min_free / 2)
    }

    fn reserve(
        &self,
        blobs: &dyn BlobStore,
        bytes: u64,
        counted: u64,
        most: Option<u64>,
        leave: u64,
    ) -> Result<Reservation<'_>, Problem> {
        let free = blobs.free_bytes()?;
        let mut taken = self.taken();
        let counted_then = taken.counted.saturating_add(counted);
        let in_progress = taken.in_progress.saturating_add(bytes);
        if most.is_some_and(|most| counted_then > most) || free < leave.saturating_add(in_progress) {
            return Err(ProblemCode::StorageFull.into());
        }
        *taken = Taken { counted: counted_then, in_progress };
        Ok(Reservation { room: self, counted, in_progress: bytes })
    }

    /// Counts bytes that are stored without having asked for room, or, if `bytes` is negative, those that are stored
    /// no longer.
    pub(super) fn count(&self, bytes: i64) {
        let mut taken = self.taken();
        taken.counted = taken.counted.saturating_add_signed(bytes);
    }
}

impl Reservation<'_> {
    /// Counts what became of it: so many bytes more are stored for good than before, or fewer.
    pub(super) fn settle(mut self, bytes: i64) {
        let mut taken = self.room.taken();
        taken.counted = taken.counted.saturating_sub(self.counted).saturating_add_signed(bytes);
        drop(taken);
        self.counted = 0;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        taken.counted = taken.counted.saturating_sub(self.counted);
        taken.in_progress = taken.in_progress.saturating_sub(self.in_progress);
    }
}
