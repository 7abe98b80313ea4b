//! Recordings that begin while the server is away: for people whose keys were looked up lately, and for nobody else.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use vault_core::padded_size::padded_size;
use vault_proto::envelope::{Envelope, Statement};
use vault_proto::geometry::MAX_PART_PLAINTEXT;
use vault_proto::statements::{FinalSeal, RecordingStatus, SegmentSeal};
use vault_tests::command::{Said, end, vault_cli};
use vault_tests::world::{Person, World, bytes, sha256};

/// People who have sealed for each other once, so that each other's keys were looked up.
fn met(world: &World) -> (Person, Person) {
    let (patient, clinician) = (world.person("patient", "patient"), world.person("clinician", "clinician"));
    let file = world.file("earlier", b"an earlier recording");
    assert_eq!(clinician.seal(&file, &patient, &clinician, &[]).exit, Some(0));
    (patient, clinician)
}

fn seal_live(patient: &Person, clinician: &Person) -> Command {
    let mut command = vault_cli(&clinician.home);
    command.args(["seal", "-", "--patient", &patient.account, "--clinician", &clinician.account, "--json"]);
    command
}

fn opens(reader: &Person, recording: &str, content: &[u8]) {
    let opened = reader.open(recording);
    assert_eq!(opened.exit, Some(0), "{}", opened.stderr);
    assert!(opened.stdout == content, "other bytes than were recorded");
}

#[test]
fn what_begins_without_the_server_is_kept_and_sent_by_the_next_process() {
    let mut world = World::new();
    let (patient, clinician) = met(&world);
    let content = bytes(2 * MAX_PART_PLAINTEXT + 77, 61);
    let source = world.file("consultation", &content);
    world.take_server().kill();
    let said = end(seal_live(&patient, &clinician).stdin(File::open(source).unwrap()));
    assert_eq!(said.exit, Some(18), "{}", said.stderr);
    let told: serde_json::Value = serde_json::from_str(said.stderr.lines().last().unwrap()).unwrap();
    let recording = told["recording"].as_str().unwrap().to_owned();
    assert_eq!((&told["kept_bytes"], &told["lost_bytes"]), (&content.len().into(), &0.into()), "{told}");
    clinician.run(&["resume"]).refused(18, "Not everything could be brought to an end");
    world.start();
    assert_eq!(world.recordings(), 1, "the server has never heard of it");
    let resumed = clinician.run(&["resume", "--json"]).json();
    assert_eq!((&resumed["recording"], &resumed["status"]), (&recording.as_str().into(), &"complete".into()));
    for reader in [&patient, &clinician] {
        opens(reader, &recording, &content);
    }
}

/// What was signed last of a kind in the journal of a recording.
fn signed<T: Statement>(journal: &str, line: &str, field: Option<&str>) -> Envelope<T> {
    let lines = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let newest = lines.filter_map(|found| found.get(line).cloned()).next_back().unwrap();
    serde_json::from_value(field.map_or(newest.clone(), |field| newest[field].clone())).unwrap()
}

#[test]
fn parts_that_are_lost_before_they_arrive_end_the_recording_and_no_two_ends_go_unnamed() {
    let mut world = World::new();
    let (patient, clinician) = met(&world);
    let content = bytes(2 * MAX_PART_PLAINTEXT + 77, 63);
    let source = world.file("consultation", &content);
    world.take_server().kill();
    let record = || {
        let said = end(seal_live(&patient, &clinician).stdin(File::open(&source).unwrap()));
        let told: Value = serde_json::from_str(said.stderr.lines().last().unwrap()).unwrap();
        told["recording"].as_str().unwrap().to_owned()
    };
    let [recording, empty] = [record(), record()];
    let uploads = clinician.home.join("uploads");
    let journal = std::fs::read_to_string(uploads.join(format!("{recording}.journal"))).unwrap();
    let first_seal: Envelope<SegmentSeal> = signed(&journal, "seal", None);
    let first_end: Envelope<FinalSeal> = signed(&journal, "end", Some("final_seal"));
    assert_eq!(first_end.unverified().status, RecordingStatus::Complete);
    for (recording, part) in [(&recording, "0-1"), (&empty, "0-0")] {
        std::fs::remove_file(uploads.join(format!("{recording}.spool/{part}"))).unwrap();
    }
    world.start();
    let resumed = clinician.run(&["resume", "--json"]);
    assert_eq!(resumed.exit, Some(0), "{}", resumed.stderr);
    let resumed: Vec<Value> =
        resumed.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |id: &str| resumed.iter().find(|told| told["recording"] == id).unwrap();
    assert_eq!((&of(&recording)["status"], &of(&empty)["status"]), (&"cut_off".into(), &"empty".into()));
    assert_eq!(of(&recording)["bytes"], MAX_PART_PLAINTEXT);
    for reader in [&patient, &clinician] {
        reader.run(&["open", &recording]).refused(12, "cut off");
        let opened = reader.run(&["open", &recording, "--allow-cut-off"]);
        assert!(opened.stdout == content[..MAX_PART_PLAINTEXT], "{}", opened.stderr);
    }
    let stored = |name: &str| std::fs::read(world.stored(&recording).join(name)).unwrap();
    let seal: Envelope<SegmentSeal> = Envelope::parse(&stored("seg/0/seal")).unwrap();
    let end: Envelope<FinalSeal> = Envelope::parse(&stored("final")).unwrap();
    assert_eq!(seal.unverified().supersedes, Some(first_seal.digest()));
    assert_eq!(end.unverified().supersedes, Some(first_end.digest()));
    assert_eq!(end.unverified().status, RecordingStatus::Recovered);
    assert!(clinician.run(&["resume"]).stderr.contains("Nothing was left behind"));
}

#[test]
fn padding_waits_and_is_sent_like_what_was_recorded() {
    let mut world = World::new();
    let (patient, clinician) = met(&world);
    // Its padding begins in the second part and ends in the third.
    let content = bytes(2 * MAX_PART_PLAINTEXT - 1_000, 64);
    let source = world.file("consultation", &content);
    world.take_server().kill();
    let said = end(seal_live(&patient, &clinician).arg("--pad").stdin(File::open(source).unwrap()));
    let told: Value = serde_json::from_str(said.stderr.lines().last().unwrap()).unwrap();
    let recording = told["recording"].as_str().unwrap().to_owned();
    assert_eq!((&told["kept_bytes"], &told["lost_bytes"]), (&content.len().into(), &0.into()), "{told}");
    world.start();
    let resumed = clinician.run(&["resume", "--json"]).json();
    assert_eq!((&resumed["status"], &resumed["bytes"]), (&"complete".into(), &content.len().into()));
    let end = std::fs::read(world.stored(&recording).join("final")).unwrap();
    let end: Envelope<FinalSeal> = Envelope::parse(&end).unwrap();
    assert_eq!(end.unverified().total_length, padded_size(content.len() as u64));
    for reader in [&patient, &clinician] {
        opens(reader, &recording, &content);
    }
}

#[test]
fn a_server_that_comes_back_gets_what_began_without_it() {
    let mut world = World::new();
    let (patient, clinician) = met(&world);
    let content = bytes(2 * MAX_PART_PLAINTEXT + 5, 62);
    world.take_server().kill();
    let mut live = seal_live(&patient, &clinician)
        .env("VAULT_RETRY_FOR", "60")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = live.stdin.take().unwrap();
    pipe.write_all(&content[..MAX_PART_PLAINTEXT + 1]).unwrap();
    let is_begun =
        || std::fs::read_dir(clinician.home.join("uploads")).is_ok_and(|mut found| found.next().is_some());
    while !is_begun() {
        assert!(live.try_wait().unwrap().is_none(), "it ended before it began");
        std::thread::yield_now();
    }
    world.start();
    pipe.write_all(&content[MAX_PART_PLAINTEXT + 1..]).unwrap();
    drop(pipe);
    let sealed = Said::new(live.wait_with_output().unwrap()).json();
    assert_eq!(sealed["sha256"], sha256(&content));
    for reader in [&patient, &clinician] {
        opens(reader, sealed["recording"].as_str().unwrap(), &content);
    }
}

#[test]
fn nothing_begins_for_somebody_who_was_never_looked_up() {
    let mut world = World::new();
    let (patient, clinician) = (world.person("patient", "patient"), world.person("clinician", "clinician"));
    let source = world.file("consultation", b"what was said");
    world.take_server().kill();
    let said = end(seal_live(&patient, &clinician).stdin(File::open(source).unwrap()));
    assert_eq!(said.exit, Some(18), "{}", said.stderr);
    assert!(said.stderr.contains("The recording has not begun"), "{}", said.stderr);
    assert!(said.stderr.contains("looked up there within the last 7 days"), "{}", said.stderr);
    assert!(!clinician.home.join("uploads").exists(), "nothing is kept of it");
}
