//! A number of equal things that accounts take and give back, shared out so that no few of them have it all.
//!
//! One rule decides: what one has never exceeds what is free for the others once it was given, nor a number for each.
//! One alone gets half of the pool at most; when `n` take all that they can, each has a part of `n + 1`, and the last
//! part is free for whoever comes. So nobody has to be told to give anything back, however long it is kept.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Things that are shared out among those whom `K` names.
#[derive(Debug)]
pub(super) struct FairPool<K: Copy + Eq + Hash> {
    most_each: usize,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K: Copy + Eq + Hash> {
    free: usize,
    /// Whoever has something.
    held: HashMap<K, usize>,
    /// In the order in which they came.
    waiting: VecDeque<Waiting<K>>,
}

#[derive(Debug)]
struct Waiting<K: Copy + Eq + Hash> {
    who: K,
    number: usize,
    ready: oneshot::Sender<Share<K>>,
}

/// Something of a pool, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share<K: Copy + Eq + Hash> {
    pool: Arc<FairPool<K>>,
    who: K,
    number: usize,
}

impl<K: Copy + Eq + Hash> Share<K> {
    /// Whose it is.
    pub(super) fn who(&self) -> K {
        self.who
    }
}

impl<K: Copy + Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.free += self.number;
        if let Some(held) = state.held.get_mut(&self.who) {
            *held = held.saturating_sub(self.number);
            if *held == 0 {
                state.held.remove(&self.who);
            }
        }
        let granted = self.pool.grant(&mut state);
        drop(state);
        // Without the lock: a share whose taker went away meanwhile is given back at once.
        for (ready, share) in granted {
            drop(ready.send(share));
        }
    }
}

impl<K: Copy + Eq + Hash> State<K> {
    /// Takes `number` for `who`, if the rule allows it.
    fn take(&mut self, who: K, number: usize, most_each: usize) -> bool {
        let held = self.held.get(&who).copied().unwrap_or(0).saturating_add(number);
        let Some(free) = self.free.checked_sub(number) else {
            return false;
        };
        if held > most_each || held > free {
            return false;
        }
        self.free = free;
        self.held.insert(who, held);
        true
    }
}

impl<K: Copy + Eq + Hash> FairPool<K> {
    /// A pool of `all`, of which nobody has more than `most_each`.
    pub(super) fn new(all: usize, most_each: usize) -> Arc<Self> {
        let state = State { free: all, held: HashMap::new(), waiting: VecDeque::new() };
        Arc::new(Self { most_each, state: Mutex::new(state) })
    }

    /// The most that anybody can have; who asks for more never gets it.
    pub(super) fn most_each(&self) -> usize {
        self.most_each
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn share(self: &Arc<Self>, who: K, number: usize) -> Share<K> {
        Share { pool: Arc::clone(self), who, number }
    }

    /// `number` for `who` at once, or nothing.
    pub(super) fn take(self: &Arc<Self>, who: K, number: usize) -> Option<Share<K>> {
        self.state().take(who, number, self.most_each).then(|| self.share(who, number))
    }

    /// `number` for `who` as soon as the rule allows it, or nothing after `patience`. One who waits for several things
    /// gets them in the order in which they were asked for, and never stands in the way of others.
    pub(super) async fn wait_for(
        self: &Arc<Self>,
        who: K,
        number: usize,
        patience: Duration,
    ) -> Option<Share<K>> {
        let ready = {
            let mut state = self.state();
            let first = state.waiting.iter().all(|waiting| waiting.who != who || waiting.ready.is_closed());
            if first && state.take(who, number, self.most_each) {
                return Some(self.share(who, number));
            }
            let (ready, share) = oneshot::channel();
            state.waiting.push_back(Waiting { who, number, ready });
            share
        };
        timeout(patience, ready).await.ok()?.ok()
    }

    /// Takes for those who wait what the rule allows now.
    fn grant(self: &Arc<Self>, state: &mut State<K>) -> Vec<(oneshot::Sender<Share<K>>, Share<K>)> {
        let (mut granted, mut passed) = (Vec::new(), HashSet::new());
        for waiting in std::mem::take(&mut state.waiting) {
            if waiting.ready.is_closed() {
                continue;
            }
            if !passed.contains(&waiting.who) && state.take(waiting.who, waiting.number, self.most_each) {
                granted.push((waiting.ready, self.share(waiting.who, waiting.number)));
            } else {
                passed.insert(waiting.who);
                state.waiting.push_back(waiting);
            }
        }
        granted
    }

    #[cfg(test)]
    pub(super) fn is_untouched(&self, all: usize) -> bool {
        let state = self.state();
        state.free == all && state.held.is_empty() && state.waiting.iter().all(|one| one.ready.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(pool: &Arc<FairPool<u32>>, who: u32) -> Vec<Share<u32>> {
        std::iter::from_fn(|| pool.take(who, 1)).collect()
    }

    #[test]
    fn however_many_take_all_they_can_there_is_some_for_the_next() {
        let pool = FairPool::new(256, 32);
        let held: Vec<Vec<Share<u32>>> = (0..9).map(|who| take_all(&pool, who)).collect();
        let numbers: Vec<usize> = held.iter().map(Vec::len).collect();
        assert_eq!(numbers, [32, 32, 32, 32, 32, 32, 32, 16, 8]);
        assert_eq!(take_all(&pool, 9).len(), 4);
        // What one has for long does not grow at the cost of others either.
        assert!(pool.take(0, 1).is_none());
        drop(held);
        assert!(pool.is_untouched(256));
    }

    #[test]
    fn one_alone_has_half() {
        let pool = FairPool::new(9, 100);
        assert_eq!(take_all(&pool, 1).len(), 4);
        assert!(pool.take(1, 5).is_none());
    }

    #[tokio::test]
    async fn who_waits_keeps_the_order_and_nobody_else() {
        let pool = FairPool::new(8, 4);
        let patience = Duration::from_secs(3600);
        let held = pool.take(1, 4).unwrap();
        let mut large = Box::pin(pool.wait_for(1, 3, patience));
        let mut small = Box::pin(pool.wait_for(1, 1, patience));
        assert!(futures_util::poll!(&mut large).is_pending());
        assert!(futures_util::poll!(&mut small).is_pending());
        let other = pool.wait_for(2, 2, patience).await.unwrap();
        drop(other);
        assert!(futures_util::poll!(&mut small).is_pending(), "the larger one came first");
        drop(held);
        let (large, small) = (large.await.unwrap(), small.await.unwrap());
        assert!(pool.wait_for(1, 1, Duration::ZERO).await.is_none(), "after a while nothing comes");
        let mut given_up = Box::pin(pool.wait_for(1, 4, patience));
        assert!(futures_util::poll!(&mut given_up).is_pending());
        drop(given_up);
        drop((large, small));
        assert!(pool.is_untouched(8));
    }
}
