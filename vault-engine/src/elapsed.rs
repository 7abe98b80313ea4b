//! How lengths of time are shown.

use std::time::Duration;

/// A length of time as hours, minutes and seconds, such as `00:12:31`; what is less than a second is left out.
pub fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
