//! How the database is connected to: by one that writes and some that read, which share the index of the log.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::rows::{classified, first};
use super::{OpenError, StoreError};

/// Connections that read at the same time.
const READERS: usize = 4;

/// The connections of one store.
pub(super) struct Connections {
    pub(super) index: LogIndex,
    pub(super) writer: Connection,
    pub(super) readers: Vec<Connection>,
}

/// Where SQLite keeps its index of the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogIndex {
    /// In a file beside it, which takes room on the disk; other processes may read the database.
    Shared,
    /// In memory, for a disk that has none; no other process can open the database.
    InMemory,
}

/// A connection, set up as all of them are.
pub(super) fn connect(path: &Path, flags: OpenFlags, index: LogIndex) -> Result<Connection, rusqlite::Error> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match index {
        LogIndex::Shared => Connection::open_with_flags(path, flags),
        LogIndex::InMemory => Connection::open_with_flags_and_vfs(path, flags, "unix-excl"),
    }?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// The connection that writes, to a database of this version.
pub(super) fn connect_writer(path: &Path, index: LogIndex) -> Result<Connection, rusqlite::Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, index)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // The log comes into the file only together with a mark.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

impl Connections {
    /// Opens them, with the index of the log in memory where the disk has no room for it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        match Self::open_with(path, LogIndex::Shared) {
            Err(error) if is_full(&error) => {
                tracing::warn!("the disk is full: the index of the log is kept in memory");
                Self::open_with(path, LogIndex::InMemory)
            }
            opened => opened,
        }
    }

    fn open_with(path: &Path, index: LogIndex) -> Result<Self, OpenError> {
        let writer = connect_writer(path, index)?;
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            readers.push(connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, index)?);
        }
        // Whether there is room for the index of the log shows when the database is read.
        for connection in readers.iter().chain([&writer]) {
            let _: Option<i64> = first(connection, "SELECT mark FROM vault", (), |row| row.get(0))?;
        }
        Ok(Self { index, writer, readers })
    }
}

/// Whether there was no room for what SQLite needs beside the database.
fn is_full(error: &OpenError) -> bool {
    match error {
        OpenError::Sqlite(error) => matches!(classified(error), StoreError::Full),
        OpenError::Store(error) => matches!(error, StoreError::Full),
        OpenError::Migration(_) | OpenError::System(_) => false,
    }
}
