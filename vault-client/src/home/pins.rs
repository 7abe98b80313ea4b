//! What this home remembers of each account it has met: what it has seen of its keys, and whether two people compared
//! them.
//!
//! A pin is read, checked and replaced under one lock, durably. One that cannot be read is an error and stays as it is:
//! a pin that could be lost silently would protect nothing.

use serde::{Deserialize, Serialize};
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
    /// First second of its newest certificate.
    pub(crate) certificate_from: Timestamp,
    /// Whether two people compared its keys.
    pub(crate) standing: Standing,
    /// Digits that were shown and not answered yet.
    pub(crate) shown: Option<Shown>,
}

/// What people found when they compared the keys of an account with its holder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// When they were last found equal.
    pub compared: Option<Timestamp>,
    /// When they were found unequal, unless they were found equal since.
    pub unequal: Option<Timestamp>,
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
pub(crate) fn update(
    home: &Home,
    account: AccountId,
    change: impl FnOnce(Option<&Pin>) -> Result<Pin, ClientError>,
) -> Result<Pin, ClientError> {
    let _lock = home.lock("pins.lock")?;
    let name = Home::pin_name(&account);
    let before: Option<Pin> = home.read_json(&name)?;
    let after = change(before.as_ref())?;
    if before.as_ref() != Some(&after) {
        home.write_json(&name, &after)?;
    }
    Ok(after)
}

/// What people found when they compared the keys of `account`; nothing if it was never met.
///
/// # Errors
/// [`ClientError::Disk`].
pub fn standing(home: &Home, account: AccountId) -> Result<Standing, ClientError> {
    let pin: Option<Pin> = home.read_json(&Home::pin_name(&account))?;
    Ok(pin.map(|pin| pin.standing).unwrap_or_default())
}
