//! A server that leaves out, takes back, exchanges or damages recordings while they are taken home.

use std::collections::BTreeMap;
use std::fs;

use vault_tests::attack::Attack;
use vault_tests::command::end;
use vault_tests::hostile::{Fault, FaultKind};
use vault_tests::scene::{Scene, content};

use super::*;

#[test]
fn a_recording_that_is_left_out_is_missed_by_list_export_and_verify() {
    let scene = Scene::new();
    let id = scene.id("a1");
    end(scene.command("anna").arg("list")).text();
    scene.server().inject(Fault::on(FaultKind::HideRecording, id));
    let listed = end(scene.command("anna").args(["list", "--json"]));
    assert_eq!(listed.exit, Some(20), "{}", listed.stderr);
    assert!(listed.stderr.contains(id), "{}", listed.stderr);
    let text = String::from_utf8(listed.stdout).unwrap();
    let entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 5);
    let missing: Vec<&Value> = entries.iter().filter(|entry| entry["status"] == "missing").collect();
    assert_eq!(missing.len(), 1, "{text}");
    assert_eq!(missing[0]["recording"], id);

    for more in [&[][..], &["--sealed"]] {
        let folder = scene.folder().join(format!("export {}", more.len()));
        let said = export(&scene, "anna", &folder, more);
        assert_eq!(said.exit, Some(20), "{}", said.stderr);
        assert_eq!(failed(&said), [id.to_owned()].into());
        assert_eq!((&report(&said)["recordings"], &report(&said)["fetched"]), (&4.into(), &4.into()));
        for home in [Some(scene.home("anna")), None] {
            let verified = verify(home.as_deref(), &folder);
            assert_eq!(verified.said.exit, Some(20), "{}", verified.said.stderr);
            assert_eq!(verified.wrong(), BTreeMap::from([(id, "missing")]));
            assert!(verified.said.stderr.contains("1 missing"), "{}", verified.said.stderr);
        }
    }
    // Somebody who was never shown it misses nothing, and it is not theirs to miss.
    let bert = end(scene.command("bert").args(["list", "--json"]));
    assert_eq!(bert.json_lines().len(), 2);
    scene.server().clear();
    assert_eq!(end(scene.command("anna").args(["list", "--json"])).json_lines().len(), 5);
    for more in [&[][..], &["--sealed"]] {
        let folder = scene.folder().join(format!("export {}", more.len()));
        exported(&export(&scene, "anna", &folder, more), 5, 1);
        verify(Some(&scene.home("anna")), &folder).is_whole(5);
    }
}

#[test]
fn what_is_at_home_stays_there_when_the_server_leaves_it_out() {
    let scene = Scene::new();
    let id = scene.id("a1");
    for more in [&[][..], &["--sealed"]] {
        let folder = scene.folder().join(format!("export {}", more.len()));
        exported(&export(&scene, "anna", &folder, more), 5, 5);
        let before = tree(&folder);
        scene.server().inject(Fault::on(FaultKind::HideRecording, id));
        let said = export(&scene, "anna", &folder, more);
        scene.server().clear();
        assert_eq!(said.exit, Some(20), "{}", said.stderr);
        assert_eq!(failed(&said), [id.to_owned()].into());
        let after = tree(&folder);
        for (name, bytes) in before.iter().filter(|(name, _)| name.starts_with("rec")) {
            assert!(after.get(name) == Some(bytes), "{name} is gone or another one");
        }
        // It is here, and was right: what the server says now changes nothing of that.
        verify(Some(&scene.home("anna")), &folder).is_whole(5);
    }
}

#[test]
fn yesterdays_store_hides_an_end_that_was_seen() {
    const NAME: &str = "row_12_yesterdays_database";
    let mut scene = Scene::new();
    let id = scene.id("a1").to_owned();
    end(scene.command("anna").arg("list")).text();
    let opened = scene.folder().join("opened before");
    exported(&export(&scene, "anna", &opened, &[]), 5, 5);
    let sealed = scene.folder().join("sealed before");
    exported(&export(&scene, "anna", &sealed, &["--sealed"]), 5, 5);
    // The database of a day on which the end was not there yet.
    scene.stop();
    let database = rusqlite::Connection::open(scene.data().join("vault.db")).unwrap();
    let recording = data_encoding::HEXLOWER.decode(id.as_bytes()).unwrap();
    let sql = "UPDATE recordings SET final_seal = NULL, details_digest = NULL, details_length = NULL WHERE recording = ?1";
    assert_eq!(database.execute(sql, [recording]).unwrap(), 1);
    drop(database);
    scene.start();
    let attack = Attack::new(&scene, NAME);
    attack.open_refused("yesterdays-database without an end that was seen", "anna", &id, 12, "hides its end");
    let shown = attack.run("anna", &["open", &id, "--allow-cut-off"], true);
    assert!(shown.output.is_none_or(|output| content("a1").starts_with(&output)));

    let folder = scene.folder().join("export");
    let said = export(&scene, "anna", &folder, &[]);
    assert!(matches!(said.exit, Some(0 | 20)), "{}", said.stderr);
    let verified = verify(Some(&scene.home("anna")), &folder);
    assert_eq!(verified.said.exit, Some(20), "{}", verified.said.stderr);
    assert_eq!(verified.wrong(), BTreeMap::from([(id.as_str(), "too-old")]));
    // What is at home with its end keeps it.
    for (folder, more) in [(&opened, &[][..]), (&sealed, &["--sealed"])] {
        let said = export(&scene, "anna", folder, more);
        assert!(matches!(said.exit, Some(0 | 20)), "{}", said.stderr);
        let verified = verify(Some(&scene.home("anna")), folder);
        assert_eq!(verified.wrong(), BTreeMap::new(), "{more:?}: {}", verified.said.stderr);
        assert_eq!(verified.recordings[&id]["status"], "complete", "{more:?}");
    }
}

#[test]
fn a_recording_that_goes_bad_on_the_server_stays_whole_at_home() {
    let mut scene = Scene::new();
    let folder = scene.folder().join("export");
    exported(&export(&scene, "anna", &folder, &[]), 5, 5);
    let body = scene.data().join("blobs/rec").join(scene.id("a1")).join("seg/0/body");
    scene.stop();
    flip(&body);
    scene.start();
    // It is here already: nothing of it has to be fetched.
    exported(&export(&scene, "anna", &folder, &[]), 5, 0);
    verify(Some(&scene.home("anna")), &folder).is_whole(5);
}

#[test]
fn planted_recordings_and_those_of_others_do_not_come_home() {
    let scene = Scene::new();
    for kind in [FaultKind::PlantRecording, FaultKind::CrossList] {
        let folder = scene.folder().join(kind.name());
        scene.server().inject(Fault::everywhere(kind));
        let said = export(&scene, "anna", &folder, &[]);
        scene.server().clear();
        assert_eq!(said.exit, Some(20), "{}", said.stderr);
        assert_eq!(report(&said)["fetched"], 5);
        assert!(!failed(&said).is_empty());
        verify(Some(&scene.home("anna")), &folder).is_whole(5);
        assert_eq!(fs::read_dir(folder.join("recordings")).unwrap().count(), 5);
        only_signed_files(&folder);
    }
}
