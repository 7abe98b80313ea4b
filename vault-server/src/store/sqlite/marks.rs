//! Moving the mark, on the writing thread: [`crate::mark`] says in which steps and what they are worth.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::rows::{damaged, first, number, write};
use super::{StoreError, failed};
use crate::mark::MarkFile;

/// Pages of log from which on it is brought into the database file at once: 4 MiB.
const MOST_LOG: u64 = 1024;

/// Pages of the log that are not in the database file yet, as SQLite tells after each commit. The length of the log's
/// file says nothing: it is written over from its beginning and never becomes shorter.
#[derive(Debug, Clone, Default)]
struct LogLength(Arc<AtomicU64>);

impl LogLength {
    /// Has the connection that writes tell.
    fn hear_of(&self, db: &mut Connection) -> Result<(), StoreError> {
        let pages = Arc::clone(&self.0);
        db.wal_hook(Some(move |_: &mut Wal, in_log| {
            pages.store(u64::try_from(in_log).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))
        .map_err(failed)
    }

    fn pages(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The marks of the index and of the objects.
pub(super) struct Marks {
    log: LogLength,
    /// That of the index.
    committed: u64,
    /// Commits of the index, all of them.
    commits: u64,
    /// That of the objects.
    file: MarkFile,
    /// Whether anything was committed since the mark was moved.
    changed: bool,
    /// Pages of log at which it is tried next: more than [`MOST_LOG`] after a failure, so that not every commit fails
    /// again.
    try_at: u64,
}

impl Marks {
    pub(super) fn new(db: &mut Connection, file: MarkFile) -> Result<Self, StoreError> {
        let log = LogLength::default();
        let mut marks = Self { log, committed: 0, commits: 0, file, changed: false, try_at: MOST_LOG };
        // Whoever was here before may not have come to moving it.
        marks.read_anew(db)?;
        Ok(marks)
    }

    /// Goes on with this connection, and takes from its database how far the index has come. Whether anything was
    /// committed since the mark was moved is not known then, and so assumed.
    pub(super) fn read_anew(&mut self, db: &mut Connection) -> Result<(), StoreError> {
        self.log.hear_of(db)?;
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
        let log = self.log.pages();
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

/// Brings the whole log into the database file and makes it durable there. The next commit begins the log anew: those
/// who read from it meanwhile are waited for, and who comes later reads the file.
fn bring_in_log(db: &Connection) -> Result<(), StoreError> {
    let state: Option<(i64, i64, i64)> =
        first(db, "PRAGMA wal_checkpoint(RESTART)", (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    match state {
        Some((0, frames, brought_in)) if frames == brought_in => Ok(()),
        _ => Err(failed(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some("somebody else reads the database".to_owned()),
        ))),
    }
}

#[cfg(test)]
mod tests {
    use vault_proto::ids::{OrganisationId, VaultId};

    use super::super::SqliteStore;
    use super::super::rows::all;
    use super::*;
    use crate::mark::Mark;

    /// Bringing the log in costs seven times what a commit does: it is done once for each 4 MiB, and not for every
    /// commit of a log that was long once.
    #[test]
    fn a_log_that_was_long_once_is_not_brought_in_for_every_commit() {
        let folder = tempfile::tempdir().unwrap();
        let mark = Mark { vault: VaultId::from_bytes([1; 16]), generation: 1, mark: 1 };
        let path = folder.path().join("vault.db");
        SqliteStore::create(&path, OrganisationId::from_bytes([1; 32]), mark).unwrap();
        let store = SqliteStore::open(&path, MarkFile::create(folder.path(), mark).unwrap()).unwrap();
        let run = |sql: &'static str| {
            store.writer.run(move |db| db.execute_batch(sql).map_err(failed)).unwrap();
        };
        let marks =
            || store.read(|db| all(db, "SELECT mark FROM vault", (), |row| row.get::<_, i64>(0))).unwrap()[0];
        run("CREATE TABLE filler (bytes BLOB)");
        let opened = marks();
        for commits in 1..=160 {
            // 16 pages, and some more.
            run("INSERT INTO filler VALUES (zeroblob(65536))");
            let moved = marks() - opened;
            let most = i64::from(commits * 20 / 1024 + 1);
            assert!(moved <= most, "{commits} commits: the mark was moved {moved} times");
        }
        assert!((2..=4).contains(&(marks() - opened)), "{}", marks() - opened);
        let log = std::fs::metadata(folder.path().join("vault.db-wal")).unwrap().len();
        assert!(log < 5 * 1024 * 1024, "{log}");
        store.writer.close().unwrap();
    }
}
