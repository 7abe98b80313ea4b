use serde::{Deserialize, Serialize};

use crate::envelope::Statement;
use crate::geometry::{BodyEnd, BodyShape, MAX_SEGMENTS, PartChunks};
use crate::ids::Digest;
use crate::labels::DETAILS_TRACK;

/// What one segment holds, to the byte; signed by the manifest's sealer key when the segment ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentSeal {
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Number of the segment in the recording, from 0 without gaps.
    pub index: u32,
    /// Track the segment belongs to.
    pub track: u8,
    /// Ciphertext bytes of the body, payload nonce included.
    pub body_length: u64,
    /// Number of parts of the body.
    pub parts: u32,
    /// RFC 6962 root over the parts' SHA-256 hashes.
    pub parts_root: Digest,
    /// Whether the body ends with age's final chunk or was cut at a part boundary.
    pub end: BodyEnd,
    /// SHA-256 of the segment's header.
    pub header: Digest,
    /// Digest of the seal of the segment before; null for segment 0.
    pub previous: Option<Digest>,
    /// How many chunks each part has but the last.
    pub part_chunks: PartChunks,
    /// Digest of another seal that the sealer has signed for this segment, and whose parts it has lost since; null if
    /// there is none.
    pub supersedes: Option<Digest>,
}

impl Statement for SegmentSeal {
    const PAYLOAD_TYPE: &'static str = "application/vnd.recording-vault.segment-seal.v1+json";
    const NAME: &'static str = "segment seal";

    fn check(&self) -> Result<(), &'static str> {
        if self.index >= MAX_SEGMENTS || self.track == DETAILS_TRACK {
            return Err("no segment can have this index or track");
        }
        if (self.index == 0) != self.previous.is_none() {
            return Err("the index and the previous seal do not fit each other");
        }
        let shape = self.shape().ok_or("no body can have this length")?;
        if shape.parts() != self.parts {
            return Err("the number of parts does not fit the body's length");
        }
        Ok(())
    }
}

impl SegmentSeal {
    /// Geometry of the body; `None` only for a seal that [`Statement::check`] refuses.
    pub fn shape(&self) -> Option<BodyShape> {
        BodyShape::new(self.body_length, self.end, self.part_chunks).ok()
    }
}
