//! What was handed out for sending and has not arrived, in the order in which it was handed out: how far everything is
//! durable, and how far ahead of the oldest the next may be.

use std::collections::BTreeMap;

use vault_proto::wire::MAX_PARTS_AHEAD;

use super::progress::Mark;

/// Something on its way.
struct Outstanding {
    mark: Option<Mark>,
    arrived: bool,
}

/// The things of one upload, each with a number from 0.
pub(super) struct Arrivals {
    /// Each until all before it has arrived.
    outstanding: BTreeMap<u64, Outstanding>,
    handed_out: u64,
    durable: Mark,
}

impl Arrivals {
    /// Nothing is on its way, and all before `durable` has arrived.
    pub(super) const fn new(durable: Mark) -> Self {
        Self { outstanding: BTreeMap::new(), handed_out: 0, durable }
    }

    /// Whether a server takes the next part although the oldest of those before it has not arrived.
    pub(super) fn may_run_ahead(&self) -> bool {
        let oldest = self.outstanding.first_key_value().map_or(self.handed_out, |(number, _)| *number);
        self.handed_out.saturating_sub(oldest) < u64::from(MAX_PARTS_AHEAD)
    }

    /// The number of the next thing; `mark` says how far the recording is durable with it.
    pub(super) fn hand_out(&mut self, mark: Option<Mark>) -> u64 {
        let number = self.handed_out;
        self.handed_out += 1;
        self.outstanding.insert(number, Outstanding { mark, arrived: false });
        number
    }

    /// Notes that something has arrived. Gives how far the recording is durable: all that stands before the first thing
    /// still on its way.
    pub(super) fn arrived(&mut self, number: u64) -> Mark {
        if let Some(outstanding) = self.outstanding.get_mut(&number) {
            outstanding.arrived = true;
        }
        while let Some(first) = self.outstanding.first_entry().filter(|first| first.get().arrived) {
            if let Some(mark) = first.remove().mark {
                self.durable = mark;
            }
        }
        self.durable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// While the first part is late, 63 others are sent and no more; what arrived counts once it has arrived, too.
    #[test]
    fn nothing_runs_far_ahead_of_what_is_late() {
        let mark = |bytes| Mark { bytes, ..Mark::default() };
        let mut arrivals = Arrivals::new(mark(0));
        for number in 0..u64::from(MAX_PARTS_AHEAD) {
            assert!(arrivals.may_run_ahead(), "{number}");
            assert_eq!(arrivals.hand_out(Some(mark(number + 1))), number);
        }
        assert!(!arrivals.may_run_ahead());
        for number in 1..u64::from(MAX_PARTS_AHEAD) {
            assert_eq!(arrivals.arrived(number), mark(0));
        }
        assert!(!arrivals.may_run_ahead());
        assert_eq!(arrivals.arrived(0), mark(u64::from(MAX_PARTS_AHEAD)));
        assert!(arrivals.may_run_ahead());
    }
}
