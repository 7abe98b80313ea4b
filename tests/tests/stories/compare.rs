//! Two people compare what their programs see of each other's keys (FORMAT.md, "Comparing keys"), through the real
//! binaries. What a server in the middle can try is tested beside the code, in `vault-client/src/compare/`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

use std::process::Child;

use vault_tests::command::{Said, vault_cli};
use vault_tests::forging::Pins;
use vault_tests::world::{Person, World};

fn start(person: &Person, with: &str, more: &[&str]) -> Child {
    vault_cli(&person.home).args(["compare", with]).args(more).spawn().unwrap()
}

fn end(child: Child) -> Said {
    Said::new(child.wait_with_output().unwrap())
}

/// Both run the command; the digits each was shown.
fn compare(one: &Person, two: &Person) -> [String; 2] {
    let first = start(one, &two.account, &["--json"]);
    let second = start(two, &one.account, &["--json"]);
    [(first, two), (second, one)].map(|(child, other)| {
        let shown = end(child).json();
        assert_eq!(shown["account"], other.account.as_str());
        assert_eq!(shown["compared"], false, "nothing is marked before somebody answers");
        shown["code"].as_str().unwrap().to_owned()
    })
}

#[test]
fn two_people_at_the_same_time_are_shown_the_same_digits() {
    let world = World::new();
    let (anna, ben) = (world.person("anna", "patient"), world.person("ben", "clinician"));
    let [first, second] = compare(&anna, &ben);
    assert_eq!(first, second);
    assert!(first.len() == 6 && first.bytes().all(|b| b.is_ascii_digit()), "{first}");

    let answered = anna.run(&["compare", &ben.account, "--yes", "--json"]).json();
    assert_eq!(answered["code"], first);
    assert_eq!(answered["compared"], true);
    assert!(Pins::of(&anna, &ben)["standing"]["compared"]["at"].is_string());
    // An answer is given once, and only to digits that were shown.
    anna.run(&["compare", &ben.account, "--yes"]).refused(2, "wait for an answer");
    assert!(Pins::of(&ben, &anna)["standing"]["compared"].is_null(), "each marks for himself");

    // Another time, with new nonces, over what the first run left at the server.
    let [third, fourth] = compare(&ben, &anna);
    assert_eq!(third, fourth);
    assert_ne!(third, first, "one chance in a million");
}

#[test]
fn digits_that_differ_stop_sealing_until_a_comparison_succeeds() {
    let world = World::new();
    let (anna, ben) = (world.person("anna", "patient"), world.person("ben", "clinician"));
    let file = world.file("talk.bin", b"a talk");
    compare(&anna, &ben);
    ben.run(&["compare", &anna.account, "--no"]).refused(16, "The digits differ");
    ben.seal(&file, &anna, &ben, &[]).refused(16, &anna.account);
    ben.seal(&file, &anna, &ben, &[]).refused(16, "they differed");
    assert_eq!(world.recordings(), 0);

    let [first, second] = compare(&ben, &anna);
    assert_eq!(first, second);
    ben.seal(&file, &anna, &ben, &[]).refused(16, "they differed");
    ben.run(&["compare", &anna.account, "--yes"]).text();
    ben.seal(&file, &anna, &ben, &[]).text();
    assert_eq!(world.recordings(), 1);
}

#[test]
fn the_number_is_the_same_on_both_sides_and_is_checked() {
    let world = World::new();
    let (anna, ben) = (world.person("anna", "patient"), world.person("ben", "clinician"));
    let of_anna = anna.run(&["compare", &ben.account, "--qr", "--json"]).json();
    let of_ben = ben.run(&["compare", &anna.account, "--qr", "--json"]).json();
    let number = of_anna["code"].as_str().unwrap();
    assert_eq!(number, of_ben["code"]);
    assert_eq!(number.len(), 60);

    let shown = anna.run(&["compare", &ben.account, "--qr"]).text();
    let typed = shown.lines().last().unwrap();
    assert_eq!(typed.replace(' ', ""), number);
    let drawn: Vec<&str> = shown.lines().filter(|line| line.contains('█')).collect();
    assert!(drawn.len() >= 12, "no QR code was drawn:\n{shown}");

    ben.run(&["compare", &anna.account, "--scanned", &number[..59]]).refused(2, "sixty digits");
    let last = if number.ends_with('7') { "8" } else { "7" };
    let wrong = format!("{}{last}", &number[..59]);
    ben.run(&["compare", &anna.account, "--scanned", &wrong]).refused(16, "The digits differ");
    assert!(Pins::of(&ben, &anna)["standing"]["unequal"].is_string());
    // As a person types it, in groups.
    assert_eq!(ben.run(&["compare", &anna.account, "--scanned", typed, "--json"]).json()["compared"], true);
    assert!(Pins::of(&ben, &anna)["standing"]["unequal"].is_null());
}

#[test]
fn a_person_who_gave_up_can_begin_again_while_the_other_waits() {
    let world = World::new();
    let (anna, ben) = (world.person("anna", "patient"), world.person("ben", "clinician"));
    let mut gone = start(&anna, &ben.account, &[]);
    while world.comparisons() == 0 {
        assert!(gone.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::yield_now();
    }
    gone.kill().unwrap();
    gone.wait().unwrap();
    let waiting = start(&ben, &anna.account, &["--json"]);
    while world.comparisons() < 2 {
        std::thread::yield_now();
    }
    // Ben met what Anna left behind, and gave nothing away for it.
    let again = end(start(&anna, &ben.account, &["--json"])).json();
    assert_eq!(end(waiting).json()["code"], again["code"]);
}

#[test]
fn an_interrupted_wait_marks_nothing() {
    let world = World::new();
    let (anna, ben) = (world.person("anna", "patient"), world.person("ben", "clinician"));
    let waiting = start(&anna, &ben.account, &[]);
    while world.comparisons() == 0 {
        std::thread::yield_now();
    }
    let interrupt = std::process::Command::new("kill").args(["-INT", &waiting.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    let said = end(waiting);
    assert_eq!(said.exit, Some(130), "{}", said.stderr);
    assert_eq!(said.stdout, b"");
    assert!(Pins::of(&anna, &ben)["shown"].is_null());
}

#[test]
fn whom_one_cannot_compare_with() {
    let world = World::new();
    let anna = world.person("anna", "patient");
    anna.run(&["compare", &anna.account]).refused(2, "nothing to compare with itself");
    let stranger = world.unenrolled("stranger", "patient", &[]);
    anna.run(&["compare", &stranger.account]).refused(16, &stranger.account);
    anna.run(&["compare", &stranger.account, "--no"]).refused(16, &stranger.account);
}
