//! The one thread that writes. Changes that wait at the same time share one commit, each in a savepoint of its own.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use rusqlite::Connection;

use super::marks::Marks;
use super::{StoreError, closed, failed};

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
            self.result = work(db);
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
    pub(super) fn start(connection: Connection, marks: Marks) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_all(connection, marks, &queue))?;
        Ok(Self { jobs })
    }

    /// Runs `work` in a transaction; returns once it is committed and on disk. An `Err` of `work` takes it back.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = sync_channel(1);
        let change = Change { work: Some(work), result: Err(closed()), reply };
        self.jobs.send(Message::Change(Box::new(change))).map_err(|_| closed())?;
        answer.recv().map_err(|_| closed())?
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
        answer.recv().map_err(|_| closed())?
    }
}

fn write_all(db: Connection, mut marks: Marks, queue: &Receiver<Message>) {
    while let Ok(first) = queue.recv() {
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
            let outcome = commit(&db, &mut batch);
            // Before anybody is told: what was acknowledged is counted.
            if let Ok(true) = outcome {
                marks.count();
            }
            let failure = outcome.err();
            for job in batch {
                job.answer(failure.as_ref().map(repeated));
            }
            if failure.is_none() {
                marks.committed(&db);
            }
        }
        // Nobody waits for the answer any more if it cannot be sent.
        match other {
            None | Some(Message::Change(_)) => {}
            Some(Message::Outside(work)) => work(&db),
            Some(Message::MoveMark(reply)) => {
                let _ = reply.send(marks.advance_if_changed(&db));
            }
            Some(Message::Close(reply)) => {
                let moved = marks.advance_if_changed(&db);
                let closed = db.close().map_err(|(_, error)| failed(error));
                let _ = reply.send(moved.and(closed));
                return;
            }
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
            // The first error is the one to report. A transaction that stays open makes the next BEGIN fail and say so.
            let _ = db.execute_batch("ROLLBACK");
        }
    })
}
