//! The one thread that writes. Changes that wait at the same time share one commit, each in a savepoint of its own.
//!
//! A change that panics is taken back like one that is refused, and fails alone. Whatever else panics here fails those
//! who wait for this commit, and the thread goes on with a connection of its own making.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::connections::{LogIndex, connect_writer};
use super::marks::Marks;
use super::{StoreError, closed, failed};
use crate::turns::give_up;

/// Changes that share one commit at most.
const BATCH: usize = 64;

/// A handle to the writing thread; the thread ends when the handle is dropped.
pub(super) struct Writer {
    jobs: Sender<Message>,
}

enum Message {
    Change(Box<dyn Job>),
    Outside(Box<dyn FnOnce(&Connection) + Send>),
    MoveMark(SyncSender<Result<(), StoreError>>),
    Close(SyncSender<Result<(), StoreError>>),
}

/// A change that waits for its commit.
trait Job: Send {
    /// Makes the change; `false` if it is to be taken back.
    fn run(&mut self, db: &Connection) -> bool;
    /// Tells the one who waits what became of it, after the commit. `Some` if the whole batch failed.
    fn answer(self: Box<Self>, batch: Option<StoreError>);
}

struct Change<T, F> {
    work: Option<F>,
    result: Result<T, StoreError>,
    reply: SyncSender<Result<T, StoreError>>,
}

impl<T, F> Job for Change<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, db: &Connection) -> bool {
        if let Some(work) = self.work.take() {
            // What it left half-done is in the database alone, and is taken back.
            let work = AssertUnwindSafe(|| work(db));
            self.result = catch_unwind(work).unwrap_or_else(|panic| Err(panicked(&*panic)));
        }
        self.result.is_ok()
    }

    fn answer(self: Box<Self>, batch: Option<StoreError>) {
        // A change that was refused on its own account stays refused for that reason.
        let result = match (self.result, batch) {
            (Ok(_), Some(error)) => Err(error),
            (result, _) => result,
        };
        // Nobody waits any more if the request was dropped; the change is committed all the same.
        let _ = self.reply.send(result);
    }
}

impl Writer {
    /// Starts the thread on the database at `path`, to which `connection` leads in the way of `index`.
    pub(super) fn start(
        (path, index): (&Path, LogIndex),
        connection: Connection,
        marks: Marks,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let writing = Writing { path: path.to_owned(), index, db: Some(connection), marks };
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writing.write_all(&queue))?;
        Ok(Self { jobs })
    }

    /// Runs `work` in a transaction; returns once it is committed and on disk. An `Err` of `work` takes it back, and so
    /// does a panic, which is [`StoreError::Failed`].
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = sync_channel(1);
        let change = Change { work: Some(work), result: Err(closed()), reply };
        self.jobs.send(Message::Change(Box::new(change))).map_err(|_| closed())?;
        give_up();
        answer.recv().map_err(|_| unanswered())?
    }

    /// Runs `work`, which changes nothing in the database, between two transactions: it sees all that was committed.
    pub(super) fn run_outside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(|reply| {
            Message::Outside(Box::new(move |db| {
                // Nobody waits any more if the request was dropped.
                let _ = reply.send(work(db));
            }))
        })
    }

    /// Moves the mark, if anything was committed since it was moved last.
    pub(super) fn move_mark(&self) -> Result<(), StoreError> {
        self.ask(Message::MoveMark)
    }

    /// Moves the mark and closes the connection. Whatever is asked afterwards fails.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        self.ask(Message::Close)
    }

    fn ask<T>(
        &self,
        message: impl FnOnce(SyncSender<Result<T, StoreError>>) -> Message,
    ) -> Result<T, StoreError> {
        let (reply, answer) = sync_channel(1);
        self.jobs.send(message(reply)).map_err(|_| closed())?;
        give_up();
        answer.recv().map_err(|_| unanswered())?
    }
}

fn panicked(panic: &(dyn Any + Send)) -> StoreError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    StoreError::Failed(format!(
        "a change panicked, and was taken back: {}",
        text.unwrap_or("it does not say why")
    ))
}

/// It was asked for, and the thread died or dropped it before it could say what became of it.
fn unanswered() -> StoreError {
    StoreError::Failed("it was interrupted, and nobody knows whether it was stored".to_owned())
}

/// What the thread works with.
struct Writing {
    path: PathBuf,
    index: LogIndex,
    /// `None` after a panic, until it is asked for.
    db: Option<Connection>,
    marks: Marks,
}

/// What comes after a commit.
enum Next {
    Message,
    Close(SyncSender<Result<(), StoreError>>),
}

impl Writing {
    fn write_all(mut self, queue: &Receiver<Message>) {
        while let Ok(first) = queue.recv() {
            // Of what a panic leaves behind, the connection is thrown away and the marks are read anew. Those whose
            // changes are dropped are told that it failed.
            match catch_unwind(AssertUnwindSafe(|| self.work(first, queue))) {
                Ok(Next::Message) => {}
                Ok(Next::Close(reply)) => {
                    // Nobody waits for the answer any more if it cannot be sent.
                    let _ = reply.send(self.close());
                    return;
                }
                Err(panic) => {
                    tracing::error!(error = %panicked(&*panic), "the writing thread goes on with a new connection");
                    self.part_from_connection();
                }
            }
        }
    }

    /// Closes a connection that nobody can rely on: what it had not committed is taken back. The log stays as it is,
    /// for it comes into the file only together with a mark.
    fn part_from_connection(&mut self) {
        if let Some(db) = self.db.take()
            && let Err(error) = db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        {
            tracing::debug!(%error, "the log may be brought in when a connection is closed");
        }
    }

    /// The connection: a new one, if the last was parted from.
    fn connect(&mut self) -> Result<(&Connection, &mut Marks), StoreError> {
        let db = match self.db.take() {
            Some(db) => db,
            None => {
                let mut db = connect_writer(&self.path, self.index).map_err(failed)?;
                self.marks.read_anew(&mut db)?;
                db
            }
        };
        Ok((self.db.insert(db), &mut self.marks))
    }

    fn close(mut self) -> Result<(), StoreError> {
        let moved = self.connect().and_then(|(db, marks)| marks.advance_if_changed(db));
        let closed = match self.db.take() {
            Some(db) => db.close().map_err(|(_, error)| failed(error)),
            None => Ok(()),
        };
        moved.and(closed)
    }

    /// Commits what is waiting, from `first` on, and does what else was asked for.
    fn work(&mut self, first: Message, queue: &Receiver<Message>) -> Next {
        let mut batch = Vec::new();
        let mut other = None;
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Message::Change(job) => batch.push(job),
                message => other = Some(message),
            }
            if other.is_none() && batch.len() < BATCH {
                next = queue.try_recv().ok();
            }
        }
        if !batch.is_empty() {
            self.commit(batch);
        }
        match other {
            None | Some(Message::Change(_)) => Next::Message,
            Some(Message::Outside(work)) => {
                // Without a connection it is dropped, and who waits for it is told that it failed.
                if let Ok((db, _)) = self.connect() {
                    work(db);
                }
                Next::Message
            }
            Some(Message::MoveMark(reply)) => {
                let moved = self.connect().and_then(|(db, marks)| marks.advance_if_changed(db));
                // Nobody waits for the answer any more if it cannot be sent.
                let _ = reply.send(moved);
                Next::Message
            }
            Some(Message::Close(reply)) => Next::Close(reply),
        }
    }

    /// Commits a batch, and tells everybody in it.
    fn commit(&mut self, mut batch: Vec<Box<dyn Job>>) {
        let outcome = self.connect().and_then(|(db, marks)| {
            let changed = commit(db, &mut batch)?;
            // Before anybody is told: what was acknowledged is counted.
            if changed {
                marks.count();
            }
            Ok(())
        });
        let failure = outcome.err();
        for job in batch {
            job.answer(failure.as_ref().map(repeated));
        }
        let Some(db) = &self.db else {
            return;
        };
        if failure.is_none() {
            self.marks.committed(db);
        } else if !db.is_autocommit() {
            tracing::error!(
                "a transaction could not be taken back; the writing thread goes on with a new connection"
            );
            self.part_from_connection();
        }
    }
}

/// The same failure for another job of the batch.
fn repeated(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full => StoreError::Full,
        other => StoreError::Failed(other.to_string()),
    }
}

/// Commits what of a batch is not taken back; `false` if that is nothing.
fn commit(db: &Connection, batch: &mut [Box<dyn Job>]) -> Result<bool, StoreError> {
    let statement = |sql: &str| db.execute_batch(sql).map_err(failed);
    statement("BEGIN IMMEDIATE")?;
    let change_all = || {
        let mut changed = false;
        for job in &mut *batch {
            statement("SAVEPOINT change")?;
            let keep = job.run(db);
            // A full disk takes the whole transaction back, not only the savepoint.
            if db.is_autocommit() {
                return Err(StoreError::Full);
            }
            if !keep {
                statement("ROLLBACK TO change")?;
            }
            statement("RELEASE change")?;
            changed |= keep;
        }
        if changed {
            statement("UPDATE vault SET commits = commits + 1")?;
        }
        statement("COMMIT")?;
        Ok(changed)
    };
    let mut change_all = change_all;
    change_all().inspect_err(|_| {
        if !db.is_autocommit() {
            // The first error is the one to report. Where the transaction stays open, the connection is given up.
            let _ = db.execute_batch("ROLLBACK");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::SqliteStore;
    use super::super::rows::{first, write};
    use super::*;
    use crate::mark::{Mark, MarkFile};
    use vault_proto::ids::{OrganisationId, VaultId};

    fn store(folder: &Path) -> SqliteStore {
        let mark = Mark { vault: VaultId::from_bytes([1; 16]), generation: 1, mark: 1 };
        let path = folder.join("vault.db");
        SqliteStore::create(&path, OrganisationId::from_bytes([1; 32]), mark).unwrap();
        SqliteStore::open(&path, MarkFile::create(folder, mark).unwrap()).unwrap()
    }

    /// A row whose number can be found again.
    fn add(db: &Connection, number: i64) -> Result<(), StoreError> {
        write(db, "INSERT INTO nonces (id, created) VALUES (CAST(printf('%016d', ?1) AS BLOB), ?1)", [number])
            .map(drop)
    }

    fn added(store: &SqliteStore) -> Vec<i64> {
        store
            .read(|db| {
                super::super::rows::all(db, "SELECT created FROM nonces ORDER BY created", (), |row| {
                    row.get(0)
                })
            })
            .unwrap()
    }

    fn commits(store: &SqliteStore) -> i64 {
        store.read(|db| first(db, "SELECT commits FROM vault", (), |row| row.get(0))).unwrap().unwrap()
    }

    /// One whose answer panics: nothing that the thread does by itself is safe from a mistake.
    struct Hostile {
        number: i64,
        _dropped: SyncSender<()>,
    }

    impl Job for Hostile {
        fn run(&mut self, db: &Connection) -> bool {
            add(db, self.number).is_ok()
        }

        fn answer(self: Box<Self>, _batch: Option<StoreError>) {
            panic!("on purpose, outside of any change");
        }
    }

    #[test]
    fn a_change_that_panics_is_taken_back_and_fails_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.writer.run(|db| add(db, 1)).unwrap();
        let before = commits(&store);
        let outcome = store.writer.run(|db| -> Result<(), StoreError> {
            add(db, 2)?;
            panic!("on purpose");
        });
        let Err(StoreError::Failed(reason)) = outcome else { panic!("{outcome:?}") };
        assert!(reason.ends_with("taken back: on purpose"), "{reason}");
        assert_eq!((added(&store), commits(&store)), (vec![1], before), "half of it was committed");
        store.writer.run(|db| add(db, 3)).unwrap();
        assert_eq!((added(&store), commits(&store)), (vec![1, 3], before + 1));
        store.writer.move_mark().unwrap();
        store.writer.close().unwrap();
    }

    /// Changes of one commit, of which some panic: the others are stored.
    #[test]
    fn a_panic_costs_the_others_of_its_batch_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let (begun, begins) = sync_channel(0);
        let (go_on, goes_on) = sync_channel::<()>(0);
        std::thread::scope(|scope| {
            let writer = &store.writer;
            scope.spawn(move || {
                writer.run(move |_| {
                    begun.send(()).unwrap();
                    goes_on.recv().unwrap();
                    Ok(())
                })
            });
            begins.recv().unwrap();
            // These wait for it, and so for each other.
            let changes: Vec<_> = (0..10_i64)
                .map(|number| {
                    let (reply, answer) = sync_channel(1);
                    let work = move |db: &Connection| {
                        add(db, number)?;
                        assert!(number % 2 == 0, "on purpose");
                        Ok(())
                    };
                    let change = Change { work: Some(work), result: Err(closed()), reply };
                    store.writer.jobs.send(Message::Change(Box::new(change))).unwrap();
                    answer
                })
                .collect();
            go_on.send(()).unwrap();
            for (number, answer) in changes.iter().enumerate() {
                assert_eq!(answer.recv().unwrap().is_ok(), number % 2 == 0, "{number}");
            }
        });
        assert_eq!(added(&store), [0, 2, 4, 6, 8]);
    }

    #[test]
    fn a_panic_outside_of_a_change_leaves_a_thread_that_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let log = folder.path().join("vault.db-wal");
        for round in 1..=3 {
            let (dropped, ended) = sync_channel(0);
            let hostile = Hostile { number: round, _dropped: dropped };
            store.writer.jobs.send(Message::Change(Box::new(hostile))).unwrap();
            // Who shares its commit fails with it; what comes after it does not.
            ended.recv().unwrap_err();
            store.writer.run(|db| write(db, "DELETE FROM nonces", ()).map(drop)).unwrap();
            store.writer.run(|db| add(db, 1)).unwrap();
            assert_eq!(added(&store), [1]);
            assert!(std::fs::metadata(&log).unwrap().len() > 0, "the log came in without a mark");
        }
        store.writer.move_mark().unwrap();
        let counted = MarkFile::open(folder.path()).unwrap().unwrap();
        assert_eq!(counted.commits(), Some(u64::try_from(commits(&store)).unwrap()));
        store.writer.close().unwrap();
    }
}
