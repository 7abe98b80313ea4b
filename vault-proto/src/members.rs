//! Who is certified to be what, with which keys: the chain from a pinned organisation root to an account's keys
//! (FORMAT.md, "Trust").

mod problem;

use serde::{Deserialize, Serialize};

use crate::envelope::{Envelope, Statement as _, StatementError, Verified};
use crate::ids::{AccountId, Digest, KeyId, OrganisationId, PublicKey};
use crate::named_statements::NamedStatements;
use crate::statements::{Certificate, Device, DeviceRole, IssuerCertificate, KeyList, Member, Role};
use crate::timestamp::Timestamp;

pub use problem::{TrustError, TrustProblem};

/// An account's certificate with that of its issuer: what a registrar hands to the account's holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateChain {
    /// The organisation root's word for the issuer.
    pub issuer: Envelope<IssuerCertificate>,
    /// The issuer's word for the account.
    pub certificate: Envelope<Certificate>,
}

/// The statements by which one account's keys are trusted under a pinned organisation root; a [`Member`] names them by
/// their digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberStatements {
    /// The organisation root's word for the issuer.
    pub issuer: Envelope<IssuerCertificate>,
    /// The issuer's word for the account.
    pub certificate: Envelope<Certificate>,
    /// The account's own word for its keys.
    pub key_list: Envelope<KeyList>,
}

/// A [`Member`] with the statements that it names: each there and of its kind, and none of their signatures looked at
/// yet.
#[derive(Debug, Clone)]
pub struct FoundMember {
    account: AccountId,
    statements: MemberStatements,
    device: Option<Envelope<Device>>,
}

/// The place of a certificate among those of its account. The order is total: no two replace each other in turn, and
/// whoever hands in the newest one again changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// When it was signed; the later one is the newer.
    pub at: Timestamp,
    /// Its digest; of two that were signed in one second the larger one is the newer.
    pub digest: Digest,
}

impl Issued {
    /// The place of a certificate.
    pub fn of(certificate: &Envelope<Certificate>) -> Self {
        Self { at: certificate.unverified().issued, digest: certificate.digest() }
    }
}

/// A certificate with that of its issuer, whose signatures were checked up to the pinned organisation root. Whether
/// they count at some time is not looked at yet.
#[derive(Debug, Clone)]
pub struct SignedChain {
    issuer: Verified<IssuerCertificate>,
    certificate: Verified<Certificate>,
}

/// An account whose certificate and key list carry all signatures, up to the pinned organisation root. Whether they
/// count is not looked at yet: [`Known`](crate::trust::Known) does.
#[derive(Debug, Clone)]
pub struct SignedMember {
    account: AccountId,
    chain: SignedChain,
    key_list: Verified<KeyList>,
    added: Option<Verified<Device>>,
}

impl SignedChain {
    /// The certificate.
    pub const fn certificate(&self) -> &Verified<Certificate> {
        &self.certificate
    }

    /// The issuer's certificate.
    pub const fn issuer(&self) -> &Verified<IssuerCertificate> {
        &self.issuer
    }

    /// First second at which it does not count any more, or its issuer's does not, by their own word.
    pub fn end(&self) -> Timestamp {
        self.issuer.not_after.min(self.certificate.not_after)
    }

    /// Whether it has begun to count at `at`, and its issuer's counts then; its own end is not looked at.
    ///
    /// # Errors
    /// [`TrustProblem::NotYetValid`], or [`TrustProblem::Expired`] for the issuer's certificate.
    pub fn check_begun(&self, at: Timestamp) -> Result<(), TrustProblem> {
        check_end(ISSUER, self.issuer.not_after, at)?;
        check_beginning(ISSUER, self.issuer.not_before, at)?;
        check_beginning(CERTIFICATE, self.certificate.issued.max(self.certificate.not_before), at)
    }

    /// Whether both certificates count at `at`, by their own word.
    ///
    /// # Errors
    /// [`TrustProblem::Expired`], [`TrustProblem::NotYetValid`].
    pub(crate) fn check_in_force(&self, at: Timestamp) -> Result<(), TrustProblem> {
        self.check_begun(at)?;
        check_end(CERTIFICATE, self.certificate.not_after, at)
    }
}

impl SignedMember {
    /// The account.
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// Its role.
    pub fn role(&self) -> Role {
        self.chain.certificate.role
    }

    /// Its certificate.
    pub const fn certificate(&self) -> &Verified<Certificate> {
        &self.chain.certificate
    }

    /// Its certificate, with that of its issuer.
    pub const fn chain(&self) -> &SignedChain {
        &self.chain
    }

    /// Its keys.
    pub const fn key_list(&self) -> &Verified<KeyList> {
        &self.key_list
    }

    /// The same account with a device that was added to its key list: see [`Device`].
    ///
    /// # Errors
    /// [`TrustError`], naming the account.
    pub fn with_device(self, device: &Envelope<Device>) -> Result<Self, TrustError> {
        let added = check_device(device, &self.key_list);
        let added = added.map_err(|problem| TrustError { account: self.account, problem })?;
        Ok(Self { added: Some(added), ..self })
    }

    /// The public key of its device with this key id, if that has `role`: one that its key list names, or the one that
    /// was added to it.
    pub fn device(&self, id: KeyId, role: DeviceRole) -> Option<&PublicKey> {
        let added = self.added.as_ref().filter(|added| added.key_id() == id && added.roles.contains(&role));
        self.key_list.device(id, role).map(|device| &device.key).or_else(|| added.map(|added| &added.key))
    }

    pub(crate) fn check_key_list_begun(&self, at: Timestamp) -> Result<(), TrustProblem> {
        check_beginning(KEY_LIST, self.key_list.created, at)
    }
}

impl CertificateChain {
    /// Checks the signatures organisation root → issuer → certificate for `account`.
    ///
    /// # Errors
    /// [`TrustError`], naming `account`.
    pub fn verify_signatures(
        &self,
        organisation: OrganisationId,
        account: AccountId,
    ) -> Result<SignedChain, TrustError> {
        verify_chain(&self.issuer, &self.certificate, organisation, account)
            .map_err(|problem| TrustError { account, problem })
    }

    /// Whether this chain is to stand in the place of `other`, both being of one account: its certificate is the newer
    /// one, or it is the same with an issuer's certificate of a
    /// higher number, or of the same number that counts for longer.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let place = |chain: &Self| {
            let issuer = chain.issuer.unverified();
            (Issued::of(&chain.certificate), issuer.number, issuer.not_after)
        };
        place(self) > place(other)
    }
}

impl MemberStatements {
    /// What names these statements for an account none of whose devices signs, or whose key list names the one that
    /// does.
    pub fn member(&self, account: AccountId) -> Member {
        Member {
            account,
            issuer: self.issuer.digest(),
            certificate: self.certificate.digest(),
            key_list: self.key_list.digest(),
            device: None,
        }
    }

    /// Puts them among others that are named by their digests.
    pub fn put_into(&self, statements: &mut NamedStatements) {
        statements.insert_statement(&self.issuer);
        statements.insert_statement(&self.certificate);
        statements.insert_statement(&self.key_list);
    }

    /// Checks the signatures organisation root → issuer → certificate, and those of the key list, for `account`.
    ///
    /// # Errors
    /// [`TrustError`], naming `account`.
    pub fn verify_signatures(
        &self,
        organisation: OrganisationId,
        account: AccountId,
    ) -> Result<SignedMember, TrustError> {
        let check = || {
            let chain = verify_chain(&self.issuer, &self.certificate, organisation, account)?;
            let key_list = verify_key_list(&self.key_list, account)?;
            Ok(SignedMember { account, chain, key_list, added: None })
        };
        check().map_err(|problem| TrustError { account, problem })
    }
}

impl FoundMember {
    /// Finds what `member` names. `signer` is the device of it that signed what names it, if one of its devices did.
    ///
    /// # Errors
    /// Every error of [`NamedStatements::get`]; [`StatementError::Payload`] if a device is named that is not the
    /// signer, or that the key list names already.
    pub fn find(
        member: &Member,
        signer: Option<KeyId>,
        statements: &NamedStatements,
    ) -> Result<Self, StatementError> {
        let found = MemberStatements {
            issuer: statements.get(&member.issuer)?,
            certificate: statements.get(&member.certificate)?,
            key_list: statements.get(&member.key_list)?,
        };
        let device: Option<Envelope<Device>> =
            member.device.as_ref().map(|digest| statements.get(digest)).transpose()?;
        if let Some(device) = &device {
            let key = device.unverified().key_id();
            let is_needless = found.key_list.unverified().any_device(key).is_some();
            if Some(key) != signer || is_needless {
                let reason =
                    "it is named for a device that did not sign, or that the key list has".to_owned();
                return Err(StatementError::Payload { name: Device::NAME, reason });
            }
        }
        Ok(Self { account: member.account, statements: found, device })
    }

    /// The account.
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// The issuer's certificate; of it nothing is checked yet.
    pub const fn issuer(&self) -> &Envelope<IssuerCertificate> {
        &self.statements.issuer
    }

    /// Checks the signatures organisation root → issuer → certificate, those of the key list, and that of what added a
    /// device to it.
    ///
    /// # Errors
    /// [`TrustError`], naming the account.
    pub fn verify_signatures(&self, organisation: OrganisationId) -> Result<SignedMember, TrustError> {
        let signed = self.statements.verify_signatures(organisation, self.account)?;
        match &self.device {
            Some(device) => signed.with_device(device),
            None => Ok(signed),
        }
    }
}

const KEY_LIST: &str = "key list";
const CERTIFICATE: &str = "certificate";
const ISSUER: &str = "issuer's certificate";

/// Checks that an issuer certificate is the organisation root's word.
///
/// # Errors
/// [`TrustProblem::OtherOrganisation`] or [`TrustProblem::Statement`].
pub fn verify_issuer(
    issuer: &Envelope<IssuerCertificate>,
    organisation: OrganisationId,
) -> Result<Verified<IssuerCertificate>, TrustProblem> {
    let claimed = issuer.unverified();
    if claimed.organisation != organisation {
        return Err(TrustProblem::OtherOrganisation(claimed.organisation));
    }
    // The root key is the one the pinned organisation id is a hash of: `IssuerCertificate::check` compared them.
    Ok(issuer.verify(KeyId::of_organisation_root(&claimed.root), &claimed.root)?)
}

fn verify_chain(
    issuer: &Envelope<IssuerCertificate>,
    certificate: &Envelope<Certificate>,
    organisation: OrganisationId,
    account: AccountId,
) -> Result<SignedChain, TrustProblem> {
    let issuer = verify_issuer(issuer, organisation)?;
    let certificate = certificate.verify(KeyId::of_issuer(&issuer.issuer), &issuer.issuer)?;
    if certificate.organisation != organisation {
        return Err(TrustProblem::OtherOrganisation(certificate.organisation));
    }
    if certificate.account != account {
        return Err(TrustProblem::OtherAccount(CERTIFICATE));
    }
    if !issuer.roles.contains(&certificate.role) {
        return Err(TrustProblem::RoleNotIssued(certificate.role));
    }
    Ok(SignedChain { issuer, certificate })
}

/// Checks that `key_list` is the account's own word.
///
/// # Errors
/// [`TrustProblem::OtherAccount`] or [`TrustProblem::Statement`].
pub fn verify_key_list(
    key_list: &Envelope<KeyList>,
    account: AccountId,
) -> Result<Verified<KeyList>, TrustProblem> {
    let claimed = key_list.unverified();
    if claimed.account != account {
        return Err(TrustProblem::OtherAccount(KEY_LIST));
    }
    // The root key is the one the account id is a hash of: `KeyList::check` compared them.
    Ok(key_list.verify(KeyId::of_account_root(&claimed.root), &claimed.root)?)
}

/// Checks that a device was added to `list` by a device of it that may do so, and that the list did not know it.
///
/// # Errors
/// [`TrustProblem::OtherAccount`], [`TrustProblem::DeviceOfAnotherList`], [`TrustProblem::KeyNotListed`] if `by` is no
/// device with the role `auth`, [`TrustProblem::DeviceRoles`], [`TrustProblem::DeviceKnown`], or
/// [`TrustProblem::Statement`].
pub fn check_device(
    device: &Envelope<Device>,
    list: &Verified<KeyList>,
) -> Result<Verified<Device>, TrustProblem> {
    let claimed = device.unverified();
    if claimed.account != list.account {
        return Err(TrustProblem::OtherAccount("statement that adds a device"));
    }
    if claimed.key_list != list.digest() {
        return Err(TrustProblem::DeviceOfAnotherList);
    }
    let by = list.device(claimed.by, DeviceRole::Auth).ok_or(TrustProblem::KeyNotListed(claimed.by))?;
    let device = device.verify(claimed.by, &by.key)?;
    if !device.roles.iter().all(|role| by.roles.contains(role)) {
        return Err(TrustProblem::DeviceRoles);
    }
    let id = device.key_id();
    if list.any_device(id).is_some() || list.removed_device(id).is_some() {
        return Err(TrustProblem::DeviceKnown(id));
    }
    Ok(device)
}

/// How far a clock that dates a certificate or a key list may run ahead of one that checks it, in seconds.
pub const CLOCK_LENIENCE: i64 = 120;

fn check_beginning(what: &'static str, not_before: Timestamp, at: Timestamp) -> Result<(), TrustProblem> {
    if at.saturating_add(CLOCK_LENIENCE) < not_before {
        Err(TrustProblem::NotYetValid { what, not_before })
    } else {
        Ok(())
    }
}

fn check_end(what: &'static str, not_after: Timestamp, at: Timestamp) -> Result<(), TrustProblem> {
    if at >= not_after { Err(TrustProblem::Expired { what, not_after }) } else { Ok(()) }
}
