//! The disk of a client fails or stays full while its server is away, is full itself, or refuses everything. What the
//! client then calls acknowledged or kept opens once disk and server are well, to the byte; nothing is stuck, and
//! nothing else is claimed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use vault_proto::geometry::MAX_PART_PLAINTEXT;
use vault_tests::command::{Said, end};
use vault_tests::faults::clinic::{Clinic, SEAL_LIVE};
use vault_tests::faults::proxy::Strike;
use vault_tests::faults::watched_disk::{EIO, ENOSPC, Effect, Rule};
use vault_tests::faults::{Chance, Tally, how_many};

use crate::clock::with_clock;

/// More than memory, the sealing thread and what is read ahead hold together.
const LENGTH: usize = 9 * MAX_PART_PLAINTEXT + 4321;
/// Calls that fail, and among how many of the first of each the failing one is chosen.
const CALLS: [(&str, u64); 6] =
    [("write", 40), ("fsync", 30), ("open", 20), ("fdatasync", 14), ("rename", 20), ("mkdir", 3)];

fn rule(chance: &mut Chance, number: u64) -> Rule {
    let (call, among) = CALLS[usize::try_from(number).unwrap() % CALLS.len()];
    let from = chance.below(among) + 1;
    match chance.below(4) {
        0 => Rule { call, effect: Effect::Fail(EIO), from, to: from },
        1 => Rule { call, effect: Effect::Fail(ENOSPC), from, to: from },
        _ => Rule { call, effect: Effect::Fail(ENOSPC), from, to: 1_000_000 },
    }
}

/// Runs a live recording to its end; once it says that it waits for a server it is stopped, as by Ctrl-C.
fn stopped_when_it_waits(mut command: Command) -> Said {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut stderr = String::new();
    let mut stopped = false;
    while lines.read_line(&mut stderr).unwrap() > 0 {
        if !stopped && stderr.contains("The server cannot be reached") {
            stopped = true;
            // It may have ended by itself.
            let _ = kill_process(id, Signal::INT);
        }
    }
    let mut stdout = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    Said { exit: child.wait().unwrap().code(), stdout, stderr }
}

/// What a client claimed of a recording.
struct Claim {
    recording: String,
    /// Plaintext bytes that are acknowledged or kept.
    bytes: u64,
    /// Whether it was lost in part or, for another reason, has no end of its own.
    without_end: bool,
    on_server: bool,
}

/// Reads what was claimed; nothing if no recording was begun.
fn claimed(said: &Said, exits: &[i32], rule: Rule) -> Option<Claim> {
    if said.exit == Some(0) {
        let sealed: Value = serde_json::from_slice(&said.stdout).unwrap();
        let recording = sealed["recording"].as_str().unwrap().to_owned();
        let bytes = sealed["bytes"].as_u64().unwrap();
        return Some(Claim { recording, bytes, without_end: false, on_server: true });
    }
    assert!(said.exit.is_some_and(|exit| exits.contains(&exit)), "{rule:?}: {:?} {}", said.exit, said.stderr);
    assert_eq!(said.stdout, b"", "{rule:?}: a recording was announced");
    let told: Value = serde_json::from_str(said.stderr.lines().last().unwrap()).unwrap();
    let Some(recording) = told["recording"].as_str() else {
        assert!(!said.stderr.contains("Recording "), "{rule:?}: nothing is said of what was begun: {told}");
        return None;
    };
    let figure = |name: &str| told[name].as_u64().unwrap();
    let (acknowledged, kept, lost) =
        (figure("acknowledged_bytes"), figure("kept_bytes"), figure("lost_bytes"));
    assert!(acknowledged + kept + lost <= LENGTH as u64, "{told}");
    let words = told["means"].as_str().unwrap();
    assert_eq!(words.contains("Nothing is lost"), lost == 0, "{told}");
    assert!(lost == 0 || said.exit == Some(19), "only a disk that fails costs anything: {told}");
    Some(Claim {
        recording: recording.to_owned(),
        bytes: acknowledged + kept,
        without_end: lost > 0 || told["end"] == "unsealed",
        on_server: told["end"] == "on_server",
    })
}

/// Brings what was left behind to its end on a disk and a server that are well, and holds what opens then against the
/// claim.
fn check(clinic: &Clinic, claim: Option<Claim>, content: &[u8], rule: Rule) -> Tally {
    let mut resume = clinic.resume();
    let resumed = end(resume.arg("--json"));
    assert_eq!(resumed.exit, Some(0), "{rule:?}: it is stuck: {}", resumed.stderr);
    assert_eq!(clinic.unfinished(), 0, "{rule:?}: something is left behind");
    let Some(claim) = claim else { return Tally::default() };
    let Claim { recording, bytes, without_end, on_server } = claim;
    let ending = resumed.json_lines().into_iter().find(|ending| ending["recording"] == recording.as_str());
    let bytes = usize::try_from(bytes).unwrap();
    assert!(ending.is_some() || on_server, "{rule:?}: {recording} is not gone on with: {}", resumed.stderr);
    let (there, status) = match &ending {
        Some(ending) => (ending["bytes"].as_u64().unwrap(), ending["status"].as_str().unwrap().to_owned()),
        None => (bytes as u64, "complete".to_owned()),
    };
    assert!(without_end || status == "complete", "{rule:?}: {ending:?}");
    let there = usize::try_from(there).unwrap();
    assert!(there >= bytes, "{rule:?}: {bytes} bytes were claimed, and {there} are there");
    if status != "empty" {
        for reader in [&clinic.patient, &clinic.clinician] {
            let plain = reader.open(&recording);
            assert_eq!(plain.exit, Some(if status == "complete" { 0 } else { 12 }), "{}", plain.stderr);
            let opened = reader.run(&["open", &recording, "--allow-cut-off"]);
            assert_eq!(opened.exit, Some(0), "{rule:?}: {}", opened.stderr);
            assert!(opened.stdout == content[..there], "{rule:?}: other bytes than were recorded");
        }
    }
    let parts = bytes.div_ceil(MAX_PART_PLAINTEXT);
    Tally { tried: 0, acknowledged: parts, opened: parts, sent_twice: 0 }
}

/// A live recording with a failing disk, whose server is struck somewhere on the way.
fn record(clinic: &Clinic, file: &Path, rule: Rule, at: u64, strike: Strike) -> (Said, bool) {
    let disk = clinic.watched(&clinic.clinician.home);
    clinic.proxy.strike_after(at, strike);
    let mut command = (SEAL_LIVE.begin)(clinic, file);
    command.arg("--json");
    disk.with(&[rule]).watch(&mut command);
    let said = stopped_when_it_waits(command);
    let struck = clinic.proxy.end_strikes() > 0;
    (said, struck && disk.take_struck() > 0)
}

#[test]
fn a_full_disk_while_the_server_is_away_costs_nothing_that_is_called_kept() {
    let class = "disk of client, server away";
    let faults = how_many(100);
    let clinic = Clinic::new();
    let mut chance = Chance::of_class(class);
    let (whole, _) = clinic.measured(SEAL_LIVE, 0, LENGTH);
    let mut sum = Tally::default();
    for number in 1.. {
        if sum.tried >= faults {
            break;
        }
        assert!(number < 20 * faults as u64, "faults do not strike");
        let rule = rule(&mut chance, number);
        let (file, content) = clinic.new_file(number, LENGTH);
        let server = Arc::clone(&clinic.server);
        // Gone, or with a store that is full: both may pass.
        let full = chance.once_in(3);
        let strike = move || {
            server.kill();
            if full {
                server.start_full();
            }
        };
        let at = whole / 10 + chance.below(whole * 8 / 10);
        let (said, struck) = record(&clinic, &file, rule, at, Strike::Call(Box::new(strike)));
        let claim = claimed(&said, &[18, 19, 22, 130], rule);
        clinic.server.kill();
        clinic.server.start();
        let mut tally = check(&clinic, claim, &content, rule);
        tally.tried = usize::from(struck);
        sum += tally;
        std::fs::remove_file(file).unwrap();
    }
    sum.report(class);
}

#[test]
fn a_full_disk_while_the_server_refuses_costs_nothing_that_is_called_kept() {
    let class = "disk of client, server refuses";
    let faults = how_many(100);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let clinic = Clinic::new();
    let mut chance = Chance::of_class(class);
    let (whole, _) = clinic.measured(SEAL_LIVE, 0, LENGTH);
    clinic.server.stop();
    let off = Arc::new(AtomicI64::new(0));
    let mut sum = Tally::default();
    with_clock(&runtime, &clinic, Arc::clone(&off), || {
        for number in 1.. {
            if sum.tried >= faults {
                break;
            }
            assert!(number < 20 * faults as u64, "faults do not strike");
            let rule = rule(&mut chance, number);
            let (file, content) = clinic.new_file(number, LENGTH);
            // A clock that is wrong refuses everything, for as long as nobody sets it.
            let jumps = Arc::clone(&off);
            let strike = Strike::Call(Box::new(move || jumps.store(86_400, Ordering::SeqCst)));
            let at = whole / 10 + chance.below(whole * 8 / 10);
            let (said, struck) = record(&clinic, &file, rule, at, strike);
            let claim = claimed(&said, &[19, 22], rule);
            off.store(0, Ordering::SeqCst);
            let mut tally = check(&clinic, claim, &content, rule);
            tally.tried = usize::from(struck);
            sum += tally;
            std::fs::remove_file(file).unwrap();
        }
    });
    sum.report(class);
}
