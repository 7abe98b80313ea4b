//! Room for ciphertext: what may be stored at most, and what the disk keeps free.

use std::sync::{Mutex, MutexGuard, PoisonError};

use vault_proto::problem::ProblemCode;

use crate::blob::BlobStore;
use crate::limits::Limits;
use crate::problem::Problem;

/// Bytes that are stored or about to be.
#[derive(Debug, Default)]
struct Taken {
    /// Of parts and details that rows name, and of those that are being written.
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

/// Room for one write. Dropped without [`keep`](Self::keep), it is free again.
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

    /// Room for `bytes` bytes of parts or details, before they are written.
    ///
    /// # Errors
    /// [`ProblemCode::StorageFull`].
    pub(super) fn for_ciphertext(
        &self,
        blobs: &dyn BlobStore,
        bytes: u64,
    ) -> Result<Reservation<'_>, Problem> {
        self.reserve(blobs, bytes, bytes)
    }

    /// Room on the disk for `bytes` bytes that do not count as stored ciphertext.
    ///
    /// # Errors
    /// [`ProblemCode::StorageFull`].
    pub(super) fn for_others(&self, blobs: &dyn BlobStore, bytes: u64) -> Result<Reservation<'_>, Problem> {
        self.reserve(blobs, bytes, 0)
    }

    fn reserve(&self, blobs: &dyn BlobStore, bytes: u64, counted: u64) -> Result<Reservation<'_>, Problem> {
        let free = blobs.free_bytes()?;
        let mut taken = self.taken();
        let counted_then = taken.counted.saturating_add(counted);
        let in_progress = taken.in_progress.saturating_add(bytes);
        if self.max_bytes.is_some_and(|most| counted > 0 && counted_then > most)
            || free < self.min_free.saturating_add(in_progress)
        {
            return Err(ProblemCode::StorageFull.into());
        }
        *taken = Taken { counted: counted_then, in_progress };
        Ok(Reservation { room: self, counted, in_progress: bytes })
    }

    /// Counts bytes no longer that no row names any more.
    pub(super) fn give_back(&self, bytes: u64) {
        let mut taken = self.taken();
        taken.counted = taken.counted.saturating_sub(bytes);
    }
}

impl Reservation<'_> {
    /// Counts the bytes for good: a row names them now.
    pub(super) fn keep(mut self) {
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
