use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Allowance, MAX_WORDS, Member, NotYet, Role, is_ascending, unknown_word};
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

/// As what somebody reads a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReaderRole {
    /// Its patient.
    Patient,
    /// Its clinician.
    Clinician,
    /// Who acts for a patient, until a time that the patient's certificate says.
    Guardian,
    /// Whom a patient, a guardian or a clinician has let in.
    Reader,
}

impl ReaderRole {
    /// As what a reader has to be certified; `None` if that is all the same.
    pub const fn certified(self) -> Option<Role> {
        match self {
            Self::Patient => Some(Role::Patient),
            Self::Clinician => Some(Role::Clinician),
            Self::Guardian | Self::Reader => None,
        }
    }
}

/// If a statement has a reader in a role that is not known: which.
pub(super) fn unknown_reader_role(payload: &serde_json::Value) -> Option<String> {
    let readers = payload.get("readers")?.as_array()?.iter();
    let roles: Vec<_> = readers.filter_map(|reader| reader.get("role").cloned()).collect();
    unknown_word::<ReaderRole>("role of a reader", &roles.into())
}

/// One reader of a recording, and the encryption key that the recording's key is wrapped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reader {
    /// The reader.
    pub account: AccountId,
    /// Key id of the reader's encryption key, listed in the reader's key list.
    pub key: KeyId,
    /// As what it reads.
    pub role: ReaderRole,
    /// First second at which it does not read any more; null if it reads for good.
    pub until: Option<Timestamp>,
}

impl Reader {
    /// Whether its time is over at `at`.
    pub fn is_over(&self, at: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= at)
    }
}

/// What a recording is and who may read it; signed by the sealing device and stored before the first part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Suite of the recording's key, of its readers' keys, and so of every header of the recording.
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
    /// Key id of the recording's own recipient: every segment and the details are sealed to it alone.
    pub key: KeyId,
    /// SHA-256 of the key object of generation 0, which holds the identity of that recipient for the readers.
    pub key_object: Digest,
    /// The readers: the patient, then the clinician.
    pub readers: Vec<Reader>,
    /// Account whose device seals.
    pub sealer: AccountId,
    /// Key id of the device key that signs this manifest and every seal of the recording.
    pub sealer_key: KeyId,
    /// Number of this manifest among all that its sealer key signs, from 1: none is used twice.
    pub sequence: u64,
    /// Its patient, its clinician and its sealer as at sealing, each once, ascending by account.
    pub members: Vec<Member>,
    /// SHA-256 of the last directory checkpoint the sealer saw; null while its server publishes none.
    pub directory_checkpoint: Option<Digest>,
    /// When the recording began, by the sealing device's clock.
    pub created: Timestamp,
    /// What its patient allowed her clinicians when it was sealed, ascending: `allows` of her key list.
    pub policy: Vec<Allowance>,
    /// The recording whose content was sealed anew in this one.
    pub replaces: NotYet,
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
        let readers: Vec<_> = self.readers.iter().map(|r| (r.account, r.role, r.until)).collect();
        if readers != self.participants().readers().map(|(reader, role)| (reader, role, None)) {
            return Err("the readers must be the patient, then the clinician, and nobody else");
        }
        if self.sequence == 0 {
            return Err("manifests are numbered from 1");
        }
        if !self.members.iter().map(|member| member.account).eq(self.participants().ascending()) {
            return Err(
                "its members must be its patient, its clinician and its sealer, each once and ascending",
            );
        }
        if self.policy.len() > MAX_WORDS || !is_ascending(&self.policy) {
            return Err("its policy is more than 16 words, or they do not ascend");
        }
        Ok(())
    }

    fn unknown_choice(payload: &serde_json::Value) -> Option<String> {
        if let Some(suite) = payload.get("suite").and_then(Suite::unknown) {
            return Some(suite);
        }
        let policy = || unknown_word::<Allowance>("policy", payload.get("policy")?);
        unknown_reader_role(payload).or_else(policy).or_else(|| NotYet::newer(payload, "replaces"))
    }
}

impl Manifest {
    /// What it names of the account that sealed it.
    pub fn sealing_member(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.account == self.sealer)
    }

    /// The statements that its members name, each once.
    pub fn named_statements(&self) -> BTreeSet<Digest> {
        self.members.iter().flat_map(Member::statements).collect()
    }
}
