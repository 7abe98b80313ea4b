//! Bringing to an end what processes of this home left behind.

use std::io;
use std::time::Duration;

use vault_core::details::Details;
use vault_proto::base64;
use vault_proto::ids::RecordingId;
use vault_proto::statements::RecordingStatus;

use super::begin::{Begun, kept_title, recording_sealer, remember_in_chain};
use super::continuation::CaughtUp;
use super::file::go_on;
use super::journal::{EndLine, Journal, Past};
use super::readers::Readers;
use super::source::Source;
use super::spool::Spool;
use super::worker::timestamp_of_ms;
use super::{SealRequest, UploadEvent};
use crate::error::ClientError;
use crate::home::endings;
use crate::server::recording::Statements;
use crate::session::Session;

/// What became of the uploads that were left behind.
#[derive(Debug)]
pub struct Resumed {
    /// Each upload that no other process is working on, oldest first.
    pub uploads: Vec<ResumedUpload>,
    /// How many another process is working on.
    pub busy: usize,
}

/// What became of one upload.
#[derive(Debug)]
pub struct ResumedUpload {
    /// The recording.
    pub recording: RecordingId,
    /// How it ended, or why it could not be ended now; in that case nothing of it was lost by trying.
    pub ending: Result<Ending, ClientError>,
}

/// How an upload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All of it is on the server.
    Complete {
        /// Plaintext bytes.
        bytes: u64,
    },
    /// The rest was lost with its process; what there is was sealed, and is shown as cut off.
    CutOff {
        /// Plaintext bytes that are kept.
        bytes: u64,
        /// Recorded time that is kept; `None` for what was not recorded live.
        kept: Option<Duration>,
        /// Recorded time that is lost, to about a second; `None` for what was not recorded live.
        lost: Option<Duration>,
    },
    /// Nothing of it had been sealed, so there is nothing to open.
    Nothing {
        /// Recorded time that is lost; `None` for what was not recorded live.
        lost: Option<Duration>,
    },
}

/// Ends every upload that processes of this home left behind: sends what waits in the spool, goes on with files that
/// did not change, and seals the end of what cannot go on.
///
/// # Errors
/// [`ClientError::Disk`] if the journals cannot be read; what happens to one upload stands in [`ResumedUpload`].
pub async fn resume_all(
    session: &Session,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Resumed, ClientError> {
    let (journals, busy) = Journal::take_all(&session.home)?;
    let mut uploads = Vec::with_capacity(journals.len());
    for (journal, past) in journals {
        let recording = past.recording();
        let ending = resume_one(session, journal, past, on_event).await;
        uploads.push(ResumedUpload { recording, ending });
    }
    Ok(Resumed { uploads, busy })
}

async fn resume_one(
    session: &Session,
    journal: Journal,
    past: Past,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Ending, ClientError> {
    if past.begin.server != session.connection.server() {
        return Err(ClientError::Usage(format!("this upload was begun at {}", past.begin.server)));
    }
    if let Some(source) = unchanged_source(&past).await? {
        let manifest = past.begin.manifest.unverified();
        let request = SealRequest {
            patient: manifest.patient,
            clinician: manifest.clinician,
            consultation: Some(manifest.consultation.clone()),
            title: kept_title(&past.begin, &session.account),
            media_type: past.tracks.first().map(|track| track.media_type.clone()),
        };
        let readers = Readers::look_up(session, &request).await?;
        if readers.are_current(manifest) {
            return match go_on(session, journal, past, source, &request, on_event).await {
                Ok(sealed) => Ok(Ending::Complete { bytes: sealed.bytes }),
                Err(ClientError::CutShort { bytes, .. }) => {
                    Ok(Ending::CutOff { bytes, kept: None, lost: None })
                }
                Err(error) => Err(error),
            };
        }
    }
    let recording = past.recording();
    on_event(UploadEvent::Begun { recording, total: None });
    end_here(session, journal, &past).await
}

/// The file of an upload, if it is still what it was.
async fn unchanged_source(past: &Past) -> Result<Option<Source>, ClientError> {
    let Some(file) = past.begin.source.clone() else {
        return Ok(None);
    };
    match Source::open(&file.path).await {
        Ok(source) if source.file() == Some(&file) => Ok(Some(source)),
        // Changed: what was sealed of it stands.
        Ok(_) => Ok(None),
        // Gone, too. Whatever else stands against reading it may pass.
        Err(ClientError::Source(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Ends a recording where its process died.
pub(super) async fn end_here(
    session: &Session,
    journal: Journal,
    past: &Past,
) -> Result<Ending, ClientError> {
    let Session { connection, home, .. } = session;
    let recording = past.recording();
    remember_in_chain(home, &past.begin.manifest)?;
    let begin = past.begin.clone();
    let mut begun = Begun { sealer: recording_sealer(&begin, session)?, journal, begin };
    let statements = Statements::new(connection.clone(), recording);
    let spool = Spool::of(home, recording, 0);
    let Ok(caught_up) = begun.catch_up(&statements, past, &spool).await? else {
        begun.journal.finish()?;
        return Ok(Ending::Nothing { lost: lost_after(past, created_ms(past)) });
    };
    end_caught_up(session, begun, past, &spool, caught_up).await
}

/// Recorded time that was lost after a moment; `None` for what was not recorded live.
fn lost_after(past: &Past, at_ms: u64) -> Option<Duration> {
    let live = past.begin.source.is_none();
    live.then(|| Duration::from_millis(past.last_alive_ms.saturating_sub(at_ms)))
}

fn created_ms(past: &Past) -> u64 {
    let created = past.begin.manifest.unverified().created;
    u64::try_from(created.unix_seconds()).unwrap_or(0).saturating_mul(1000)
}

/// Ends a recording where journal and server agree that it ends.
pub(super) async fn end_caught_up(
    session: &Session,
    mut begun: Begun,
    past: &Past,
    spool: &Spool,
    caught_up: CaughtUp,
) -> Result<Ending, ClientError> {
    let Session { connection, home, account, .. } = session;
    let recording = past.recording();
    let statements = Statements::new(connection.clone(), recording);
    let created = past.begin.manifest.unverified().created;
    begun.close_segment(&statements, &caught_up.open, &account.device).await?;
    let CaughtUp { tracks, bytes, last, .. } = caught_up;
    let end = match (&past.end, last) {
        (Some(end), _) => end.clone(),
        // An empty recording that nobody ended, too.
        (None, None) => {
            spool.clear()?;
            begun.journal.finish()?;
            return Ok(Ending::Nothing { lost: lost_after(past, created_ms(past)) });
        }
        (None, Some(last)) => {
            let ended = timestamp_of_ms(last.at_ms).max(created);
            let real_time = past.begin.real_time;
            let details = Details {
                title: kept_title(&begun.begin, account),
                started: created,
                ended,
                tracks: tracks.into_iter().map(|track| track.details(real_time)).collect(),
            };
            let (object, final_seal) =
                begun.sealer.finish(&details, RecordingStatus::Recovered, ended, &account.device)?;
            let end = EndLine { details: base64::encode(&object), final_seal };
            begun.journal.end(&end)?;
            end
        }
    };
    statements.end(end.details_object()?, &end.final_seal).await?;
    endings::remember(home, recording, &end.final_seal)?;
    // The journal last: by it a later process finds the rest, as long as there is some.
    spool.clear()?;
    begun.journal.finish()?;
    // An end that an earlier process signed says itself whether something was lost.
    Ok(match end.final_seal.unverified().status {
        RecordingStatus::Complete => Ending::Complete { bytes },
        RecordingStatus::Recovered => {
            let lost = last.and_then(|last| lost_after(past, last.at_ms));
            let kept = last.filter(|_| lost.is_some()).map(|last| Duration::from_millis(last.until_ms));
            Ending::CutOff { bytes, kept, lost }
        }
    })
}
