//! Fetching a recording, checking it and opening it; nothing is handed on before its own check (FORMAT.md, "Opening").

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use vault_core::details::Details;
use vault_core::opening::{Opening, PartOpener};
use vault_proto::envelope::Verified;
use vault_proto::geometry::{self, MAX_PARTS};
use vault_proto::ids::{AccountId, Digest, RecordingId};
use vault_proto::problem::ProblemCode;
use vault_proto::recording::{CheckedRecording, ProvenSegment, Refusal, StoredStatements};
use vault_proto::recording_list::ListEntry;
use vault_proto::sealed_header::MAX_SEALED_HEADER;
use vault_proto::statements::RecordingStatus;
use vault_proto::timestamp::Timestamp;
use vault_proto::wire::{self, MAX_DETAILS, RecordingPage, RecordingRecord};
use zeroize::Zeroizing;

use crate::account::Account;
use crate::connection::Connection;
use crate::directory::{check_prefix, only_match};
use crate::error::ClientError;
use crate::export::objects;
use crate::home::{Enrolment, Home};
use crate::own_list;
use crate::seen;
use crate::upload::{MAX_RECORD, endings};

/// Parts that are fetched and opened ahead of the one being written.
const IN_FLIGHT: usize = 4;
/// Most bytes of a list page.
pub(crate) const MAX_PAGE_BODY: usize = 1024 * 1024;

/// Something of this client that asks the server in one account's name.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    /// Signed requests.
    pub connection: &'a Connection,
    /// The pinned organisation.
    pub enrolment: &'a Enrolment,
    /// The account.
    pub account: &'a Account,
    /// Its home, which remembers what recordings' ids name.
    pub home: &'a Home,
}

/// A recording whose statements were fetched and checked.
pub struct RemoteRecording {
    record: RecordingRecord,
    checked: CheckedRecording,
}

/// How complete a recording is, as its statements prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// Its end is sealed and all of it is there.
    Complete,
    /// Its end is missing, or its sealer says that the rest was lost.
    CutOff,
}

/// Where a recording is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutOff {
    /// When it began, by the sealing device's clock.
    pub created: Timestamp,
    /// Until when it was recorded, by the same clock; `None` if no signed statement says so.
    pub until: Option<Timestamp>,
    /// When the server last stored a part of it, as the server says.
    pub last_stored: Timestamp,
    /// Plaintext bytes that can be opened.
    pub bytes: u64,
    /// Why.
    pub why: CutOffReason,
}

/// Why a recording is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutOffReason {
    /// There is no end, or none that the server shows.
    NoEnd,
    /// Its sealer said that the rest was lost.
    RestLost,
    /// This very device sealed its end, the server acknowledged it, and does not show it any more.
    EndHidden {
        /// When it ended.
        ended: Timestamp,
        /// Digest of the final seal, which lies in the home.
        final_seal: Digest,
    },
    /// The server has shown its end to this account before, and does not any more.
    EndForgotten {
        /// Digest of the final seal, as the account's own list names it.
        final_seal: Digest,
    },
}

/// What was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Plaintext bytes.
    pub bytes: u64,
    /// SHA-256 of the plaintext.
    pub sha256: Digest,
    /// Ciphertext parts that were fetched and checked.
    pub parts: u64,
}

/// Finds the recording that a person means: a whole id, or a prefix of one that the server lists for this account.
///
/// # Errors
/// [`ClientError::Usage`], [`ClientError::NotFound`] or [`ClientError::Ambiguous`].
pub async fn resolve_recording(session: Session<'_>, text: &str) -> Result<RecordingId, ClientError> {
    if let Ok(recording) = text.parse() {
        return Ok(recording);
    }
    check_prefix(text, "a recording", RecordingId::BYTES * 2)?;
    let query = format!("prefix={text}");
    let page: RecordingPage =
        session.connection.get_json(wire::path::RECORDINGS, Some(&query), MAX_PAGE_BODY).await?;
    let matches: Vec<RecordingId> = page.recordings.iter().map(|entry| entry.recording).collect();
    only_match(text, "recording", &matches)
}

impl RemoteRecording {
    /// Fetches and checks the statements of `requested`, the id that the caller asked for, and that it names what it named
    /// when it was first opened, verified or sealed here.
    ///
    /// # Errors
    /// [`ClientError::NotFound`], or [`ClientError::Open`] for the first check that fails.
    pub async fn fetch(session: Session<'_>, requested: RecordingId) -> Result<Self, ClientError> {
        let path = wire::path::recording(&requested);
        let record: RecordingRecord = match session.connection.get_json(&path, None, MAX_RECORD).await {
            Err(ClientError::Refused(problem)) if problem.known_code() == Some(ProblemCode::NotFound) => {
                return Err(ClientError::NotFound(format!("recording {requested}")));
            }
            other => other?,
        };
        // What was never sealed is proved by its progress, if it has one; the segments before it stand.
        let seals: Vec<Vec<u8>> = record
            .segments
            .iter()
            .map_while(|segment| segment.seal.clone())
            .map(String::into_bytes)
            .collect();
        let checked = CheckedRecording::check(
            requested,
            session.enrolment.organisation,
            &StoredStatements {
                manifest: record.manifest.as_bytes(),
                credentials: record.credentials.as_bytes(),
                seals: &seals,
                progress: newest_progress(&record, seals.len()),
                final_seal: record.final_seal.as_deref().map(str::as_bytes),
            },
        )?;
        seen::check(session.home, requested, checked.manifest().digest())?;
        Ok(Self { record, checked })
    }

    /// What the accounts of this recording are called in their certificates, as they were at sealing; the organisation's word.
    pub fn labels(&self) -> BTreeMap<AccountId, String> {
        let people = self.checked.readers().iter().chain([self.checked.sealer()]);
        people.filter_map(|member| Some((member.account(), member.certificate().label.clone()?))).collect()
    }

    /// The tracks that have segments to open, ascending, each with its plaintext bytes.
    pub fn tracks(&self) -> BTreeMap<u8, u64> {
        let mut tracks = BTreeMap::new();
        for segment in self.checked.segments() {
            let total: &mut u64 = tracks.entry(segment.track).or_default();
            *total = total.saturating_add(segment.shape.plaintext_length());
        }
        tracks
    }

    /// The checked statements.
    pub const fn checked(&self) -> &CheckedRecording {
        &self.checked
    }

    /// When the server last stored something of it, as the server says.
    pub const fn last_stored(&self) -> Timestamp {
        self.record.last_stored
    }

    /// Whether its end is there.
    pub fn completeness(&self) -> Completeness {
        match self.checked.final_seal().map(|seal| seal.status) {
            Some(RecordingStatus::Complete) => Completeness::Complete,
            Some(RecordingStatus::Recovered) | None => Completeness::CutOff,
        }
    }

    /// Where it is cut off and why; `None` if it is complete. `home` knows the ends that its own device has sealed.
    ///
    /// # Errors
    /// [`ClientError::Disk`].
    pub fn cut_off(&self, home: &Home) -> Result<Option<CutOff>, ClientError> {
        let manifest = self.checked.manifest();
        let why = match self.checked.final_seal().map(|seal| seal.status) {
            Some(RecordingStatus::Complete) => return Ok(None),
            Some(RecordingStatus::Recovered) => CutOffReason::RestLost,
            None => match endings::sealed_here(home, manifest.recording)? {
                // The home is this device's own: what it sealed needs no other proof here.
                Some(end) if end.unverified().manifest == manifest.digest() => {
                    CutOffReason::EndHidden { ended: end.unverified().ended, final_seal: end.digest() }
                }
                _ => match own_list::known_end(home, manifest.recording)? {
                    Some(final_seal) => CutOffReason::EndForgotten { final_seal },
                    None => CutOffReason::NoEnd,
                },
            },
        };
        Ok(Some(CutOff {
            created: manifest.created,
            until: self.checked.recorded_until(),
            last_stored: self.record.last_stored,
            bytes: self.checked.plaintext_length(),
            why,
        }))
    }

    /// The error that says it is cut off, unless it is complete.
    ///
    /// # Errors
    /// [`ClientError::CutOff`].
    pub fn require_complete(&self, home: &Home) -> Result<(), ClientError> {
        self.cut_off(home)?.map_or(Ok(()), |cut_off| Err(ClientError::CutOff(Box::new(cut_off))))
    }

    /// Prepares to open it with the session's identity.
    ///
    /// # Errors
    /// [`ClientError::Open`] if the account is not a reader.
    pub fn opening<'a>(&'a self, session: Session<'a>) -> Result<Opening<'a>, ClientError> {
        Ok(Opening::new(&self.checked, session.account.id, &session.account.identity)?)
    }

    /// Fetches and opens the details; `None` without a final seal, which is what binds them.
    ///
    /// # Errors
    /// [`ClientError::Open`] if they are not those that were sealed.
    pub async fn details(&self, session: Session<'_>) -> Result<Option<Details>, ClientError> {
        Ok(self.details_and_object(session).await?.map(|(details, _)| details))
    }

    /// Fetches the details object, which was seen to open; `None` without a final seal.
    pub(crate) async fn details_object(&self, session: Session<'_>) -> Result<Option<Bytes>, ClientError> {
        Ok(self.details_and_object(session).await?.map(|(_, object)| object))
    }

    async fn details_and_object(
        &self,
        session: Session<'_>,
    ) -> Result<Option<(Details, Bytes)>, ClientError> {
        if self.checked.final_seal().is_none() {
            return Ok(None);
        }
        let opening = self.opening(session)?;
        let path = wire::path::details(&self.checked.manifest().recording);
        let object = stored(session.connection, &path, MAX_DETAILS, || "its details".to_owned()).await?;
        Ok(Some((opening.details(&object)?, object)))
    }

    /// The statements that were checked, as the server has them, each under the name that FORMAT.md gives it ("Objects of a
    /// recording", without `rec/<id>/`).
    pub(crate) fn statements(&self) -> Vec<(String, Vec<u8>)> {
        let RecordingRecord { manifest, credentials, segments, final_seal, .. } = &self.record;
        let mut files = vec![
            ("manifest".to_owned(), manifest.clone().into_bytes()),
            ("credentials".to_owned(), credentials.clone().into_bytes()),
        ];
        let sealed = self.checked.seals().len();
        for (index, seal) in
            (0u32..).zip(segments.iter().take(sealed).filter_map(|segment| segment.seal.clone()))
        {
            files.push((objects::of_segment(index, "seal"), seal.into_bytes()));
        }
        match final_seal {
            Some(seal) => files.push(("final".to_owned(), seal.clone().into_bytes())),
            None => {
                let growing = self
                    .checked
                    .segments()
                    .iter()
                    .find(|segment| !segment.sealed)
                    .map(|segment| segment.index);
                if let (Some(index), Some(progress)) = (growing, newest_progress(&self.record, sealed)) {
                    files.push((objects::of_segment(index, "progress"), progress.to_vec()));
                }
            }
        }
        files
    }

    /// Its entry in an account's own list.
    pub(crate) fn entry(&self) -> ListEntry {
        let manifest = self.checked.manifest();
        ListEntry {
            recording: manifest.recording,
            manifest: manifest.digest(),
            final_seal: self.checked.final_seal().map(Verified::digest),
        }
    }

    /// Generation of a segment's current header, as the server says.
    pub(crate) fn header_generation(&self, segment: u32) -> u32 {
        let segment = usize::try_from(segment).ok().and_then(|segment| self.record.segments.get(segment));
        segment.map_or(0, |segment| segment.header_generation)
    }

    /// Opens every sealed segment in order, or those of one track, and writes the plaintext to `out`, calling `on_progress`
    /// with each number of bytes written. `out` gets only checked bytes; on an error it holds a beginning of what was asked for.
    /// Without `track` the tracks of a recording that has several follow each other as they were sealed: good for checking, not
    /// for keeping.
    ///
    /// From the first call on, this home knows what the recording's id names.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Disk`] with the path `output` if `out` fails.
    pub async fn write_to(
        &self,
        session: Session<'_>,
        track: Option<u8>,
        out: &mut (dyn Write + Send),
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Opened, ClientError> {
        let opening = self.opening(session)?;
        // A server that edited the details must not be noticed only by those who look at titles.
        self.details(session).await?;
        let manifest = self.checked.manifest();
        seen::remember(session.home, manifest.recording, manifest.digest())?;
        let mut opened = Progress { hash: Sha256::new(), bytes: 0, parts: 0 };
        let wanted = |proven: &ProvenSegment| track.is_none_or(|track| track == proven.track);
        for proven in self.checked.segments().into_iter().filter(wanted) {
            self.write_segment(session, &opening, &proven, out, &mut opened, on_progress).await?;
        }
        out.flush().map_err(output_failed)?;
        Ok(Opened {
            bytes: opened.bytes,
            sha256: Digest::from_bytes(opened.hash.finalize().into()),
            parts: opened.parts,
        })
    }

    async fn write_segment(
        &self,
        session: Session<'_>,
        opening: &Opening<'_>,
        proven: &ProvenSegment,
        out: &mut (dyn Write + Send),
        opened: &mut Progress,
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), ClientError> {
        let recording = self.checked.manifest().recording;
        let started = start_segment(session.connection, opening, proven).await?;
        let (opener, first, shape) = (Arc::new(started.opener), started.first, proven.shape);
        let plaintext = open_part(&opener, 0, first).await?;
        opened.write(&plaintext, out, on_progress)?;
        let rest = (1..shape.parts()).map(|part| {
            let opener = Arc::clone(&opener);
            async move {
                let length = shape.part_length(part);
                let ciphertext =
                    fetch_part(session.connection, &recording, proven.index, part, length).await?;
                open_part(&opener, part, ciphertext).await
            }
        });
        let mut rest = std::pin::pin!(stream::iter(rest).buffered(IN_FLIGHT));
        while let Some(plaintext) = rest.next().await {
            opened.write(&plaintext?, out, on_progress)?;
        }
        Ok(())
    }
}

/// The progress of the segment after the `sealed` ones, or of the last of these.
fn newest_progress(record: &RecordingRecord, sealed: usize) -> Option<&[u8]> {
    let growing = record.segments.get(sealed);
    let newest = growing.or_else(|| record.segments.get(sealed.checked_sub(1)?))?;
    newest.progress.as_deref().map(str::as_bytes)
}

/// A segment whose header and part list were fetched and checked.
pub(crate) struct StartedSegment {
    /// Its header, as the server has it.
    pub(crate) header: Bytes,
    /// Its part hash list; of a segment that was never sealed it may be longer than what is proved.
    pub(crate) hashes: Bytes,
    /// Opens its parts.
    pub(crate) opener: PartOpener,
    /// Part 0, still sealed: it was fetched for the payload nonce in it.
    pub(crate) first: Vec<u8>,
}

/// Fetches what a segment begins with, and prepares to open its parts.
pub(crate) async fn start_segment(
    connection: &Connection,
    opening: &Opening<'_>,
    proven: &ProvenSegment,
) -> Result<StartedSegment, ClientError> {
    let recording = opening.recording().manifest().recording;
    let path = wire::path::header(&recording, proven.index);
    let missing = || format!("the header of segment {}", proven.index);
    let header = stored(connection, &path, MAX_SEALED_HEADER, missing).await?;
    let path = wire::path::parts(&recording, proven.index);
    let missing = || format!("the list of parts of segment {}", proven.index);
    let hashes = stored(connection, &path, 32 * MAX_PARTS as usize, missing).await?;
    // All that a segment begins with is here before a key is touched: the server cannot see which header opens.
    let first = fetch_part(connection, &recording, proven.index, 0, proven.shape.part_length(0)).await?;
    let opener = opening.segment(proven, &header, &hashes)?.start(&first)?;
    Ok(StartedSegment { header, hashes, opener, first })
}

/// Running totals of what was opened.
struct Progress {
    hash: Sha256,
    bytes: u64,
    parts: u64,
}

impl Progress {
    fn write(
        &mut self,
        plaintext: &[u8],
        out: &mut dyn Write,
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), ClientError> {
        // The caller's output is a file or a pipe; a write to it is short next to fetching and opening a part.
        out.write_all(plaintext).map_err(output_failed)?;
        self.hash.update(plaintext);
        self.bytes += plaintext.len() as u64;
        self.parts += 1;
        on_progress(plaintext.len() as u64);
        Ok(())
    }
}

fn output_failed(source: io::Error) -> ClientError {
    ClientError::Disk { path: "output".into(), source }
}

pub(crate) async fn fetch_part(
    connection: &Connection,
    recording: &RecordingId,
    segment: u32,
    part: u32,
    length: u64,
) -> Result<Vec<u8>, ClientError> {
    let first = geometry::part_offset(part);
    let last = first + length.saturating_sub(1);
    let path = wire::path::body(recording, segment);
    // Whatever comes is checked against the signed hash; only its size is limited here.
    let body = connection.get_stored(&path, Some((first, last)), geometry::MAX_PART).await?;
    Ok(body.ok_or_else(|| missing(&format!("segment {segment}, part {part}")))?.into())
}

/// Fetches what a recording whose statements were served must have.
pub(crate) async fn stored(
    connection: &Connection,
    path: &str,
    limit: usize,
    what: impl FnOnce() -> String,
) -> Result<Bytes, ClientError> {
    let body = connection.get_stored(path, None, limit).await?;
    body.ok_or_else(|| missing(&what()))
}

/// The statements prove that it was there; a server that hands them out and not this has lost it, or keeps it back.
fn missing(what: &str) -> ClientError {
    Refusal::Damaged(format!("the server does not have {what}")).into()
}

pub(crate) async fn open_part(
    opener: &Arc<PartOpener>,
    part: u32,
    ciphertext: Vec<u8>,
) -> Result<Zeroizing<Vec<u8>>, ClientError> {
    let opener = Arc::clone(opener);
    let opened = spawn_blocking(move || opener.open(part, ciphertext).map(Zeroizing::new));
    Ok(opened.await.map_err(|error| ClientError::Bug(error.to_string()))??)
}
