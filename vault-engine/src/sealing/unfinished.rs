//! What processes of this home left behind, and what becomes of it: what can be read again goes on where its process
//! died, everything else ends there.

use sha2::Sha256;
use vault_core::webm::SeekIndexer;
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::statements::{Manifest, RecordingStatus};

use super::begin::{Away, Begun, kept_title};
use super::continuation::CaughtUp;
use super::ending::{end_caught_up, end_here};
use super::journal::{Journal, Past, SourceFile};
use super::readers::Readers;
use super::recorder::{Before, Keeping, Recorder, RecorderOptions, RecorderTask};
use super::sequence;
use super::spool::Spool;
use super::{Ending, SealRequest, Sealed};
use crate::error::{ClientError, NextStep, SourceChange, SourceFailure};
use crate::home::endings;
use crate::server::recording::ServerRecording;
use crate::session::Session;

/// Seconds for which a server takes a manifest that it does not have yet, with a day to spare.
const MANIFEST_LIFETIME: i64 = 29 * 24 * 3600;

/// An upload that no other process is working on, locked.
pub struct Unfinished {
    journal: Journal,
    past: Past,
}

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

/// Ends every upload that processes of this home left behind, files too: sends what waits in the spool, and seals the
/// end of what cannot go on.
///
/// # Errors
/// [`ClientError::Disk`] if the journals cannot be read; what happens to one upload stands in [`ResumedUpload`].
pub async fn resume_all(session: &Session) -> Result<Resumed, ClientError> {
    let (unfinished, busy) = Unfinished::all(session).await?;
    let mut uploads = Vec::with_capacity(unfinished.len());
    for upload in unfinished {
        let recording = upload.recording();
        uploads.push(ResumedUpload { recording, ending: upload.end(session).await });
    }
    Ok(Resumed { uploads, busy })
}

impl Unfinished {
    /// All of this home, oldest first, and how many another process is working on.
    ///
    /// # Errors
    /// [`ClientError::Disk`].
    pub async fn all(session: &Session) -> Result<(Vec<Self>, usize), ClientError> {
        let (journals, busy) = Journal::take_all(&session.home).await?;
        Ok((journals.into_iter().map(|(journal, past)| Self { journal, past }).collect(), busy))
    }

    /// The recording.
    pub fn recording(&self) -> RecordingId {
        self.past.recording()
    }

    /// The file it was sealed from; `None` if it cannot be read again.
    pub const fn source(&self) -> Option<&SourceFile> {
        self.past.begin.source.as_ref()
    }

    /// What was asked for when it was begun.
    pub fn request(&self, session: &Session) -> SealRequest {
        let manifest = self.manifest();
        SealRequest {
            patient: manifest.patient,
            clinician: manifest.clinician,
            consultation: Some(manifest.consultation.clone()),
            title: kept_title(&self.past.begin, &session.account),
            media_type: self.past.tracks.first().map(|track| track.media_type.clone()),
            pad: self.past.begin.pad,
        }
    }

    fn manifest(&self) -> &Manifest {
        self.past.begin.manifest.unverified()
    }

    /// Whether it goes on, now that it can be read again: for whom it was begun, the same keys count.
    ///
    /// # Errors
    /// Why its readers could not be looked up.
    pub async fn may_go_on(&self, session: &Session) -> Result<bool, ClientError> {
        let readers = Readers::look_up(session, &self.request(session)).await;
        match Readers::go_on_with(&readers, self.manifest()) {
            Some(goes_on) => Ok(goes_on),
            None => readers.map(|_| false),
        }
    }

    fn require_server(&self, session: &Session) -> Result<(), ClientError> {
        let server = &self.past.begin.server;
        if server == session.connection.server() {
            return Ok(());
        }
        Err(ClientError::Declined {
            what: format!("this upload was begun at another server, {server}"),
            next: NextStep::ResumeAt(server.clone()) + ".",
        })
    }

    /// Ends it where its process died.
    ///
    /// # Errors
    /// [`ClientError`]; everything that is kept of it stays where it is.
    pub async fn end(self, session: &Session) -> Result<Ending, ClientError> {
        self.require_server(session)?;
        end_here(session, self.journal, self.past).await
    }

    /// Brings it and the server to one state, so that it can go on with its source.
    ///
    /// # Errors
    /// [`ClientError`]; everything that is kept of it stays where it is.
    pub async fn take_up(self, session: &Session) -> Result<TakenUp, ClientError> {
        self.require_server(session)?;
        let Self { journal, past } = self;
        let recording = past.recording();
        sequence::remember(&session.home, &past.begin.manifest).await?;
        let mut begun = Begun::again(session, journal, &past)?;
        let server = ServerRecording::new(session.connection.clone(), recording);
        let spool = Spool::of(&session.home, recording, 0);
        let Ok(caught_up) = begun.catch_up(&session.home, &server, &past, &spool).await? else {
            spool.clear().await?;
            begun.journal.finish().await?;
            return Ok(TakenUp::NeverBegun);
        };
        let Some(end) = past.end.as_ref().filter(|end| begun.is_end(end)) else {
            return Ok(TakenUp::Open(Box::new(Continuation { begun, past, caught_up, server, spool })));
        };
        // A recording whose end was signed gets nothing more of its source.
        server.end(end.details_object()?, &end.final_seal).await?;
        let segments = begun.sealer.segments();
        endings::remember(&session.home, &session.account, recording, &end.final_seal).await?;
        begun.journal.finish().await?;
        let bytes = caught_up.bytes;
        Ok(TakenUp::Ended(match end.final_seal.unverified().status {
            RecordingStatus::Complete => {
                let sha256 = caught_up.source_hash();
                Ok(Sealed { recording, segments, bytes, sha256, media: Vec::new() })
            }
            RecordingStatus::Recovered => {
                let why = SourceFailure::Changed(SourceChange::Earlier);
                Err(ClientError::CutShort { recording, bytes, why })
            }
        }))
    }
}

/// An upload and its server, brought to one state.
pub enum TakenUp {
    /// The server refuses it for good, and nothing of it is anywhere.
    NeverBegun,
    /// Its end had been signed, and is on the server now.
    Ended(Result<Sealed, ClientError>),
    /// It can go on.
    Open(Box<Continuation>),
}

/// An upload that can go on with its source.
pub struct Continuation {
    begun: Begun,
    past: Past,
    caught_up: CaughtUp,
    server: ServerRecording,
    spool: Spool,
}

impl Continuation {
    /// Plaintext bytes of the source that are on the server.
    pub const fn bytes(&self) -> u64 {
        self.caught_up.bytes
    }

    /// SHA-256 of them: nothing of a source that does not begin with them is spliced on.
    pub fn source_hash(&self) -> Digest {
        self.caught_up.source_hash()
    }

    /// Ends it where it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn end(self, session: &Session) -> Result<Ending, ClientError> {
        let Self { begun, past, caught_up, spool, .. } = self;
        end_caught_up(session, begun, past, &spool, caught_up).await
    }

    /// Goes on in a segment with a new key. `hash` and `indexer` have seen the first [`Self::bytes`] of the source.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn go_on(
        mut self,
        session: &Session,
        request: &SealRequest,
        options: RecorderOptions,
        hash: Sha256,
        indexer: SeekIndexer,
    ) -> Result<(Recorder, RecorderTask), ClientError> {
        self.begun.close_segment(session, &self.server, &self.caught_up.open).await?;
        let CaughtUp { mut tracks, bytes, .. } = self.caught_up;
        // A file is one track, and all of it up to here was just read again.
        if let [track] = &mut tracks[..] {
            track.indexer = Some(indexer);
        }
        let is_new = tracks.is_empty();
        let before = Before { hash, tracks, bytes };
        let (mut recorder, task) =
            Recorder::start(session, self.begun, request, options, Keeping::Nowhere, before);
        if is_new {
            recorder.first_track(request.media_type.clone())?;
        }
        Ok((recorder, task))
    }
}

/// What to do with a file that is to be sealed.
pub enum FilePlan {
    /// An earlier process began it: it goes on.
    GoOn(Box<Unfinished>),
    /// Another process seals it now.
    Busy(RecordingId),
    /// It was begun just now.
    New(Box<(Recorder, RecorderTask)>),
}

/// Decides what to do with a file that is to be sealed, and begins a recording where none goes on.
///
/// # Errors
/// [`ClientError::Trust`] before anything is uploaded if a reader's keys cannot be trusted, naming the reader.
pub async fn plan_file(
    session: &Session,
    file: &SourceFile,
    request: &SealRequest,
    options: RecorderOptions,
) -> Result<FilePlan, ClientError> {
    let now = session.effects().timestamp()?;
    let is_same = |past: &Past| {
        let manifest = past.begin.manifest.unverified();
        // A server takes no manifest of another month, so one that never reached it is of no more use.
        let reached = !past.segments.is_empty();
        let fresh = manifest.created.saturating_add(MANIFEST_LIFETIME) > now;
        past.begin.source.as_ref() == Some(file)
            && past.begin.server == session.connection.server()
            && manifest.patient == request.patient
            && manifest.clinician == request.clinician
            && request.consultation.as_ref().is_none_or(|consultation| *consultation == manifest.consultation)
            && (reached || fresh)
    };
    // Of two that are asked for the same file at once, one begins it, and the other finds it begun.
    let _planning = session.home.lock("files").await?;
    let found = Journal::find(&session.home, is_same).await?;
    if let Some(recording) = found.busy.filter(|_| found.journal.is_none()) {
        return Ok(FilePlan::Busy(recording));
    }
    let readers = Readers::look_up(session, request).await;
    if let Some((journal, past)) = found.journal {
        match Readers::go_on_with(&readers, past.begin.manifest.unverified()) {
            Some(true) => return Ok(FilePlan::GoOn(Box::new(Unfinished { journal, past }))),
            // Whoever changed keys since may have lost the old ones: what was begun for them ends where it is.
            Some(false) => drop(end_here(session, journal, past).await?),
            None => {}
        }
    }
    let readers = readers?;
    let source = Some(file.clone());
    let begun = Begun::new(session, request, &readers, source, options.real_time, Away::Fail).await?;
    let (mut recorder, task) =
        Recorder::start(session, begun, request, options, Keeping::Nowhere, Before::nothing());
    recorder.first_track(request.media_type.clone())?;
    Ok(FilePlan::New(Box::new((recorder, task))))
}
