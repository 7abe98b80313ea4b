//! A value that several parts of a decision look at, some of them waiting until it changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::Event;

/// A value and whoever waits for it. Clones share it.
pub struct Watched<T>(Arc<Inner<T>>);

struct Inner<T> {
    value: Mutex<T>,
    changed: Event,
}

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Watched<T> {
    /// Begins with `value`.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Inner { value: Mutex::new(value), changed: Event::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        // What is written is whole at every moment: a writer that panicked left a value that is one.
        self.0.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at it.
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    /// Changes it, and wakes whoever waits.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.0.changed.notify(usize::MAX);
        result
    }

    /// Waits until `found` finds something in it.
    pub async fn wait_for<R>(&self, mut found: impl FnMut(&mut T) -> Option<R>) -> R {
        loop {
            // Listening begins before looking: a change between the two is not missed.
            let changed = self.0.changed.listen();
            let result = found(&mut self.lock());
            match result {
                Some(result) => return result,
                None => changed.await,
            }
        }
    }
}

impl<T: Copy> Watched<T> {
    /// What it is now.
    pub fn get(&self) -> T {
        self.with(|value| *value)
    }
}
