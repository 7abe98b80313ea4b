//! The journal of an upload: what a later process needs to bring it to an end where this one died.
//!
//! One JSON document a line, appended. It holds no key: a segment whose process died is sealed as far as its parts
//! arrived and never continued. Each line is written before what it names is sent, so nothing is ever signed twice. A
//! line that was torn by a crash, and what follows it, is left out and cut off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use vault_core::sealing::SegmentStart;
use vault_proto::base64;
use vault_proto::envelope::Envelope;
use vault_proto::geometry::BodyEnd;
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::statements::{FinalSeal, Manifest, SegmentSeal};

use crate::home_folder::{HomeFolder, sync_folder};
use vault_engine::error::ClientError;

/// A file that is being sealed, told apart from others and from itself after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceFile {
    /// Absolute path.
    #[serde(with = "super::path_text")]
    pub(crate) path: PathBuf,
    /// Bytes.
    pub(crate) length: u64,
    /// Seconds and nanoseconds of its last change.
    pub(crate) modified: (u64, u32),
}

/// First line: what the upload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begin {
    /// The server.
    pub(crate) server: String,
    /// The file, or null for what is recorded live, which no later process can read again.
    pub(crate) source: Option<SourceFile>,
    /// The manifest.
    pub(crate) manifest: Envelope<Manifest>,
    /// The credentials object.
    pub(crate) credentials: String,
    /// The title, in an age file to the account's own identity, in base64; null if there is none.
    pub(crate) title: Option<String>,
    /// Whether the source came in real time, so that tracks are as long as it took to record them.
    pub(crate) real_time: bool,
}

/// A track that begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrackLine {
    pub(crate) track: u8,
    pub(crate) media_type: String,
    /// Recorded milliseconds before it.
    pub(crate) from_ms: u64,
}

/// A segment, before its first part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentLine {
    pub(crate) index: u32,
    pub(crate) track: u8,
    pub(crate) key_commitment: Digest,
    /// Its header, in base64.
    pub(crate) header: String,
}

impl SegmentLine {
    pub(crate) const fn start(&self) -> SegmentStart {
        SegmentStart { index: self.index, track: self.track, key_commitment: self.key_commitment }
    }
}

/// A part, before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartLine {
    pub(crate) segment: u32,
    pub(crate) part: u32,
    /// SHA-256 of its ciphertext.
    pub(crate) hash: Digest,
    /// Ciphertext bytes.
    pub(crate) length: usize,
    /// SHA-256 of the whole source up to the end of this part: a changed source is not spliced.
    pub(crate) source_hash: Digest,
    /// Whether the segment ends with it.
    pub(crate) end: Option<BodyEnd>,
    /// Recorded milliseconds up to its end.
    pub(crate) until_ms: u64,
    /// When its last byte was recorded, in milliseconds since 1970.
    pub(crate) at_ms: u64,
}

/// The end, before it is sent: two ends of one recording must never exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndLine {
    /// The details object, in base64.
    pub(crate) details: String,
    /// The final seal.
    pub(crate) final_seal: Envelope<FinalSeal>,
}

impl EndLine {
    /// The details object.
    pub(crate) fn details_object(&self) -> Result<Vec<u8>, ClientError> {
        base64::decode(&self.details)
            .ok_or_else(|| ClientError::Bug("the journal's details are not base64".to_owned()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begin(Box<Begin>),
    Track(TrackLine),
    Segment(Box<SegmentLine>),
    Part(PartLine),
    Seal(Box<Envelope<SegmentSeal>>),
    End(Box<EndLine>),
}

/// A journal that this process writes; locked against others.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// When something was last recorded, if that was before this process: lines of its own do not change it.
    alive: Option<SystemTime>,
}

/// What a journal says.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    pub(crate) begin: Begin,
    pub(crate) tracks: Vec<TrackLine>,
    /// The segments, by their index.
    pub(crate) segments: Vec<PastSegment>,
    /// The end, if it was reached.
    pub(crate) end: Option<EndLine>,
    /// When something was last recorded, in milliseconds since 1970.
    pub(crate) last_alive_ms: u64,
}

/// A segment that was begun.
#[derive(Debug, Clone)]
pub(crate) struct PastSegment {
    pub(crate) line: SegmentLine,
    /// Its parts, from part 0 without a gap.
    pub(crate) parts: Vec<PartLine>,
    /// Its seal, if it was signed.
    pub(crate) seal: Option<Envelope<SegmentSeal>>,
}

impl Past {
    /// The recording.
    pub(crate) fn recording(&self) -> RecordingId {
        self.begin.manifest.unverified().recording
    }

    /// Recorded time, without pauses: up to the last part, and from its end until something was last recorded.
    pub(crate) fn recorded(&self) -> Duration {
        let last = self.segments.iter().rev().find_map(|segment| segment.parts.last());
        let (until_ms, at_ms) = last.map_or((0, created_ms(&self.begin)), |last| (last.until_ms, last.at_ms));
        Duration::from_millis(until_ms.saturating_add(self.last_alive_ms.saturating_sub(at_ms)))
    }

    /// Takes a line in; `None` if it does not follow on the ones before.
    fn take(&mut self, line: Line) -> Option<()> {
        match line {
            Line::Begin(_) => return None,
            Line::Track(track) => self.tracks.push(track),
            Line::Segment(line) => {
                // A segment of which nothing could be sealed is begun anew, with another key.
                self.segments.truncate(usize::try_from(line.index).ok()?);
                let previous_sealed = self.segments.last().is_none_or(|last| last.seal.is_some());
                if self.segments.len() != usize::try_from(line.index).ok()? || !previous_sealed {
                    return None;
                }
                self.segments.push(PastSegment { line: *line, parts: Vec::new(), seal: None });
            }
            Line::Part(part) => {
                let segment = self.segments.last_mut().filter(|last| last.line.index == part.segment)?;
                if segment.seal.is_some() || segment.parts.len() != usize::try_from(part.part).ok()? {
                    return None;
                }
                segment.parts.push(part);
            }
            Line::Seal(seal) => {
                let index = seal.unverified().index;
                let segment = self.segments.last_mut().filter(|last| last.line.index == index)?;
                if segment.seal.is_some() {
                    return None;
                }
                segment.seal = Some(*seal);
            }
            Line::End(end) => self.end = Some(*end),
        }
        Some(())
    }
}

const FOLDER: &str = "uploads";
const ENDING: &str = ".journal";

/// Journals of a home, as far as this process may take them.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// A journal that fits, locked, with what it says.
    pub(crate) journal: Option<(Journal, Past)>,
    /// A recording whose journal fits too, but another process holds it.
    pub(crate) busy: Option<RecordingId>,
}

impl Journal {
    /// Starts the journal of a new upload, durably.
    pub(crate) fn create(
        home: &HomeFolder,
        recording: RecordingId,
        begin: &Begin,
    ) -> Result<Self, ClientError> {
        let name = format!("{FOLDER}/{recording}{ENDING}");
        home.write(&name, &encode(&Line::Begin(Box::new(begin.clone())))?)?;
        Self::open(&home.path(&name))?
            .ok_or_else(|| ClientError::Bug("another process took a journal that was just made".to_owned()))
    }

    /// Opens and locks a journal; `None` while another process holds it or after it was finished.
    fn open(path: &Path) -> Result<Option<Self>, ClientError> {
        let file = match OpenOptions::new().read(true).append(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ClientError::disk(path)(error)),
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), file, alive: None })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(ClientError::disk(path)(error)),
        }
    }

    /// Opens the newest journal that `fits` and that no other process holds, with what it says.
    pub(crate) fn find(home: &HomeFolder, fits: impl Fn(&Past) -> bool) -> Result<Found, ClientError> {
        let mut found = Found::default();
        for path in journals(home)?.into_iter().rev() {
            let Some((past, _)) = read(&path)?.filter(|(past, _)| fits(past)) else {
                continue;
            };
            match Self::take(&path)? {
                Some((journal, past)) if fits(&past) => {
                    found.journal = Some((journal, past));
                    return Ok(found);
                }
                Some(_) => {}
                None if path.exists() => found.busy = Some(past.recording()),
                None => {}
            }
        }
        Ok(found)
    }

    /// Locks a journal, then reads it: what another process wrote until it died is in it. `None` while another process
    /// holds it, or if that one finished it.
    fn take(path: &Path) -> Result<Option<(Self, Past)>, ClientError> {
        let Some(mut journal) = Self::open(path)? else {
            return Ok(None);
        };
        // Finished, and so removed, between opening and locking: what is locked is no longer the file of that name.
        if !path.exists() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut read = |file: &mut File| {
            file.seek(SeekFrom::Start(0))?;
            file.read_to_end(&mut bytes)
        };
        let alive = modified(&journal.file).map_err(ClientError::disk(path))?;
        read(&mut journal.file).map_err(ClientError::disk(path))?;
        let Some((past, understood)) = parse(&bytes, unix_ms(alive)) else {
            return Ok(None);
        };
        if understood < bytes.len() {
            // What is not understood would swallow the next line.
            journal.file.set_len(understood as u64).map_err(ClientError::disk(path))?;
        }
        journal.alive = Some(alive);
        journal.stay_alive_since();
        Ok(Some((journal, past)))
    }

    /// All journals that no other process holds, oldest first, and how many another one does.
    pub(crate) fn take_all(home: &HomeFolder) -> Result<(Vec<(Self, Past)>, usize), ClientError> {
        let (mut taken, mut busy) = (Vec::new(), 0);
        for path in journals(home)? {
            match Self::take(&path)? {
                Some(journal) => taken.push(journal),
                None => busy += usize::from(path.exists()),
            }
        }
        Ok((taken, busy))
    }

    /// Manifests of all unfinished uploads.
    pub(crate) fn manifests(home: &HomeFolder) -> Result<Vec<Envelope<Manifest>>, ClientError> {
        let mut manifests = Vec::new();
        for path in journals(home)? {
            manifests.extend(read(&path)?.map(|(past, _)| past.begin.manifest));
        }
        Ok(manifests)
    }

    fn append(&mut self, line: &Line, synced: bool) -> Result<(), ClientError> {
        let bytes = encode(line)?;
        let write = |file: &mut File| {
            file.write_all(&bytes)?;
            if synced { file.sync_data() } else { Ok(()) }
        };
        let written = write(&mut self.file).map_err(ClientError::disk(&self.path));
        self.stay_alive_since();
        written
    }

    /// Puts the time at which something was last recorded back. A time that cannot be set costs only the precision of
    /// what is told.
    fn stay_alive_since(&self) {
        if let Some(Err(error)) = self.alive.map(|alive| self.file.set_modified(alive)) {
            tracing::debug!(%error, "the journal's time could not be set");
        }
    }

    /// Notes a track, before its first segment.
    pub(crate) fn track(&mut self, line: TrackLine) -> Result<(), ClientError> {
        self.append(&Line::Track(line), false)
    }

    /// Notes a segment, before it is opened on the server.
    pub(crate) fn segment(&mut self, line: SegmentLine) -> Result<(), ClientError> {
        self.append(&Line::Segment(Box::new(line)), true)
    }

    /// Notes a part, before it is sent.
    pub(crate) fn part(&mut self, line: PartLine, synced: bool) -> Result<(), ClientError> {
        self.append(&Line::Part(line), synced)
    }

    /// Notes a seal, before it is sent: two seals of one segment must never exist.
    pub(crate) fn seal(&mut self, seal: &Envelope<SegmentSeal>) -> Result<(), ClientError> {
        self.append(&Line::Seal(Box::new(seal.clone())), true)
    }

    /// Notes the end.
    pub(crate) fn end(&mut self, end: &EndLine) -> Result<(), ClientError> {
        self.append(&Line::End(Box::new(end.clone())), true)
    }

    /// A second handle, by which a recorder shows that it is alive.
    pub(crate) fn pulse(&self) -> Result<Pulse, ClientError> {
        Ok(Pulse(self.file.try_clone().map_err(ClientError::disk(&self.path))?))
    }

    /// The upload is finished: nothing is left to go on with.
    pub(crate) fn finish(self) -> Result<(), ClientError> {
        let remove = || {
            fs::remove_file(&self.path)?;
            self.path.parent().map_or(Ok(()), sync_folder)
        };
        remove().map_err(ClientError::disk(&self.path))
    }
}

/// Marks the time at which something was last recorded on the journal's file, so that what a crash cost can be told.
#[derive(Debug)]
pub(crate) struct Pulse(File);

impl Pulse {
    /// Something was recorded, in milliseconds since 1970. A mark that fails costs only the precision of what is told.
    pub(crate) fn beat(&self, at_ms: u64) {
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(at_ms));
        if let Some(Err(error)) = at.map(|at| self.0.set_modified(at)) {
            tracing::debug!(%error, "the journal's time could not be set");
        }
    }
}

fn encode(line: &Line) -> Result<Vec<u8>, ClientError> {
    let mut bytes = serde_json::to_vec(line).map_err(|error| ClientError::Bug(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Paths of all journals, oldest change first.
fn journals(home: &HomeFolder) -> Result<Vec<PathBuf>, ClientError> {
    let folder = home.path(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ClientError::disk(folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(ClientError::disk(&folder))?;
        if entry.file_name().to_string_lossy().ends_with(ENDING) {
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            found.push((modified, entry.path()));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn modified(file: &File) -> io::Result<SystemTime> {
    file.metadata()?.modified()
}

/// When a recording began, in milliseconds since 1970, as its manifest says.
pub(crate) fn created_ms(begin: &Begin) -> u64 {
    let created = begin.manifest.unverified().created;
    u64::try_from(created.unix_seconds()).unwrap_or(0).saturating_mul(1000)
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Reads a journal without locking it; `None` if it is gone or does not even begin.
fn read(path: &Path) -> Result<Option<(Past, usize)>, ClientError> {
    match fs::read(path) {
        Ok(bytes) => Ok(parse(&bytes, 0)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ClientError::disk(path)(error)),
    }
}

/// Reads all lines up to the first that is torn or does not follow on the others; also how many bytes these lines have.
fn parse(bytes: &[u8], last_alive_ms: u64) -> Option<(Past, usize)> {
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let read =
        |line: &[u8]| line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Line>(line).ok());
    let first = lines.next()?;
    let Line::Begin(begin) = read(first)? else {
        return None;
    };
    let mut past = Past { begin: *begin, tracks: Vec::new(), segments: Vec::new(), end: None, last_alive_ms };
    let mut understood = first.len();
    for line in lines {
        if read(line).and_then(|line| past.take(line)).is_none() {
            break;
        }
        understood += line.len();
    }
    Some((past, understood))
}
