//! An organisation and two people, with all that was ever signed for them, and the recordings that an honest sealer of
//! the clinician's makes of them with the primitives.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use vault_core::details::{Details, Track};
use vault_core::identity::Identity;
use vault_core::padded_size::padded_size;
use vault_core::recipient::Recipient;
use vault_core::recording_key::RecordingKey;
use vault_core::sealing::{RecordingSealer, SegmentFacts, device_key_id, prepare_manifest};
use vault_core::signing_key::SigningKey;
use vault_engine::effects::Method;
use vault_engine::home::account::Account;
use vault_proto::base64;
use vault_proto::envelope::{self, Envelope};
use vault_proto::geometry::{BodyEnd, PartChunks};
use vault_proto::ids::{AccountId, Digest, KeyId, OrganisationId, PublicKey, RecordingId, RecordingSalt};
use vault_proto::members::{CertificateChain, MemberStatements};
use vault_proto::named_statements::NamedStatements;
use vault_proto::statements::{
    Certificate, DeviceKey, DeviceRole, EncryptionKey, IssuerCertificate, KeyList, Manifest, NotYet, Reader,
    ReaderRole, RecordingStatus, Role, Suite,
};
use vault_proto::timestamp::Timestamp;
use vault_proto::tree::TreeBuilder;
use vault_proto::wire::{self, CreateRecording, OpenSegment};

use crate::random::Random;
use crate::recorders::Live;

/// When every world begins.
pub(crate) const BEGINNING: i64 = 1_795_000_000;
const YEAR: i64 = 365 * 24 * 3600;

pub(crate) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(BEGINNING + seconds).expect("a time of the world")
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_bytes(key.public())
}

/// Somebody with an account.
pub(crate) struct Person {
    pub(crate) account: AccountId,
    pub(crate) device: Arc<SigningKey>,
    /// Another device of hers, which is not in this world and seals on its own.
    pub(crate) tablet: SigningKey,
    pub(crate) identity: Arc<Identity>,
    /// What she has said of her keys, and will have said by the end of the world.
    pub(crate) key_lists: Vec<Envelope<KeyList>>,
    /// What she is certified with, and will be.
    pub(crate) chains: Vec<CertificateChain>,
}

impl Person {
    pub(crate) fn account(&self) -> Account {
        Account { id: self.account, device: public(&self.device), identity: Arc::clone(&self.identity) }
    }

    pub(crate) fn device_id(&self) -> KeyId {
        device_key_id(&self.device)
    }

    fn recipient(&self) -> Recipient {
        self.identity.recipient().clone()
    }

    fn reader(&self, role: ReaderRole) -> Reader {
        let key = KeyId::of_recipient(&self.recipient().to_string());
        Reader { account: self.account, key, role, until: None }
    }

    fn statements(&self) -> MemberStatements {
        let CertificateChain { issuer, certificate } = self.chains[0].clone();
        MemberStatements { issuer, certificate, key_list: self.key_lists[0].clone() }
    }
}

/// Everybody.
pub(crate) struct People {
    pub(crate) organisation: OrganisationId,
    pub(crate) anna: Person,
    pub(crate) dora: Person,
    pub(crate) suite: Suite,
}

impl People {
    pub(crate) fn new(random: &mut Random, suite: Suite) -> Self {
        let root = SigningKey::from_bytes(&random.key());
        let issuer = SigningKey::from_bytes(&random.key());
        let organisation = OrganisationId::of_root(&public(&root));
        let statement = IssuerCertificate {
            organisation,
            root: public(&root),
            issuer: public(&issuer),
            not_before: time(-YEAR),
            not_after: time(4 * YEAR),
            number: 1,
            ended: Vec::new(),
            revocations: false,
            roles: vec![Role::Clinician, Role::Patient],
        };
        let root_id = KeyId::of_organisation_root(&public(&root));
        let issuer_envelope =
            envelope::sign(&statement, root_id, |bytes| root.sign(bytes)).expect("an issuer certificate");
        let mut person = |role: Role, label: &str| {
            let root = SigningKey::from_bytes(&random.key());
            let device = SigningKey::from_bytes(&random.key());
            let tablet = SigningKey::from_bytes(&random.key());
            let identity = Identity::generate(suite).expect("an identity");
            let account = AccountId::of_root(&public(&root));
            let chains = [-1000, -500].map(|issued| {
                let certificate = Certificate {
                    organisation,
                    account,
                    role,
                    label: Some(label.to_owned()),
                    issued: time(issued),
                    not_before: time(issued),
                    not_after: time(YEAR + issued),
                    succeeds: None,
                    guardians: Vec::new(),
                };
                let key_id = KeyId::of_issuer(&public(&issuer));
                let certificate = envelope::sign(&certificate, key_id, |bytes| issuer.sign(bytes));
                let certificate = certificate.expect("a certificate");
                CertificateChain { issuer: issuer_envelope.clone(), certificate }
            });
            let mut key_lists: Vec<Envelope<KeyList>> = Vec::new();
            let mut more: Vec<DeviceKey> = Vec::new();
            for number in 1..=3 {
                let roles = vec![DeviceRole::Auth, DeviceRole::Seal];
                let sealing = [&device, &tablet];
                let mut devices: Vec<DeviceKey> =
                    sealing.map(|key| DeviceKey { key: public(key), roles: roles.clone() }).into();
                if number > 1 {
                    let another = SigningKey::from_bytes(&random.key());
                    more.push(DeviceKey { key: public(&another), roles: vec![DeviceRole::Auth] });
                }
                devices.extend(more.iter().cloned());
                let list = KeyList {
                    account,
                    root: public(&root),
                    number,
                    previous: key_lists.last().map(Envelope::digest),
                    created: time(-900 + i64::try_from(number).unwrap_or(0)),
                    epoch: 1,
                    encryption: vec![EncryptionKey { suite, recipient: identity.recipient().to_string() }],
                    devices,
                    removed: Vec::new(),
                    allows: Vec::new(),
                };
                let key_id = KeyId::of_account_root(&public(&root));
                key_lists.push(envelope::sign(&list, key_id, |bytes| root.sign(bytes)).expect("a key list"));
            }
            Person {
                account,
                device: Arc::new(device),
                tablet,
                identity: Arc::new(identity),
                key_lists,
                chains: chains.to_vec(),
            }
        };
        let anna = person(Role::Patient, "Anna");
        let dora = person(Role::Clinician, "Dora");
        Self { organisation, anna, dora, suite }
    }

    pub(crate) fn person(&self, account: AccountId) -> Option<&Person> {
        [&self.anna, &self.dora].into_iter().find(|person| person.account == account)
    }
}

/// Something that a sealer puts on the server.
pub(crate) struct Sent {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Bytes,
    pub(crate) progress: Option<String>,
}

/// A recording as it really is.
pub(crate) struct TrueRecording {
    pub(crate) id: RecordingId,
    pub(crate) manifest: Digest,
    /// What was recorded, segment by segment, each with its track.
    pub(crate) segments: Vec<(u8, Vec<u8>)>,
    /// The one end that its sealer gave it, with its details.
    pub(crate) end: Option<Ending>,
    /// Another end, which the sealer's key signed too: what an attacker has who took that key.
    pub(crate) other_end: Option<Ending>,
    /// What is not on the server yet.
    pub(crate) to_send: VecDeque<Sent>,
    /// What its program was told, if it is a program of this world that seals it.
    pub(crate) live: Option<Live>,
}

pub(crate) struct Ending {
    pub(crate) seal: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) details: Vec<u8>,
    pub(crate) title: String,
}

impl TrueRecording {
    /// One that a program of the world seals.
    pub(crate) fn live(id: RecordingId, manifest: Option<Digest>, live: Live) -> Self {
        let manifest = manifest.unwrap_or(Digest::from_bytes([0; 32]));
        let (segments, to_send) = (Vec::new(), VecDeque::new());
        Self { id, manifest, segments, end: None, other_end: None, to_send, live: Some(live) }
    }

    /// The titles that it ever had.
    pub(crate) fn titles(&self) -> Vec<String> {
        let ends = [&self.end, &self.other_end];
        let titles = ends.into_iter().filter_map(|end| end.as_ref().map(|end| end.title.clone()));
        titles.chain(self.live.as_ref().and_then(|live| live.title.clone())).collect()
    }

    /// What was recorded of a track, or of all of them as they follow each other.
    pub(crate) fn plaintext(&self, track: Option<u8>) -> Vec<u8> {
        let wanted = self.segments.iter().filter(|(of, _)| track.is_none_or(|track| track == *of));
        wanted.flat_map(|(_, bytes)| bytes.iter().copied()).collect()
    }

    /// As [`Self::plaintext`], each track with its padding if programs pad.
    pub(crate) fn padded_plaintext(&self, track: Option<u8>, pads: bool) -> Vec<u8> {
        if !pads || self.live.is_none() {
            return self.plaintext(track);
        }
        let mut plaintext = Vec::new();
        // Programs seal one track after the other.
        for of_one in self.segments.chunk_by(|(one, _), (other, _)| one == other) {
            if track.is_some_and(|track| of_one.iter().any(|(of, _)| *of != track)) {
                continue;
            }
            let bytes: usize = of_one.iter().map(|(_, bytes)| bytes.len()).sum();
            let padded = usize::try_from(padded_size(bytes as u64)).unwrap_or(usize::MAX);
            let before = plaintext.len();
            plaintext.extend(of_one.iter().flat_map(|(_, bytes)| bytes.iter().copied()));
            plaintext.resize(before + padded, 0);
        }
        plaintext
    }

    /// Plaintext bytes of its segments once it has ended, with its padding if programs pad.
    pub(crate) fn padded_length(&self, pads: bool) -> u64 {
        self.padded_plaintext(None, pads).len() as u64
    }

    pub(crate) fn length(&self) -> u64 {
        self.segments.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }
}

/// Seals a recording of Anna and Dora with Dora's tablet, for good or up to where its sealer died.
pub(crate) fn seal(people: &People, random: &mut Random, sequence: u64) -> TrueRecording {
    let People { anna, dora, .. } = people;
    let (mut named, mut members) = (NamedStatements::default(), Vec::new());
    for person in [anna, dora] {
        let statements = person.statements();
        statements.put_into(&mut named);
        members.push(statements.member(person.account));
    }
    members.sort_unstable_by_key(|member| member.account);
    let mut salt = [0; 16];
    salt.copy_from_slice(&random.bytes(16));
    let salt = RecordingSalt::from_bytes(salt);
    let sealer_key = device_key_id(&dora.tablet);
    let id = RecordingId::of(&sealer_key, &salt);
    let key = RecordingKey::generate(people.suite).expect("a key");
    let key_object = key.seal(&people.organisation, &id, &[anna.recipient(), dora.recipient()]);
    let key_object = key_object.expect("a key object");
    let manifest = Manifest {
        suite: people.suite,
        recording: id,
        salt,
        tenant: people.organisation,
        consultation: "knee".parse().expect("a consultation"),
        patient: anna.account,
        clinician: dora.account,
        key: key.id(),
        key_object: Digest::of(&key_object),
        readers: vec![anna.reader(ReaderRole::Patient), dora.reader(ReaderRole::Clinician)],
        sealer: dora.account,
        sealer_key,
        sequence,
        members,
        directory_checkpoint: None,
        created: time(0),
        policy: Vec::new(),
        replaces: NotYet,
    };
    let unsigned = prepare_manifest(&manifest, public(&dora.tablet)).expect("a manifest");
    let manifest = dora.tablet.sign_statement(unsigned).expect("a signed manifest");
    let verified =
        manifest.verify(device_key_id(&dora.tablet), &public(&dora.tablet)).expect("a verified manifest");
    let body = CreateRecording {
        manifest: manifest.clone(),
        key: base64::encode(&key_object),
        statements: named
            .iter()
            .map(|(_, envelope)| String::from_utf8(envelope.to_vec()).expect("an envelope is text"))
            .collect(),
    };
    let json = |method, path: String, body: Vec<u8>| Sent { method, path, body: body.into(), progress: None };
    let body = serde_json::to_vec(&body).expect("a body");
    let mut to_send = VecDeque::from([json(Method::Post, wire::path::RECORDINGS.to_owned(), body)]);
    let mut sealer = RecordingSealer::new(verified, key.recipient().clone()).expect("a sealer");
    let mut segments = Vec::new();
    let dies = random.happens(1, 5);
    let long = random.happens(1, 6);
    let count = 1 + random.below(3);
    let mut died = false;
    for index in 0..u32::try_from(count).unwrap_or(1) {
        let last = index as usize + 1 == count;
        let track = u8::try_from(random.below(2)).unwrap_or(0);
        let part_chunks = random.pick(&PartChunks::ALL).copied().unwrap_or(PartChunks::ONE);
        let mut segment = sealer.begin_segment(track, part_chunks).expect("a segment");
        let header = OpenSegment { track, part_chunks, header: base64::encode(segment.header()) };
        let header = serde_json::to_vec(&header).expect("a header");
        to_send.push_back(json(Method::Put, wire::path::segment(&id, index), header));
        let length = match (long && last, dies && last) {
            (true, true) => part_chunks.plaintext(),
            (true, false) => part_chunks.plaintext() + random.below(4000),
            // Nothing of it is proved.
            (false, true) => 0,
            (false, false) => random.below(3000),
        };
        let plaintext = random.bytes(length);
        let dying = dies && last;
        let mut hashes = Vec::new();
        let mut tree = TreeBuilder::new();
        let mut last_length = 0;
        let pieces: Vec<&[u8]> = if plaintext.is_empty() {
            vec![&[]]
        } else {
            plaintext.chunks(part_chunks.plaintext()).collect()
        };
        if dying && plaintext.is_empty() {
            segments.push((track, plaintext));
            died = true;
            break;
        }
        for (at, piece) in pieces.iter().enumerate() {
            let ends = at + 1 == pieces.len() && !dying;
            let part = segment.next_part(piece.to_vec(), ends).expect("a part").run().expect("a sealed part");
            let digest = Digest::of(&part.ciphertext);
            hashes.push(digest);
            tree.push(digest.as_bytes());
            last_length = part.ciphertext.len();
            let progress = (!ends).then(|| {
                let unsigned = sealer.prepare_progress(&segment.start(), &tree, time(5)).expect("progress");
                let signed = dora.tablet.sign_statement(unsigned).expect("signed progress");
                String::from_utf8(signed.bytes().to_vec()).expect("progress is text")
            });
            let path = wire::path::part(&id, index, u32::try_from(at).unwrap_or(0));
            to_send.push_back(Sent {
                method: Method::Put,
                path,
                body: part.ciphertext.to_vec().into(),
                progress,
            });
        }
        segments.push((track, plaintext));
        if dying && random.happens(1, 2) {
            died = true;
            break;
        }
        let end = if dying { BodyEnd::Cut } else { BodyEnd::Final };
        let facts =
            SegmentFacts { start: segment.start(), part_hashes: hashes, last_part_length: last_length, end };
        let seal = dora.tablet.sign_statement(sealer.prepare_seal(&facts).expect("a seal"));
        let seal = seal.expect("a signed seal");
        sealer.continue_after(&seal).expect("a seal that follows");
        to_send.push_back(json(Method::Put, wire::path::seal(&id, index), seal.bytes().to_vec()));
    }
    let ending = |title: String, status| {
        let tracks: Vec<Track> = (0..2u8)
            .filter(|track| segments.iter().any(|(of, _)| of == track))
            .map(|track| {
                let of_track = segments.iter().filter(|(of, _)| *of == track);
                let plaintext: Vec<u8> = of_track.flat_map(|(_, bytes)| bytes.iter().copied()).collect();
                Track {
                    track,
                    media_type: "audio/webm".to_owned(),
                    bytes: plaintext.len() as u64,
                    duration_ms: Some(7000),
                    sha256: Some(Digest::of(&plaintext)),
                    seek: None,
                }
            })
            .collect();
        let details = Details { title: Some(title.clone()), started: time(0), ended: time(7), tracks };
        let (details, unsigned) = sealer.prepare_final(&details, status, time(7)).expect("an end");
        let seal = dora.tablet.sign_statement(unsigned).expect("a signed end");
        Ending { seal: seal.bytes().to_vec(), digest: seal.digest(), details, title }
    };
    let (mut end, mut other_end) = (None, None);
    if !died {
        let status = if dies { RecordingStatus::Recovered } else { RecordingStatus::Complete };
        let real = ending(format!("title {sequence}"), status);
        to_send.push_back(json(Method::Put, wire::path::details(&id), real.details.clone()));
        to_send.push_back(json(Method::Put, wire::path::final_seal(&id), real.seal.clone()));
        end = Some(real);
        other_end = Some(ending(format!("another title of {sequence}"), RecordingStatus::Recovered));
    }
    TrueRecording { id, manifest: manifest.digest(), segments, end, other_end, to_send, live: None }
}
