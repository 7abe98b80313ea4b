//! A sealing device without the command line: the SDK's own sealer, for recordings that the command line does not make
//! (several tracks and segments) and for devices that misbehave.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use secrecy::SecretString;
use vault_client::SessionOptions;
use vault_client::clock::now;
use vault_client::home_folder::HomeFolder;
use vault_core::details::{Details, Track};
use vault_core::recipient::Recipient;
use vault_core::recording_key::RecordingKey;
use vault_core::sealing::{RecordingSealer, SegmentFacts, prepare_manifest};
use vault_core::signing_key::SigningKey;
use vault_engine::effects::Method;
use vault_engine::home::account::{self, Account, Unlocked};
use vault_engine::server::connection::Connection;
use vault_proto::envelope::{self, Envelope, Verified};
use vault_proto::geometry::{MAX_PART_PLAINTEXT, PartChunks};
use vault_proto::ids::{AccountId, Digest, KeyId, OrganisationId, RecordingId, RecordingSalt};
use vault_proto::members::{CertificateChain, MemberStatements};
use vault_proto::named_statements::NamedStatements;
use vault_proto::statements::{
    EncryptionKey, FinalSeal, Manifest, NotYet, Reader, ReaderRole, RecordingStatus, SegmentSeal,
};
use vault_proto::wire::{self, CreateRecording, OpenSegment};

use crate::command::PASSPHRASE;
use crate::hostile::{Objects, SegmentObjects};

/// An unlocked account in this process.
pub struct Device {
    /// What opens recordings.
    pub account: Account,
    /// The key that signs for it.
    pub key: SigningKey,
    /// Its own statements.
    pub member: MemberStatements,
    /// Its home.
    pub home: PathBuf,
}

/// Who seals what for whom.
pub struct Plan<'a> {
    /// The organisation.
    pub tenant: OrganisationId,
    /// The patient.
    pub patient: &'a MemberStatements,
    /// The clinician.
    pub clinician: &'a MemberStatements,
    /// The sealer's statements.
    pub sealer: &'a MemberStatements,
    /// Title.
    pub title: &'a str,
    /// Track and plaintext of each segment.
    pub segments: &'a [(u8, &'a [u8])],
}

/// A manifest that was signed, with what it was signed over.
pub struct Begun {
    /// The manifest's envelope.
    pub envelope: Envelope<Manifest>,
    /// The manifest.
    pub manifest: Verified<Manifest>,
    /// What the recording is sealed to.
    pub key: Recipient,
    /// The key object.
    pub key_object: Vec<u8>,
    /// The statements that it names.
    pub statements: BTreeMap<Digest, String>,
}

/// Numbers that no chain of a command line reaches.
static SEQUENCE: AtomicU64 = AtomicU64::new(1_000_000);

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("statements are text")
}

impl Device {
    /// Unlocks the account of a home.
    pub fn unlock(home: &Path) -> Self {
        let known = HomeFolder::new(home).home();
        let passphrase = SecretString::from(PASSPHRASE);
        let (Unlocked { account, device: key }, profile) = runtime().block_on(async {
            let unlocked = account::unlock(&known, &passphrase).await.expect("it opens");
            (unlocked, account::profile(&known).await.expect("a profile"))
        });
        let chain = profile.chain.expect("a certificate");
        let CertificateChain { issuer, certificate } = chain;
        let member = MemberStatements { issuer, certificate, key_list: profile.key_list };
        Self { account, key, member, home: home.to_owned() }
    }

    /// Signs a manifest.
    pub fn begin(&self, plan: &Plan<'_>) -> Begun {
        let account = |member: &MemberStatements| member.certificate.unverified().account;
        let mut people = vec![plan.patient, plan.clinician];
        if !people.iter().any(|member| account(member) == self.account.id) {
            people.push(plan.sealer);
        }
        people.sort_by_key(|member| account(member));
        let mut named = NamedStatements::default();
        for member in &people {
            member.put_into(&mut named);
        }
        let key = |member: &MemberStatements| {
            member.key_list.unverified().encryption.first().expect("an encryption key").clone()
        };
        let keys = [plan.patient, plan.clinician].map(|member| (account(member), key(member)));
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).expect("random bytes");
        let salt = RecordingSalt::from_bytes(salt);
        let sealer_key = KeyId::of_device(&self.account.device);
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        let [(patient, first), (clinician, second)] = &keys;
        let recording = RecordingId::of(&sealer_key, &salt);
        let recipients = [first, second].map(|key| key.recipient.parse().expect("a recipient"));
        let own_key = RecordingKey::generate(first.suite).expect("a key");
        let key_object = own_key.seal(&plan.tenant, &recording, &recipients).expect("a key object");
        let reader = |account: &AccountId, key: &EncryptionKey, role| Reader {
            account: *account,
            key: key.key_id(),
            role,
            until: None,
        };
        let manifest = Manifest {
            suite: first.suite,
            recording,
            salt,
            tenant: plan.tenant,
            consultation: "sdk".parse().expect("a consultation id"),
            patient: *patient,
            clinician: *clinician,
            key: own_key.id(),
            key_object: Digest::of(&key_object),
            readers: vec![
                reader(patient, first, ReaderRole::Patient),
                reader(clinician, second, ReaderRole::Clinician),
            ],
            sealer: self.account.id,
            sealer_key,
            sequence,
            members: people.iter().map(|member| member.member(account(member))).collect(),
            directory_checkpoint: None,
            created: now().expect("a clock"),
            policy: Vec::new(),
            replaces: NotYet,
        };
        let public = self.account.device;
        let unsigned = prepare_manifest(&manifest, public).expect("a manifest");
        let envelope = self.key.sign_statement(unsigned).expect("a manifest");
        let manifest = envelope.verify(manifest.sealer_key, &public).expect("its own signature");
        let key = own_key.recipient().clone();
        let statements = named.iter().map(|(digest, envelope)| (*digest, text(envelope))).collect();
        Begun { envelope, manifest, key, key_object, statements }
    }

    /// Seals a recording, as an honest device does.
    pub fn seal(&self, plan: &Plan<'_>) -> (RecordingId, Objects) {
        let begun = self.begin(plan);
        let recording = begun.manifest.recording;
        let at = begun.manifest.created;
        let mut sealer = RecordingSealer::new(begun.manifest, begun.key).expect("a sealer");
        let mut segments = Vec::new();
        for (track, content) in plan.segments {
            let mut segment = sealer.begin_segment(*track, PartChunks::FIFTEEN).expect("a segment");
            let header = segment.header().to_vec();
            let mut pieces = content.chunks(MAX_PART_PLAINTEXT).peekable();
            let mut parts = Vec::new();
            while let Some(piece) = pieces.next() {
                let job = segment.next_part(piece.to_vec(), pieces.peek().is_none()).expect("a part");
                parts.push(job.run().expect("a part").ciphertext);
            }
            let hashes = parts.iter().map(|part| Digest::of(part)).collect();
            let facts = segment.finish(hashes, parts.last().expect("a part").len());
            let seal = seal_segment(&mut sealer, &facts, &self.key);
            let mut objects =
                SegmentObjects { header, seal: Some(text(seal.bytes())), ..SegmentObjects::default() };
            objects.set_parts(&parts);
            segments.push(objects);
        }
        let mut contents: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        for (track, content) in plan.segments {
            contents.entry(*track).or_default().extend_from_slice(content);
        }
        let tracks = contents
            .into_iter()
            .map(|(track, content)| Track {
                track,
                media_type: if track == 0 { "audio/webm" } else { "video/webm" }.to_owned(),
                sha256: Some(Digest::of(&content)),
                ..only_track(content.len() as u64)
            })
            .collect();
        let details = Details { title: Some(plan.title.to_owned()), started: at, ended: at, tracks };
        let (details, final_seal) =
            sealer.prepare_final(&details, RecordingStatus::Complete, at).expect("a final seal");
        let final_seal = self.key.sign_statement(final_seal).expect("a final seal");
        let objects = Objects {
            manifest: text(begun.envelope.bytes()),
            key: begun.key_object,
            statements: begun.statements,
            segments,
            details,
            final_seal: Some(text(final_seal.bytes())),
        };
        (recording, objects)
    }

    /// Seals nothing: a recording of one segment, whose body is `clear` as it is and whose details end with it. All
    /// statements are signed and fit, as those of a client would whose encryption was taken out.
    pub fn seal_in_the_clear(&self, plan: &Plan<'_>, clear: &[u8]) -> (RecordingId, Objects) {
        let begun = self.begin(plan);
        let recording = begun.manifest.recording;
        let (at, key_id) = (begun.manifest.created, begun.manifest.sealer_key);
        let digest = begun.manifest.digest();
        let sign = |bytes: &[u8]| self.key.sign(bytes);
        let mut sealer = RecordingSealer::new(begun.manifest, begun.key).expect("a sealer");
        let segment = sealer.begin_segment(0, PartChunks::FIFTEEN).expect("a segment");
        let mut objects = SegmentObjects { header: segment.header().to_vec(), ..SegmentObjects::default() };
        objects.set_parts(&[clear.to_vec()]);
        let facts = segment.finish(vec![Digest::of(clear)], clear.len());
        let seal = seal_segment(&mut sealer, &facts, &self.key);
        objects.seal = Some(text(seal.bytes()));
        let total_length = sealer.total_length();
        let details = Details { title: None, started: at, ended: at, tracks: vec![only_track(total_length)] };
        let (sealed, _) = sealer.prepare_final(&details, RecordingStatus::Complete, at).expect("details");
        let (_, header) = vault_proto::age_header::Header::parse(&sealed).expect("a header");
        let mut details: Vec<u8> = sealed.into_iter().take(header).collect();
        details.extend_from_slice(clear);
        let final_seal = FinalSeal {
            manifest: digest,
            segments: 1,
            last_seal: seal.digest(),
            total_length,
            details: Digest::of(&details),
            ended: at,
            status: RecordingStatus::Complete,
            supersedes: None,
        };
        let final_seal = envelope::sign(&final_seal, key_id, sign).expect("a final seal");
        let objects = Objects {
            manifest: text(begun.envelope.bytes()),
            key: begun.key_object,
            statements: begun.statements,
            segments: vec![objects],
            details,
            final_seal: Some(text(final_seal.bytes())),
        };
        (recording, objects)
    }

    /// A connection to a server in this account's name.
    pub fn connection(&self, server: &str) -> Connection {
        let options = SessionOptions { server: Some(server.to_owned()), ..SessionOptions::default() };
        let (folder, passphrase) = (HomeFolder::new(&self.home), SecretString::from(PASSPHRASE));
        let session = runtime().block_on(vault_client::unlock_with(&folder, &passphrase, options));
        session.expect("a server address").connection().clone()
    }

    /// Stores the objects of a recording on a server, through the protocol.
    pub fn upload(&self, server: &str, recording: RecordingId, objects: &Objects) {
        let connection = self.connection(server);
        runtime().block_on(async {
            let manifest = Envelope::parse(objects.manifest.as_bytes()).expect("a manifest");
            let key = data_encoding::BASE64.encode(&objects.key);
            let statements = objects.statements.values().cloned().collect();
            let body = CreateRecording { manifest, key, statements };
            connection.send_json(Method::Post, wire::path::RECORDINGS, &body).await.expect("created");
            for (index, segment) in (0u32..).zip(&objects.segments) {
                let seal = segment.seal.clone().expect("a seal");
                let track = Envelope::<vault_proto::statements::SegmentSeal>::parse(seal.as_bytes())
                    .map_or(0, |seal| seal.unverified().track);
                let header = data_encoding::BASE64.encode(&segment.header);
                let body = OpenSegment { track, part_chunks: PartChunks::FIFTEEN, header };
                let path = wire::path::segment(&recording, index);
                connection.send_json(Method::Put, &path, &body).await.expect("opened");
                for (number, part) in (0u32..).zip(segment.split()) {
                    put(&connection, &wire::path::part(&recording, index, number), part).await;
                }
                put(&connection, &wire::path::seal(&recording, index), seal.into_bytes()).await;
            }
            put(&connection, &wire::path::details(&recording), objects.details.clone()).await;
            let final_seal = objects.final_seal.clone().expect("a final seal");
            put(&connection, &wire::path::final_seal(&recording), final_seal.into_bytes()).await;
        });
    }
}

/// What details say of a track 0 with so many bytes, of which no more is known.
pub fn only_track(bytes: u64) -> Track {
    Track {
        track: 0,
        media_type: "audio/webm".to_owned(),
        bytes,
        duration_ms: None,
        sha256: None,
        seek: None,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

async fn put(connection: &Connection, path: &str, bytes: Vec<u8>) {
    connection
        .send_bytes(Method::Put, path, bytes.into(), "application/octet-stream")
        .await
        .unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Signs and counts a seal, as a sealer does.
///
/// # Panics
/// If the facts are not of the next segment, or `device` did not begin the recording.
pub fn seal_segment(
    sealer: &mut RecordingSealer,
    facts: &SegmentFacts,
    device: &SigningKey,
) -> Envelope<SegmentSeal> {
    let unsigned = sealer.prepare_seal(facts).expect("a seal");
    let seal = device.sign_statement(unsigned).expect("the device that began");
    sealer.continue_after(&seal).expect("the next seal");
    seal
}
