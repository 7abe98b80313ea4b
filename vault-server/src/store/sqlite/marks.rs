//! Moving the mark, on the writing thread: [`crate::mark`] says in which steps and what they are worth.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::inspection::log_of;
use super::rows::{damaged, first, number, write};
use super::{StoreError, failed};
use crate::mark::MarkFile;

/// Bytes of log from which on it is brought into the database file at once.
const MOST_LOG: u64 = 4 * 1024 * 1024;

/// The marks of the index and of the objects.
pub(super) struct Marks {
    log: PathBuf,
    /// That of the index.
    committed: u64,
    /// Commits of the index, all of them.
    commits: u64,
    /// That of the objects.
    file: MarkFile,
    /// Whether anything was committed since the mark was moved.
    changed: bool,
    /// Bytes of log at which it is tried next: more than [`MOST_LOG`] after a failure, so that not every commit fails
    /// again.
    try_at: u64,
}

impl Marks {
    pub(super) fn new(database: &Path, db: &Connection, file: MarkFile) -> Result<Self, StoreError> {
        let log = log_of(database);
        let mut marks = Self { log, committed: 0, commits: 0, file, changed: false, try_at: MOST_LOG };
        // Whoever was here before may not have come to moving it.
        marks.read_anew(db)?;
        Ok(marks)
    }

    /// Takes from the database how far the index has come. Whether anything was committed since the mark was moved is
    /// not known then, and so assumed.
    pub(super) fn read_anew(&mut self, db: &Connection) -> Result<(), StoreError> {
        let row: Option<(i64, i64)> =
            first(db, "SELECT mark, commits FROM vault", (), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (mark, commits) = row.ok_or_else(|| damaged(&"no row about its vault"))?;
        self.committed = u64::try_from(mark).map_err(|error| damaged(&error))?;
        self.commits = u64::try_from(commits).map_err(|error| damaged(&error))?;
        self.changed = true;
        Ok(())
    }

    /// Counts a commit that is on the disk beside the objects.
    pub(super) fn count(&mut self) {
        self.commits = self.commits.saturating_add(1);
        self.file.count(self.commits);
    }

    /// Notes that something was committed, and moves the mark if the log has grown long. A failure is only logged: the
    /// commit is on disk, and the log keeps growing until it can be brought in.
    pub(super) fn committed(&mut self, db: &Connection) {
        self.changed = true;
        let log = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        if log < self.try_at {
            return;
        }
        if let Err(error) = self.advance(db) {
            tracing::warn!(%error, log, "the write-ahead log cannot be brought into the database now");
            self.try_at = log.saturating_add(MOST_LOG);
        }
    }

    /// Moves the mark, if anything was committed since it was moved last.
    pub(super) fn advance_if_changed(&mut self, db: &Connection) -> Result<(), StoreError> {
        if self.changed { self.advance(db) } else { Ok(()) }
    }

    /// Moves the mark. The caller lets nothing be committed meanwhile.
    pub(super) fn advance(&mut self, db: &Connection) -> Result<(), StoreError> {
        // A mark that was committed and could not be written beside the objects comes first: never are they apart by
        // two.
        self.publish()?;
        bring_in_log(db)?;
        let next = self.committed.saturating_add(1);
        write(db, "UPDATE vault SET mark = ?1", [number(next)?])?;
        self.committed = next;
        self.publish()?;
        self.changed = false;
        self.try_at = MOST_LOG;
        Ok(())
    }

    fn publish(&mut self) -> Result<(), StoreError> {
        if self.file.mark().mark == self.committed {
            return Ok(());
        }
        self.file.move_to(self.committed).map_err(|error| match error.kind() {
            std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge => StoreError::Full,
            _ => StoreError::Failed(format!("the mark of the objects cannot be written: {error}")),
        })
    }
}

/// Brings the whole log into the database file and makes it durable there.
fn bring_in_log(db: &Connection) -> Result<(), StoreError> {
    let state: Option<(i64, i64, i64)> =
        first(db, "PRAGMA wal_checkpoint(FULL)", (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    match state {
        Some((0, frames, brought_in)) if frames == brought_in => Ok(()),
        _ => Err(failed(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some("somebody else reads the database".to_owned()),
        ))),
    }
}
