use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{MAX_WORDS, is_ascending, is_plain_label, unknown_word};
use crate::envelope::Statement;
use crate::ids::{AccountId, OrganisationId, PublicKey};
use crate::timestamp::Timestamp;

/// What an organisation certifies an account to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// May read recordings of which it is the patient, and seal them.
    Patient,
    /// May read recordings of which it is the clinician, and seal them.
    Clinician,
    /// May seal recordings for any patient and clinician of the organisation; reads none.
    Recorder,
    /// May check the server's records; reads no recording.
    Auditor,
    /// Decides with others how long recordings are kept; reads no recording.
    Custodian,
}

impl Role {
    /// All roles, as the command line lists them.
    pub const ALL: [Self; 5] =
        [Self::Patient, Self::Clinician, Self::Recorder, Self::Auditor, Self::Custodian];

    /// All roles by ascending word, as issuer certificates have them.
    pub fn ascending() -> Vec<Self> {
        let mut roles = Self::ALL.to_vec();
        roles.sort_unstable_by_key(|role| role.name());
        roles
    }

    /// The word for it in certificates and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Clinician => "clinician",
            Self::Recorder => "recorder",
            Self::Auditor => "auditor",
            Self::Custodian => "custodian",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or("the roles are patient, clinician, recorder, auditor, custodian")
    }
}

/// Most issuers that an issuer certificate ends.
const MAX_ENDED: usize = 16;
/// Most guardians of an account.
const MAX_GUARDIANS: usize = 4;

/// An issuer whose word ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndedIssuer {
    /// The issuer's Ed25519 public key.
    pub issuer: PublicKey,
    /// First second at which its certificates do not count any more.
    pub from: Timestamp,
}

/// The organisation root's word that a key may issue certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerCertificate {
    /// The organisation: the labelled hash of `root`.
    pub organisation: OrganisationId,
    /// The organisation's root public key, which signs this certificate.
    pub root: PublicKey,
    /// The issuer's Ed25519 public key.
    pub issuer: PublicKey,
    /// First second at which it counts.
    pub not_before: Timestamp,
    /// First second at which it no longer counts.
    pub not_after: Timestamp,
    /// Number of it among the issuer certificates of the organisation, from 1. The highest one seen says for all of
    /// them what has ended and whether revocations are needed.
    pub number: u64,
    /// Issuers that ended, ascending.
    pub ended: Vec<EndedIssuer>,
    /// Whether sealing and granting need revocations in force.
    pub revocations: bool,
    /// The roles that certificates of this issuer may have, by ascending word.
    pub roles: Vec<Role>,
}

impl IssuerCertificate {
    /// From when on the certificates of `issuer` do not count, if this ends them.
    pub fn end_of(&self, issuer: &PublicKey) -> Option<Timestamp> {
        self.ended.iter().find(|ended| ended.issuer == *issuer).map(|ended| ended.from)
    }
}

impl Statement for IssuerCertificate {
    const PAYLOAD_TYPE: &'static str = "application/vnd.recording-vault.issuer-certificate.v1+json";
    const NAME: &'static str = "issuer certificate";

    fn check(&self) -> Result<(), &'static str> {
        if self.organisation != OrganisationId::of_root(&self.root) {
            return Err("the organisation is not the hash of the root key");
        }
        if !self.root.is_usable() || !self.issuer.is_usable() {
            return Err("a key of it is no point that signatures can be checked with");
        }
        if self.not_before >= self.not_after {
            return Err("it ends before it begins");
        }
        if self.number == 0 {
            return Err("its number is 0");
        }
        if self.ended.len() > MAX_ENDED || !is_ascending(self.ended.iter().map(|ended| ended.issuer)) {
            return Err("it ends more than 16 issuers, or they do not ascend");
        }
        if !self.ended.iter().all(|ended| ended.issuer.is_usable()) {
            return Err("an issuer that it ends is no point that signatures can be checked with");
        }
        let words = self.roles.iter().map(|role| role.name());
        if self.roles.is_empty() || self.roles.len() > MAX_WORDS || !is_ascending(words) {
            return Err("its roles are not 1 to 16 words that ascend");
        }
        Ok(())
    }

    fn unknown_choice(payload: &serde_json::Value) -> Option<String> {
        unknown_word::<Role>("role", payload.get("roles")?)
    }
}

/// Another account that acts for one until a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardian {
    /// The guardian's account.
    pub account: AccountId,
    /// First second at which it is guardian no longer.
    pub until: Timestamp,
}

/// An issuer's word that an account has a role in the organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The organisation.
    pub organisation: OrganisationId,
    /// The account.
    pub account: AccountId,
    /// Its role.
    pub role: Role,
    /// What people call the account: at most 128 characters, none of which controls a terminal. The server sees it.
    pub label: Option<String>,
    /// When it was signed. Of two certificates of an account the one that was issued later is the newer one, whatever
    /// time they are for: an end may lie before the beginning of the certificate that it ends.
    pub issued: Timestamp,
    /// First second at which it counts.
    pub not_before: Timestamp,
    /// First second at which it no longer counts.
    pub not_after: Timestamp,
    /// The account of the same person in whose place this one stands.
    pub succeeds: Option<AccountId>,
    /// Its guardians, by ascending account.
    pub guardians: Vec<Guardian>,
}

impl Statement for Certificate {
    const PAYLOAD_TYPE: &'static str = "application/vnd.recording-vault.certificate.v1+json";
    const NAME: &'static str = "certificate";

    fn check(&self) -> Result<(), &'static str> {
        if self.not_before >= self.not_after {
            return Err("it ends before it begins");
        }
        if !self.label.as_deref().is_none_or(is_plain_label) {
            return Err("its label is too long or has characters that a label may not have");
        }
        if self.succeeds == Some(self.account) {
            return Err("its account succeeds itself");
        }
        let accounts = || self.guardians.iter().map(|guardian| guardian.account);
        if self.guardians.len() > MAX_GUARDIANS || !is_ascending(accounts()) {
            return Err("it has more than 4 guardians, or they do not ascend");
        }
        if accounts().any(|guardian| guardian == self.account) {
            return Err("its account is its own guardian");
        }
        Ok(())
    }

    fn unknown_choice(payload: &serde_json::Value) -> Option<String> {
        unknown_word::<Role>("role", &serde_json::Value::from(vec![payload.get("role")?.clone()]))
    }
}
