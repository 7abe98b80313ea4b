//! How long a recording has gone on, and what the clock on the wall shows meanwhile.

use std::time::Duration;

use super::worker::milliseconds;
use crate::effects::Effects;

/// Milliseconds by which the clock on the wall and that of a recording may drift apart unnoticed.
const DRIFT_MS: u64 = 50;

/// Recorded time, in whole milliseconds as the journal has it: it stands still during pauses.
pub(super) struct Clock {
    pub(super) effects: Effects,
    pub(super) before: Duration,
    pub(super) running_since: Option<Duration>,
}

impl Clock {
    pub(super) fn recorded(&self) -> Duration {
        let running = self.running_since.map(|since| self.effects.now().running.saturating_sub(since));
        Duration::from_millis(milliseconds(self.before + running.unwrap_or_default()))
    }
}

/// A moment by the clock of the recording, and by the clock on the wall as the journal has it.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) recorded: Duration,
    pub(super) at_ms: u64,
}

impl Moment {
    /// A later moment at which the wall shows `now_ms`. Where the two clocks differ by less than anybody sees, the
    /// recording's counts: what is lost is the same, whichever part it is counted from.
    pub(super) fn next(&self, recorded: Duration, now_ms: u64) -> Self {
        let expected = self.wall_ms(recorded);
        let at_ms = if expected.abs_diff(now_ms) <= DRIFT_MS { expected } else { now_ms };
        Self { recorded, at_ms }
    }

    /// What the clock on the wall showed, or would have shown without pauses, when so much was recorded.
    pub(super) fn wall_ms(&self, recorded: Duration) -> u64 {
        self.at_ms.saturating_add(milliseconds(recorded.saturating_sub(self.recorded)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_the_same_whichever_part_it_is_counted_from() {
        let recorded = Duration::from_millis;
        let begun = Moment { recorded: Duration::ZERO, at_ms: 1_000_000 };
        // Each clock is read by itself: whole milliseconds of the two are not the same ones.
        let first = begun.next(recorded(100), 1_000_101);
        let second = first.next(recorded(200), 1_000_200);
        let lost = |from: &Moment| second.wall_ms(recorded(450)) - from.at_ms;
        assert_eq!(lost(&first), 350);
        assert_eq!(lost(&second), 250);
        // After a pause, or a clock that was set, the wall is right.
        assert_eq!(second.next(recorded(300), 1_060_300).at_ms, 1_060_300);
        assert_eq!(second.next(recorded(300), 900_000).at_ms, 900_000);
    }
}
