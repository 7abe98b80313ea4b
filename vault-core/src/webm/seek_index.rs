//! What makes a recording seekable, as it is sealed, and the head that is made of it.

use serde::{Deserialize, Serialize};

use super::ebml::{UNKNOWN_SIZE, id, write, write_header, write_unsigned};

/// Most bytes of the elements that are kept from before the first cluster.
pub(super) const MAX_HEAD: usize = 64 * 1024;
/// Most places from which a recording can be played; beyond, every second one is dropped.
pub(super) const MAX_CUES: usize = 4096;
/// Most places of the sound beside pictures.
pub(super) const MAX_SOUND_CUES: usize = 1024;
/// Most runs of a recording.
pub(super) const MAX_RUNS: usize = 64;

/// Where a recording can be played from, and how long it is (FORMAT.md, "Seek index"). A reader takes it as the sealing
/// device's word, like the recording itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeekIndex {
    /// The EBML header.
    #[serde(with = "base64")]
    pub(super) ebml: Vec<u8>,
    /// The payload of `Info`, without a duration.
    #[serde(with = "base64")]
    pub(super) info: Vec<u8>,
    /// The element `Tracks`, then others from before the first cluster.
    #[serde(with = "base64")]
    pub(super) tracks: Vec<u8>,
    #[serde(with = "base64")]
    pub(super) others: Vec<u8>,
    /// Offset in the track's plaintext from which everything stays as it is: of the first cluster, or of what is
    /// damaged before it.
    pub(super) body_from: u64,
    /// Whether a cluster does not say how long it is. Then the segment does not either: some readers want an element of
    /// unknown size only within another.
    pub(super) open_ended: bool,
    /// Nanoseconds of a tick.
    pub(super) scale: u64,
    /// What was recorded without the clock jumping, in order; at least one.
    pub(super) runs: Vec<Run>,
    /// Number of the Matroska track that the cues are of.
    pub(super) cue_track: u64,
    /// Each: a time in ticks, and the offset of its cluster in the body. Offsets ascend; times do within a run.
    pub(super) cues: Vec<(u64, u64)>,
    /// Number of the Matroska track with the sound beside pictures, and its cues.
    pub(super) sound_track: Option<u64>,
    pub(super) sound_cues: Vec<(u64, u64)>,
    /// Offset in the body of another recording, whose clusters do not play behind this head; nothing is known of it.
    pub(super) other_from: Option<u64>,
}

/// Clusters whose timestamps go on without a jump of the clock. One run plays where the one before ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u64)", into = "(u64, u64, u64)")]
pub(super) struct Run {
    /// Offset in the body of its first cluster.
    pub(super) offset: u64,
    /// Earliest timestamp, in ticks.
    pub(super) from: u64,
    /// Where its last block ends, in ticks.
    pub(super) until: u64,
}

impl From<(u64, u64, u64)> for Run {
    fn from((offset, from, until): (u64, u64, u64)) -> Self {
        Self { offset, from, until }
    }
}

impl From<Run> for (u64, u64, u64) {
    fn from(Run { offset, from, until }: Run) -> Self {
        (offset, from, until)
    }
}

impl Run {
    const fn length(self) -> u64 {
        self.until.saturating_sub(self.from)
    }
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
    /// Playing time in milliseconds: of all runs together.
    pub fn duration_ms(&self) -> u64 {
        let ticks = self.runs.iter().map(|run| u128::from(run.length())).sum();
        self.milliseconds(ticks)
    }

    /// The moments in milliseconds, ascending, at which the clock jumps or another recorder goes on. Players stop at
    /// the first of them; [`Self::layout_from`] begins at any.
    pub fn breaks_ms(&self) -> Vec<u64> {
        let mut before = 0;
        let ends = self.runs.iter().map(|run| {
            before += u128::from(run.length());
            self.milliseconds(before)
        });
        let mut ends: Vec<u64> = ends.collect();
        ends.pop();
        ends
    }

    /// Whether another recording stands behind what is indexed, of which no player shows anything.
    pub const fn has_other(&self) -> bool {
        self.other_from.is_some()
    }

    fn milliseconds(&self, ticks: u128) -> u64 {
        u64::try_from(ticks * u128::from(self.scale) / 1_000_000).unwrap_or(u64::MAX)
    }

    /// How to make a seekable file of the whole track, which has `track_bytes` bytes of plaintext. `None` if the index
    /// cannot be of such a track.
    pub fn layout(&self, track_bytes: u64) -> Option<SeekableLayout> {
        let run = self.runs.first().filter(|_| self.is_of(track_bytes))?;
        Some(self.beginning_at(track_bytes, 0, *run, self.end_of(0)))
    }

    /// As [`Self::layout`], of what is from the last place at or before `from_ms` on from which it can be played. Times
    /// stay what they are.
    pub fn layout_from(&self, track_bytes: u64, from_ms: u64) -> Option<SeekableLayout> {
        let Place { at, run, offset, .. } = self.place_before(track_bytes, from_ms)?;
        Some(self.beginning_at(track_bytes, offset, run, self.end_of(at)))
    }

    /// The moment in milliseconds at which [`Self::layout_from`] begins.
    pub fn start_ms(&self, track_bytes: u64, from_ms: u64) -> Option<u64> {
        let Place { at, run, time, .. } = self.place_before(track_bytes, from_ms)?;
        let before: u128 = self.runs.iter().take(at).map(|run| u128::from(run.length())).sum();
        Some(self.milliseconds(before + u128::from(time.saturating_sub(run.from))))
    }

    /// The last place at or before a moment from which it can be played.
    fn place_before(&self, track_bytes: u64, from_ms: u64) -> Option<Place> {
        if !self.is_of(track_bytes) {
            return None;
        }
        let moment = u128::from(from_ms) * 1_000_000 / u128::from(self.scale.max(1));
        let (at, run, within) = self.run_at(moment)?;
        let places = within_run(&self.cues, run.offset, self.end_of(at));
        let wanted = run.from.saturating_add(within);
        let after = places.partition_point(|&(at, _)| at <= wanted);
        // At its first place, from its very start: nothing of it may be missing.
        let start = if at == 0 { 0 } else { run.offset };
        let (time, offset) = match after.checked_sub(1).filter(|&first| first > 0) {
            Some(first) => *places.get(first)?,
            None => (run.from, start),
        };
        Some(Place { at, run, time, offset })
    }

    /// The run in which a moment lies, its number, and the ticks from its start to the moment.
    fn run_at(&self, moment: u128) -> Option<(usize, Run, u64)> {
        let mut left = moment;
        for (at, run) in self.runs.iter().enumerate() {
            let length = u128::from(run.length());
            if left < length || at + 1 == self.runs.len() {
                return Some((at, *run, u64::try_from(left).unwrap_or(u64::MAX)));
            }
            left -= length;
        }
        None
    }

    /// Where in the body a run ends.
    fn end_of(&self, run: usize) -> u64 {
        self.runs.get(run + 1).map_or(u64::MAX, |next| next.offset)
    }

    /// Whether an index can be of a track with `track_bytes` bytes of plaintext: it came from elsewhere. One that
    /// cannot is to be ignored.
    pub fn is_of(&self, track_bytes: u64) -> bool {
        let head = self.ebml.len() + self.info.len() + self.tracks.len() + self.others.len();
        let Some(body) = track_bytes.checked_sub(self.body_from).filter(|&body| body < 1 << 55) else {
            return false;
        };
        let runs = &self.runs;
        let are_runs = (1..=MAX_RUNS).contains(&runs.len())
            && runs.is_sorted_by(|before, after| before.offset < after.offset)
            && runs.iter().all(|run| run.from <= run.until && run.offset < body);
        let are_cues = |cues: &[(u64, u64)]| {
            let is_in_order = |&(before, at): &(u64, u64), &(time, offset): &(u64, u64)| {
                at < offset
                    && (before <= time || runs.iter().any(|run| (at + 1..=offset).contains(&run.offset)))
            };
            cues.is_sorted_by(is_in_order) && cues.last().is_none_or(|&(_, offset)| offset < body)
        };
        let is_small =
            head <= 2 * MAX_HEAD && self.cues.len() <= MAX_CUES && self.sound_cues.len() <= MAX_SOUND_CUES;
        is_small && are_runs && are_cues(&self.cues) && are_cues(&self.sound_cues)
    }

    /// The layout that begins at `offset` in the body, with the cues from there to the end of a run.
    fn beginning_at(&self, track_bytes: u64, offset: u64, run: Run, end: u64) -> SeekableLayout {
        let body_from = self.body_from + offset;
        let cues = self.merged_cues(offset.max(run.offset), end);
        let has_cues = !cues.is_empty();
        let mut info = self.info.clone();
        #[expect(clippy::cast_precision_loss, reason = "a duration of 2^53 ticks is no recording's")]
        write(&mut info, id::DURATION, &(run.until as f64).to_be_bytes());
        let mut elements = Vec::new();
        write(&mut elements, id::INFO, &info);
        let info_at = seek_head(0, 0, has_cues.then_some(0)).len() as u64;
        let tracks_at = info_at + elements.len() as u64;
        elements.extend_from_slice(&self.tracks);
        elements.extend_from_slice(&self.others);
        let cues_at = info_at + elements.len() as u64;
        // Every number in the cues has 8 bytes, so that how long they are does not depend on what they say.
        let clusters_at = cues_at + write_cues(&cues, 0, 0).len() as u64;
        elements.extend(write_cues(&cues, offset, clusters_at));
        let mut head = self.ebml.clone();
        let segment = clusters_at + (track_bytes - body_from);
        write_header(&mut head, id::SEGMENT, if self.open_ended { UNKNOWN_SIZE } else { segment });
        head.extend(seek_head(info_at, tracks_at, has_cues.then_some(cues_at)));
        head.extend(elements);
        SeekableLayout { head, body_from }
    }

    /// The cues of clusters from `start` to `end`, by time: of the main track, and from the first of these on of the
    /// sound beside it. Some players take the first one for their track's, whatever it is of.
    fn merged_cues(&self, start: u64, end: u64) -> Vec<Cue> {
        let cue = |track: u64| move |&(time, offset): &(u64, u64)| Cue { track, time, offset };
        let mut cues: Vec<Cue> = within_run(&self.cues, start, end).iter().map(cue(self.cue_track)).collect();
        if let Some(track) = self.sound_track {
            let first = cues.first().map_or(0, |cue| cue.time);
            let sound = within_run(&self.sound_cues, start, end).iter().filter(|&&(time, _)| time >= first);
            cues.extend(sound.map(cue(track)));
        }
        // Stable: of two at one time the main track's comes first.
        cues.sort_by_key(|cue| cue.time);
        cues
    }
}

/// A place from which a track can be played.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Number of its run.
    at: usize,
    run: Run,
    /// Its time, in ticks.
    time: u64,
    /// Where it is in the body.
    offset: u64,
}

/// A cue as it is written.
#[derive(Debug, Clone, Copy)]
struct Cue {
    track: u64,
    time: u64,
    offset: u64,
}

/// Those of `cues` whose clusters lie from `start` to `end`.
fn within_run(cues: &[(u64, u64)], start: u64, end: u64) -> &[(u64, u64)] {
    let first = cues.partition_point(|&(_, offset)| offset < start);
    let last = cues.partition_point(|&(_, offset)| offset < end);
    cues.get(first..last).unwrap_or_default()
}

/// The cues of a segment whose clusters begin at `clusters_at`, the first of them at `base` in the body.
fn write_cues(cues: &[Cue], base: u64, clusters_at: u64) -> Vec<u8> {
    let mut points = Vec::new();
    for &Cue { track, time, offset } in cues {
        let mut positions = Vec::new();
        write_unsigned(&mut positions, id::CUE_TRACK, track);
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
