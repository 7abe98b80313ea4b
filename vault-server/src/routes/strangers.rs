//! Places for those whom nobody knows before their body is there.
//!
//! Whoever comes has one at once. When all are taken, the one that has been waiting for its network longest gives way,
//! so that sockets that stay silent keep nobody out: who wants to has to be faster than every enrolment, all the time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::problem::Problem;

/// Strangers at the same time.
#[derive(Debug)]
pub(super) struct Strangers {
    places: usize,
    taken: Mutex<Taken>,
    turns: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// In the order in which they came.
    places: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct StrangerPlace {
    strangers: Arc<Strangers>,
    number: u64,
    given_away: oneshot::Receiver<()>,
}

impl Drop for StrangerPlace {
    fn drop(&mut self) {
        self.strangers.taken().places.remove(&self.number);
    }
}

impl StrangerPlace {
    /// Completes when the place was given to another.
    pub(super) async fn given_away(&mut self) {
        // Nobody but a newcomer takes the sender out while the place lives.
        let _ = (&mut self.given_away).await;
    }
}

impl Strangers {
    /// So many places, and so many threads for what strangers have sent.
    pub(super) fn new(places: usize, turns: usize) -> Arc<Self> {
        Arc::new(Self { places, taken: Mutex::default(), turns: Arc::new(Semaphore::new(turns)) })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, if need be that of the stranger who has had one longest.
    pub(super) fn enter(self: &Arc<Self>) -> StrangerPlace {
        let (give_away, given_away) = oneshot::channel();
        let mut taken = self.taken();
        while taken.places.len() >= self.places
            && let Some((_, longest)) = taken.places.pop_first()
        {
            // One who has just left needs no telling.
            let _ = longest.send(());
        }
        let number = taken.next;
        taken.next = taken.next.wrapping_add(1);
        taken.places.insert(number, give_away);
        drop(taken);
        StrangerPlace { strangers: Arc::clone(self), number, given_away }
    }

    /// A thread for what a stranger has sent, in the order of asking.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.turns).acquire_owned().await.map_err(|error| Problem::internal(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_waited_longest_gives_way() {
        let strangers = Strangers::new(2, 1);
        let mut first = strangers.enter();
        let second = strangers.enter();
        let mut third = strangers.enter();
        first.given_away().await;
        drop((first, second));
        let fourth = strangers.enter();
        assert!(futures_util::poll!(std::pin::pin!(third.given_away())).is_pending());
        drop((third, fourth));
        assert!(strangers.taken().places.is_empty());
    }
}
