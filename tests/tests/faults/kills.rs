//! `kill -9` of client and server at random bytes of the conversation.

use std::sync::{Arc, OnceLock};

use rustix::process::{Pid, Signal, kill_process};
use vault_proto::geometry::MAX_PART_PLAINTEXT;
use vault_tests::command::Said;
use vault_tests::faults::clinic::{Clinic, SEAL_FILE, SEAL_LIVE, Way, recording};
use vault_tests::faults::proxy::Strike;
use vault_tests::faults::{Chance, Tally, how_many};

/// Six parts and a bit: more than are in flight at the same time.
const LENGTH: usize = 6 * MAX_PART_PLAINTEXT + 4321;
/// Kills of the client within one recording.
const MOST_KILLS: usize = 3;
/// Parts that the client has in flight at the same time.
const IN_FLIGHT: usize = 4;

/// Runs a command; it is killed before the byte that comes after `bytes` more.
pub(crate) fn killed_after(clinic: &Clinic, bytes: u64, mut command: std::process::Command) -> (Said, bool) {
    let process = Arc::new(OnceLock::new());
    let victim = Arc::clone(&process);
    let strike = Strike::Call(Box::new(move || {
        // No byte of the client can come before it runs.
        let id: &Pid = victim.wait();
        // It may have ended by itself: the byte was its last.
        let _ = kill_process(*id, Signal::KILL);
    }));
    clinic.proxy.strike_after(bytes, strike);
    let child = command.spawn().unwrap();
    process.set(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()).unwrap();
    let said = Said::new(child.wait_with_output().unwrap());
    clinic.proxy.end_strikes();
    let killed = said.exit.is_none();
    (said, killed)
}

fn killed_clients(class: &str, way: Way) {
    let kills = how_many(200);
    let clinic = Clinic::new();
    let mut chance = Chance::of_class(class);
    let (whole, _) = clinic.measured(way, 0, LENGTH);
    let mut sum = Tally::default();
    for number in 1.. {
        if sum.tried >= kills {
            break;
        }
        let (file, content) = clinic.new_file(number, LENGTH);
        let mut command = (way.begin)(&clinic, &file);
        let mut tried = 0;
        let sealed = loop {
            let bytes = if tried == MOST_KILLS { u64::MAX / 2 } else { chance.below(whole) };
            let (said, killed) = killed_after(&clinic, bytes, command);
            if !killed {
                break said;
            }
            tried += 1;
            command = (way.go_on)(&clinic, &file);
        };
        let tally = clinic.tally(&recording(&sealed), &content, tried);
        sum += tally;
        std::fs::remove_file(file).unwrap();
    }
    sum.report(class);
}

#[test]
fn a_killed_client_loses_nothing_that_was_acknowledged() {
    killed_clients("kill client: seal FILE", SEAL_FILE);
}

/// The recording that a live `seal` had begun when it was killed.
fn begun(said: &Said) -> Option<String> {
    Some(said.stderr.lines().find_map(|line| line.strip_prefix("Recording "))?.to_owned())
}

#[test]
fn a_killed_live_recording_opens_up_to_what_was_acknowledged() {
    let class = "kill client: seal -, resume";
    let kills = how_many(200);
    let clinic = Clinic::new();
    let mut chance = Chance::of_class(class);
    let (whole, _) = clinic.measured(SEAL_LIVE, 0, LENGTH);
    let mut sum = Tally::default();
    for number in 1.. {
        if sum.tried >= kills {
            break;
        }
        let (file, content) = clinic.new_file(number, LENGTH);
        let (said, killed) = killed_after(&clinic, chance.below(whole), (SEAL_LIVE.begin)(&clinic, &file));
        let mut tried = usize::from(killed);
        let recording = begun(&said);
        // Before anybody comes back: the signed progress alone.
        if let Some(recording) = recording.as_ref().filter(|_| killed) {
            assert_eq!(
                clinic.tally_cut_off(recording, &content, 0).lost(),
                0,
                "{class}: before anybody came back"
            );
        }
        if chance.once_in(2) {
            let (_, killed) = killed_after(&clinic, chance.below(whole / 4), clinic.resume());
            tried += usize::from(killed);
        }
        let resumed = vault_tests::command::end(&mut clinic.resume());
        assert_eq!(resumed.exit, Some(0), "{}", resumed.stderr);
        sum += match recording {
            Some(recording) => clinic.tally_cut_off(&recording, &content, tried),
            None => Tally { tried, ..Tally::default() },
        };
        assert_eq!(clinic.unfinished(), 0, "something is left behind");
        std::fs::remove_file(file).unwrap();
    }
    sum.report(class);
}

#[test]
fn a_killed_server_loses_nothing_that_it_acknowledged() {
    killed_servers(SEAL_FILE);
}

#[test]
fn a_killed_server_loses_nothing_of_a_live_recording() {
    killed_servers(SEAL_LIVE);
}

fn killed_servers(way: Way) {
    let class = &format!("kill server: {} and open", way.name);
    let kills = how_many(200);
    let clinic = Clinic::new();
    let mut chance = Chance::of_class(class);
    let (sealing, opening) = clinic.measured(way, 0, LENGTH);
    let mut sum = Tally::default();
    for number in 1.. {
        if sum.tried >= kills {
            break;
        }
        let (file, content) = clinic.new_file(number, LENGTH);
        for _ in 0..3 {
            let server = Arc::clone(&clinic.server);
            let again = move || {
                server.kill();
                server.start();
            };
            clinic.proxy.strike_after(chance.below(sealing + opening), Strike::Call(Box::new(again)));
        }
        // The client tries again by itself while its server comes back.
        let sealed = vault_tests::command::end(&mut (way.begin)(&clinic, &file));
        let mut tally = clinic.tally(&recording(&sealed), &content, 0);
        tally.tried = clinic.proxy.end_strikes();
        assert!(tally.sent_twice <= IN_FLIGHT * tally.tried, "{tally:?}");
        sum += tally;
        std::fs::remove_file(file).unwrap();
    }
    sum.report(class);
}
