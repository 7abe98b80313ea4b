//! The escape hatch: recordings sealed by `vault-core`, opened by age programs that nobody here wrote. They open the
//! key object with a reader's identity, and segments and details with the identity file that comes out.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test's helpers fail by panicking and say what they skip, as its test functions do"
)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use secrecy::SecretString;
use vault_core::details::{Details, Track};
use vault_core::identity::Identity;
use vault_core::identity_file::DeviceSecrets;
use vault_core::passphrase_file::{self, WorkFactor};
use vault_core::recording_key::RecordingKey;
use vault_core::sealing::{RecordingSealer, prepare_manifest};
use vault_core::signing_key::SigningKey;
use vault_proto::geometry::{CHUNK_PLAINTEXT, MAX_PART_PLAINTEXT, PartChunks};
use vault_proto::ids::{AccountId, Digest, KeyId, PublicKey, RecordingId, RecordingSalt};
use vault_proto::statements::{Manifest, Member, NotYet, Reader, ReaderRole, RecordingStatus, Suite};
use vault_tests::sealing_device::seal_segment;
use vault_tests::vectors::cast::{Cast, key_of, time};
use vault_tests::vectors::draft::{Draft, media};

/// A recording as it lies in a store, with the identities of its patient and clinician.
struct Stored {
    key: Vec<u8>,
    segments: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    details: Vec<u8>,
    readers: [Identity; 2],
}

/// What a manifest names of these accounts; nothing here looks at it.
fn members_of(accounts: &[AccountId]) -> Vec<Member> {
    let named = Digest::of(b"");
    let member =
        |account| Member { account, issuer: named, certificate: named, key_list: named, device: None };
    let mut accounts = accounts.to_vec();
    accounts.sort_unstable();
    accounts.into_iter().map(member).collect()
}

fn seal(suite: Suite, lengths: &[usize]) -> Stored {
    let cast = Cast::of("hospital");
    let device = &cast.clinician.device;
    let readers = [cast.patient.identity(suite), cast.clinician.identity(suite)];
    let accounts = [cast.patient.account, cast.clinician.account];
    let roles = [ReaderRole::Patient, ReaderRole::Clinician];
    let salt = RecordingSalt::from_bytes([7; 16]);
    let recording = RecordingId::of(&cast.clinician.device_id(), &salt);
    let key = RecordingKey::generate(suite).unwrap();
    let recipients = readers.each_ref().map(|identity| identity.recipient().clone());
    let key_object = key.seal(&cast.organisation(), &recording, &recipients).unwrap();
    let manifest = Manifest {
        suite,
        recording,
        salt,
        tenant: cast.organisation(),
        consultation: "interop".parse().unwrap(),
        patient: accounts[0],
        clinician: accounts[1],
        key: key.id(),
        key_object: Digest::of(&key_object),
        readers: std::iter::zip(accounts, &readers)
            .zip(roles)
            .map(|((account, identity), role)| Reader { account, key: key_of(identity), role, until: None })
            .collect(),
        sealer: accounts[1],
        sealer_key: cast.clinician.device_id(),
        sequence: 1,
        members: members_of(&accounts),
        directory_checkpoint: None,
        created: time("2026-11-21T09:30:00Z"),
        policy: Vec::new(),
        replaces: NotYet,
    };
    let sealer_key = PublicKey::from_bytes(device.public());
    let envelope = device.sign_statement(prepare_manifest(&manifest, sealer_key).unwrap()).unwrap();
    let verified = envelope.verify(KeyId::of_device(&sealer_key), &sealer_key).unwrap();
    let mut sealer = RecordingSealer::new(verified, key.recipient().clone()).unwrap();
    let mut segments = Vec::new();
    for (track, &length) in (0..).zip(lengths) {
        let plaintext = media("interop", length);
        let mut segment = sealer.begin_segment(track, PartChunks::FIFTEEN).unwrap();
        let header = segment.header().to_vec();
        let mut pieces: Vec<&[u8]> = plaintext.chunks(MAX_PART_PLAINTEXT).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        let (mut body, mut hashes, mut last_length) = (Vec::new(), Vec::new(), 0);
        for (at, piece) in pieces.iter().enumerate() {
            let part = segment.next_part(piece.to_vec(), at + 1 == pieces.len()).unwrap().run().unwrap();
            hashes.push(Digest::of(&part.ciphertext));
            last_length = part.ciphertext.len();
            body.extend(part.ciphertext);
        }
        seal_segment(&mut sealer, &segment.finish(hashes, last_length), device);
        segments.push((header, body, plaintext));
    }
    let details = Details {
        title: Some("Interop".to_owned()),
        started: time("2026-11-21T09:30:00Z"),
        ended: time("2026-11-21T09:45:00Z"),
        tracks: (0..)
            .zip(&segments)
            .map(|(track, (_, _, plaintext))| Track {
                track,
                media_type: "video/webm".to_owned(),
                bytes: plaintext.len() as u64,
                duration_ms: None,
                sha256: Some(Digest::of(plaintext)),
                seek: None,
            })
            .collect(),
    };
    let ended = details.ended;
    let (details, _) = sealer.prepare_final(&details, RecordingStatus::Complete, ended).unwrap();
    Stored { key: key_object, segments, details, readers }
}

const LENGTHS: [usize; 4] = [0, CHUNK_PLAINTEXT, CHUNK_PLAINTEXT + 1, 2 * MAX_PART_PLAINTEXT + 70_000];

/// The program or folder that `tests/run` names in `variable`; without it the test is skipped, and in CI fails.
fn named(variable: &str) -> Option<OsString> {
    let value = std::env::var_os(variable);
    if value.is_none() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{variable} is not set, and CI must run this");
        println!("SKIPPED: {variable} is not set");
    }
    value
}

/// An opener: takes an identity file and a whole age file.
type Opener = Box<dyn Fn(&Path, &Path) -> Output>;

fn stock_age() -> Option<Opener> {
    let program = named("AGE_BIN")?;
    Some(Box::new(move |identity, file| {
        Command::new(&program).arg("-d").arg("-i").arg(identity).arg(file).output().unwrap()
    }))
}

fn npm_age() -> Option<Opener> {
    let (node, folder) = (named("NODE_BIN")?, named("INTEROP_DIR")?);
    let script = Path::new(&folder).join("open.mjs");
    Some(Box::new(move |identity, file| {
        Command::new(&node).arg(&script).arg(identity).arg(file).output().unwrap()
    }))
}

/// A folder with what an opener is given.
struct Desk<'a> {
    open: &'a Opener,
    folder: tempfile::TempDir,
}

impl<'a> Desk<'a> {
    fn new(open: &'a Opener) -> Self {
        Self { open, folder: tempfile::tempdir().unwrap() }
    }

    fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// What comes of a whole age file for an identity file.
    fn opened(&self, identity: &Path, content: &[u8]) -> Output {
        (self.open)(identity, &self.put("sealed.age", content))
    }

    /// The same, where it has to open.
    fn plaintext(&self, identity: &Path, content: &[u8]) -> Vec<u8> {
        let output = self.opened(identity, content);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// The identity file that a key object holds, opened with a reader's.
    fn key(&self, reader: &Path, object: &[u8]) -> PathBuf {
        self.put("key.txt", &self.plaintext(reader, object))
    }
}

fn line(identity: &Identity) -> Vec<u8> {
    format!("{}\n", *identity.export()).into_bytes()
}

fn opens_everything(open: &Opener, suite: Suite) {
    let stored = seal(suite, &LENGTHS);
    let desk = Desk::new(open);
    for identity in &stored.readers {
        let key = desk.key(&desk.put("identity.txt", &line(identity)), &stored.key);
        for (header, body, plaintext) in &stored.segments {
            let opened = desk.plaintext(&key, &[&header[..], body].concat());
            assert!(opened == *plaintext, "{} bytes came out otherwise", plaintext.len());
        }
        let details: Details = serde_json::from_slice(&desk.plaintext(&key, &stored.details)).unwrap();
        assert_eq!(details.title.as_deref(), Some("Interop"));
    }
    // The opener refuses what it should, so that its success above says something.
    let (reader, key) =
        (desk.put("identity.txt", &line(&stored.readers[0])), desk.folder.path().join("key.txt"));
    let (header, body, _) = &stored.segments[3];
    let segment = [&header[..], body].concat();
    let mut changed = segment.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(!desk.opened(&key, &changed).status.success());
    assert!(!desk.opened(&reader, &segment).status.success(), "only the recording's key opens a segment");
    let stranger = desk.put("stranger.txt", &line(&Identity::generate(suite).unwrap()));
    assert!(!desk.opened(&stranger, &segment).status.success());
    assert!(!desk.opened(&stranger, &stored.key).status.success());
}

/// A key object may hold a note, which every age program passes over.
fn a_noted_key_opens(open: &Opener, suite: Suite) {
    let cast = Cast::of("hospital");
    let mut draft = Draft::new(&cast, suite, "interop note", &[(0, 70_000)]);
    draft.on_key_text = Box::new(|text| *text = format!("# note: Knie, links\n{text}"));
    let recording = draft.record();
    let desk = Desk::new(open);
    let reader = desk.put("identity.txt", &line(&cast.clinician.identity(suite)));
    let key = desk.key(&reader, &recording.objects.key);
    assert!(std::fs::read_to_string(&key).unwrap().starts_with("# note: Knie, links\nAGE-SECRET-KEY-"));
    let segment = &recording.objects.segments[0];
    let opened = desk.plaintext(&key, &[&segment.header[..], &segment.body].concat());
    assert!(opened == recording.takes[0].plaintext);
}

#[test]
fn stock_age_opens_the_key_and_with_it_every_segment_and_the_details() {
    if let Some(open) = stock_age() {
        opens_everything(&open, Suite::X25519);
        a_noted_key_opens(&open, Suite::X25519);
    }
}

#[test]
fn the_command_of_the_specification_opens_a_segment() {
    let (Some(age), Some(bash)) = (named("AGE_BIN"), named("BASH_BIN")) else { return };
    let specification = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/FORMAT.md");
    let specification = std::fs::read_to_string(specification).unwrap();
    let command = specification.lines().find(|line| line.starts_with("cat seg/0/header ")).unwrap();
    let stored = seal(Suite::X25519, &[100_000]);
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).unwrap();
    let (header, body, plaintext) = &stored.segments[0];
    std::fs::create_dir_all(folder.path().join("seg/0")).unwrap();
    put("seg/0/header", header);
    put("seg/0/body", body);
    put("key.0", &stored.key);
    put("identity.txt", &line(&stored.readers[0]));
    let run = |command: &str| {
        let script = format!("age() {{ \"$AGE\" \"$@\"; }}; {command}");
        Command::new(&bash).args(["-c", &script]).env("AGE", &age).current_dir(&folder).output().unwrap()
    };
    let output = run(command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == *plaintext);
    put("identity.txt", &line(&Identity::generate(Suite::X25519).unwrap()));
    assert!(!run(command).status.success());
}

#[test]
fn npm_age_opens_both_suites() {
    if let Some(open) = npm_age() {
        for suite in [Suite::X25519, Suite::Pq] {
            opens_everything(&open, suite);
            a_noted_key_opens(&open, suite);
        }
    }
}

/// What is inside an identity file is an identity file of age: nothing of this project is needed to use it.
fn an_unlocked_identity_file_opens(open: &Opener, suite: Suite) {
    let Stored { key, segments, readers: [identity, _], .. } = seal(suite, &[100_000]);
    let secrets = DeviceSecrets {
        account_root: PublicKey::from_bytes([3; 32]),
        device: SigningKey::from_bytes(&[4; 32]),
        epoch: 1,
        identity,
    };
    let passphrase = SecretString::from("a passphrase of the test");
    let text =
        passphrase_file::unlock(&passphrase, &secrets.lock(&passphrase, WorkFactor::LEAST).unwrap()).unwrap();
    assert_eq!(secrets.account(), AccountId::of_root(&secrets.account_root));
    let desk = Desk::new(open);
    let key = desk.key(&desk.put("identity.txt", text.as_slice()), &key);
    let (header, body, plaintext) = &segments[0];
    assert!(desk.plaintext(&key, &[&header[..], body].concat()) == *plaintext);
}

#[test]
fn stock_age_takes_an_unlocked_identity_file() {
    if let Some(open) = stock_age() {
        an_unlocked_identity_file_opens(&open, Suite::X25519);
    }
}

#[test]
fn npm_age_takes_an_unlocked_identity_file() {
    if let Some(open) = npm_age() {
        an_unlocked_identity_file_opens(&open, Suite::Pq);
    }
}

#[test]
fn stock_age_gives_a_cut_segment_and_says_that_it_is_cut() {
    let Some(open) = stock_age() else { return };
    let stored = seal(Suite::X25519, &[2 * MAX_PART_PLAINTEXT]);
    let desk = Desk::new(&open);
    let key = desk.key(&desk.put("identity.txt", &line(&stored.readers[0])), &stored.key);
    let (header, body, plaintext) = &stored.segments[0];
    let output = desk.opened(&key, &[&header[..], &body[..vault_proto::geometry::MAX_PART]].concat());
    assert!(!output.status.success());
    assert!(plaintext.starts_with(&output.stdout));
}
