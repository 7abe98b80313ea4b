//! The tail: what is recorded and not yet a part, sealed into the home every few seconds, so that a crash costs seconds
//! at any bit rate.
//!
//! A tail is a whole age file with a file key of its own, in the context of the segment that would come next. It is
//! never sent by itself. Whoever resumes the recording seals the open segment where it is cut and makes the tail, as it
//! is, the next one; if there are newer parts, it is of no more use.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vault_proto::geometry::BodyEnd;
use vault_proto::ids::Digest;

use super::journal::{Line, PartLine, Past, PastSegment, SegmentLine, TrackLine};
use super::spool::Spool;
use crate::effects::Change;
use crate::error::ClientError;
use crate::home::Home;

/// What stands on the first line of a tail's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TailLine {
    /// Plaintext bytes of the recording before it.
    pub(super) from_bytes: u64,
    /// The track, if it begins with the tail.
    pub(super) track: Option<TrackLine>,
    pub(super) segment: SegmentLine,
    /// Its one part.
    pub(super) part: PartLine,
}

impl TailLine {
    /// The change that puts it in place of the one before.
    pub(super) fn put(&self, spool: &Spool, ciphertext: &[u8]) -> Result<Change, ClientError> {
        let mut bytes = serde_json::to_vec(self).map_err(|error| ClientError::Bug(error.to_string()))?;
        bytes.push(b'\n');
        bytes.extend_from_slice(ciphertext);
        Ok(Change::Put(spool.tail_key(), bytes.into()))
    }
}

/// A tail that follows on the last part of its journal.
pub(super) struct Tail {
    line: TailLine,
    ciphertext: Bytes,
}

impl Tail {
    /// Whether there is one, of use or not.
    pub(super) async fn is_there(home: &Home, spool: &Spool) -> Result<bool, ClientError> {
        Ok(home.read(&spool.tail_key()).await?.is_some())
    }

    /// The tail of an upload, if it has one that follows on its first `bytes` plaintext bytes as segment `next`.
    pub(super) async fn of(
        home: &Home,
        spool: &Spool,
        bytes: u64,
        next: u32,
    ) -> Result<Option<Self>, ClientError> {
        let Some(record) = home.read(&spool.tail_key()).await? else {
            return Ok(None);
        };
        let Some(end) = record.iter().position(|&byte| byte == b'\n') else {
            return Ok(None);
        };
        let Ok(line) = serde_json::from_slice::<TailLine>(&record.slice(..end)) else {
            return Ok(None);
        };
        let ciphertext = record.slice(end + 1..);
        // One that comes before the last part was left behind by a crash while that was written.
        let fits = line.from_bytes == bytes
            && line.segment.index == next
            && line.part.part == 0
            && line.part.segment == line.segment.index
            && line.part.end == Some(BodyEnd::Final)
            && line.part.length == ciphertext.len()
            && line.part.hash == Digest::of(&ciphertext);
        Ok(fits.then_some(Self { line, ciphertext }))
    }

    /// Makes it the next segment of the journal: what has to be durable before its lines, these, and what is of no more
    /// use after them. The segment before it is sealed by then.
    pub(super) fn promote(&self, spool: &Spool, past: &mut Past) -> (Change, Vec<Line>, Change) {
        let TailLine { track, segment, part, .. } = &self.line;
        let put = spool.put((part.segment, part.part), None, &self.ciphertext);
        let mut lines = Vec::new();
        if let Some(track) = track {
            past.tracks.push(track.clone());
            lines.push(Line::Track(track.clone()));
        }
        lines.push(Line::Segment(Box::new(segment.clone())));
        lines.push(Line::Part(*part));
        past.segments.push(PastSegment { line: segment.clone(), parts: vec![*part], seal: None });
        (put, lines, Change::Delete(spool.tail_key()))
    }
}
