//! Feeding what is sealed: files, pipes, and who may ask that it stop. What is decided on the way is the engine's
//! ([`vault_engine::sealing`]).

mod attended;
mod file;
mod path_text;
mod resume;
mod source;

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use vault_engine::Session;
use vault_engine::error::ClientError;
use vault_engine::sealing::RecorderTask;
pub use vault_engine::sealing::{
    Ending, Objection, Recorder, RecorderOptions, RecordingProgress, Resumed, ResumedUpload, SealRequest,
    Sealed, ServerState,
};
use vault_proto::ids::RecordingId;

use self::attended::{Feed, drive};
pub use self::file::seal_file;
pub use self::resume::resume_all;

/// How long the end of a stream waits for a server that takes nothing, unless its connection was told.
const STREAM_PATIENCE: Duration = Duration::from_secs(60);

/// Begins to record, as [`Recorder::begin`] does. What it takes is sealed and sent by the runtime on which this is called.
///
/// # Errors
/// Those of [`Recorder::begin`].
pub async fn begin(
    session: &Session,
    request: &SealRequest,
    options: RecorderOptions,
) -> Result<Recorder, ClientError> {
    Ok(at_work(Recorder::begin(session, request, options).await?))
}

/// Has the runtime do the work of a recorder.
fn at_work((recorder, task): (Recorder, RecorderTask)) -> Recorder {
    drop(tokio::spawn(task));
    recorder
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
    let patience = session.connection().retry_for().unwrap_or(STREAM_PATIENCE);
    let recorder = begin(session, request, options).await?;
    on_event(UploadEvent::Begun { recording: recorder.recording(), total: None });
    drive(recorder, source, Feed::Stream(patience), stop, on_event).await
}
