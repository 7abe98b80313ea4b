//! How far a recording has come: recorded, and durable on the server.

use std::time::Duration;

use vault_proto::problem::ProblemCode;

use crate::error::{ClientError, Extent};

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
    /// It does not answer. Parts are kept, sealed, on this machine.
    Away {
        /// Since when it has taken nothing, by [`Now::running`](crate::effects::Now::running).
        since: Duration,
    },
    /// It answers, and says no. Parts are kept, sealed, on this machine.
    Refusing {
        /// As above.
        since: Duration,
        /// Why.
        why: Objection,
    },
}

/// Why a server says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objection {
    /// Its store is full. It is asked again: an operator can make room.
    StoreFull,
    /// It is busy or fails. It is asked again.
    Passing,
    /// It will always say no; nothing more is sent to it.
    Lasting,
}

impl ServerState {
    /// Since when the server has taken nothing that may still be taken; `None` if it does, or never will.
    pub(crate) const fn waiting_since(&self) -> Option<Duration> {
        match *self {
            Self::Away { since }
            | Self::Refusing { since, why: Objection::StoreFull | Objection::Passing } => Some(since),
            Self::Reachable | Self::Refusing { why: Objection::Lasting, .. } => None,
        }
    }

    /// What it is once a try has failed.
    pub(crate) fn after(self, error: &ClientError, now: Duration) -> Self {
        let since = match self {
            // Nothing is sent any more, and a late answer says nothing new.
            Self::Refusing { why: Objection::Lasting, .. } => return self,
            Self::Away { since } | Self::Refusing { since, .. } => since,
            Self::Reachable => now,
        };
        match Objection::of(error) {
            Some(why) => Self::Refusing { since, why },
            None => Self::Away { since },
        }
    }
}

impl Objection {
    /// What a failed try says; `None` where it was no server of this protocol that answered.
    pub(crate) fn of(error: &ClientError) -> Option<Self> {
        let ClientError::Refused(problem) = error else {
            return None;
        };
        Some(match problem.known_code() {
            Some(ProblemCode::StorageFull) => Self::StoreFull,
            _ if error.may_pass() => Self::Passing,
            _ => Self::Lasting,
        })
    }
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
    pub arrived: u64,
    /// Requests that the server has said no to and that are tried again.
    pub(crate) refused: usize,
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
            refused: 0,
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
