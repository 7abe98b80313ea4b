//! Locks by name, so that of two requests for the same thing one waits for the other.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};

use crate::turns::give_up;

/// One lock for each name that is in use right now.
#[derive(Debug)]
pub(super) struct KeyedLocks<K> {
    locks: Mutex<HashMap<K, Arc<RwLock<()>>>>,
}

impl<K> Default for KeyedLocks<K> {
    fn default() -> Self {
        Self { locks: Mutex::default() }
    }
}

/// The lock of a name, for as long as somebody holds it or waits for it. Also one who panics gives it back.
struct Taken<'a, K: Copy + Eq + Hash> {
    locks: &'a KeyedLocks<K>,
    key: K,
    lock: Option<Arc<RwLock<()>>>,
}

impl<K: Copy + Eq + Hash> KeyedLocks<K> {
    /// Runs `work` while nobody else works under `key`.
    pub(super) fn exclusive<T>(&self, key: K, work: impl FnOnce() -> T) -> T {
        let taken = self.take(key);
        let _guard = taken.lock.as_ref().map(|lock| match lock.try_write() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                give_up();
                lock.write().unwrap_or_else(PoisonError::into_inner)
            }
        });
        work()
    }

    /// Runs `work` while nobody works exclusively under `key`.
    pub(super) fn shared<T>(&self, key: K, work: impl FnOnce() -> T) -> T {
        let taken = self.take(key);
        let _guard = taken.lock.as_ref().map(|lock| match lock.try_read() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                give_up();
                lock.read().unwrap_or_else(PoisonError::into_inner)
            }
        });
        work()
    }

    fn take(&self, key: K) -> Taken<'_, K> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = Some(Arc::clone(locks.entry(key).or_default()));
        Taken { locks: self, key, lock }
    }
}

impl<K: Copy + Eq + Hash> Drop for Taken<'_, K> {
    fn drop(&mut self) {
        let mut locks = self.locks.locks.lock().unwrap_or_else(PoisonError::into_inner);
        self.lock = None;
        // Counted under the map's lock: with one owner left, the map itself, nobody holds it or waits for it.
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn exclusive_work_never_overlaps_and_nothing_is_kept() {
        let locks = KeyedLocks::default();
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8u32 {
                let (locks, inside) = (&locks, &inside);
                scope.spawn(move || {
                    for round in 0..500 {
                        let key = (thread + round) % 2;
                        if key == 0 {
                            locks.exclusive(key, || {
                                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                                inside.fetch_sub(1, Ordering::SeqCst);
                            });
                        } else {
                            locks.shared(key, std::thread::yield_now);
                        }
                    }
                });
            }
        });
        assert!(locks.locks.lock().unwrap().is_empty());
    }

    #[test]
    fn one_who_panics_keeps_nobody_out_and_leaves_nothing() {
        let locks = KeyedLocks::default();
        let works: [&dyn Fn(); 2] =
            [&|| locks.exclusive(1, || panic!("on purpose")), &|| locks.shared(1, || panic!("on purpose"))];
        for work in works {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_err();
            assert!(locks.locks.lock().unwrap().is_empty());
            assert_eq!(locks.exclusive(1, || 2), 2);
        }
    }
}
