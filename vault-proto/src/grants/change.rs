//! Who may change what in a list of readers (FORMAT.md, "Grants").

use std::collections::BTreeSet;

use super::{ProvenReader, Void};
use crate::ids::AccountId;
use crate::members::{SignedMember, TrustError, TrustProblem};
use crate::statements::{Allowance, Grant, Manifest, Reader, ReaderRole, Role};
use crate::trust::{Known, VerifiedMember};

/// What a grant makes of the list before it.
pub(super) struct Change<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) before: &'a [ProvenReader],
    pub(super) grantor: &'a ProvenReader,
    pub(super) grant: &'a Grant,
    /// What came with it, all signatures checked, and whether they counted when it was signed not yet.
    pub(super) members: &'a [SignedMember],
    pub(super) known: &'a Known,
}

impl Change<'_> {
    /// The list after it, if all of it is allowed.
    ///
    /// # Errors
    /// [`Void`].
    pub(super) fn readers_after(&self) -> Result<Vec<ProvenReader>, Void> {
        let after = &self.grant.readers;
        if let Some(over) = after.iter().find(|reader| reader.is_over(self.grant.created)) {
            return Err(Void::Over(over.account));
        }
        if !after.iter().any(|reader| reader.role == ReaderRole::Patient) {
            return Err(Void::NoPatient);
        }
        let mut needed = BTreeSet::from([self.grant.grantor]);
        let mut proven = Vec::with_capacity(after.len());
        for reader in after {
            proven.push(match self.entry_before(reader.account) {
                Some(before) => self.kept(before, reader, &mut needed)?,
                None => self.added(reader, &mut needed)?,
            });
        }
        for before in self.before {
            if proven.iter().all(|after: &ProvenReader| after.reader.account != before.reader.account) {
                self.check_dropped(before, &proven, &mut needed)?;
            }
        }
        if self.members.iter().map(SignedMember::account).eq(needed) {
            Ok(proven)
        } else {
            Err(Void::Members)
        }
    }

    fn entry_before(&self, account: AccountId) -> Option<&ProvenReader> {
        self.before.iter().find(|before| before.reader.account == account)
    }

    /// Whether the grantor acts for the patient: it is one, or a guardian.
    const fn is_for_the_patient(&self) -> bool {
        matches!(self.grantor.reader.role, ReaderRole::Patient | ReaderRole::Guardian)
    }

    /// Whether the grantor is a clinician whom the patient allowed this when the recording was sealed.
    fn is_clinician_with(&self, allowance: Allowance) -> bool {
        self.grantor.reader.role == ReaderRole::Clinician && self.manifest.policy.contains(&allowance)
    }

    fn check(&self, allowed: bool, what: &'static str, account: AccountId) -> Result<(), Void> {
        let grantor = self.grant.grantor;
        if allowed { Ok(()) } else { Err(Void::NotAllowed { grantor, what, account }) }
    }

    fn signed(&self, account: AccountId) -> Result<&SignedMember, Void> {
        self.members.iter().find(|member| member.account() == account).ok_or(Void::Members)
    }

    /// The statements of somebody whose key is new in the list: they counted then, and name the key.
    fn certified(&self, reader: &Reader) -> Result<VerifiedMember, Void> {
        let member = self.known.check_at(self.signed(reader.account)?.clone(), None, self.grant.created)?;
        member.check_may_read_as(reader.role)?;
        match member.key_list().encryption_key(reader.key) {
            Some(key) if key.suite == self.manifest.suite => Ok(member),
            _ => {
                let problem = TrustProblem::KeyNotListed(reader.key);
                Err(TrustError { account: reader.account, problem }.into())
            }
        }
    }

    fn kept(
        &self,
        before: &ProvenReader,
        reader: &Reader,
        needed: &mut BTreeSet<AccountId>,
    ) -> Result<ProvenReader, Void> {
        let account = reader.account;
        if reader.role != before.reader.role {
            return Err(Void::Role(account));
        }
        if reader.until != before.reader.until {
            let allowed = self.is_for_the_patient() && reader.role == ReaderRole::Reader;
            self.check(allowed, "change the time of", account)?;
        }
        let mut key_list = before.key_list;
        if reader.key != before.reader.key {
            let allowed = account == self.grant.grantor || self.grantor.reader.role != ReaderRole::Reader;
            self.check(allowed, "change the key of", account)?;
            needed.insert(account);
            let served = self.certified(reader)?.key_list().number;
            if served <= before.key_list {
                let problem = TrustProblem::KeyListRolledBack { served, seen: before.key_list };
                return Err(TrustError { account, problem }.into());
            }
            key_list = served;
        }
        Ok(ProvenReader { reader: *reader, key_list, ..*before })
    }

    fn added(&self, reader: &Reader, needed: &mut BTreeSet<AccountId>) -> Result<ProvenReader, Void> {
        let account = reader.account;
        needed.insert(account);
        let member = self.certified(reader)?;
        let certificate = member.certificate();
        let (allowed, what) = match reader.role {
            ReaderRole::Patient => {
                let is_patient = |account| {
                    let entry = self.entry_before(account);
                    entry.is_some_and(|entry| entry.reader.role == ReaderRole::Patient)
                };
                let succeeds = certificate.succeeds.is_some_and(is_patient);
                let by = self.is_for_the_patient() || self.is_clinician_with(Allowance::ClinicianReadmits);
                (by && succeeds, "add as a patient")
            }
            ReaderRole::Clinician => (self.is_for_the_patient(), "add as a clinician"),
            ReaderRole::Guardian => {
                (self.is_for_the_patient() && self.is_guardian(reader, needed), "add as a guardian")
            }
            ReaderRole::Reader => {
                let colleague =
                    certificate.role == Role::Clinician && self.is_clinician_with(Allowance::ClinicianShares);
                (self.is_for_the_patient() || colleague, "add")
            }
        };
        self.check(allowed, what, account)?;
        Ok(ProvenReader {
            reader: *reader,
            key_list: member.key_list().number,
            added_by: Some(self.grant.grantor),
            succeeds: certificate.succeeds,
        })
    }

    /// Whether the certificate of a patient of the recording, which counted then, names this guardian until that time.
    fn is_guardian(&self, reader: &Reader, needed: &mut BTreeSet<AccountId>) -> bool {
        let is_patient = |account| {
            self.grant.readers.iter().any(|of| of.account == account && of.role == ReaderRole::Patient)
        };
        let names = |member: &&SignedMember| {
            let mut guardians = member.certificate().guardians.iter();
            is_patient(member.account())
                && guardians.any(|of| of.account == reader.account && Some(of.until) == reader.until)
                && self.known.check_at((*member).clone(), None, self.grant.created).is_ok()
        };
        let patient = self.members.iter().find(names).map(SignedMember::account);
        needed.extend(patient);
        patient.is_some()
    }

    fn check_dropped(
        &self,
        before: &ProvenReader,
        after: &[ProvenReader],
        needed: &mut BTreeSet<AccountId>,
    ) -> Result<(), Void> {
        let account = before.reader.account;
        let at = self.grant.created;
        if account == self.grant.grantor || before.is_over(at) {
            return Ok(());
        }
        let is_patient = self.grantor.reader.role == ReaderRole::Patient;
        let allowed = match before.reader.role {
            ReaderRole::Patient => {
                let succeeds = |after: &ProvenReader| {
                    after.reader.role == ReaderRole::Patient && after.succeeds == Some(account)
                };
                is_patient && after.iter().any(succeeds)
            }
            ReaderRole::Clinician if self.is_for_the_patient() => {
                needed.insert(account);
                self.known.end_of(self.signed(account)?.chain()) <= at
            }
            ReaderRole::Clinician => false,
            ReaderRole::Guardian => is_patient,
            ReaderRole::Reader => {
                let own = before.added_by == Some(self.grant.grantor)
                    && self.is_clinician_with(Allowance::ClinicianShares);
                self.is_for_the_patient() || own
            }
        };
        self.check(allowed, "drop", account)
    }
}
