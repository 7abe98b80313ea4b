//! A recorder is killed at bit rates at which a part takes minutes to fill: what it had recorded comes back, but for
//! the last seconds, and each byte of it is the one that was recorded.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use vault_proto::geometry::{CHUNK_PLAINTEXT, MAX_PART_PLAINTEXT};
use vault_tests::command::{end, vault_cli};
use vault_tests::faults::clinic::Clinic;
use vault_tests::world::bytes;

/// Kilobits a second.
const RATES: [usize; 4] = [16, 32, 64, 2000];
/// How often an encoder gives what it has.
const PIECE: Duration = Duration::from_millis(100);
/// How long it records before it is killed: no whole number of tails.
const RECORDED: Duration = Duration::from_millis(13_300);
/// Most that may be lost.
const LOST: Duration = Duration::from_secs(5);
/// What may be on its way to the server beside the part that is not full.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

#[test]
fn a_killed_recorder_loses_seconds_at_any_bit_rate() {
    let lost: Vec<(usize, (Duration, Duration))> = std::thread::scope(|scope| {
        let runs = RATES.map(|rate| scope.spawn(move || (rate, lost_at(rate))));
        runs.map(|run| run.join().unwrap()).to_vec()
    });
    let told: Vec<String> = lost
        .iter()
        .map(|(rate, (lost, gone))| format!("{rate} kbit/s {lost:.1?}, with its device {gone:.1?}"))
        .collect();
    println!("faults: a recorder is killed, seconds lost: {}", told.join(", "));
    for (rate, (lost, _)) in lost {
        assert!(lost <= LOST, "{rate} kbit/s: {lost:?} of {RECORDED:?} lost");
    }
}

/// Records in real time, kills the recorder, and gives what is lost once it is resumed, and if it never is.
fn lost_at(rate: usize) -> (Duration, Duration) {
    let clinic = Clinic::new();
    let each = rate * 1000 / 8 / 10;
    let content = bytes(each * 1000, u64::try_from(rate).unwrap());
    let mut command = clinic.seal_file(Path::new("-"));
    let mut recorder = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut pipe = recorder.stdin.take().unwrap();
    // The rate is what this is about: it is not waited for anything here.
    let began = Instant::now();
    let mut written = 0;
    while began.elapsed() < RECORDED {
        pipe.write_all(&content[written..written + each]).unwrap();
        written += each;
        let next = PIECE * u32::try_from(written / each).unwrap();
        std::thread::sleep(next.saturating_sub(began.elapsed()));
    }
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    drop(pipe);
    // As if the device never came back: what the server has opens up to the last whole part.
    let without = end(vault_cli(&clinic.patient.home).args(["list", "--json"]));
    let without: Value = serde_json::from_slice(&without.stdout).unwrap();
    let there = usize::try_from(without["bytes"].as_u64().unwrap()).unwrap();
    let part = Duration::from_secs_f64(CHUNK_PLAINTEXT as f64 * 8.0 / (rate as f64 * 1000.0)).max(LOST);
    let gone = lost_time(written - there, rate);
    assert!(gone <= part + ON_ITS_WAY, "{rate} kbit/s: {gone:?} are lost with the device");
    let resumed = end(&mut clinic.resume());
    assert_eq!(resumed.exit, Some(0), "{rate} kbit/s: {}", resumed.stderr);
    let listed = end(vault_cli(&clinic.patient.home).args(["list", "--json"]));
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let recording = listed["recording"].as_str().unwrap();
    let opened = end(vault_cli(&clinic.patient.home).args(["open", recording, "--allow-cut-off"]));
    assert_eq!(opened.exit, Some(0), "{rate} kbit/s: {}", opened.stderr);
    let kept = opened.stdout;
    assert!(content.starts_with(&kept), "{rate} kbit/s: other bytes than were recorded");
    assert!(rate < 1000 || kept.len() >= MAX_PART_PLAINTEXT, "parts are there beside the tail");
    (lost_time(written - kept.len(), rate), gone)
}

fn lost_time(bytes: usize, rate: usize) -> Duration {
    Duration::from_secs_f64(bytes as f64 * 8.0 / (rate as f64 * 1000.0))
}
