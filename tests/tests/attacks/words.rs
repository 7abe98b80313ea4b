//! What a server, or whoever fills in a certificate, can make this program say and believe in passing.

use std::process::Stdio;

use vault_proto::envelope::{self, Envelope};
use vault_proto::ids::Digest;
use vault_proto::statements::{FinalSeal, RecordingStatus};
use vault_tests::attack::Attack;
use vault_tests::hostile::{Canned, Fault, FaultKind};
use vault_tests::scene::{LENGTH, Scene};

/// Clears the screen, adds a line, and turns the reading direction around.
const STEERING: &str = "\u{1b}[2J\nDone, all is well.\u{202e}\u{9b}\u{2028}";

#[track_caller]
fn plain(text: &str, lines: usize) {
    assert_eq!(text.lines().count(), lines, "{text:?}");
    let steers = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{2028}');
    assert!(!text.chars().any(steers), "{text:?}");
}

#[test]
fn nobody_steers_the_terminal() {
    let scene = Scene::new();
    let server = scene.server();
    let attack = Attack::new(&scene, "nobody_steers_the_terminal");
    let text = serde_json::to_string(STEERING).unwrap();
    for (what, status, body) in [
        ("a field's name in an answer", 200, format!("{{{text}:1}}")),
        ("a value in an answer", 200, format!(r#"{{"recordings":[],"next":{text}}}"#)),
        (
            "a problem's texts",
            409,
            format!(
                r#"{{"type":"","title":{text},"status":409,"code":{text},"detail":{text},"request_id":{text}}}"#
            ),
        ),
    ] {
        server.answer("/v1/recordings", Canned::Says(status, body.into_bytes()));
        let outcome = attack.run("anna", &["list"], false);
        assert!(matches!(outcome.said.exit, Some(18 | 22)), "{what}: {}", outcome.said.stderr);
        plain(&outcome.said.stderr, 3);
        plain(&attack.run("anna", &["list", "--json"], false).said.stderr, 1);
        attack.report(what, &outcome);
    }
    let file = scene.folder().join("certificate");
    std::fs::write(&file, format!("{{{text}:1}}")).unwrap();
    let mut command = scene.command("anna");
    command.args(["enrol", "--organisation", &scene.facts.organisation, "--certificate"]).arg(&file);
    let said = vault_tests::command::end(&mut command);
    assert_eq!(said.exit, Some(2), "{}", said.stderr);
    plain(&said.stderr, 3);
}

#[test]
fn what_the_server_lost_is_damage() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "what_the_server_lost_is_damage");
    let id = scene.id("a1");
    for (piece, words) in [
        ("details", "its details"),
        ("segments/0/header", "the header of segment 0"),
        ("segments/0/parts", "the list of parts of segment 0"),
        ("segments/0/body", "segment 0, part 0"),
    ] {
        for (status, body) in [(404, ""), (416, "no")] {
            scene.server().clear();
            let path = format!("/v1/recordings/{id}/{piece}");
            scene.server().answer(&path, Canned::Says(status, body.into()));
            attack.open_refused(&format!("{status} for {piece}"), "anna", id, 11, words);
        }
    }
    scene.server().clear();
    scene.server().answer(&format!("/v1/recordings/{id}/details"), Canned::Says(404, Vec::new()));
    let shown = attack.list_refused("404 for the details, listed", "anna", 11, &[id]);
    assert!(String::from_utf8(shown.stdout).unwrap().contains(scene.id("a2")), "the others are shown");
}

#[test]
fn an_id_that_was_opened_names_one_manifest() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "an_id_that_was_opened_names_one_manifest");
    let id = scene.id("a1");
    assert!(attack.run("anna", &["open", id], true).output.is_some());
    // As if another manifest had been opened under this id before: both are signed validly.
    let list = scene.home("anna").join("list.json");
    let mut known: serde_json::Value = serde_json::from_slice(&std::fs::read(&list).unwrap()).unwrap();
    known["object"]["recordings"][0]["manifest"] = "5".repeat(64).into();
    std::fs::write(&list, known.to_string()).unwrap();
    attack.open_refused("another manifest under the id", "anna", id, 13, "this account's list names");
    attack.list_refused("another manifest under the id, listed", "anna", 13, &[id]);
}

/// What an end names as superseded, given another of its recording.
type Supersedes = fn(Digest) -> Option<Digest>;

/// The end of a recording, as its sealer might have signed it a second time, from a home that was restored: of the very
/// same segments and details, but saying that the rest was lost. It names as superseded what `supersedes` makes of the
/// first.
fn second_end(scene: &Scene, recording: &str, supersedes: Supersedes) -> Canned {
    let mut objects = scene.objects(recording);
    let end: Envelope<FinalSeal> = Envelope::parse(objects.final_seal.unwrap().as_bytes()).unwrap();
    let supersedes = supersedes(end.digest());
    let other = FinalSeal { status: RecordingStatus::Recovered, supersedes, ..end.unverified().clone() };
    let device = scene.device("dora").key;
    let other = envelope::sign(&other, end.key_id(), |bytes| device.sign(bytes)).unwrap();
    objects.final_seal = Some(String::from_utf8(other.bytes().to_vec()).unwrap());
    Canned::Says(200, serde_json::to_vec(&objects.record(end.unverified().ended)).unwrap())
}

#[test]
fn a_recording_has_one_end() {
    const NAME: &str = "a_recording_has_one_end";
    let scene = Scene::new();
    let attack = Attack::new(&scene, NAME);
    let id = scene.id("a1");
    let record = format!("/v1/recordings/{id}");
    // What was opened is known, though nothing was ever listed; what was sealed, though it was never opened.
    assert!(attack.run("anna", &["open", id], true).output.is_some());
    scene.server().answer(&record, second_end(&scene, "a1", |_| None));
    for who in ["anna", "dora"] {
        attack.open_refused("another end", who, id, 11, "the end of");
        for arguments in [&["verify", id][..], &["play", id, "--url"]] {
            let outcome = attack.run(who, arguments, false);
            assert_eq!(outcome.said.exit, Some(11), "{arguments:?}: {}", outcome.said.stderr);
            assert!(outcome.said.stderr.contains("this account's list names"), "{}", outcome.said.stderr);
            attack.report(&format!("another end, {}", arguments[0]), &outcome);
        }
        attack.list_refused("another end, listed", who, 11, &[id]);
    }
    let folder = scene.folder().join("taken-home");
    let exported = attack.run("anna", &["export", folder.to_str().unwrap(), id], false);
    assert_eq!(exported.said.exit, Some(20), "{}", exported.said.stderr);
    assert!(exported.said.stderr.contains(&format!("the end of {id} is not")), "{}", exported.said.stderr);
    assert!(!folder.join("recordings").exists(), "something was taken home");
    attack.report("another end, exported", &exported);
    // Whoever saw neither of them takes the one that is shown first, and no other after it.
    let scene = Scene::new();
    let attack = Attack::new(&scene, NAME);
    let id = scene.id("a1");
    let record = format!("/v1/recordings/{id}");
    scene.server().answer(&record, second_end(&scene, "a1", |_| None));
    assert_eq!(attack.run("anna", &["verify", id], false).said.exit, Some(12));
    scene.server().clear();
    attack.open_refused("the first end after the second", "anna", id, 11, "the end of");
}

#[test]
fn row_38_an_end_that_names_another() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_38_an_end_that_names_another");
    let id = scene.id("a1");
    let record = format!("/v1/recordings/{id}");
    assert!(attack.run("anna", &["open", id], true).output.is_some());
    let wrong: [(&str, Supersedes); 2] = [
        ("an end that names none", |_| None),
        ("an end that names another than the known one", |_| Some(Digest::of(b"another end"))),
    ];
    for (injected, supersedes) in wrong {
        scene.server().answer(&record, second_end(&scene, "a1", supersedes));
        attack.open_refused(injected, "anna", id, 11, "this account's list names");
        attack.list_refused(&format!("{injected}, listed"), "anna", 11, &[id]);
    }
    // One that names it is taken, and said: the sealer had lost what the first counts.
    scene.server().answer(&record, second_end(&scene, "a1", Some));
    let taken = attack.run("anna", &["verify", id], false).said;
    assert_eq!(taken.exit, Some(12), "{}", taken.stderr);
    assert!(taken.stderr.contains("has another end than this account knew"), "{}", taken.stderr);
    let listed = attack.run("dora", &["list"], false).said;
    assert_eq!(listed.exit, Some(0), "{}", listed.stderr);
    assert!(listed.stderr.contains("has another end than this account knew"), "{}", listed.stderr);
    // It is told once, and from then on the first one is another.
    for who in ["anna", "dora"] {
        let again = attack.run(who, &["list"], false).said;
        assert!(!again.stderr.contains("has another end"), "{}", again.stderr);
    }
    scene.server().clear();
    for who in ["anna", "dora"] {
        attack.open_refused("the end that was superseded", who, id, 11, "this account's list names");
    }
    scene.server().inject(Fault::everywhere(FaultKind::HideFinal));
    attack.open_refused("the end hidden that stands in its place", "anna", id, 12, "hides its end");
}

#[test]
fn a_list_that_goes_in_circles() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "a_list_that_goes_in_circles");
    let page = |next: &str, recordings: &str| {
        Canned::Says(200, format!(r#"{{"recordings":[{recordings}],"next":"{next}"}}"#).into_bytes())
    };
    let entry = |name| format!(r#"{{"recording":"{}","finished":true,"bytes":1}}"#, scene.id(name));
    for [first, second] in [[entry("a1"), entry("a2")], [String::new(), String::new()]] {
        scene.server().answer("/v1/recordings", page("A", &first));
        scene.server().answer("/v1/recordings?after=A", page("B", &second));
        scene.server().answer("/v1/recordings?after=B", page("A", &first));
        let outcome = attack.run("anna", &["list"], false);
        assert_eq!(outcome.said.exit, Some(18), "{}", outcome.said.stderr);
        assert!(outcome.said.stderr.contains("repeats itself"), "{}", outcome.said.stderr);
    }
}

#[test]
fn an_expiry_that_is_only_claimed() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "an_expiry_that_is_only_claimed");
    let code = vault_proto::problem::ProblemCode::CertificateExpired;
    let problem = vault_proto::problem::Problem::new(code, None, None);
    scene.server().answer("/v1/recordings", Canned::Says(403, serde_json::to_vec(&problem).unwrap()));
    let outcome = attack.run("anna", &["list"], false);
    assert_eq!(outcome.said.exit, Some(22), "{}", outcome.said.stderr);
    assert!(outcome.said.stderr.contains("still counts"), "{}", outcome.said.stderr);
}

#[test]
fn a_prefix_that_only_the_server_knows_is_named_in_full() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "a_prefix_that_only_the_server_knows_is_named_in_full");
    let nora = scene.account("nora");
    let file = scene.folder().join("file");
    std::fs::write(&file, b"content").unwrap();
    let file = file.to_str().unwrap();
    let seal = ["seal", file, "--patient", &nora[..8], "--clinician", scene.account("dora"), "--quiet"];
    let said = attack.run("dora", &seal, false).said;
    assert_eq!(said.exit, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains(&format!("is account {nora}, certified as patient")), "{}", said.stderr);
    assert!(said.stderr.contains(&scene.facts.organisation), "{}", said.stderr);
    // Met now: no server is asked, and nothing is said.
    let said = attack.run("dora", &seal, false).said;
    assert_eq!((said.exit, said.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_killed_process_leaves_no_plaintext() {
    let scene = Scene::new();
    let id = scene.id("a1");
    let body = format!("/v1/recordings/{id}/segments/0/body");
    scene.server().answer(&body, Canned::SilentBehind(0));
    for (signal, exit) in [(rustix::process::Signal::KILL, None), (rustix::process::Signal::HUP, Some(130))] {
        let out = tempfile::tempdir_in(scene.folder()).unwrap();
        let mut command = scene.command("anna");
        command.args(["open", id, "-o"]).arg(out.path().join("talk.webm")).stderr(Stdio::null());
        scene.server().take_traffic();
        let mut child = command.spawn().unwrap();
        // It waits for the second part; the first is written, or will never be.
        let waits = |seen: &vault_tests::hostile::Seen| {
            seen.range.as_deref().is_some_and(|range| !range.starts_with("bytes=0-"))
        };
        while !scene.server().take_traffic().iter().any(waits) {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
            std::thread::yield_now();
        }
        let process = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(process, signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), exit);
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0, "{LENGTH} bytes or fewer were left");
    }
}

#[test]
fn a_time_to_come_keeps_nothing_under_way() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "a_time_to_come_keeps_nothing_under_way");
    let id = scene.id("a1");
    scene.server().inject(Fault::on(FaultKind::HideFinal, id));
    let status = || {
        let said = attack.run("anna", &["list", "--json"], false).said;
        let documents = said.json_lines();
        documents.into_iter().find(|line| line["recording"] == id).unwrap()["status"].clone()
    };
    assert_eq!(status(), "recording");
    let mut objects = scene.objects("a1");
    objects.final_seal = None;
    let record = serde_json::to_vec(&objects.record("2099-01-01T00:00:00Z".parse().unwrap())).unwrap();
    scene.server().answer(&format!("/v1/recordings/{id}"), Canned::Says(200, record));
    assert_eq!(status(), "cut_off");
    attack.open_refused(
        "last stored in 2099",
        "anna",
        id,
        12,
        "The server says that the last of it was stored at 2099",
    );
}
