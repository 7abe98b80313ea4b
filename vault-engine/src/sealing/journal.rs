//! The journal of an upload: what a later process needs to bring it to an end where this one died.
//!
//! One JSON document a line, appended. It holds no key: a segment whose process died is sealed as far as its parts are
//! there and never continued. Each line is durable before what it names is sent, so nothing is ever signed twice; only
//! in place of what was signed over parts that are lost there is another, which names it. A line that was torn by a
//! crash is left out, and so is whatever does not follow on the lines before it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vault_core::sealing::SegmentStart;
use vault_proto::base64;
use vault_proto::envelope::Envelope;
use vault_proto::geometry::{BodyEnd, PartChunks};
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::named_statements::NamedStatements;
use vault_proto::statements::{FinalSeal, Manifest, SegmentSeal};
use vault_proto::wire::{CreateRecording, OpenSegment};

use crate::effects::{Change, Lock, Locking};
use crate::error::ClientError;
use crate::home::Home;

/// A file that is being sealed, told apart from others and from itself after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Absolute path, as text.
    pub path: String,
    /// Bytes.
    pub length: u64,
    /// Seconds and nanoseconds of its last change.
    pub modified: (u64, u32),
}

/// First line: what the upload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begin {
    /// The server.
    pub(crate) server: String,
    /// The file, or null for what is recorded live, which no later process can read again.
    pub(crate) source: Option<SourceFile>,
    /// The manifest.
    pub(crate) manifest: Envelope<Manifest>,
    /// The key object of generation 0, in base64.
    pub(crate) key: String,
    /// The recording's recipient: what seals is public, and what opens is in the key object alone.
    pub(crate) recipient: String,
    /// The statements that the manifest names, as envelopes.
    pub(crate) statements: Vec<String>,
    /// The title, in an age file to the account's own identity, in base64; null if there is none.
    pub(crate) title: Option<String>,
    /// Whether the source came in real time, so that tracks are as long as it took to record them.
    pub(crate) real_time: bool,
    /// Whether its tracks are padded.
    pub(crate) pad: bool,
}

impl Begin {
    /// What the server is asked for.
    pub(crate) fn to_create(&self) -> CreateRecording {
        let Self { manifest, key, statements, .. } = self;
        CreateRecording { manifest: manifest.clone(), key: key.clone(), statements: statements.clone() }
    }

    /// The statements that the manifest names.
    pub(crate) fn named(&self) -> NamedStatements {
        let mut named = NamedStatements::default();
        for envelope in &self.statements {
            // What is none is missing from what is named.
            named.insert_any(envelope.as_bytes());
        }
        named
    }
}

/// A track that begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrackLine {
    pub(crate) track: u8,
    pub(crate) media_type: String,
    /// Recorded milliseconds before it.
    pub(crate) from_ms: u64,
}

/// A segment, before its first part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SegmentLine {
    pub(crate) index: u32,
    pub(crate) track: u8,
    pub(crate) part_chunks: PartChunks,
    /// Its header, in base64.
    pub(crate) header: String,
    /// SHA-256 of its header.
    pub(crate) header_digest: Digest,
}

impl SegmentLine {
    pub(crate) const fn start(&self) -> SegmentStart {
        let Self { index, track, part_chunks, header_digest: header, .. } = *self;
        SegmentStart { index, track, part_chunks, header }
    }

    /// What the server is asked for.
    pub(crate) fn to_open(&self) -> OpenSegment {
        OpenSegment { track: self.track, part_chunks: self.part_chunks, header: self.header.clone() }
    }
}

/// A part, before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartLine {
    pub(crate) segment: u32,
    pub(crate) part: u32,
    /// SHA-256 of its ciphertext.
    pub(crate) hash: Digest,
    /// Ciphertext bytes.
    pub(crate) length: usize,
    /// Plaintext bytes of the recording up to its end, without padding.
    pub(crate) until_bytes: u64,
    /// How many of its last plaintext bytes are padding.
    pub(crate) padding: u64,
    /// SHA-256 of the whole source up to the end of this part: a changed source is not spliced.
    pub(crate) source_hash: Digest,
    /// Whether the segment ends with it.
    pub(crate) end: Option<BodyEnd>,
    /// Recorded milliseconds up to its end.
    pub(crate) until_ms: u64,
    /// When its last byte was recorded, in milliseconds since 1970.
    pub(crate) at_ms: u64,
}

/// The end, before it is sent. There is a second one only if parts were lost that the first counts, and it names that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndLine {
    /// The details object, in base64.
    pub(crate) details: String,
    /// The final seal.
    pub(crate) final_seal: Envelope<FinalSeal>,
}

impl EndLine {
    /// The details object.
    pub(super) fn details_object(&self) -> Result<Vec<u8>, ClientError> {
        base64::decode(&self.details)
            .ok_or_else(|| ClientError::Bug("the journal's details are not base64".to_owned()))
    }
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Begin(Box<Begin>),
    Track(TrackLine),
    Segment(Box<SegmentLine>),
    Part(PartLine),
    Seal(Box<Envelope<SegmentSeal>>),
    End(Box<EndLine>),
}

/// A journal that this process writes; locked against others.
pub(super) struct Journal {
    home: Home,
    recording: RecordingId,
    /// When something was last recorded, if that was before this process, in milliseconds since 1970: lines of its own
    /// do not change it.
    alive_ms: Option<u64>,
    /// Whether a line may be there in part: a store that failed may have failed to say so, too.
    is_torn: AtomicBool,
    _lock: Lock,
}

/// What a journal says.
#[derive(Debug, Clone)]
pub(super) struct Past {
    pub(crate) begin: Begin,
    pub(crate) tracks: Vec<TrackLine>,
    /// The segments, by their index.
    pub(crate) segments: Vec<PastSegment>,
    /// The end, if it was reached.
    pub(crate) end: Option<EndLine>,
    /// The newest seal that was signed for each number of a segment, whatever became of it.
    pub(crate) signed_seals: BTreeMap<u32, Digest>,
    /// The newest final seal that was signed.
    pub(crate) signed_end: Option<Digest>,
    /// When something was last recorded, in milliseconds since 1970.
    pub(crate) last_alive_ms: u64,
}

/// A segment that was begun.
#[derive(Debug, Clone)]
pub(super) struct PastSegment {
    pub(crate) line: SegmentLine,
    /// Its parts, from part 0 without a gap.
    pub(crate) parts: Vec<PartLine>,
    /// Its seal, if it was signed.
    pub(crate) seal: Option<Envelope<SegmentSeal>>,
}

impl Past {
    /// The recording.
    pub(super) fn recording(&self) -> RecordingId {
        self.begin.manifest.unverified().recording
    }

    /// Recorded time, without pauses: up to the last part, and from its end until something was last recorded.
    pub(crate) fn recorded(&self) -> Duration {
        let last = self.segments.iter().rev().find_map(|segment| segment.parts.last());
        let (until_ms, at_ms) = last.map_or((0, created_ms(&self.begin)), |last| (last.until_ms, last.at_ms));
        Duration::from_millis(until_ms.saturating_add(self.last_alive_ms.saturating_sub(at_ms)))
    }

    /// Takes a line in; `None` if it does not follow on the ones before. A line that was tried again after a failure,
    /// and had been written all the same, says nothing new.
    fn take(&mut self, line: Line) -> Option<()> {
        match line {
            Line::Begin(_) => return None,
            Line::Track(track) => self.tracks.push(track),
            Line::Segment(line) => {
                if self.segments.last().is_some_and(|last| last.line == *line) {
                    return Some(());
                }
                // A segment of which nothing could be sealed is begun anew, with another key.
                self.segments.truncate(usize::try_from(line.index).ok()?);
                let previous_sealed = self.segments.last().is_none_or(|last| last.seal.is_some());
                if self.segments.len() != usize::try_from(line.index).ok()? || !previous_sealed {
                    return None;
                }
                // It goes on in spite of an end: parts were lost that this counts.
                self.end = None;
                self.segments.push(PastSegment { line: *line, parts: Vec::new(), seal: None });
            }
            Line::Part(part) => {
                let segment = self.segments.last_mut().filter(|last| last.line.index == part.segment)?;
                if segment.parts.get(usize::try_from(part.part).ok()?) == Some(&part) {
                    return Some(());
                }
                if segment.seal.is_some() || segment.parts.len() != usize::try_from(part.part).ok()? {
                    return None;
                }
                segment.parts.push(part);
            }
            Line::Seal(seal) => {
                let SegmentSeal { index, supersedes, .. } = *seal.unverified();
                let place = usize::try_from(index).ok()?;
                let is_last = self.segments.len() == place + 1;
                let segment = self.segments.get_mut(place)?;
                if segment.seal.as_ref() == Some(&*seal) {
                    return Some(());
                }
                if supersedes != self.signed_seals.get(&index).copied()
                    || (segment.seal.is_none() && !is_last)
                {
                    return None;
                }
                self.signed_seals.insert(index, seal.digest());
                if segment.seal.replace(*seal).is_some() {
                    // What was recorded behind it follows on the one that is superseded.
                    self.segments.truncate(place + 1);
                    self.end = None;
                }
            }
            Line::End(end) => {
                if self.end.as_ref() == Some(&*end) {
                    return Some(());
                }
                if end.final_seal.unverified().supersedes != self.signed_end {
                    return None;
                }
                self.signed_end = Some(end.final_seal.digest());
                self.end = Some(*end);
            }
        }
        Some(())
    }
}

const FOLDER: &str = "uploads/";
const ENDING: &str = ".journal";

/// Journals of a home, as far as this process may take them.
#[derive(Default)]
pub(super) struct Found {
    /// A journal that fits, locked, with what it says.
    pub journal: Option<(Journal, Past)>,
    /// A recording whose journal fits too, but another process holds it.
    pub busy: Option<RecordingId>,
}

fn key(recording: RecordingId) -> String {
    format!("{FOLDER}{recording}{ENDING}")
}

fn lock_name(recording: RecordingId) -> String {
    format!("{FOLDER}{recording}")
}

impl Journal {
    /// The lock under which a recording is sealed. `None` while another process holds it.
    async fn lock(home: &Home, recording: RecordingId) -> Result<Option<Lock>, ClientError> {
        home.effects().lock(&lock_name(recording), Locking::Try).await
    }

    /// Starts the journal of a new upload, durably, together with `changes`.
    pub(crate) async fn create(
        home: &Home,
        begin: &Begin,
        mut changes: Vec<Change>,
    ) -> Result<Self, ClientError> {
        let recording = begin.manifest.unverified().recording;
        let taken = || ClientError::Bug("another process took a journal that was just made".to_owned());
        let lock = Self::lock(home, recording).await?.ok_or_else(taken)?;
        let line = encode(&Line::Begin(Box::new(begin.clone())))?;
        // The journal comes first: it names the manifest's number even if nothing else is there.
        changes.insert(0, Change::Put(key(recording), line.into()));
        home.commit(changes).await?;
        Ok(Self {
            home: home.clone(),
            recording,
            alive_ms: None,
            is_torn: AtomicBool::new(false),
            _lock: lock,
        })
    }

    /// Opens the newest journal that `fits` and that no other process holds, with what it says.
    pub(super) async fn find(home: &Home, fits: impl Fn(&Past) -> bool) -> Result<Found, ClientError> {
        let mut found = Found::default();
        for recording in journals(home).await?.into_iter().rev() {
            let Some((past, _)) = read(home, recording, 0).await?.filter(|(past, _)| fits(past)) else {
                continue;
            };
            match Self::take(home, recording).await? {
                Taken::Journal(journal, past) if fits(&past) => {
                    found.journal = Some((journal, *past));
                    return Ok(found);
                }
                Taken::Busy => found.busy = Some(past.recording()),
                Taken::Journal(..) | Taken::Finished => {}
            }
        }
        Ok(found)
    }

    /// Locks a journal, then reads it: what another process wrote until it died is in it.
    async fn take(home: &Home, recording: RecordingId) -> Result<Taken, ClientError> {
        let Some(lock) = Self::lock(home, recording).await? else {
            return Ok(Taken::Busy);
        };
        let names = home.names(&key(recording)).await?;
        let Some(alive_ms) = names.first().map(|name| name.changed_ms) else {
            return Ok(Taken::Finished);
        };
        let Some((past, (understood, length))) = read(home, recording, alive_ms).await? else {
            return Ok(Taken::Finished);
        };
        if understood < length {
            // What is not understood would swallow the next line.
            let cut = Change::Truncate(key(recording), understood);
            home.commit(vec![cut, Change::Touch(key(recording), alive_ms)]).await?;
        }
        let journal = Self {
            home: home.clone(),
            recording,
            alive_ms: Some(alive_ms),
            is_torn: AtomicBool::new(false),
            _lock: lock,
        };
        Ok(Taken::Journal(journal, Box::new(past)))
    }

    /// All journals that no other process holds, oldest first, and how many another one does.
    pub(super) async fn take_all(home: &Home) -> Result<(Vec<(Self, Past)>, usize), ClientError> {
        let (mut taken, mut busy) = (Vec::new(), 0);
        for recording in journals(home).await? {
            match Self::take(home, recording).await? {
                Taken::Journal(journal, past) => taken.push((journal, *past)),
                Taken::Busy => busy += 1,
                Taken::Finished => {}
            }
        }
        Ok((taken, busy))
    }

    /// Manifests of all unfinished uploads.
    pub(crate) async fn manifests(home: &Home) -> Result<Vec<Envelope<Manifest>>, ClientError> {
        let mut manifests = Vec::new();
        for recording in journals(home).await? {
            manifests.extend(read(home, recording, 0).await?.map(|(past, _)| past.begin.manifest));
        }
        Ok(manifests)
    }

    /// Writes lines, durably, once `before` is durable, then `after`: all of it or nothing.
    pub(crate) async fn append(
        &self,
        mut before: Vec<Change>,
        lines: &[Line],
        after: Vec<Change>,
    ) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        if !lines.is_empty() && self.is_torn.load(Ordering::Acquire) {
            // What a failure left of a line must not swallow this one.
            bytes.push(b'\n');
        }
        for line in lines {
            bytes.extend(encode(line)?);
        }
        if !bytes.is_empty() {
            before.push(Change::Append(key(self.recording), bytes.into()));
        }
        before.extend(after);
        // What a later process is told must not look recorded by it.
        before.extend(self.alive_ms.map(|alive_ms| Change::Touch(key(self.recording), alive_ms)));
        let committed = self.home.commit(before).await;
        if committed.is_err() && !lines.is_empty() {
            self.is_torn.store(true, Ordering::Release);
        }
        committed
    }

    /// Something was recorded, in milliseconds since 1970. A mark that fails costs only the precision of what is told.
    pub(crate) async fn touch(home: &Home, recording: RecordingId, at_ms: u64) {
        if let Err(error) = home.commit(vec![Change::Touch(key(recording), at_ms)]).await {
            tracing::debug!(%error, "the journal's time could not be set");
        }
    }

    /// The upload is finished: nothing is left to go on with.
    pub(super) async fn finish(&self) -> Result<(), ClientError> {
        self.home.commit(vec![Change::Delete(key(self.recording))]).await
    }
}

/// What came of asking for a journal.
enum Taken {
    Journal(Journal, Box<Past>),
    /// Another process holds it.
    Busy,
    /// It is gone, or does not even begin.
    Finished,
}

fn encode(line: &Line) -> Result<Vec<u8>, ClientError> {
    let mut bytes = serde_json::to_vec(line).map_err(|error| ClientError::Bug(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Recordings of all journals, oldest change first.
async fn journals(home: &Home) -> Result<Vec<RecordingId>, ClientError> {
    let mut names = home.names(FOLDER).await?;
    names.sort();
    let recording = |name: &str| name.strip_prefix(FOLDER)?.strip_suffix(ENDING)?.parse().ok();
    Ok(names.iter().filter_map(|name| recording(&name.key)).collect())
}

/// When a recording began, in milliseconds since 1970, as its manifest says.
pub(crate) fn created_ms(begin: &Begin) -> u64 {
    let created = begin.manifest.unverified().created;
    u64::try_from(created.unix_seconds()).unwrap_or(0).saturating_mul(1000)
}

/// Reads a journal, with how many of its bytes are understood, and how many there are; `None` if it is gone or does not
/// even begin.
async fn read(
    home: &Home,
    recording: RecordingId,
    alive_ms: u64,
) -> Result<Option<(Past, (u64, u64))>, ClientError> {
    let Some(bytes) = home.read(&key(recording)).await? else {
        return Ok(None);
    };
    Ok(parse(&bytes, alive_ms).map(|(past, understood)| (past, (understood as u64, bytes.len() as u64))))
}

/// Reads all lines up to the first that does not follow on the others, leaving out what is torn: where a line is
/// missing that others rest on, these do not follow. Also how many bytes there are up to the end of the last line that
/// is read.
fn parse(bytes: &[u8], last_alive_ms: u64) -> Option<(Past, usize)> {
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let read =
        |line: &[u8]| line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Line>(line).ok());
    let first = lines.next()?;
    let Line::Begin(begin) = read(first)? else {
        return None;
    };
    let mut past = Past {
        begin: *begin,
        tracks: Vec::new(),
        segments: Vec::new(),
        end: None,
        signed_seals: BTreeMap::new(),
        signed_end: None,
        last_alive_ms,
    };
    let (mut understood, mut seen) = (first.len(), first.len());
    for line in lines {
        seen += line.len();
        let Some(line) = read(line) else {
            continue;
        };
        if past.take(line).is_none() {
            break;
        }
        understood = seen;
    }
    Some((past, understood))
}

#[cfg(test)]
impl Journal {
    /// A journal that names nothing.
    pub(super) async fn of_nothing(home: &Home, recording: RecordingId) -> Result<Self, ClientError> {
        let lock = home.lock(&lock_name(recording)).await?;
        Ok(Self {
            home: home.clone(),
            recording,
            alive_ms: None,
            is_torn: AtomicBool::new(false),
            _lock: lock,
        })
    }
}
