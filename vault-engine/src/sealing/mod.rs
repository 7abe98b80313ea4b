//! Sealing into the server: one pipeline from what is recorded to acknowledged parts, with flat memory.
//!
//! ```text
//! Recorder ─plaintext─▶ Worker ─sealed part─▶ Committer ─named part─▶ Sender ─PUT─▶ acknowledged
//!     └─ every few seconds: the tail            └─ home: spool, then journal
//! ```
//! Every part is durable in the home, with its line, before it is sent; what can be read again is not kept, its lines
//! alone are. A process that dies leaves its journal, sealed parts and a tail: [`resume_all`] brings the recording to
//! an end. A key is never taken up again: what goes on does so in a new segment.

mod arrivals;
mod begin;
mod committer;
mod continuation;
mod delivery;
mod ending;
mod held_parts;
mod journal;
mod progress;
mod readers;
mod recorder;
mod recording_clock;
mod sender;
mod sequence;
mod settlement;
mod spool;
mod tail;
mod taken;
mod unfinished;
mod worker;

use vault_proto::ids::{AccountId, ConsultationId, Digest, RecordingId};

pub use self::ending::Ending;
pub use self::journal::SourceFile;
pub use self::progress::{Objection, RecordingProgress, ServerState};
pub use self::recorder::{Recorder, RecorderOptions, RecorderTask};
pub use self::sender::GiveUp;
pub use self::unfinished::{
    Continuation, FilePlan, Resumed, ResumedUpload, TakenUp, Unfinished, plan_file, resume_all,
};
use crate::opening::media::Medium;

/// What to seal, and for whom.
#[derive(Debug, Clone)]
pub struct SealRequest {
    /// The patient.
    pub patient: AccountId,
    /// The clinician.
    pub clinician: AccountId,
    /// The consultation; a random name if `None`.
    pub consultation: Option<ConsultationId>,
    /// Title, for readers only.
    pub title: Option<String>,
    /// Media type of the first track; found out from its first bytes if `None`.
    pub media_type: Option<String>,
    /// Whether each track ends in zeros up to a padded size, so that its length tells little of it. They are sealed
    /// when the track ends; one whose process dies before goes without. Readers never see them.
    pub pad: bool,
}

/// What was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The recording.
    pub recording: RecordingId,
    /// Number of segments.
    pub segments: u32,
    /// Plaintext bytes.
    pub bytes: u64,
    /// SHA-256 of the plaintext.
    pub sha256: Digest,
    /// Its tracks, as its details say; none where an earlier process had sealed them.
    pub media: Vec<Medium>,
}
