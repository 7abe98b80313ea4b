//! The homes of the world: records, locks, and what a crash or a bad disk leaves of a commit.

use std::collections::BTreeMap;

use bytes::Bytes;
use vault_engine::effects::{Change, RecordName, StoreFailure};
use vault_engine::error::{IoFailure, IoFailureKind};

use crate::random::Random;

/// A home's records, as they lie on its disk.
#[derive(Default)]
pub(crate) struct Disk {
    records: BTreeMap<String, Record>,
    /// Who holds which lock: a program and the life in which it took it.
    pub(crate) locks: BTreeMap<String, (usize, u64)>,
    pub(crate) health: Health,
}

struct Record {
    bytes: Vec<u8>,
    changed_ms: u64,
}

/// What a disk does with what is asked of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Health {
    #[default]
    Well,
    /// Now and then it fails.
    Failing,
    /// It takes nothing more.
    Full,
    /// It lets nobody write.
    ReadOnly,
}

impl Disk {
    pub(crate) fn read(&self, key: &str) -> Option<&[u8]> {
        self.records.get(key).map(|record| record.bytes.as_slice())
    }

    pub(crate) fn json(&self, key: &str) -> Option<serde_json::Value> {
        serde_json::from_slice(self.read(key)?).ok()
    }

    pub(crate) fn load(&self, keys: &[String]) -> Vec<Option<Bytes>> {
        keys.iter().map(|key| self.read(key).map(Bytes::copy_from_slice)).collect()
    }

    pub(crate) fn list(&self, prefix: &str) -> Vec<RecordName> {
        let found = self.records.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        found
            .map(|(key, record)| RecordName {
                changed_ms: record.changed_ms,
                key: key.clone(),
                length: record.bytes.len() as u64,
            })
            .collect()
    }

    pub(crate) fn apply(&mut self, change: &Change, now_ms: u64) {
        let mut now_ms = now_ms;
        // The engine sorts by this time and then by ids, which no seed gives.
        while self.records.values().any(|record| record.changed_ms == now_ms) {
            now_ms += 1;
        }
        match change {
            Change::Put(key, bytes) => {
                self.records.insert(key.clone(), Record { bytes: bytes.to_vec(), changed_ms: now_ms });
            }
            Change::Append(key, bytes) => {
                let record =
                    self.records.entry(key.clone()).or_insert(Record { bytes: Vec::new(), changed_ms: 0 });
                record.bytes.extend_from_slice(bytes);
                record.changed_ms = now_ms;
            }
            Change::Truncate(key, length) => {
                if let Some(record) = self.records.get_mut(key) {
                    record.bytes.truncate(usize::try_from(*length).unwrap_or(usize::MAX));
                    record.changed_ms = now_ms;
                }
            }
            Change::Delete(key) => drop(self.records.remove(key)),
            Change::Touch(key, at_ms) => {
                let mut at_ms = *at_ms;
                while self.records.iter().any(|(other, record)| other != key && record.changed_ms == at_ms) {
                    at_ms += 1;
                }
                if let Some(record) = self.records.get_mut(key) {
                    record.changed_ms = at_ms;
                }
            }
        }
    }

    /// What is there of a commit that nobody was told is done: all, nothing, or what a machine leaves that makes the
    /// changes one after the other, the last of them possibly torn.
    pub(crate) fn apply_some(&mut self, changes: &[Change], now_ms: u64, random: &mut Random) {
        let whole = match random.below(4) {
            0 => 0,
            1 => changes.len(),
            _ => random.below(changes.len() + 1),
        };
        for change in changes.iter().take(whole) {
            self.apply(change, now_ms);
        }
        if let Some(Change::Append(key, bytes)) = changes.get(whole)
            && random.happens(1, 2)
        {
            let torn = bytes.slice(..random.below(bytes.len()));
            self.apply(&Change::Append(key.clone(), torn), now_ms);
        }
    }

    /// Bytes that a commit would take.
    pub(crate) fn growth(changes: &[Change]) -> usize {
        let bytes = |change: &Change| match change {
            Change::Put(_, bytes) | Change::Append(_, bytes) => bytes.len(),
            Change::Truncate(..) | Change::Delete(_) | Change::Touch(..) => 0,
        };
        changes.iter().map(bytes).sum()
    }

    /// Lets go of everything that a dead program held.
    pub(crate) fn free_locks(&mut self, program: usize) {
        self.locks.retain(|_, (holder, _)| *holder != program);
    }
}

pub(crate) fn failure(kind: IoFailureKind) -> StoreFailure {
    StoreFailure { place: "the home".to_owned(), why: IoFailure::new(kind, "said by a simulated disk") }
}
