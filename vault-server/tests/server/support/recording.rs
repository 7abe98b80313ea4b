use data_encoding::BASE64;
use vault_proto::age_header::{Header, Stanza, encode_argument};
use vault_proto::credentials::{Credentials, Member};
use vault_proto::envelope::Envelope;
use vault_proto::geometry::{BodyEnd, PartChunks, body_length};
use vault_proto::ids::{Digest, OrganisationId, RecordingId, RecordingSalt};
use vault_proto::labels::{context, details_context};
use vault_proto::sealed_header::context_stanza;
use vault_proto::statements::{
    FinalSeal, Manifest, Policy, RecipientKey, RecordingStatus, SegmentSeal, Suite,
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
    pub(crate) credentials: String,
}

/// A header with this context and so many readers; its stanzas hold no real keys.
pub(crate) fn header(context: &Digest, readers: u8) -> Vec<u8> {
    let mut stanzas = vec![context_stanza(context).unwrap()];
    for reader in 0..readers {
        stanzas.push(Stanza::new("X25519", vec![encode_argument(&[reader; 32])], vec![reader; 32]).unwrap());
    }
    Header::new(stanzas, [7; 32]).unwrap().encode()
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
        let mut members = vec![patient.member(), clinician.member()];
        if ![patient.account(), clinician.account()].contains(&sealer.account()) {
            members.push(sealer.member());
        }
        let credentials = Credentials { members }.to_bytes().unwrap();
        let mut salt = [0xab; 16];
        salt[8..].copy_from_slice(&id.to_be_bytes());
        let salt = RecordingSalt::from_bytes(salt);
        let recipient =
            |person: &Person| RecipientKey { account: person.account(), key: person.encryption_key() };
        let manifest = Manifest {
            suite: Suite::X25519,
            recording: RecordingId::of(&sealer.device_id(), &salt),
            salt,
            tenant,
            consultation: "consultation-1".parse().unwrap(),
            patient: patient.account(),
            clinician: clinician.account(),
            recipients: vec![recipient(patient), recipient(clinician)],
            sealer: sealer.account(),
            sealer_key: sealer.device_id(),
            sequence: id,
            previous: (id > 1).then(|| Digest::of(b"the manifest before")),
            credentials: Digest::of(&credentials),
            directory_checkpoint: None,
            created: at(created),
            policy: Policy::Participants,
        };
        Self {
            sealer,
            manifest: signed(&manifest, sealer.device_id(), &sealer.device),
            credentials: String::from_utf8(credentials).unwrap(),
        }
    }

    /// The same recording, signed over these credentials.
    pub(crate) fn with_credentials(self, members: Vec<Member>) -> Self {
        let credentials = Credentials { members }.to_bytes().unwrap();
        let manifest =
            Manifest { credentials: Digest::of(&credentials), ..self.manifest.unverified().clone() };
        Self {
            manifest: signed(&manifest, self.sealer.device_id(), &self.sealer.device),
            credentials: String::from_utf8(credentials).unwrap(),
            ..self
        }
    }

    pub(crate) fn id(&self) -> RecordingId {
        self.manifest.unverified().recording
    }

    pub(crate) fn create(&self) -> Vec<u8> {
        serde_json::to_vec(&CreateRecording {
            manifest: self.manifest.clone(),
            credentials: self.credentials.clone(),
        })
        .unwrap()
    }

    pub(crate) fn header(&self, index: u32, track: u8) -> Vec<u8> {
        header(&context(&self.manifest.digest(), index, track), 2)
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
            key_commitment: Digest::of(b"commitment"),
            previous: previous.map(Envelope::digest),
            part_chunks: PART_CHUNKS,
        }
    }

    pub(crate) fn sign_seal(&self, seal: &SegmentSeal) -> Envelope<SegmentSeal> {
        signed(seal, self.sealer.device_id(), &self.sealer.device)
    }

    pub(crate) fn details(&self) -> Vec<u8> {
        let mut details = header(&details_context(&self.manifest.digest()), 2);
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
        }
    }

    pub(crate) fn sign_final(&self, seal: &FinalSeal) -> Envelope<FinalSeal> {
        signed(seal, self.sealer.device_id(), &self.sealer.device)
    }
}
