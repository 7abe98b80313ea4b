//! Domain separation: every label that enters a hash or a key derivation, on one screen (FORMAT.md, "Labels").

use sha2::{Digest as _, Sha256};

use crate::ids::{Digest, RecordingId};

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
/// Context of a segment, carried in its header's context stanza.
pub const CONTEXT: &str = "recording-vault/v1/context";
/// HKDF info of the key commitment in a segment seal.
pub const COMMITMENT: &str = "recording-vault/v1/commitment";
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

/// Context of a recording's details object.
pub fn details_context(manifest: &Digest) -> Digest {
    context(manifest, DETAILS_INDEX, DETAILS_TRACK)
}

/// Name of a recording's folder in a store or an export, `rec/<id>`.
pub fn recording_folder(recording: &RecordingId) -> String {
    format!("rec/{recording}")
}
