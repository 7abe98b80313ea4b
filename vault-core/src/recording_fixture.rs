//! A whole sealed recording for the tests of sealing, opening and seeking.

use vault_proto::envelope::{self, Envelope, Verified};
use vault_proto::geometry::{BodyEnd, PartChunks};
use vault_proto::ids::{AccountId, Digest, KeyId, OrganisationId, PublicKey, RecordingId, RecordingSalt};
use vault_proto::members::MemberStatements;
use vault_proto::named_statements::NamedStatements;
use vault_proto::recording::{CheckedRecording, StoredStatements};
use vault_proto::statements::{
    Certificate, DeviceKey, DeviceRole, EncryptionKey, IssuerCertificate, KeyList, Manifest, NotYet, Reader,
    ReaderRole, RecordingStatus, Role, SegmentSeal, Suite,
};
use vault_proto::timestamp::Timestamp;
use vault_proto::trust::Known;

use crate::details::{Details, Track};
use crate::identity::Identity;
use crate::recording_key::RecordingKey;
use crate::sealing::{RecordingSealer, SealError, SegmentFacts, device_key_id, prepare_manifest};
use crate::signing_key::SigningKey;

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_bytes(key.public())
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000 + seconds).unwrap()
}

/// One account.
pub(crate) struct Person {
    pub(crate) root: SigningKey,
    pub(crate) device: SigningKey,
    pub(crate) identity: Identity,
}

impl Person {
    fn new(suite: Suite) -> Self {
        Self {
            root: SigningKey::generate().unwrap(),
            device: SigningKey::generate().unwrap(),
            identity: Identity::generate(suite).unwrap(),
        }
    }

    pub(crate) fn account(&self) -> AccountId {
        AccountId::of_root(&public(&self.root))
    }

    fn key(&self) -> KeyId {
        KeyId::of_recipient(&self.identity.recipient().to_string())
    }
}

/// Organisation, people, and a manifest that the clinician signed.
pub(crate) struct Begun {
    pub(crate) organisation: OrganisationId,
    pub(crate) patient: Person,
    pub(crate) clinician: Person,
    pub(crate) key: RecordingKey,
    pub(crate) key_object: Vec<u8>,
    pub(crate) named: NamedStatements,
    pub(crate) manifest_bytes: Vec<u8>,
    pub(crate) manifest: Verified<Manifest>,
}

/// One segment as it is stored.
#[derive(Clone)]
pub(crate) struct StoredSegment {
    pub(crate) header: Vec<u8>,
    pub(crate) parts: Vec<Vec<u8>>,
    pub(crate) seal: Vec<u8>,
    pub(crate) plaintext: Vec<u8>,
}

impl StoredSegment {
    pub(crate) fn hashes(&self) -> Vec<u8> {
        self.parts.iter().flat_map(|part| *Digest::of(part).as_bytes()).collect()
    }
}

/// A recording as it is stored.
pub(crate) struct Stored {
    pub(crate) begun: Begun,
    pub(crate) segments: Vec<StoredSegment>,
    pub(crate) details: Vec<u8>,
    pub(crate) final_seal: Vec<u8>,
}

pub(crate) fn media(length: usize, from: usize) -> Vec<u8> {
    (from..from + length).map(|at| (at % 251) as u8).collect()
}

/// Details of one track that holds `plaintext`.
pub(crate) fn details(plaintext: &[u8]) -> Details {
    let track = Track {
        track: 0,
        media_type: "video/webm".to_owned(),
        bytes: plaintext.len() as u64,
        duration_ms: Some(7),
        sha256: Some(Digest::of(plaintext)),
        seek: None,
    };
    Details { title: Some("Knee".to_owned()), started: time(0), ended: time(9), tracks: vec![track] }
}

pub(crate) fn begin(suite: Suite) -> Begun {
    let (root, issuer) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let organisation = OrganisationId::of_root(&public(&root));
    let (patient, clinician) = (Person::new(suite), Person::new(suite));
    let member = |person: &Person, role| {
        let (not_before, not_after) = (time(-1000), time(1000));
        let issuer_statement = IssuerCertificate {
            organisation,
            root: public(&root),
            issuer: public(&issuer),
            not_before,
            not_after,
            number: 1,
            ended: Vec::new(),
            revocations: false,
            roles: vec![Role::Clinician, Role::Patient],
        };
        let account = person.account();
        let certificate = Certificate {
            organisation,
            account,
            role,
            label: None,
            issued: not_before,
            not_before,
            not_after,
            succeeds: None,
            guardians: Vec::new(),
        };
        let list = KeyList {
            account,
            root: public(&person.root),
            number: 1,
            previous: None,
            created: not_before,
            epoch: 1,
            encryption: vec![EncryptionKey { suite, recipient: person.identity.recipient().to_string() }],
            devices: vec![DeviceKey { key: public(&person.device), roles: vec![DeviceRole::Seal] }],
            removed: Vec::new(),
            allows: Vec::new(),
        };
        let root_id = KeyId::of_organisation_root(&public(&root));
        let list_id = KeyId::of_account_root(&public(&person.root));
        MemberStatements {
            issuer: envelope::sign(&issuer_statement, root_id, |bytes| root.sign(bytes)).unwrap(),
            certificate: envelope::sign(&certificate, KeyId::of_issuer(&public(&issuer)), |bytes| {
                issuer.sign(bytes)
            })
            .unwrap(),
            key_list: envelope::sign(&list, list_id, |bytes| person.root.sign(bytes)).unwrap(),
        }
    };
    let (mut named, mut members) = (NamedStatements::default(), Vec::new());
    for (person, role) in [(&patient, Role::Patient), (&clinician, Role::Clinician)] {
        let statements = member(person, role);
        statements.put_into(&mut named);
        members.push(statements.member(person.account()));
    }
    members.sort_unstable_by_key(|member| member.account);
    let sealer_key = device_key_id(&clinician.device);
    let salt = RecordingSalt::from_bytes([5; 16]);
    let recording = RecordingId::of(&sealer_key, &salt);
    let key = RecordingKey::generate(suite).unwrap();
    let recipients = [&patient, &clinician].map(|person| person.identity.recipient().clone());
    let key_object = key.seal(&organisation, &recording, &recipients).unwrap();
    let manifest = Manifest {
        suite,
        recording,
        salt,
        tenant: organisation,
        consultation: "c-1".parse().unwrap(),
        patient: patient.account(),
        clinician: clinician.account(),
        key: key.id(),
        key_object: Digest::of(&key_object),
        readers: [(&patient, ReaderRole::Patient), (&clinician, ReaderRole::Clinician)]
            .map(|(person, role)| Reader { account: person.account(), key: person.key(), role, until: None })
            .to_vec(),
        sealer: clinician.account(),
        sealer_key,
        sequence: 1,
        members,
        directory_checkpoint: None,
        created: time(0),
        policy: Vec::new(),
        replaces: NotYet,
    };
    let unsigned = prepare_manifest(&manifest, public(&clinician.device)).unwrap();
    let signed = clinician.device.sign_statement(unsigned).unwrap();
    let verified = signed.verify(manifest.sealer_key, &public(&clinician.device)).unwrap();
    Begun {
        organisation,
        patient,
        clinician,
        key,
        key_object,
        named,
        manifest_bytes: signed.bytes().to_vec(),
        manifest: verified,
    }
}

impl Begun {
    pub(crate) fn sealer(&self) -> RecordingSealer {
        RecordingSealer::new(self.manifest.clone(), self.key.recipient().clone()).unwrap()
    }

    /// Signs and counts a seal, as a sealer does.
    pub(crate) fn seal_segment(
        &self,
        sealer: &mut RecordingSealer,
        facts: &SegmentFacts,
    ) -> Result<Envelope<SegmentSeal>, SealError> {
        let seal = self.clinician.device.sign_statement(sealer.prepare_seal(facts)?)?;
        sealer.continue_after(&seal)?;
        Ok(seal)
    }
}

/// Seals segments of these lengths; a cut one has whole parts only.
pub(crate) fn seal(suite: Suite, lengths: &[(usize, BodyEnd)]) -> Stored {
    seal_in(suite, PartChunks::FIFTEEN, lengths, None)
}

/// Seals segments in such parts, with details that count only the first `bytes` of them to the track.
pub(crate) fn seal_in(
    suite: Suite,
    part_chunks: PartChunks,
    lengths: &[(usize, BodyEnd)],
    bytes: Option<usize>,
) -> Stored {
    let begun = begin(suite);
    let mut sealer = begun.sealer();
    let mut segments = Vec::new();
    for (number, &(length, end)) in lengths.iter().enumerate() {
        let plaintext = media(length, number * 7);
        let mut segment = sealer.begin_segment(0, part_chunks).unwrap();
        let mut pieces: Vec<&[u8]> = plaintext.chunks(part_chunks.plaintext()).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        let count = pieces.len();
        let parts: Vec<Vec<u8>> = (1..)
            .zip(pieces)
            .map(|(at, piece)| {
                let last = at == count && end == BodyEnd::Final;
                segment.next_part(piece.to_vec(), last).unwrap().run().unwrap().ciphertext
            })
            .collect();
        let header = segment.header().to_vec();
        let facts = SegmentFacts {
            start: segment.start(),
            part_hashes: parts.iter().map(|part| Digest::of(part)).collect(),
            last_part_length: parts.last().unwrap().len(),
            end,
        };
        let seal = begun.seal_segment(&mut sealer, &facts).unwrap().bytes().to_vec();
        segments.push(StoredSegment { header, parts, seal, plaintext });
    }
    let mut stored = Stored { begun, segments, details: Vec::new(), final_seal: Vec::new() };
    let whole = stored.plaintext();
    let of_track = details(&whole[..bytes.unwrap_or(whole.len())]);
    let (details, unsigned) = sealer.prepare_final(&of_track, RecordingStatus::Complete, time(9)).unwrap();
    stored.details = details;
    stored.final_seal = stored.begun.clinician.device.sign_statement(unsigned).unwrap().bytes().to_vec();
    stored
}

impl Stored {
    /// What its segments hold.
    pub(crate) fn plaintext(&self) -> Vec<u8> {
        self.segments.iter().flat_map(|segment| segment.plaintext.clone()).collect()
    }

    pub(crate) fn checked(&self) -> CheckedRecording {
        let seals: Vec<Vec<u8>> = self.segments.iter().map(|segment| segment.seal.clone()).collect();
        let begun = &self.begun;
        CheckedRecording::check(
            begun.manifest.recording,
            begun.organisation,
            &StoredStatements {
                manifest: &begun.manifest_bytes,
                named: &begun.named,
                seals: &seals,
                progress: None,
                final_seal: Some(&self.final_seal),
            },
            &Known::default(),
        )
        .unwrap()
    }
}
