use serde::{Deserialize, Serialize};

use super::Member;
use crate::envelope::Statement;
use crate::ids::Digest;
use crate::timestamp::Timestamp;

/// What an export holds: signed by the device that made it, once all of its files were there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// The account that took its recordings home, with what proves that a device of it signed the list and this.
    pub member: Member,
    /// Digest of the account's list of recordings at that time.
    pub list: Digest,
    /// When it was made, by the device's clock.
    pub created: Timestamp,
    /// SHA-256 of the file `SHA256SUMS`, which names every other file of the export.
    pub sums: Digest,
}

impl Statement for Export {
    const PAYLOAD_TYPE: &'static str = "application/vnd.recording-vault.export.v1+json";
    const NAME: &'static str = "export";

    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}
