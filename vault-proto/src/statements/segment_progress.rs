use serde::{Deserialize, Serialize};

use super::NotYet;
use crate::envelope::Statement;
use crate::geometry::{BodyShape, MAX_SEGMENTS, PartChunks};
use crate::ids::Digest;
use crate::labels::DETAILS_TRACK;
use crate::timestamp::Timestamp;

/// What a segment holds so far; signed by the manifest's sealer key with each whole part while the segment grows.
///
/// If the sealing process dies, the newest one is what its readers open by: everything up to it is proved, nothing
/// after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentProgress {
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Number of the segment in the recording.
    pub index: u32,
    /// Track the segment belongs to.
    pub track: u8,
    /// Number of parts so far, all of them full.
    pub parts: u32,
    /// RFC 6962 root over these parts' SHA-256 hashes.
    pub parts_root: Digest,
    /// SHA-256 of the segment's header.
    pub header: Digest,
    /// Digest of the seal of the segment before; null for segment 0.
    pub previous: Option<Digest>,
    /// When the last byte of these parts was recorded, by the sealing device's clock.
    pub recorded: Timestamp,
    /// How many chunks each part of the segment has but the last.
    pub part_chunks: PartChunks,
    /// What is recorded and no part yet, where a server keeps that.
    pub tail: NotYet,
}

impl Statement for SegmentProgress {
    const PAYLOAD_TYPE: &'static str = "application/vnd.recording-vault.segment-progress.v1+json";
    const NAME: &'static str = "segment progress";

    fn check(&self) -> Result<(), &'static str> {
        if self.index >= MAX_SEGMENTS || self.track == DETAILS_TRACK {
            return Err("no segment can have this index or track");
        }
        if (self.index == 0) != self.previous.is_none() {
            return Err("the index and the previous seal do not fit each other");
        }
        if self.parts == 0 || self.parts > self.part_chunks.max_parts() {
            return Err("no segment can have this number of parts");
        }
        Ok(())
    }

    fn unknown_choice(payload: &serde_json::Value) -> Option<String> {
        NotYet::newer(payload, "tail")
    }
}

impl SegmentProgress {
    /// Geometry of the body so far; `None` only for a progress that [`Statement::check`] refuses.
    pub fn shape(&self) -> Option<BodyShape> {
        BodyShape::cut(self.parts, self.part_chunks).ok()
    }
}
