//! What a person sees on a real terminal, wide and narrow, and what a script gets in its place.

use std::io::Read as _;
use std::process::Stdio;

use vault_tests::command::{PASSPHRASE, binary, end, run, vault_cli};
use vault_tests::pseudo_terminal::PseudoTerminal;
use vault_tests::world::{World, bytes};

#[test]
fn a_list_fits_the_terminal_and_breaks_no_word() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let file = world.file("talk.bin", &bytes(5000, 1));
    let title = "Knee, follow-up of the operation in spring, with pictures of both sides";
    let recording = clinician.seal(&file, &patient, &clinician, &["--title", title]).text();
    let words: Vec<String> = patient.run(&["list"]).text().split_whitespace().map(str::to_owned).collect();
    assert_eq!(words[0], recording, "where there is no terminal, the whole id stands on the line");
    for columns in [80, 40] {
        let (exit, screen) = PseudoTerminal::vault_cli(&patient.home, columns, &["list"]).end();
        assert_eq!(exit, Some(0), "{screen}");
        for line in screen.lines() {
            assert!(line.chars().count() <= usize::from(columns), "{columns}: {line:?}");
        }
        let short = screen.split_whitespace().find(|word| recording.starts_with(*word)).unwrap();
        assert_eq!(patient.open(short).stdout, bytes(5000, 1), "what is shown of the id names it");
        assert!(screen.contains("Knee, follow-up"), "{screen}");
        // Every word of what is said of the people is whole.
        let shown: Vec<&str> = screen.split_whitespace().collect();
        assert!(
            shown.contains(&"patient") && shown.contains(&"clinician") && shown.contains(&"sealed"),
            "{screen}"
        );
        let (exit, screen) =
            PseudoTerminal::vault_cli(&world.folder().join("nobody"), columns, &["list"]).end();
        assert_eq!(exit, Some(21));
        let said = end(vault_cli(&world.folder().join("nobody")).arg("list")).stderr;
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&screen), words(&said), "no word is broken");
    }
}

/// What the server says to whoever starts it, on a wide and on a narrow terminal: no word is broken, and what is to be
/// typed stays in one piece.
#[test]
fn the_server_speaks_in_lines_of_the_terminals_width() {
    let world = World::offline();
    let program = binary("vault-server").display().to_string();
    let data = world.data().display().to_string();
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for (arguments, exit, typed) in [
        (format!("serve --data {data} --listen 0.0.0.0:0"), 2, Some("vault-server serve --data")),
        ("serve --data /nowhere/at/all --listen 127.0.0.1:0".to_owned(), 2, Some("vault-server init --data")),
        (format!("serve --data {data} --authority https://vault.example/"), 2, None),
        (format!("serve --data {data} --max-bytes much --and more"), 2, None),
        ("serve".to_owned(), 2, None),
        (format!("init --data {data} --organisation {}", "0".repeat(64)), 2, None),
        (format!("init --data {data} --organisation {}", world.organisation), 0, None),
        (format!("collect --data {data}"), 0, None),
    ] {
        let said = end(std::process::Command::new(&program)
            .args(arguments.split(' '))
            .env("RUST_LOG", "off")
            .stdin(Stdio::null()));
        let plain = format!("{}{}", String::from_utf8_lossy(&said.stdout), said.stderr);
        for columns in [80, 40] {
            let mut environment = std::process::Command::new(&program);
            environment.env("RUST_LOG", "off");
            let line = format!("{program} {arguments}");
            let (ended, screen) = PseudoTerminal::shell(&environment, columns, &line).end();
            assert_eq!(ended, Some(exit), "{arguments}: {screen}");
            assert_eq!(words(&screen), words(&plain), "a word is broken");
            for line in screen.lines() {
                let is_typed = typed.is_some_and(|typed| line.starts_with(typed));
                let fits = line.chars().count() <= usize::from(columns);
                assert!(fits || is_typed || !line.trim().contains(' '), "{columns}: {line:?} in {screen}");
            }
            let typed_whole = |typed: &str| screen.lines().any(|line| line.starts_with(typed));
            assert!(typed.is_none_or(typed_whole), "{screen}");
        }
    }
    for help in ["help", "help serve", "--help", "serve --help"] {
        for columns in [80, 40] {
            let environment = std::process::Command::new(&program);
            let (ended, screen) =
                PseudoTerminal::shell(&environment, columns, &format!("{program} {help}")).end();
            assert_eq!(ended, Some(0), "{help}: {screen}");
            assert!(screen.contains("Usage: vault-server"), "{help}: {screen}");
            for line in screen.lines() {
                let fits = line.chars().count() <= usize::from(columns);
                assert!(fits || !line.trim().contains(' '), "{columns}: {line:?}");
            }
        }
    }
}

#[test]
fn times_are_those_of_the_persons_zone_and_of_utc_in_json() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let end_of = |zone: &str| {
        let mut command = vault_cli(&patient.home);
        end(command.arg("whoami").env("TZ", zone)).text()
    };
    let json = patient.run(&["whoami", "--json"]).json();
    let utc = json["certificate_not_after"].as_str().unwrap();
    let time: vault_proto::timestamp::Timestamp = utc.parse().unwrap();
    let (day, clock) = utc.trim_end_matches('Z').split_once('T').unwrap();
    assert!(end_of("UTC").contains(&format!("until {day} {clock} UTC")), "{}", end_of("UTC"));
    // POSIX counts west: three hours ahead of UTC.
    let ahead = time.saturating_add(3 * 3600).to_string();
    let (day, clock) = ahead.trim_end_matches('Z').split_once('T').unwrap();
    assert!(end_of("MSK-3").contains(&format!("until {day} {clock} MSK")), "{}", end_of("MSK-3"));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let file = world.file("talk.bin", &bytes(3 * 1024 * 1024, 2));
    let recording = patient.seal(&file, &patient, &world.person("clinician", "clinician"), &[]).text();
    for arguments in [
        vec!["list"],
        vec!["--json", "list"],
        vec!["open", &recording, "--quiet"],
        vec!["completions", "bash"],
    ] {
        let mut command = vault_cli(&patient.home);
        let mut child = command.args(&arguments).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        // What a shell says of a program that SIGPIPE ended, as it does of git.
        assert_eq!(child.wait().unwrap().code(), Some(141), "{arguments:?}: {said}");
        assert!(!said.contains("disk") && !said.contains("pipe"), "{arguments:?}: {said}");
    }
}

#[test]
fn what_was_typed_wrongly_is_json_where_json_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in
        [vec!["--json", "frob"], vec!["open", "--json"], vec!["seal", "x", "--json", "--patient"]]
    {
        let said = run(folder.path(), &arguments);
        assert_eq!(said.exit, Some(2), "{}", said.stderr);
        let document: serde_json::Value = serde_json::from_str(&said.stderr).unwrap();
        assert_eq!((&document["error"], &document["exit"]), (&"usage".into(), &2.into()), "{document}");
        assert!(!document["what"].as_str().unwrap().contains("Usage:"), "{document}");
    }
    let certified = run(folder.path(), ["registrar", "certify", "0123", "--role", "patient"]);
    assert!(certified.stderr.contains("not an account id"), "{}", certified.stderr);
    // Help is no mistake, in either spelling.
    for arguments in [vec!["help"], vec!["help", "seal"], vec!["--help"], vec!["seal", "--help", "--json"]] {
        assert!(run(folder.path(), &arguments).text().contains("Usage: vault-cli"), "{arguments:?}");
    }
}

#[test]
fn the_words_are_shown_on_a_terminal_and_asked_back() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let mut terminal = PseudoTerminal::vault_cli(&home, 40, &["keygen", "--suite", "x25519"]);
    let shown = terminal.wait_for("once they are on paper: ");
    let rows = shown.lines().filter_map(|line| line.trim().split_once(". "));
    let rows = rows.filter(|(number, _)| number.trim().parse::<u8>().is_ok());
    let words: Vec<String> =
        rows.flat_map(|(_, words)| words.split_whitespace().map(str::to_owned)).collect();
    assert_eq!(words.len(), 24, "{shown}");
    terminal.type_keys("\r");
    // A wrong answer shows them again, and nothing is made yet.
    terminal.wait_for("Word ");
    terminal.wait_for(": ");
    terminal.type_keys("wrong\r");
    terminal.wait_for("That is not word ");
    terminal.wait_for("once they are on paper: ");
    assert!(!home.join("identity.age").exists(), "an account was made whose words nobody has");
    terminal.type_keys("\r");
    for _ in 0..4 {
        terminal.wait_for("Word ");
        let number: usize = terminal.wait_for(": ").trim_end_matches(": ").parse().unwrap();
        terminal.type_keys(&format!("{}\r", words[number - 1]));
    }
    let (exit, screen) = terminal.end();
    assert_eq!(exit, Some(0), "{screen}");
    let account = run(&home, ["whoami", "--json"]).json();
    assert!(screen.contains(account["account"].as_str().unwrap()), "{screen}");
    let seed = vault_core::seed::Seed::from_words(&words.join(" ")).unwrap();
    let root = vault_proto::ids::PublicKey::from_bytes(seed.account_root().public());
    assert_eq!(account["account"], vault_proto::ids::AccountId::of_root(&root).to_string());
}

#[test]
fn the_words_go_into_no_file_unless_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    for arguments in [vec!["keygen"], vec!["registrar", "init"], vec!["keygen", "--json"]] {
        let said = run(&home, &arguments);
        assert_eq!(said.exit, Some(2), "{}", said.stderr);
        assert!(said.stderr.contains("--words-file"), "{}", said.stderr);
        assert!(!home.exists(), "nothing was made");
    }
    let path = folder.path().join("words");
    let words = path.to_str().unwrap();
    let said = run(&home, ["keygen", "--words-file", words]);
    assert!(!said.text().is_empty() && said.stderr.contains(words));
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written.split_whitespace().count(), 24);
    assert!(!said.stderr.contains(written.trim()));
    // Neither a file nor an identity is ever written over.
    run(&folder.path().join("other"), ["keygen", "--words-file", words]).refused(19, words);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
    assert!(!folder.path().join("other/identity.age").exists());
    // What cannot be written whole is not there at all, so the same command works once there is room.
    let late = folder.path().join("late");
    let keygen = |limit: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("ulimit -f {limit} && exec \"$0\" keygen --words-file \"$1\"")]);
        command.arg(vault_tests::command::binary("vault-cli")).arg(&late);
        command.env("VAULT_HOME", folder.path().join("third")).env("VAULT_PASSPHRASE", PASSPHRASE);
        end(command.env("VAULT_WORK_FACTOR", "15").stdin(Stdio::null()))
    };
    keygen("0").refused(19, "late");
    assert!(!late.exists() && !folder.path().join("third/identity.age").exists());
    keygen("unlimited").text();
    assert_eq!(std::fs::read_to_string(&late).unwrap().split_whitespace().count(), 24);
}

#[test]
fn keygen_refuses_before_it_asks() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    run(&home, ["keygen", "--words-file", folder.path().join("words").to_str().unwrap()]).text();
    let mut command = std::process::Command::new("setsid");
    command.arg("--wait").arg(vault_tests::command::binary("vault-cli")).arg("keygen");
    command.env_remove("VAULT_PASSPHRASE").env("VAULT_HOME", &home).stdin(Stdio::null());
    end(&mut command).refused(2, "never overwritten");
}

#[test]
fn how_long_a_passphrase_is_stands_in_what_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let mut unasked = vault_cli(&home);
    unasked.env_remove("VAULT_PASSPHRASE");
    for command in ["keygen", "registrar init"] {
        let line = format!("{} {command}", binary("vault-cli").display());
        let mut terminal = PseudoTerminal::shell(&unasked, 80, &line);
        terminal.wait_for("New passphrase, 12 characters or more: ");
        terminal.type_keys("eleven char\r");
        let (exit, screen) = terminal.end();
        assert_eq!(exit, Some(2), "{screen}");
        assert!(screen.contains("at least 12 characters"), "{screen}");
        assert!(!screen.contains("The same again"), "what is refused is asked for twice: {screen}");
    }
    assert!(!home.exists());
}

#[test]
fn a_new_passphrase_is_long_enough_and_changes_whole() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let words = folder.path().join("words");
    let mut short = vault_cli(&home);
    short.args(["keygen", "--words-file"]).arg(&words).env("VAULT_PASSPHRASE", "eleven char");
    end(&mut short).refused(2, "at least 12 characters");
    assert!(!words.exists());
    run(&home, ["keygen", "--words-file", words.to_str().unwrap()]).text();
    let before = std::fs::read(home.join("identity.age")).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{text}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (long, too_short) = (file("long", "another dozen of letters"), file("short", "too short"));
    let change = |old: &str, new: &str| {
        let mut command = vault_cli(&home);
        end(command.args(["passphrase", "--new-passphrase-file", new]).env("VAULT_PASSPHRASE", old))
    };
    change("not the old one", &long).refused(21, "Wrong passphrase");
    change(PASSPHRASE, &too_short).refused(2, "at least 12 characters");
    assert_eq!(std::fs::read(home.join("identity.age")).unwrap(), before, "nothing was changed");
    change(PASSPHRASE, &long).text();
    change(PASSPHRASE, &long).refused(21, "Wrong passphrase");
    change("another dozen of letters", &file("back", PASSPHRASE)).text();
    assert_eq!(run(&folder.path().join("nobody"), ["passphrase"]).exit, Some(21));
    // A registrar's home likewise.
    let office = folder.path().join("office");
    let words = folder.path().join("office-words");
    let organisation = run(&office, ["registrar", "init", "--words-file", words.to_str().unwrap()]).text();
    let mut command = vault_cli(&office);
    end(command.args(["passphrase", "--new-passphrase-file", &long])).text();
    let account = organisation;
    let mut certify = vault_cli(&office);
    certify.args(["registrar", "certify", &account, "--role", "patient"]);
    end(&mut certify).refused(21, "Wrong passphrase");
    end(certify.env("VAULT_PASSPHRASE", "another dozen of letters")).text();
}
