use data_encoding::BASE64;
use vault_proto::age_header::{Header, Stanza, encode_argument};
use vault_proto::envelope::Envelope;
use vault_proto::geometry::{BodyEnd, PartChunks, body_length};
use vault_proto::ids::{Digest, KeyId, OrganisationId, RecordingId, RecordingSalt};
use vault_proto::labels::{context, details_context, key_context};
use vault_proto::named_statements::NamedStatements;
use vault_proto::sealed_header::context_stanza;
use vault_proto::statements::{
    FinalSeal, Manifest, NotYet, Reader, ReaderRole, RecordingStatus, SegmentProgress, SegmentSeal, Suite,
};
use vault_proto::tree::parts_root;
use vault_proto::wire::{CreateRecording, OpenSegment};

use super::people::{Person, at, signed};
use super::{NOW, Organisation};

/// Chunks of a part, where a test does not say otherwise.
pub(crate) const PART_CHUNKS: PartChunks = PartChunks::FIFTEEN;

/// A recording as its sealer makes it. Bodies are no real ciphertext: the server cannot tell.
pub(crate) struct Draft<'a> {
    pub(crate) sealer: &'a Person,
    pub(crate) manifest: Envelope<Manifest>,
    pub(crate) key_object: Vec<u8>,
    pub(crate) statements: Vec<String>,
}

/// A header with this context and so many recipients; its stanzas hold no real keys.
pub(crate) fn header(context: &Digest, recipients: u8) -> Vec<u8> {
    let mut stanzas = vec![context_stanza(context).unwrap()];
    for number in 0..recipients {
        stanzas.push(Stanza::new("X25519", vec![encode_argument(&[number; 32])], vec![number; 32]).unwrap());
    }
    Header::new(stanzas, [7; 32]).unwrap().encode()
}

/// A key object with this context and so many readers: header, nonce and one chunk, none of which hold a real key.
pub(crate) fn key_object(context: &Digest, readers: u8) -> Vec<u8> {
    let mut object = header(context, readers);
    object.extend(pattern(98, 16 + 75 + 16));
    object
}

/// Bytes that differ everywhere, so that swapped or shifted pieces show.
fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect()
}

/// What manifests name of these people, each once.
pub(crate) fn statements(people: &[&Person]) -> Vec<String> {
    let mut named = NamedStatements::default();
    for person in people {
        person.statements().put_into(&mut named);
    }
    named.iter().map(|(_, envelope)| String::from_utf8(envelope.to_vec()).unwrap()).collect()
}

impl<'a> Draft<'a> {
    pub(crate) fn new(
        organisation: &Organisation,
        id: u64,
        patient: &Person,
        clinician: &Person,
        sealer: &'a Person,
    ) -> Self {
        Self::dated(organisation.id(), id, NOW - 5, patient, clinician, sealer)
    }

    pub(crate) fn dated(
        tenant: OrganisationId,
        id: u64,
        created: i64,
        patient: &Person,
        clinician: &Person,
        sealer: &'a Person,
    ) -> Self {
        let mut people = vec![patient, clinician];
        if ![patient.account(), clinician.account()].contains(&sealer.account()) {
            people.push(sealer);
        }
        people.sort_by_key(|person| person.account());
        let mut salt = [0xab; 16];
        salt[8..].copy_from_slice(&id.to_be_bytes());
        let salt = RecordingSalt::from_bytes(salt);
        let recording = RecordingId::of(&sealer.device_id(), &salt);
        let key = KeyId::from_bytes([0xcd; 32]);
        let key_object = key_object(&key_context(&tenant, &recording, &key), 2);
        let reader = |person: &Person, role| Reader {
            account: person.account(),
            key: person.encryption_key(),
            role,
            until: None,
        };
        let manifest = Manifest {
            suite: Suite::X25519,
            recording,
            salt,
            tenant,
            consultation: "consultation-1".parse().unwrap(),
            patient: patient.account(),
            clinician: clinician.account(),
            key,
            key_object: Digest::of(&key_object),
            readers: vec![reader(patient, ReaderRole::Patient), reader(clinician, ReaderRole::Clinician)],
            sealer: sealer.account(),
            sealer_key: sealer.device_id(),
            sequence: id,
            members: people.iter().map(|person| person.member()).collect(),
            directory_checkpoint: None,
            created: at(created),
            policy: Vec::new(),
            replaces: NotYet,
        };
        Self {
            sealer,
            manifest: signed(&manifest, sealer.device_id(), &sealer.device),
            key_object,
            statements: statements(&people),
        }
    }

    /// The same recording, sent with these statements.
    pub(crate) fn with_statements(self, statements: Vec<String>) -> Self {
        Self { statements, ..self }
    }

    /// The same recording, signed over this key object.
    pub(crate) fn with_key_object(self, key_object: Vec<u8>) -> Self {
        let manifest = Manifest { key_object: Digest::of(&key_object), ..self.manifest.unverified().clone() };
        Self { manifest: signed(&manifest, self.sealer.device_id(), &self.sealer.device), key_object, ..self }
    }

    /// What its key object is bound to.
    pub(crate) fn key_context(&self) -> Digest {
        let Manifest { tenant, recording, key, .. } = self.manifest.unverified();
        key_context(tenant, recording, key)
    }

    pub(crate) fn id(&self) -> RecordingId {
        self.manifest.unverified().recording
    }

    pub(crate) fn create(&self) -> Vec<u8> {
        serde_json::to_vec(&CreateRecording {
            manifest: self.manifest.clone(),
            key: BASE64.encode(&self.key_object),
            statements: self.statements.clone(),
        })
        .unwrap()
    }

    pub(crate) fn header(&self, index: u32, track: u8) -> Vec<u8> {
        header(&context(&self.manifest.digest(), index, track), 1)
    }

    pub(crate) fn open(&self, index: u32, track: u8) -> Vec<u8> {
        Self::open_with(track, &self.header(index, track))
    }

    pub(crate) fn open_with(track: u8, header: &[u8]) -> Vec<u8> {
        Self::open_in(track, PART_CHUNKS, header)
    }

    pub(crate) fn open_in(track: u8, part_chunks: PartChunks, header: &[u8]) -> Vec<u8> {
        serde_json::to_vec(&OpenSegment { track, part_chunks, header: BASE64.encode(header) }).unwrap()
    }

    /// Parts of a segment that holds so many bytes of plaintext.
    pub(crate) fn parts(&self, index: u32, plaintext: u64) -> Vec<Vec<u8>> {
        let id = u64::from_be_bytes(self.id().as_bytes()[8..].try_into().unwrap());
        let body = pattern(id << 8 | u64::from(index), body_length(plaintext) as usize);
        let (first, rest) = body.split_at(body.len().min(PART_CHUNKS.full_length(0)));
        let mut parts = vec![first.to_vec()];
        parts.extend(rest.chunks(PART_CHUNKS.full_length(1)).map(<[u8]>::to_vec));
        parts
    }

    pub(crate) fn segment_seal(
        &self,
        index: u32,
        parts: &[Vec<u8>],
        end: BodyEnd,
        previous: Option<&Envelope<SegmentSeal>>,
    ) -> SegmentSeal {
        let hashes: Vec<Digest> = parts.iter().map(|part| Digest::of(part)).collect();
        SegmentSeal {
            manifest: self.manifest.digest(),
            index,
            track: 0,
            body_length: parts.iter().map(|part| part.len() as u64).sum(),
            parts: parts.len() as u32,
            parts_root: parts_root(&hashes),
            end,
            header: Digest::of(&self.header(index, 0)),
            previous: previous.map(Envelope::digest),
            part_chunks: PART_CHUNKS,
            supersedes: None,
        }
    }

    pub(crate) fn sign_seal(&self, seal: &SegmentSeal) -> Envelope<SegmentSeal> {
        signed(seal, self.sealer.device_id(), &self.sealer.device)
    }

    /// Progress of segment 0 up to and with the last of these parts.
    pub(crate) fn segment_progress(&self, parts: &[Vec<u8>]) -> SegmentProgress {
        let SegmentSeal { manifest, index, track, parts, parts_root, header, previous, part_chunks, .. } =
            self.segment_seal(0, parts, BodyEnd::Cut, None);
        let recorded = at(NOW);
        SegmentProgress {
            manifest,
            index,
            track,
            parts,
            parts_root,
            header,
            previous,
            recorded,
            part_chunks,
            tail: NotYet,
        }
    }

    pub(crate) fn sign_progress(&self, progress: &SegmentProgress) -> Envelope<SegmentProgress> {
        signed(progress, self.sealer.device_id(), &self.sealer.device)
    }

    pub(crate) fn details(&self) -> Vec<u8> {
        let mut details = header(&details_context(&self.manifest.digest()), 1);
        details.extend(pattern(99, 500));
        details
    }

    pub(crate) fn final_seal(&self, seals: &[Envelope<SegmentSeal>], details: &[u8]) -> FinalSeal {
        FinalSeal {
            manifest: self.manifest.digest(),
            segments: seals.len() as u32,
            last_seal: seals.last().unwrap().digest(),
            total_length: seals
                .iter()
                .map(|seal| seal.unverified().shape().unwrap().plaintext_length())
                .sum(),
            details: Digest::of(details),
            ended: at(NOW),
            status: RecordingStatus::Complete,
            supersedes: None,
        }
    }

    pub(crate) fn sign_final(&self, seal: &FinalSeal) -> Envelope<FinalSeal> {
        signed(seal, self.sealer.device_id(), &self.sealer.device)
    }
}
