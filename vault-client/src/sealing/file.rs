//! Sealing a file: what can be read again needs no spool, and goes on where a process died.

use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;
use vault_core::webm::SeekIndexer;

use super::begin::{Begun, recording_sealer, remember_in_chain};
use super::continuation::CaughtUp;
use super::journal::{Journal, Past, SourceFile};
use super::readers::Readers;
use super::recorder::{Before, Recorder, RecorderOptions};
use super::sender::Patience;
use super::source::Source;
use super::spool::Spool;
use super::{SealRequest, Sealed, UploadEvent, drive, resume, seal_stream};
use crate::clock::now;
use crate::error::ClientError;
use crate::home::endings;
use crate::server::recording::Statements;
use crate::session::Session;

/// Seconds for which a server takes a manifest that it does not have yet, with an hour to spare.
const MANIFEST_LIFETIME: i64 = 23 * 3600;

/// Seals a file into the server for its patient and its clinician. Memory is flat, whatever its length.
///
/// # Errors
/// [`ClientError::Trust`] before anything is uploaded if a reader's keys cannot be trusted, naming the reader. After
/// [`UploadEvent::Begun`], any error leaves a journal by which the next call with the same file goes on.
pub async fn seal_file(
    session: &Session,
    file: &Path,
    request: &SealRequest,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Sealed, ClientError> {
    let source = Source::open(file)?;
    let found = match source.file() {
        Some(file) => Journal::find(&session.home, |past| is_same_upload(past, file, request, session))?,
        // A device or a pipe by name: it cannot be read again.
        None => {
            return seal_stream(session, Box::new(source), request, std::future::pending(), on_event).await;
        }
    };
    if let Some(recording) = found.busy.filter(|_| found.journal.is_none()) {
        return Err(ClientError::Usage(format!(
            "another process is sealing this very file now, as recording {recording}; wait for it"
        )));
    }
    let readers = Readers::look_up(session, request).await?;
    if let Some((journal, past)) = found.journal {
        if readers.are_current(past.begin.manifest.unverified()) {
            return go_on(session, journal, past, source, request, on_event).await;
        }
        // Whoever changed keys since may have lost the old ones: what was begun for them ends where it is.
        resume::end_here(session, journal, &past).await?;
    }
    let options = RecorderOptions { real_time: false, ..RecorderOptions::default() };
    let file = source.file().cloned();
    let begun = Begun::new(session, request, &readers, file, options.real_time).await?;
    let recording = begun.begin.manifest.unverified().recording;
    on_event(UploadEvent::Begun { recording, total: source.length() });
    seal_rest(session, begun, request, source, Before::nothing(), on_event).await
}

/// Whether a request means the very upload that a journal is of.
fn is_same_upload(past: &Past, source: &SourceFile, request: &SealRequest, session: &Session) -> bool {
    let manifest = past.begin.manifest.unverified();
    // A server takes no manifest of another day, so one that never reached it is of no more use.
    let reached = !past.segments.is_empty();
    let fresh = now().is_ok_and(|now| manifest.created.saturating_add(MANIFEST_LIFETIME) > now);
    past.begin.source.as_ref() == Some(source)
        && past.begin.server == session.connection.server()
        && manifest.patient == request.patient
        && manifest.clinician == request.clinician
        && request.consultation.as_ref().is_none_or(|consultation| *consultation == manifest.consultation)
        && (reached || fresh)
}

/// Goes on where a process died. A segment with a new key begins; nothing of a changed source is spliced on.
pub(super) async fn go_on(
    session: &Session,
    journal: Journal,
    past: Past,
    mut source: Source,
    request: &SealRequest,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Sealed, ClientError> {
    let recording = past.recording();
    on_event(UploadEvent::Begun { recording, total: source.length() });
    remember_in_chain(&session.home, &past.begin.manifest)?;
    let recording_sealer = recording_sealer(&past.begin, session)?;
    let mut begun = Begun { sealer: recording_sealer, journal, begin: past.begin.clone() };
    let statements = Statements::new(session.connection.clone(), recording);
    let spool = Spool::of(&session.home, recording, 0);
    let Ok(caught_up) = begun.catch_up(&statements, &past, &spool).await? else {
        begun.journal.finish()?;
        return Err(ClientError::Usage(
            "the server refuses the recording that was begun for this file; run the command again to begin another one"
                .to_owned(),
        ));
    };
    let CaughtUp { bytes, .. } = caught_up;
    let skipped = spawn_blocking(move || {
        let mut indexer = SeekIndexer::new();
        source.skip(bytes, &mut indexer).map(|hash| (source, hash, indexer))
    });
    let (source, hash, indexer) = skipped.await.map_err(|error| ClientError::Bug(error.to_string()))??;
    // A recording whose end was signed gets nothing more of its source.
    if past.end.is_none() && hash != caught_up.source_hash() {
        return Err(ClientError::Usage(
            "the file has changed since its upload was interrupted, and nothing was added to it; to seal the file as it is \
             now, copy it to another name first"
                .to_owned(),
        ));
    }
    begun.close_segment(&statements, &caught_up.open, &session.account.device).await?;
    on_event(UploadEvent::Continued { bytes });
    if let Some(end) = &past.end {
        statements.end(end.details_object()?, &end.final_seal).await?;
        let segments = begun.sealer.segments();
        endings::remember(&session.home, recording, &end.final_seal)?;
        begun.journal.finish()?;
        return Ok(Sealed { recording, segments, bytes, sha256: caught_up.source_hash() });
    }
    let mut tracks = caught_up.tracks;
    // A file is one track, and all of it up to here was just read again.
    if let [track] = &mut tracks[..] {
        track.indexer = Some(indexer);
    }
    let before = Before { hash: source.hash(), tracks, bytes };
    seal_rest(session, begun, request, source, before, on_event).await
}

/// Seals what is left of a source, then the end.
async fn seal_rest(
    session: &Session,
    begun: Begun,
    request: &SealRequest,
    source: Source,
    before: Before,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Sealed, ClientError> {
    let new = before.tracks.is_empty();
    let options = RecorderOptions {
        real_time: false,
        // A file is not recorded while it is sealed: its segments end only where they are full.
        segment_length: Duration::MAX,
        ..RecorderOptions::default()
    };
    let mut recorder = Recorder::start(session, begun, request, options, Patience::GiveUp, before)?;
    if new {
        recorder.begin_track(request.media_type.clone()).await?;
    }
    drive(recorder, source, std::future::pending(), Duration::MAX, on_event).await
}
