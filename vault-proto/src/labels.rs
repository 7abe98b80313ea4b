//! Domain separation: every label that enters a hash or a key derivation, on one screen (FORMAT.md, "Labels").

use sha2::{Digest as _, Sha256};

use crate::ids::{Digest, KeyId, OrganisationId, RecordingId};

/// Account id: hash of the account's root public key.
pub const ACCOUNT: &str = "recording-vault/v1/account";
/// Organisation id, also called root fingerprint: hash of the organisation's root public key.
pub const ORGANISATION: &str = "recording-vault/v1/organisation";
/// Key id of an Ed25519 device key.
pub const DEVICE_KEY: &str = "recording-vault/v1/device-key";
/// Key id of an Ed25519 issuer key.
pub const ISSUER_KEY: &str = "recording-vault/v1/issuer-key";
/// Key id of an encryption recipient: hash of its `age1…` string.
pub const ENCRYPTION_KEY: &str = "recording-vault/v1/encryption-key";
/// Recording id: hash of the key id of its sealer's device and a salt, of which it is the first half.
pub const RECORDING: &str = "recording-vault/v1/recording";
/// Context of a key object, carried in its header's context stanza.
pub const KEY_CONTEXT: &str = "recording-vault/v1/key-context";
/// Context of a segment, carried in its header's context stanza.
pub const CONTEXT: &str = "recording-vault/v1/context";
/// Commitment to a nonce of a comparison.
pub const COMPARE_COMMITMENT: &str = "recording-vault/v1/compare-commitment";
/// Six digits of a comparison.
pub const COMPARE: &str = "recording-vault/v1/compare";
/// Sixty digits of a comparison.
pub const COMPARE_NUMBER: &str = "recording-vault/v1/compare-number";
/// Tag of the context stanza in a sealed header.
pub const CONTEXT_STANZA: &str = "recording-vault/ctx1";
/// `tag` parameter of every request signature (PROTOCOL.md, "Request signatures").
pub const REQUEST_TAG: &str = "recording-vault/v1";

/// Segment index that stands for the details object in a context; no segment can have it.
pub const DETAILS_INDEX: u32 = u32::MAX;
/// Track that stands for the details object in a context; no track can have it.
pub const DETAILS_TRACK: u8 = u8::MAX;

/// `SHA-256(label ‖ 0x00 ‖ data)`: the id of a public key.
pub fn labelled_hash(label: &str, data: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(label.as_bytes());
    hash.update([0]);
    hash.update(data);
    Digest::from_bytes(hash.finalize().into())
}

/// Context that binds a header, and through its file key a body, to one segment of one recording:
/// `SHA-256(label ‖ 0x00 ‖ SHA-256(manifest payload) ‖ u32be index ‖ u8 track)`.
pub fn context(manifest: &Digest, index: u32, track: u8) -> Digest {
    let mut data = Vec::with_capacity(37);
    data.extend_from_slice(manifest.as_bytes());
    data.extend_from_slice(&index.to_be_bytes());
    data.push(track);
    labelled_hash(CONTEXT, &data)
}

/// Context that binds the key object of every generation to one recording and its key:
/// `SHA-256(label ‖ 0x00 ‖ organisation ‖ recording ‖ key id)`.
pub fn key_context(tenant: &OrganisationId, recording: &RecordingId, key: &KeyId) -> Digest {
    labelled_hash(KEY_CONTEXT, &[tenant.as_bytes(), &recording.as_bytes()[..], key.as_bytes()].concat())
}

/// Context of a recording's details object.
pub fn details_context(manifest: &Digest) -> Digest {
    context(manifest, DETAILS_INDEX, DETAILS_TRACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_fixed_for_ever() {
        // Computed apart from this program, with Python's hashlib.
        let key: [u8; 32] = std::array::from_fn(|at| at as u8);
        for (label, expected) in [
            (ACCOUNT, "268d6681f73fbd4fd83f8ca83aeef6d74adac607365b696639e06e05e2a7a174"),
            (ORGANISATION, "7e7333f09597df2d22b2160dcdf74d38741873ae9dfe4cac08acd214173e76d1"),
            (DEVICE_KEY, "7534b4bca404b12a4c0401fc66d0652bfea934914e74c3a54d7675950967658c"),
            (ISSUER_KEY, "7af1d3dbb755ac23131f999162298714b92c9fac06bb40f2fe81307bb5fcee97"),
            (ENCRYPTION_KEY, "fd0accfa1e988ebe0b88ef2769f051390e2e2110ce1cc7cab991da12cced36ec"),
        ] {
            assert_eq!(labelled_hash(label, &key).to_string(), expected, "{label}");
        }
        let manifest = Digest::from_bytes(key);
        assert_eq!(
            context(&manifest, 258, 3).to_string(),
            "f7d2fd6fa3df9ee6e124bc416480bf372e568eeeadf501b23790dd7a719ad5ca"
        );
        assert_eq!(
            details_context(&manifest).to_string(),
            "15d531254502ce321cf0253dda3e2becb236e72fb99d459c94340318ae04a5b6"
        );
    }
}
