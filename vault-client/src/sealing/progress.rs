//! How far a recording has come: recorded, and durable on the server.

use std::time::{Duration, Instant};

use crate::error::Extent;

/// A point of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Mark {
    /// Plaintext bytes before it.
    pub(crate) bytes: u64,
    /// Recorded time before it.
    pub(crate) recorded: Duration,
}

impl Mark {
    /// What stands between another point and this one.
    pub(crate) const fn since(self, from: Self) -> Extent {
        Extent {
            bytes: self.bytes.saturating_sub(from.bytes),
            recorded: self.recorded.saturating_sub(from.recorded),
        }
    }
}

/// Whether the server takes what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// It does.
    Reachable,
    /// It does not answer, or asks to come again later. Parts are kept, sealed, on this machine.
    Away {
        /// Since when.
        since: Instant,
    },
    /// It refuses for good. Parts are kept, sealed, on this machine.
    Refusing,
}

/// How far a recording has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordingProgress {
    /// Recorded time, without pauses.
    pub recorded: Duration,
    /// Plaintext bytes recorded.
    pub bytes: u64,
    /// Recorded time that is durable on the server and opens for its readers, whatever dies next.
    pub acknowledged: Duration,
    /// Plaintext bytes of it.
    pub acknowledged_bytes: u64,
    /// Ciphertext bytes kept in the encrypted spool of this machine.
    pub kept_bytes: u64,
    /// Whether the spool could not be written when it was last tried: what the server does not take waits in memory
    /// then, and the recording waits for it.
    pub spool_fails: bool,
    /// Whether the server takes what is sent.
    pub server: ServerState,
    /// Requests of any kind that the server said yes to: as long as it grows, something goes on.
    pub(crate) arrived: u64,
}

impl RecordingProgress {
    /// A recording of which this much is durable already.
    pub(crate) const fn starting_from(mark: Mark) -> Self {
        Self {
            recorded: mark.recorded,
            bytes: mark.bytes,
            acknowledged: mark.recorded,
            acknowledged_bytes: mark.bytes,
            kept_bytes: 0,
            spool_fails: false,
            server: ServerState::Reachable,
            arrived: 0,
        }
    }

    /// Up to where it is durable.
    pub(crate) const fn durable(&self) -> Mark {
        Mark { recorded: self.acknowledged, bytes: self.acknowledged_bytes }
    }

    /// Recorded time that would be lost or wait on this machine if the recording stopped now.
    #[must_use]
    pub const fn behind(&self) -> Duration {
        self.recorded.saturating_sub(self.acknowledged)
    }
}
