use serde::{Deserialize, Serialize};

use crate::envelope::Statement;
use crate::geometry::MAX_SEGMENTS;
use crate::ids::Digest;
use crate::timestamp::Timestamp;

/// How a recording ended, as its sealer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingStatus {
    /// All that was recorded is in the segments.
    Complete,
    /// The sealing process died on the way and the rest is lost; the segments end where it was cut.
    Recovered,
}

/// The end of a recording; without it a reader shows the recording as cut off, never as complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalSeal {
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Number of segments.
    pub segments: u32,
    /// Digest of the last segment's seal.
    pub last_seal: Digest,
    /// Plaintext bytes of all segments together, padding among them.
    pub total_length: u64,
    /// SHA-256 of the details object's ciphertext.
    pub details: Digest,
    /// When the recording ended, by the sealing device's clock.
    pub ended: Timestamp,
    /// How it ended.
    pub status: RecordingStatus,
    /// Digest of another final seal that the sealer has signed for this recording, and whose parts it has lost since;
    /// null if there is none.
    pub supersedes: Option<Digest>,
}

impl Statement for FinalSeal {
    const PAYLOAD_TYPE: &'static str = "application/vnd.recording-vault.final-seal.v1+json";
    const NAME: &'static str = "final seal";

    fn check(&self) -> Result<(), &'static str> {
        if (1..=MAX_SEGMENTS).contains(&self.segments) {
            Ok(())
        } else {
            Err("no recording has this many segments")
        }
    }
}
