//! The grants of a recording, from its manifest on: who reads it now, and which key object is theirs (FORMAT.md,
//! "Grants").
//!
//! One function judges a chain for everybody: the storage server that is handed a grant, and whoever reads. A grant
//! that does not count is **void**: the list of readers stays as it was, the chain goes on behind it, and everybody is
//! told. Were it fatal, a revocation that becomes known late would lock people out of their recordings.

mod change;
#[cfg(test)]
mod tests;

use crate::envelope::Envelope;
use crate::ids::{AccountId, Digest};
use crate::key_object::KeyGeneration;
use crate::members::{FoundMember, SignedMember, TrustError, TrustProblem};
use crate::named_statements::NamedStatements;
use crate::recording::{CheckedManifest, Refusal, manifest_members, unreadable};
use crate::statements::{DeviceRole, Grant, Manifest, Member, Reader};
use crate::timestamp::Timestamp;
use crate::trust::{Known, Signer, VerifiedMember};

use change::Change;

/// Most grants of a recording.
pub const MAX_GRANTS: usize = 1_024;

/// Why a grant does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// It is dated before the manifest, or before the last grant that counts.
    #[error("it is dated before what it follows on ({0})")]
    Dated(Timestamp),
    /// Its grantor did not read the recording when it was signed.
    #[error("account {}, which signed it, was none of its readers then", .0.short())]
    NoReader(AccountId),
    /// Somebody's certificates or keys do not count.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It does not carry the signature of the device that it names.
    #[error("its signature is not that of the device that it names")]
    Signature,
    /// Its members are not those that its change needs.
    #[error("it does not come with the statements of those whom its change needs, and of nobody else")]
    Members,
    /// It changes the role of a reader.
    #[error("it changes the role of account {}", .0.short())]
    Role(AccountId),
    /// Somebody is a reader whose time was over when it was signed.
    #[error("the time of account {} was over when it was signed", .0.short())]
    Over(AccountId),
    /// No patient would be left.
    #[error("it would leave the recording without a patient")]
    NoPatient,
    /// What the grantor may not do.
    #[error("account {}, which signed it, may not {what} account {}", .grantor.short(), .account.short())]
    NotAllowed {
        /// Who signed.
        grantor: AccountId,
        /// What was done, before the account it was done to.
        what: &'static str,
        /// To whom.
        account: AccountId,
    },
}

/// One reader, and what is known of why it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvenReader {
    /// The entry in the list of readers.
    pub reader: Reader,
    /// Number of the key list that has its key.
    key_list: u64,
    /// Who added it; `None` if the manifest names it.
    added_by: Option<AccountId>,
    /// In whose place it stands, by the certificate with which it was added.
    succeeds: Option<AccountId>,
}

/// One grant of a chain.
#[derive(Debug, Clone)]
pub struct JudgedGrant {
    /// What it says; if it is void, nobody may have signed that.
    pub grant: Grant,
    /// Its digest.
    pub digest: Digest,
    /// Why it does not count, if it does not.
    pub void: Option<Void>,
}

/// The grants of a recording, and what follows from them.
#[derive(Debug, Clone)]
pub struct CheckedGrants {
    grants: Vec<JudgedGrant>,
    readers: Vec<ProvenReader>,
    generations: Vec<KeyGeneration>,
    since: Timestamp,
}

impl CheckedGrants {
    /// Judges the grants of a recording, which are all from number 1 on, with the statements that they and the manifest
    /// name.
    ///
    /// # Errors
    /// [`Refusal::Damaged`] or [`Refusal::NewerFormat`] if one cannot be read, is not in its place, or names a
    /// statement that is not there; [`Refusal::MixUp`] if one is of another recording.
    pub fn check(
        manifest: &CheckedManifest,
        grants: &[Vec<u8>],
        named: &NamedStatements,
        known: &Known,
    ) -> Result<Self, Refusal> {
        if grants.len() > MAX_GRANTS {
            return Err(Refusal::Damaged(format!("it has more than {MAX_GRANTS} grants")));
        }
        let statement = manifest.manifest();
        let mut read = Vec::with_capacity(grants.len());
        let mut known = known.clone();
        known.learn_issuers_of(&manifest_members(statement, named).map_err(unreadable)?, statement.tenant);
        let mut previous = None;
        for (number, bytes) in (1u64..).zip(grants) {
            let envelope = Envelope::<Grant>::parse(bytes).map_err(unreadable)?;
            let claimed = envelope.unverified();
            if claimed.manifest != statement.digest() {
                return Err(Refusal::MixUp(format!("grant {number} is that of another recording")));
            }
            if claimed.number != number || claimed.previous != previous {
                return Err(Refusal::Damaged(format!("grant {number} does not follow on the one before it")));
            }
            previous = Some(envelope.digest());
            let find = |member: &Member| {
                let signer = (member.account == claimed.grantor).then_some(claimed.grantor_key);
                FoundMember::find(member, signer, named)
            };
            let members =
                claimed.members.iter().map(find).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
            known.learn_issuers_of(&members, statement.tenant);
            read.push((envelope, members));
        }
        let mut checked = Self::of_manifest(manifest);
        for (envelope, members) in read {
            checked.judge(statement, &envelope, &members, &known);
        }
        Ok(checked)
    }

    /// No grant yet: the readers that the manifest names.
    fn of_manifest(manifest: &CheckedManifest) -> Self {
        let readers = manifest.manifest().readers.iter().zip(manifest.readers());
        let proven = |(reader, member): (&Reader, &VerifiedMember)| ProvenReader {
            reader: *reader,
            key_list: member.key_list().number,
            added_by: None,
            succeeds: member.certificate().succeeds,
        };
        Self {
            grants: Vec::new(),
            readers: readers.map(proven).collect(),
            generations: vec![KeyGeneration::first(manifest.manifest())],
            since: manifest.manifest().created,
        }
    }

    fn judge(
        &mut self,
        manifest: &Manifest,
        envelope: &Envelope<Grant>,
        members: &[FoundMember],
        known: &Known,
    ) {
        let grant = envelope.unverified().clone();
        let void = match self.readers_after(manifest, envelope, members, known) {
            Ok(readers) => {
                self.readers = readers;
                self.generations.push(KeyGeneration {
                    number: grant.number,
                    readers: grant.readers.clone(),
                    object: grant.key_object,
                });
                self.since = grant.created;
                None
            }
            Err(void) => Some(void),
        };
        self.grants.push(JudgedGrant { grant, digest: envelope.digest(), void });
    }

    /// The readers once a grant counts, if it does.
    fn readers_after(
        &self,
        manifest: &Manifest,
        envelope: &Envelope<Grant>,
        members: &[FoundMember],
        known: &Known,
    ) -> Result<Vec<ProvenReader>, Void> {
        let grant = envelope.unverified();
        let at = grant.created;
        if at < self.since {
            return Err(Void::Dated(self.since));
        }
        let members = members
            .iter()
            .map(|member| member.verify_signatures(manifest.tenant))
            .collect::<Result<Vec<SignedMember>, _>>()?;
        let is_grantor = |proven: &&ProvenReader| proven.reader.account == grant.grantor;
        let grantor = self.readers.iter().find(is_grantor).filter(|proven| !proven.is_over(at));
        let grantor = grantor.ok_or(Void::NoReader(grant.grantor))?;
        let member = members.iter().find(|member| member.account() == grant.grantor).ok_or(Void::Members)?;
        let signer =
            Signer { key: grant.grantor_key, role: DeviceRole::Auth, sequence: Some(grant.sequence) };
        let member = known.check_at(member.clone(), Some(signer), at)?;
        let unlisted = || {
            let problem = TrustProblem::KeyNotListed(grant.grantor_key);
            Void::Trust(TrustError { account: grant.grantor, problem })
        };
        let device = member.device(grant.grantor_key, DeviceRole::Auth).ok_or_else(unlisted)?;
        envelope.verify(grant.grantor_key, device).map_err(|_| Void::Signature)?;
        Change { manifest, before: &self.readers, grantor, grant, members: &members, known }.readers_after()
    }

    /// All grants, in their order.
    pub fn grants(&self) -> &[JudgedGrant] {
        &self.grants
    }

    /// The readers by the newest grant that counts, or by the manifest.
    pub fn readers(&self) -> &[ProvenReader] {
        &self.readers
    }

    /// The generations of the key object that count, the newest first. What is in the newest list is read with the
    /// newest key object; if that turns out to be bad, with the next one that was made for the reader, too: all hold
    /// one key.
    pub fn generations(&self) -> impl Iterator<Item = &KeyGeneration> {
        self.generations.iter().rev()
    }

    /// The entry of `account`, if it reads the recording at `at`.
    pub fn reader(&self, account: AccountId, at: Timestamp) -> Option<&Reader> {
        let proven = self.readers.iter().find(|proven| proven.reader.account == account)?;
        (!proven.is_over(at)).then_some(&proven.reader)
    }
}

impl ProvenReader {
    /// Whether its time is over at `at`.
    fn is_over(&self, at: Timestamp) -> bool {
        self.reader.is_over(at)
    }
}
