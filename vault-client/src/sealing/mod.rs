//! Sealing into the server: one pipeline from what is recorded to acknowledged parts, with flat memory.
//!
//! ```text
//! Recorder ─part of plaintext─▶ Worker ─sealed part─▶ Sender ─PUT─▶ acknowledged
//!                                  │ └─ journal: each line before what it names is sent
//!                                  └─ Spool: sealed parts while the server cannot be reached
//! ```
//! The manifest is durable on the server before the first part. [`Recorder`] is what apps use; [`seal_file`] and
//! [`seal_stream`] feed one. A process that dies leaves its journal, and perhaps sealed parts in the spool: [`resume_all`],
//! or [`seal_file`] with the same file, brings the recording to an end. A key is never taken up again: what goes on does so
//! in a new segment.

mod begin;
mod continuation;
mod file;
mod journal;
mod path_text;
mod progress;
mod readers;
mod recorder;
mod resume;
mod sender;
mod source;
mod spool;
mod worker;

use std::io::Read;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use vault_proto::ids::{AccountId, ConsultationId, Digest, RecordingId};
use zeroize::Zeroizing;

pub use self::file::seal_file;
pub use self::progress::{RecordingProgress, ServerState};
pub use self::recorder::{Recorder, RecorderOptions};
pub use self::resume::{Ending, Resumed, ResumedUpload, resume_all};
use crate::error::ClientError;
use crate::session::Session;

/// Most bytes that are read from a source at once.
const READ: usize = 256 * 1024;
/// Pieces of the source that are read ahead.
const READ_AHEAD: usize = 4;
/// How long the end of a stream waits for a server that cannot be reached, unless its connection was told.
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
    /// It has come further.
    Progress(RecordingProgress),
}

/// Seals what comes out of a pipe while it comes, for its patient and its clinician, to its end or until `stop` completes.
///
/// # Errors
/// [`ClientError::Trust`] before anything is uploaded if a reader's keys cannot be trusted, naming the reader;
/// [`ClientError::Kept`] if the end came while the server could not be reached. If the source fails, what there is was sealed
/// and is shown as cut off.
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
    drive(recorder, source, stop, patience, on_event).await
}

/// Feeds a recorder from a source to its end, or until `stop` completes.
async fn drive(
    mut recorder: Recorder,
    source: impl Read + Send + 'static,
    stop: impl Future<Output = ()>,
    patience: Duration,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Sealed, ClientError> {
    let mut progress = recorder.progress();
    let (pieces, mut read) = mpsc::channel(READ_AHEAD);
    let reading = spawn_blocking(move || read_pieces(source, &pieces));
    let mut stop = std::pin::pin!(stop);
    let mut stopped = false;
    loop {
        tokio::select! {
            piece = read.recv() => match piece {
                Some(piece) => recorder.write(&piece).await?,
                None => break,
            },
            () = &mut stop => {
                stopped = true;
                break;
            }
            Ok(()) = progress.changed() => {
                on_event(UploadEvent::Progress(*progress.borrow_and_update()));
            }
        }
    }
    let whole = if stopped {
        // The reading thread may wait for the source for ever; what it reads from now on is nobody's.
        read.close();
        while let Some(piece) = read.recv().await {
            recorder.write(&piece).await?;
        }
        Ok(())
    } else {
        reading.await.map_err(|error| ClientError::Bug(error.to_string()))?
    };
    let mut finishing = std::pin::pin!(recorder.finish(whole.is_ok(), patience));
    let sealed = loop {
        tokio::select! {
            sealed = &mut finishing => break sealed?,
            Ok(()) = progress.changed() => {
                on_event(UploadEvent::Progress(*progress.borrow_and_update()));
            }
        }
    };
    on_event(UploadEvent::Progress(*progress.borrow()));
    whole.map(|()| sealed)
}

/// Reads a source to its end, on a thread of its own. Stops early, without an error of its own, if nobody takes the pieces.
fn read_pieces(mut source: impl Read, pieces: &mpsc::Sender<Zeroizing<Vec<u8>>>) -> Result<(), ClientError> {
    loop {
        let mut piece = Zeroizing::new(vec![0; READ]);
        let read = match source.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ClientError::Source(error)),
        };
        piece.truncate(read);
        if pieces.blocking_send(piece).is_err() {
            return Ok(());
        }
    }
}
