//! Bringing to an end what processes of this home left behind.

use vault_engine::Session;
use vault_engine::error::{ClientError, IoFailureKind};
use vault_engine::sealing::{Ending, Resumed, ResumedUpload, Unfinished};

use super::UploadEvent;
use super::file::go_on;
use super::path_text;
use super::source::Source;

/// Ends every upload that processes of this home left behind: sends what waits in the spool, goes on with files that
/// did not change, and seals the end of what cannot go on.
///
/// # Errors
/// [`ClientError::Disk`] if the journals cannot be read; what happens to one upload stands in [`ResumedUpload`].
pub async fn resume_all(
    session: &Session,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Resumed, ClientError> {
    let (unfinished, busy) = Unfinished::all(session).await?;
    let mut uploads = Vec::with_capacity(unfinished.len());
    for upload in unfinished {
        let recording = upload.recording();
        let ending = resume_one(session, upload, on_event).await;
        uploads.push(ResumedUpload { recording, ending });
    }
    Ok(Resumed { uploads, busy })
}

async fn resume_one(
    session: &Session,
    upload: Unfinished,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Ending, ClientError> {
    if let Some(source) = unchanged_source(&upload).await?
        && upload.may_go_on(session).await?
    {
        let request = upload.request(session);
        return match go_on(session, upload, source, &request, on_event).await {
            Ok(sealed) => Ok(Ending::Complete { bytes: sealed.bytes }),
            Err(ClientError::CutShort { bytes, .. }) => Ok(Ending::CutOff { bytes, kept: None, lost: None }),
            Err(error) => Err(error),
        };
    }
    on_event(UploadEvent::Begun { recording: upload.recording(), total: None });
    upload.end(session).await
}

/// The file of an upload, if it is still what it was.
async fn unchanged_source(upload: &Unfinished) -> Result<Option<Source>, ClientError> {
    let Some(file) = upload.source().cloned() else {
        return Ok(None);
    };
    let Some(path) = path_text::path_of_text(&file.path) else {
        return Ok(None);
    };
    match Source::open(&path).await {
        Ok(source) if source.file() == Some(&file) => Ok(Some(source)),
        // Changed: what was sealed of it stands.
        Ok(_) => Ok(None),
        // Gone, too. Whatever else stands against reading it may pass.
        Err(ClientError::Source(why)) if why.kind == IoFailureKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
