//! The one place that reads the clock.

use std::time::SystemTime;

use vault_proto::timestamp::Timestamp;

use vault_engine::error::{ClientError, NextStep};

/// The clock, as statements write it.
///
/// # Errors
/// [`ClientError::Usage`] if the clock stands before 1970 or after 9999.
pub fn now() -> Result<Timestamp, ClientError> {
    let seconds = unix_seconds();
    Timestamp::from_unix_seconds(seconds).map_err(|_| ClientError::Declined {
        what: "this machine's clock is wrong".to_owned(),
        next: "Set it, then " + NextStep::Again + ".",
    })
}

/// Seconds since 1970; 0 before.
pub(crate) fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
