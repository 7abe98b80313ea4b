//! What those who attack need, in the tests and in the bench beside them.

use std::time::Duration;

use vault_server::limits::Limits;

/// Longer than any test or measurement.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

/// Of a server that never loses its patience: nobody is rid of an attacker because time has passed.
pub(crate) const PATIENT: Limits = Limits {
    connections: 512,
    header_time: FOR_EVER,
    stall_time: FOR_EVER,
    body_time: FOR_EVER,
    enrolment_body_time: FOR_EVER,
    max_bytes: None,
    min_free: 0,
    leftover_grace: FOR_EVER,
    mark_every: FOR_EVER,
    log_sums_every: FOR_EVER,
    nonces: 10_000_000,
};

/// A connection of its own, on which nothing is ever taken of an answer but its head.
pub(crate) fn who_takes_nothing() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .http2_initial_stream_window_size(0)
        .build()
        .unwrap()
}
