//! What must be true, by somebody who knows everything: what was recorded, what lies on each disk, what each program
//! was told.

use std::collections::{BTreeMap, BTreeSet};

use vault_engine::effects::Change;
use vault_engine::home::own_list::OwnList;
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::recording_list::ListEntry;

use crate::machine::World;

#[derive(Default)]
pub(crate) struct Oracle {
    homes: [Remembered; 2],
    /// What the petnames of one part of one program are, as far as it was told.
    pub(crate) names: BTreeMap<String, BTreeSet<Option<String>>>,
    /// Programs in which a person answers a comparison at this moment.
    pub(crate) answering: BTreeSet<usize>,
    /// How often each home has become one that nobody can write to.
    pub(crate) read_only: [u64; 2],
}

/// What was durable in a home before.
#[derive(Default)]
struct Remembered {
    list: Option<OwnList>,
    pins: BTreeMap<String, serde_json::Value>,
}

impl World {
    /// Looks at what a commit has made of a home.
    pub(crate) fn look_at_home(&mut self, home: usize, changes: &[Change]) {
        for change in changes {
            let (Change::Put(key, _)
            | Change::Append(key, _)
            | Change::Truncate(key, _)
            | Change::Delete(key)
            | Change::Touch(key, _)) = change;
            if key == "list.json" {
                self.look_at_list(home);
            } else if key.starts_with("pins/") {
                self.look_at_pin(home, key);
            }
        }
    }

    fn durable_list(&self, home: usize) -> Option<OwnList> {
        serde_json::from_slice(self.homes[home].read("list.json")?).ok()
    }

    /// The account's list as it lies on the disk.
    pub(crate) fn known(&self, home: usize) -> Vec<ListEntry> {
        self.durable_list(home).map(|list| list.object.recordings).unwrap_or_default()
    }

    pub(crate) fn known_of(&self, home: usize, recording: RecordingId) -> Option<ListEntry> {
        self.known(home).into_iter().find(|entry| entry.recording == recording)
    }

    fn look_at_list(&mut self, home: usize) {
        let list = self.durable_list(home);
        let before = self.oracle.homes[home].list.take();
        let mut wrong = Vec::new();
        match (&before, &list) {
            (None, None) => {}
            (Some(_), None) => wrong.push("the account's own list is gone".to_owned()),
            (before, Some(list)) => {
                let number = list.statement.unverified().number;
                let before_number = before.as_ref().map_or(0, |list| list.statement.unverified().number);
                let before_digest = before.as_ref().map(|list| list.statement.digest());
                let same = before.as_ref() == Some(list);
                let follows = number == before_number + 1
                    && list.statement.unverified().previous == before_digest
                    && list.history.len() as u64 == number
                    && list.history.last() == Some(&list.statement.digest());
                if !same && !follows {
                    wrong.push(format!("own list {number} does not go on from own list {before_number}"));
                }
                let entries = list.object.by_recording();
                for known in before.iter().flat_map(|list| &list.object.recordings) {
                    let now = entries.get(&known.recording);
                    let ends = self.server.seen.ends_of(known.recording);
                    let mut ends = ends.filter(|(_, superseded)| *superseded == known.final_seal);
                    let kept = now.is_some_and(|now| {
                        now.manifest == known.manifest
                            && (known.final_seal.is_none()
                                || now.final_seal == known.final_seal
                                || ends.any(|(end, _)| now.final_seal == Some(end)))
                    });
                    if !kept {
                        wrong.push(format!("the own list forgot what it knew of {}", known.recording));
                    }
                }
                for entry in &list.object.recordings {
                    if !self.is_true(entry) {
                        wrong.push(format!("the own list names {} as it never was", entry.recording));
                    }
                }
            }
        }
        self.violations.append(&mut wrong);
        self.oracle.homes[home].list = list;
    }

    /// Whether somebody with the sealer's key ever signed a recording like this.
    pub(crate) fn is_true(&self, entry: &ListEntry) -> bool {
        self.truth.iter().any(|truth| {
            truth.id == entry.recording
                && truth.manifest == entry.manifest
                && entry.final_seal.is_none_or(|end| self.ends_of(truth.id).contains(&end))
        })
    }

    fn ends_of(&self, recording: RecordingId) -> Vec<Digest> {
        let truth = self.truth.iter().find(|truth| truth.id == recording);
        let ends = truth.into_iter().flat_map(|truth| [&truth.end, &truth.other_end]);
        let ends = ends.filter_map(|end| end.as_ref().map(|end| end.digest));
        ends.chain(self.server.seen.ends_of(recording).map(|(end, _)| end)).collect()
    }

    fn look_at_pin(&mut self, home: usize, key: &str) {
        let now = self.homes[home].json(key);
        let before = self.oracle.homes[home].pins.remove(key);
        if let Some(now) = now {
            if let Some(before) = &before {
                let number = |pin: &serde_json::Value| pin.get("number").and_then(serde_json::Value::as_u64);
                if number(&now) < number(before) {
                    self.violation(format!("{key} went back to an older key list"));
                }
                if number(&now) == number(before) && now.get("key_list") != before.get("key_list") {
                    self.violation(format!("{key} took another key list of the same number"));
                }
                if before.get("organisation") != now.get("organisation") {
                    self.violation(format!("{key} took another organisation"));
                }
                let answers = self.oracle.answering.iter();
                let answered = answers.copied().any(|program| self.programs[program].home == home);
                if before.get("standing") != now.get("standing") && !answered {
                    self.violation(format!("{key}: what people found is another, and nobody said so"));
                }
            }
            self.oracle.homes[home].pins.insert(key.to_owned(), now);
        } else if before.is_some() {
            self.violation(format!("{key} is gone"));
        }
    }
}
