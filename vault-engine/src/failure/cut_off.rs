//! What to say of a recording that has no end, or nothing in it.

use std::time::Duration;

use super::{Code, Failure};
use crate::elapsed::elapsed;
use crate::error::{CutOff, CutOffReason, NextStep};

/// What to say of a recording that has no end: since when, and how much of it can be opened.
pub fn cut_off(at: &CutOff) -> Failure {
    if at.is_empty() {
        return nothing_recorded(at);
    }
    let place = at.until.map_or_else(String::new, |until| {
        let seconds = until.unix_seconds().saturating_sub(at.created.unix_seconds());
        // Nothing signed says whether it was recorded while it was sealed, or sealed from a file within a moment.
        let length = match u64::try_from(seconds) {
            Ok(seconds @ 1..) => format!(", {} after it was begun", elapsed(Duration::from_secs(seconds))),
            _ => String::new(),
        };
        format!(" What there is was sealed until {until}{length}.")
    });
    let stored = match at.until {
        Some(_) => place,
        None => format!(" The server says that the last of it was stored at {}.", at.last_stored),
    };
    let (why, next) = match at.why {
        CutOffReason::NoEnd => (
            "its end was never sealed, or the server hides it".to_owned(),
            "To open what is there, " + NextStep::AllowCutOff + ". If it is still being recorded or uploaded, wait for its end.",
        ),
        CutOffReason::RestLost => (
            "its sealing device says that the rest was lost".to_owned(),
            "To open what is there, " + NextStep::AllowCutOff + ".",
        ),
        CutOffReason::EndHidden { ended, final_seal } => (
            format!(
                "the server hides its end, which this device sealed at {ended} (final seal {final_seal})"
            ),
            "Tell the operator: the final seal in this home (endings/) proves that there is an end, and the server had it."
                .into(),
        ),
        CutOffReason::EndForgotten { final_seal } => (
            format!(
                "the server hides its end, which it has shown to this account before (final seal {final_seal})"
            ),
            "Tell the operator: the store may have been rolled back. This account's own list (list.json) says that there is an end."
                .into(),
        ),
    };
    Failure::new(
        Code::CutOff,
        format!("This recording is cut off: {why}.{stored}"),
        format!("{} bytes of it are proved and can be opened; what came after is not there.", at.bytes),
        next,
    )
}

/// A recording that was begun, and of which there is not a byte.
fn nothing_recorded(at: &CutOff) -> Failure {
    let (why, next) = match at.why {
        CutOffReason::RestLost => (
            "its sealing device says that all of it was lost",
            "There is nothing to wait for. What should be in it has to be sealed again, and becomes a recording of its own."
                .into(),
        ),
        _ => (
            "its sealing device died before the first part or has sent none yet, or the server hides it",
            "If it is being recorded or uploaded just now, wait. "
                + NextStep::Resuming
                + " on the device that began it says what became of it.",
        ),
    };
    Failure::new(
        Code::CutOff,
        format!("Nothing was recorded: {why}. It was begun at {}.", at.created),
        "The recording is empty: there is not a byte in it to open.",
        next,
    )
}
