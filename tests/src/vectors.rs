//! The test vectors of docs/FORMAT.md: one scenario, one folder of `tests/vectors/v1/`.
//!
//! [`scenarios`] builds them, the broken ones too; the program `make-vectors` writes those that are not there yet, and
//! what is committed stays as it is. [`reader`] opens a folder as every reader does and says how that ended.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a builder of test data fails by panicking, as the tests that use it do"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vault_proto::ids::{AccountId, Digest, OrganisationId, RecordingId};
use vault_proto::object::{STATEMENTS, statement_path};

pub mod cast;
pub mod draft;
pub mod forged;
pub mod grants;
pub mod growing;
pub mod issuers;
pub mod key_objects;
pub mod keys_and_certificates;
pub mod lengths;
pub mod members;
pub mod part_sizes;
pub mod primitives;
pub mod reader;
pub mod removed;
pub mod respelled;
pub mod superseded;
pub mod tampered;
pub mod untrusted;
pub mod valid;
pub mod worked_examples;

use draft::{Objects, Recording, Segment};

/// How opening has to end (FORMAT.md, "Opening").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything opens, and the recording is complete.
    Opens,
    /// Everything that is there opens, and the recording is not complete.
    CutOff,
    /// Another recording, or a piece of one.
    MixUp,
    /// Not made by who was entitled to.
    NotEntitled,
    /// Missing or altered bytes.
    Damaged,
    /// Of a version or with a suite or word that is not known.
    NewerFormat,
    /// The identity is not the one of a reader.
    NotAReader,
}

/// The plaintext of one track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackHash {
    /// The track.
    pub track: u8,
    /// Its bytes.
    pub length: u64,
    /// Their SHA-256.
    pub sha256: Digest,
}

/// What has to happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// How opening ends.
    pub outcome: Outcome,
    /// Bytes of media released until then, all segments in order, part by part.
    pub released_length: u64,
    /// Their SHA-256.
    pub released_sha256: Digest,
    /// The whole plaintext by track; empty where opening is refused.
    pub tracks: Vec<TrackHash>,
    /// Who reads it by the newest list that counts, in its order; empty where opening is refused.
    pub readers: Vec<AccountId>,
    /// Numbers of the grants that do not count; empty where opening is refused.
    pub void: Vec<u64>,
}

/// `scenario.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// What is special about it.
    pub description: String,
    /// The organisation that the reader has pinned.
    pub organisation: OrganisationId,
    /// The recording that the reader asked for.
    pub requested: RecordingId,
    /// The reader's account.
    pub account: AccountId,
    /// The reader's identity.
    pub identity: String,
    /// Key lists that the reader has seen of accounts: of each all from number 1 on, as envelopes.
    pub known_key_lists: Vec<Vec<String>>,
    /// The final seal with which the reader has seen the recording before.
    pub known_end: Option<Digest>,
    /// What has to happen.
    pub expected: Expected,
}

/// One scenario.
pub struct Scenario {
    /// Name of its folder.
    pub name: String,
    /// What it says of itself.
    pub description: Description,
    /// What is stored.
    pub objects: Objects,
}

impl Scenario {
    /// A scenario in which the patient asks for `recording` and all of its media is released.
    #[must_use]
    pub fn opened(name: &str, text: &str, cast: &cast::Cast, recording: &Recording) -> Self {
        let identity = cast.patient.identity(recording.manifest.suite).export().to_string();
        let mut scenario = Self {
            name: name.to_owned(),
            description: Description {
                description: text.to_owned(),
                organisation: cast.organisation(),
                requested: recording.id,
                account: cast.patient.account,
                identity,
                known_key_lists: Vec::new(),
                known_end: None,
                expected: Expected {
                    outcome: Outcome::Opens,
                    released_length: 0,
                    released_sha256: Digest::of(b""),
                    tracks: Vec::new(),
                    readers: vec![cast.patient.account, cast.clinician.account],
                    void: Vec::new(),
                },
            },
            objects: recording.objects.clone(),
        };
        let mut all = Vec::new();
        let mut tracks = BTreeMap::<u8, Vec<u8>>::new();
        for take in &recording.takes {
            all.extend_from_slice(take.recorded());
            tracks.entry(take.track).or_default().extend_from_slice(take.recorded());
        }
        scenario.description.expected.tracks = tracks
            .into_iter()
            .map(|(track, bytes)| TrackHash { track, length: bytes.len() as u64, sha256: Digest::of(&bytes) })
            .collect();
        scenario.released(&all)
    }

    /// A scenario that ends in a refusal before any media is released.
    #[must_use]
    pub fn refused(
        name: &str,
        text: &str,
        cast: &cast::Cast,
        recording: &Recording,
        outcome: Outcome,
    ) -> Self {
        let mut scenario = Self::opened(name, text, cast, recording).ending(outcome);
        scenario.description.expected.tracks.clear();
        scenario.description.expected.readers.clear();
        scenario.released(b"")
    }

    /// Says which media is released before the end.
    #[must_use]
    pub fn released(mut self, media: &[u8]) -> Self {
        self.description.expected.released_length = media.len() as u64;
        self.description.expected.released_sha256 = Digest::of(media);
        self
    }

    /// Says how it ends.
    #[must_use]
    pub fn ending(mut self, outcome: Outcome) -> Self {
        self.description.expected.outcome = outcome;
        self
    }

    /// Has `person` read with an identity of `suite`.
    #[must_use]
    pub fn read_by(mut self, person: &cast::Person, suite: vault_proto::statements::Suite) -> Self {
        self.description.account = person.account;
        self.description.identity = person.identity(suite).export().to_string();
        self
    }

    /// Says who reads it in the end.
    #[must_use]
    pub fn read_as<'a>(mut self, people: impl IntoIterator<Item = &'a cast::Person>) -> Self {
        self.description.expected.readers = people.into_iter().map(|person| person.account).collect();
        self
    }

    /// Has the reader know these key lists of one account.
    #[must_use]
    pub fn knowing(mut self, key_lists: Vec<String>) -> Self {
        self.description.known_key_lists.push(key_lists);
        self
    }

    /// Has the reader have seen the recording with this end.
    #[must_use]
    pub const fn having_seen(mut self, end: Digest) -> Self {
        self.description.known_end = Some(end);
        self
    }

    /// Changes what is stored.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Objects)) -> Self {
        change(&mut self.objects);
        self
    }
}

/// All scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let cast = cast::Cast::of("hospital");
    [
        valid::scenarios(&cast),
        tampered::scenarios(&cast),
        forged::scenarios(&cast),
        key_objects::scenarios(&cast),
        respelled::scenarios(&cast),
        untrusted::scenarios(&cast),
        members::scenarios(&cast),
        grants::scenarios(&cast),
        keys_and_certificates::scenarios(&cast),
        issuers::scenarios(&cast),
        removed::scenarios(&cast),
        growing::scenarios(&cast),
        part_sizes::scenarios(&cast),
        lengths::scenarios(&cast),
        superseded::scenarios(&cast),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The folder of the committed vectors.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join("v1")
}

fn segment_objects(segment: &Segment) -> [(&'static str, &Vec<u8>); 5] {
    [
        ("header", &segment.header),
        ("body", &segment.body),
        ("parts", &segment.parts),
        ("seal", &segment.seal),
        ("progress", &segment.progress),
    ]
}

/// Writes a scenario's folder. An empty object is one that is not there.
///
/// # Errors
/// Whatever the disk reports.
pub fn write(root: &Path, scenario: &Scenario) -> io::Result<()> {
    let folder = root.join(&scenario.name);
    fs::create_dir_all(&folder)?;
    let put = |name: &str, bytes: &[u8]| {
        if bytes.is_empty() { Ok(()) } else { fs::write(folder.join(name), bytes) }
    };
    let objects = &scenario.objects;
    put("manifest", &objects.manifest)?;
    if !objects.statements.is_empty() {
        fs::create_dir_all(folder.join(STATEMENTS))?;
    }
    for (digest, envelope) in &objects.statements {
        put(&statement_path(digest), envelope)?;
    }
    put("key.0", &objects.key)?;
    for (generation, key) in &objects.later_keys {
        put(&format!("key.{generation}"), key)?;
    }
    for (number, grant) in &objects.grants {
        put(&format!("grant.{number}"), grant)?;
    }
    for (index, segment) in objects.segments.iter().enumerate() {
        fs::create_dir_all(folder.join(format!("seg/{index}")))?;
        for (name, bytes) in segment_objects(segment) {
            put(&format!("seg/{index}/{name}"), bytes)?;
        }
    }
    put("details", objects.details.as_deref().unwrap_or_default())?;
    put("final", objects.final_seal.as_deref().unwrap_or_default())?;
    let mut text = serde_json::to_vec_pretty(&scenario.description)?;
    text.push(b'\n');
    put("scenario.json", &text)
}

/// What lies in the folder of a scenario's statements.
fn statements(folder: &Path) -> io::Result<BTreeMap<Digest, Vec<u8>>> {
    let mut statements = BTreeMap::new();
    let entries = match fs::read_dir(folder.join(STATEMENTS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(statements),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let digest = entry.file_name().to_string_lossy().parse().map_err(io::Error::other)?;
        statements.insert(digest, fs::read(entry.path())?);
    }
    Ok(statements)
}

/// The files of a scenario whose names are `prefix` and a number.
fn numbered(folder: &Path, prefix: &str) -> io::Result<BTreeMap<u64, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(number) = name.strip_prefix(prefix) {
            files.insert(number.parse().map_err(io::Error::other)?, fs::read(entry.path())?);
        }
    }
    Ok(files)
}

/// Reads a scenario's folder.
///
/// # Errors
/// Whatever the disk reports, or a `scenario.json` that is none.
pub fn read(folder: &Path) -> io::Result<Scenario> {
    let get = |name: &str| match fs::read(folder.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    };
    let mut objects = Objects {
        manifest: get("manifest")?.unwrap_or_default(),
        statements: statements(folder)?,
        key: get("key.0")?.unwrap_or_default(),
        later_keys: numbered(folder, "key.")?.into_iter().filter(|(generation, _)| *generation > 0).collect(),
        grants: numbered(folder, "grant.")?,
        segments: Vec::new(),
        details: get("details")?,
        final_seal: get("final")?,
    };
    while folder.join(format!("seg/{}", objects.segments.len())).is_dir() {
        let object = |name: &str| {
            get(&format!("seg/{}/{name}", objects.segments.len())).map(Option::unwrap_or_default)
        };
        let segment = Segment {
            header: object("header")?,
            body: object("body")?,
            parts: object("parts")?,
            seal: object("seal")?,
            progress: object("progress")?,
        };
        objects.segments.push(segment);
    }
    let description = serde_json::from_slice(&fs::read(folder.join("scenario.json"))?)?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Scenario { name, description, objects })
}
