use serde::{Deserialize, Serialize};

use crate::envelope::Statement;
use crate::ids::{AccountId, ConsultationId, Digest, KeyId, OrganisationId, RecordingId, RecordingSalt};
use crate::timestamp::Timestamp;

/// How keys are wrapped. There is no negotiation: a reader refuses what it does not know (FORMAT.md, "Suites").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Suite {
    /// 1: `age1…` recipients, `X25519` stanzas.
    X25519,
    /// 2, the default: `age1pq1…` recipients, `mlkem768x25519` stanzas.
    Pq,
}

impl Suite {
    /// Name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X25519 => "x25519",
            Self::Pq => "pq",
        }
    }

    /// If `value` is the number of a suite that is not known: which.
    pub(super) fn unknown(value: &serde_json::Value) -> Option<String> {
        let unknown = value.is_u64() && serde_json::from_value::<Self>(value.clone()).is_err();
        unknown.then(|| format!("suite {value}"))
    }

    /// Tag of the recipient stanzas of this suite.
    pub const fn stanza_tag(self) -> &'static str {
        match self {
            Self::X25519 => "X25519",
            Self::Pq => "mlkem768x25519",
        }
    }
}

impl From<Suite> for u8 {
    fn from(suite: Suite) -> Self {
        match suite {
            Suite::X25519 => 1,
            Suite::Pq => 2,
        }
    }
}

impl TryFrom<u8> for Suite {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            1 => Ok(Self::X25519),
            2 => Ok(Self::Pq),
            _ => Err("unknown suite"),
        }
    }
}

/// Who may become a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The patient and the clinician of the consultation, and those to whom one of them grants it.
    Participants,
}

/// One reader named by a manifest: an account and the encryption key its file key is wrapped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipientKey {
    /// The reader.
    pub account: AccountId,
    /// Key id of the reader's encryption key, listed in the reader's key list.
    pub key: KeyId,
}

/// What a recording is and who may read it; signed by the sealing device and stored before the first part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Suite of every header of the recording.
    pub suite: Suite,
    /// The recording: [`RecordingId::of`] the sealer key and the salt.
    pub recording: RecordingId,
    /// What tells it apart from the other recordings of the sealer key.
    pub salt: RecordingSalt,
    /// Organisation under whose root all its accounts are certified.
    pub tenant: OrganisationId,
    /// The consultation, in the organisation's own numbering.
    pub consultation: ConsultationId,
    /// The patient.
    pub patient: AccountId,
    /// The clinician.
    pub clinician: AccountId,
    /// The readers, one key each: under [`Policy::Participants`] the patient, then the clinician.
    pub recipients: Vec<RecipientKey>,
    /// Account whose device seals.
    pub sealer: AccountId,
    /// Key id of the device key that signs this manifest and every seal of the recording.
    pub sealer_key: KeyId,
    /// Number of this manifest in the chain of its sealer key, from 1.
    pub sequence: u64,
    /// Digest of the manifest before it in that chain; null for the first.
    pub previous: Option<Digest>,
    /// SHA-256 of the `credentials` object: the certificates and key lists as at sealing.
    pub credentials: Digest,
    /// SHA-256 of the last directory checkpoint the sealer saw; null while its server publishes none.
    pub directory_checkpoint: Option<Digest>,
    /// When the recording began, by the sealing device's clock.
    pub created: Timestamp,
    /// Who may become a reader.
    pub policy: Policy,
}

impl Statement for Manifest {
    const PAYLOAD_TYPE: &'static str = "application/vnd.recording-vault.manifest.v1+json";
    const NAME: &'static str = "manifest";

    fn check(&self) -> Result<(), &'static str> {
        if self.recording != RecordingId::of(&self.sealer_key, &self.salt) {
            return Err("the recording's id is not that of its sealer key and its salt");
        }
        if self.patient == self.clinician {
            return Err("patient and clinician are the same account");
        }
        let readers: Vec<AccountId> = self.recipients.iter().map(|r| r.account).collect();
        if readers != self.participants().readers().map(|(reader, _)| reader) {
            return Err("the recipients must be the patient, then the clinician, and nobody else");
        }
        if self.sequence == 0 || (self.sequence == 1) != self.previous.is_none() {
            return Err("the sequence number and the previous manifest do not fit each other");
        }
        Ok(())
    }

    fn unknown_choice(payload: &serde_json::Value) -> Option<String> {
        if let Some(suite) = Suite::unknown(payload.get("suite")?) {
            return Some(suite);
        }
        let policy = payload.get("policy")?.as_str()?;
        let known = serde_json::from_value::<Policy>(policy.into()).is_ok();
        (!known).then(|| format!("policy {:?}", policy.chars().take(40).collect::<String>()))
    }
}
