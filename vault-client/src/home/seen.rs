//! Which recording an id was seen to name: the digest of the manifest of each recording that was opened, verified or
//! sealed in this home. An id is chosen by the sealing device; two manifests under one id, be they signed validly both,
//! are two recordings.
//!
//! One file of some hundred bytes for each recording, written once. One that cannot be read is an error and stays as it
//! is.

use serde::{Deserialize, Serialize};
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::recording::Refusal;

use crate::error::ClientError;
use crate::home::Home;

/// What an id was seen to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    manifest: Digest,
}

fn name(recording: RecordingId) -> String {
    format!("recordings/{recording}.json")
}

/// Checks that `recording` names what it named when it was first opened, verified or sealed here.
///
/// # Errors
/// [`Refusal::MixUp`] if it was seen with another manifest; [`ClientError::Disk`].
pub fn check(home: &Home, recording: RecordingId, manifest: Digest) -> Result<(), ClientError> {
    compare(home.read_json(&name(recording))?, manifest).map(drop)
}

/// As [`check`], and remembers the manifest if the recording was never seen. For whoever has checked the manifest,
/// before the first byte of content is released, or has signed it. In a home that cannot be written to, such as a
/// backup that is mounted read-only, nothing new is remembered.
///
/// # Errors
/// As [`check`].
pub fn remember(home: &Home, recording: RecordingId, manifest: Digest) -> Result<(), ClientError> {
    let lock = home.lock_if_writable("recordings.lock")?;
    let name = name(recording);
    if compare(home.read_json(&name)?, manifest)? || lock.is_none() {
        return Ok(());
    }
    home.write_json(&name, &Seen { manifest })
}

/// Whether it was seen before, as the same.
fn compare(seen: Option<Seen>, manifest: Digest) -> Result<bool, ClientError> {
    match seen {
        Some(seen) if seen.manifest != manifest => Err(Refusal::MixUp(
            "its manifest is not the one that this id named when it was first seen here".to_owned(),
        )
        .into()),
        seen => Ok(seen.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_core::opening::OpenError;

    #[test]
    fn an_id_names_one_manifest_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("home"));
        let recording = RecordingId::from_bytes([1; 16]);
        let [first, second] = [b"first", b"secon"].map(|text| Digest::of(text));
        let mix_up =
            |outcome| matches!(outcome, Err(ClientError::Open(OpenError::Refused(Refusal::MixUp(_)))));
        check(&home, recording, first).unwrap();
        check(&home, recording, second).unwrap();
        remember(&home, recording, first).unwrap();
        remember(&home, recording, first).unwrap();
        check(&home, recording, first).unwrap();
        assert!(mix_up(check(&home, recording, second)));
        assert!(mix_up(remember(&home, recording, second)));
        remember(&home, RecordingId::from_bytes([2; 16]), second).unwrap();
        check(&home, recording, first).unwrap();
        // Damage is no reason to forget.
        std::fs::write(home.path(&name(recording)), b"{").unwrap();
        assert!(matches!(remember(&home, recording, second), Err(ClientError::Disk { .. })));
        assert_eq!(std::fs::read(home.path(&name(recording))).unwrap(), b"{");
    }
}
