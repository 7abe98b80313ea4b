//! Whose keys: what the server's directory says of an account, believed only as far as the pinned organisation root,
//! the account's own signatures and what was seen before allow (FORMAT.md, "Trust").

use serde::{Deserialize, Serialize};
use vault_proto::envelope::{Envelope, StatementError};
use vault_proto::ids::{AccountId, MIN_PREFIX, OrganisationId};
use vault_proto::key_chain::KeyListChain;
use vault_proto::members::{
    CertificateChain, Issued, MemberStatements, SignedMember, TrustError, TrustProblem,
};
use vault_proto::problem::ProblemCode;
use vault_proto::timestamp::Timestamp;
use vault_proto::trust::{Signer, VerifiedMember};
use vault_proto::wire::{self, AccountMatches, DirectoryEntry};

use crate::effects::Method;
use crate::error::{ClientError, NextStep};
use crate::home::Home;
use crate::home::account;
use crate::home::names::Names;
use crate::home::pins::{self, Pin, Standing};
use crate::server::connection::Connection;
use crate::session::Session;

/// Most bytes of a directory entry: some hundred key lists.
const MAX_ENTRY: usize = 8 * 1024 * 1024;
/// Most bytes of a list of matches.
const MAX_MATCHES_BODY: usize = 16 * 1024;

/// A directory entry as it comes. Its statements stand as strings: one that is altered says whose keys cannot be
/// trusted, where an answer that breaks the protocol would not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryText {
    issuer: String,
    certificate: String,
    key_lists: Vec<String>,
}

impl EntryText {
    fn parse(&self) -> Result<DirectoryEntry, StatementError> {
        let key_lists = self.key_lists.iter().map(|list| Envelope::parse(list.as_bytes()));
        Ok(DirectoryEntry {
            issuer: Envelope::parse(self.issuer.as_bytes())?,
            certificate: Envelope::parse(self.certificate.as_bytes())?,
            key_lists: key_lists.collect::<Result<_, _>>()?,
        })
    }
}

/// An account whose keys can be sealed to, with the statements that prove it.
#[derive(Debug, Clone)]
pub struct TrustedMember {
    /// The statements.
    pub statements: MemberStatements,
    /// What they prove.
    pub verified: VerifiedMember,
}

/// Looks `account` up and checks it against the pinned root, its own chain of key lists, this home's pin, and what
/// people found when they compared its keys.
///
/// # Errors
/// [`ClientError::Trust`], naming the account; nothing is ever sealed to a key that fails.
pub async fn look_up(session: &Session, account: AccountId) -> Result<TrustedMember, ClientError> {
    look_up_by(session, account, None, Fetched::Now).await
}

/// When an account is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// The server is asked.
    Now,
    /// What it said within the last 7 days is taken.
    Recently,
}

/// As [`look_up`], or as it was looked up before; `signer` is the device of it that is to seal.
///
/// # Errors
/// As [`look_up`]; [`ClientError::NotFound`] if it was not looked up lately.
pub(crate) async fn look_up_by(
    session: &Session,
    account: AccountId,
    signer: Option<Signer>,
    fetched: Fetched,
) -> Result<TrustedMember, ClientError> {
    match fetched {
        Fetched::Now => {
            let (trusted, pin) = look_up_signer(session, account, signer).await?;
            require_not_unequal(account, &pin)?;
            remember(session, account, &trusted.statements).await?;
            Ok(trusted)
        }
        Fetched::Recently => {
            let remembered = remembered(session, account, signer).await?;
            remembered.ok_or_else(|| ClientError::NotFound(format!("account {account}")))
        }
    }
}

fn require_not_unequal(account: AccountId, pin: &Pin) -> Result<(), TrustError> {
    match pin.standing.unequal {
        Some(at) => Err(TrustError { account, problem: TrustProblem::ComparedUnequal { at } }),
        None => Ok(()),
    }
}

/// What an account's entry was when the server was asked last.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    fetched: Timestamp,
    statements: MemberStatements,
}

/// Seconds for which an entry may be sealed to without asking the server.
const ENTRY_LIFETIME: i64 = 7 * 24 * 3600;
/// Seconds within which the same entry is not written again.
const ENTRY_PRECISION: i64 = 3600;

fn entry_name(account: AccountId) -> String {
    format!("entries/{account}.json")
}

async fn remember(
    session: &Session,
    account: AccountId,
    statements: &MemberStatements,
) -> Result<(), ClientError> {
    let (home, fetched) = (&session.home, session.effects().timestamp()?);
    // One that cannot be read is only fetched again.
    let known: Option<Entry> = home.read_json(&entry_name(account)).await.unwrap_or(None);
    let is_fresh = |known: &Entry| {
        known.statements == *statements
            && known.fetched <= fetched
            && known.fetched.saturating_add(ENTRY_PRECISION) > fetched
    };
    if known.as_ref().is_some_and(is_fresh) {
        return Ok(());
    }
    home.write_json(&entry_name(account), &Entry { fetched, statements: statements.clone() }).await
}

/// An account as it was looked up within the last 7 days, if its certificate and its keys count now, and are the newest
/// that this home has seen.
async fn remembered(
    session: &Session,
    account: AccountId,
    signer: Option<Signer>,
) -> Result<Option<TrustedMember>, ClientError> {
    let Session { home, enrolment, .. } = session;
    let now = session.effects().timestamp()?;
    let Some(Entry { fetched, statements }) = home.read_json(&entry_name(account)).await? else {
        return Ok(None);
    };
    let Some(pin) = pins::read(home, account).await? else {
        return Ok(None);
    };
    require_not_unequal(account, &pin)?;
    let is_newest = pin.organisation == enrolment.organisation
        && pin.key_list == statements.key_list.digest()
        && pin.certificate == Issued::of(&statements.certificate);
    if !is_newest || fetched > now || fetched.saturating_add(ENTRY_LIFETIME) < now {
        return Ok(None);
    }
    let known = pins::known(home, enrolment.organisation, [account]).await?;
    let signed = statements.verify_signatures(enrolment.organisation, account)?;
    let verified = known.check_now(signed, signer, now)?;
    Ok(Some(TrustedMember { statements, verified }))
}

/// As [`look_up`], but for an account that was found unequal too: only for comparing it again.
pub(crate) async fn look_up_pinned(
    session: &Session,
    account: AccountId,
) -> Result<(TrustedMember, Pin), ClientError> {
    look_up_signer(session, account, None).await
}

async fn look_up_signer(
    session: &Session,
    account: AccountId,
    signer: Option<Signer>,
) -> Result<(TrustedMember, Pin), ClientError> {
    let Session { home, enrolment, .. } = session;
    let (entry, trusted) = fetch(session, account, signer).await?;
    // The account's own key list needs no pin: it lies in the home.
    let own = account::profile(home).await?.key_list;
    if own.unverified().account == account {
        let refuse = |problem| TrustError { account, problem };
        entry.chain.check_seen(own.unverified().number, own.digest()).map_err(refuse)?;
    }
    let organisation = enrolment.organisation;
    let pin = pins::update(home, account, |seen| entry.pinned(organisation, account, seen, true)).await?;
    pins::learn_issuer(home, &trusted.statements.issuer, trusted.verified.chain().issuer()).await?;
    Ok((trusted, pin))
}

/// Takes in what the directory says of the keys of `account`, whatever has become of its certificate: for whoever is
/// shown something that it sealed. A device that was removed since is known to be from then on, also where a server
/// goes back to an older list.
///
/// # Errors
/// [`ClientError::Trust`], naming the account, if it is not there, does not check, or is older than what was seen.
pub(crate) async fn meet(session: &Session, account: AccountId) -> Result<KeyListChain, ClientError> {
    let Session { home, enrolment, .. } = session;
    let entry = fetch_entry(session, account).await?;
    let organisation = enrolment.organisation;
    let met = |seen: Option<&Pin>| entry.pinned(organisation, account, seen, false);
    pins::update_if_writable(home, account, met).await?;
    pins::learn_issuer(home, &entry.statements.issuer, entry.signed.chain().issuer()).await?;
    Ok(entry.chain)
}

/// What the server says of an account, with all signatures, checked as far as it can be without anything that was seen
/// before. Whether it counts is not looked at.
struct CheckedEntry {
    entry: DirectoryEntry,
    chain: KeyListChain,
    statements: MemberStatements,
    signed: SignedMember,
}

impl CheckedEntry {
    /// The pin that takes the place of `seen`, if what the server says does not fall behind it.
    fn pinned(
        &self,
        organisation: OrganisationId,
        account: AccountId,
        seen: Option<&Pin>,
        is_named: bool,
    ) -> Result<Pin, ClientError> {
        let refuse = |problem| TrustError { account, problem };
        let certificate = Issued::of(&self.statements.certificate);
        if let Some(seen) = seen {
            if seen.organisation != organisation {
                let problem =
                    TrustProblem::OrganisationChanged { pinned: seen.organisation, found: organisation };
                return Err(refuse(problem).into());
            }
            self.chain.check_seen(seen.number, seen.key_list).map_err(refuse)?;
            if certificate < seen.certificate {
                let (served, seen) = (certificate.at, seen.certificate.at);
                return Err(refuse(TrustProblem::CertificateRolledBack { served, seen }).into());
            }
        }
        let newest = self.chain.newest();
        Ok(Pin {
            organisation,
            number: newest.number,
            key_list: newest.digest(),
            key_lists: self.entry.key_lists.clone(),
            certificate,
            is_named: is_named || seen.is_some_and(|seen| seen.is_named),
            standing: seen.map_or_else(Standing::default, |seen| seen.standing),
            shown: seen.and_then(|seen| seen.shown.clone()),
        })
    }
}

/// An account whose keys count now, or would seal as `signer`.
async fn fetch(
    session: &Session,
    account: AccountId,
    signer: Option<Signer>,
) -> Result<(CheckedEntry, TrustedMember), ClientError> {
    let Session { home, enrolment, .. } = session;
    let entry = fetch_entry(session, account).await?;
    if account == session.account.id {
        // Also one that has ended: its holder is to know.
        learn_own_certificate(home, entry.entry.chain()).await?;
    }
    let mut known = pins::known(home, enrolment.organisation, []).await?;
    known.learn_key_lists(account, entry.chain.clone());
    let verified = known.check_now(entry.signed.clone(), signer, session.effects().timestamp()?)?;
    let trusted = TrustedMember { statements: entry.statements.clone(), verified };
    Ok((entry, trusted))
}

async fn fetch_entry(session: &Session, account: AccountId) -> Result<CheckedEntry, ClientError> {
    let Session { enrolment, connection, .. } = session;
    let missing = || TrustError { account, problem: TrustProblem::Missing };
    let path = wire::path::account(&account);
    let entry: EntryText = match connection.get_json(&path, None, MAX_ENTRY).await {
        Err(ClientError::Refused(problem)) if problem.known_code() == Some(ProblemCode::NotFound) => {
            return Err(missing().into());
        }
        other => other?,
    };
    let entry = entry.parse().map_err(|error| TrustError { account, problem: error.into() })?;
    let chain = KeyListChain::check(account, &entry.key_lists)?;
    let statements = entry.current().ok_or_else(missing)?;
    let signed = statements.verify_signatures(enrolment.organisation, account)?;
    Ok(CheckedEntry { entry, chain, statements, signed })
}

/// Asks the server for the certificate of the home's own account: a registrar may have brought another one there. What
/// is newer is remembered; whether it counts is for [`account::expiry`] to say.
///
/// # Errors
/// [`ClientError::Trust`] if what the server holds is not this account's; else why it could not be asked.
pub async fn refresh_own_certificate(session: &Session) -> Result<(), ClientError> {
    match fetch(session, session.account.id, None).await {
        Ok(_) => Ok(()),
        Err(ClientError::Trust(TrustError {
            problem:
                TrustProblem::Expired { .. }
                | TrustProblem::NotYetValid { .. }
                | TrustProblem::IssuerEnded { .. }
                | TrustProblem::Revoked { .. },
            ..
        })) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Brings a certificate to the server, whosoever it is: a registrar's, which renews or ends an account.
///
/// # Errors
/// [`ClientError::Trust`] if it is not of the session's organisation, before anything is sent;
/// [`ClientError::NotFound`] if its account is not enrolled there; [`ClientError::Refused`] if the server holds a newer
/// one.
pub async fn bring_certificate(session: &Session, chain: &CertificateChain) -> Result<(), ClientError> {
    let account = chain.certificate.unverified().account;
    chain.verify_signatures(session.enrolment.organisation, account)?;
    match session.connection.send_json(Method::Put, &wire::path::certificate(&account), chain).await {
        Err(ClientError::Refused(problem)) if problem.known_code() == Some(ProblemCode::NotFound) => {
            Err(ClientError::NotFound(format!("account {account}")))
        }
        sent => sent.map(drop),
    }
}

/// Remembers a certificate of the home's own account that a registrar brought to the server without it: a longer one,
/// or one that has ended. In a home that cannot be written to it is not remembered.
async fn learn_own_certificate(home: &Home, chain: CertificateChain) -> Result<(), ClientError> {
    let Some(_lock) = home.lock_if_writable("home").await? else {
        return Ok(());
    };
    match account::profile(home).await?.chain {
        Some(known) if !chain.is_newer_than(&known) => Ok(()),
        _ => account::set_certificate(home, &chain).await,
    }
}

/// Whom the server took a prefix for that nobody here has met: to be told to the person before anything is done with
/// it. Nothing is remembered of it yet, so that a person who says no is asked again the next time.
///
/// # Errors
/// [`ClientError::Usage`], [`ClientError::NotFound`], [`ClientError::Ambiguous`], or [`ClientError::Trust`].
pub async fn first_contact(session: &Session, prefix: &str) -> Result<VerifiedMember, ClientError> {
    check_prefix(prefix, "an account", AccountId::BYTES * 2)?;
    let account = ask(&session.connection, prefix).await?;
    Ok(fetch(session, account, None).await?.1.verified)
}

async fn ask(connection: &Connection, prefix: &str) -> Result<AccountId, ClientError> {
    let query = format!("prefix={prefix}");
    let found: AccountMatches =
        connection.get_json(wire::path::ACCOUNTS, Some(&query), MAX_MATCHES_BODY).await?;
    only_match(prefix, "account", &found.accounts)
}

/// Finds the account that a person means: a petname, a whole id, or a prefix of one that was met before or that the
/// server knows.
///
/// A server can answer a prefix with any account that begins so, and short prefixes can be hit by making keys. Programs
/// that talk to a person use [`resolve_near`], and [`first_contact`] to say whom the server took.
///
/// # Errors
/// [`ClientError::Declined`], [`ClientError::NotFound`] or [`ClientError::Ambiguous`].
pub async fn resolve_account(session: &Session, text: &str) -> Result<AccountId, ClientError> {
    if let Some(account) = resolve_near(&session.home, text).await? {
        return Ok(account);
    }
    ask(&session.connection, text).await
}

/// As [`resolve_account`], without asking the server: `None` for a prefix of no account that was met before.
///
/// # Errors
/// [`ClientError::Declined`] or [`ClientError::Ambiguous`].
pub async fn resolve_near(home: &Home, text: &str) -> Result<Option<AccountId>, ClientError> {
    if let Ok(account) = text.parse() {
        return Ok(Some(account));
    }
    // No petname can be the beginning of an id, so neither hides the other.
    if let Some(account) = Names::read(home).await?.account(text) {
        return Ok(Some(account));
    }
    check_prefix(text, "an account", AccountId::BYTES * 2).map_err(|error| match error {
        ClientError::Usage(what) => ClientError::Declined {
            what: format!("{what}, or a petname that you gave it"),
            next: NextStep::SeeNames + ".",
        },
        other => other,
    })?;
    let near: Vec<AccountId> = pins::named_accounts(home)
        .await?
        .into_iter()
        .filter(|account| account.to_string().starts_with(text))
        .collect();
    if near.is_empty() { Ok(None) } else { only_match(text, "account", &near).map(Some) }
}

/// Refuses what cannot be the beginning of an id.
pub fn check_prefix(text: &str, what: &str, longest: usize) -> Result<(), ClientError> {
    let hexadecimal = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if hexadecimal && (MIN_PREFIX..=longest).contains(&text.len()) {
        return Ok(());
    }
    Err(ClientError::Usage(format!(
        "{text:?} does not name {what}: write its id ({longest} hexadecimal digits), or at least its first {MIN_PREFIX} digits"
    )))
}

/// The one id that begins with `text`.
pub(crate) fn only_match<T: Copy + ToString>(
    text: &str,
    what: &str,
    matches: &[T],
) -> Result<T, ClientError> {
    let fits: Vec<T> = matches.iter().copied().filter(|id| id.to_string().starts_with(text)).collect();
    match fits.as_slice() {
        [one] => Ok(*one),
        [] => Err(ClientError::NotFound(format!("{what} {text}"))),
        several => Err(ClientError::Ambiguous {
            prefix: text.to_owned(),
            matches: several.iter().map(ToString::to_string).collect(),
        }),
    }
}
