//! Sealed parts that are in memory on their way to the server, and nowhere else: the home did not take them.
//!
//! A later process can open what it finds only up to the first part that is missing. So the spool never holds a part
//! while one before it is in memory alone: whoever keeps a part keeps those before it first, be they on their way to a
//! server that does not answer and does not refuse either. Where the home has no room for all, the earlier ones come
//! first.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_lock::{Mutex, SemaphoreGuardArc};
use bytes::Bytes;

use super::journal::Journal;
use super::settlement::{Place, Settled, Settlement};
use super::spool::Spool;
use crate::effects::Change;
use crate::error::ClientError;

/// A part in memory.
pub(super) struct HeldPart {
    pub(super) ciphertext: Bytes,
    pub(super) progress: Option<String>,
    /// Its share of the memory, free for another part once this one is kept, has arrived or is lost.
    pub(super) _share: SemaphoreGuardArc,
}

/// The parts of one recording that are in memory alone.
#[derive(Clone)]
pub(super) struct HeldParts {
    /// Locked while parts are written, so that none is left in the spool after it arrived.
    parts: Arc<Mutex<BTreeMap<Place, HeldPart>>>,
    settlement: Settlement,
    journal: Arc<Journal>,
}

impl HeldParts {
    pub(super) fn new(settlement: Settlement, journal: Arc<Journal>) -> Self {
        Self { parts: Arc::default(), settlement, journal }
    }

    /// Takes note of a part that is about to be sent.
    pub(super) async fn hold(&self, place: Place, part: HeldPart) {
        self.parts.lock().await.insert(place, part);
    }

    /// Puts every part up to and with `last` that is in memory alone into the spool, in the order of the recording.
    ///
    /// # Errors
    /// That of the first part that could not be put there; it and what follows stay in memory alone.
    pub(super) async fn keep_up_to(&self, last: Place, spool: &Spool) -> Result<(), ClientError> {
        let mut parts = self.parts.lock().await;
        while let Some(first) = parts.first_entry().filter(|first| *first.key() <= last) {
            let place = *first.key();
            let HeldPart { ciphertext, progress, .. } = first.get();
            let put = spool.put(place, progress.as_deref(), ciphertext);
            self.journal.append(vec![put], &[], Vec::new()).await?;
            spool.is_kept(ciphertext.len());
            first.remove();
            self.settlement.settle(place, Settled::Spooled);
        }
        Ok(())
    }

    /// The server has a part, which need not be kept any more: the change that removes it, if it is kept.
    pub(super) async fn arrived(&self, place: Place, length: usize, spool: &Spool) -> Option<Change> {
        if self.parts.lock().await.remove(&place).is_some() {
            return None;
        }
        spool.is_removed(length);
        Some(spool.remove(place))
    }

    /// A part is neither sent nor kept.
    pub(super) async fn lose(&self, place: Place) {
        self.parts.lock().await.remove(&place);
    }
}

#[cfg(test)]
mod tests;
