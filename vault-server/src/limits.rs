//! What a server takes on at most, and how long it waits: every number that an operator or a test may want otherwise.

use std::time::Duration;

use crate::store::MAX_NONCES;

/// Limits of one server. The defaults suit a machine with 512 MiB of memory.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at the same time. When all are taken and another comes, one is closed: one of a stranger, and if
    /// none has any, the one that has been without a request longest, or one of the account that keeps most busy.
    pub connections: usize,
    /// Time to send a request's head, and for which a connection without a request is kept.
    pub header_time: Duration,
    /// Time for which a caller may take none of what is being sent before the connection is closed.
    pub stall_time: Duration,
    /// Time to send a whole body.
    pub body_time: Duration,
    /// Time to send the whole body of an enrolment, which nobody known has signed yet.
    pub enrolment_body_time: Duration,
    /// Most bytes that may be stored for good: objects of recordings, certificates and key lists. `None`: as many as
    /// the disk holds.
    pub max_bytes: Option<u64>,
    /// Bytes of the disk that are left free by all that is new. Half of them can be used by seals, so that what is
    /// under way can be ended, and all of them by the nonces of reads.
    pub min_free: u64,
    /// Nonces that are kept of one account at a time; more requests are told to come again.
    pub nonces: u32,
    /// Age from which a file that no row names is taken for the leftover of a crash.
    pub leftover_grace: Duration,
    /// Time after which the mark is moved, if anything was committed meanwhile.
    pub mark_every: Duration,
    /// Time from one line of the log to the next that sums up requests which have no lines of their own.
    pub log_sums_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            header_time: Duration::from_secs(20),
            stall_time: Duration::from_secs(60),
            body_time: Duration::from_secs(60),
            enrolment_body_time: Duration::from_secs(5),
            max_bytes: None,
            min_free: 64 * 1024 * 1024,
            nonces: MAX_NONCES,
            leftover_grace: Duration::from_secs(24 * 60 * 60),
            mark_every: Duration::from_secs(60),
            log_sums_every: Duration::from_secs(60),
        }
    }
}
