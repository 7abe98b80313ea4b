//! A recording whose device died before its first part: it is called empty everywhere, and nowhere a recording of no
//! bytes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;
use vault_tests::command::{Said, end, run, vault_cli};
use vault_tests::world::{Person, World};

/// Begins to record from a pipe that gives nothing, and kills the program once the server has the recording.
fn begun_and_killed(patient: &Person, clinician: &Person) -> String {
    let mut command = vault_cli(&clinician.home);
    command.args(["seal", "-", "--patient", &patient.account, "--clinician", &clinician.account]);
    let mut live = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(live.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let recording = line.trim().strip_prefix("Recording ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
    live.kill().unwrap();
    live.wait().unwrap();
    recording
}

#[track_caller]
fn says(said: &Said, words: &str) {
    assert!(said.stderr.contains(words), "{words:?} is not in {}", said.stderr);
}

#[test]
fn a_recording_that_died_before_its_first_part_is_empty_and_nothing_else() {
    let world = World::new();
    let (patient, clinician) = (world.person("patient", "patient"), world.person("clinician", "clinician"));
    let recording = begun_and_killed(&patient, &clinician);
    let is_empty = || {
        for reader in [&patient, &clinician] {
            let listed = reader.run(&["list", "--json"]).json();
            assert_eq!(
                (&listed["recording"], &listed["status"]),
                (&Value::from(&*recording), &"empty".into())
            );
            let listed = reader.run(&["list"]);
            assert!(listed.text().contains("  empty  "), "{}", listed.text());
            says(&listed, "1 recording was begun and holds nothing");
            let opened = reader.open(&recording);
            opened.refused(12, "Nothing was recorded");
            says(&opened, "not a byte in it to open");
            assert!(!opened.stderr.contains("--allow-cut-off"), "{}", opened.stderr);
            let verified = reader.run(&["verify", &recording]);
            assert_eq!(verified.exit, Some(12), "{}", verified.stderr);
            let shown = String::from_utf8(verified.stdout).unwrap();
            assert!(shown.contains(": nothing was recorded; patient "), "{shown}");
            assert!(!shown.contains("all right"), "{shown}");
        }
    };
    is_empty();
    for form in [&[][..], &["--sealed"]] {
        let folder = world.folder().join(format!("export {}", form.len()));
        let path = folder.to_str().unwrap();
        let export = |more: &[&str]| patient.run(&[&["export", path], form, more].concat());
        // Now fetched, then found there.
        for _ in 0..2 {
            let exported = export(&["--json"]).json();
            assert_eq!((&exported["recordings"], &exported["empty"]), (&1.into(), &1.into()), "{exported}");
            says(
                &export(&[]),
                "1 of them was begun and holds nothing: there is no media of it in the export.",
            );
        }
        for home in [patient.home.clone(), world.folder().join("nobody")] {
            let checked = run(&home, ["verify", path, "--json"]).json_lines();
            assert_eq!((&checked[0]["finding"], &checked[0]["status"]), (&"right".into(), &"empty".into()));
            let checked = run(&home, ["verify", path]).text();
            assert!(checked.contains(", empty: nothing was recorded"), "{checked}");
        }
        if form.is_empty() {
            let page = std::fs::read_to_string(folder.join("index.html")).unwrap();
            assert!(page.contains("nothing was recorded") && !page.contains("Cut off"), "{page}");
            let bundle = std::fs::read_to_string(folder.join("fhir/r4.json")).unwrap();
            assert!(bundle.contains("(empty: nothing was recorded)"), "{bundle}");
        }
    }
    // Its device says the same, and from then on nobody goes on with it.
    let resumed = clinician.run(&["resume", "--json"]).json();
    assert_eq!((&resumed["recording"], &resumed["status"]), (&Value::from(&*recording), &"empty".into()));
    is_empty();
}

#[test]
fn a_recording_that_ended_without_a_byte_is_complete() {
    let world = World::new();
    let (patient, clinician) = (world.person("patient", "patient"), world.person("clinician", "clinician"));
    let sealed = clinician.seal(&world.file("nothing", b""), &patient, &clinician, &[]);
    assert_eq!(sealed.exit, Some(20), "{}", sealed.stderr);
    assert_eq!(patient.run(&["list", "--json"]).json()["status"], "complete");
    let mut open = vault_cli(&patient.home);
    let recording = String::from_utf8(sealed.stdout).unwrap();
    assert_eq!(end(open.args(["open", recording.trim()])).text(), "");
}
