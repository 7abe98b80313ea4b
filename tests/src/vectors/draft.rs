//! A recording in the making, with a hook at every step where it can be made wrong.

use std::collections::BTreeMap;

use vault_core::identity::Identity;
use vault_core::signing_key::SigningKey;
use vault_proto::age_header::Stanza;
use vault_proto::envelope::Statement;
use vault_proto::geometry::{BodyEnd, PartChunks};
use vault_proto::ids::{Digest, RecordingId, RecordingSalt};
use vault_proto::labels;
use vault_proto::sealed_header::context_stanza;
use vault_proto::statements::{
    FinalSeal, Manifest, Member, NotYet, Reader, ReaderRole, RecordingStatus, SegmentSeal, Suite,
};
use vault_proto::tree;

use super::cast::{Cast, MemberText, Person, key_of, time};
use super::primitives::{FileKey, Payload, digest, envelope, fixed_bytes, header, identity_text, wrap};

/// The objects of one segment, by their names in the format.
#[derive(Clone, Default)]
pub struct Segment {
    /// `header`.
    pub header: Vec<u8>,
    /// `body`.
    pub body: Vec<u8>,
    /// `parts`.
    pub parts: Vec<u8>,
    /// `seal`.
    pub seal: Vec<u8>,
    /// `progress`; empty where there is none.
    pub progress: Vec<u8>,
}

/// The objects of one recording. `None` is an object that is not there.
#[derive(Clone, Default)]
pub struct Objects {
    /// `manifest`.
    pub manifest: Vec<u8>,
    /// `statements/<digest>`.
    pub statements: BTreeMap<Digest, Vec<u8>>,
    /// `key.0`.
    pub key: Vec<u8>,
    /// `key.<g>`, from 1.
    pub later_keys: BTreeMap<u64, Vec<u8>>,
    /// `grant.<g>`, from 1.
    pub grants: BTreeMap<u64, Vec<u8>>,
    /// `seg/<i>/…`.
    pub segments: Vec<Segment>,
    /// `details`.
    pub details: Option<Vec<u8>>,
    /// `final`.
    pub final_seal: Option<Vec<u8>>,
}

/// What a segment is to hold.
#[derive(Clone)]
pub struct Take {
    /// Its track.
    pub track: u8,
    /// Its plaintext.
    pub plaintext: Vec<u8>,
    /// How many bytes at the end of that are padding.
    pub padding: usize,
    /// How it ends.
    pub end: BodyEnd,
}

impl Take {
    /// Its plaintext without padding.
    #[must_use]
    pub fn recorded(&self) -> &[u8] {
        &self.plaintext[..self.plaintext.len() - self.padding]
    }
}

/// One of the age files of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgeFile {
    /// The key object.
    Key,
    /// The segment of this number.
    Segment(usize),
    /// The details.
    Details,
}

/// A hook, which changes what was made so far.
pub type Hook<'a, T> = Box<dyn Fn(&mut T) + 'a>;
/// A hook for an age file, told apart by which one it is.
pub type FileHook<'a, T> = Box<dyn Fn(AgeFile, &FileKey, &mut T) + 'a>;

/// A hook for a payload of a given payload type.
pub type PayloadHook<'a> = Box<dyn Fn(&str, &mut Vec<u8>) + 'a>;

/// A recording in the making.
pub struct Draft<'a> {
    /// Organisation and people.
    pub cast: &'a Cast,
    /// What the recording's id and file keys follow from.
    pub name: String,
    /// Suite.
    pub suite: Suite,
    /// Who seals.
    pub sealer: &'a Person,
    /// Whose device signs.
    pub device: &'a SigningKey,
    /// What the segments hold.
    pub takes: Vec<Take>,
    /// How many chunks a part has.
    pub part_chunks: PartChunks,
    /// Changes the members, which are patient, clinician and sealer, before the manifest names them, ascending.
    pub on_members: Hook<'a, Vec<MemberText>>,
    /// Changes the text of the key object before it is sealed.
    pub on_key_text: Hook<'a, String>,
    /// Changes the key object before it is hashed.
    pub on_key_object: Hook<'a, Vec<u8>>,
    /// Changes the manifest before the key object is made for it.
    pub on_manifest: Hook<'a, Manifest>,
    /// Changes a payload before it is signed; told apart by its payload type.
    pub on_payload: PayloadHook<'a>,
    /// Changes the stanzas before the MAC is made.
    pub on_stanzas: FileHook<'a, Vec<Stanza>>,
    /// Changes a header before it is hashed.
    pub on_header: FileHook<'a, Vec<u8>>,
    /// Changes what follows a header before it is hashed.
    pub on_body: FileHook<'a, Vec<u8>>,
    /// Changes a seal before it is signed.
    pub on_seal: Hook<'a, SegmentSeal>,
    /// Changes the final seal before it is signed.
    pub on_final: Hook<'a, FinalSeal>,
    /// Changes the text of the details before it is sealed.
    pub on_details: Hook<'a, String>,
}

/// A finished recording, with its secrets.
pub struct Recording {
    /// Its id.
    pub id: RecordingId,
    /// Its objects.
    pub objects: Objects,
    /// Its statements.
    pub manifest: Manifest,
    /// Its key, which every reader holds.
    pub key: Identity,
    /// Its seals.
    pub seals: Vec<SegmentSeal>,
    /// The file keys of its segments.
    pub file_keys: Vec<FileKey>,
    /// What it holds.
    pub takes: Vec<Take>,
}

/// Reproducible bytes that look like nothing.
#[must_use]
pub fn media(name: &str, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 32);
    let mut block = fixed_bytes(name);
    while bytes.len() < length {
        bytes.extend_from_slice(&block);
        block = *Digest::of(&block).as_bytes();
    }
    bytes.truncate(length);
    bytes
}

/// The key of the recording called `name`.
#[must_use]
pub fn recording_key(suite: Suite, name: &str) -> Identity {
    Identity::parse(&identity_text(suite, &fixed_bytes(&format!("{name} key")))).unwrap()
}

/// The parts of a body.
pub fn parts_of(body: &[u8], part_chunks: PartChunks) -> impl Iterator<Item = &[u8]> {
    let part = 65_552 * usize::from(u8::from(part_chunks));
    let (first, rest) = body.split_at(body.len().min(16 + part));
    std::iter::once(first).chain(rest.chunks(part))
}

/// The hashes of a body's parts.
#[must_use]
pub fn hashes_of(body: &[u8], part_chunks: PartChunks) -> Vec<Digest> {
    parts_of(body, part_chunks).map(Digest::of).collect()
}

impl Objects {
    /// The envelope of a statement that the manifest names.
    ///
    /// # Panics
    /// If it is not there.
    pub fn statement(&mut self, digest: &Digest) -> &mut Vec<u8> {
        self.statements.get_mut(digest).unwrap()
    }
}

impl Recording {
    /// What the manifest names of an account.
    ///
    /// # Panics
    /// If it names no such account.
    #[must_use]
    pub fn member(&self, person: &Person) -> Member {
        *self.manifest.members.iter().find(|member| member.account == person.account).unwrap()
    }
}

impl<'a> Draft<'a> {
    /// A recording of `takes`, each a track and a length, sealed by the clinician.
    #[must_use]
    pub fn new(cast: &'a Cast, suite: Suite, name: &str, takes: &[(u8, usize)]) -> Self {
        let take = |(at, &(track, length)): (usize, &(u8, usize))| Take {
            track,
            plaintext: media(&format!("{name} media {at}"), length),
            padding: 0,
            end: BodyEnd::Final,
        };
        Self {
            cast,
            name: name.to_owned(),
            suite,
            sealer: &cast.clinician,
            device: &cast.clinician.device,
            takes: takes.iter().enumerate().map(take).collect(),
            part_chunks: PartChunks::FIFTEEN,
            on_members: Box::new(|_| {}),
            on_key_text: Box::new(|_| {}),
            on_key_object: Box::new(|_| {}),
            on_manifest: Box::new(|_| {}),
            on_payload: Box::new(|_, _| {}),
            on_stanzas: Box::new(|_, _, _| {}),
            on_header: Box::new(|_, _, _| {}),
            on_body: Box::new(|_, _, _| {}),
            on_seal: Box::new(|_| {}),
            on_final: Box::new(|_| {}),
            on_details: Box::new(|_| {}),
        }
    }

    /// Seals by another account with its own device.
    #[must_use]
    pub fn sealed_by(mut self, sealer: &'a Person) -> Self {
        self.sealer = sealer;
        self.device = &sealer.device;
        self
    }

    /// In parts of so many chunks.
    #[must_use]
    pub fn in_parts_of(mut self, part_chunks: PartChunks) -> Self {
        self.part_chunks = part_chunks;
        self
    }

    /// Ends segment `at` in so many zeros more.
    #[must_use]
    pub fn padded(mut self, at: usize, padding: usize) -> Self {
        let take = self.takes.get_mut(at).unwrap();
        take.plaintext.extend(vec![0; padding]);
        take.padding += padding;
        self
    }

    /// Cuts segment `at` at the end of its first part.
    #[must_use]
    pub fn cut(mut self, at: usize) -> Self {
        let take = self.takes.get_mut(at).unwrap();
        take.plaintext.truncate(65_536 * usize::from(u8::from(self.part_chunks)));
        take.end = BodyEnd::Cut;
        self
    }

    fn members(&self) -> Vec<MemberText> {
        let mut people = vec![&self.cast.patient, &self.cast.clinician];
        if people.iter().all(|person| person.account != self.sealer.account) {
            people.push(self.sealer);
        }
        people.into_iter().map(|person| self.cast.member(person, self.suite)).collect()
    }

    fn sign<T: Statement>(&self, statement: &T) -> Vec<u8> {
        let mut payload = serde_json::to_vec(statement).unwrap();
        (self.on_payload)(T::PAYLOAD_TYPE, &mut payload);
        envelope(T::PAYLOAD_TYPE, &payload, self.sealer.device_id(), self.device)
    }

    fn readers(&self) -> [&'a Person; 2] {
        [&self.cast.patient, &self.cast.clinician]
    }

    fn manifest(&self, members: &[MemberText]) -> Manifest {
        let salt = fixed_bytes(&format!("{} recording", self.name));
        let salt = RecordingSalt::from_bytes(*salt.first_chunk().unwrap());
        let reader = |(person, role): (&Person, ReaderRole)| Reader {
            account: person.account,
            key: key_of(&person.identity(self.suite)),
            role,
            until: None,
        };
        let roles = [ReaderRole::Patient, ReaderRole::Clinician];
        let mut members: Vec<Member> = members.iter().map(MemberText::named).collect();
        members.sort_by_key(|member| member.account);
        Manifest {
            suite: self.suite,
            recording: RecordingId::of(&self.sealer.device_id(), &salt),
            salt,
            tenant: self.cast.organisation(),
            consultation: "2026-0421:7".parse().unwrap(),
            patient: self.cast.patient.account,
            clinician: self.cast.clinician.account,
            key: key_of(&recording_key(self.suite, &self.name)),
            key_object: Digest::of(b""),
            readers: self.readers().into_iter().zip(roles).map(reader).collect(),
            sealer: self.sealer.account,
            sealer_key: self.sealer.device_id(),
            sequence: 1,
            members,
            directory_checkpoint: None,
            created: time("2026-11-21T09:30:00Z"),
            policy: Vec::new(),
            replaces: NotYet,
        }
    }

    fn key_object(&self, manifest: &Manifest) -> Vec<u8> {
        let mut text = format!("{}\n", *recording_key(self.suite, &self.name).export());
        (self.on_key_text)(&mut text);
        let context = labels::key_context(&manifest.tenant, &manifest.recording, &manifest.key);
        let readers = self.readers().map(|person| person.identity(self.suite));
        let mut object = self.sealed(AgeFile::Key, &context, &readers, text.as_bytes());
        (self.on_key_object)(&mut object);
        object
    }

    fn header(&self, file: AgeFile, context: &Digest, recipients: &[Identity]) -> Vec<u8> {
        let file_key = self.file_key(file);
        let mut stanzas = vec![context_stanza(context).unwrap()];
        for recipient in recipients {
            let recipient = recipient.recipient();
            let ephemeral = fixed_bytes(&format!("{} {file:?} to {recipient}", self.name));
            stanzas.push(wrap(recipient, &file_key, ephemeral));
        }
        (self.on_stanzas)(file, &file_key, &mut stanzas);
        let mut header = header(stanzas, &file_key);
        (self.on_header)(file, &file_key, &mut header);
        header
    }

    fn file_key(&self, file: AgeFile) -> FileKey {
        *fixed_bytes(&format!("{} file key {file:?}", self.name)).first_chunk().unwrap()
    }

    fn body(&self, file: AgeFile, plaintext: &[u8], end: BodyEnd) -> Vec<u8> {
        let file_key = self.file_key(file);
        let nonce = *fixed_bytes(&format!("{} nonce {file:?}", self.name)).first_chunk().unwrap();
        let mut body = Payload::new(&file_key, nonce).all(plaintext, end).bytes();
        (self.on_body)(file, &file_key, &mut body);
        body
    }

    /// A whole age file.
    fn sealed(&self, file: AgeFile, context: &Digest, recipients: &[Identity], text: &[u8]) -> Vec<u8> {
        let mut object = self.header(file, context, recipients);
        object.extend(self.body(file, text, BodyEnd::Final));
        object
    }

    fn details(&self, manifest: &Digest) -> Vec<u8> {
        let tracks: Vec<u8> = self.takes.iter().map(|take| take.track).collect();
        let track = |track: u8| {
            let of_track = self.takes.iter().filter(|take| take.track == track);
            let recorded: Vec<u8> = of_track.flat_map(|take| take.recorded()).copied().collect();
            let (bytes, sha256) = (recorded.len(), Digest::of(&recorded));
            format!(
                r#"{{"track":{track},"media_type":"video/webm","bytes":{bytes},"duration_ms":null,"sha256":"{sha256}"}}"#
            )
        };
        let distinct: std::collections::BTreeSet<u8> = tracks.into_iter().collect();
        let tracks: Vec<String> = distinct.into_iter().map(track).collect();
        let mut text = format!(
            r#"{{"title":"Consultation","started":"2026-11-21T09:30:00Z","ended":"2026-11-21T09:45:00Z","tracks":[{}]}}"#,
            tracks.join(",")
        );
        (self.on_details)(&mut text);
        let key = [recording_key(self.suite, &self.name)];
        self.sealed(AgeFile::Details, &labels::details_context(manifest), &key, text.as_bytes())
    }

    /// Makes the recording.
    #[must_use]
    pub fn record(&self) -> Recording {
        let mut members = self.members();
        (self.on_members)(&mut members);
        let statements = members
            .iter()
            .flat_map(MemberText::statements)
            .map(|envelope| (digest(envelope.as_bytes()), envelope.clone().into_bytes()))
            .collect();
        let mut manifest = self.manifest(&members);
        (self.on_manifest)(&mut manifest);
        let key = self.key_object(&manifest);
        manifest.key_object = Digest::of(&key);
        let id = manifest.recording;
        let mut objects = Objects { manifest: self.sign(&manifest), statements, key, ..Objects::default() };
        let manifest_digest = digest(&objects.manifest);

        let key = [recording_key(self.suite, &self.name)];
        let (mut seals, mut file_keys, mut previous) = (Vec::new(), Vec::new(), None);
        for (at, take) in self.takes.iter().enumerate() {
            let index = u32::try_from(at).unwrap();
            let context = labels::context(&manifest_digest, index, take.track);
            let header = self.header(AgeFile::Segment(at), &context, &key);
            let body = self.body(AgeFile::Segment(at), &take.plaintext, take.end);
            let hashes = hashes_of(&body, self.part_chunks);
            let mut seal = SegmentSeal {
                manifest: manifest_digest,
                index,
                track: take.track,
                body_length: body.len() as u64,
                parts: u32::try_from(hashes.len()).unwrap(),
                parts_root: tree::parts_root(&hashes),
                end: take.end,
                header: Digest::of(&header),
                previous,
                part_chunks: self.part_chunks,
                supersedes: None,
            };
            (self.on_seal)(&mut seal);
            let signed = self.sign(&seal);
            previous = Some(digest(&signed));
            let parts = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
            objects.segments.push(Segment { header, body, parts, seal: signed, progress: Vec::new() });
            seals.push(seal);
            file_keys.push(self.file_key(AgeFile::Segment(at)));
        }

        let details = self.details(&manifest_digest);
        let mut final_seal = FinalSeal {
            manifest: manifest_digest,
            segments: u32::try_from(self.takes.len()).unwrap(),
            last_seal: previous.unwrap_or(manifest_digest),
            total_length: self.takes.iter().map(|take| take.plaintext.len() as u64).sum(),
            details: Digest::of(&details),
            ended: time("2026-11-21T09:45:00Z"),
            status: RecordingStatus::Complete,
            supersedes: None,
        };
        (self.on_final)(&mut final_seal);
        objects.final_seal = Some(self.sign(&final_seal));
        objects.details = Some(details);
        let [key] = key;
        Recording { id, objects, manifest, key, seals, file_keys, takes: self.takes.clone() }
    }
}

/// The end of most bodies.
pub const FINAL: BodyEnd = BodyEnd::Final;
