use serde::{Deserialize, Serialize};

use super::{MAX_WORDS, Suite, is_ascending, unknown_word};
use crate::envelope::Statement;
use crate::ids::{AccountId, Digest, KeyId, PublicKey};
use crate::timestamp::Timestamp;

#[cfg(test)]
mod tests;

/// Most encryption keys in a key list.
const MAX_ENCRYPTION_KEYS: usize = 4;
/// Most devices in a key list.
const MAX_DEVICES: usize = 16;
/// Most removed devices in a key list.
const MAX_REMOVED: usize = 256;
/// The characters of Bech32 behind the `1` that ends its prefix.
const BECH32: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// A key to which recordings for the account are wrapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionKey {
    /// Suite of the recipient.
    pub suite: Suite,
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

/// A device that was taken from the account. What it signed until then goes on counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemovedDevice {
    /// The device's Ed25519 public key.
    pub key: PublicKey,
    /// Number of the last of its manifests and grants that counts; 0 if none does.
    pub sequence: u64,
    /// Since when it was not in its holder's hands, as far as the holder can say.
    pub since: Option<Timestamp>,
}

impl RemovedDevice {
    /// Key id by which manifests and request signatures name it.
    pub fn key_id(&self) -> KeyId {
        KeyId::of_device(&self.key)
    }
}

/// What the account's holder leaves to the clinicians of her recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allowance {
    /// They may share them with the account that succeeds hers.
    ClinicianReadmits,
    /// They may share them with other clinicians.
    ClinicianShares,
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
    /// Epoch of the identities of its encryption keys, from 1; removing a device starts the next one.
    pub epoch: u32,
    /// Encryption keys, one of a suite, by ascending suite.
    pub encryption: Vec<EncryptionKey>,
    /// Devices.
    pub devices: Vec<DeviceKey>,
    /// Devices that were taken from the account.
    pub removed: Vec<RemovedDevice>,
    /// What clinicians may do, ascending.
    pub allows: Vec<Allowance>,
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
        self.check_encryption()?;
        self.check_devices()?;
        if self.allows.len() > MAX_WORDS || !is_ascending(&self.allows) {
            return Err("what it allows is more than 16 words, or they do not ascend");
        }
        Ok(())
    }

    fn unknown_choice(payload: &serde_json::Value) -> Option<String> {
        let items = |name| payload.get(name).and_then(|list| list.as_array()).into_iter().flatten();
        let suite = items("encryption").filter_map(|key| key.get("suite")).find_map(Suite::unknown);
        let role = || items("devices").filter_map(|device| device.get("roles")).find_map(unknown_role);
        let allowance = || unknown_word::<Allowance>("allowance", payload.get("allows")?);
        suite.or_else(role).or_else(allowance)
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

/// If one of the roles of a device is not known: which.
pub(super) fn unknown_role(roles: &serde_json::Value) -> Option<String> {
    unknown_word::<DeviceRole>("device role", roles)
}

/// Whether a device has at least one role, each once, in the one order.
pub(super) fn has_valid_roles(roles: &[DeviceRole]) -> bool {
    matches!(roles, [_] | [DeviceRole::Auth, DeviceRole::Seal])
}

impl KeyList {
    fn check_encryption(&self) -> Result<(), &'static str> {
        if self.epoch == 0 {
            return Err("its epoch is 0");
        }
        if self.encryption.is_empty() || self.encryption.len() > MAX_ENCRYPTION_KEYS {
            return Err("it must name 1 to 4 encryption keys");
        }
        if !is_ascending(self.encryption.iter().map(|key| key.suite)) {
            return Err("its suites do not ascend, or one stands there twice");
        }
        if !self.encryption.iter().all(|key| is_recipient_of(key.suite, &key.recipient)) {
            return Err("a recipient is not a plain age recipient of its suite");
        }
        Ok(())
    }

    fn check_devices(&self) -> Result<(), &'static str> {
        if self.devices.is_empty() || self.devices.len() > MAX_DEVICES {
            return Err("it must name 1 to 16 devices");
        }
        if self.removed.len() > MAX_REMOVED {
            return Err("it names more than 256 removed devices");
        }
        let keys = || {
            let removed = self.removed.iter().map(|device| device.key);
            self.devices.iter().map(|device| device.key).chain(removed)
        };
        if !keys().all(|key| key.is_usable()) {
            return Err("a device key is no point that signatures can be checked with");
        }
        let mut sorted: Vec<PublicKey> = keys().collect();
        sorted.sort_unstable();
        if !is_ascending(&sorted) {
            return Err("a device is named twice");
        }
        if !self.devices.iter().all(|device| has_valid_roles(&device.roles)) {
            return Err("a device has no role, a role twice, or its roles in another order");
        }
        Ok(())
    }

    /// Whether it can be the list after `before` in the chain of its account, but for its number and the digest in it
    /// (FORMAT.md, "Trust").
    pub(crate) fn check_follows(&self, before: &Self) -> Result<(), &'static str> {
        if self.epoch < before.epoch {
            return Err("its epoch is lower than that of the list before");
        }
        if self.epoch == before.epoch && self.encryption != before.encryption {
            return Err("its recipients are not those of the list before, which has the same epoch");
        }
        let was_listed =
            |key: &EncryptionKey| before.encryption.iter().any(|old| old.recipient == key.recipient);
        if self.epoch > before.epoch && self.encryption.iter().any(was_listed) {
            return Err("it has a recipient of the list before, which has another epoch");
        }
        if !before.removed.iter().all(|device| self.removed.contains(device)) {
            return Err("a device that the list before has removed is not removed in it, or otherwise");
        }
        let is_kept = |device: &DeviceKey| match self.devices.iter().find(|kept| kept.key == device.key) {
            Some(kept) => kept.roles == device.roles,
            None => self.removed.iter().any(|removed| removed.key == device.key),
        };
        if !before.devices.iter().all(is_kept) {
            return Err("a device of the list before is neither in it with the same roles nor removed");
        }
        Ok(())
    }

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

    /// The device with this key id, in whatever roles.
    pub fn any_device(&self, id: KeyId) -> Option<&DeviceKey> {
        self.devices.iter().find(|device| device.key_id() == id)
    }

    /// The removed device with this key id.
    pub fn removed_device(&self, id: KeyId) -> Option<&RemovedDevice> {
        self.removed.iter().find(|device| device.key_id() == id)
    }
}
