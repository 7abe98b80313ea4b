//! Opens a scenario as every reader does, through the same calls in the same order, and says how that ended.

use std::collections::BTreeMap;
use std::io;

use vault_core::details::Details;
use vault_core::identity::Identity;
use vault_core::opening::{OpenError, Opening, PartOpener};
use vault_core::recording_key::RecordingKey;
use vault_core::seeking::{PartSource, ReadableSegment, SeekableTrack};
use vault_core::track_release::TrackRelease;
use vault_proto::envelope::{Envelope, Verified};
use vault_proto::geometry::BodyShape;
use vault_proto::grants::CheckedGrants;
use vault_proto::ids::{AccountId, KeyId};
use vault_proto::key_chain::KeyListChain;
use vault_proto::named_statements::NamedStatements;
use vault_proto::recording::{CheckedRecording, ProvenSegment, Refusal, StoredStatements};
use vault_proto::recording_list::{ListEntry, Shown};
use vault_proto::statements::KeyList;
use vault_proto::statements::RecordingStatus;
use vault_proto::trust::Known;

use super::draft::{Objects, Segment};
use super::{Description, Outcome};

/// How opening ended.
pub struct Seen {
    /// The class.
    pub outcome: Outcome,
    /// What a person would be told; empty where nothing was refused.
    pub reason: String,
    /// Media released until then.
    pub released: Vec<u8>,
    /// The same by track.
    pub tracks: BTreeMap<u8, Vec<u8>>,
    /// Who reads it, by the newest list that counts; empty where opening was refused.
    pub readers: Vec<AccountId>,
    /// Numbers of the grants that do not count; empty where opening was refused.
    pub void: Vec<u64>,
}

/// The class of a refusal.
#[must_use]
pub fn class(error: &OpenError) -> Outcome {
    match error {
        OpenError::Refused(Refusal::MixUp(_)) => Outcome::MixUp,
        OpenError::Refused(Refusal::NotEntitled(_)) => Outcome::NotEntitled,
        OpenError::Refused(Refusal::Damaged(_)) => Outcome::Damaged,
        OpenError::Refused(Refusal::NewerFormat(_)) => Outcome::NewerFormat,
        OpenError::NotAReader | OpenError::OtherSuite { .. } => Outcome::NotAReader,
    }
}

/// The bytes at the place of a part. The last part is all that is left, so that nothing behind the end goes unnoticed.
#[must_use]
pub fn part<'a>(body: &'a [u8], shape: &BodyShape, index: u32) -> &'a [u8] {
    let from = usize::try_from(shape.part_offset(index)).unwrap_or(usize::MAX).min(body.len());
    let length = usize::try_from(shape.part_length(index)).unwrap_or(usize::MAX);
    let rest = body.get(from..).unwrap_or_default();
    if index + 1 == shape.parts() { rest } else { rest.get(..length.min(rest.len())).unwrap_or_default() }
}

/// The bytes of a body that count: all of a sealed segment's, and of one that grows what is proved of it.
fn body_of<'a>(proven: &ProvenSegment, segment: &'a Segment) -> &'a [u8] {
    let length = usize::try_from(proven.shape.length()).unwrap_or(usize::MAX);
    let body = segment.body.as_slice();
    if proven.sealed { body } else { body.get(..length).unwrap_or(body) }
}

/// What the reader has seen before.
fn known(description: &Description) -> Known {
    let mut known = Known::default();
    for lists in &description.known_key_lists {
        let lists: Vec<Envelope<KeyList>> =
            lists.iter().map(|list| Envelope::parse(list.as_bytes()).unwrap()).collect();
        let account = lists[0].unverified().account;
        known.learn_key_lists(account, KeyListChain::check(account, &lists).unwrap());
    }
    known
}

/// The statements that are there, by the digests under which they lie.
fn named(objects: &Objects) -> NamedStatements {
    objects.statements.iter().map(|(digest, bytes)| (*digest, bytes.as_slice().into())).collect()
}

fn checked(description: &Description, objects: &Objects) -> Result<CheckedRecording, OpenError> {
    let progress =
        objects.segments.last().map(|segment| segment.progress.as_slice()).filter(|p| !p.is_empty());
    // A segment that has progress and no seal is still growing, or its sealer died.
    let growing = |segment: &&Segment| segment.seal.is_empty() && !segment.progress.is_empty();
    let sealed = objects.segments.len() - usize::from(objects.segments.last().filter(growing).is_some());
    let seals: Vec<Vec<u8>> =
        objects.segments.iter().take(sealed).map(|segment| segment.seal.clone()).collect();
    let checked = CheckedRecording::check(
        description.requested,
        description.organisation,
        &StoredStatements {
            manifest: &objects.manifest,
            named: &named(objects),
            seals: &seals,
            progress,
            final_seal: objects.final_seal.as_deref(),
        },
        &known(description),
    )?;
    let final_seal = checked.final_seal();
    let shown = ListEntry {
        recording: checked.manifest().recording,
        manifest: checked.manifest().digest(),
        final_seal: final_seal.map(Verified::digest),
    };
    let supersedes = final_seal.and_then(|final_seal| final_seal.supersedes);
    let known = ListEntry { final_seal: description.known_end, ..shown };
    known.agrees_with(Shown { entry: shown, supersedes })?;
    Ok(checked)
}

/// The grants of the recording, judged.
fn grants(
    description: &Description,
    objects: &Objects,
    recording: &CheckedRecording,
) -> Result<CheckedGrants, OpenError> {
    let grants: Vec<Vec<u8>> = objects.grants.values().cloned().collect();
    Ok(CheckedGrants::check(recording.checked_manifest(), &grants, &named(objects), &known(description))?)
}

/// The recording's key, from the newest key object that counts and is for the reader. If that is bad, an older one that
/// was for the reader, too, will do.
fn key(
    description: &Description,
    objects: &Objects,
    recording: &CheckedRecording,
    grants: &CheckedGrants,
) -> Result<RecordingKey, OpenError> {
    let identity = Identity::parse(&description.identity).unwrap();
    let key = KeyId::of_recipient(&identity.recipient().to_string());
    let mut newest = None;
    for generation in grants.generations() {
        let object = match generation.number {
            0 => objects.key.as_slice(),
            number => objects.later_keys.get(&number).map(Vec::as_slice).unwrap_or_default(),
        };
        let opened =
            RecordingKey::open_generation(recording, generation, description.account, &identity, object);
        match (opened, &newest) {
            (Ok(key), _) => return Ok(key),
            (Err(error @ OpenError::Refused(_)), None) => newest = Some(error),
            (Err(error), None) => return Err(error),
            (Err(_), Some(_)) => {}
        }
        if !generation.is_for(description.account, key) {
            break;
        }
    }
    Err(newest.unwrap_or(OpenError::NotAReader))
}

/// The details, if there is a final seal.
fn details(
    recording: &CheckedRecording,
    opening: &Opening<'_>,
    objects: &Objects,
) -> Result<Option<Details>, OpenError> {
    let object = objects.details.as_deref().unwrap_or_default();
    recording.final_seal().map(|_| opening.details(object)).transpose()
}

/// Opens everything, the details, then segment by segment and part by part, until something is refused.
#[must_use]
pub fn open(description: &Description, objects: &Objects) -> Seen {
    let mut seen = Seen {
        outcome: Outcome::Opens,
        reason: String::new(),
        released: Vec::new(),
        tracks: BTreeMap::new(),
        readers: Vec::new(),
        void: Vec::new(),
    };
    match open_until_refused(description, objects, &mut seen) {
        Ok(outcome) => seen.outcome = outcome,
        Err(error) => {
            seen.outcome = class(&error);
            seen.reason = error.to_string();
            seen.readers.clear();
            seen.void.clear();
        }
    }
    seen
}

fn open_until_refused(
    description: &Description,
    objects: &Objects,
    seen: &mut Seen,
) -> Result<Outcome, OpenError> {
    let recording = checked(description, objects)?;
    let grants = grants(description, objects, &recording)?;
    seen.readers = grants.readers().iter().map(|proven| proven.reader.account).collect();
    let void = grants.grants().iter().filter(|grant| grant.void.is_some());
    seen.void = void.map(|grant| grant.grant.number).collect();
    let key = key(description, objects, &recording, &grants)?;
    let opening = Opening::new(&recording, &key);
    let details = details(&recording, &opening, objects)?;
    let mut release = TrackRelease::new(details.as_ref());
    for (proven, segment) in recording.segments().iter().zip(&objects.segments) {
        let ready = opening.segment(proven, &segment.header, &segment.parts)?;
        let shape = *ready.shape();
        let body = body_of(proven, segment);
        let opener = ready.start(part(body, &shape, 0))?;
        for index in 0..shape.parts() {
            let plaintext = opener.open(index, part(body, &shape, index).to_vec())?;
            let released = release.next(proven.track, &plaintext)?;
            seen.released.extend_from_slice(&plaintext[..released]);
            seen.tracks.entry(proven.track).or_default().extend_from_slice(&plaintext[..released]);
        }
    }
    let Some(final_seal) = recording.final_seal() else {
        return Ok(Outcome::CutOff);
    };
    Ok(match final_seal.status {
        RecordingStatus::Complete => Outcome::Opens,
        RecordingStatus::Recovered => Outcome::CutOff,
    })
}

/// Bodies in memory, as the source of a track that is read from anywhere.
pub struct Bodies<'a> {
    bodies: BTreeMap<u32, (&'a [u8], BodyShape)>,
    /// Parts fetched so far.
    pub fetched: Vec<(u32, u32)>,
}

impl PartSource for Bodies<'_> {
    fn part(&mut self, segment: u32, index: u32) -> io::Result<Vec<u8>> {
        self.fetched.push((segment, index));
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let (body, shape) = self.bodies.get(&segment).ok_or_else(missing)?;
        Ok(part(body, shape, index).to_vec())
    }
}

/// One track, readable from anywhere.
///
/// # Errors
/// The refusal, if its segments cannot be prepared.
pub fn seekable<'a>(
    description: &Description,
    objects: &'a Objects,
    track: u8,
) -> Result<SeekableTrack<Bodies<'a>>, OpenError> {
    let recording = checked(description, objects)?;
    let key = key(description, objects, &recording, &grants(description, objects, &recording)?)?;
    let opening = Opening::new(&recording, &key);
    let mut source = Bodies { bodies: BTreeMap::new(), fetched: Vec::new() };
    let mut segments = Vec::new();
    for (proven, segment) in recording.segments().iter().zip(&objects.segments) {
        if proven.track != track {
            continue;
        }
        let ready = opening.segment(proven, &segment.header, &segment.parts)?;
        let shape = *ready.shape();
        let body = body_of(proven, segment);
        source.bodies.insert(proven.index, (body, shape));
        let parts: PartOpener = ready.start(part(body, &shape, 0))?;
        segments.push(ReadableSegment { index: proven.index, parts });
    }
    let details = details(&recording, &opening, objects)?;
    let known = details.and_then(|details| details.tracks.into_iter().find(|known| known.track == track));
    Ok(SeekableTrack::new(source, segments, known.map(|known| known.bytes)))
}
