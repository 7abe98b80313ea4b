//! Whether an account's statements count for what is done with them: the two columns of FORMAT.md, "Trust", one
//! function each. Everybody decides by them: who seals, who reads, the storage server and who checks an export.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use crate::envelope::{Envelope, Verified};
use crate::ids::{AccountId, Digest, KeyId, OrganisationId};
use crate::key_chain::KeyListChain;
use crate::members::{
    CLOCK_LENIENCE, FoundMember, SignedChain, SignedMember, TrustError, TrustProblem, verify_issuer,
};
use crate::revocation_entries::RevocationEntries;
use crate::statements::{DeviceRole, IssuerCertificate, KeyList, Participants, ReaderRole, Revocations};
use crate::timestamp::Timestamp;

#[cfg(test)]
mod tests;

/// What somebody knows now of an organisation and its accounts, beside the statements in question. Cheap to clone.
///
/// What is not known restricts nothing: a reader that has met nobody believes the statements that come with a
/// recording.
#[derive(Debug, Clone, Default)]
pub struct Known {
    issuer: Option<Arc<Verified<IssuerCertificate>>>,
    revocations: Option<Arc<CheckedRevocations>>,
    chains: Arc<BTreeMap<AccountId, KeyListChain>>,
}

/// Revocations whose signature and entries were checked.
#[derive(Debug, Clone)]
pub struct CheckedRevocations {
    statement: Verified<Revocations>,
    issuer: Verified<IssuerCertificate>,
    entries: RevocationEntries,
}

/// A device that signs, and where its signature stands in what it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signer {
    /// Key id of the device.
    pub key: KeyId,
    /// What it needs to be.
    pub role: DeviceRole,
    /// Number of what it signed among its manifests and grants; `None` for what has no number, which a removed device
    /// cannot sign at all.
    pub sequence: Option<u64>,
}

/// An account whose statements carry all signatures, up to the pinned organisation root, and counted when it was
/// asked.
#[derive(Debug, Clone)]
pub struct VerifiedMember(SignedMember);

impl Known {
    /// Remembers an issuer certificate of the pinned organisation, if its number is the highest one seen.
    pub fn learn_issuer(&mut self, issuer: &Verified<IssuerCertificate>) {
        let place = |issuer: &Verified<IssuerCertificate>| (issuer.number, issuer.digest());
        if self.issuer.as_ref().is_none_or(|known| place(known) < place(issuer)) {
            self.issuer = Some(Arc::new(issuer.clone()));
        }
    }

    /// Remembers the issuer certificates of `members` that are the organisation's.
    pub(crate) fn learn_issuers_of(&mut self, members: &[FoundMember], organisation: OrganisationId) {
        for member in members {
            if let Ok(issuer) = verify_issuer(member.issuer(), organisation) {
                self.learn_issuer(&issuer);
            }
        }
    }

    /// Remembers revocations of the pinned organisation, if their number is the highest one seen.
    pub fn learn_revocations(&mut self, revocations: CheckedRevocations) {
        let place = |known: &CheckedRevocations| (known.statement.number, known.statement.digest());
        if self.revocations.as_ref().is_none_or(|known| place(known) < place(&revocations)) {
            self.revocations = Some(Arc::new(revocations));
        }
    }

    /// Remembers the key lists of an account, if they are more than those known.
    pub fn learn_key_lists(&mut self, account: AccountId, chain: KeyListChain) {
        let known = self.chains.get(&account);
        if known.is_none_or(|known| known.newest().number < chain.newest().number) {
            Arc::make_mut(&mut self.chains).insert(account, chain);
        }
    }

    /// The issuer certificate of the highest number.
    pub fn issuer(&self) -> Option<&Verified<IssuerCertificate>> {
        self.issuer.as_deref()
    }

    /// The key lists of an account.
    pub fn key_lists(&self, account: AccountId) -> Option<&KeyListChain> {
        self.chains.get(&account)
    }

    /// Sealing and granting: whether `member` counts now, for a recording or a grant that begins `now`, by the own
    /// clock. `signer` is the device of it that seals or grants, if it is the one who does.
    ///
    /// # Errors
    /// [`TrustError`], naming the account.
    pub fn check_now(
        &self,
        member: SignedMember,
        signer: Option<Signer>,
        now: Timestamp,
    ) -> Result<VerifiedMember, TrustError> {
        let account = member.account();
        let check = || {
            self.check_chain_now(member.chain(), now)?;
            self.check_key_list(&member, now)?;
            if let Some(chain) = self.chains.get(&account) {
                let (named, newest) = (member.key_list().number, chain.newest().number);
                if named < newest {
                    return Err(TrustProblem::KeyListRolledBack { served: named, seen: newest });
                }
                if named > newest.saturating_add(1) {
                    return Err(TrustProblem::KeyListForked(named));
                }
            }
            signer.map_or(Ok(()), |signer| self.check_signer(&member, signer))
        };
        check().map_err(|problem| TrustError { account, problem })?;
        Ok(VerifiedMember(member))
    }

    /// Reading: whether `member` counted at `created`, when what is read was begun, as far as is known now. `signer` is
    /// the device of it that signed what is read, if it is the one who did.
    ///
    /// # Errors
    /// [`TrustError`], naming the account.
    pub fn check_at(
        &self,
        member: SignedMember,
        signer: Option<Signer>,
        created: Timestamp,
    ) -> Result<VerifiedMember, TrustError> {
        let account = member.account();
        let check = || {
            self.check_chain_at(member.chain(), created)?;
            self.check_key_list(&member, created)?;
            signer.map_or(Ok(()), |signer| self.check_signer(&member, signer))
        };
        check().map_err(|problem| TrustError { account, problem })?;
        Ok(VerifiedMember(member))
    }

    /// What of [`Self::check_now`] is about certificates alone.
    ///
    /// # Errors
    /// [`TrustProblem`].
    pub fn check_chain_now(&self, chain: &SignedChain, now: Timestamp) -> Result<(), TrustProblem> {
        self.check_chain_at(chain, now)?;
        let newest = self.newest_issuer(chain);
        if !newest.revocations {
            return Ok(());
        }
        match &self.revocations {
            Some(known) => self.check_revocations_in_force(known, now),
            None => Err(TrustProblem::NoRevocations),
        }
    }

    /// What of [`Self::check_at`] is about certificates alone.
    ///
    /// # Errors
    /// [`TrustProblem`].
    pub fn check_chain_at(&self, chain: &SignedChain, at: Timestamp) -> Result<(), TrustProblem> {
        chain.check_in_force(at)?;
        let issuer = chain.issuer();
        match self.newest_issuer(chain).end_of(&issuer.issuer) {
            Some(from) if from <= at => return Err(TrustProblem::IssuerEnded { from }),
            _ => {}
        }
        match self.revoked_from(chain.certificate().account) {
            Some(ended) if ended <= at => Err(TrustProblem::Revoked { ended }),
            _ => Ok(()),
        }
    }

    /// First second at which the certificates of a chain do not count any more, as far as is known now.
    pub fn end_of(&self, chain: &SignedChain) -> Timestamp {
        let ended = self.newest_issuer(chain).end_of(&chain.issuer().issuer);
        let revoked = self.revoked_from(chain.certificate().account);
        [ended, revoked].into_iter().flatten().fold(chain.end(), Timestamp::min)
    }

    /// The issuer certificate of the highest number: one that is known, or that of the chain itself.
    fn newest_issuer<'a>(&'a self, chain: &'a SignedChain) -> &'a IssuerCertificate {
        match &self.issuer {
            Some(known)
                if known.organisation == chain.issuer().organisation
                    && known.number >= chain.issuer().number =>
            {
                known
            }
            _ => chain.issuer(),
        }
    }

    fn revoked_from(&self, account: AccountId) -> Option<Timestamp> {
        self.revocations.as_ref()?.entries.of_account(account)?.ended
    }

    fn check_revocations_in_force(
        &self,
        revocations: &CheckedRevocations,
        now: Timestamp,
    ) -> Result<(), TrustProblem> {
        let CheckedRevocations { statement, issuer, .. } = revocations;
        let begun = statement.created <= now.saturating_add(CLOCK_LENIENCE);
        let newest = self.issuer.as_deref().filter(|known| known.number >= issuer.number).unwrap_or(issuer);
        let has_ended = newest.end_of(&issuer.issuer).is_some_and(|from| from <= statement.created);
        if begun && now < statement.expires && !has_ended {
            Ok(())
        } else {
            Err(TrustProblem::RevocationsExpired { expires: statement.expires })
        }
    }

    /// Whether the key list of `member` had begun at `at`, is in the chain that is known, and no newer one hides.
    fn check_key_list(&self, member: &SignedMember, at: Timestamp) -> Result<(), TrustProblem> {
        member.check_key_list_begun(at)?;
        let list = member.key_list();
        if let Some(chain) = self.chains.get(&member.account()) {
            match list.number.checked_sub(chain.newest().number) {
                None | Some(0) => chain.check_seen(list.number, list.digest())?,
                Some(1) => chain.check_next(list)?,
                // What lies between is not known here.
                Some(_) => {}
            }
        }
        let newest = self.newest_list(member).number;
        let entry = self.revocations.as_ref().and_then(|known| known.entries.of_account(member.account()));
        match entry.and_then(|entry| entry.key_list) {
            Some(least) if newest < least => {
                Err(TrustProblem::KeyListRolledBack { served: newest, seen: least })
            }
            _ => Ok(()),
        }
    }

    /// The newest key list of `member` that is known: its own, or that of a longer chain.
    fn newest_list<'a>(&'a self, member: &'a SignedMember) -> &'a Verified<KeyList> {
        match self.chains.get(&member.account()) {
            Some(chain) if chain.newest().number > member.key_list().number => chain.newest(),
            _ => member.key_list(),
        }
    }

    /// Whether the device is one of `member`, and was not removed before it signed.
    fn check_signer(&self, member: &SignedMember, signer: Signer) -> Result<(), TrustProblem> {
        let unlisted = TrustProblem::KeyNotListed(signer.key);
        if member.device(signer.key, signer.role).is_none() {
            return Err(unlisted);
        }
        let newest = self.newest_list(member);
        if newest.digest() == member.key_list().digest() || newest.any_device(signer.key).is_some() {
            return Ok(());
        }
        match newest.removed_device(signer.key) {
            Some(removed) if signer.sequence.is_some_and(|sequence| sequence <= removed.sequence) => Ok(()),
            Some(removed) => Err(TrustProblem::DeviceRemoved {
                key: signer.key,
                number: newest.number,
                sequence: removed.sequence,
            }),
            None => Err(unlisted),
        }
    }
}

impl CheckedRevocations {
    /// Checks revocations and their entries: signed by `issuer`, of its organisation, the entries those that are named.
    /// Whether they are in force is not looked at.
    ///
    /// # Errors
    /// [`TrustProblem::OtherOrganisation`], [`TrustProblem::Statement`], or [`TrustProblem::OtherEntries`].
    pub fn check(
        issuer: &Verified<IssuerCertificate>,
        revocations: &Envelope<Revocations>,
        entries: &[u8],
    ) -> Result<Self, TrustProblem> {
        let statement = revocations.verify(KeyId::of_issuer(&issuer.issuer), &issuer.issuer)?;
        if statement.organisation != issuer.organisation {
            return Err(TrustProblem::OtherOrganisation(statement.organisation));
        }
        if statement.entries.as_slice() != [Digest::of(entries)] {
            return Err(TrustProblem::OtherEntries);
        }
        let entries = RevocationEntries::parse(entries)?;
        Ok(Self { statement, issuer: issuer.clone(), entries })
    }
}

impl Deref for VerifiedMember {
    type Target = SignedMember;

    fn deref(&self) -> &SignedMember {
        &self.0
    }
}

impl VerifiedMember {
    /// Whether it may seal a recording of these people, as its sealer.
    ///
    /// # Errors
    /// [`TrustProblem::Role`].
    pub fn check_may_seal(&self, people: &Participants) -> Result<(), TrustError> {
        if people.sealer == self.account() && people.may_be_sealed_as(self.role()) {
            Ok(())
        } else {
            Err(self.role_error("a recorder, or the recording's own patient or clinician,"))
        }
    }

    /// Whether it is certified as what a reader in this role has to be.
    ///
    /// # Errors
    /// [`TrustProblem::Role`].
    pub fn check_may_read_as(&self, role: ReaderRole) -> Result<(), TrustError> {
        match role.certified() {
            Some(certified) if certified != self.role() => Err(self.role_error(certified.name())),
            _ => Ok(()),
        }
    }

    fn role_error(&self, needed: &'static str) -> TrustError {
        let problem = TrustProblem::Role { found: self.role(), needed };
        TrustError { account: self.account(), problem }
    }
}
