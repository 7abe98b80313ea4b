//! The connections that read, lent out one at a time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::{StoreError, closed};

/// The connections that read. Who finds all of them in use waits for one.
pub(super) struct Readers {
    idle: Mutex<Idle>,
    returned: Condvar,
}

struct Idle {
    connections: Vec<Connection>,
    /// Whether the store is closed: what comes back is closed too.
    closed: bool,
}

/// A connection while it is in use. It goes back also if its reader panics, whose statements are reset by then: a
/// connection that did not come back would be missing until the server starts again.
struct Lent<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        Self { idle: Mutex::new(Idle { connections, closed: false }), returned: Condvar::new() }
    }

    /// A poisoned lock only means that another reader panicked; connections are whole between two calls.
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on one of them.
    ///
    /// # Errors
    /// Those of `work`; [`StoreError::Failed`] once the store is closed.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut idle = self.idle();
        let connection = loop {
            if idle.closed {
                return Err(closed());
            }
            match idle.connections.pop() {
                Some(connection) => break connection,
                None => idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(idle);
        let lent = Lent { readers: self, connection: Some(connection) };
        lent.connection.as_ref().map_or_else(|| Err(closed()), work)
    }

    /// Closes them, those in use as they come back. Whoever wants to read then fails.
    pub(super) fn close(&self) {
        let mut idle = self.idle();
        idle.closed = true;
        idle.connections.clear();
        drop(idle);
        self.returned.notify_all();
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut idle = self.readers.idle();
        if !idle.closed {
            idle.connections.extend(self.connection.take());
        }
        drop(idle);
        self.readers.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// As many readers as there are connections panic, and one more reads.
    #[test]
    fn a_reader_that_panics_gives_its_connection_back() {
        let connections = (0..4).map(|_| Connection::open_in_memory().unwrap()).collect();
        let readers = Readers::new(connections);
        let read = |panics: bool| {
            readers.read(|db| {
                super::super::rows::first(db, "SELECT 7", (), |row| {
                    assert!(!panics, "on purpose");
                    row.get::<_, i64>(0)
                })
            })
        };
        for _ in 0..5 {
            catch_unwind(AssertUnwindSafe(|| read(true))).unwrap_err();
        }
        assert_eq!(readers.idle().connections.len(), 4);
        assert_eq!(read(false).unwrap(), Some(7));
        readers.close();
        assert!(read(false).is_err());
    }
}
