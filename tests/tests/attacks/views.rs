//! Rows 11 and 12: metadata edited, yesterday's database, two views.

use vault_tests::attack::{Attack, report};
use vault_tests::hostile::{Fault, FaultKind};
use vault_tests::rollback::match_mark;
use vault_tests::scene::{Scene, content, title};

use crate::keys::{next_key_list, seal_truthfully, submit};

/// Every column that the server answers from, and a value that is not the true one.
const EDITS: &[(&str, &str)] = &[
    (
        "recordings.recording",
        "UPDATE recordings SET recording = x'00112233445566778899aabbccddeeff' WHERE recording = ?1",
    ),
    ("recordings.patient", "UPDATE recordings SET patient = clinician WHERE recording = ?1"),
    ("recordings.clinician", "UPDATE recordings SET clinician = patient WHERE recording = ?1"),
    ("recordings.sealer", "UPDATE recordings SET sealer = patient WHERE recording = ?1"),
    ("recordings.sealer_key", "UPDATE recordings SET sealer_key = zeroblob(32) WHERE recording = ?1"),
    ("recordings.sequence", "UPDATE recordings SET sequence = sequence + 1000 WHERE recording = ?1"),
    (
        "recordings.manifest",
        "UPDATE recordings SET manifest = (SELECT manifest FROM recordings WHERE recording = ?2) WHERE recording = ?1",
    ),
    ("recordings.bytes", "UPDATE recordings SET bytes = 7 WHERE recording = ?1"),
    ("recordings.details_digest", "UPDATE recordings SET details_digest = zeroblob(32) WHERE recording = ?1"),
    ("recordings.details_length", "UPDATE recordings SET details_length = 1 WHERE recording = ?1"),
    (
        "recordings.final_seal",
        "UPDATE recordings SET final_seal = (SELECT final_seal FROM recordings WHERE recording = ?2) WHERE recording = ?1",
    ),
    ("recordings.final_seal removed", "UPDATE recordings SET final_seal = NULL WHERE recording = ?1"),
    ("recordings.last_stored", "UPDATE recordings SET last_stored = 1 WHERE recording = ?1"),
    (
        "segments.track",
        "UPDATE segments SET track = 9 WHERE number = (SELECT number FROM recordings WHERE recording = ?1)",
    ),
    (
        "segments.header",
        "UPDATE segments SET header = zeroblob(32) WHERE number = (SELECT number FROM recordings WHERE recording = ?1)",
    ),
    (
        "segments.run_parts",
        "UPDATE segments SET run_parts = 1 WHERE number = (SELECT number FROM recordings WHERE recording = ?1)",
    ),
    (
        "segments.run_bytes",
        "UPDATE segments SET run_bytes = 100 WHERE number = (SELECT number FROM recordings WHERE recording = ?1)",
    ),
    (
        "segments.run_ended",
        "UPDATE segments SET run_ended = 1 - run_ended WHERE number = (SELECT number FROM recordings WHERE recording = ?1)",
    ),
    (
        "segments.parts_root",
        "UPDATE segments SET parts_root = zeroblob(32) WHERE number = (SELECT number FROM recordings WHERE recording = ?1)",
    ),
    (
        "segments.seal",
        "UPDATE segments SET seal = (SELECT seal FROM segments WHERE number = (SELECT number FROM recordings WHERE recording = ?2)) WHERE number = (SELECT number FROM recordings WHERE recording = ?1)",
    ),
    (
        "segments.seal removed",
        "UPDATE segments SET seal = NULL WHERE number = (SELECT number FROM recordings WHERE recording = ?1)",
    ),
    (
        "parts.digest",
        "UPDATE parts SET digest = zeroblob(32) WHERE number = (SELECT number FROM recordings WHERE recording = ?1)",
    ),
    (
        "parts.length",
        "UPDATE parts SET length = 5 WHERE number = (SELECT number FROM recordings WHERE recording = ?1)",
    ),
    (
        "participants.account",
        "UPDATE participants SET account = (SELECT account FROM accounts WHERE account NOT IN (SELECT account FROM participants)) WHERE account = (SELECT clinician FROM recordings WHERE recording = ?1) AND number = (SELECT number FROM recordings WHERE recording = ?1)",
    ),
    (
        "parts removed",
        "DELETE FROM parts WHERE number = (SELECT number FROM recordings WHERE recording = ?1) AND part = 1",
    ),
    ("events removed", "DELETE FROM events WHERE recording = ?1 AND recording <> ?2"),
];

fn hex(id: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(id.as_bytes()).unwrap()
}

#[test]
fn row_11_metadata_edited() {
    const NAME: &str = "row_11_metadata_edited";
    let mut scene = Scene::new();
    let (edited, other) = (scene.id("a1").to_owned(), scene.id("a2").to_owned());
    let truth = {
        let listed = Attack::new(&scene, NAME).run("anna", &["list", "--json"], false).said;
        assert_eq!(listed.exit, Some(0), "{}", listed.stderr);
        String::from_utf8(listed.stdout).unwrap()
    };
    scene.stop();
    let pristine = std::fs::read(scene.data().join("vault.db")).unwrap();
    let mut noticed = 0;
    for (column, sql) in EDITS {
        let path = scene.data().join("vault.db");
        for beside in ["vault.db-wal", "vault.db-shm"] {
            let _ = std::fs::remove_file(scene.data().join(beside));
        }
        std::fs::write(&path, &pristine).unwrap();
        let database = rusqlite::Connection::open(&path).unwrap();
        database.pragma_update(None, "foreign_keys", false).unwrap();
        let mut statement = database.prepare(sql).unwrap();
        let changed = if statement.parameter_count() == 1 {
            statement.execute([hex(&edited)])
        } else {
            statement.execute([hex(&edited), hex(&other)])
        };
        assert!(changed.unwrap() > 0, "{column}: nothing was edited");
        drop(statement);
        drop(database);
        match_mark(&scene.data());
        scene.start();
        let attack = Attack::new(&scene, NAME);
        let listed = attack.run("anna", &["list", "--json"], false).said;
        let text = String::from_utf8(listed.stdout).unwrap();
        // What is listed as whole is word for word what is true.
        for line in text.lines().filter(|line| line.contains("\"complete\"")) {
            assert!(truth.lines().any(|true_line| true_line == line), "{column}: {line}");
        }
        let opened = attack.run("anna", &["open", &edited], true);
        match (&opened.output, opened.said.exit) {
            (Some(bytes), Some(0)) => assert!(*bytes == content("a1"), "{column}: other bytes"),
            (None, Some(exit)) if exit != 0 && exit != 1 => assert_eq!(opened.released(), 0, "{column}"),
            other => panic!("{column}: {:?} {}", other.1, opened.said.stderr),
        }
        let harmless = opened.said.exit == Some(0) && text == truth;
        let saw = match (opened.said.exit, harmless) {
            (Some(0), true) => "nothing: the column is not believed, everything is as it was sealed",
            (Some(0), false) => listed.stderr.lines().next().unwrap_or("the list says that it is not whole"),
            _ => opened.saw(),
        };
        noticed += u32::from(!harmless);
        // Bytes of the right recording under the right name are no leak.
        report(NAME, &format!("{column} edited"), saw, opened.said.exit, 0);
        scene.stop();
    }
    assert!(noticed >= 8, "only {noticed} edits were noticed at all");
}

#[test]
fn row_11_details_edited() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_11_details_edited");
    scene.server().inject(Fault::on(FaultKind::EditDetails, scene.id("a1")));
    attack.open_refused("edit-details", "anna", scene.id("a1"), 11, "the details");
    attack.list_refused("edit-details, listed", "anna", 11, &[scene.id("a1"), &title("a1")]);
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    assert!(std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn row_12_yesterdays_database() {
    const NAME: &str = "row_12_yesterdays_database";
    let mut scene = Scene::new();
    scene.stop();
    let yesterday = scene.folder().join("yesterday");
    copy_folder(&scene.data(), &yesterday);
    scene.start();
    let anna = scene.device("anna");
    // Of the same epoch, so that she goes on opening with the identity that she has.
    submit(&scene, &anna, next_key_list(&scene, "anna", &anna, 1, |_| {}));
    let today = seal_truthfully(&scene);
    assert!(Attack::new(&scene, NAME).run("anna", &["open", &today], true).output.is_some());
    scene.stop();
    std::fs::remove_dir_all(scene.data()).unwrap();
    copy_folder(&yesterday, &scene.data());
    scene.start();
    let attack = Attack::new(&scene, NAME);
    let both = (scene.account("anna"), scene.account("dora"));
    attack.seal_refused(
        "yesterdays-database, sealing",
        "dora",
        both,
        (16, "number 1, and number 2 was seen before"),
    );
    attack.open_refused("yesterdays-database, today's recording asked for", "anna", &today, 17, "not found");
    let listed = attack.run("anna", &["list"], false);
    assert_eq!(listed.said.exit, Some(20), "{}", listed.said.stderr);
    assert!(listed.said.stderr.contains(&format!("Missing {today}")), "{}", listed.said.stderr);
    report(
        NAME,
        "yesterdays-database, listed to whom opened today's",
        "named as missing",
        listed.said.exit,
        0,
    );
    let listed = attack.run("bert", &["list"], false);
    assert_eq!(listed.said.exit, Some(0));
    report(
        NAME,
        "yesterdays-database, listed to whom saw nothing of today's",
        "NOT DETECTED YET: for somebody who has not seen today's list, the shorter one cannot be told before there are checkpoints",
        listed.said.exit,
        0,
    );
}

#[test]
fn row_12_split_view() {
    const NAME: &str = "row_12_split_view";
    let mut scene = Scene::new();
    let id = scene.id("a1").to_owned();
    let anna: vault_proto::ids::AccountId = scene.account("anna").parse().unwrap();
    // The patient is shown another recording under the name that the clinician knows.
    scene.server().inject(Fault::swap(FaultKind::SwapRecording, &id, scene.id("a2")).only_for(anna));
    let attack = Attack::new(&scene, NAME);
    attack.open_refused("split-view of a recording, the patient", "anna", &id, 13, "Mix-up");
    let dora = attack.run("dora", &["open", &id], true);
    assert!(dora.output == Some(content("a1")), "the clinician is shown the truth");
    scene.server().clear();
    // She is told that it has no end, and he that it has.
    scene.server().inject(Fault::on(FaultKind::HideFinal, &id).only_for(anna));
    attack.open_refused("split-view of the end, the patient", "anna", &id, 12, "cut off");
    scene.server().clear();
    scene.server().inject(Fault::on(FaultKind::HideRecording, &id).only_for(anna));
    attack.open_refused("omission of a recording, asked for by its id", "anna", &id, 17, "not found");
    let listed = attack.run("anna", &["list"], false);
    assert!(!String::from_utf8_lossy(&listed.said.stdout).contains(&id));
    report(
        NAME,
        "omission of a recording, listed to somebody who never saw it",
        "NOT DETECTED YET: cannot be told before there are checkpoints",
        listed.said.exit,
        0,
    );
    // Once she was shown it, her own list names it.
    scene.server().clear();
    assert_eq!(attack.run("anna", &["list"], false).said.exit, Some(0));
    scene.server().inject(Fault::on(FaultKind::HideRecording, &id).only_for(anna));
    let listed = attack.run("anna", &["list"], false);
    assert_eq!(listed.said.exit, Some(20), "{}", listed.said.stderr);
    assert!(listed.said.stderr.contains(&format!("Missing {id}")), "{}", listed.said.stderr);
    report(NAME, "omission of a recording that was shown before", "named as missing", listed.said.exit, 0);
    // Two histories of the patient's keys: the one that the clinician has pinned, and another one.
    scene.server().clear();
    scene.stop();
    let before = scene.folder().join("before");
    copy_folder(&scene.data(), &before);
    scene.start();
    let anna = scene.device("anna");
    submit(&scene, &anna, next_key_list(&scene, "anna", &anna, 2, |_| {}));
    seal_truthfully(&scene);
    scene.stop();
    std::fs::remove_dir_all(scene.data()).unwrap();
    copy_folder(&before, &scene.data());
    scene.start();
    submit(&scene, &anna, next_key_list(&scene, "anna", &anna, 3, |_| {}));
    let both = (scene.account("anna"), scene.account("dora"));
    Attack::new(&scene, NAME).seal_refused(
        "split-view of a key list",
        "dora",
        both,
        (16, "number 2 contradicts what was seen before"),
    );
}
