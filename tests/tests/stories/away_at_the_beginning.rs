//! Recordings that begin while the server is away: for people whose keys were looked up lately, and for nobody else.

use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};

use vault_proto::geometry::MAX_PART_PLAINTEXT;
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
