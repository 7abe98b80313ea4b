//! Turns for what threads do.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::lines::{Lines, Who};
use super::processors;

/// Work for threads that may block.
pub(crate) struct Threads(Mutex<State>);

type Work = Box<dyn FnOnce() + Send>;

struct State {
    free: usize,
    waiting: Lines<Work>,
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

/// A turn, given back when it is dropped: to the next work that waits, on a thread of its own.
struct Turn(Option<Arc<Threads>>);

thread_local! {
    /// The turn in which this thread works.
    static HELD: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// Gives up the turn in which this thread works, if it has one: it is about to wait for a lock or a disk, and others
/// work meanwhile. It does not get it again, so what waits for long comes last in its work.
pub(crate) fn give_up() {
    // Not while it is borrowed: the next work may begin in between.
    let turn = HELD.take();
    drop(turn);
}

impl Threads {
    /// As many turns as there are processors.
    pub(crate) fn new() -> Arc<Self> {
        Self::with(processors())
    }

    fn with(turns: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { free: turns, waiting: Lines::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` on a thread, when it is the turn of `who`. Work that has begun is done whether or not somebody
    /// still waits for it; what nobody waits for is not begun. `None` if it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        who: Who,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, done) = oneshot::channel();
        let work: Work = Box::new(move || {
            if reply.is_closed() {
                return;
            }
            // Whoever waits is told by the reply that never comes, and the log by the hook.
            if let Ok(done) = catch_unwind(AssertUnwindSafe(work)) {
                let _ = reply.send(done);
            }
        });
        {
            let mut state = self.state();
            match state.free.checked_sub(1) {
                Some(free) => {
                    state.free = free;
                    drop(state);
                    Turn(Some(Arc::clone(self))).begin(work);
                }
                None => state.waiting.push(who, work),
            }
        }
        done.await.ok()
    }
}

impl Turn {
    fn begin(self, work: Work) {
        spawn_blocking(move || self.work(work));
    }

    /// Does `work`, and then what waits next, for as long as nothing of it gives the turn up.
    fn work(self, work: Work) {
        let (mut turn, mut next) = (self, work);
        loop {
            HELD.set(Some(turn));
            next();
            let Some(held) = HELD.take() else {
                return;
            };
            turn = held;
            match turn.pass() {
                Some(work) => next = work,
                None => return,
            }
        }
    }

    /// What is to be done next in this turn; if there is nothing, it is free again.
    fn pass(&mut self) -> Option<Work> {
        let threads = self.0.take()?;
        let mut state = threads.state();
        let next = state.waiting.pop();
        if next.is_none() {
            state.free = state.free.saturating_add(1);
            return None;
        }
        drop(state);
        self.0 = Some(threads);
        next
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(work) = self.pass() {
            Self(self.0.take()).begin(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use vault_proto::ids::AccountId;

    use super::*;

    fn account(seed: u8) -> Who {
        Who::Account(AccountId::from_bytes([seed; 32]))
    }

    /// Of the works of one that floods and one of another, which came last, the other's is done second; and all of them
    /// in the end, though one panics.
    #[tokio::test]
    async fn whoever_floods_delays_others_by_one_turn() {
        let threads = Threads::with(1);
        let (go_on, goes_on) = mpsc::channel::<()>();
        let (say, said) = mpsc::channel();
        let begun = {
            let threads = Arc::clone(&threads);
            tokio::spawn(async move { threads.run(account(0), move || goes_on.recv().unwrap()).await })
        };
        let mut all = Vec::new();
        for number in 0..=50_u8 {
            let (threads, say) = (Arc::clone(&threads), say.clone());
            let work = move || {
                say.send(number).unwrap();
                assert_ne!(number, 7, "on purpose");
            };
            all.push(tokio::spawn(async move {
                threads.run(account(if number < 50 { 1 } else { 2 }), work).await
            }));
        }
        while threads.state().waiting.len() < 51 {
            tokio::task::yield_now().await;
        }
        go_on.send(()).unwrap();
        let mut done = 0;
        for one in all {
            done += usize::from(one.await.unwrap().is_some());
        }
        assert_eq!(done, 50);
        begun.await.unwrap().unwrap();
        let order: Vec<u8> = said.try_iter().collect();
        assert_eq!(order[..3], [0, 50, 1]);
        assert_eq!(order.len(), 51);
    }

    /// Work that waits for something lets others work meanwhile.
    #[tokio::test]
    async fn who_is_about_to_wait_gives_the_turn_up() {
        let threads = Threads::with(1);
        let ((go_on, goes_on), (begun, begins)) = (mpsc::channel::<()>(), oneshot::channel());
        let waiting = {
            let threads = Arc::clone(&threads);
            tokio::spawn(async move {
                let work = move || {
                    begun.send(()).unwrap();
                    give_up();
                    goes_on.recv().unwrap();
                };
                threads.run(account(1), work).await
            })
        };
        begins.await.unwrap();
        assert_eq!(threads.run(account(1), || 7).await, Some(7));
        go_on.send(()).unwrap();
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_begun() {
        let threads = Threads::with(1);
        let (go_on, goes_on) = mpsc::channel::<()>();
        let mut first = Box::pin(threads.run(account(1), move || goes_on.recv().unwrap()));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut gone = Box::pin(threads.run(account(1), || panic!("nobody waits for it")));
        assert!(futures_util::poll!(&mut gone).is_pending());
        drop(gone);
        go_on.send(()).unwrap();
        first.await.unwrap();
        assert_eq!(threads.run(account(1), || 7).await, Some(7));
    }
}
