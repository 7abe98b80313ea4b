use serde::{Deserialize, Serialize};

use super::DeviceRole;
use super::key_list::{has_valid_roles, unknown_role};
use crate::envelope::Statement;
use crate::ids::{AccountId, Digest, KeyId, PublicKey};
use crate::timestamp::Timestamp;

/// A device that one of the account's devices adds to the account's newest key list, for as long as no other list
/// follows on that one (FORMAT.md, "Kinds").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The account.
    pub account: AccountId,
    /// Digest of the key list that it is added to.
    pub key_list: Digest,
    /// The new device's Ed25519 public key.
    pub key: PublicKey,
    /// What it may sign: nothing that the device which adds it may not.
    pub roles: Vec<DeviceRole>,
    /// Key id of the device that adds it and signs this.
    pub by: KeyId,
    /// When it was signed.
    pub created: Timestamp,
}

impl Statement for Device {
    const PAYLOAD_TYPE: &'static str = "application/vnd.recording-vault.device.v1+json";
    const NAME: &'static str = "added device";

    fn check(&self) -> Result<(), &'static str> {
        if !self.key.is_usable() {
            return Err("its key is no point that signatures can be checked with");
        }
        if !has_valid_roles(&self.roles) {
            return Err("it has no role, a role twice, or its roles in another order");
        }
        if self.by == self.key_id() {
            return Err("it is added by itself");
        }
        Ok(())
    }

    fn unknown_choice(payload: &serde_json::Value) -> Option<String> {
        unknown_role(payload.get("roles")?)
    }
}

impl Device {
    /// Key id by which manifests and request signatures name it.
    pub fn key_id(&self) -> KeyId {
        KeyId::of_device(&self.key)
    }
}
