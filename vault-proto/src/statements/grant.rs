use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::manifest::unknown_reader_role;
use super::{Member, Reader, ReaderRole, is_ascending};
use crate::envelope::Statement;
use crate::ids::{AccountId, Digest, KeyId};
use crate::timestamp::Timestamp;

/// Most readers of a recording.
const MAX_READERS: usize = 16;
/// Most members of a grant: all of its readers, and who signs it if that is none of them.
const MAX_MEMBERS: usize = MAX_READERS + 1;

/// Who reads a recording from now on, all of them: signed by a device of one of those who read it so far. With it comes
/// a key object of its own, which wraps the recording's key to these readers (FORMAT.md, "Grants").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Digest of the recording's manifest.
    pub manifest: Digest,
    /// Its place among the grants of the recording, from 1: the generation of its key object.
    pub number: u64,
    /// Digest of the grant before it, whether or not that counts; null exactly for number 1.
    pub previous: Option<Digest>,
    /// The readers, in the order of the key object's stanzas.
    pub readers: Vec<Reader>,
    /// SHA-256 of the key object of this generation.
    pub key_object: Digest,
    /// Account whose device grants.
    pub grantor: AccountId,
    /// Key id of the device key that signs this.
    pub grantor_key: KeyId,
    /// Its place among all manifests and grants that the device key signs, from 1: none is used twice.
    pub sequence: u64,
    /// The accounts that a rule of the change needs, each once, ascending by account.
    pub members: Vec<Member>,
    /// When it was signed, by the clock of the device.
    pub created: Timestamp,
}

impl Statement for Grant {
    const PAYLOAD_TYPE: &'static str = "application/vnd.recording-vault.grant.v1+json";
    const NAME: &'static str = "grant";

    fn check(&self) -> Result<(), &'static str> {
        if self.number == 0 || self.sequence == 0 {
            return Err("grants are numbered from 1");
        }
        if self.previous.is_some() != (self.number > 1) {
            return Err("it names a grant before it exactly if it is not the first");
        }
        if self.readers.is_empty() || self.readers.len() > MAX_READERS {
            return Err("it has no reader, or more than 16");
        }
        let accounts: BTreeSet<AccountId> = self.readers.iter().map(|reader| reader.account).collect();
        if accounts.len() != self.readers.len() {
            return Err("an account is a reader twice");
        }
        if !is_ascending(self.readers.iter().map(|reader| (reader.role, reader.account))) {
            return Err("its readers are not in their order");
        }
        let has_its_end = |reader: &Reader| match reader.role {
            ReaderRole::Patient | ReaderRole::Clinician => reader.until.is_none(),
            ReaderRole::Guardian => reader.until.is_some(),
            ReaderRole::Reader => true,
        };
        if !self.readers.iter().all(has_its_end) {
            return Err("a patient or clinician reads for good, and a guardian until a time");
        }
        let ascend = is_ascending(self.members.iter().map(|member| member.account));
        if self.members.is_empty() || self.members.len() > MAX_MEMBERS || !ascend {
            return Err("its members are not 1 to 17 accounts that ascend");
        }
        Ok(())
    }

    fn unknown_choice(payload: &serde_json::Value) -> Option<String> {
        unknown_reader_role(payload)
    }
}
