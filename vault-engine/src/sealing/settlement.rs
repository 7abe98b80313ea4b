//! What became of each sealed part: acknowledged by the server, synced on this machine's disk, or neither.
//!
//! Whoever signs a seal or an end asks here first and gets an [`AllSafe`], without which neither can be signed: a seal
//! over a part that nobody has could never be brought to the server. Whoever tells a person what is kept asks here too.

use std::collections::BTreeMap;

use super::progress::Mark;
use crate::error::ClientError;
use crate::watched::Watched;

/// A part's segment and number.
pub(super) type Place = (u32, u32);

/// Where a part came to rest.
#[derive(Debug)]
pub(super) enum Settled {
    /// The server has it, and said so.
    Acknowledged,
    /// It is synced on this machine's disk.
    Spooled,
    /// It is neither, and never will be.
    Lost(ClientError),
}

/// Every part that was sealed so far is acknowledged or synced on this disk.
pub(super) struct AllSafe(());

/// The parts of one recording.
#[derive(Clone)]
pub(super) struct Settlement(Watched<Parts>);

/// Parts that are not acknowledged; there are never more than fit into memory and the spool.
struct Parts {
    open: BTreeMap<Place, Part>,
    /// The end of the last part that was noted.
    end: Mark,
    /// Why the first part was lost, until somebody asks.
    loss: Option<ClientError>,
    /// Whether nothing is sent any more.
    is_closed: bool,
}

struct Part {
    /// What stands before it.
    from: Mark,
    /// Ciphertext bytes.
    length: usize,
    rests: Rests,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rests {
    Nowhere,
    OnDisk,
    Lost,
}

impl Settlement {
    /// Of a recording of which everything up to `before` is on the server.
    pub(super) fn after(before: Mark) -> Self {
        let parts = Parts { open: BTreeMap::new(), end: before, loss: None, is_closed: false };
        Self(Watched::new(parts))
    }

    /// Notes a part that was sealed, in the order of the recording; it ends at `end`.
    pub(super) fn note(&self, place: Place, length: usize, end: Mark) {
        self.0.change(|parts| {
            let rests = if parts.is_closed { Rests::Lost } else { Rests::Nowhere };
            parts.open.insert(place, Part { from: parts.end, length, rests });
            parts.end = end;
        });
    }

    /// Says where a part came to rest.
    pub(super) fn settle(&self, place: Place, settled: Settled) {
        self.0.change(|parts| {
            let (rests, error) = match settled {
                Settled::Acknowledged => {
                    parts.open.remove(&place);
                    return;
                }
                Settled::Spooled => (Rests::OnDisk, None),
                Settled::Lost(error) => (Rests::Lost, Some(error)),
            };
            // What arrived while it was being kept is not waited for any more.
            let Some(part) = parts.open.get_mut(&place) else {
                return;
            };
            part.rests = rests;
            if parts.loss.is_none() {
                parts.loss = error;
            }
        });
    }

    /// Nothing is sent any more: what is still on its way never arrives.
    pub(super) fn close(&self) {
        self.0.change(|parts| {
            parts.is_closed = true;
            for part in parts.open.values_mut().filter(|part| part.rests == Rests::Nowhere) {
                part.rests = Rests::Lost;
            }
        });
    }

    /// Whether nothing is sent any more, so that what is still sealed is sealed for nobody.
    pub(super) fn is_closed(&self) -> bool {
        self.0.with(|parts| parts.is_closed)
    }

    /// Why a part was lost, the first time that somebody asks.
    pub(super) fn take_loss(&self) -> Option<ClientError> {
        self.0.change(|parts| parts.loss.take())
    }

    /// Waits until no part is on its way any more.
    ///
    /// # Errors
    /// Why a part was lost.
    pub(super) async fn all_safe(&self) -> Result<AllSafe, ClientError> {
        let settled = |parts: &mut Parts| {
            let mut rests = parts.open.values().map(|part| part.rests);
            if parts.is_lossy() {
                return Some(Err(parts.loss.take().unwrap_or(ClientError::Interrupted)));
            }
            rests.all(|rests| rests == Rests::OnDisk).then_some(Ok(AllSafe(())))
        };
        self.0.wait_for(settled).await
    }

    /// Whether each part is acknowledged or synced here.
    pub(super) fn is_all_safe(&self) -> bool {
        self.0.with(|parts| parts.open.values().all(|part| part.rests == Rests::OnDisk))
    }

    /// The end of the last part before which, from the beginning on, every part is on the server or lies whole in the
    /// spool, in which each record has so many bytes. What is still on its way counts as neither.
    pub(super) fn safe(&self, spool: &BTreeMap<Place, u64>) -> Mark {
        self.0.with(|parts| {
            let unsafe_part = parts.open.iter().find(|(place, part)| {
                // Beside the ciphertext there is at least the end of the first line.
                let is_whole = spool.get(place).is_some_and(|record| *record > part.length as u64);
                part.rests != Rests::OnDisk || !is_whole
            });
            unsafe_part.map_or(parts.end, |(_, part)| part.from)
        })
    }
}

impl Parts {
    fn is_lossy(&self) -> bool {
        self.open.values().any(|part| part.rests == Rests::Lost)
    }
}

#[cfg(test)]
mod tests;
