//! Sealed parts that are in memory on their way to the server, and nowhere else.
//!
//! A later process can open what it finds only up to the first part that is missing. So the spool never holds a part
//! while one before it is in memory alone: whoever keeps a part keeps those before it first, be they on their way to a
//! server that does not answer and does not refuse either. Where the disk has no room for all, the earlier ones come
//! first.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::settlement::{Place, Settled, Settlement};
use super::spool::Spool;

/// A part in memory.
pub(super) struct HeldPart {
    pub(super) ciphertext: Bytes,
    pub(super) progress: Option<String>,
    /// Its share of the memory, free for another part once this one is kept, has arrived or is lost.
    pub(super) _share: OwnedSemaphorePermit,
}

/// The parts of one recording that are in memory alone.
#[derive(Clone)]
pub(super) struct HeldParts {
    /// Locked while a part is written to the spool or removed from it, so that none is left there after it arrived.
    parts: Arc<Mutex<BTreeMap<Place, HeldPart>>>,
    settlement: Settlement,
}

impl HeldParts {
    pub(super) fn new(settlement: Settlement) -> Self {
        Self { parts: Arc::default(), settlement }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, HeldPart>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a part that is about to be sent.
    pub(super) fn hold(&self, place: Place, part: HeldPart) {
        self.lock().insert(place, part);
    }

    /// Puts every part up to and with `last` that is in memory alone into the spool, in the order of the recording.
    /// Blocks.
    ///
    /// # Errors
    /// [`io::Error`] of the first part that could not be put there; it and what follows stay in memory alone.
    pub(super) fn keep_up_to(&self, last: Place, spool: &Spool) -> io::Result<()> {
        let mut parts = self.lock();
        while let Some(first) = parts.first_entry().filter(|first| *first.key() <= last) {
            let (segment, part) = *first.key();
            let HeldPart { ciphertext, progress, .. } = first.get();
            spool.put(segment, part, progress.as_deref(), ciphertext)?;
            first.remove();
            self.settlement.settle((segment, part), Settled::Spooled);
        }
        Ok(())
    }

    /// The server has a part, which need not be kept any more. Blocks while parts are written.
    pub(super) fn arrived(&self, place: Place, length: usize, spool: Option<&Spool>) {
        let mut parts = self.lock();
        if parts.remove(&place).is_none()
            && let Some(spool) = spool
        {
            spool.remove(place.0, place.1, length);
        }
    }

    /// A part is neither sent nor kept.
    pub(super) fn lose(&self, place: Place) {
        self.lock().remove(&place);
    }
}

#[cfg(test)]
mod tests;
