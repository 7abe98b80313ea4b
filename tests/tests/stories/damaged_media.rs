//! Browsers' recordings in which something is missing or wrong: how long they are, where they open from, what a person
//! is told.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use vault_tests::command::{Said, end};
use vault_tests::playing::{PlayProcess, browser};
use vault_tests::world::{Person, World};

const FIREFOX: &str = "firefox-audio-no-key-flags.webm";
const ONE_SLICE_LOST: &str = "chromium-audio-one-slice-lost.webm";
const JOINED: &str = "two-recorders-joined.webm";

struct Clinic {
    world: World,
    patient: Person,
    clinician: Person,
}

impl Clinic {
    fn new() -> Self {
        let world = World::new();
        let patient = world.person("patient", "patient");
        let clinician = world.person("clinician", "clinician");
        Self { world, patient, clinician }
    }

    fn seal(&self, name: &str, content: &[u8]) -> String {
        let file = self.world.file(name, content);
        self.clinician.seal(&file, &self.patient, &self.clinician, &[]).text()
    }

    /// What the list says of a recording's length, in milliseconds.
    fn listed_duration(&self, recording: &str) -> Option<u64> {
        let listed = self.patient.run(&["list", "--json"]).json_lines();
        let listed = listed.iter().find(|listed| listed.get("recording").unwrap() == recording).unwrap();
        listed.get("duration_ms").and_then(Value::as_u64)
    }

    /// Opens a recording into a file.
    fn open(&self, recording: &str, more: &[&str]) -> (PathBuf, Said) {
        let file = self.world.folder().join("opened.webm");
        // What was opened before gives way: the program overwrites nothing by itself.
        let _ = std::fs::remove_file(&file);
        let said = self.patient.run(&[&["open", recording, "-o", file.to_str().unwrap()], more].concat());
        assert_eq!(said.exit, Some(0), "{}", said.stderr);
        (file, said)
    }
}

fn content(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("media").join(name)).unwrap()
}

/// What ffprobe finds in a file: its duration, the time of its first packet, the number of packets; `None` without
/// ffprobe.
fn probed(file: &Path) -> Option<(f64, f64, usize)> {
    let mut command = std::process::Command::new(std::env::var_os("FFPROBE_BIN")?);
    command
        .args(["-v", "error", "-show_entries", "format=duration:packet=pts_time", "-of", "json"])
        .arg(file);
    let said = end(&mut command);
    assert_eq!(said.exit, Some(0), "{}", said.stderr);
    let found: Value = serde_json::from_slice(&said.stdout).unwrap();
    let seconds = |value: &Value| value.as_str().unwrap().parse().unwrap();
    let packets = found.get("packets").unwrap().as_array().unwrap();
    let first = packets.first().unwrap().get("pts_time").unwrap();
    Some((seconds(found.pointer("/format/duration").unwrap()), seconds(first), packets.len()))
}

fn is_near(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 0.05
}

#[test]
fn firefoxs_sound_opens_from_a_moment_on() {
    let clinic = Clinic::new();
    let sealed = content(FIREFOX);
    let recording = clinic.seal(FIREFOX, &sealed);
    assert_eq!(clinic.listed_duration(&recording), Some(9_720));
    let (whole, _) = clinic.open(&recording, &[]);
    if let Some((duration, first, packets)) = probed(&whole) {
        assert!(
            is_near(duration, 9.726) && is_near(first, 0.0) && packets == 486,
            "{duration} {first} {packets}"
        );
    }
    let (later, _) = clinic.open(&recording, &["--from", "0:08"]);
    assert!(std::fs::metadata(&later).unwrap().len() < 5_000);
    if let Some((duration, first, packets)) = probed(&later) {
        assert!(
            is_near(duration, 9.726) && is_near(first, 8.0) && packets == 86,
            "{duration} {first} {packets}"
        );
    }
    assert!(std::fs::read(clinic.open(&recording, &["--as-sealed"]).0).unwrap() == sealed);
}

#[test]
fn behind_a_lost_slice_a_recording_goes_on() {
    let clinic = Clinic::new();
    let sealed = content(ONE_SLICE_LOST);
    let recording = clinic.seal(ONE_SLICE_LOST, &sealed);
    let duration = clinic.listed_duration(&recording).unwrap();
    assert!((11_940..=11_970).contains(&duration), "{duration} ms");
    let (whole, _) = clinic.open(&recording, &[]);
    let opened = std::fs::read(&whole).unwrap();
    assert!(opened.ends_with(sealed.get(146..).unwrap()), "media bytes were left out or changed");
    let (later, _) = clinic.open(&recording, &["--from", "0:08"]);
    if let Some((duration, first, _)) = probed(&later) {
        assert!(is_near(duration, 11.955) && is_near(first, 7.759), "{duration} {first}");
    }
    clinic.patient.run(&["open", &recording, "--from", "0:13"]).refused(2, "only 11 seconds long");
}

#[test]
fn of_two_recorders_output_both_open_and_a_person_is_told() {
    let clinic = Clinic::new();
    let sealed = content(JOINED);
    // Whoever seals it is told as well: they may still have what was recorded.
    let file = clinic.world.file(JOINED, &sealed);
    let told = clinic.clinician.seal(&file, &clinic.patient, &clinic.clinician, &[]);
    assert!(told.stderr.contains("another recorder went on"), "{}", told.stderr);
    let recording = told.text();
    let duration = clinic.listed_duration(&recording).unwrap();
    assert!((11_980..=12_140).contains(&duration), "{duration} ms");
    let (whole, said) = clinic.open(&recording, &[]);
    assert!(
        said.stderr.contains("another recorder went on") && said.stderr.contains("--from 00:00:0"),
        "{}",
        said.stderr
    );
    let opened = std::fs::read(&whole).unwrap();
    assert!(opened.ends_with(sealed.get(206..).unwrap()), "media bytes were left out or changed");
    if let Some((duration, first, packets)) = probed(&whole) {
        assert!(
            (5.99..6.08).contains(&duration) && is_near(first, 0.0) && packets > 300,
            "{duration} {first}"
        );
    }
    // As it says.
    let advised = said.stderr.split("--from ").nth(1).unwrap().split('`').next().unwrap();
    let (second, _) = clinic.open(&recording, &["--track", "0", "--from", advised]);
    let opened = std::fs::read(&second).unwrap();
    assert!(opened.ends_with(sealed.get(45_639..).unwrap()) && opened.len() < 45_000, "{}", opened.len());
    if let Some((duration, first, packets)) = probed(&second) {
        assert!(
            (5.99..6.08).contains(&duration) && is_near(first, 0.0) && packets > 150,
            "{duration} {first}"
        );
    }
    // Of what has nothing of the kind, nothing is said.
    let other = clinic.seal(FIREFOX, &content(FIREFOX));
    let (_, said) = clinic.open(&other, &[]);
    assert!(!said.stderr.contains("recorder"), "{}", said.stderr);
}

#[test]
fn zeros_that_a_loss_of_power_left_take_nothing() {
    let clinic = Clinic::new();
    let mut sealed = content(FIREFOX);
    sealed.resize(sealed.len() + 100_000, 0);
    let recording = clinic.seal("zeros.webm", &sealed);
    assert_eq!(clinic.listed_duration(&recording), Some(9_720));
    let (later, _) = clinic.open(&recording, &["--from", "0:08"]);
    if let Some((_, first, _)) = probed(&later) {
        assert!(is_near(first, 8.0), "{first}");
    }
    assert!(std::fs::read(clinic.open(&recording, &["--as-sealed"]).0).unwrap() == sealed);
}

/// Chromium takes its time to start.
mod in_a_browser_slow {
    use super::*;

    #[test]
    fn sound_is_sought_in() {
        let clinic = Clinic::new();
        for (name, length, moments) in
            [(FIREFOX, "9.726", ["5", "8.5", "1"]), (ONE_SLICE_LOST, "11.955", ["8", "0.2", "11"])]
        {
            let recording = clinic.seal(name, &content(name));
            let server = clinic.world.server().url().to_owned();
            let playing = PlayProcess::start(&clinic.patient.home, &server, &recording, &[]);
            let arguments = [&[playing.track(0), length][..], &moments[..]].concat();
            if let Some(said) = browser("sound.mjs", &arguments) {
                assert_eq!(
                    said.exit,
                    Some(0),
                    "{name}: {}{}",
                    String::from_utf8_lossy(&said.stdout),
                    said.stderr
                );
            }
        }
    }
}
