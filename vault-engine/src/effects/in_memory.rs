//! A machine of which nothing outlives a test: a home in memory, jobs done at once, no server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::{Answer, Change, Driver, Effect, Effects, NoAnswer, Now, RecordName, Reply, StoreFailure};
use crate::error::{IoFailure, IoFailureKind};
use crate::home::Home;

/// Half past midnight on a day of 2026.
const NOW_MS: u64 = 1_795_000_000_000;

/// A home with nothing in it.
pub(crate) fn home() -> Home {
    Home::new(Effects::new(Arc::<InMemory>::default()), "home")
}

/// The machine itself.
#[derive(Default)]
pub(crate) struct InMemory {
    records: Mutex<BTreeMap<String, Vec<u8>>>,
}

/// A record by which a test says how many more commits the home takes.
const COMMITS_LEFT: &str = "commits-left";

/// From now on the home takes so many more commits, or any number of them.
pub(crate) fn limit_commits(home: &Home, left: Option<u8>) {
    let change = match left {
        Some(left) => Change::Put(COMMITS_LEFT.to_owned(), vec![left].into()),
        None => Change::Delete(COMMITS_LEFT.to_owned()),
    };
    let committed = futures_executor::block_on(home.commit(vec![change]));
    assert!(committed.is_ok(), "this commit is always taken");
}

fn is_limit(changes: &[Change]) -> bool {
    matches!(changes, [Change::Put(key, _) | Change::Delete(key)] if key == COMMITS_LEFT)
}

impl Driver for InMemory {
    fn perform(&self, effect: Effect, reply: Reply) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        reply.answer(match effect {
            Effect::Sign(_) => Answer::Gone,
            Effect::Fetch(_) => Answer::NoAnswer(NoAnswer::Lost("there is no server".to_owned())),
            Effect::Load(keys) => {
                Answer::Records(keys.iter().map(|key| records.get(key).cloned().map(Bytes::from)).collect())
            }
            Effect::List(prefix) => {
                let fits = records.iter().filter(|(key, _)| key.starts_with(&prefix));
                let name = |(key, bytes): (&String, &Vec<u8>)| RecordName {
                    key: key.clone(),
                    length: bytes.len() as u64,
                    changed_ms: NOW_MS,
                };
                Answer::Names(fits.map(name).collect())
            }
            Effect::Commit(changes)
                if !is_limit(&changes) && records.get(COMMITS_LEFT).is_some_and(|left| left == &[0]) =>
            {
                let why = IoFailure::new(IoFailureKind::Full, "the test says so");
                Answer::Failed(StoreFailure { place: "home".to_owned(), why })
            }
            Effect::Commit(changes) => {
                if let Some([left]) = records.get_mut(COMMITS_LEFT).map(Vec::as_mut_slice)
                    && !is_limit(&changes)
                {
                    *left -= 1;
                }
                for change in changes {
                    match change {
                        Change::Put(key, bytes) => drop(records.insert(key, bytes.into())),
                        Change::Append(key, bytes) => {
                            records.entry(key).or_default().extend_from_slice(&bytes)
                        }
                        Change::Truncate(key, length) => {
                            let length = usize::try_from(length).unwrap_or(usize::MAX);
                            records.entry(key).or_default().truncate(length);
                        }
                        Change::Delete(key) => drop(records.remove(&key)),
                        Change::Touch(..) => {}
                    }
                }
                Answer::Done
            }
            Effect::Lock { .. } => Answer::Locked(true),
            Effect::Run(job) => Answer::Ran(job.perform()),
            Effect::Unlock(_) | Effect::Sleep(_) => Answer::Done,
        });
    }

    fn now(&self) -> Now {
        Now { unix_ms: NOW_MS, running: Duration::ZERO }
    }
}
