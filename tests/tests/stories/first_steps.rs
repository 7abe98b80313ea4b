//! What somebody meets who is new, takes steps in the wrong order or types something that cannot be meant: told before
//! anything is asked for, with what to type next, and nothing is written over.

use std::path::Path;
use std::process::{Command, Stdio};

use vault_tests::command::{Said, binary, end, run_for_words, vault_cli};
use vault_tests::pseudo_terminal::PseudoTerminal;
use vault_tests::world::{Person, World, bytes};

/// Runs a command that nobody gives a passphrase, in a session without a terminal: one that asks for it fails with
/// "no terminal".
fn unasked(home: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(binary("vault-cli")).args(arguments);
    command.env_remove("VAULT_PASSPHRASE").env("VAULT_HOME", home).env("TZ", "UTC");
    let said = end(command.stdin(Stdio::null()));
    assert!(!said.stderr.contains("no terminal to ask"), "{arguments:?} asks first: {}", said.stderr);
    said
}

fn people(world: &World) -> (Person, Person) {
    (world.person("patient", "patient"), world.person("clinician", "clinician"))
}

#[test]
fn each_step_that_is_missing_is_named_with_what_to_type() {
    let world = World::new();
    let nobody = world.folder().join("nobody");
    let office = world.folder().join("registrar");
    let begun = world.folder().join("begun");
    let account = run_for_words(&begun, ["keygen"]).text();
    let certify = ["registrar", "certify", &account, "--role", "patient"];
    let missing_file = world.folder().join("no.certificate");
    let missing_file = missing_file.to_str().unwrap();
    let url = world.server().url();
    let enrol =
        ["--server", url, "enrol", "--organisation", &world.organisation, "--certificate", missing_file];
    let seal = ["seal", "talk.webm", "--patient", &account, "--clinician", &account];
    for (home, arguments, what, next) in [
        (&nobody, &["list"][..], "There is no identity in", "`vault-cli keygen`, then a certificate"),
        (&nobody, &["whoami"], "There is no identity in", "`vault-cli keygen`"),
        (&nobody, &["passphrase"], "There is no identity in", "`vault-cli keygen`"),
        (&nobody, &seal, "There is no identity in", "`vault-cli keygen`"),
        (&nobody, &enrol, "There is no identity in", "`vault-cli keygen`"),
        // A registrar's home is no account's, and the other way round.
        (&office, &["list"], "There is no identity in", "Choose the right folder with --home"),
        (&begun, &certify, "There is no organisation root in", "`vault-cli --home DIR registrar init`"),
        (&nobody, &certify, "There is no organisation root in", "`vault-cli --home DIR registrar init`"),
        (&begun, &["list"], "is not enrolled at a server yet", "`vault-cli --server URL enrol"),
        (&begun, &["compare", &account], "is not enrolled at a server yet", "`vault-cli --server URL enrol"),
    ] {
        let said = unasked(home, arguments);
        said.refused(21, what);
        assert!(said.stderr.lines().last().unwrap().contains(next), "{arguments:?}: {}", said.stderr);
    }
    let said = unasked(&begun, &enrol);
    said.refused(19, missing_file);
    let said = unasked(&begun, enrol.get(2..).unwrap());
    said.refused(2, "No server is named");
    assert!(said.stderr.contains("--server URL"), "{}", said.stderr);
    assert!(!nobody.exists(), "asking made a home");
}

/// What enrolment pins is not typed again: neither the server nor the organisation.
#[test]
fn a_renewed_certificate_alone_is_enough_to_enrol_again() {
    let world = World::new();
    let person = world.unenrolled("person", "patient", &[]);
    let certificate = person.certificate.to_str().unwrap().to_owned();
    let first = ["--server", world.server().url(), "enrol", "--certificate", &certificate];
    let said = unasked(&person.home, &first);
    said.refused(2, "No organisation is named");
    assert!(said.stderr.contains("`vault-cli enrol --organisation ROOT-FINGERPRINT …`"), "{}", said.stderr);
    world.enrol(&person, world.server().url()).text();
    let older = world.file("older.certificate", &std::fs::read(&person.certificate).unwrap());
    world.certify(&person.account, "patient", &["--label", "Anna"], &person.certificate).text();
    person.run(&["enrol", "--certificate", &certificate]).text();
    let known = person.run(&["whoami", "--json"]).json();
    assert_eq!((&known["label"], &known["organisation"]), (&"Anna".into(), &(*world.organisation).into()));
    // An older one is no matter for the operator.
    for arguments in [&["enrol", "--certificate"][..], &["registrar", "upload"]] {
        let said = person.run(&[arguments, &[older.to_str().unwrap()]].concat());
        said.refused(22, "The certificate is not newer than the current one");
        let next = said.stderr.lines().last().unwrap();
        assert!(next.starts_with("Take the newest certificate"), "{}", said.stderr);
    }
    let other = ["enrol", "--certificate", &certificate, "--organisation", &"0".repeat(64)];
    person.run(&other).refused(16, "an account stays where it was enrolled");
}

#[test]
fn a_file_that_is_no_certificate_is_named() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    for content in ["", "{}", "some words", "{\"issuer\":1}"] {
        let file = world.file("talk.webm", content.as_bytes());
        let name = file.to_str().unwrap();
        for arguments in [&["enrol", "--certificate", name][..], &["registrar", "upload", name]] {
            let said = unasked(&patient.home, arguments);
            said.refused(2, "talk.webm is no certificate file");
            assert!(said.stderr.contains("`vault-cli registrar certify -o FILE`"), "{}", said.stderr);
        }
    }
}

#[test]
fn what_cannot_be_meant_is_told_before_the_passphrase_is_asked_for() {
    let world = World::new();
    let (patient, clinician) = people(&world);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let file = text(&world.file("talk.webm", b"content"));
    let folder = text(world.folder());
    let absent = text(&world.folder().join("absent/talk.webm"));
    let id = "0".repeat(32);
    let (anna, dora) = (patient.account.as_str(), clinician.account.as_str());
    let typed = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let sealing =
        |file: &str, patient: &str| typed(&["seal", file, "--patient", patient, "--clinician", dora]);
    for (arguments, exit, what) in [
        (sealing(&absent, anna), 19, "absent/talk.webm cannot be read: No such file"),
        (sealing(&folder, anna), 19, "cannot be read: is a directory"),
        (sealing(&file, "anna"), 2, "or a petname that you gave it"),
        (sealing(&file, "123"), 2, "\"123\" does not name an account"),
        ([sealing(&file, anna), typed(&["--media-type", "video"])].concat(), 2, "is not a media type"),
        (typed(&["open", "talk"]), 2, "does not name a recording"),
        (typed(&["open", &id, "-o", &file]), 19, "talk.webm exists already"),
        (typed(&["open", &id, "-o", &absent]), 19, "absent/talk.webm cannot be used: No such file"),
        (typed(&["play", "talk"]), 2, "does not name a recording"),
        (typed(&["play", &id, "-o", "file"]), 2, "stores nothing"),
        (typed(&["export", &file]), 2, "is no folder"),
        (typed(&["export", &absent, "talk"]), 2, "does not name a recording"),
        (typed(&["verify", &absent]), 2, "There is no folder"),
        (typed(&["verify", &folder]), 2, "holds no export"),
        (typed(&["verify", "talk"]), 2, "does not name a recording"),
        (typed(&["compare", "anna"]), 2, "does not name an account"),
        (typed(&["list", "--server", "vault.example"]), 2, "is not a server address"),
        (typed(&["list", "--cacert", &absent]), 19, "absent/talk.webm cannot be used"),
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        unasked(&clinician.home, &arguments).refused(exit, what);
    }
    let office = world.folder().join("registrar");
    let certify = ["registrar", "certify", anna, "--role", "patient", "-o", &file];
    unasked(&office, &certify).refused(19, "talk.webm exists already");
    let home = text(&world.folder().join("another"));
    unasked(Path::new(&home), &["keygen", "--words-file", &file]).refused(19, "talk.webm exists already");
    assert_eq!(std::fs::read(&file).unwrap(), b"content");
}

#[test]
fn nothing_is_written_over() {
    let world = World::new();
    let (patient, clinician) = people(&world);
    let content = bytes(100_000, 60);
    let recording = clinician.seal(&world.file("talk.bin", &content), &patient, &clinician, &[]).text();
    let there = world.file("there.bin", b"all that somebody has");
    let path = there.to_str().unwrap();
    let open = patient.run(&["open", &recording, "-o", path]);
    open.refused(19, "there.bin exists already, and nothing is written over it.");
    assert!(open.stderr.contains("Name another file"), "{}", open.stderr);
    let mut certify = vault_cli(&world.folder().join("registrar"));
    certify.args(["registrar", "certify", &patient.account, "--role", "patient", "-o", path]);
    end(&mut certify).refused(19, "exists already");
    assert_eq!(std::fs::read(&there).unwrap(), b"all that somebody has");
    // A pipe or a device has nothing to lose.
    patient.run(&["open", &recording, "-o", "/dev/null"]).text();
    let new = world.folder().join("new.bin");
    patient.run(&["open", &recording, "-o", new.to_str().unwrap()]).text();
    assert_eq!(std::fs::read(&new).unwrap(), content);
}

#[test]
fn a_live_recording_that_cannot_begin_says_that_nothing_is_recorded() {
    let mut world = World::new();
    let (patient, clinician) = people(&world);
    assert!(world.take_server().stop().success());
    let mut command = vault_cli(&clinician.home);
    command.args(["seal", "-", "--patient", &patient.account, "--clinician", &clinician.account]);
    let said = end(&mut command);
    said.refused(18, "The recording has not begun. The server http://127.0.0.1:");
    assert!(
        said.stderr.contains("kept nowhere: neither on the server nor on this machine"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("acknowledged"), "{}", said.stderr);
    // A file loses nothing by waiting.
    let file = world.file("talk.bin", b"content");
    let said = clinician.seal(&file, &patient, &clinician, &[]);
    said.refused(18, "cannot be reached");
    assert!(!said.stderr.contains("has not begun"), "{}", said.stderr);
}

#[test]
fn an_export_that_was_interrupted_is_finished_by_exporting_again() {
    let world = World::new();
    let (patient, clinician) = people(&world);
    clinician.seal(&world.file("talk.bin", &bytes(1000, 61)), &patient, &clinician, &[]).text();
    let folder = world.folder().join("mine");
    let path = folder.to_str().unwrap();
    patient.run(&["export", path]).text();
    std::fs::remove_file(folder.join("SHA256SUMS")).unwrap();
    let said = patient.run(&["verify", path]);
    said.refused(11, "SHA256SUMS is missing");
    let next = said.stderr.lines().last().unwrap();
    assert!(next.contains(&format!("`vault-cli export {path}` again")), "{next}");
    assert!(!said.stderr.contains("operator"), "{}", said.stderr);
    patient.run(&["export", path]).text();
    patient.run(&["verify", path]).text();
}

/// Every command's help, and a mistake in each, on a wide and a narrow terminal: no line is broken by the terminal.
#[test]
fn help_and_mistakes_fit_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let help = Said::text(&end(vault_cli(folder.path()).arg("--help")));
    let (_, commands) = help.split_once("Commands:").unwrap();
    let mut names: Vec<&str> = commands
        .lines()
        .take_while(|line| !line.starts_with("Options"))
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    assert!(names.len() > 12 && names.contains(&"seal") && names.contains(&"registrar"), "{names:?}");
    names.extend(["registrar init", "registrar certify", "registrar upload"]);
    for columns in [80, 40] {
        for name in &names {
            for more in ["--help", "--no-such-option"] {
                let (_, screen) = PseudoTerminal::vault_cli(folder.path(), columns, &[name, more]).end();
                for line in plain(&screen).lines() {
                    // A word that is wider than the terminal stands alone, whole.
                    let is_word = !line.trim().contains(' ');
                    let fits = line.chars().count() <= usize::from(columns);
                    assert!(fits || is_word, "{name} {more} at {columns}: {line:?}");
                }
                // No column is so thin that each word has a line of its own.
                let screen = plain(&screen);
                let alone = |line: &&str| {
                    line.starts_with(' ') && !line.trim().starts_with('-') && !line.trim().contains(' ')
                };
                let lines: Vec<&str> = screen.lines().collect();
                let thin = lines.windows(3).find(|three| three.iter().all(alone));
                assert_eq!(thin, None, "{name} {more} at {columns}");
            }
        }
        let (_, screen) = PseudoTerminal::vault_cli(folder.path(), columns, &["seal", "--help"]).end();
        let screen = plain(&screen);
        let (own, every) = screen.split_once("Options of every command:").unwrap();
        assert!(own.contains("--patient") && !own.contains("--home"), "{screen}");
        assert!(every.contains("--home") && !every.contains("--patient"), "{screen}");
    }
}

#[test]
fn petnames_fit_the_terminal() {
    let world = World::new();
    let (patient, clinician) = people(&world);
    let petname = "a-name-of-thirty-two-characters-";
    clinician.run(&["name", &patient.account, petname]).text();
    for columns in [80, 40] {
        let (exit, screen) = PseudoTerminal::vault_cli(&clinician.home, columns, &["name"]).end();
        assert_eq!(exit, Some(0), "{screen}");
        assert!(screen.contains(petname) && screen.contains("not compared"), "{screen}");
        let short = patient.account.get(..12).unwrap();
        assert!(screen.contains(short) && !screen.contains(&patient.account), "{screen}");
        assert!(screen.lines().all(|line| line.chars().count() <= usize::from(columns)), "{screen}");
    }
}

/// What is seen, without what colours it.
fn plain(screen: &str) -> String {
    let mut pieces = screen.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |seen, piece| seen + piece.split_once('m').map_or("", |(_, rest)| rest))
}
