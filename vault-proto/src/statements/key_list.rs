use serde::{Deserialize, Serialize};

use super::Suite;
use crate::envelope::Statement;
use crate::ids::{AccountId, Digest, KeyId, PublicKey};
use crate::timestamp::Timestamp;

#[cfg(test)]
mod tests;

/// Most encryption keys in a key list.
const MAX_ENCRYPTION_KEYS: usize = 8;
/// Most devices in a key list.
const MAX_DEVICES: usize = 64;
/// The characters of Bech32 behind the `1` that ends its prefix.
const BECH32: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// A key to which recordings for the account are wrapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionKey {
    /// Suite of the recipient.
    pub suite: Suite,
    /// Epoch of the identity, from 1; removing a device starts the next one.
    pub epoch: u32,
    /// The public recipient, `age1…` or `age1pq1…`.
    pub recipient: String,
}

impl EncryptionKey {
    /// Key id by which manifests name it.
    pub fn key_id(&self) -> KeyId {
        KeyId::of_recipient(&self.recipient)
    }
}

/// What a device key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceRole {
    /// Requests to the server.
    Auth,
    /// Manifests and seals.
    Seal,
}

/// A device of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceKey {
    /// The device's Ed25519 public key.
    pub key: PublicKey,
    /// What it may sign: at least one role, each once, `auth` before `seal`.
    pub roles: Vec<DeviceRole>,
}

impl DeviceKey {
    /// Key id by which manifests and request signatures name it.
    pub fn key_id(&self) -> KeyId {
        KeyId::of_device(&self.key)
    }
}

/// The keys of one account, signed by its root: numbered and chained. It counts until another follows on it: only the
/// holder's words sign one, and whoever lives without them for years is not to be locked out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyList {
    /// The account: the labelled hash of `root`.
    pub account: AccountId,
    /// The account's root public key, which signs this list.
    pub root: PublicKey,
    /// Number of the list, from 1.
    pub number: u64,
    /// Digest of the list before; null for number 1.
    pub previous: Option<Digest>,
    /// When it was signed.
    pub created: Timestamp,
    /// Encryption keys: of each suite those of higher epochs before those of lower ones, so that the first is the
    /// current one.
    pub encryption: Vec<EncryptionKey>,
    /// Devices.
    pub devices: Vec<DeviceKey>,
}

impl Statement for KeyList {
    const PAYLOAD_TYPE: &'static str = "application/vnd.recording-vault.key-list.v1+json";
    const NAME: &'static str = "key list";

    fn check(&self) -> Result<(), &'static str> {
        if self.account != AccountId::of_root(&self.root) {
            return Err("the account id is not the hash of the root key");
        }
        if self.number == 0 || (self.number == 1) != self.previous.is_none() {
            return Err("the number and the previous list do not fit each other");
        }
        if !self.root.is_usable() {
            return Err("its root is no point that signatures can be checked with");
        }
        if self.encryption.is_empty() || self.encryption.len() > MAX_ENCRYPTION_KEYS {
            return Err("it must name 1 to 8 encryption keys");
        }
        if self.devices.is_empty() || self.devices.len() > MAX_DEVICES {
            return Err("it must name 1 to 64 devices");
        }
        if !self.encryption.iter().all(|key| is_recipient_of(key.suite, &key.recipient)) {
            return Err("a recipient is not a plain age recipient of its suite");
        }
        if self.encryption.iter().any(|key| key.epoch == 0) {
            return Err("an encryption key has the epoch 0");
        }
        if pairs(&self.encryption).any(|(a, b)| a.suite == b.suite && a.epoch <= b.epoch) {
            return Err("the epochs of a suite do not descend");
        }
        if pairs(&self.encryption).any(|(a, b)| a.recipient == b.recipient) {
            return Err("a recipient is named twice");
        }
        if pairs(&self.devices).any(|(a, b)| a.key == b.key) {
            return Err("a device is named twice");
        }
        if !self.devices.iter().all(|device| has_valid_roles(&device.roles)) {
            return Err("a device has no role, a role twice, or its roles in another order");
        }
        if !self.devices.iter().all(|device| device.key.is_usable()) {
            return Err("a device key is no point that signatures can be checked with");
        }
        Ok(())
    }

    fn unknown_choice(payload: &serde_json::Value) -> Option<String> {
        let keys = payload.get("encryption")?.as_array()?;
        keys.iter().filter_map(|key| key.get("suite")).find_map(Suite::unknown)
    }
}

/// Whether a text could be a recipient of the suite, as far as that shows without its checksum: whoever seals to it
/// looks at that and at the point in it (FORMAT.md, "Suites"), and readers only compare its hash.
fn is_recipient_of(suite: Suite, recipient: &str) -> bool {
    let (prefix, length) = match suite {
        Suite::X25519 => ("age1", 62),
        Suite::Pq => ("age1pq1", 1_959),
    };
    let rest = recipient.strip_prefix(prefix);
    recipient.len() == length && rest.is_some_and(|rest| rest.chars().all(|c| BECH32.contains(c)))
}

/// Every two of `items`, the earlier one first.
fn pairs<T>(items: &[T]) -> impl Iterator<Item = (&T, &T)> {
    (1..).zip(items).flat_map(|(next, item)| items.iter().skip(next).map(move |later| (item, later)))
}

fn has_valid_roles(roles: &[DeviceRole]) -> bool {
    matches!(roles, [_] | [DeviceRole::Auth, DeviceRole::Seal])
}

impl KeyList {
    /// The encryption key that new recordings of `suite` are wrapped to.
    pub fn current_encryption_key(&self, suite: Suite) -> Option<&EncryptionKey> {
        self.encryption.iter().find(|key| key.suite == suite)
    }

    /// The encryption key with this id.
    pub fn encryption_key(&self, id: KeyId) -> Option<&EncryptionKey> {
        self.encryption.iter().find(|key| key.key_id() == id)
    }

    /// The device with this key id, if it has `role`.
    pub fn device(&self, id: KeyId, role: DeviceRole) -> Option<&DeviceKey> {
        self.devices.iter().find(|device| device.key_id() == id && device.roles.contains(&role))
    }
}
