//! Ids that are hashes, each under a label of its own (FORMAT.md, "Labels"): of public keys, and of the device key that
//! seals a recording.

use crate::ids::{AccountId, KeyId, OrganisationId, PublicKey, RecordingId, RecordingSalt};
use crate::labels;

impl AccountId {
    /// The account that a root public key certifies.
    pub fn of_root(root: &PublicKey) -> Self {
        Self::from_bytes(*labels::labelled_hash(labels::ACCOUNT, root.as_bytes()).as_bytes())
    }
}

impl OrganisationId {
    /// The organisation that a root public key certifies.
    pub fn of_root(root: &PublicKey) -> Self {
        Self::from_bytes(*labels::labelled_hash(labels::ORGANISATION, root.as_bytes()).as_bytes())
    }
}

impl RecordingId {
    /// The recording that the device with the key id `sealer_key` begins with `salt`.
    pub fn of(sealer_key: &KeyId, salt: &RecordingSalt) -> Self {
        let data = [&sealer_key.as_bytes()[..], salt.as_bytes()].concat();
        let hash = labels::labelled_hash(labels::RECORDING, &data);
        let mut id = [0; Self::BYTES];
        for (byte, hashed) in id.iter_mut().zip(hash.as_bytes()) {
            *byte = *hashed;
        }
        Self::from_bytes(id)
    }
}

impl KeyId {
    /// Key id of a device's Ed25519 key.
    pub fn of_device(key: &PublicKey) -> Self {
        Self::from_bytes(*labels::labelled_hash(labels::DEVICE_KEY, key.as_bytes()).as_bytes())
    }

    /// Key id of an issuer's Ed25519 key.
    pub fn of_issuer(key: &PublicKey) -> Self {
        Self::from_bytes(*labels::labelled_hash(labels::ISSUER_KEY, key.as_bytes()).as_bytes())
    }

    /// Key id under which an account's root signs key lists.
    pub fn of_account_root(root: &PublicKey) -> Self {
        Self::from_bytes(*AccountId::of_root(root).as_bytes())
    }

    /// Key id under which an organisation's root signs issuer certificates.
    pub fn of_organisation_root(root: &PublicKey) -> Self {
        Self::from_bytes(*OrganisationId::of_root(root).as_bytes())
    }

    /// Key id of an encryption recipient, from its `age1…` text.
    pub fn of_recipient(recipient: &str) -> Self {
        Self::from_bytes(*labels::labelled_hash(labels::ENCRYPTION_KEY, recipient.as_bytes()).as_bytes())
    }
}
