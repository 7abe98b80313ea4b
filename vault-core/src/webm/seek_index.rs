//! What makes a recording seekable, as it is sealed, and the head that is made of it.

use serde::{Deserialize, Serialize};

use super::ebml::{UNKNOWN_SIZE, id, write, write_header, write_unsigned};

/// Most bytes of the elements that are kept from before the first cluster.
pub(super) const MAX_HEAD: usize = 64 * 1024;
/// Most places from which a recording can be played; beyond, every second one is dropped.
pub(super) const MAX_CUES: usize = 4096;

/// Where a recording can be played from, and how long it is (FORMAT.md, "Seek index"). A reader takes it as the sealing device's
/// word, like the recording itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeekIndex {
    /// The EBML header.
    #[serde(with = "base64")]
    pub(super) ebml: Vec<u8>,
    /// The elements between it and the first cluster: `Info`, now with the duration, then `Tracks`, then others.
    #[serde(with = "base64")]
    pub(super) info: Vec<u8>,
    #[serde(with = "base64")]
    pub(super) tracks: Vec<u8>,
    #[serde(with = "base64")]
    pub(super) others: Vec<u8>,
    /// Offset of the first cluster in the track's plaintext.
    pub(super) first_cluster: u64,
    /// Whether a cluster does not say how long it is. Then the segment does not either: some readers want an element of unknown
    /// size only within another.
    pub(super) open_ended: bool,
    /// Nanoseconds of a tick.
    pub(super) scale: u64,
    /// Playing time in milliseconds.
    pub(super) duration_ms: u64,
    /// Number of the Matroska track that the cues are of.
    pub(super) cue_track: u64,
    /// Each: a time in ticks, and the offset of its cluster from the first cluster. Both ascend.
    pub(super) cues: Vec<(u64, u64)>,
}

/// How a seekable file is made of a track: `head`, then the track's plaintext from `body_from` to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeekableLayout {
    /// What stands in front.
    pub head: Vec<u8>,
    /// Offset in the plaintext from which it goes on.
    pub body_from: u64,
}

impl SeekIndex {
    /// Playing time in milliseconds.
    pub const fn duration_ms(&self) -> u64 {
        self.duration_ms
    }

    /// How to make a seekable file of the whole track, which has `track_bytes` bytes of plaintext. `None` if the index cannot be
    /// of such a track.
    pub fn layout(&self, track_bytes: u64) -> Option<SeekableLayout> {
        self.is_of(track_bytes).then(|| self.beginning_at(track_bytes, 0, &self.cues))
    }

    /// As [`Self::layout`], of what is from the last place at or before `from_ms` on from which it can be played. Times stay what
    /// they are.
    pub fn layout_from(&self, track_bytes: u64, from_ms: u64) -> Option<SeekableLayout> {
        if !self.is_of(track_bytes) {
            return None;
        }
        let tick = u128::from(from_ms) * 1_000_000 / u128::from(self.scale.max(1));
        let after = self.cues.partition_point(|&(time, _)| u128::from(time) <= tick);
        let first = after.saturating_sub(1);
        // Before the first cue, from the very start: nothing of it may be missing.
        let offset = if first == 0 { 0 } else { self.cues.get(first)?.1 };
        let cues = self.cues.get(first..).unwrap_or_default();
        Some(self.beginning_at(track_bytes, offset, cues))
    }

    /// Whether an index can be of a track: it came from elsewhere.
    fn is_of(&self, track_bytes: u64) -> bool {
        let head = self.ebml.len() + self.info.len() + self.tracks.len() + self.others.len();
        let body = track_bytes.checked_sub(self.first_cluster).filter(|&body| body < 1 << 55);
        let ascending = self.cues.is_sorted_by(|before, after| before.0 <= after.0 && before.1 < after.1);
        let inside = self.cues.last().is_none_or(|&(_, offset)| body.is_some_and(|body| offset < body));
        head <= 2 * MAX_HEAD && self.cues.len() <= MAX_CUES && body.is_some() && ascending && inside
    }

    /// The layout whose first cluster is the one at `offset` from the first cluster.
    fn beginning_at(&self, track_bytes: u64, offset: u64, cues: &[(u64, u64)]) -> SeekableLayout {
        let body_from = self.first_cluster + offset;
        let has_cues = !cues.is_empty();
        let seek_head_length = seek_head(0, 0, has_cues.then_some(0)).len() as u64;
        let info_at = seek_head_length;
        let tracks_at = info_at + self.info.len() as u64;
        let cues_at = tracks_at + (self.tracks.len() + self.others.len()) as u64;
        // Every number in the cues has 8 bytes, so that how long they are does not depend on what they say.
        let clusters_at = cues_at + self.write_cues(cues, 0, 0).len() as u64;
        let mut head = self.ebml.clone();
        let segment = clusters_at + (track_bytes - body_from);
        write_header(&mut head, id::SEGMENT, if self.open_ended { UNKNOWN_SIZE } else { segment });
        head.extend(seek_head(info_at, tracks_at, has_cues.then_some(cues_at)));
        head.extend_from_slice(&self.info);
        head.extend_from_slice(&self.tracks);
        head.extend_from_slice(&self.others);
        head.extend(self.write_cues(cues, offset, clusters_at));
        SeekableLayout { head, body_from }
    }

    /// The cues of a segment whose clusters begin at `clusters_at`, the first of them at `base` from the first cluster.
    fn write_cues(&self, cues: &[(u64, u64)], base: u64, clusters_at: u64) -> Vec<u8> {
        let mut points = Vec::new();
        for &(time, offset) in cues {
            let mut positions = Vec::new();
            write_unsigned(&mut positions, id::CUE_TRACK, self.cue_track);
            let position = clusters_at.saturating_add(offset.saturating_sub(base));
            write_unsigned(&mut positions, id::CUE_CLUSTER_POSITION, position);
            let mut point = Vec::new();
            write_unsigned(&mut point, id::CUE_TIME, time);
            write(&mut point, id::CUE_TRACK_POSITIONS, &positions);
            write(&mut points, id::CUE_POINT, &point);
        }
        let mut out = Vec::new();
        // An element of cues without any is not allowed.
        if !cues.is_empty() {
            write(&mut out, id::CUES, &points);
        }
        out
    }
}

/// Says where in the segment the other elements are.
fn seek_head(info_at: u64, tracks_at: u64, cues_at: Option<u64>) -> Vec<u8> {
    let mut seeks = Vec::new();
    let always = [(id::INFO, info_at), (id::TRACKS, tracks_at)];
    for (element, position) in always.into_iter().chain(cues_at.map(|at| (id::CUES, at))) {
        let mut seek = Vec::new();
        write(&mut seek, id::SEEK_ID, &element.to_be_bytes());
        write_unsigned(&mut seek, id::SEEK_POSITION, position);
        write(&mut seeks, id::SEEK, &seek);
    }
    let mut out = Vec::new();
    write(&mut out, id::SEEK_HEAD, &seeks);
    out
}

/// Bytes as base64 in JSON.
mod base64 {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use vault_proto::base64;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        base64::decode(&text).ok_or_else(|| serde::de::Error::custom("not base64"))
    }
}
