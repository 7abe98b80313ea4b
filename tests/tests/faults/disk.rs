//! A disk that is full, fails, comes short or is interrupted: at the server's data folder and at the client's home.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use vault_proto::geometry::MAX_PART_PLAINTEXT;
use vault_tests::command::{Said, binary, end};
use vault_tests::faults::clinic::{Clinic, SEAL_FILE, recording};
use vault_tests::faults::watched_disk::{EINTR, EIO, ENOSPC, Effect, Rule};
use vault_tests::faults::{Chance, Tally, how_many};

const LENGTH: usize = MAX_PART_PLAINTEXT + 4321;
/// Calls that fail, and among how many of the first of each the failing one is chosen.
const CALLS: [(&str, u64); 8] = [
    ("open", 10),
    ("write", 80),
    ("fsync", 20),
    ("fdatasync", 20),
    ("rename", 6),
    ("mkdir", 3),
    ("unlink", 1),
    ("ftruncate", 2),
];

/// One call that fails, or a disk that stays full from one call on.
fn rule(chance: &mut Chance, number: u64) -> Rule {
    let (call, among) = CALLS[usize::try_from(number).unwrap() % CALLS.len()];
    let from = chance.below(among) + 1;
    let effect = match (call, chance.below(4)) {
        ("write", 0) => Effect::Short,
        ("write", 1) => Effect::Fail(EINTR),
        (_, 0 | 1) => Effect::Fail(ENOSPC),
        _ => Effect::Fail(EIO),
    };
    let stays_full = effect == Effect::Fail(ENOSPC) && chance.once_in(4);
    Rule { call, effect, from, to: if stays_full { 1_000_000 } else { from } }
}

/// A failure that a person can act on: three lines, with one of these exit codes.
#[track_caller]
fn failed_clearly(said: &Said, exits: &[i32], rule: Rule) {
    assert!(said.exit.is_some_and(|exit| exits.contains(&exit)), "{rule:?}: {:?} {}", said.exit, said.stderr);
    assert!(said.stderr.lines().count() >= 3, "{rule:?}: {}", said.stderr);
    assert_eq!(said.stdout, b"", "{rule:?}: a recording was announced");
}

fn seal(clinic: &Clinic, file: &Path) -> Command {
    (SEAL_FILE.begin)(clinic, file)
}

#[test]
fn a_server_whose_disk_fails_says_so_and_goes_on_when_it_is_well() {
    let class = "disk of the server fails";
    let faults = how_many(200);
    let clinic = Clinic::new();
    let disk = clinic.watched(&clinic.world.data());
    let server = Arc::clone(&clinic.server);
    // After a failed sync it stops itself; whoever runs it starts it again on a disk that is well.
    clinic.proxy.when_refused(Arc::new(move || server.revive(|| None)));
    let mut chance = Chance::of_class(class);
    let mut sum = Tally::default();
    for number in 0.. {
        if sum.tried >= faults {
            break;
        }
        assert!(number < 20 * faults as u64, "faults do not strike");
        let rule = rule(&mut chance, number);
        clinic.server.kill();
        // If it does not start on such a disk, the client's first request starts it on a well one.
        let _ = clinic.server.try_start(Some(&disk.with(&[rule])));
        let (file, content) = clinic.new_file(number, LENGTH);
        let mut sealed = end(&mut seal(&clinic, &file));
        if sealed.exit != Some(0) {
            failed_clearly(&sealed, &[18, 22], rule);
            // A file that cannot be opened for want of room happens only where one is created; of its own files SQLite
            // does not say why they could not be opened.
            let says_why = rule.call != "open";
            let lasts = rule.effect == Effect::Fail(ENOSPC) && rule.to > rule.from;
            if says_why && lasts && sealed.exit == Some(22) {
                assert!(sealed.stderr.contains("storage-full"), "{rule:?}: {}", sealed.stderr);
            }
            clinic.server.kill();
            clinic.server.start();
            sealed = end(&mut seal(&clinic, &file));
        }
        assert_eq!(sealed.exit, Some(0), "{rule:?}: {}", sealed.stderr);
        let tally = clinic.tally(&recording(&sealed), &content, 0);
        assert_eq!(tally.lost(), 0, "{rule:?}");
        sum += tally;
        clinic.server.kill();
        sum.tried += usize::from(disk.take_struck() > 0);
        clinic.server.start();
        std::fs::remove_file(file).unwrap();
    }
    sum.report(class);
}

#[test]
fn a_client_whose_disk_fails_says_so_and_goes_on_when_it_is_well() {
    let class = "disk of the client fails";
    let faults = how_many(100);
    let clinic = Clinic::new();
    let disk = clinic.watched(&clinic.clinician.home);
    let mut chance = Chance::of_class(class);
    let mut sum = Tally::default();
    for number in 0.. {
        if sum.tried >= faults {
            break;
        }
        assert!(number < 20 * faults as u64, "faults do not strike");
        let rule = Rule { from: chance.below(8) + 1, ..rule(&mut chance, number) };
        let rule = Rule { to: rule.to.max(rule.from), ..rule };
        let (file, content) = clinic.new_file(number, LENGTH);
        let mut command = seal(&clinic, &file);
        disk.with(&[rule]).watch(&mut command);
        let mut sealed = end(&mut command);
        if sealed.exit != Some(0) {
            failed_clearly(&sealed, &[19], rule);
            sealed = end(&mut seal(&clinic, &file));
        }
        assert_eq!(sealed.exit, Some(0), "{rule:?}: {}", sealed.stderr);
        let tally = clinic.tally(&recording(&sealed), &content, 0);
        assert_eq!(tally.lost(), 0, "{rule:?}");
        sum += tally;
        sum.tried += usize::from(disk.take_struck() > 0);
        std::fs::remove_file(file).unwrap();
    }
    sum.report(class);
}

/// A full disk at every call of a server's first steps: what it says is exit code 19 and three lines, and once there
/// is room it goes on.
#[test]
fn a_disk_that_is_full_from_the_start_is_told_and_mended() {
    let class = "disk of the server full at init, start";
    let calls = ["open", "write", "mkdir", "rename", "ftruncate"];
    let (stride, clinic) = (if how_many(100) >= 100 { 1 } else { 4 }, Clinic::new());
    let sealed = {
        let (file, content) = clinic.new_file(1, LENGTH);
        (recording(&end(&mut seal(&clinic, &file))), content)
    };
    clinic.server.stop();
    let mut sum = Tally::default();
    let mut full = |root: &Path, command: &dyn Fn() -> Command| {
        let disk = clinic.watched(root);
        for call in calls {
            for from in (1..).step_by(stride) {
                let rule = Rule { call, effect: Effect::Fail(ENOSPC), from, to: 1_000_000 };
                let mut watched = command();
                disk.with(&[rule]).watch(&mut watched);
                let said = end(&mut watched);
                if said.exit == Some(0) {
                    break;
                }
                failed_clearly(&said, &[19], rule);
                sum.tried += usize::from(disk.take_struck() > 0);
                assert_eq!(end(&mut command()).exit, Some(0), "{rule:?}: it does not go on");
            }
            disk.take_struck();
        }
    };
    let fresh = clinic.world.folder().join("fresh");
    full(&fresh, &|| {
        // After a failure the next call finishes what this one began; after a success all is made anew.
        if fresh.join("vault.json").exists() {
            std::fs::remove_dir_all(&fresh).unwrap();
        }
        let mut init = Command::new(binary("vault-server"));
        init.arg("init").arg("--data").arg(&fresh).args(["--organisation", &clinic.world.organisation]);
        init
    });
    // Opens the folder as a server does, and ends.
    let data = clinic.world.data();
    full(&data, &|| {
        let mut collect = Command::new(binary("vault-server"));
        collect.arg("collect").arg("--data").arg(&data);
        collect
    });
    clinic.server.start();
    let tried = sum.tried;
    sum += clinic.tally(&sealed.0, &sealed.1, 0);
    assert!(tried > 10, "a disk was full {tried} times only");
    sum.report(class);
}
