//! Ten mistakes of a driver, a store or a server, planted to see that each is noticed.

use std::time::Duration;

use bytes::Bytes;
use vault_engine::effects::{Change, Request};

use crate::machine::World;

/// A broken contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// `Commit` is answered before anything of it is durable.
    AnswersBeforeDurable,
    /// Now and then a `Put` is left out of a commit that is called done.
    DropsPuts,
    /// The changes of a commit are made in the reverse order, so that a crash leaves the last ones alone.
    ReversesChanges,
    /// A lock has two holders.
    LocksTwice,
    /// The clock that nobody sets runs backwards.
    RunsBackwards,
    /// One request is sent twice.
    RepeatsFetches,
    /// `Sign` signs with another key.
    SignsWithAnotherKey,
    /// `Load` gives a record as it was before.
    LoadsOlderRecords,
    /// `Run` gives what came of another job.
    SwapsJobs,
    /// The server says that it has stored what it has not.
    ServerForgets,
}

impl Mistake {
    pub(crate) const ALL: [Self; 10] = [
        Self::AnswersBeforeDurable,
        Self::DropsPuts,
        Self::ReversesChanges,
        Self::LocksTwice,
        Self::RunsBackwards,
        Self::RepeatsFetches,
        Self::SignsWithAnotherKey,
        Self::LoadsOlderRecords,
        Self::SwapsJobs,
        Self::ServerForgets,
    ];
}

/// What the planted mistakes need to remember.
#[derive(Default)]
pub(crate) struct Planted {
    /// Records as they were before commits that are answered and not durable.
    undo: Vec<(usize, u64, String, Option<Vec<u8>>)>,
    older: std::collections::BTreeMap<(usize, String), Vec<u8>>,
}

impl World {
    fn plants(&mut self, mistake: Mistake, of: u64) -> bool {
        self.mistake == Some(mistake) && self.random.happens(1, of)
    }

    /// Whether a commit was made in a wrong way.
    pub(crate) fn mistaken_commit(&mut self, home: usize, changes: &[Change], now_ms: u64) -> bool {
        for change in changes {
            if let Change::Put(key, _) | Change::Append(key, _) | Change::Delete(key) = change {
                let before = self.homes[home].read(key).map(<[u8]>::to_vec);
                if self.mistake == Some(Mistake::LoadsOlderRecords)
                    && let Some(before) = &before
                {
                    self.planted.older.insert((home, key.clone()), before.clone());
                }
                if self.mistake == Some(Mistake::AnswersBeforeDurable) {
                    let steps = self.steps;
                    self.planted.undo.push((home, steps, key.clone(), before));
                }
            }
        }
        if self.plants(Mistake::DropsPuts, 10) {
            for change in changes.iter().filter(|change| !matches!(change, Change::Put(..))) {
                self.homes[home].apply(change, now_ms);
            }
            return true;
        }
        false
    }

    /// Loses what was answered and is not durable yet.
    pub(crate) fn undo_before_durable(&mut self, victims: &[usize]) {
        let homes: Vec<usize> = victims.iter().map(|victim| self.programs[*victim].home).collect();
        for (home, step, key, before) in std::mem::take(&mut self.planted.undo).into_iter().rev() {
            if step + 40 < self.steps || !homes.contains(&home) {
                continue;
            }
            let change = match before {
                Some(before) => Change::Put(key, before.into()),
                None => Change::Delete(key),
            };
            self.homes[home].apply(&change, 0);
        }
    }

    pub(crate) fn reverses(&self) -> bool {
        self.mistake == Some(Mistake::ReversesChanges)
    }

    pub(crate) fn gives_locks_twice(&self) -> bool {
        self.mistake == Some(Mistake::LocksTwice)
    }

    pub(crate) fn mistaken_running(&self, running: Duration) -> Duration {
        if self.mistake == Some(Mistake::RunsBackwards) {
            return Duration::from_secs(1_000_000).saturating_sub(running);
        }
        running
    }

    pub(crate) fn repeats_fetches(&mut self) -> bool {
        self.plants(Mistake::RepeatsFetches, 10)
    }

    pub(crate) fn mistaken_signature(&mut self, bytes: &[u8]) -> Option<[u8; 64]> {
        self.plants(Mistake::SignsWithAnotherKey, 20)
            .then(|| vault_core::signing_key::SigningKey::from_bytes(&[7; 32]).sign(bytes))
    }

    pub(crate) fn mistaken_load(&mut self, home: usize, keys: &[String]) -> Option<Vec<Option<Bytes>>> {
        if !self.plants(Mistake::LoadsOlderRecords, 4) {
            return None;
        }
        let older = |key: &String| self.planted.older.get(&(home, key.clone())).cloned().map(Bytes::from);
        let now = self.homes[home].load(keys);
        Some(keys.iter().zip(now).map(|(key, now)| older(key).or(now)).collect())
    }

    pub(crate) fn swaps_jobs(&self) -> bool {
        self.mistake == Some(Mistake::SwapsJobs)
    }

    /// Whether the server says yes, and forgets.
    pub(crate) fn forgets(&mut self, request: &Request) -> bool {
        Self::is_put(request) && self.plants(Mistake::ServerForgets, 20)
    }
}
