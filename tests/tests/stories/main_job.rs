//! The main job: sealed to a patient and a clinician, kept by a server that reads none of it, opened by both, by nobody
//! else.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

use vault_tests::world::{World, bytes, sha256};

/// More than three parts, so that the pipeline and the geometry are used.
const LENGTH: usize = 3 * 1024 * 1024 + 12_345;

fn story(suite: &str, sealer_role: &str) {
    let world = World::new();
    let keys = ["--suite", suite];
    let url = world.server().url();
    let patient = world.person_with("patient", "patient", &keys, url);
    let clinician = world.person_with("clinician", "clinician", &keys, url);
    let stranger = world.person_with("stranger", "patient", &keys, url);
    let recorder = world.person_with("recorder", "recorder", &keys, url);
    let sealer = match sealer_role {
        "clinician" => &clinician,
        "patient" => &patient,
        _ => &recorder,
    };
    let content = bytes(LENGTH, 1);
    let file = world.file("consultation.bin", &content);
    let sealed = sealer
        .seal(&file, &patient, &clinician, &["--title", "A talk", "--consultation", "C-17", "--json"])
        .json();
    assert_eq!(sealed["bytes"], LENGTH);
    assert_eq!(sealed["segments"], 1);
    assert_eq!(sealed["sha256"], sha256(&content));
    let recording = sealed["recording"].as_str().unwrap();

    for reader in [&patient, &clinician] {
        let listed = reader.run(&["list", "--json"]).json();
        assert_eq!(listed["recording"], recording);
        assert_eq!(listed["title"], "A talk");
        assert_eq!(listed["consultation"], "C-17");
        assert_eq!(listed["status"], "complete");
        assert_eq!(listed["patient"], patient.account.as_str());
        assert_eq!(listed["clinician"], clinician.account.as_str());
        assert_eq!(listed["sealer"], sealer.account.as_str());
        assert_eq!(listed["bytes"], LENGTH);
        let opened = reader.open(recording);
        assert_eq!(opened.exit, Some(0), "{}", opened.stderr);
        assert!(opened.stdout == content, "the bytes differ");
        let verified = reader.run(&["verify", &recording[..8], "--json"]).json();
        assert_eq!(verified["sha256"], sha256(&content));
        assert_eq!(verified["status"], "complete");
    }
    // What is not yours and what does not exist look the same.
    stranger.open(recording).refused(17, recording);
    let nothing = "0".repeat(32);
    let missing = stranger.open(&nothing);
    missing.refused(17, &nothing);
    assert_eq!(
        missing.stderr.replace(&nothing, "ID"),
        stranger.open(recording).stderr.replace(recording, "ID"),
        "the two refusals can be told apart"
    );
    assert_eq!(stranger.run(&["list"]).text(), "");
    if sealer_role == "recorder" {
        let listed = recorder.run(&["list", "--json"]).json();
        assert_eq!(listed["title"], serde_json::Value::Null, "a recorder is no reader");
        recorder.open(recording).refused(10, "not a reader");
    }
}

#[test]
fn sealed_by_the_clinician_in_the_default_suite() {
    story("pq", "clinician");
}

#[test]
fn sealed_by_a_recorder_in_the_default_suite() {
    story("pq", "recorder");
}

#[test]
fn sealed_by_the_patient_in_suite_x25519() {
    story("x25519", "patient");
}

#[test]
fn a_recording_of_no_bytes_and_one_from_a_pipe() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let empty = world.file("empty", b"");
    let sealed = clinician.seal(&empty, &patient, &clinician, &[]);
    assert_eq!(sealed.exit, Some(20), "an empty source is a warning: {}", sealed.stderr);
    let opened = patient.open(String::from_utf8(sealed.stdout).unwrap().trim());
    assert_eq!((opened.exit, opened.stdout.as_slice()), (Some(0), b"".as_slice()), "{}", opened.stderr);

    // Exactly two parts: the end of a pipe is found only after a part that is full.
    let content = bytes(2 * 1024 * 1024, 2);
    let mut command = vault_tests::command::vault_cli(&clinician.home);
    command.args(["seal", "-", "--patient", &patient.account, "--clinician", &clinician.account, "--json"]);
    command.stdin(std::fs::File::open(world.file("pipe", &content)).unwrap());
    let sealed = vault_tests::command::end(&mut command).json();
    assert_eq!(sealed["sha256"], sha256(&content));
    let opened = patient.open(sealed["recording"].as_str().unwrap());
    assert!(opened.stdout == content, "the bytes differ");
}

#[test]
fn an_output_file_appears_whole_or_not_at_all() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let content = bytes(LENGTH, 3);
    let recording = clinician.seal(&world.file("a", &content), &patient, &clinician, &[]).text();
    let out = world.folder().join("out");
    std::fs::create_dir(&out).unwrap();
    let target = out.join("talk.webm");
    let target_text = target.to_str().unwrap();
    patient.run(&["open", &recording, "-o", target_text]).text();
    assert!(std::fs::read(&target).unwrap() == content, "the bytes differ");

    // A part in the middle goes bad: nothing appears, and nothing is left beside it.
    std::fs::remove_file(&target).unwrap();
    let body = world.stored(&recording).join("seg/0/body");
    let mut damaged = std::fs::read(&body).unwrap();
    damaged[2_000_000] ^= 1;
    std::fs::write(&body, damaged).unwrap();
    patient.run(&["open", &recording, "-o", target_text]).refused(11, "segment 0, part 2");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0, "something was left behind");
}
