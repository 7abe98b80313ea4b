//! The journal of an upload: what a later process needs to go on where this one died.
//!
//! One JSON document a line, appended. It holds no key: a segment whose process died is sealed as far as its parts were
//! acknowledged and never continued. A line that was torn by a crash, and what follows it, is left out; the parts it
//! named are then sealed anew. `begin` and `seal` lines are synced, `part` lines need not be.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vault_proto::envelope::Envelope;
use vault_proto::geometry::BodyEnd;
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::statements::{FinalSeal, Manifest, SegmentSeal};

use crate::error::ClientError;
use crate::home::{Home, sync_folder};

/// A file that is being sealed, told apart from others and from itself after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceFile {
    /// Absolute path.
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
    /// The file, or null for a stream, which no later process can read again.
    pub(crate) source: Option<SourceFile>,
    /// The manifest.
    pub(crate) manifest: Envelope<Manifest>,
    /// The credentials object.
    pub(crate) credentials: String,
}

/// A segment's public facts, before its first part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentLine {
    pub(crate) index: u32,
    pub(crate) track: u8,
    pub(crate) key_commitment: Digest,
}

/// A part that the server acknowledged.
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begin(Box<Begin>),
    Segment(SegmentLine),
    Part(PartLine),
    Seal(Box<Envelope<SegmentSeal>>),
    End(Box<EndLine>),
}

/// A journal that this process writes; locked against others.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
}

/// What a journal says.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    pub(crate) begin: Begin,
    pub(crate) seals: Vec<Envelope<SegmentSeal>>,
    /// The newest segment that was begun, and the acknowledged parts of all segments.
    pub(crate) segment: Option<SegmentLine>,
    pub(crate) parts: Vec<PartLine>,
    /// The end, if it was reached.
    pub(crate) end: Option<EndLine>,
}

impl Past {
    /// An acknowledged part.
    pub(crate) fn part(&self, segment: u32, part: u32) -> Option<PartLine> {
        self.parts.iter().find(|line| line.segment == segment && line.part == part).copied()
    }

    /// The last part of the last sealed segment.
    pub(crate) fn newest_sealed_part(&self) -> Option<PartLine> {
        let seal = self.seals.last()?.unverified();
        self.part(seal.index, seal.parts.checked_sub(1)?)
    }
}

const FOLDER: &str = "uploads";
const ENDING: &str = ".journal";

impl Journal {
    /// Starts the journal of a new upload, durably.
    pub(crate) fn create(home: &Home, recording: RecordingId, begin: &Begin) -> Result<Self, ClientError> {
        let name = format!("{FOLDER}/{recording}{ENDING}");
        home.write(&name, &encode(&Line::Begin(Box::new(begin.clone())))?)?;
        Self::open(&home.path(&name))?
            .ok_or_else(|| ClientError::Bug("another process took a journal that was just made".to_owned()))
    }

    /// Opens and locks a journal; `None` while another process holds it or after it was finished.
    fn open(path: &Path) -> Result<Option<Self>, ClientError> {
        let file = match OpenOptions::new().append(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ClientError::disk(path)(error)),
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(ClientError::disk(path)(error)),
        }
    }

    /// Opens the newest journal that `fits` and that no other process holds, with what it says.
    pub(crate) fn find(
        home: &Home,
        fits: impl Fn(&Past) -> bool,
    ) -> Result<Option<(Self, Past)>, ClientError> {
        for path in journals(home)?.into_iter().rev() {
            let Some(past) = read(&path)?.filter(|past| fits(past)) else {
                continue;
            };
            if let Some(journal) = Self::open(&path)? {
                // A torn last line would swallow the next one.
                journal.end_torn_line(&path)?;
                return Ok(Some((journal, past)));
            }
        }
        Ok(None)
    }

    /// Manifests of all unfinished uploads.
    pub(crate) fn manifests(home: &Home) -> Result<Vec<Envelope<Manifest>>, ClientError> {
        let mut manifests = Vec::new();
        for path in journals(home)? {
            manifests.extend(read(&path)?.map(|past| past.begin.manifest));
        }
        Ok(manifests)
    }

    fn end_torn_line(&self, path: &Path) -> Result<(), ClientError> {
        let bytes = fs::read(path).map_err(ClientError::disk(path))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            self.file.set_len(whole as u64).map_err(ClientError::disk(path))?;
        }
        Ok(())
    }

    fn append(&mut self, line: &Line, synced: bool) -> Result<(), ClientError> {
        let bytes = encode(line)?;
        let write = |file: &mut File| {
            file.write_all(&bytes)?;
            if synced { file.sync_data() } else { Ok(()) }
        };
        write(&mut self.file).map_err(ClientError::disk(&self.path))
    }

    /// Notes a segment, before its first part is sent.
    pub(crate) fn segment(&mut self, line: SegmentLine) -> Result<(), ClientError> {
        self.append(&Line::Segment(line), true)
    }

    /// Notes a part that was acknowledged.
    pub(crate) fn part(&mut self, line: PartLine) -> Result<(), ClientError> {
        self.append(&Line::Part(line), false)
    }

    /// Notes a seal, before it is sent: two seals of one segment must never exist.
    pub(crate) fn seal(&mut self, seal: &Envelope<SegmentSeal>) -> Result<(), ClientError> {
        self.append(&Line::Seal(Box::new(seal.clone())), true)
    }

    /// Notes the end.
    pub(crate) fn end(&mut self, end: &EndLine) -> Result<(), ClientError> {
        self.append(&Line::End(Box::new(end.clone())), true)
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

fn encode(line: &Line) -> Result<Vec<u8>, ClientError> {
    let mut bytes = serde_json::to_vec(line).map_err(|error| ClientError::Bug(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Paths of all journals, oldest change first.
fn journals(home: &Home) -> Result<Vec<PathBuf>, ClientError> {
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

/// Reads a journal; `None` if it is gone or does not even begin.
fn read(path: &Path) -> Result<Option<Past>, ClientError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ClientError::disk(path)(error)),
    };
    Ok(parse(&text))
}

/// Reads all lines up to the first that is torn.
fn parse(text: &[u8]) -> Option<Past> {
    let mut lines = text.split_inclusive(|&byte| byte == b'\n').map_while(|line| {
        line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Line>(line).ok())
    });
    let Some(Line::Begin(begin)) = lines.next() else {
        return None;
    };
    let mut past = Past { begin: *begin, seals: Vec::new(), segment: None, parts: Vec::new(), end: None };
    for line in lines {
        match line {
            Line::Begin(_) => break,
            Line::Segment(segment) => past.segment = Some(segment),
            Line::Part(part) => past.parts.push(part),
            Line::Seal(seal) => past.seals.push(*seal),
            Line::End(end) => past.end = Some(*end),
        }
    }
    Some(past)
}
