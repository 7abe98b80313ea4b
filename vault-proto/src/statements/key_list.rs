use serde::{Deserialize, Serialize};

use super::Suite;
use crate::envelope::Statement;
use crate::ids::{AccountId, Digest, KeyId, PublicKey};
use crate::timestamp::Timestamp;

/// Most encryption keys in a key list.
const MAX_ENCRYPTION_KEYS: usize = 8;
/// Most devices in a key list.
const MAX_DEVICES: usize = 64;
/// Most characters of a recipient string; an `age1pq1…` recipient has 1,959.
const MAX_RECIPIENT: usize = 2_048;

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

/// The keys of one account, signed by its root: numbered, chained, expiring.
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
    /// First second at which it no longer counts.
    pub expires: Timestamp,
    /// Encryption keys, the current one of each suite first.
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
        if self.created >= self.expires {
            return Err("it expires before it was created");
        }
        if self.encryption.is_empty() || self.encryption.len() > MAX_ENCRYPTION_KEYS {
            return Err("it must name 1 to 8 encryption keys");
        }
        if self.devices.is_empty() || self.devices.len() > MAX_DEVICES {
            return Err("it must name 1 to 64 devices");
        }
        if self
            .encryption
            .iter()
            .any(|key| key.recipient.len() > MAX_RECIPIENT || !is_recipient_text(&key.recipient))
        {
            return Err("a recipient is not a plain age recipient");
        }
        let repeated_device = self
            .devices
            .iter()
            .enumerate()
            .any(|(i, a)| self.devices.iter().skip(i + 1).any(|b| a.key == b.key));
        if repeated_device || self.devices.iter().any(|device| !has_valid_roles(&device.roles)) {
            return Err("a device is named twice or has no valid roles");
        }
        Ok(())
    }

    fn unknown_choice(payload: &serde_json::Value) -> Option<String> {
        let keys = payload.get("encryption")?.as_array()?;
        keys.iter().filter_map(|key| key.get("suite")).find_map(Suite::unknown)
    }
}

fn is_recipient_text(recipient: &str) -> bool {
    recipient.starts_with("age1") && recipient.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
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
