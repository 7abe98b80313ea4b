//! Enrolment and the directory (PROTOCOL.md, section 4.1).

use serde::Deserialize;
use vault_proto::envelope::{Envelope, Statement};
use vault_proto::ids::{AccountId, Digest};
use vault_proto::key_chain::check_next;
use vault_proto::members::{CertificateChain, MemberStatements, verify_key_list};
use vault_proto::problem::ProblemCode;
use vault_proto::statements::KeyList;
use vault_proto::timestamp::Timestamp;
use vault_proto::trust::VerifiedMember;
use vault_proto::wire::{AccountMatches, DirectoryEntry, MAX_KEY_LIST_BYTES, MAX_KEY_LISTS, MAX_MATCHES};

use super::Vault;
use crate::authorize::{Action, Standing, authorize, authorize_look_up};
use crate::event::{Caller, Event};
use crate::problem::Problem;
use crate::store::{Enrolment, HexPrefix, Stored};

/// What an enrolling account hands in; its statements are well-formed and not yet checked.
#[derive(Debug, Clone)]
pub struct Submission {
    chain: CertificateChain,
    key_list: Envelope<KeyList>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrolText {
    chain: ChainText,
    key_list: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainText {
    issuer: String,
    certificate: String,
}

/// Largest number that a sequence or list number can have (PROTOCOL.md, section 4).
pub(super) const MAX_NUMBER: u64 = 1 << 53;

fn refused(detail: &'static str) -> Problem {
    Problem::with_detail(ProblemCode::CredentialsRefused, detail)
}

fn parse<T: Statement>(text: &str) -> Result<Envelope<T>, Problem> {
    Envelope::parse(text.as_bytes()).map_err(|_| refused("A statement is not in its canonical form."))
}

impl ChainText {
    fn parse(&self) -> Result<CertificateChain, Problem> {
        Ok(CertificateChain { issuer: parse(&self.issuer)?, certificate: parse(&self.certificate)? })
    }
}

impl Submission {
    /// Reads the body of an enrolment.
    ///
    /// # Errors
    /// [`ProblemCode::BadRequest`] if it is not the JSON it should be, [`ProblemCode::CredentialsRefused`] if a
    /// statement in it is malformed.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let text: EnrolText = serde_json::from_slice(body)
            .map_err(|_| Problem::bad_request("The body is not an enrolment."))?;
        let submission = Self { chain: text.chain.parse()?, key_list: parse(&text.key_list)? };
        if submission.key_list.unverified().number >= MAX_NUMBER {
            return Err(refused("The key list's number is too large."));
        }
        Ok(submission)
    }

    /// Checks chain and key list under the organisation.
    ///
    /// # Errors
    /// [`ProblemCode::CredentialsRefused`].
    pub fn verify(&self, vault: &Vault, at: Timestamp) -> Result<VerifiedMember, Problem> {
        let member = MemberStatements {
            issuer: self.chain.issuer.clone(),
            certificate: self.chain.certificate.clone(),
            key_list: self.key_list.clone(),
        };
        let account = self.key_list.unverified().account;
        // Whether the list follows on the stored ones is looked at where it is stored.
        let known = vault.known([])?;
        let signed = member.verify_signatures(vault.organisation, account);
        signed.and_then(|signed| known.check_now(signed, None, at)).map_err(|_| {
            refused("The chain does not lead from this organisation to this key list at this time.")
        })
    }
}

/// Stores the submitted certificate and key list of an account, unless they are there already. `caller` was
/// authenticated with this submission.
///
/// # Errors
/// [`ProblemCode::CredentialsRefused`] if they do not follow on what is stored; [`ProblemCode::Conflict`] if another
/// list stands under the same number, or another account lists one of the devices.
pub fn enrol(vault: &Vault, caller: &Caller, submission: &Submission) -> Result<Stored, Problem> {
    vault.accounts_lock.exclusive((), || {
        let stored = vault.store.directory_entry(caller.actor.account)?;
        let replaces = match &stored {
            None if submission.key_list.unverified().number == 1 => None,
            None => return Err(refused("The first key list of an account has the number 1.")),
            Some(row) => match follow(&row.entry, submission)? {
                None => return Ok(Stored::Same),
                replaces => replaces,
            },
        };
        let enrolment = Enrolment {
            account: caller.actor.account,
            chain: submission.chain.clone(),
            key_list: submission.key_list.clone(),
            replaces,
        };
        // Who is enrolled goes on in a full store as well; how many key lists there are is bounded.
        let statements = vault.unstored(&enrolment.statements())?;
        let room = match stored {
            None => vault.room.for_new(&*vault.blobs, length(&statements))?,
            Some(_) => vault.room.for_ending(&*vault.blobs, length(&statements))?,
        };
        let event = Event::enrolment(caller);
        room.settle(vault.with_statements(&statements, || Ok(vault.store.enrol(&event, &enrolment)?))?);
        if let Ok(chain) = submission.chain.verify_signatures(vault.organisation, enrolment.account) {
            vault.learn_issuer(&chain);
        }
        Ok(if stored.is_none() { Stored::New } else { Stored::Same })
    })
}

/// Bytes of statements.
fn length(statements: &[(Digest, &[u8])]) -> u64 {
    statements.iter().fold(0, |sum: u64, (_, envelope)| sum.saturating_add(envelope.len() as u64))
}

const NOT_FOLLOWING: &str = "The key list does not follow on the current one.";
const NOT_NEWER: &str = "The certificate is not newer than the current one.";

type Replaced = (Digest, Digest);

/// Checks that a submission follows on what is stored; returns what it replaces, `None` if it changes nothing.
fn follow(entry: &DirectoryEntry, submission: &Submission) -> Result<Option<Replaced>, Problem> {
    let current =
        entry.key_lists.last().ok_or_else(|| Problem::internal(&"a stored account has no key list"))?;
    let (old, new) = (current.unverified(), submission.key_list.unverified());
    let same_list = current.digest() == submission.key_list.digest();
    if !same_list && new.number <= old.number {
        let under_number = entry.key_lists.iter().find(|list| list.unverified().number == new.number);
        let known = under_number.is_some_and(|list| list.digest() == submission.key_list.digest());
        return Err(if known {
            refused("The key list is older than the current one.")
        } else {
            Problem::with_detail(ProblemCode::Conflict, "Another key list stands under this number.")
        });
    }
    if !same_list && (new.number != old.number + 1 || new.previous != Some(current.digest())) {
        return Err(refused(NOT_FOLLOWING));
    }
    if !same_list {
        check_follows(current, &submission.key_list)?;
        check_room_for_list(
            entry.key_lists.iter().map(|list| list.bytes().len()),
            submission.key_list.bytes().len(),
        )?;
    }
    let chain = entry.chain();
    let same_chain = is_same(&chain, &submission.chain);
    if !same_chain && !submission.chain.is_newer_than(&chain) {
        return Err(refused(NOT_NEWER));
    }
    Ok((!same_list || !same_chain).then(|| (entry.certificate.digest(), current.digest())))
}

/// Whether two chains are of the same statements, however they are signed.
fn is_same(one: &CertificateChain, other: &CertificateChain) -> bool {
    let digests = |chain: &CertificateChain| (chain.issuer.digest(), chain.certificate.digest());
    digests(one) == digests(other)
}

/// Checks that a key list drops or exchanges nothing that it must not of the current one, which was checked like this
/// when it was stored: that costs the same however many there are.
fn check_follows(current: &Envelope<KeyList>, list: &Envelope<KeyList>) -> Result<(), Problem> {
    let account = list.unverified().account;
    let current = verify_key_list(current, account).map_err(|error| Problem::internal(&error))?;
    let list = verify_key_list(list, account).map_err(|_| refused(NOT_FOLLOWING))?;
    check_next(&current, &list).map_err(|_| refused(NOT_FOLLOWING))
}

/// Checks that an account may have one more key list: everybody who looks it up is sent all of them.
fn check_room_for_list(stored: impl Iterator<Item = usize>, new: usize) -> Result<(), Problem> {
    let (number, bytes) = stored.fold((1usize, new), |(number, bytes), length| {
        (number.saturating_add(1), bytes.saturating_add(length))
    });
    if number > MAX_KEY_LISTS || bytes > MAX_KEY_LIST_BYTES {
        return Err(Problem::with_detail(
            ProblemCode::Conflict,
            "The account has as many key lists as an account may have.",
        ));
    }
    Ok(())
}

/// Replaces the certificate of any account by a newer one, from the body of the request: whoever is enrolled may bring
/// it, for the issuer's signature speaks for itself. Its end may have passed, which ends the account.
///
/// # Errors
/// [`ProblemCode::BadRequest`]; [`ProblemCode::NotFound`] if there is no such account;
/// [`ProblemCode::CredentialsRefused`] if it is not newer than the stored one, for another role, does not count yet, or
/// not this organisation's for this account.
pub fn replace_certificate(
    vault: &Vault,
    caller: &Caller,
    account: AccountId,
    body: &[u8],
) -> Result<Stored, Problem> {
    let permit = authorize(&caller.actor, Action::ReplaceCertificate, None)?;
    let text: ChainText = serde_json::from_slice(body)
        .map_err(|_| Problem::bad_request("The body is not a certificate with its issuer's."))?;
    let chain = text.parse()?;
    let unproven = || refused("The chain does not lead from this organisation to this account at this time.");
    let signed = chain.verify_signatures(vault.organisation, account).map_err(|_| unproven())?;
    signed.check_begun(caller.at).map_err(|_| unproven())?;
    vault.accounts_lock.exclusive((), || {
        let entry = vault.store.directory_entry(account)?.ok_or(Problem::not_found())?.entry;
        let current = entry.chain();
        if is_same(&current, &chain) {
            return Ok(Stored::Same);
        }
        if !chain.is_newer_than(&current) {
            return Err(refused(NOT_NEWER));
        }
        // What an account is in its organisation changes only with its own device's signature.
        if signed.certificate().role != current.certificate.unverified().role {
            return Err(refused("The certificate is for another role than the current one."));
        }
        let event = Event::permitted(&permit, caller);
        let replaces = current.certificate.digest();
        let statements = vault.unstored(&[
            (chain.issuer.digest(), chain.issuer.bytes()),
            (chain.certificate.digest(), chain.certificate.bytes()),
        ])?;
        // Also of a store that is full: who fills it can be ended, and who reads in it renewed.
        let room = vault.room.for_ending(&*vault.blobs, length(&statements))?;
        let change = vault.with_statements(&statements, || {
            Ok(vault.store.replace_certificate(&permit, &event, account, &chain, replaces)?)
        })?;
        room.settle(change);
        vault.learn_issuer(&signed);
        Ok(Stored::New)
    })
}

/// Accounts whose id begins with `prefix`.
///
/// # Errors
/// [`ProblemCode::BadRequest`] if it is no prefix.
pub fn find(vault: &Vault, caller: &Caller, prefix: &str) -> Result<AccountMatches, Problem> {
    let permit = authorize(&caller.actor, Action::FindAccounts, None)?;
    let prefix = HexPrefix::parse(prefix, AccountId::BYTES)
        .ok_or_else(|| Problem::bad_request("The prefix must be 8 to 64 lowercase hexadecimal digits."))?;
    let accounts = vault.store.accounts_by_prefix(&permit, &prefix, MAX_MATCHES)?;
    Ok(AccountMatches { accounts })
}

/// What the directory says of an account.
///
/// # Errors
/// [`ProblemCode::NotFound`], [`ProblemCode::CertificateExpired`].
pub fn look_up(vault: &Vault, caller: &Caller, account: AccountId) -> Result<DirectoryEntry, Problem> {
    let actor = &caller.actor;
    // In force anybody may, so nothing has to be looked for.
    let shared = actor.standing == Standing::InForce || vault.store.has_met(actor.account, account)?;
    authorize_look_up(actor, account, shared)?;
    let row = vault.store.directory_entry(account)?.ok_or(Problem::not_found())?;
    Ok(row.entry)
}

/// Most bytes of memory that [`look_up`] takes until its answer is encoded.
///
/// # Errors
/// [`ProblemCode::Internal`].
pub fn entry_size(vault: &Vault, account: AccountId) -> Result<usize, Problem> {
    Ok(super::size_while_encoded(vault.store.directory_size(account)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_room_for_so_many_lists_and_bytes() {
        let check = |stored: &[usize], new| check_room_for_list(stored.iter().copied(), new);
        assert!(check(&[1; MAX_KEY_LISTS - 1], 1).is_ok());
        assert_eq!(check(&[1; MAX_KEY_LISTS], 1).unwrap_err().code, ProblemCode::Conflict);
        assert!(check(&[MAX_KEY_LIST_BYTES - 10], 10).is_ok());
        assert_eq!(check(&[MAX_KEY_LIST_BYTES - 10], 11).unwrap_err().code, ProblemCode::Conflict);
    }
}
