//! What this home remembers of each account it has met: what it has seen of its keys, and whether two people compared
//! them.
//!
//! A pin is read, checked and replaced under one lock, durably. One that cannot be read is an error and stays as it is:
//! a pin that could be lost silently would protect nothing.

use serde::{Deserialize, Serialize};
use vault_proto::credentials::Issued;
use vault_proto::ids::{AccountId, Digest, OrganisationId};
use vault_proto::timestamp::Timestamp;

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
    /// Its newest certificate.
    pub(crate) certificate: Issued,
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
    let _lock = home.lock("pins").await?;
    let name = Home::pin_name(&account);
    let before: Option<Pin> = home.read_json(&name).await?;
    let after = change(before.as_ref())?;
    if before.as_ref() != Some(&after) {
        home.write_json(&name, &after).await?;
    }
    Ok(after)
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
