//! Sealing into the server: one pipeline from a source to acknowledged parts, with flat memory.
//!
//! ```text
//! source ─read─▶ part of plaintext ─number─▶ job ─seal, hash─▶ ciphertext ─PUT─▶ acknowledged ─▶ journal
//!          one thread                          several at a time
//! ```
//! The manifest is durable on the server before the first part. A process that dies leaves a journal; the next run on
//! the same file seals what was acknowledged and goes on in a new segment with a new key.

mod journal;
mod pipeline;
mod source;

use std::path::PathBuf;

use http::Method;
use vault_core::details::{Details, Track};
use vault_core::recipient::Recipient;
use vault_core::sealing::{self, RecordingSealer, SegmentFacts};
use vault_proto::credentials::{Credentials, TrustError, TrustProblem, VerifiedMember};
use vault_proto::envelope::{Envelope, Verified};
use vault_proto::geometry::BodyEnd;
use vault_proto::ids::{AccountId, ConsultationId, Digest, PublicKey, RecordingId};
use vault_proto::problem::ProblemCode;
use vault_proto::statements::{
    DeviceRole, Manifest, Policy, RecipientKey, RecordingStatus, Role, SegmentSeal,
};
use vault_proto::wire::{self, CreateRecording, RecordingRecord};

use self::journal::{Begin, Journal, Past, SegmentLine};
use self::pipeline::{SegmentEnd, Sent};
use self::source::Input;
use crate::account::Account;
use crate::connection::{Connection, now};
use crate::directory::{self, TrustedMember};
use crate::error::ClientError;
use crate::home::{Enrolment, Home};
use crate::media_type;

/// Most bytes of a recording's statements.
pub(crate) const MAX_RECORD: usize = 16 * 1024 * 1024;
/// Track of a recording that has only one.
const ONLY_TRACK: u8 = 0;
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
    if request
        .title
        .as_ref()
        .is_some_and(|title| title.chars().count() > vault_core::details::MAX_TITLE)
    {
        return Err(ClientError::Usage(
            "the title is longer than 10,000 characters".to_owned(),
        ));
    }
    let mut input = Input::open(request.file.as_deref())?;
    let source_file = input.file().cloned();
    let past = Journal::find(home, |begin| {
        source_file.is_some() && begin.fits(source_file.as_ref(), request)
    })?;
    let readers = Readers::look_up(connection, home, enrolment, account, request).await?;
    let started = match past {
        Some((journal, past)) => {
            let mut upload = Upload::from_past(connection, account, journal, &past, &readers)?;
            on_event(UploadEvent::Begun {
                recording: upload.recording,
                total: input.length(),
            });
            match upload.seal_past(&past, &mut input).await? {
                true => on_event(UploadEvent::Continued {
                    bytes: upload.sealer.total_length(),
                }),
                false => on_event(UploadEvent::Continued { bytes: 0 }),
            }
            upload
        }
        None => {
            let upload = Upload::begin(
                connection,
                home,
                enrolment,
                account,
                request,
                &readers,
                source_file,
            )
            .await?;
            on_event(UploadEvent::Begun {
                recording: upload.recording,
                total: input.length(),
            });
            upload
        }
    };
    started.run(input, request, on_event).await
}

/// The accounts of a recording, as trusted now.
struct Readers {
    patient: TrustedMember,
    clinician: TrustedMember,
    sealer: TrustedMember,
}

impl Readers {
    async fn look_up(
        connection: &Connection,
        home: &Home,
        enrolment: &Enrolment,
        account: &Account,
        request: &SealRequest,
    ) -> Result<Self, ClientError> {
        if request.patient == request.clinician {
            return Err(ClientError::Usage(
                "the patient and the clinician must be different accounts".to_owned(),
            ));
        }
        let patient = directory::look_up(connection, home, enrolment, request.patient).await?;
        patient.verified.check_role(Role::Patient)?;
        let clinician = directory::look_up(connection, home, enrolment, request.clinician).await?;
        clinician.verified.check_role(Role::Clinician)?;
        let sealer = directory::look_up(connection, home, enrolment, account.id).await?;
        sealer
            .verified
            .check_may_seal(request.patient, request.clinician)?;
        let key_id = sealing::device_key_id(&account.device);
        if sealer
            .verified
            .key_list()
            .device(key_id, DeviceRole::Seal)
            .is_none()
        {
            return Err(TrustError {
                account: account.id,
                problem: TrustProblem::KeyNotListed(key_id),
            }
            .into());
        }
        Ok(Self {
            patient,
            clinician,
            sealer,
        })
    }

    fn both(&self) -> [&VerifiedMember; 2] {
        [&self.patient.verified, &self.clinician.verified]
    }

    /// Suite and keys to seal to: each reader's own, which must be of one suite.
    fn recipients(&self, sealer_suite: &[RecipientKey]) -> Result<Vec<Recipient>, ClientError> {
        let mut recipients = Vec::new();
        for (reader, named) in self.both().into_iter().zip(sealer_suite) {
            let key = reader.key_list().encryption_key(named.key).ok_or(TrustError {
                account: reader.account(),
                problem: TrustProblem::KeyNotListed(named.key),
            })?;
            let recipient = key.recipient.parse().map_err(|_| TrustError {
                account: reader.account(),
                problem: TrustProblem::KeyNotListed(named.key),
            })?;
            recipients.push(recipient);
        }
        Ok(recipients)
    }

    fn credentials(&self) -> Result<Credentials, ClientError> {
        let mut members = vec![self.patient.member.clone(), self.clinician.member.clone()];
        if !self
            .both()
            .iter()
            .any(|reader| reader.account() == self.sealer.verified.account())
        {
            members.push(self.sealer.member.clone());
        }
        Ok(Credentials { members })
    }

    /// The manifest of a new recording, without its place in the chain.
    fn manifest(
        &self,
        enrolment: &Enrolment,
        account: &Account,
        request: &SealRequest,
        credentials: Digest,
        head: Option<ChainHead>,
    ) -> Result<Manifest, ClientError> {
        let suite = account_suite(&self.patient.verified)?;
        let mut recipients = Vec::new();
        for reader in self.both() {
            let key = reader
                .key_list()
                .current_encryption_key(suite)
                .ok_or(TrustError {
                    account: reader.account(),
                    problem: TrustProblem::NoKeyOfSuite(suite.name()),
                })?;
            recipients.push(RecipientKey {
                account: reader.account(),
                key: key.key_id(),
            });
        }
        Ok(Manifest {
            suite,
            recording: RecordingId::from_bytes(random()?),
            tenant: enrolment.organisation,
            consultation: match &request.consultation {
                Some(consultation) => consultation.clone(),
                None => unnamed_consultation()?,
            },
            patient: request.patient,
            clinician: request.clinician,
            recipients,
            sealer: account.id,
            sealer_key: sealing::device_key_id(&account.device),
            sequence: head.map_or(1, |head| head.sequence + 1),
            previous: head.map(|head| head.manifest),
            credentials,
            directory_checkpoint: None,
            created: now()?,
            policy: Policy::Participants,
        })
    }
}

/// Suite of an account's newest encryption key; an account has keys of one suite.
fn account_suite(member: &VerifiedMember) -> Result<vault_proto::statements::Suite, TrustError> {
    member
        .key_list()
        .encryption
        .first()
        .map(|key| key.suite)
        .ok_or(TrustError {
            account: member.account(),
            problem: TrustProblem::Missing,
        })
}

fn random<const N: usize>() -> Result<[u8; N], ClientError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|_| ClientError::Bug("the operating system gave no random bytes".to_owned()))?;
    Ok(bytes)
}

/// Name of a consultation that the organisation did not name.
fn unnamed_consultation() -> Result<ConsultationId, ClientError> {
    let name = format!("unnamed-{}", data_encoding::HEXLOWER.encode(&random::<8>()?));
    name.parse()
        .map_err(|error: vault_proto::ids::ConsultationIdError| ClientError::Bug(error.to_string()))
}

impl Begin {
    /// Whether a request means this very upload.
    fn fits(&self, source: Option<&journal::SourceFile>, request: &SealRequest) -> bool {
        let manifest = self.manifest.unverified();
        self.source.as_ref() == source
            && manifest.patient == request.patient
            && manifest.clinician == request.clinician
            && request
                .consultation
                .as_ref()
                .is_none_or(|consultation| *consultation == manifest.consultation)
    }
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
        source: Option<journal::SourceFile>,
    ) -> Result<Self, ClientError> {
        let credentials = readers.credentials()?.to_bytes()?;
        let (manifest, journal) = {
            let _lock = home.lock("chain.lock")?;
            let manifest = readers.manifest(
                enrolment,
                account,
                request,
                Digest::of(&credentials),
                chain_head(home)?,
            )?;
            let envelope = sealing::sign_manifest(&manifest, &account.device)?;
            let credentials =
                String::from_utf8(credentials).map_err(|error| ClientError::Bug(error.to_string()))?;
            let begin = Begin {
                source,
                manifest: envelope,
                credentials,
            };
            // The journal comes first: it names the manifest's place in the chain even if the next line never runs.
            let journal = Journal::create(home, manifest.recording, &begin)?;
            home.write_json(
                CHAIN,
                &ChainHead {
                    sequence: manifest.sequence,
                    manifest: begin.manifest.digest(),
                },
            )?;
            (begin, journal)
        };
        let upload = Self::from_begin(connection, account, journal, &manifest, readers)?;
        upload.create(&manifest).await?;
        Ok(upload)
    }

    /// Takes up the upload of a process that died.
    fn from_past(
        connection: &'a Connection,
        account: &'a Account,
        journal: Journal,
        past: &Past,
        readers: &Readers,
    ) -> Result<Self, ClientError> {
        let mut upload = Self::from_begin(connection, account, journal, &past.begin, readers)?;
        for seal in &past.seals {
            upload.sealer.continue_after(seal)?;
        }
        Ok(upload)
    }

    fn from_begin(
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
        Ok(Self {
            connection,
            account,
            recording,
            sealer,
            journal,
        })
    }

    async fn create(&self, begin: &Begin) -> Result<(), ClientError> {
        let body = CreateRecording {
            manifest: begin.manifest.clone(),
            credentials: begin.credentials.clone(),
        };
        self.connection
            .send_json(Method::POST, wire::path::RECORDINGS, &body)
            .await?;
        Ok(())
    }

    /// Seals what the server has acknowledged of a dead process's upload and moves `input` behind it. `false` if nothing
    /// of it can be used.
    async fn seal_past(&mut self, past: &Past, input: &mut Input) -> Result<bool, ClientError> {
        self.create(&past.begin).await?;
        for seal in &past.seals {
            self.put_seal(seal).await?;
        }
        let acknowledged = match past
            .segment
            .filter(|segment| segment.index == self.sealer.segments())
        {
            None => None,
            Some(segment) => self.acknowledged(past, segment).await?,
        };
        let last = match &acknowledged {
            Some((_, last)) => Some(*last),
            None => past
                .parts
                .iter()
                .rfind(|part| part.segment + 1 == self.sealer.segments())
                .copied(),
        };
        let Some(last) = last else { return Ok(false) };
        let behind = self.sealer.total_length()
            + acknowledged
                .as_ref()
                .map_or(0, |(facts, _)| plaintext_length(facts));
        if input.skip(behind)? != last.source_hash {
            return Err(ClientError::Usage(
                "the file has changed since its upload was interrupted; nothing of it was sent now"
                    .to_owned(),
            ));
        }
        if let Some((facts, _)) = acknowledged {
            self.seal_segment(&facts).await?;
        }
        Ok(true)
    }

    /// The parts of the open segment, from part 0 without a gap, that journal and server agree on.
    async fn acknowledged(
        &self,
        past: &Past,
        segment: SegmentLine,
    ) -> Result<Option<(SegmentFacts, journal::PartLine)>, ClientError> {
        let path = wire::path::parts(&self.recording, segment.index);
        let stored = match self
            .connection
            .get(&path, None, None, 32 * vault_proto::geometry::MAX_PARTS as usize)
            .await
        {
            Ok(answer) => answer.body,
            // The process died between noting the segment and opening it on the server.
            Err(ClientError::Refused(problem)) if problem.known_code() == Some(ProblemCode::NotFound) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let (stored, _) = stored.as_chunks::<32>();
        let mut facts = SegmentFacts {
            index: segment.index,
            track: segment.track,
            key_commitment: segment.key_commitment,
            part_hashes: Vec::new(),
            last_part_length: 0,
            end: BodyEnd::Cut,
        };
        let mut last = None;
        for (part, hash) in (0u32..).zip(stored) {
            let noted = past
                .parts
                .iter()
                .find(|line| line.segment == segment.index && line.part == part);
            let Some(noted) = noted.filter(|line| line.hash.as_bytes() == hash) else {
                break;
            };
            facts.part_hashes.push(noted.hash);
            facts.last_part_length = noted.length;
            facts.end = noted.end.unwrap_or(BodyEnd::Cut);
            last = Some(*noted);
        }
        Ok(last.map(|last| (facts, last)))
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
            let Sent {
                facts,
                input: rest,
                end,
            } = sent;
            self.seal_segment(&facts).await?;
            input = rest;
            more = end == SegmentEnd::Full;
        }
        self.finish(&input, request).await
    }

    async fn open_segment(&mut self, segment: &sealing::SegmentSealer) -> Result<(), ClientError> {
        self.journal.segment(SegmentLine {
            index: segment.index(),
            track: segment.track(),
            key_commitment: segment.key_commitment(),
        })?;
        let body = wire::OpenSegment {
            track: segment.track(),
            header: data_encoding::BASE64.encode(segment.header()),
        };
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
            .send_bytes(
                Method::PUT,
                &path,
                seal.bytes().to_vec().into(),
                "application/json",
            )
            .await?;
        Ok(())
    }

    async fn finish(self, input: &Input, request: &SealRequest) -> Result<Sealed, ClientError> {
        let Self {
            connection,
            account,
            recording,
            sealer,
            journal,
        } = self;
        let ended = now()?;
        let bytes = sealer.total_length();
        let segments = sealer.segments();
        let details = Details {
            title: request.title.clone(),
            started: sealer.manifest().created,
            ended,
            tracks: vec![Track {
                track: ONLY_TRACK,
                media_type: request
                    .media_type
                    .clone()
                    .unwrap_or_else(|| media_type::sniff(input.start()).to_owned()),
                bytes,
                duration_ms: None,
            }],
        };
        let (object, final_seal) =
            sealer.finish(&details, RecordingStatus::Complete, ended, &account.device)?;
        let stored = put_details(connection, &recording, object, &final_seal).await;
        match stored {
            // An end that was already sealed by the process that died stands as it is.
            Err(ClientError::Refused(problem))
                if is_conflict(&problem) && is_finished(connection, &recording).await? => {}
            other => other?,
        }
        journal.finish()?;
        Ok(Sealed {
            recording,
            segments,
            bytes,
            sha256: input.sha256(),
        })
    }
}

async fn put_details(
    connection: &Connection,
    recording: &RecordingId,
    object: Vec<u8>,
    final_seal: &Envelope<vault_proto::statements::FinalSeal>,
) -> Result<(), ClientError> {
    let path = wire::path::details(recording);
    connection
        .send_bytes(Method::PUT, &path, object.into(), "application/octet-stream")
        .await?;
    let path = wire::path::final_seal(recording);
    connection
        .send_bytes(
            Method::PUT,
            &path,
            final_seal.bytes().to_vec().into(),
            "application/json",
        )
        .await?;
    Ok(())
}

fn is_conflict(problem: &vault_proto::problem::Problem) -> bool {
    matches!(
        problem.known_code(),
        Some(ProblemCode::Conflict | ProblemCode::OutOfOrder)
    )
}

/// Whether the server holds a final seal. Its word is enough here: it is only about what is left to send.
async fn is_finished(connection: &Connection, recording: &RecordingId) -> Result<bool, ClientError> {
    let record: RecordingRecord = connection
        .get_json(&wire::path::recording(recording), None, MAX_RECORD)
        .await?;
    Ok(record.final_seal.is_some())
}

fn plaintext_length(facts: &SegmentFacts) -> u64 {
    let parts = u32::try_from(facts.part_hashes.len()).unwrap_or(u32::MAX);
    let length = vault_proto::geometry::part_offset(parts.saturating_sub(1)) + facts.last_part_length as u64;
    vault_proto::geometry::BodyShape::new(length, facts.end).map_or(0, |shape| shape.plaintext_length())
}

/// A manifest that this very device signed.
fn verify_own(manifest: &Envelope<Manifest>, account: &Account) -> Result<Verified<Manifest>, ClientError> {
    let key = PublicKey::from_bytes(account.device.public());
    manifest
        .verify(sealing::device_key_id(&account.device), &key)
        .map_err(|_| {
            ClientError::Usage(
                "this upload was begun with another identity; go on with the home it was begun in".to_owned(),
            )
        })
}

/// The newest manifest of this device's chain, be it only in the journal of an upload that died.
fn chain_head(home: &Home) -> Result<Option<ChainHead>, ClientError> {
    let stored: Option<ChainHead> = home.read_json(CHAIN)?;
    let begun = Journal::manifests(home)?;
    let begun = begun.iter().map(|manifest| ChainHead {
        sequence: manifest.unverified().sequence,
        manifest: manifest.digest(),
    });
    Ok(stored.into_iter().chain(begun).max_by_key(|head| head.sequence))
}
