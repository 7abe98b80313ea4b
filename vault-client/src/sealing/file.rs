//! Sealing a file: what can be read again needs no spool, and goes on where a process died.

use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;
use vault_core::webm::SeekIndexer;
use vault_engine::Session;
use vault_engine::error::{ClientError, NextStep, SourceChange, SourceFailure};
use vault_engine::sealing::{
    FilePlan, Recorder, RecorderOptions, SealRequest, Sealed, TakenUp, Unfinished, plan_file,
};

use super::attended::{Feed, drive};
use super::source::{Source, change_in};
use super::{UploadEvent, at_work, seal_stream};
use crate::io_failure::source_failed;

/// A file is not recorded while it is sealed: its segments end only where they are full.
const OPTIONS: RecorderOptions =
    RecorderOptions { real_time: false, segment_length: Duration::MAX, spool_limit: 0 };

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
    let Some(facts) = source.file() else {
        // A device or a pipe by name: it cannot be read again.
        return seal_stream(session, Box::new(source), request, stop, on_event).await;
    };
    match plan_file(session, facts, request, OPTIONS).await? {
        FilePlan::Busy(recording) => Err(ClientError::Declined {
            what: format!("another process is sealing this very file now, as recording {recording}"),
            next: "Wait until it is done; if it was killed, " + NextStep::Again + " to go on.",
        }),
        FilePlan::GoOn(unfinished) => go_on(session, *unfinished, source, request, on_event).await,
        FilePlan::New(begun) => {
            let recorder = at_work(*begun);
            on_event(UploadEvent::Begun { recording: recorder.recording(), total: source.length() });
            seal_rest(recorder, source, on_event).await
        }
    }
}

/// Goes on where a process died. A segment with a new key begins; nothing of a changed source is spliced on: its
/// recording ends where it is.
pub(super) async fn go_on(
    session: &Session,
    unfinished: Unfinished,
    mut source: Source,
    request: &SealRequest,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Sealed, ClientError> {
    let recording = unfinished.recording();
    on_event(UploadEvent::Begun { recording, total: source.length() });
    let continuation = match unfinished.take_up(session).await? {
        TakenUp::Open(continuation) => continuation,
        TakenUp::Ended(sealed) => {
            if let Ok(Sealed { bytes, .. }) | Err(ClientError::CutShort { bytes, .. }) = &sealed {
                on_event(UploadEvent::Continued { bytes: *bytes });
            }
            return sealed;
        }
        TakenUp::NeverBegun => {
            return Err(ClientError::Declined {
                what: "the server refuses the recording that was begun for this file".to_owned(),
                next: NextStep::SameAgain + ": it begins another one.",
            });
        }
    };
    let bytes = continuation.bytes();
    let skipped = spawn_blocking(move || {
        let mut indexer = SeekIndexer::new();
        source.skip(bytes, &mut indexer).map(|hash| (source, hash, indexer))
    });
    let change = match skipped.await.map_err(|error| ClientError::Bug(error.to_string()))? {
        Ok((source, hash, indexer)) if hash == continuation.source_hash() => Ok((source, indexer)),
        Ok(_) => Err(SourceChange::OtherBytes),
        Err(error) => match change_in(&error) {
            Some(change) => Err(change),
            None => return Err(source_failed(error)),
        },
    };
    let (source, indexer) = match change {
        Ok(unchanged) => unchanged,
        Err(change) => {
            continuation.end(session).await?;
            return Err(ClientError::CutShort { recording, bytes, why: SourceFailure::Changed(change) });
        }
    };
    let recorder = at_work(continuation.go_on(session, request, OPTIONS, source.hash(), indexer).await?);
    on_event(UploadEvent::Continued { bytes });
    seal_rest(recorder, source, on_event).await
}

/// Seals what is left of a source, then the end.
async fn seal_rest(
    recorder: Recorder,
    source: Source,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Sealed, ClientError> {
    let name = source.name().map_err(source_failed)?;
    let sealed = drive(recorder, source, Feed::File, std::future::pending(), on_event).await?;
    if name.is_some_and(|name| name.leads_elsewhere()) {
        on_event(UploadEvent::NameLeadsElsewhere);
    }
    Ok(sealed)
}
