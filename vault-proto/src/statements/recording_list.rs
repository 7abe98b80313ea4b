use serde::{Deserialize, Serialize};

use crate::envelope::Statement;
use crate::ids::{AccountId, Digest, OrganisationId};
use crate::timestamp::Timestamp;

/// Which recordings an account knows of; signed by a device of the account. Each list names the one before, and drops
/// nothing that this one named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingList {
    /// The account whose list it is.
    pub account: AccountId,
    /// The organisation under which it was made.
    pub organisation: OrganisationId,
    /// Number of the list, from 1.
    pub number: u64,
    /// Digest of the list before; null for number 1.
    pub previous: Option<Digest>,
    /// When it was made, by the device's clock.
    pub created: Timestamp,
    /// How many recordings it names.
    pub recordings: u64,
    /// SHA-256 of the list object that names them.
    pub entries: Digest,
}

impl Statement for RecordingList {
    const PAYLOAD_TYPE: &'static str = "application/vnd.recording-vault.recording-list.v1+json";
    const NAME: &'static str = "list of recordings";

    fn check(&self) -> Result<(), &'static str> {
        if self.number == 0 || (self.number == 1) != self.previous.is_none() {
            return Err("the number and the list before do not fit each other");
        }
        Ok(())
    }
}
