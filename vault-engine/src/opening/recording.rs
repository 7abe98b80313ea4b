//! Fetching a recording, checking it and opening it; nothing is handed on before its own check (FORMAT.md, "Opening").

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_lock::OnceCell;
use bytes::Bytes;
use futures_util::future;
use futures_util::stream::{self, StreamExt as _};
use sha2::{Digest as _, Sha256};
use vault_core::details::Details;
use vault_core::opening::Opening;
use vault_core::recording_key::{RecordingKey, check_reader};
use vault_core::track_release::TrackRelease;
use vault_proto::envelope::Verified;
use vault_proto::ids::{AccountId, Digest, RecordingId};
use vault_proto::key_chain::KeyListChain;
use vault_proto::key_object::MAX_KEY_OBJECT;
use vault_proto::named_statements::NamedStatements;
use vault_proto::object::Object;
use vault_proto::problem::ProblemCode;
use vault_proto::recording::{
    CheckedManifest, CheckedRecording, ProvenSegment, StoredStatements, claimed_manifest,
};
use vault_proto::recording_list::{Learnt, ListEntry, Shown};
use vault_proto::statements::{Manifest, RecordingStatus};
use vault_proto::timestamp::Timestamp;
use vault_proto::trust::Known;
use vault_proto::wire::{self, MAX_DETAILS, RecordingPage, RecordingRecord};

use super::parts::{fetch_part, open_part, start_segment, stored};
use super::plaintext_sink::PlaintextSink;
use crate::error::{ClientError, CutOff, CutOffReason};
use crate::home::Home;
use crate::home::endings;
use crate::home::own_list;
use crate::home::pins;
use crate::server::recording::MAX_RECORD;
use crate::session::Session;
use crate::trust::directory::{self, check_prefix, only_match};

/// Parts that are fetched and opened ahead of the one being written.
const IN_FLIGHT: usize = 4;
/// Most bytes of a list page.
pub(crate) const MAX_PAGE_BODY: usize = 1024 * 1024;

/// A recording whose statements were fetched and checked.
pub struct RemoteRecording {
    record: RecordingRecord,
    /// The statements that its manifest names.
    named: NamedStatements,
    checked: CheckedRecording,
    /// The key object, once it was asked for.
    key_object: OnceCell<Bytes>,
    /// The details, opened, and their object, once they were asked for.
    details: OnceCell<Option<(Details, Bytes)>>,
    /// Whether it was known with another end, which this one names as superseded.
    has_other_end: bool,
}

/// How complete a recording is, as its statements prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// Its end is sealed and all of it is there.
    Complete,
    /// Its end is missing, or its sealer says that the rest was lost.
    CutOff,
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
pub async fn resolve_recording(session: &Session, text: &str) -> Result<RecordingId, ClientError> {
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

/// Whether a text can name a recording: a whole id, or the beginning of one. Asks nobody.
///
/// # Errors
/// [`ClientError::Usage`].
pub fn require_id(text: &str) -> Result<(), ClientError> {
    if text.parse::<RecordingId>().is_ok() {
        return Ok(());
    }
    check_prefix(text, "a recording", RecordingId::BYTES * 2)
}

/// What this home has seen of those that a recording names.
async fn known_of_parties(session: &Session, manifest: &Manifest) -> Result<Known, ClientError> {
    pins::known(&session.home, session.enrolment.organisation, manifest.participants().all()).await
}

/// Whom a person was shown something of, and who was looked up for it: each sealer once, however many recordings there
/// are.
#[derive(Default)]
pub(super) struct Met(Mutex<HashMap<AccountId, KeyListChain>>);

impl Met {
    async fn meet(&self, session: &Session, account: AccountId) -> Result<KeyListChain, ClientError> {
        let met = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chain) = met().get(&account) {
            return Ok(chain.clone());
        }
        let chain = directory::meet(session, account).await?;
        met().insert(account, chain.clone());
        Ok(chain)
    }
}

impl RemoteRecording {
    /// Fetches and checks the statements of `requested`, the id that the caller asked for, and that they agree with
    /// what this account knows of it: an id names one recording for good, and a recording has one end.
    ///
    /// # Errors
    /// [`ClientError::NotFound`], or [`ClientError::Open`] for the first check that fails.
    pub async fn fetch(session: &Session, requested: RecordingId) -> Result<Self, ClientError> {
        let mut remote = Self::fetch_unknown(session, requested, &Met::default()).await?;
        remote.has_other_end = own_list::check(&session.home, remote.shown()).await? == Learnt::OtherEnd;
        Ok(remote)
    }

    /// As [`Self::fetch`], for whoever compares all that is shown with the account's list at once.
    pub(super) async fn fetch_unknown(
        session: &Session,
        requested: RecordingId,
        met: &Met,
    ) -> Result<Self, ClientError> {
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
        let organisation = session.enrolment.organisation;
        // Nothing is asked for because of a manifest that is another one than was asked for.
        let claimed = claimed_manifest(requested, organisation, record.manifest.as_bytes())?;
        let claimed = claimed.unverified();
        let named = session.statements.named(&session.connection, &claimed.named_statements()).await?;
        let mut known = known_of_parties(session, claimed).await?;
        let stored = StoredStatements {
            manifest: record.manifest.as_bytes(),
            named: &named,
            seals: &seals,
            progress: newest_progress(&record, seals.len()),
            final_seal: record.final_seal.as_deref().map(str::as_bytes),
        };
        if !own_list::names(&session.home, requested).await? {
            // Whoever would not be entitled by what is known already is not asked for.
            let manifest =
                CheckedManifest::check(requested, organisation, stored.manifest, stored.named, &known)?;
            let sealer = manifest.sealer().account();
            if sealer != session.account.id {
                known.learn_key_lists(sealer, met.meet(session, sealer).await?);
            }
        }
        let checked = CheckedRecording::check(requested, organisation, &stored, &known)?;
        let (key_object, details) = (OnceCell::new(), OnceCell::new());
        Ok(Self { record, named, checked, key_object, details, has_other_end: false })
    }

    /// Whether this account knew it with another end, which this one names as superseded: its sealer had lost what that
    /// one was signed over. People are told.
    pub const fn has_other_end(&self) -> bool {
        self.has_other_end
    }

    /// What the accounts of this recording are called in their certificates, as they were at sealing; the
    /// organisation's word.
    pub fn labels(&self) -> BTreeMap<AccountId, String> {
        let people = self.checked.readers().iter().chain([self.checked.sealer()]);
        people.filter_map(|member| Some((member.account(), member.certificate().label.clone()?))).collect()
    }

    /// The tracks that can be opened, ascending, each with its plaintext bytes: as the details say, which are fetched
    /// for it; without a final seal all that its segments hold.
    ///
    /// # Errors
    /// As [`Self::details`].
    pub async fn tracks(&self, session: &Session) -> Result<BTreeMap<u8, u64>, ClientError> {
        Ok(match self.details(session).await? {
            Some(details) => details.tracks.iter().map(|track| (track.track, track.bytes)).collect(),
            None => self.checked.held_by_track(),
        })
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
    pub async fn cut_off(&self, home: &Home) -> Result<Option<CutOff>, ClientError> {
        let manifest = self.checked.manifest();
        let why = match self.checked.final_seal().map(|seal| seal.status) {
            Some(RecordingStatus::Complete) => return Ok(None),
            Some(RecordingStatus::Recovered) => CutOffReason::RestLost,
            None => match endings::sealed_here(home, manifest.recording).await? {
                // The home is this device's own: what it sealed needs no other proof here.
                Some(end) if end.unverified().manifest == manifest.digest() => {
                    CutOffReason::EndHidden { ended: end.unverified().ended, final_seal: end.digest() }
                }
                _ => match own_list::known_end(home, manifest.recording).await? {
                    Some(final_seal) => CutOffReason::EndForgotten { final_seal },
                    None => CutOffReason::NoEnd,
                },
            },
        };
        Ok(Some(CutOff {
            created: manifest.created,
            until: self.checked.recorded_until(),
            last_stored: self.record.last_stored,
            bytes: self.known_bytes(),
            why,
        }))
    }

    /// Plaintext bytes of all tracks; where nobody has asked for the details, padding is among them.
    fn known_bytes(&self) -> u64 {
        match self.details.get() {
            Some(Some((details, _))) => details.tracks.iter().map(|track| track.bytes).sum(),
            _ => self.checked.plaintext_length(),
        }
    }

    /// Whether it was begun and nothing of it is there to open, as far as this account knows: no end hides behind that
    /// which it has seen before.
    ///
    /// # Errors
    /// [`ClientError::Disk`].
    pub async fn holds_nothing(&self, home: &Home) -> Result<bool, ClientError> {
        Ok(self.checked.plaintext_length() == 0 && self.cut_off(home).await?.is_some_and(|at| at.is_empty()))
    }

    /// The error that says it is cut off, unless it is complete.
    ///
    /// # Errors
    /// [`ClientError::CutOff`].
    pub async fn require_complete(&self, home: &Home) -> Result<(), ClientError> {
        self.cut_off(home).await?.map_or(Ok(()), |cut_off| Err(ClientError::CutOff(Box::new(cut_off))))
    }

    /// Whether the session's account reads it. Asks nobody.
    ///
    /// # Errors
    /// [`ClientError::Open`] if not.
    pub fn check_reader(&self, session: &Session) -> Result<(), ClientError> {
        Ok(check_reader(&self.checked, session.account.id, &session.account.identity)?)
    }

    /// Fetches its key object, once.
    ///
    /// # Errors
    /// [`ClientError::Open`] if the server does not have it.
    pub async fn key_object(&self, session: &Session) -> Result<Bytes, ClientError> {
        let fetch = async || {
            let path = wire::path::key(&self.checked.manifest().recording, 0);
            stored(&session.connection, &path, MAX_KEY_OBJECT, || "its key".to_owned()).await
        };
        self.key_object.get_or_try_init(fetch).await.cloned()
    }

    /// Opens its key with the session's identity.
    ///
    /// # Errors
    /// [`ClientError::Open`] if the account is not a reader, or for a check that fails.
    pub async fn key(&self, session: &Session) -> Result<RecordingKey, ClientError> {
        // Who is no reader is told so, whatever the server has.
        self.check_reader(session)?;
        let object = self.key_object(session).await?;
        Ok(RecordingKey::open(&self.checked, session.account.id, &session.account.identity, &object)?)
    }

    /// Fetches and opens the details, once; `None` without a final seal, which is what binds them.
    ///
    /// # Errors
    /// [`ClientError::Open`] if they are not those that were sealed.
    pub async fn details(&self, session: &Session) -> Result<Option<&Details>, ClientError> {
        Ok(self.details_and_object(session).await?.map(|(details, _)| details))
    }

    /// The details object, which was seen to open; `None` without a final seal.
    ///
    /// # Errors
    /// As [`Self::details`].
    pub async fn details_object(&self, session: &Session) -> Result<Option<Bytes>, ClientError> {
        Ok(self.details_and_object(session).await?.map(|(_, object)| object.clone()))
    }

    async fn details_and_object(&self, session: &Session) -> Result<Option<&(Details, Bytes)>, ClientError> {
        Ok(self.details.get_or_try_init(async || self.fetch_details(session).await).await?.as_ref())
    }

    async fn fetch_details(&self, session: &Session) -> Result<Option<(Details, Bytes)>, ClientError> {
        if self.checked.final_seal().is_none() {
            return Ok(None);
        }
        self.check_reader(session)?;
        let path = wire::path::details(&self.checked.manifest().recording);
        let object = stored(&session.connection, &path, MAX_DETAILS, || "its details".to_owned());
        let (key, object) = future::join(self.key(session), object).await;
        let (key, object) = (key?, object?);
        Ok(Some((Opening::new(&self.checked, &key).details(&object)?, object)))
    }

    /// The statements that its manifest names, as the server has them: each has the digest under which it lies.
    pub const fn named_statements(&self) -> &NamedStatements {
        &self.named
    }

    /// The recording's own statements, which were checked, as the server has them.
    pub fn statements(&self) -> Vec<(Object, Vec<u8>)> {
        let RecordingRecord { manifest, segments, final_seal, .. } = &self.record;
        let mut files = vec![(Object::Manifest, manifest.clone().into_bytes())];
        let sealed = self.checked.seals().len();
        for (index, seal) in
            (0u32..).zip(segments.iter().take(sealed).filter_map(|segment| segment.seal.clone()))
        {
            files.push((Object::Seal { segment: index }, seal.into_bytes()));
        }
        match final_seal {
            Some(seal) => files.push((Object::Final, seal.clone().into_bytes())),
            None => {
                let growing = self
                    .checked
                    .segments()
                    .iter()
                    .find(|segment| !segment.sealed)
                    .map(|segment| segment.index);
                if let (Some(index), Some(progress)) = (growing, newest_progress(&self.record, sealed)) {
                    files.push((Object::Progress { segment: index }, progress.to_vec()));
                }
            }
        }
        files
    }

    /// Its entry in an account's own list.
    pub fn entry(&self) -> ListEntry {
        let manifest = self.checked.manifest();
        ListEntry {
            recording: manifest.recording,
            manifest: manifest.digest(),
            final_seal: self.checked.final_seal().map(Verified::digest),
        }
    }

    /// What is shown of it, to be held against an account's own list.
    pub fn shown(&self) -> Shown {
        let supersedes = self.checked.final_seal().and_then(|final_seal| final_seal.supersedes);
        Shown { entry: self.entry(), supersedes }
    }

    /// Opens every sealed segment in order, or those of one track, and writes the plaintext to `out`, calling
    /// `on_progress` with each number of bytes written. `out` gets only checked bytes and no padding, and the last
    /// bytes of a track only once its SHA-256 fits; on an error it holds a beginning of what was asked for. Without
    /// `track` the tracks of a recording that has several follow each other as they were sealed: good for checking, not
    /// for keeping.
    ///
    /// From the first call on, the account's own list names the recording as it was shown.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Output`] if `out` fails.
    pub async fn write_to(
        &self,
        session: &Session,
        track: Option<u8>,
        out: &mut dyn PlaintextSink,
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Opened, ClientError> {
        // Before any segment: they say where the tracks end.
        let details = self.details(session).await?;
        let key = self.key(session).await?;
        let opening = Opening::new(&self.checked, &key);
        own_list::know(&session.home, &session.account, self.shown()).await?;
        let segments = self.checked.segments();
        let wanted = |proven: &ProvenSegment| track.is_none_or(|track| track == proven.track);
        let tracks: BTreeSet<u8> =
            segments.iter().filter(|proven| wanted(proven)).map(|proven| proven.track).collect();
        let mut opened = Progress {
            release: TrackRelease::new(details),
            several: (tracks.len() > 1).then(Sha256::new),
            bytes: 0,
            parts: 0,
        };
        for proven in segments.into_iter().filter(wanted) {
            self.write_segment(session, &opening, &proven, out, &mut opened, on_progress).await?;
        }
        out.flush().map_err(ClientError::Output)?;
        let sha256 = match opened.several {
            Some(hash) => Digest::from_bytes(hash.finalize().into()),
            None => opened.release.sha256(tracks.first().copied().unwrap_or_default()),
        };
        Ok(Opened { bytes: opened.bytes, sha256, parts: opened.parts })
    }

    async fn write_segment(
        &self,
        session: &Session,
        opening: &Opening<'_>,
        proven: &ProvenSegment,
        out: &mut dyn PlaintextSink,
        opened: &mut Progress,
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), ClientError> {
        let recording = self.checked.manifest().recording;
        let started = start_segment(&session.connection, opening, proven).await?;
        let (opener, first, shape) = (Arc::new(started.opener), started.first, proven.shape);
        let plaintext = open_part(session.effects(), &opener, 0, first).await?;
        opened.write(proven.track, &plaintext, out, on_progress)?;
        let rest = (1..shape.parts()).map(|part| {
            let opener = Arc::clone(&opener);
            async move {
                let ciphertext = fetch_part(&session.connection, &recording, proven, part).await?;
                open_part(session.effects(), &opener, part, ciphertext).await
            }
        });
        let mut rest = std::pin::pin!(stream::iter(rest).buffered(IN_FLIGHT));
        while let Some(plaintext) = rest.next().await {
            opened.write(proven.track, &plaintext?, out, on_progress)?;
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

/// Running totals of what was opened.
struct Progress {
    release: TrackRelease,
    /// The hash of all of several tracks together; that of a single one is known without it.
    several: Option<Sha256>,
    bytes: u64,
    parts: u64,
}

impl Progress {
    /// Writes what is released of the next part of a track.
    fn write(
        &mut self,
        track: u8,
        plaintext: &[u8],
        out: &mut dyn PlaintextSink,
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), ClientError> {
        let released = self.release.next(track, plaintext)?;
        let released = plaintext.get(..released).unwrap_or_default();
        // The caller's output is a file or a pipe; a write to it is short next to fetching and opening a part.
        out.write(released).map_err(ClientError::Output)?;
        if let Some(hash) = &mut self.several {
            hash.update(released);
        }
        self.bytes += released.len() as u64;
        self.parts += 1;
        on_progress(released.len() as u64);
        Ok(())
    }
}
