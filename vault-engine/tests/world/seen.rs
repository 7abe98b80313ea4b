//! All that was ever sent to the server, whatever became of it: what contradicts itself there is a broken promise,
//! whoever would have kept it.

use std::collections::BTreeMap;

use vault_proto::ids::{Digest, KeyId, RecordingId};

/// What was ever sent here, whatever became of it.
#[derive(Default)]
pub(crate) struct Seen {
    /// Two ends of one recording or two seals of one segment that do not name each other, other bytes under one key and
    /// number.
    pub(crate) contradictions: Vec<String>,
    /// Requests that had come before.
    pub(crate) replays: u64,
    /// Requests whose signature did not fit.
    pub(crate) forged: u64,
    ends: BTreeMap<RecordingId, Vec<Signed>>,
    seals: BTreeMap<(RecordingId, u32), Vec<Signed>>,
    parts: BTreeMap<(Digest, u32), Digest>,
    sequences: BTreeMap<(KeyId, u64), Digest>,
}

/// An end or a seal: its digest, and what it names as superseded.
type Signed = (Digest, Option<Digest>);

/// Whether another of one place may have been sent: of two, the second names the first, or one that was never sent.
fn is_allowed(sent: &mut Vec<Signed>, signed: Signed) -> bool {
    if sent.contains(&signed) {
        return true;
    }
    let allowed = sent.is_empty() || signed.1.is_some_and(|named| named != signed.0);
    sent.push(signed);
    allowed
}

impl Seen {
    /// The ends that were sent for a recording.
    pub(crate) fn ends_of(&self, recording: RecordingId) -> impl Iterator<Item = Signed> {
        self.ends.get(&recording).into_iter().flatten().copied()
    }

    pub(crate) fn end(&mut self, recording: RecordingId, signed: Signed) {
        if !is_allowed(self.ends.entry(recording).or_default(), signed) {
            self.contradictions.push(format!("two ends of recording {recording} were sent"));
        }
    }

    pub(crate) fn seal(&mut self, recording: RecordingId, segment: u32, signed: Signed) {
        if !is_allowed(self.seals.entry((recording, segment)).or_default(), signed) {
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
