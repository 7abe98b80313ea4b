//! The words for a recording that did not come to its end on the server: how much of it is where.

use vault_proto::ids::RecordingId;

use super::{Code, Failure};
use crate::error::{
    ClientError, Extent, IoFailure, IoFailureKind, KeptRecording, Next, NextStep, RecordingEnd, SourceFailure,
};

/// How much of a recording is where: the figures of a [`KeptRecording`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// The recording.
    pub recording: RecordingId,
    /// How far its end has come.
    pub end: RecordingEnd,
    /// Acknowledged by the server.
    pub on_server: Extent,
    /// Follows on it, and needs the home of this machine.
    pub kept: Extent,
    /// Neither.
    pub lost: Extent,
}

impl Whereabouts {
    /// Adds them to a JSON document, for programs: `recording`, `end` (`unsealed`, `kept` or `on_server`), and as bytes
    /// and milliseconds `acknowledged_bytes`, `acknowledged_ms`, `kept_bytes`, `kept_ms`, `lost_bytes`, `lost_ms`.
    pub fn add_to(&self, document: &mut serde_json::Map<String, serde_json::Value>) {
        let end = match self.end {
            RecordingEnd::Unsealed => "unsealed",
            RecordingEnd::SealedHere => "kept",
            RecordingEnd::OnServer => "on_server",
        };
        document.insert("recording".to_owned(), serde_json::json!(self.recording));
        document.insert("end".to_owned(), serde_json::json!(end));
        for (name, extent) in [("acknowledged", self.on_server), ("kept", self.kept), ("lost", self.lost)] {
            document.insert(format!("{name}_bytes"), serde_json::json!(extent.bytes));
            document.insert(format!("{name}_ms"), serde_json::json!(extent.recorded.as_millis()));
        }
    }
}

/// A recording that is not on the server to its end.
pub(super) fn kept(told: KeptRecording) -> Failure {
    let KeptRecording { recording, end, on_server, kept, lost, reason, not_kept, cut_short } = told;
    let is_refused = matches!(reason, ClientError::Refused(_) | ClientError::TooLargeForProxy { .. });
    let reason = Failure::from(reason);
    let not_kept = not_kept.map(Failure::from);
    let whys = match &not_kept {
        Some(not_kept) if not_kept.what != reason.what => format!("{} {}", reason.what, not_kept.what),
        _ => reason.what.clone(),
    };
    let whys = match cut_short {
        Some(why) => format!("It ends early: {why}. {whys}"),
        None => whys,
    };
    // What cost something decides; else what is in the way.
    let decides = not_kept.as_ref().filter(|_| lost.bytes > 0).unwrap_or(&reason);
    let is_disk = [Some(&reason), not_kept.as_ref()].into_iter().flatten().any(|why| why.code == Code::Disk);
    let what = match end {
        _ if lost.bytes > 0 => format!(
            "Recording {recording} is cut off: its last {} were neither acknowledged by the server nor could they be kept here. {whys}",
            amount(lost)
        ),
        RecordingEnd::SealedHere => {
            format!("Recording {recording} is sealed to its end, but not all of it is on the server. {whys}")
        }
        RecordingEnd::OnServer => {
            format!(
                "Recording {recording} is whole on the server, but this machine could not note that. {whys}"
            )
        }
        RecordingEnd::Unsealed => format!("Recording {recording} has come to no end yet. {whys}"),
    };
    let rest = format!(
        "the server has acknowledged {} of it, and the {} after these are kept, encrypted, in the home folder of this machine",
        amount(on_server),
        amount(kept)
    );
    let means = match end {
        RecordingEnd::OnServer => format!("Nothing is lost: all {} of it are there.", amount(on_server)),
        // A server that took something may have died before it said so.
        _ if lost.bytes > 0 => {
            format!("What could not be kept is lost, unless the server has it and never said so; {rest}.")
        }
        _ => format!("Nothing is lost: {rest}."),
    };
    let reached = if is_refused { "takes it again (ask its operator)" } else { "can be reached" };
    let next = match end {
        RecordingEnd::OnServer => {
            "Put this machine's disk right (make room, or check it), then "
                + NextStep::Resume
                + ", which tidies up."
        }
        _ if is_disk => {
            "Put this machine's disk right (make room, or check it), then "
                + NextStep::Resume
                + " once the server "
                + reached
                + ": it ends the recording with what is there. Until then keep the home folder."
        }
        _ => NextStep::Resume + " once the server " + reached + "; until then keep the home folder.",
    };
    let failure = Failure::new(decides.code, what, means, next);
    let whereabouts = Whereabouts { recording, end, on_server, kept, lost };
    Failure { whereabouts: Some(Box::new(whereabouts)), ..failure }
}

/// A recording that ended on the server where its source failed or changed.
pub(super) fn cut_short(recording: RecordingId, bytes: u64, why: &SourceFailure) -> Failure {
    let (what, next) = match why {
        SourceFailure::Changed(change) => (
            format!("The file changed while it was read ({change}): recording {recording} is cut off."),
            "Once nothing writes to the file any more, seal it again: it becomes a recording of its own.",
        ),
        SourceFailure::Unreadable(error) => (
            format!("The source could not be read to its end ({error}): recording {recording} is cut off."),
            "Look for what its program says itself. What is not in this recording has to be recorded again.",
        ),
    };
    Failure::new(
        Code::Partly,
        what,
        format!(
            "The {bytes} bytes that had been sealed are on the server, and are shown as cut off, never as complete."
        ),
        next,
    )
}

/// What to say of a source that cannot be read, which is called `name`: what was begun of it stays as it is.
pub fn unreadable(name: &str, why: &IoFailure) -> Failure {
    let next: Next = match why.kind {
        IoFailureKind::NotFound => "Check the path, then " + NextStep::Again + ".",
        IoFailureKind::IsFolder => "Name a file in it: each becomes a recording of its own.".into(),
        IoFailureKind::NotPermitted => "Change its permissions, then " + NextStep::Again + ".",
        _ => "Check the disk that it is on, then " + NextStep::SameAgain + " to go on.",
    };
    Failure::new(
        Code::Disk,
        format!("{name} cannot be read: {why}."),
        "Nothing was ended: what the server had acknowledged of it is kept there.",
        next,
    )
}

fn amount(extent: Extent) -> String {
    format!("{} bytes ({:.1} s)", extent.bytes, extent.recorded.as_secs_f64())
}
