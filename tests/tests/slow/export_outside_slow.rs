//! An export in the hands of programs that nobody here wrote: Python, FHIR validators, a browser, an accessibility
//! checker.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use vault_tests::command::{Said, end, run_for_words, words_of};
use vault_tests::playing::browser;
use vault_tests::world::{World, bytes, sha256};

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/media/mediarecorder.webm");
const TITLES: [&str; 4] =
    ["Knee, first visit", "\u{202e}<script>alert(1)</script>/../x", "\"><img src=x onerror=alert(1)>", ""];

/// A patient with recordings, and her 24 words.
struct Patient {
    world: World,
    home: PathBuf,
    words: String,
    contents: Vec<(String, Vec<u8>)>,
}

impl Patient {
    fn new(suite: &str) -> Self {
        let world = World::new();
        let home = world.folder().join("patient");
        let account = run_for_words(&home, ["keygen", "--suite", suite]).text();
        let words = words_of(&home);
        assert_eq!(words.split_whitespace().count(), 24, "{words}");
        let certificate = world.folder().join("patient.certificate");
        world.certify(&account, "patient", &["--label", "Ada & <Lovelace>"], &certificate).text();
        let patient = vault_tests::world::Person { home: home.clone(), account, certificate };
        world.enrol(&patient, world.server().url()).text();
        let clinician =
            world.person_with("clinician", "clinician", &["--suite", suite], world.server().url());
        let mut contents = Vec::new();
        for (at, title) in TITLES.iter().enumerate() {
            let content = if at == 0 {
                std::fs::read(RECORDED).unwrap()
            } else {
                bytes(1_500_000 * at, 50 + at as u64)
            };
            let file = world.file("content", &content);
            let recording = clinician.seal(&file, &patient, &clinician, &["--title", title]).text();
            contents.push((recording, content));
        }
        Self { world, home, words, contents }
    }

    fn export(&self, more: &[&str]) -> PathBuf {
        let folder = self.world.folder().join("export");
        let mut arguments = vec!["export", folder.to_str().unwrap()];
        arguments.extend_from_slice(more);
        let said = vault_tests::command::run(&self.home, arguments);
        assert_eq!(said.exit, Some(0), "{}", said.stderr);
        folder
    }
}

/// Python with packages, in an environment that has none of our programs.
fn python(arguments: &[&str]) -> Option<Said> {
    let mut command = Command::new(std::env::var_os("EXPORT_PYTHON")?);
    command.env_clear().env("PATH", "/usr/bin:/bin").args(arguments);
    Some(end(&mut command))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

fn sealed_export_opens(suite: &str) {
    let patient = Patient::new(suite);
    let folder = patient.export(&["--sealed"]);
    // Somewhere else, years later, without a server.
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("from the attic");
    std::fs::rename(&folder, &moved).unwrap();
    let words = elsewhere.path().join("words");
    std::fs::write(&words, &patient.words).unwrap();
    let opened = elsewhere.path().join("opened");
    let script = moved.join("open_recordings.py");
    let [script, words, opened_text] = [&script, &words, &opened].map(|path| path.to_str().unwrap());
    let Some(said) = python(&[script, "--key", words, "-o", opened_text]) else { return };
    assert_eq!(said.exit, Some(0), "{}", said.stderr);
    let mut found: Vec<String> =
        files_below(&opened).iter().map(|file| sha256(&std::fs::read(file).unwrap())).collect();
    let mut expected: Vec<String> = patient.contents.iter().map(|(_, content)| sha256(content)).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    // Another key opens nothing; a flipped bit is noticed.
    let other = elsewhere.path().join("other");
    let stranger = elsewhere.path().join("stranger");
    run_for_words(&stranger, ["keygen", "--suite", suite]).text();
    std::fs::write(words, words_of(&stranger)).unwrap();
    let refused = python(&[script, "--key", words, "-o", other.to_str().unwrap()]).unwrap();
    assert_ne!(refused.exit, Some(0));
    std::fs::write(words, &patient.words).unwrap();
    let body = moved.join("rec").join(&patient.contents[1].0).join("seg/0/body");
    let mut changed = std::fs::read(&body).unwrap();
    changed[700_000] ^= 1;
    std::fs::write(&body, changed).unwrap();
    let refused = python(&[script, "--key", words, "-o", other.to_str().unwrap()]).unwrap();
    assert_eq!(refused.exit, Some(1), "{}", refused.stderr);
    assert_eq!(files_below(&other).len(), TITLES.len() - 1, "all others open");
}

#[test]
fn a_sealed_export_opens_without_us_in_the_default_suite() {
    sealed_export_opens("pq");
}

#[test]
fn a_sealed_export_opens_without_us_in_suite_x25519() {
    sealed_export_opens("x25519");
}

#[test]
fn the_script_opens_what_the_vectors_open_and_refuses_the_rest() {
    let test = concat!(env!("CARGO_MANIFEST_DIR"), "/export/open_recordings_test.py");
    if let Some(said) = python(&[test]) {
        assert_eq!(said.exit, Some(0), "{}", said.stderr);
        assert!(said.stderr.contains("OK"), "{}", said.stderr);
    }
}

fn validators(release: &str, file: &Path) -> Option<[Said; 2]> {
    let folder = PathBuf::from(std::env::var_os("FHIR_DIR")?);
    let file = file.to_str().unwrap();
    let python = python(&[folder.join("validate.py").to_str().unwrap(), release, file])?;
    let mut node = Command::new(std::env::var_os("NODE_BIN")?);
    node.current_dir(&folder).args(["validate.mjs", release, file]);
    Some([end(&mut node), python])
}

#[test]
fn two_validators_accept_the_fhir_bundles_and_refuse_broken_ones() {
    let patient = Patient::new("pq");
    let folder = patient.export(&[]);
    for release in ["r4", "r5"] {
        let file = folder.join(format!("fhir/{release}.json"));
        let bundle: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let documents = bundle["entry"].as_array().unwrap().iter();
        let documents =
            documents.filter(|entry| entry["resource"]["resourceType"] == "DocumentReference").count();
        assert_eq!(documents, TITLES.len());
        let Some(said) = validators(release, &file) else { return };
        for said in said {
            assert_eq!(
                said.exit,
                Some(0),
                "{release}: {}{}",
                String::from_utf8_lossy(&said.stdout),
                said.stderr
            );
        }
        let breaks: [fn(&mut Value); 3] = [
            |document| drop(document.as_object_mut().unwrap().remove("content")),
            |document| document["status"] = 7.into(),
            |document| document["invented"] = "x".into(),
        ];
        for (at, change) in breaks.iter().enumerate() {
            let mut broken = bundle.clone();
            let entries = broken["entry"].as_array_mut().unwrap();
            let document =
                entries.iter_mut().find(|entry| entry["resource"]["resourceType"] == "DocumentReference");
            change(&mut document.unwrap()["resource"]);
            let file = patient.world.file("broken.json", broken.to_string().as_bytes());
            for said in validators(release, &file).unwrap() {
                assert_ne!(said.exit, Some(0), "{release}: change {at} is accepted");
            }
        }
    }
}

#[test]
fn the_page_is_accessible_and_its_recordings_play_from_the_disk() {
    let patient = Patient::new("pq");
    let folder = patient.export(&[]);
    let page = folder.join("index.html");
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(!text.contains("<script") && !text.contains("<img") && !text.contains('\u{202e}'));
    if let Some(said) = browser("accessibility.mjs", &[page.to_str().unwrap()]) {
        assert_eq!(said.exit, Some(0), "{}{}", String::from_utf8_lossy(&said.stdout), said.stderr);
        // The checker can fail.
        let broken = text.replacen(" lang=\"en\"", "", 1);
        assert!(broken != text, "the page does not say its language");
        let broken = patient.world.file("broken.html", broken.as_bytes());
        assert_eq!(browser("accessibility.mjs", &[broken.to_str().unwrap()]).unwrap().exit, Some(1));
    }
}

#[test]
fn every_exported_file_plays_and_shows_what_was_sealed() {
    let patient = Patient::new("pq");
    let folder = patient.export(&[]);
    let media: Vec<PathBuf> = files_below(&folder)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|e| e == "webm"))
        .collect();
    let [medium] = &media[..] else { panic!("{media:?}") };
    let Some(ffprobe) = std::env::var_os("FFPROBE_BIN") else { return };
    let mut command = Command::new(ffprobe);
    command
        .args(["-v", "error", "-show_entries", "format=duration:stream=codec_name", "-of", "csv=p=0"])
        .arg(medium);
    let said = end(&mut command);
    assert_eq!(said.stderr, "");
    assert_eq!(said.text().lines().collect::<Vec<_>>(), ["vp8", "opus", "8.000000"]);
    if let Some(exported) = browser("streamhashes.mjs", &[medium.to_str().unwrap()]) {
        assert_eq!(exported.json(), browser("streamhashes.mjs", &[RECORDED]).unwrap().json());
    }
    let Some(said) = vault_tests::playing::sha256sum(&folder) else { return };
    assert_eq!(said.exit, Some(0), "{}", said.stderr);
}
