//! All that was ever sent to the server, whatever became of it: what contradicts itself there is a broken promise,
//! whoever would have kept it.

use std::collections::BTreeMap;

use vault_proto::ids::{Digest, KeyId, RecordingId};

/// What was ever sent here, whatever became of it.
#[derive(Default)]
pub(crate) struct Seen {
    /// Two ends of one recording, two seals of one segment, other bytes under one key and number.
    pub(crate) contradictions: Vec<String>,
    /// Requests that had come before.
    pub(crate) replays: u64,
    /// Requests whose signature did not fit.
    pub(crate) forged: u64,
    ends: BTreeMap<RecordingId, Digest>,
    seals: BTreeMap<(RecordingId, u32), Digest>,
    parts: BTreeMap<(Digest, u32), Digest>,
    sequences: BTreeMap<(KeyId, u64), Digest>,
}

impl Seen {
    /// The end that was sent for a recording.
    pub(crate) fn end_of(&self, recording: RecordingId) -> Option<Digest> {
        self.ends.get(&recording).copied()
    }

    pub(crate) fn end(&mut self, recording: RecordingId, digest: Digest) {
        if *self.ends.entry(recording).or_insert(digest) != digest {
            self.contradictions.push(format!("two ends of recording {recording} were sent"));
        }
    }

    pub(crate) fn seal(&mut self, recording: RecordingId, segment: u32, digest: Digest) {
        if *self.seals.entry((recording, segment)).or_insert(digest) != digest {
            let two = format!("two seals of segment {segment} of recording {recording} were sent");
            self.contradictions.push(two);
        }
    }

    pub(crate) fn part(&mut self, recording: RecordingId, header: Digest, part: u32, digest: Digest) {
        if *self.parts.entry((header, part)).or_insert(digest) != digest {
            let two = format!("part {part} of recording {recording} was sealed twice under one key");
            self.contradictions.push(two);
        }
    }

    pub(crate) fn manifest(&mut self, device: KeyId, sequence: u64, digest: Digest) {
        if *self.sequences.entry((device, sequence)).or_insert(digest) != digest {
            self.contradictions.push(format!("number {sequence} of a device names two manifests"));
        }
    }
}
