//! What a recorder took and has given out in no part yet, and what becomes of it every half second: the home learns
//! until when something was recorded, and gets the [tail](super::tail).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_channel::mpsc;
use vault_core::padded_size::padded_size;
use vault_core::payload::PayloadSealer;
use vault_proto::geometry::{CHUNK_PLAINTEXT, MAX_PART_PLAINTEXT, PartChunks};
use vault_proto::ids::RecordingId;
use zeroize::{Zeroize as _, Zeroizing};

use super::journal::Journal;
use super::progress::Mark;
use super::recorder::Keeping;
use super::recording_clock::Moment;
use super::worker::{Command, Part, milliseconds};
use crate::session::Session;

/// How often the home is told that something was recorded.
const PULSE: Duration = Duration::from_millis(500);
/// What was recorded so long ago and is in no part yet is sealed into the home as the tail.
const TAIL_AFTER: Duration = Duration::from_secs(4);

/// A part should fill within this time: a device that is lost loses what it holds.
const FILLED_WITHIN: Duration = Duration::from_secs(5);
/// A part of several chunks that takes so long has become too large for its bit rate: its segment ends.
const TOO_SLOW: Duration = Duration::from_secs(10);
/// Writes within such a time of the first of them count as one moment.
const GRAIN: Duration = Duration::from_millis(100);
/// From so many segments on none ends early any more: a recording has at most 10,000.
const SEGMENTS_TO_SPARE: u32 = 9_000;

/// What was taken and is no part yet.
pub(super) struct Taken {
    buffer: Zeroizing<Vec<u8>>,
    /// What is known of the segment that grows, or comes next.
    segment: Growing,
    /// Chunks of a part; found out from how fast bytes come if `None`.
    always: Option<PartChunks>,
    /// How much was written until when, where that is in no part yet.
    moments: VecDeque<Written>,
    /// The recorded time at which the first byte of the buffer was written, which waits to become a part.
    waits: Option<Duration>,
    /// Segments that have ended.
    segments: u32,
    /// All that was written, and the recorded time when it was.
    pub(super) written: Mark,
    /// Plaintext bytes before the buffer, without padding.
    pub(super) given_out: u64,
    /// How many of the buffer's last bytes are padding.
    padding: usize,
    /// Plaintext bytes before the newest track, without padding.
    track_from: u64,
    /// Padding of the newest track, also what is in the buffer.
    track_padding: u64,
    /// The end of the last part that was given out, or the beginning.
    pub(super) last_part: Moment,
    /// When the first byte of the buffer was taken that is in no tail.
    pub(super) since: Option<Duration>,
}

/// What was written within a [`GRAIN`].
struct Written {
    /// The recorded time at which the first of it was.
    first: Duration,
    /// All that was written by then, and the recorded time of the last of it.
    mark: Mark,
    /// When the last of it was, by the clock that nobody sets.
    at: Duration,
}

/// The segment that grows.
#[derive(Default)]
struct Growing {
    /// Parts given out.
    parts: u32,
    /// Since when it grows.
    since: Option<Duration>,
    /// How many chunks its parts have, once that is known.
    part_chunks: Option<PartChunks>,
}

/// What is due before more bytes are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// A part, and whether its segment ends with it.
    Part { last: bool },
    /// Nothing: there is room for so many bytes.
    Room(usize),
}

impl Taken {
    /// Nothing, of a recording of which everything up to `before` is given out; `begun` is its last part's end, or its
    /// beginning. Parts have as many chunks as `always` says, or as fill within a few seconds.
    pub(super) fn nothing(before: Mark, begun: Moment, always: Option<PartChunks>) -> Self {
        Self {
            buffer: PayloadSealer::part_buffer(),
            segment: Growing::default(),
            always,
            moments: VecDeque::new(),
            waits: None,
            segments: 0,
            written: before,
            given_out: before.bytes,
            padding: 0,
            track_from: before.bytes,
            track_padding: 0,
            last_part: begun,
            since: None,
        }
    }

    /// As [`Self::nothing`], of a recording whose newest track has so many bytes so far, and so much padding.
    pub(super) fn amid_track(mut self, bytes: u64, padding: u64) -> Self {
        self.track_from = self.given_out.saturating_sub(bytes);
        self.track_padding = padding;
        self
    }

    /// Looks at it, or changes it. Nothing that is done meanwhile can stop half-way.
    pub(super) fn of(taken: &Mutex<Self>) -> MutexGuard<'_, Self> {
        taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that are about to be taken.
    pub(super) fn write(&mut self, bytes: u64, recorded: Duration, now: Duration) {
        self.written = Mark { bytes: self.written.bytes + bytes, recorded };
        match self.moments.back_mut() {
            // Counted from the first: of writes that follow each other closely none would ever be the last.
            Some(last) if recorded.saturating_sub(last.first) < GRAIN => {
                (last.mark, last.at) = (self.written, now);
            }
            _ => self.moments.push_back(Written { first: recorded, mark: self.written, at: now }),
        }
    }

    /// What is due when more bytes come, `now` by the clock that nobody sets and at `recorded` by the recording's,
    /// which pauses do not move: how fast bytes come is counted by that.
    pub(super) fn due(&mut self, now: Duration, recorded: Duration, segment_length: Duration) -> Due {
        let length = self.buffer.len();
        let age = |since: Option<Duration>, until: Duration| {
            since.map_or(Duration::ZERO, |since| until.saturating_sub(since))
        };
        let waited = age(self.waits, recorded);
        if length > 0 && age(self.segment.since, now) >= segment_length {
            return Due::Part { last: length <= self.full() };
        }
        if self.segment.part_chunks.is_none() {
            let is_known = length == MAX_PART_PLAINTEXT || waited >= FILLED_WITHIN;
            self.segment.part_chunks =
                self.always.or_else(|| is_known.then(|| PartChunks::filled_by(length)));
        }
        let full = self.full();
        if length >= full {
            // A full part is given out only when more comes: the last one of a segment is sealed otherwise.
            let most = self.segment.part_chunks.unwrap_or(PartChunks::FIFTEEN).max_parts();
            return Due::Part { last: self.segment.parts + 1 == most };
        }
        // Smaller parts follow, of another segment.
        if self.always.is_none()
            && length > 0
            && full > CHUNK_PLAINTEXT
            && self.segment.part_chunks.is_some()
            && self.segments < SEGMENTS_TO_SPARE
            && waited >= TOO_SLOW
        {
            return Due::Part { last: true };
        }
        Due::Room(full - length)
    }

    /// Whether the buffer is a part by itself, with which its segment can end; `None` if it is empty.
    pub(super) fn rest(&self) -> Option<Due> {
        let last = self.buffer.len() <= self.full();
        (!self.buffer.is_empty()).then_some(Due::Part { last })
    }

    /// Takes bytes for which there is room.
    pub(super) fn take(&mut self, bytes: &[u8], now: Duration, recorded: Duration) {
        self.segment.since.get_or_insert(now);
        self.since.get_or_insert(now);
        self.waits.get_or_insert(recorded);
        self.buffer.extend_from_slice(bytes);
    }

    /// Plaintext bytes in the buffer, without padding.
    fn recorded_here(&self) -> usize {
        self.buffer.len().saturating_sub(self.padding)
    }

    /// Whether the newest track has ended in padding, so that nothing more can be taken of it.
    pub(super) const fn is_padded(&self) -> bool {
        self.track_padding > 0
    }

    /// How much padding the newest track lacks of its padded size. A recording of very many segments goes without: it
    /// needs those that it can still have.
    pub(super) fn padding_due(&self) -> u64 {
        if self.segments >= SEGMENTS_TO_SPARE {
            return 0;
        }
        let bytes = (self.given_out + self.recorded_here() as u64).saturating_sub(self.track_from);
        padded_size(bytes).saturating_sub(bytes).saturating_sub(self.track_padding)
    }

    /// Takes so much of the padding that is due as there is room for.
    pub(super) fn pad(&mut self, room: usize, now: Duration) {
        let taken = usize::try_from(self.padding_due()).unwrap_or(usize::MAX).min(room);
        self.segment.since.get_or_insert(now);
        let length = self.buffer.len() + taken;
        self.buffer.resize(length, 0);
        self.padding += taken;
        self.track_padding += taken as u64;
    }

    /// The newest track has ended, all of it is given out, and another begins.
    pub(super) const fn next_track(&mut self) {
        self.track_from = self.given_out;
        self.track_padding = 0;
    }

    /// Plaintext bytes of a full part.
    fn full(&self) -> usize {
        self.segment.part_chunks.unwrap_or(PartChunks::FIFTEEN).plaintext()
    }

    /// The beginning of the buffer as a part. `recorded` and `now_ms` are what the clocks show.
    pub(super) fn part(&mut self, last: bool, recorded: Duration, now_ms: u64) -> Part {
        let part_chunks = self.segment.part_chunks.unwrap_or(PartChunks::FIFTEEN);
        let mut plaintext = std::mem::replace(&mut self.buffer, PayloadSealer::part_buffer());
        if let Some(rest) = plaintext.get(part_chunks.plaintext()..) {
            self.buffer.extend_from_slice(rest);
        }
        if plaintext.len() > part_chunks.plaintext() {
            if let Some(rest) = plaintext.get_mut(part_chunks.plaintext()..) {
                rest.zeroize();
            }
            plaintext.truncate(part_chunks.plaintext());
        }
        // What is left of the buffer ends in as much padding as fits into it.
        let padding = self.padding.saturating_sub(self.buffer.len());
        self.padding -= padding;
        self.given_out += plaintext.len().saturating_sub(padding) as u64;
        let until = self.moment_of(self.given_out).unwrap_or(recorded);
        // The wall's clock showed less, too, when the part's last byte was written.
        let at_ms = now_ms.saturating_sub(milliseconds(recorded.saturating_sub(until)));
        self.last_part = self.last_part.next(until, at_ms);
        let Growing { parts, since, part_chunks: known } = std::mem::take(&mut self.segment);
        if !last {
            self.segment = Growing { parts: parts + 1, since, part_chunks: known.or(Some(part_chunks)) };
        }
        self.segments += u32::from(last);
        // What is left waits since it was written, and is in no tail: the part takes that away.
        let rest = self.moments.iter().find(|moment| moment.mark.bytes > self.given_out);
        let rest = rest.filter(|_| !self.buffer.is_empty());
        self.since = rest.map(|moment| moment.at);
        self.waits = rest.map(|moment| moment.first);
        Part { plaintext, padding, part_chunks, last, until, at_ms: self.last_part.at_ms }
    }

    /// The recorded time at which the first `bytes` bytes had been written.
    fn moment_of(&mut self, bytes: u64) -> Option<Duration> {
        while self.moments.front().is_some_and(|moment| moment.mark.bytes < bytes) {
            self.moments.pop_front();
        }
        self.moments.front().map(|moment| moment.mark.recorded)
    }

    /// Has what is in the buffer taken for a tail again, which could not be sealed: at once, for it has waited already.
    pub(super) fn try_tail_again(taken: &Weak<Mutex<Self>>) {
        if let Some(taken) = taken.upgrade() {
            Self::of(&taken).since.get_or_insert(Duration::ZERO);
        }
    }

    /// A copy of the buffer, if it has waited for long enough, and the plaintext bytes before it.
    pub(super) fn tail(&mut self, now: Duration) -> Option<(u64, Part)> {
        let recorded = self.buffer.get(..self.recorded_here()).filter(|recorded| !recorded.is_empty())?;
        let since = self.since?;
        if now.saturating_sub(since) < TAIL_AFTER {
            return None;
        }
        let mut plaintext = PayloadSealer::part_buffer();
        plaintext.extend_from_slice(recorded);
        // More may have been written than was taken.
        let taken = self.given_out + recorded.len() as u64;
        self.since = None;
        let until = self.moments.iter().find(|moment| moment.mark.bytes >= taken);
        let until = until.map_or(self.written.recorded, |moment| moment.mark.recorded);
        let at_ms = self.last_part.wall_ms(until);
        let part_chunks = PartChunks::FIFTEEN;
        let part = Part { plaintext, padding: 0, part_chunks, last: true, until, at_ms };
        Some((self.given_out, part))
    }
}

/// What happens every half second: the home learns until when something was recorded, and gets the tail.
pub(super) struct Ticker {
    pub(super) session: Session,
    pub(super) recording: RecordingId,
    pub(super) taken: Weak<Mutex<Taken>>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) keeping: Keeping,
}

impl Ticker {
    /// Goes on until the recorder is gone; then nothing more comes to be sealed.
    pub(super) async fn run(mut self) {
        let effects = self.session.effects().clone();
        let mut told = None;
        loop {
            effects.sleep(PULSE).await;
            let (written, at_ms, tail) = {
                let Some(taken) = self.taken.upgrade() else {
                    return;
                };
                let mut taken = Taken::of(&taken);
                let written = taken.written;
                let at_ms = taken.last_part.wall_ms(written.recorded);
                // Of what can be read again nothing is lost.
                let keeps = self.keeping == Keeping::InHome && !self.commands.is_closed();
                (written, at_ms, if keeps { taken.tail(effects.now().running) } else { None })
            };
            if let Some((from, tail)) = tail {
                // While parts wait to be sealed there is no room for it, and they hold more than it would. What is not
                // in them is tried again.
                if self.commands.try_send(Command::Tail { from, tail, of: self.taken.clone() }).is_err() {
                    Taken::try_tail_again(&self.taken);
                }
            }
            if told != Some(written) {
                told = Some(written);
                Journal::touch(&self.session.home, self.recording, at_ms).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
