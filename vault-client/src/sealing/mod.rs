//! Sealing into the server: one pipeline from what is recorded to acknowledged parts, with flat memory.
//!
//! ```text
//! Recorder ─part of plaintext─▶ Worker ─sealed part─▶ Sender ─PUT─▶ acknowledged
//!                                  │ └─ journal: each line before what it names is sent
//!                                  └─ Spool: sealed parts while the server cannot be reached
//! ```
//! The manifest is durable on the server before the first part. [`Recorder`] is what apps use; [`seal_file`] and
//! [`seal_stream`] feed one. A process that dies leaves its journal, and perhaps sealed parts in the spool:
//! [`resume_all`], or [`seal_file`] with the same file, brings the recording to an end. A key is never taken up again:
//! what goes on does so in a new segment.

mod arrivals;
mod attended;
mod begin;
mod chain;
mod continuation;
mod delivery;
mod ending;
mod file;
mod held_parts;
mod journal;
mod path_text;
mod progress;
mod readers;
mod recorder;
mod resume;
mod sender;
mod settlement;
mod source;
mod spool;
mod worker;

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use vault_proto::ids::{AccountId, ConsultationId, Digest, RecordingId};

use self::attended::{Feed, drive};
pub use self::ending::Ending;
pub use self::file::seal_file;
pub use self::progress::{Objection, RecordingProgress, ServerState};
pub use self::recorder::{Recorder, RecorderOptions};
pub use self::resume::{Resumed, ResumedUpload, resume_all};
use vault_engine::Session;
use vault_engine::error::ClientError;
use vault_engine::opening::media::Medium;

/// How long the end of a stream waits for a server that takes nothing, unless its connection was told.
const STREAM_PATIENCE: Duration = Duration::from_secs(60);

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

/// How far an upload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadEvent {
    /// The recording has an id, and its readers are fixed.
    Begun {
        /// The recording.
        recording: RecordingId,
        /// Bytes of the source, if it is a file.
        total: Option<u64>,
    },
    /// An upload that was interrupted goes on after this many plaintext bytes.
    Continued {
        /// Plaintext bytes that are on the server already.
        bytes: u64,
    },
    /// It was asked to stop: the source gets a moment to end, and what there is is sealed and sent as long as the
    /// server takes it.
    Stopping,
    /// All of the file that was opened is sealed, but its name leads to another file by now.
    NameLeadsElsewhere,
    /// It has come further.
    Progress(RecordingProgress),
}

/// What is open already, standard input for example, as a source. A pipe passes once; a file must not change while it
/// is read.
///
/// # Errors
/// [`ClientError::Source`] if nothing can be found out about it.
pub fn opened(file: File) -> Result<Box<dyn Read + Send>, ClientError> {
    Ok(Box::new(source::Source::opened(file)?))
}

/// Seals what comes out of a pipe while it comes, for its patient and its clinician, to its end or until `stop`
/// completes. Whoever stops it waits for the server only as long as that takes what is sent: what it does not take is
/// kept.
///
/// # Errors
/// [`ClientError::Trust`] before anything is uploaded if a reader's keys cannot be trusted, naming the reader;
/// [`ClientError::Kept`] if not all of it is on the server, with what is where; [`ClientError::CutShort`] if the source
/// failed: what there is was sealed and is shown as cut off.
pub async fn seal_stream(
    session: &Session,
    source: Box<dyn Read + Send>,
    request: &SealRequest,
    stop: impl Future<Output = ()>,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Sealed, ClientError> {
    // What comes out of a pipe may as well be a file that somebody copies into it.
    let options = RecorderOptions { real_time: false, ..RecorderOptions::default() };
    let patience = session.connection.retry_for().unwrap_or(STREAM_PATIENCE);
    let recorder = Recorder::begin(session, request, options).await?;
    on_event(UploadEvent::Begun { recording: recorder.recording(), total: None });
    drive(recorder, source, Feed::Stream(patience), stop, on_event).await
}
