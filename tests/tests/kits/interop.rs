//! The escape hatch: recordings sealed by `vault-core`, opened by age programs that nobody here wrote.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test's helpers fail by panicking and say what they skip, as its test functions do"
)]

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output};

use secrecy::SecretString;
use vault_core::details::{Details, Track};
use vault_core::identity::Identity;
use vault_core::identity_file::DeviceSecrets;
use vault_core::passphrase_file::{self, WorkFactor};
use vault_core::sealing::{RecordingSealer, prepare_manifest};
use vault_core::signing_key::SigningKey;
use vault_proto::geometry::{CHUNK_PLAINTEXT, MAX_PART_PLAINTEXT, PartChunks};
use vault_proto::ids::{AccountId, Digest, KeyId, PublicKey, RecordingId, RecordingSalt};
use vault_proto::statements::{Manifest, Policy, RecipientKey, RecordingStatus, Suite};
use vault_tests::sealing_device::seal_segment;
use vault_tests::vectors::cast::{Cast, key_of, time};
use vault_tests::vectors::draft::media;

/// A recording as it lies in a store, with the identities of its patient and clinician.
struct Stored {
    segments: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    details: Vec<u8>,
    readers: [Identity; 2],
}

fn seal(suite: Suite, lengths: &[usize]) -> Stored {
    let cast = Cast::of("hospital");
    let device = &cast.clinician.device;
    let readers = [cast.patient.identity(suite), cast.clinician.identity(suite)];
    let accounts = [cast.patient.account, cast.clinician.account];
    let salt = RecordingSalt::from_bytes([7; 16]);
    let manifest = Manifest {
        suite,
        recording: RecordingId::of(&cast.clinician.device_id(), &salt),
        salt,
        tenant: cast.organisation(),
        consultation: "interop".parse().unwrap(),
        patient: accounts[0],
        clinician: accounts[1],
        recipients: std::iter::zip(accounts, &readers)
            .map(|(account, identity)| RecipientKey { account, key: key_of(identity) })
            .collect(),
        sealer: accounts[1],
        sealer_key: cast.clinician.device_id(),
        sequence: 1,
        previous: None,
        credentials: Digest::of(b""),
        directory_checkpoint: None,
        created: time("2026-11-21T09:30:00Z"),
        policy: Policy::Participants,
    };
    let key = PublicKey::from_bytes(device.public());
    let envelope = device.sign_statement(prepare_manifest(&manifest, key).unwrap()).unwrap();
    let verified = envelope.verify(KeyId::of_device(&key), &key).unwrap();
    let recipients = readers.iter().map(|identity| identity.recipient().clone()).collect();
    let mut sealer = RecordingSealer::new(verified, recipients).unwrap();
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
        tracks: vec![Track {
            track: 0,
            media_type: "video/webm".to_owned(),
            bytes: 0,
            duration_ms: None,
            seek: None,
        }],
    };
    let ended = details.ended;
    let (details, _) = sealer.prepare_final(&details, RecordingStatus::Complete, ended).unwrap();
    Stored { segments, details, readers }
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

fn opens_everything(open: &Opener, suite: Suite) {
    let stored = seal(suite, &LENGTHS);
    let folder = tempfile::tempdir().unwrap();
    let (identity_file, file) = (folder.path().join("key.txt"), folder.path().join("segment.age"));
    let opened = |content: &[u8]| {
        std::fs::write(&file, content).unwrap();
        open(&identity_file, &file)
    };
    for identity in &stored.readers {
        std::fs::write(&identity_file, format!("{}\n", *identity.export())).unwrap();
        for (header, body, plaintext) in &stored.segments {
            let output = opened(&[&header[..], body].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stdout == *plaintext, "{} bytes came out otherwise", plaintext.len());
        }
        let output = opened(&stored.details);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let details: Details = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(details.title.as_deref(), Some("Interop"));
    }
    // The opener refuses what it should, so that its success above says something.
    let (header, body, _) = &stored.segments[3];
    let mut changed = [&header[..], body].concat();
    *changed.last_mut().unwrap() ^= 1;
    assert!(!opened(&changed).status.success());
    let stranger = Identity::generate(suite).unwrap();
    std::fs::write(&identity_file, format!("{}\n", *stranger.export())).unwrap();
    assert!(!opened(&[&header[..], body].concat()).status.success());
}

#[test]
fn stock_age_opens_every_segment_and_the_details() {
    if let Some(open) = stock_age() {
        opens_everything(&open, Suite::X25519);
    }
}

#[test]
fn npm_age_opens_both_suites() {
    if let Some(open) = npm_age() {
        opens_everything(&open, Suite::X25519);
        opens_everything(&open, Suite::Pq);
    }
}

/// What is inside an identity file is an identity file of age: nothing of this project is needed to use it.
fn an_unlocked_identity_file_opens(open: &Opener, suite: Suite) {
    let stored = seal(suite, &[100_000]);
    let [identity, _] = stored.readers;
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
    let folder = tempfile::tempdir().unwrap();
    let (identity_file, file) = (folder.path().join("identity.txt"), folder.path().join("segment.age"));
    std::fs::write(&identity_file, &*text).unwrap();
    let (header, body, plaintext) = &stored.segments[0];
    std::fs::write(&file, [&header[..], body].concat()).unwrap();
    let output = open(&identity_file, &file);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == *plaintext);
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
    let folder = tempfile::tempdir().unwrap();
    let (identity_file, file) = (folder.path().join("key.txt"), folder.path().join("segment.age"));
    std::fs::write(&identity_file, format!("{}\n", *stored.readers[0].export())).unwrap();
    let (header, body, plaintext) = &stored.segments[0];
    std::fs::write(&file, [&header[..], &body[..vault_proto::geometry::MAX_PART]].concat()).unwrap();
    let output = open(&identity_file, &file);
    assert!(!output.status.success());
    assert!(plaintext.starts_with(&output.stdout));
}
