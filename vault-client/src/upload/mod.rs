//! Sealing into the server: one pipeline from a source to acknowledged parts, with flat memory.
//!
//! ```text
//! source ─read─▶ part of plaintext ─number─▶ job ─seal, hash─▶ ciphertext ─PUT─▶ acknowledged ─▶ journal
//!          one thread                          several at a time
//! ```
//! The manifest is durable on the server before the first part. A process that dies leaves a journal; the next run on
//! the same file seals what was acknowledged and goes on in a new segment with a new key.

mod continuation;
mod journal;
mod pipeline;
mod readers;
mod source;

use std::path::PathBuf;

use data_encoding::BASE64;
use http::Method;
use vault_core::details::{Details, MAX_TITLE, Track};
use vault_core::sealing::{self, RecordingSealer, SegmentFacts, SegmentSealer};
use vault_proto::envelope::{Envelope, Verified};
use vault_proto::ids::{AccountId, ConsultationId, Digest, PublicKey, RecordingId};
use vault_proto::statements::{Manifest, RecordingStatus, SegmentSeal};
use vault_proto::wire::{self, CreateRecording};

use self::journal::{Begin, EndLine, Journal, Past, SegmentLine, SourceFile};
use self::pipeline::{SegmentEnd, Sent};
use self::readers::Readers;
use self::source::Input;
use crate::account::Account;
use crate::connection::{Connection, now};
use crate::error::ClientError;
use crate::home::{Enrolment, Home};
use crate::media_type;

/// Most bytes of a recording's statements.
pub(crate) const MAX_RECORD: usize = 16 * 1024 * 1024;
/// Track of a recording that has only one.
const ONLY_TRACK: u8 = 0;
/// Seconds for which a server takes a manifest that it does not have yet, with an hour to spare.
const MANIFEST_LIFETIME: i64 = 23 * 3600;
/// File that remembers the newest manifest of the device's chain.
const CHAIN: &str = "chain.json";

/// What to seal, and for whom.
#[derive(Debug, Clone)]
pub struct SealRequest {
    /// A file, or `None` for standard input.
    pub file: Option<PathBuf>,
    /// The patient.
    pub patient: AccountId,
    /// The clinician.
    pub clinician: AccountId,
    /// The consultation; a random name if `None`.
    pub consultation: Option<ConsultationId>,
    /// Title, for readers only.
    pub title: Option<String>,
    /// Media type; found out from the first bytes if `None`.
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
    /// This many more plaintext bytes are durable on the server.
    Acknowledged {
        /// Plaintext bytes.
        bytes: u64,
    },
}

/// Newest manifest of this device's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainHead {
    sequence: u64,
    manifest: Digest,
}

/// An upload under way.
struct Upload<'a> {
    connection: &'a Connection,
    account: &'a Account,
    recording: RecordingId,
    sealer: RecordingSealer,
    journal: Journal,
}

/// Seals a source into the server for its patient and its clinician.
///
/// # Errors
/// [`ClientError::Trust`] before anything is uploaded if a reader's keys cannot be trusted, naming the reader. After
/// [`UploadEvent::Begun`], any error leaves a journal by which the next call with the same file goes on.
pub async fn seal(
    connection: &Connection,
    home: &Home,
    enrolment: &Enrolment,
    account: &Account,
    request: &SealRequest,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Sealed, ClientError> {
    if request.title.as_ref().is_some_and(|title| title.chars().count() > MAX_TITLE) {
        return Err(ClientError::Usage("the title is longer than 10,000 characters".to_owned()));
    }
    let mut input = Input::open(request.file.as_deref())?;
    let source = input.file().cloned();
    let past = match &source {
        Some(source) => Journal::find(home, |past| is_same_upload(past, source, request))?,
        None => None,
    };
    let readers = Readers::look_up(connection, home, enrolment, account, request).await?;
    let Some((journal, past)) = past else {
        let upload = Upload::begin(connection, home, enrolment, account, request, &readers, source).await?;
        on_event(UploadEvent::Begun { recording: upload.recording, total: input.length() });
        return upload.run(input, request, on_event).await;
    };
    let mut upload = Upload::new(connection, account, journal, &past.begin, &readers)?;
    on_event(UploadEvent::Begun { recording: upload.recording, total: input.length() });
    upload.catch_up(&past, &mut input).await?;
    on_event(UploadEvent::Continued { bytes: upload.sealer.total_length() });
    match &past.end {
        Some(end) => {
            upload.send_end(end).await?;
            upload.done(&input)
        }
        None => upload.run(input, request, on_event).await,
    }
}

/// Whether a request means the very upload that a journal is of.
fn is_same_upload(past: &Past, source: &SourceFile, request: &SealRequest) -> bool {
    let manifest = past.begin.manifest.unverified();
    // A server takes no manifest of another day, so one that never reached it is of no more use.
    let reached = past.segment.is_some();
    let fresh = now().is_ok_and(|now| manifest.created.saturating_add(MANIFEST_LIFETIME) > now);
    past.begin.source.as_ref() == Some(source)
        && manifest.patient == request.patient
        && manifest.clinician == request.clinician
        && request.consultation.as_ref().is_none_or(|consultation| *consultation == manifest.consultation)
        && (reached || fresh)
}

impl<'a> Upload<'a> {
    /// Signs a manifest, notes it, and makes it durable on the server.
    async fn begin(
        connection: &'a Connection,
        home: &Home,
        enrolment: &Enrolment,
        account: &'a Account,
        request: &SealRequest,
        readers: &Readers,
        source: Option<SourceFile>,
    ) -> Result<Self, ClientError> {
        let credentials = readers.credentials()?.to_bytes()?;
        let (manifest, journal) = {
            let _lock = home.lock("chain.lock")?;
            let manifest =
                readers.manifest(enrolment, account, request, Digest::of(&credentials), chain_head(home)?)?;
            let envelope = sealing::sign_manifest(&manifest, &account.device)?;
            let credentials =
                String::from_utf8(credentials).map_err(|error| ClientError::Bug(error.to_string()))?;
            let begin = Begin { source, manifest: envelope, credentials };
            // The journal comes first: it names the manifest's place in the chain even if the next line never runs.
            let journal = Journal::create(home, manifest.recording, &begin)?;
            home.write_json(
                CHAIN,
                &ChainHead { sequence: manifest.sequence, manifest: begin.manifest.digest() },
            )?;
            (begin, journal)
        };
        let upload = Self::new(connection, account, journal, &manifest, readers)?;
        upload.create(&manifest).await?;
        Ok(upload)
    }

    fn new(
        connection: &'a Connection,
        account: &'a Account,
        journal: Journal,
        begin: &Begin,
        readers: &Readers,
    ) -> Result<Self, ClientError> {
        let manifest = verify_own(&begin.manifest, account)?;
        let recipients = readers.recipients(&manifest.recipients)?;
        let recording = manifest.recording;
        let sealer = RecordingSealer::new(manifest, recipients)?;
        Ok(Self { connection, account, recording, sealer, journal })
    }

    async fn create(&self, begin: &Begin) -> Result<(), ClientError> {
        let body =
            CreateRecording { manifest: begin.manifest.clone(), credentials: begin.credentials.clone() };
        self.connection.send_json(Method::POST, wire::path::RECORDINGS, &body).await?;
        Ok(())
    }

    /// Seals the rest of the source, then the end.
    async fn run(
        mut self,
        mut input: Input,
        request: &SealRequest,
        on_event: &mut (dyn FnMut(UploadEvent) + Send),
    ) -> Result<Sealed, ClientError> {
        // A source that ended exactly where its upload was interrupted has nothing more to seal.
        let mut more = self.sealer.segments() == 0 || !input.at_end()?;
        while more {
            let segment = self.sealer.begin_segment(ONLY_TRACK)?;
            self.open_segment(&segment).await?;
            let sent = pipeline::send_segment(
                self.connection,
                self.recording,
                segment,
                input,
                &mut self.journal,
                &mut |bytes| on_event(UploadEvent::Acknowledged { bytes }),
            )
            .await?;
            let Sent { facts, input: rest, end } = sent;
            self.seal_segment(&facts).await?;
            input = rest;
            more = end == SegmentEnd::Full;
        }
        self.finish(&input, request).await
    }

    async fn open_segment(&mut self, segment: &SegmentSealer) -> Result<(), ClientError> {
        self.journal.segment(SegmentLine {
            index: segment.index(),
            track: segment.track(),
            key_commitment: segment.key_commitment(),
        })?;
        let body = wire::OpenSegment { track: segment.track(), header: BASE64.encode(segment.header()) };
        let path = wire::path::segment(&self.recording, segment.index());
        self.connection.send_json(Method::PUT, &path, &body).await?;
        Ok(())
    }

    async fn seal_segment(&mut self, facts: &SegmentFacts) -> Result<(), ClientError> {
        let seal = self.sealer.seal_segment(facts, &self.account.device)?;
        self.journal.seal(&seal)?;
        self.put_seal(&seal).await
    }

    async fn put_seal(&self, seal: &Envelope<SegmentSeal>) -> Result<(), ClientError> {
        let path = wire::path::seal(&self.recording, seal.unverified().index);
        self.connection
            .send_bytes(Method::PUT, &path, seal.bytes().to_vec().into(), "application/json")
            .await?;
        Ok(())
    }

    /// Seals and sends the end. It is noted first, so that a recording never gets two different ends.
    async fn finish(mut self, input: &Input, request: &SealRequest) -> Result<Sealed, ClientError> {
        let ended = now()?;
        let details = Details {
            title: request.title.clone(),
            started: self.sealer.manifest().created,
            ended,
            tracks: vec![Track {
                track: ONLY_TRACK,
                media_type: request
                    .media_type
                    .clone()
                    .unwrap_or_else(|| media_type::sniff(input.start()).to_owned()),
                bytes: self.sealer.total_length(),
                duration_ms: None,
            }],
        };
        let (object, final_seal) =
            self.sealer.finish(&details, RecordingStatus::Complete, ended, &self.account.device)?;
        let end = EndLine { details: BASE64.encode(&object), final_seal };
        self.journal.end(&end)?;
        self.send_end(&end).await?;
        self.done(input)
    }

    async fn send_end(&self, end: &EndLine) -> Result<(), ClientError> {
        let object = BASE64
            .decode(end.details.as_bytes())
            .map_err(|_| ClientError::Bug("the journal's details are not base64".to_owned()))?;
        let path = wire::path::details(&self.recording);
        self.connection.send_bytes(Method::PUT, &path, object.into(), "application/octet-stream").await?;
        let path = wire::path::final_seal(&self.recording);
        let seal = end.final_seal.bytes().to_vec();
        self.connection.send_bytes(Method::PUT, &path, seal.into(), "application/json").await?;
        Ok(())
    }

    /// Everything is on the server: forgets the journal.
    fn done(self, input: &Input) -> Result<Sealed, ClientError> {
        self.journal.finish()?;
        Ok(Sealed {
            recording: self.recording,
            segments: self.sealer.segments(),
            bytes: self.sealer.total_length(),
            sha256: input.sha256(),
        })
    }
}

/// A manifest that this very device signed.
fn verify_own(manifest: &Envelope<Manifest>, account: &Account) -> Result<Verified<Manifest>, ClientError> {
    let key = PublicKey::from_bytes(account.device.public());
    manifest.verify(sealing::device_key_id(&account.device), &key).map_err(|_| {
        ClientError::Usage(
            "this upload was begun with another identity; go on with the home it was begun in".to_owned(),
        )
    })
}

/// The newest manifest of this device's chain, be it only in the journal of an upload that died.
fn chain_head(home: &Home) -> Result<Option<ChainHead>, ClientError> {
    let stored: Option<ChainHead> = home.read_json(CHAIN)?;
    let begun = Journal::manifests(home)?;
    let begun = begun
        .iter()
        .map(|manifest| ChainHead { sequence: manifest.unverified().sequence, manifest: manifest.digest() });
    Ok(stored.into_iter().chain(begun).max_by_key(|head| head.sequence))
}
