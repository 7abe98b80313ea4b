//! What this home remembers of each account it has met: what it has seen of its keys, and whether two people compared
//! them.
//!
//! A pin is read, checked and replaced under one lock, durably. One that cannot be read is an error and stays as it is:
//! a pin that could be lost silently would protect nothing.

use serde::{Deserialize, Serialize};
use vault_proto::envelope::{Envelope, Verified};
use vault_proto::ids::{AccountId, Digest, OrganisationId};
use vault_proto::key_chain::KeyListChain;
use vault_proto::members::{Issued, verify_issuer};
use vault_proto::statements::{IssuerCertificate, KeyList};
use vault_proto::timestamp::Timestamp;
use vault_proto::trust::Known;

use crate::effects::Lock;
use crate::error::ClientError;
use crate::home::Home;

/// The newest of an account that this home has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    /// The organisation under which it was met.
    pub(crate) organisation: OrganisationId,
    /// Number of its newest key list.
    pub(crate) number: u64,
    /// Digest of its newest key list.
    pub(crate) key_list: Digest,
    /// All of its key lists, from number 1 on.
    pub(crate) key_lists: Vec<Envelope<KeyList>>,
    /// Its newest certificate.
    pub(crate) certificate: Issued,
    /// Whether somebody here has named it. One that was only met as the sealer of a recording was not, and so is not
    /// what the beginning of an id means.
    pub(crate) is_named: bool,
    /// Whether two people compared its keys.
    pub(crate) standing: Standing,
    /// Digits that were shown and not answered yet.
    pub(crate) shown: Option<Shown>,
}

/// What people found when they compared the keys of an account with its holder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Standing {
    /// The last comparison in which they were equal.
    pub(crate) compared: Option<Compared>,
    /// When they were found unequal, unless they were found equal since.
    pub(crate) unequal: Option<Timestamp>,
}

/// A comparison in which the keys of an account were equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compared {
    /// When.
    pub(crate) at: Timestamp,
    /// The account's key list that was compared.
    pub(crate) key_list: Digest,
}

/// What is known of an account from comparing its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// They were never compared.
    None,
    /// They were equal, and are the same since.
    Equal {
        /// When.
        at: Timestamp,
    },
    /// They were equal, and other keys of the same account have followed on them since. The comparison goes on counting
    /// for the account, whose root signs each list; what is new in it nobody has compared.
    EqualThenChanged {
        /// When they were compared.
        at: Timestamp,
    },
    /// They differed, and were not found equal since: nothing is sealed to the account.
    Unequal {
        /// When.
        at: Timestamp,
    },
}

/// Digits of a comparison that wait for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shown {
    /// The digits.
    pub(crate) code: String,
    /// The other's key list that they are about.
    pub(crate) key_list: Digest,
    /// When they were shown.
    pub(crate) at: Timestamp,
}

/// Replaces the pin of an account by what `change` makes of it. Nobody else changes a pin meanwhile.
pub(crate) async fn update(
    home: &Home,
    account: AccountId,
    change: impl FnOnce(Option<&Pin>) -> Result<Pin, ClientError>,
) -> Result<Pin, ClientError> {
    let lock = home.lock("pins").await?;
    replace(home, account, Some(lock), change).await
}

/// As [`update`]; in a home that cannot be written to the change is made, and not kept.
pub(crate) async fn update_if_writable(
    home: &Home,
    account: AccountId,
    change: impl FnOnce(Option<&Pin>) -> Result<Pin, ClientError>,
) -> Result<Pin, ClientError> {
    let lock = home.lock_if_writable("pins").await?;
    replace(home, account, lock, change).await
}

async fn replace(
    home: &Home,
    account: AccountId,
    lock: Option<Lock>,
    change: impl FnOnce(Option<&Pin>) -> Result<Pin, ClientError>,
) -> Result<Pin, ClientError> {
    let name = Home::pin_name(&account);
    let before: Option<Pin> = home.read_json(&name).await?;
    let after = change(before.as_ref())?;
    if lock.is_some() && before.as_ref() != Some(&after) {
        home.write_json(&name, &after).await?;
    }
    Ok(after)
}

/// Accounts that somebody here has named.
///
/// # Errors
/// [`ClientError::Disk`].
pub(crate) async fn named_accounts(home: &Home) -> Result<Vec<AccountId>, ClientError> {
    let mut named = Vec::new();
    for account in home.pinned_accounts().await? {
        if read(home, account).await?.is_some_and(|pin| pin.is_named) {
            named.push(account);
        }
    }
    Ok(named)
}

/// The pin of an account; `None` if it was never met.
pub(crate) async fn read(home: &Home, account: AccountId) -> Result<Option<Pin>, ClientError> {
    home.read_json(&Home::pin_name(&account)).await
}

/// What is known from comparing the keys of `account`, as far as this home has seen its key lists.
///
/// # Errors
/// [`ClientError::Disk`].
pub async fn comparison(home: &Home, account: AccountId) -> Result<Comparison, ClientError> {
    let pin: Option<Pin> = home.read_json(&Home::pin_name(&account)).await?;
    Ok(pin.map_or(Comparison::None, |pin| pin.comparison()))
}

/// Record with the issuer certificate of the highest number that this home has seen.
const ISSUER: &str = "issuer.json";

/// What this home has seen of `organisation` and of `accounts`, for deciding what counts.
///
/// # Errors
/// [`ClientError::Disk`], also for a record that is not what was written.
pub(crate) async fn known(
    home: &Home,
    organisation: OrganisationId,
    accounts: impl IntoIterator<Item = AccountId>,
) -> Result<Known, ClientError> {
    let mut known = Known::default();
    if let Some(issuer) = home.read_json::<Envelope<IssuerCertificate>>(ISSUER).await? {
        // That of another organisation says nothing about this one.
        if let Ok(issuer) = verify_issuer(&issuer, organisation) {
            known.learn_issuer(&issuer);
        }
    }
    for account in accounts {
        let Some(pin) = read(home, account).await? else {
            continue;
        };
        if pin.organisation == organisation {
            let chain = KeyListChain::check(account, &pin.key_lists)
                .map_err(|error| home.damaged(&Home::pin_name(&account), &error))?;
            known.learn_key_lists(account, chain);
        }
    }
    Ok(known)
}

/// As `known`, of every account that was met.
///
/// # Errors
/// [`ClientError::Disk`].
pub async fn known_of_all(home: &Home, organisation: OrganisationId) -> Result<Known, ClientError> {
    known(home, organisation, home.pinned_accounts().await?).await
}

/// Remembers an issuer certificate of the pinned organisation, if its number is the highest one seen. In a home that
/// cannot be written to it is not remembered.
pub(crate) async fn learn_issuer(
    home: &Home,
    envelope: &Envelope<IssuerCertificate>,
    issuer: &Verified<IssuerCertificate>,
) -> Result<(), ClientError> {
    let is_newer = |known: &Known| known.issuer().is_none_or(|known| known.number < issuer.number);
    if !is_newer(&known(home, issuer.organisation, []).await?) {
        return Ok(());
    }
    let Some(_lock) = home.lock_if_writable("pins").await? else {
        return Ok(());
    };
    if is_newer(&known(home, issuer.organisation, []).await?) {
        home.write_json(ISSUER, envelope).await?;
    }
    Ok(())
}

impl Pin {
    fn comparison(&self) -> Comparison {
        match (self.standing.unequal, self.standing.compared) {
            (Some(at), _) => Comparison::Unequal { at },
            (None, Some(Compared { at, key_list })) if key_list == self.key_list => Comparison::Equal { at },
            (None, Some(Compared { at, .. })) => Comparison::EqualThenChanged { at },
            (None, None) => Comparison::None,
        }
    }
}
