use serde::{Deserialize, Serialize};

use crate::envelope::Statement;
use crate::ids::{Digest, OrganisationId};
use crate::timestamp::Timestamp;

/// Most seconds for which revocations count.
const MAX_LIFETIME: i64 = 7 * 24 * 3600;

/// An issuer's word for which accounts ended before their certificates, and how far their key lists are at the least
/// (FORMAT.md, "Revocations").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocations {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Number of it among the revocations of the organisation, from 1.
    pub number: u64,
    /// Digest of the revocations before; null for number 1.
    pub previous: Option<Digest>,
    /// When it was signed.
    pub created: Timestamp,
    /// First second at which nothing is sealed or granted by it any more.
    pub expires: Timestamp,
    /// SHA-256 of the entries object, alone in a list.
    pub entries: Vec<Digest>,
}

impl Statement for Revocations {
    const PAYLOAD_TYPE: &'static str = "application/vnd.recording-vault.revocations.v1+json";
    const NAME: &'static str = "list of revocations";

    fn check(&self) -> Result<(), &'static str> {
        if self.number == 0 || (self.number == 1) != self.previous.is_none() {
            return Err("the number and the revocations before do not fit each other");
        }
        if self.expires <= self.created || self.expires > self.created.saturating_add(MAX_LIFETIME) {
            return Err("it does not expire within 7 days after it was made");
        }
        if self.entries.len() != 1 {
            return Err("it does not name one object of entries");
        }
        Ok(())
    }

    fn unknown_choice(payload: &serde_json::Value) -> Option<String> {
        let objects = payload.get("entries")?.as_array()?.len();
        (objects > 1).then(|| format!("{objects} objects of entries"))
    }
}
