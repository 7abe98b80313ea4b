//! What bad input gets: a clear error with its exit code, nothing lost, nothing half-written.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vault_tests::command::{end, run, vault_cli};
use vault_tests::small_disk::SmallDisk;
use vault_tests::world::{Person, World, bytes, sha256};

/// A world with a patient, a clinician and one sealed recording of a few parts.
struct Scene {
    world: World,
    patient: Person,
    clinician: Person,
    content: Vec<u8>,
    recording: String,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let world = World::new();
        let patient = world.person("patient", "patient");
        let clinician = world.person("clinician", "clinician");
        let content = bytes(2 * 1024 * 1024 + 99, seed);
        let file = world.file("talk.bin", &content);
        let recording = clinician.seal(&file, &patient, &clinician, &["--title", "A talk"]).text();
        Self { world, patient, clinician, content, recording }
    }
}

#[test]
fn a_wrong_passphrase_and_a_damaged_identity_file() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let mut wrong = vault_cli(&patient.home);
    end(wrong.args(["list"]).env("VAULT_PASSPHRASE", "not this one")).refused(21, "passphrase");

    let path = patient.home.join("identity.age");
    let good = std::fs::read(&path).unwrap();
    let cases: [(&str, Vec<u8>); 4] = [
        ("cut short", good.get(..good.len() - 1).unwrap().to_vec()),
        ("emptied", Vec::new()),
        ("another file", b"this is no identity".to_vec()),
        ("a last byte flipped", {
            let mut bytes = good.clone();
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        }),
    ];
    for (what, bytes) in cases {
        std::fs::write(&path, bytes).unwrap();
        let said = patient.run(&["list"]);
        assert_eq!(said.exit, Some(21), "{what}: {}", said.stderr);
        assert!(said.stdout.is_empty(), "{what}");
        assert!(said.stderr.contains("not changed"), "{what}: {}", said.stderr);
    }
    std::fs::write(&path, &good).unwrap();
    patient.run(&["list"]).text();
    // An identity is never overwritten.
    patient.run(&["keygen"]).refused(2, "never overwritten");
    assert_eq!(std::fs::read(&path).unwrap(), good);
    run(&world.folder().join("nobody"), ["list"]).refused(21, "There is no identity in");
}

#[test]
fn what_is_not_asked_for_cheaper_is_locked_well() {
    let folder = tempfile::tempdir().unwrap();
    let factor = |home: &std::path::Path, file: &str| {
        let bytes = std::fs::read(home.join(file)).unwrap();
        let stanza = bytes.split(|&byte| byte == b'\n').nth(1).unwrap();
        String::from_utf8_lossy(stanza).rsplit(' ').next().unwrap().to_owned()
    };
    let command = |home: &std::path::Path, words: &[&str]| {
        let mut command = vault_cli(home);
        command.env_remove("VAULT_WORK_FACTOR").args(words);
        command
    };
    let (home, registrar) = (folder.path().join("home"), folder.path().join("registrar"));
    let [words, more] = ["words", "more"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    end(&mut command(&home, &["keygen", "--words-file", &words])).text();
    end(&mut command(&registrar, &["registrar", "init", "--words-file", &more])).text();
    assert_eq!(factor(&home, "identity.age"), "17");
    assert_eq!(factor(&registrar, "registrar.age"), "17");
    let new = folder.path().join("new");
    std::fs::write(&new, "another passphrase\n").unwrap();
    let change = ["passphrase", "--new-passphrase-file", new.to_str().unwrap()];
    end(command(&home, &change).args(["--work-factor", "15"])).text();
    assert_eq!(factor(&home, "identity.age"), "15");
    end(command(&home, &["keygen", "--work-factor", "14"]).arg("--quiet")).refused(2, "from 15 to 18");
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    // In a session of its own the process has no terminal, whoever runs the tests.
    let mut command = Command::new("setsid");
    command
        .arg("--wait")
        .arg(vault_tests::command::binary("vault-cli"))
        .arg("list")
        .env_remove("VAULT_PASSPHRASE");
    command.env("VAULT_HOME", &patient.home).stdin(std::process::Stdio::null());
    end(&mut command).refused(2, "no terminal to ask for the passphrase");
    let file = world.file("passphrase", format!("{}\n", vault_tests::command::PASSPHRASE).as_bytes());
    assert_eq!(end(command.arg("--passphrase-file").arg(file)).exit, Some(0));
}

#[test]
fn an_expired_certificate_and_one_of_somebody_else() {
    let world = World::new();
    let other = world.person("other", "patient");
    let person = world.unenrolled("person", "patient", &[]);
    let url = world.server().url();
    let expired =
        world.certify(&person.account, "patient", &["--not-after", "2020-01-01"], &person.certificate);
    assert!(expired.stderr.contains("it ends the account once"), "{}", expired.stderr);
    world.enrol(&person, url).refused(16, "its certificate expired on 2020-01-02 00:00:00 UTC");

    let stolen =
        Person { home: person.home.clone(), account: person.account.clone(), certificate: other.certificate };
    world.enrol(&stolen, url).refused(2, "holds the certificate of account");
    world.certify(&person.account, "patient", &[], &person.certificate).text();
    let mut foreign = vault_cli(&person.home);
    foreign.args(["enrol", "--server", url, "--organisation", &"0".repeat(64), "--certificate"]);
    end(foreign.arg(&person.certificate)).refused(16, "another organisation");
    world.enrol(&person, url).text();
    // The organisation is pinned from then on.
    let mut moved = vault_cli(&person.home);
    moved.args(["enrol", "--server", url, "--organisation", &"0".repeat(64), "--certificate"]);
    end(moved.arg(&person.certificate)).refused(16, "an account stays where it was enrolled");
}

#[test]
fn sealing_to_whom_nobody_knows_uploads_nothing() {
    let scene = Scene::new(31);
    let Scene { world, patient, clinician, .. } = &scene;
    let file = world.file("other.bin", b"content");
    let unknown = Person {
        home: patient.home.clone(),
        account: "ab".repeat(32),
        certificate: patient.certificate.clone(),
    };
    clinician.seal(&file, &unknown, clinician, &[]).refused(16, &unknown.account);
    // Each in the other's place, and both the same.
    clinician
        .seal(&file, clinician, patient, &[])
        .refused(16, "certified as clinician, and patient is needed");
    clinician.seal(&file, clinician, clinician, &[]).refused(2, "must be different accounts");
    // Keys of two suites do not mix, and nothing weaker is used instead.
    let old = world.person_with("old", "patient", &["--suite", "x25519"], world.server().url());
    clinician.seal(&file, &old, clinician, &[]).refused(16, "no encryption key of suite x25519");
    // Somebody who is neither a recorder nor one of the two.
    let stranger = world.person("stranger", "clinician");
    stranger.seal(&file, patient, clinician, &[]).refused(16, "is needed");
    assert_eq!(
        std::fs::read_dir(world.data().join("blobs/rec")).unwrap().count(),
        1,
        "something was uploaded"
    );
    assert_eq!(patient.run(&["list", "--json"]).json_lines().len(), 1);
}

/// Every stored object in turn, and each takes a few openings.
mod damage_slow {
    use super::*;

    /// Every file below a folder.
    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(files(&path));
            } else {
                found.push(path);
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_flipped_bit_in_any_stored_object_is_noticed() {
        let scene = Scene::new(32);
        let out = scene.world.folder().join("out");
        std::fs::create_dir(&out).unwrap();
        let target = out.join("talk.bin");
        let stored = files(&scene.world.stored(&scene.recording));
        assert_eq!(stored.len(), 8, "{stored:?}");
        for path in stored {
            let good = std::fs::read(&path).unwrap();
            // What the server answers from its database does not depend on these copies of it.
            let from_database =
                ["manifest", "parts", "seal", "final"].iter().any(|name| path.ends_with(name));
            for at in [0, good.len() / 3, good.len() - 1] {
                let mut bad = good.clone();
                *bad.get_mut(at).unwrap() ^= 4;
                std::fs::write(&path, bad).unwrap();
                let said = scene.patient.run(&["open", &scene.recording, "-o", target.to_str().unwrap()]);
                if from_database && said.exit == Some(0) {
                    assert_eq!(sha256(&std::fs::read(&target).unwrap()), sha256(&scene.content));
                    std::fs::remove_file(&target).unwrap();
                    continue;
                }
                assert!(
                    matches!(said.exit, Some(11 | 13 | 14 | 22)),
                    "{} at {at}: {}",
                    path.display(),
                    said.stderr
                );
                assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0, "{} at {at}", path.display());
            }
            std::fs::write(&path, good).unwrap();
        }
        scene.patient.run(&["verify", &scene.recording]).text();
    }

    #[test]
    fn a_truncated_body_is_noticed() {
        let scene = Scene::new(33);
        let body = scene.world.stored(&scene.recording).join("seg/0/body");
        let good = std::fs::read(&body).unwrap();
        for length in [0, 16, 983_296, good.len() - 1] {
            std::fs::write(&body, good.get(..length).unwrap()).unwrap();
            let said = scene.patient.run(&["verify", &scene.recording]);
            assert!(matches!(said.exit, Some(11 | 18 | 22)), "{length}: {:?} {}", said.exit, said.stderr);
            assert!(said.stdout.is_empty());
        }
    }
}

#[test]
fn ids_that_are_none_and_prefixes_that_are_too_short() {
    let scene = Scene::new(34);
    let patient = &scene.patient;
    for (text, words) in [
        ("1234567", "first 8 digits"),
        ("not-an-id", "does not name a recording"),
        ("../../etc/passwd", "does not name"),
    ] {
        patient.run(&["open", text]).refused(2, words);
    }
    patient.run(&["open", "00000000"]).refused(17, "was not found");
    let said = patient.run(&["open", scene.recording.get(..8).unwrap()]);
    assert!(said.stdout == scene.content);
}

#[test]
fn a_server_that_is_not_there() {
    let mut scene = Scene::new(35);
    assert!(scene.world.take_server().stop().success());
    scene.patient.run(&["list"]).refused(18, "cannot be reached");
}

#[test]
fn a_server_that_does_not_answer_is_asked_for_as_long_as_was_typed() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    // Takes every call, hangs up and counts.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let calls = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&calls);
    std::thread::spawn(move || {
        for call in listener.incoming() {
            counting.fetch_add(1, Ordering::SeqCst);
            drop(call);
        }
    });
    let calls_of = |command: &mut Command| {
        let before = calls.load(Ordering::SeqCst);
        end(command.args(["list", "--server", &url])).refused(18, "cannot be reached");
        calls.load(Ordering::SeqCst) - before
    };
    assert_eq!(calls_of(vault_cli(&patient.home).args(["--retry-for", "0"])), 1);
    // After 0.2 s, and after what is left of the half second.
    assert_eq!(calls_of(vault_cli(&patient.home).args(["--retry-for", "0.5"])), 3);
    assert_eq!(calls_of(vault_cli(&patient.home).env("VAULT_RETRY_FOR", "0.3")), 3);
    // Enrolling is no exception, and what cannot be understood is never taken for something else.
    let mut enrolling = vault_cli(&patient.home);
    enrolling.args(["enrol", "--server", &url, "--organisation", &world.organisation, "--certificate"]);
    let before = calls.load(Ordering::SeqCst);
    end(enrolling.arg(&patient.certificate).args(["--retry-for", "0.5"])).refused(18, "cannot be reached");
    assert_eq!(calls.load(Ordering::SeqCst) - before, 3);
    let wrong = end(vault_cli(&patient.home).args(["list", "--retry-for", "a while"]));
    assert_eq!(wrong.exit, Some(2), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("not a number of seconds from 0 to 86400"), "{}", wrong.stderr);
}

#[test]
fn an_output_that_cannot_be_written() {
    let scene = Scene::new(36);
    let patient = &scene.patient;
    patient.run(&["open", &scene.recording, "-o", "/dev/full"]).refused(19, "/dev/full");
    patient.run(&["open", &scene.recording, "-o", "/no/such/folder/talk.bin"]).refused(19, "/no/such/folder");
    let folder = scene.world.folder().to_str().unwrap().to_owned();
    patient.run(&["open", &scene.recording, "-o", &folder]).refused(2, "is a folder");
    let missing = scene.world.folder().join("no such file");
    scene.clinician.seal(&missing, patient, &scene.clinician, &[]).refused(19, "no such file");
}

#[test]
fn errors_are_json_when_asked_for() {
    let scene = Scene::new(37);
    let said = scene.patient.run(&["open", &"0".repeat(32), "--json"]);
    assert_eq!((said.exit, said.stdout.as_slice()), (Some(17), b"".as_slice()));
    let error: serde_json::Value = serde_json::from_str(said.stderr.trim()).unwrap();
    assert_eq!(error.get("exit"), Some(&17.into()));
    assert_eq!(error.get("error"), Some(&"not-found".into()));
    for field in ["what", "means", "next"] {
        assert!(!error.get(field).unwrap().as_str().unwrap().is_empty());
    }
}

#[test]
fn a_full_disk_of_the_server_loses_nothing_and_the_upload_goes_on() {
    let mut world = World::new();
    let Some(disk) = SmallDisk::mount(world.folder().join("small"), "28m") else { return };
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    disk.take_data(&mut world);
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 14 << 20]).unwrap();
    let content = bytes(16 * 1024 * 1024, 38);
    let file = world.file("talk.bin", &content);
    clinician.seal(&file, &patient, &clinician, &[]).refused(22, "storage-full");
    std::fs::remove_file(&ballast).unwrap();
    let sealed = clinician.seal(&file, &patient, &clinician, &["--json"]).json();
    assert_eq!(sealed.get("sha256"), Some(&sha256(&content).into()));
    let opened = patient.open(sealed.get("recording").unwrap().as_str().unwrap());
    assert!(opened.stdout == content, "the bytes differ: {}", opened.stderr);
    assert!(world.take_server().stop().success());
}
