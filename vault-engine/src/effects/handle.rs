//! The engine's side: one method for each effect, which waits for its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use vault_proto::envelope::{Envelope, Statement, Unsigned};
use vault_proto::timestamp::Timestamp;

use super::driver::{Driver, Reply};
use super::effect::{
    Answer, Change, Effect, Locking, NoAnswer, Now, RecordName, Request, Response, StoreFailure,
};
use super::job::Job;
use crate::error::{ClientError, NextStep};

/// A machine to decide for. Cheap to clone.
#[derive(Clone)]
pub struct Effects {
    driver: Arc<dyn Driver>,
}

/// A lock that is held until this is dropped.
#[must_use = "the lock is given back when this is dropped"]
pub struct Lock {
    effects: Effects,
    name: String,
}

/// A lock that was asked for. One that comes when nobody waits any more is given back.
struct AwaitedLock<'a> {
    effects: &'a Effects,
    name: &'a str,
    answer: oneshot::Receiver<Answer>,
}

impl Drop for AwaitedLock<'_> {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(Some(Answer::Locked(true))) = self.answer.try_recv() {
            drop(Lock { effects: self.effects.clone(), name: self.name.to_owned() });
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let (nobody, _) = Reply::pair();
        self.effects.driver.perform(Effect::Unlock(std::mem::take(&mut self.name)), nobody);
    }
}

impl Effects {
    /// Effects that `driver` carries out.
    pub fn new(driver: Arc<dyn Driver>) -> Self {
        Self { driver }
    }

    async fn perform(&self, effect: Effect) -> Answer {
        let (reply, answer) = Reply::pair();
        self.driver.perform(effect, reply);
        match answer.await {
            Ok(answer) => answer,
            // The driver is gone, and with it whoever could go on: this is what the moment of a crash looks like.
            Err(_) => std::future::pending().await,
        }
    }

    /// What the clocks show.
    pub fn now(&self) -> Now {
        self.driver.now()
    }

    /// The clock, as statements write it.
    ///
    /// # Errors
    /// [`ClientError::Declined`] if the clock stands before 1970 or after 9999.
    pub fn timestamp(&self) -> Result<Timestamp, ClientError> {
        let seconds = i64::try_from(self.now().unix_ms / 1000).ok();
        let timestamp = seconds.and_then(|seconds| Timestamp::from_unix_seconds(seconds).ok());
        timestamp.ok_or_else(|| ClientError::Declined {
            what: "this machine's clock is wrong".to_owned(),
            next: "Set it, then " + NextStep::Again + ".",
        })
    }

    /// The device key's signature over `bytes`, unverified.
    ///
    /// # Errors
    /// [`ClientError::DeviceKeyGone`].
    pub(crate) async fn sign(&self, bytes: &[u8]) -> Result<[u8; 64], ClientError> {
        match self.perform(Effect::Sign(bytes.to_vec())).await {
            Answer::Signature(signature) => Ok(signature),
            Answer::Gone => Err(ClientError::DeviceKeyGone),
            other => Err(unexpected(&other)),
        }
    }

    /// Has the device key sign a statement, and checks that it did.
    ///
    /// # Errors
    /// [`ClientError::DeviceKeyGone`]; [`ClientError::Bug`] if something else signed.
    pub(crate) async fn sign_statement<T: Statement>(
        &self,
        unsigned: Unsigned<T>,
    ) -> Result<Envelope<T>, ClientError> {
        let signature = self.sign(unsigned.to_be_signed()).await?;
        Ok(unsigned.attach(&signature)?)
    }

    pub(crate) async fn fetch(&self, request: Request) -> Result<Response, NoAnswer> {
        match self.perform(Effect::Fetch(request)).await {
            Answer::Response(response) => Ok(response),
            Answer::NoAnswer(none) => Err(none),
            _ => Err(NoAnswer::Lost("an answer to something else came".to_owned())),
        }
    }

    pub(crate) async fn load(&self, key: &str) -> Result<Option<Bytes>, ClientError> {
        match self.perform(Effect::Load(vec![key.to_owned()])).await {
            Answer::Records(records) => Ok(records.into_iter().next().flatten()),
            other => Err(failed(other)),
        }
    }

    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<RecordName>, ClientError> {
        match self.perform(Effect::List(prefix.to_owned())).await {
            Answer::Names(names) => Ok(names),
            other => Err(failed(other)),
        }
    }

    /// All of `changes`, durably, or none.
    pub(crate) async fn commit(&self, changes: Vec<Change>) -> Result<(), ClientError> {
        match self.perform(Effect::Commit(changes)).await {
            Answer::Done => Ok(()),
            other => Err(failed(other)),
        }
    }

    /// `None` if another holds it, and [`Locking::Try`] was said.
    pub(crate) async fn lock(&self, name: &str, locking: Locking) -> Result<Option<Lock>, ClientError> {
        let (reply, answer) = Reply::pair();
        self.driver.perform(Effect::Lock { name: name.to_owned(), locking }, reply);
        let mut awaited = AwaitedLock { effects: self, name, answer };
        match (&mut awaited.answer).await {
            Ok(Answer::Locked(true)) => Ok(Some(Lock { effects: self.clone(), name: name.to_owned() })),
            Ok(Answer::Locked(false)) => Ok(None),
            Ok(other) => Err(failed(other)),
            Err(_) => std::future::pending().await,
        }
    }

    /// What `work` makes, on a thread of its own where there are some.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ClientError> {
        match self.perform(Effect::Run(Job::new(work))).await {
            Answer::Ran(done) => {
                done.result().ok_or_else(|| ClientError::Bug("the result of another job came".to_owned()))
            }
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        if time == Duration::MAX {
            std::future::pending::<()>().await;
        }
        self.perform(Effect::Sleep(time)).await;
    }
}

fn failed(answer: Answer) -> ClientError {
    match answer {
        Answer::Failed(StoreFailure { place, why }) => ClientError::Disk { place, why },
        other => unexpected(&other),
    }
}

fn unexpected(answer: &Answer) -> ClientError {
    ClientError::Bug(format!("an answer to something else came: {answer:?}"))
}
