//! What a recorder took and has given out in no part yet, and what becomes of it every half second: the home learns
//! until when something was recorded, and gets the [tail](super::tail).

use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_channel::mpsc;
use vault_core::payload::PayloadSealer;
use vault_proto::ids::RecordingId;
use zeroize::Zeroizing;

use super::journal::Journal;
use super::progress::Mark;
use super::recorder::Keeping;
use super::recording_clock::Moment;
use super::worker::{Command, Part};
use crate::session::Session;

/// How often the home is told that something was recorded.
const PULSE: Duration = Duration::from_millis(500);
/// What was recorded so long ago and is in no part yet is sealed into the home as the tail.
const TAIL_AFTER: Duration = Duration::from_secs(4);

/// What was taken and is no part yet.
pub(super) struct Taken {
    pub(super) buffer: Zeroizing<Vec<u8>>,
    /// Parts given out of the segment that grows, and since when it does.
    pub(super) segment: (u32, Option<Duration>),
    /// All that was written, and the recorded time when it was.
    pub(super) written: Mark,
    /// Plaintext bytes before the buffer.
    pub(super) given_out: u64,
    /// The end of the last part that was given out, or the beginning.
    pub(super) last_part: Moment,
    /// When the first byte of the buffer was taken that is in no tail.
    pub(super) since: Option<Duration>,
}

impl Taken {
    /// Nothing, of a recording of which everything up to `before` is given out; `begun` is its last part's end, or its
    /// beginning.
    pub(super) fn nothing(before: Mark, begun: Moment) -> Self {
        Self {
            buffer: PayloadSealer::part_buffer(),
            segment: (0, None),
            written: before,
            given_out: before.bytes,
            last_part: begun,
            since: None,
        }
    }

    /// Looks at it, or changes it. Nothing that is done meanwhile can stop half-way.
    pub(super) fn of(taken: &Mutex<Self>) -> MutexGuard<'_, Self> {
        taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The buffer as a part, which leaves it empty.
    pub(super) fn part(&mut self, last: bool, until: Duration, now_ms: u64) -> Part {
        let plaintext = std::mem::replace(&mut self.buffer, PayloadSealer::part_buffer());
        self.given_out += plaintext.len() as u64;
        self.last_part = self.last_part.next(until, now_ms);
        self.segment = if last { (0, None) } else { (self.segment.0 + 1, self.segment.1) };
        self.since = None;
        Part { plaintext, last, until, at_ms: self.last_part.at_ms }
    }

    /// A copy of the buffer, if it has waited for long enough, and the plaintext bytes before it.
    pub(super) fn tail(&mut self, now: Duration) -> Option<(u64, Part)> {
        let since = self.since.filter(|_| !self.buffer.is_empty())?;
        if now.saturating_sub(since) < TAIL_AFTER {
            return None;
        }
        self.since = None;
        let mut plaintext = PayloadSealer::part_buffer();
        plaintext.extend_from_slice(&self.buffer);
        let until = self.written.recorded;
        let part = Part { plaintext, last: true, until, at_ms: self.last_part.wall_ms(until) };
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
                // While parts wait to be sealed there is no room for it, and they hold more than it would.
                let _ = self.commands.try_send(Command::Tail { from, tail });
            }
            if told != Some(written) {
                told = Some(written);
                Journal::touch(&self.session.home, self.recording, at_ms).await;
            }
        }
    }
}
