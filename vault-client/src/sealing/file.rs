//! Sealing a file: what can be read again needs no spool, and goes on where a process died.

use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;
use vault_core::webm::SeekIndexer;
use vault_proto::statements::RecordingStatus;

use super::attended::{Feed, drive};
use super::begin::{Begun, recording_sealer};
use super::chain::remember_in_chain;
use super::ending::{end_caught_up, end_here};
use super::journal::{Journal, Past, SourceFile};
use super::readers::Readers;
use super::recorder::{Before, Recorder, RecorderOptions};
use super::sender::Patience;
use super::source::{Source, change_in};
use super::spool::Spool;
use super::{SealRequest, Sealed, UploadEvent, seal_stream};
use crate::clock::now;
use crate::home_folder::folder_of;
use vault_engine::Session;
use vault_engine::error::{ClientError, SourceChange, SourceFailure};
use vault_engine::home::endings;
use vault_engine::server::recording::ServerRecording;

/// Seconds for which a server takes a manifest that it does not have yet, with an hour to spare.
const MANIFEST_LIFETIME: i64 = 23 * 3600;

/// Seals a file into the server for its patient and its clinician. Memory is flat, whatever its length.
///
/// `stop` ends what passes once only: a device or a pipe that has a file's name, as in [`seal_stream`]. The sealing of
/// a file may be dropped at any moment, and goes on with the next call.
///
/// # Errors
/// [`ClientError::Trust`] before anything is uploaded if a reader's keys cannot be trusted, naming the reader.
/// [`ClientError::CutShort`] if the file changed while it was read: that recording has ended, cut off, and the next
/// call begins another. After [`UploadEvent::Begun`], any other error leaves a journal by which the next call with the
/// same file goes on.
pub async fn seal_file(
    session: &Session,
    file: &Path,
    request: &SealRequest,
    stop: impl Future<Output = ()>,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Sealed, ClientError> {
    let source = Source::open(file).await?;
    let found = match source.file() {
        Some(file) => {
            Journal::find(&folder_of(&session.home), |past| is_same_upload(past, file, request, session))?
        }
        // A device or a pipe by name: it cannot be read again.
        None => {
            return seal_stream(session, Box::new(source), request, stop, on_event).await;
        }
    };
    if let Some(recording) = found.busy.filter(|_| found.journal.is_none()) {
        return Err(ClientError::Declined {
            what: format!("another process is sealing this very file now, as recording {recording}"),
            next: "Wait until it is done; if it was killed, run the command again to go on.".to_owned(),
        });
    }
    let readers = Readers::look_up(session, request).await;
    if let Some((journal, past)) = found.journal {
        match Readers::go_on_with(&readers, past.begin.manifest.unverified()) {
            Some(true) => return go_on(session, journal, past, source, request, on_event).await,
            // Whoever changed keys since may have lost the old ones: what was begun for them ends where it is.
            Some(false) => drop(end_here(session, journal, &past).await?),
            None => {}
        }
    }
    let readers = readers?;
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

/// Goes on where a process died. A segment with a new key begins; nothing of a changed source is spliced on: its
/// recording ends where it is.
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
    remember_in_chain(&session.home, &past.begin.manifest).await?;
    let recording_sealer = recording_sealer(&past.begin, session)?;
    let mut begun = Begun { sealer: recording_sealer, journal, begin: past.begin.clone() };
    let server = ServerRecording::new(session.connection.clone(), recording);
    let spool = Spool::of(&folder_of(&session.home), recording, 0);
    let Ok(caught_up) = begun.catch_up(&server, &past, &spool).await? else {
        begun.journal.finish()?;
        return Err(ClientError::Declined {
            what: "the server refuses the recording that was begun for this file".to_owned(),
            next: "Run the same command again: it begins another one.".to_owned(),
        });
    };
    if let Some(end) = &past.end {
        // A recording whose end was signed gets nothing more of its source.
        begun.close_segment(session, &server, &caught_up.open).await?;
        on_event(UploadEvent::Continued { bytes: caught_up.bytes });
        server.end(end.details_object()?, &end.final_seal).await?;
        let segments = begun.sealer.segments();
        endings::remember(&session.home, &session.account, recording, &end.final_seal).await?;
        begun.journal.finish()?;
        let bytes = caught_up.bytes;
        return match end.final_seal.unverified().status {
            RecordingStatus::Complete => {
                let sha256 = caught_up.source_hash();
                Ok(Sealed { recording, segments, bytes, sha256, media: Vec::new() })
            }
            RecordingStatus::Recovered => {
                let why = SourceFailure::Changed(SourceChange::Earlier);
                Err(ClientError::CutShort { recording, bytes, why })
            }
        };
    }
    let bytes = caught_up.bytes;
    let skipped = spawn_blocking(move || {
        let mut indexer = SeekIndexer::new();
        source.skip(bytes, &mut indexer).map(|hash| (source, hash, indexer))
    });
    let change = match skipped.await.map_err(|error| ClientError::Bug(error.to_string()))? {
        Ok((source, hash, indexer)) if hash == caught_up.source_hash() => Ok((source, indexer)),
        Ok(_) => Err(SourceChange::OtherBytes),
        Err(error) => match change_in(&error) {
            Some(change) => Err(change),
            None => return Err(ClientError::Source(error)),
        },
    };
    let (source, indexer) = match change {
        Ok(unchanged) => unchanged,
        Err(change) => {
            end_caught_up(session, begun, &past, &spool, caught_up).await?;
            return Err(ClientError::CutShort { recording, bytes, why: SourceFailure::Changed(change) });
        }
    };
    begun.close_segment(session, &server, &caught_up.open).await?;
    on_event(UploadEvent::Continued { bytes });
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
    let name = source.name().map_err(ClientError::Source)?;
    let sealed = drive(recorder, source, Feed::File, std::future::pending(), on_event).await?;
    if name.is_some_and(|name| name.leads_elsewhere()) {
        on_event(UploadEvent::NameLeadsElsewhere);
    }
    Ok(sealed)
}
