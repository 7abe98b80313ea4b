//! The recordings that an account knows of: a list object, and the signed statements over it (FORMAT.md, "Lists and
//! exports").
//!
//! Each list goes on from the one before: a recording stays what it was, and its end, once named, does not go away; it
//! gives way only to one that its sealer signed in its place and that names it. So whoever holds two lists of an
//! account can say what the newer one should have and has not.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::envelope::{Envelope, StatementError, Verified, place};
use crate::ids::{Digest, RecordingId};
use crate::members::{SignedMember, TrustError, TrustProblem};
use crate::recording::{Refusal, unreadable};
use crate::statements::{DeviceRole, Export, RecordingList};

/// Most bytes of a list object: some 300,000 recordings.
pub const MAX_LIST: usize = 64 * 1024 * 1024;

const NAME: &str = "list object";

/// One recording of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListEntry {
    /// The recording.
    pub recording: RecordingId,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Digest of its final seal; null for as long as it had none.
    #[serde(deserialize_with = "present")]
    pub final_seal: Option<Digest>,
}

/// A nullable field that must be there: without this a missing one would be taken for `null`.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Digest>, D::Error> {
    Option::deserialize(deserializer)
}

/// What an account is shown of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// As a list would name it.
    pub entry: ListEntry,
    /// The end in whose place its final seal was signed, as that says.
    pub supersedes: Option<Digest>,
}

impl From<ListEntry> for Shown {
    fn from(entry: ListEntry) -> Self {
        Self { entry, supersedes: None }
    }
}

/// What an account learns from what it is shown of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learnt {
    /// Nothing that it did not know.
    Nothing,
    /// The recording, or its end.
    More,
    /// Another end than the known one, which it names: its sealer had lost what the known one was signed over.
    OtherEnd,
}

/// The list object: recordings in the order in which the account learned of them, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListObject {
    /// The recordings.
    pub recordings: Vec<ListEntry>,
}

/// A list whose signature, object and signer were checked.
#[derive(Debug, Clone)]
pub struct CheckedList {
    statement: Verified<RecordingList>,
    object: ListObject,
}

impl ListObject {
    /// Parses a list object in its canonical spelling.
    ///
    /// # Errors
    /// [`StatementError`], also if a recording is named twice.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        let malformed = |reason: String| StatementError::Payload { name: NAME, reason };
        if bytes.len() > MAX_LIST {
            return Err(StatementError::Envelope(NAME));
        }
        let object: Self = serde_json::from_slice(bytes).map_err(|error| malformed(place(&error)))?;
        if object.to_bytes()? != bytes {
            return Err(StatementError::Envelope(NAME));
        }
        if object.by_recording().len() != object.recordings.len() {
            return Err(malformed("it names a recording twice".to_owned()));
        }
        Ok(object)
    }

    /// The object's bytes; the statement carries their SHA-256.
    ///
    /// # Errors
    /// [`StatementError::Payload`] if it cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StatementError> {
        serde_json::to_vec(self)
            .map_err(|error| StatementError::Payload { name: NAME, reason: error.to_string() })
    }

    /// Its entries by recording.
    pub fn by_recording(&self) -> HashMap<RecordingId, ListEntry> {
        self.recordings.iter().map(|entry| (entry.recording, *entry)).collect()
    }

    /// Whether what an account is shown of a recording can stand beside what it knows of it, and what it would learn.
    ///
    /// # Errors
    /// [`Refusal::MixUp`] if the recording is known with another manifest, [`Refusal::Damaged`] if it is known with
    /// another end that the one shown does not name.
    pub fn check(&self, shown: impl Into<Shown>) -> Result<Learnt, Refusal> {
        let shown = shown.into();
        match self.recordings.iter().find(|known| known.recording == shown.entry.recording) {
            Some(known) => known.agrees_with(shown),
            None => Ok(Learnt::More),
        }
    }

    /// Has the account know what it was `shown`. A recording that is known with its end, and shown without, stays as it
    /// is known.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn learn(&mut self, shown: impl Into<Shown>) -> Result<Learnt, Refusal> {
        let shown = shown.into();
        let entry = shown.entry;
        let Some(known) = self.recordings.iter_mut().find(|known| known.recording == entry.recording) else {
            self.recordings.push(entry);
            return Ok(Learnt::More);
        };
        let learnt = known.agrees_with(shown)?;
        if learnt != Learnt::Nothing {
            known.final_seal = entry.final_seal;
        }
        Ok(learnt)
    }
}

impl ListEntry {
    /// Whether what is shown of a recording can stand beside this, which is known of it, and what is learnt from it.
    ///
    /// # Errors
    /// As [`ListObject::check`].
    pub fn agrees_with(self, shown: impl Into<Shown>) -> Result<Learnt, Refusal> {
        let Shown { entry: shown, supersedes } = shown.into();
        if self.manifest != shown.manifest {
            return Err(Refusal::MixUp(format!(
                "the manifest of {} is not the one that this account's list names",
                shown.recording
            )));
        }
        match (self.final_seal, shown.final_seal) {
            (None, Some(_)) => Ok(Learnt::More),
            (Some(known), Some(shown_end)) if known == shown_end => Ok(Learnt::Nothing),
            (Some(known), Some(_)) if supersedes == Some(known) => Ok(Learnt::OtherEnd),
            (Some(_), Some(_)) => Err(Refusal::Damaged(format!(
                "the end of {} is not the one that this account's list names",
                shown.recording
            ))),
            (_, None) => Ok(Learnt::Nothing),
        }
    }
}

impl CheckedList {
    /// Checks a list: of the member, signed by one of its devices, and of this object. Whether the member's certificate
    /// counted when the list was made is not asked: an account speaks for itself also after its certificate has ended.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(
        member: &SignedMember,
        statement: &Envelope<RecordingList>,
        object: &[u8],
    ) -> Result<Self, Refusal> {
        let statement = verify_own(member, statement)?;
        if statement.account != member.account() {
            return Err(Refusal::MixUp("it is the list of another account".to_owned()));
        }
        if statement.organisation != member.certificate().organisation {
            return Err(Refusal::NotEntitled("its list was made under another organisation".to_owned()));
        }
        if statement.entries != Digest::of(object) {
            return Err(Refusal::Damaged("the list object is not the one that was signed".to_owned()));
        }
        let object = ListObject::parse(object).map_err(unreadable)?;
        if object.recordings.len() as u64 != statement.recordings {
            return Err(Refusal::Damaged("the list does not name as many recordings as it says".to_owned()));
        }
        Ok(Self { statement, object })
    }

    /// The statement.
    pub const fn statement(&self) -> &Verified<RecordingList> {
        &self.statement
    }

    /// The recordings.
    pub const fn object(&self) -> &ListObject {
        &self.object
    }
}

/// Checks what was signed over the files of an export: by a device of the member, for this list and these sums.
///
/// # Errors
/// [`Refusal`].
pub fn check_export(
    member: &SignedMember,
    list: &CheckedList,
    export: &Envelope<Export>,
    sums: &[u8],
) -> Result<Verified<Export>, Refusal> {
    let export = verify_own(member, export)?;
    if export.member.account != member.account() {
        return Err(Refusal::MixUp("it is the export of another account".to_owned()));
    }
    if export.list != list.statement.digest() {
        return Err(Refusal::Damaged("the list of recordings is not the one it was made with".to_owned()));
    }
    if export.sums != Digest::of(sums) {
        return Err(Refusal::Damaged("SHA256SUMS is not the file that was signed".to_owned()));
    }
    Ok(export)
}

/// Checks a statement that an account's own device must have signed.
fn verify_own<T: crate::envelope::Statement + Clone>(
    member: &SignedMember,
    statement: &Envelope<T>,
) -> Result<Verified<T>, Refusal> {
    let key_id = statement.key_id();
    let device = member.device(key_id, DeviceRole::Auth).ok_or_else(|| {
        let problem = TrustProblem::KeyNotListed(key_id);
        Refusal::NotEntitled(TrustError { account: member.account(), problem }.to_string())
    })?;
    statement.verify(key_id, device).map_err(|error| Refusal::NotEntitled(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(recording: u8, manifest: u8, end: Option<u8>) -> ListEntry {
        ListEntry {
            recording: RecordingId::from_bytes([recording; 16]),
            manifest: Digest::from_bytes([manifest; 32]),
            final_seal: end.map(|end| Digest::from_bytes([end; 32])),
        }
    }

    #[test]
    fn a_list_only_grows() {
        let mut list = ListObject::default();
        for (shown, learnt) in [
            (entry(1, 1, None), Learnt::More),
            (entry(1, 1, None), Learnt::Nothing),
            (entry(2, 2, Some(9)), Learnt::More),
            (entry(1, 1, Some(8)), Learnt::More),
            // An end that is hidden later stays known.
            (entry(1, 1, None), Learnt::Nothing),
        ] {
            assert_eq!(list.check(shown).unwrap(), learnt);
            assert_eq!(list.learn(shown).unwrap(), learnt);
        }
        assert!(matches!(list.learn(entry(1, 3, None)), Err(Refusal::MixUp(_))));
        assert!(matches!(list.learn(entry(1, 1, Some(7))), Err(Refusal::Damaged(_))));
        assert_eq!(list.recordings, [entry(1, 1, Some(8)), entry(2, 2, Some(9))]);
    }

    #[test]
    fn an_end_gives_way_to_one_that_names_it_and_never_back() {
        let shown = |end, supersedes: Option<u8>| Shown {
            entry: entry(1, 1, end),
            supersedes: supersedes.map(|end| Digest::from_bytes([end; 32])),
        };
        let mut list = ListObject { recordings: vec![entry(1, 1, Some(8))] };
        for (end, supersedes) in [(7, None), (7, Some(6)), (7, Some(7))] {
            assert!(matches!(list.learn(shown(Some(end), supersedes)), Err(Refusal::Damaged(_))));
        }
        assert_eq!(list.learn(shown(Some(7), Some(8))), Ok(Learnt::OtherEnd));
        assert_eq!(list.recordings, [entry(1, 1, Some(7))]);
        assert_eq!(list.learn(shown(Some(7), Some(8))), Ok(Learnt::Nothing));
        assert!(matches!(list.learn(shown(Some(8), None)), Err(Refusal::Damaged(_))));
        assert_eq!(list.learn(shown(None, None)), Ok(Learnt::Nothing));
        assert_eq!(list.recordings, [entry(1, 1, Some(7))]);
    }

    #[test]
    fn a_list_object_has_one_spelling() {
        let list = ListObject { recordings: vec![entry(1, 1, None), entry(2, 2, Some(3))] };
        let bytes = list.to_bytes().unwrap();
        assert_eq!(ListObject::parse(&bytes).unwrap(), list);
        let text = String::from_utf8(bytes).unwrap();
        let twice = ListObject { recordings: vec![entry(1, 1, None), entry(1, 2, None)] };
        for wrong in [
            text.replace(':', ": "),
            text.replace(",\"final_seal\":null", ""),
            text.replacen('{', "{\"more\":1,", 1),
            text.replacen("[{", "[[", 1),
            format!("{text} "),
            String::from_utf8(twice.to_bytes().unwrap()).unwrap(),
        ] {
            assert!(ListObject::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
