//! Bringing to an end what processes of this home left behind.

use std::io;

use vault_proto::ids::RecordingId;

use super::begin::kept_title;
use super::ending::{Ending, end_here};
use super::file::go_on;
use super::journal::{Journal, Past};
use super::readers::Readers;
use super::source::Source;
use super::{SealRequest, UploadEvent};
use crate::home_folder::folder_of;
use vault_engine::Session;
use vault_engine::error::ClientError;

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

/// Ends every upload that processes of this home left behind: sends what waits in the spool, goes on with files that
/// did not change, and seals the end of what cannot go on.
///
/// # Errors
/// [`ClientError::Disk`] if the journals cannot be read; what happens to one upload stands in [`ResumedUpload`].
pub async fn resume_all(
    session: &Session,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Resumed, ClientError> {
    let (journals, busy) = Journal::take_all(&folder_of(&session.home))?;
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
        let server = &past.begin.server;
        return Err(ClientError::Declined {
            what: format!("this upload was begun at another server, {server}"),
            next: format!("Go on with it there: `vault-cli resume --server {server}`."),
        });
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
        let readers = Readers::look_up(session, &request).await;
        let goes_on = match Readers::go_on_with(&readers, manifest) {
            Some(goes_on) => goes_on,
            None => readers.map(|_| false)?,
        };
        if goes_on {
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
