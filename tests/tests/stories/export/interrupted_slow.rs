//! Exports that are killed, run out of room, or meet another one in their folder.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::Command;

use vault_tests::command::end;
use vault_tests::faults::watched_disk::{EIO, ENOSPC, Effect, Rule, WatchedDisk};
use vault_tests::hostile::Canned;
use vault_tests::scene::{Scene, content, segments};

use super::*;

/// Where each recording's media may be: whole, or not at all.
#[track_caller]
fn nothing_is_half_written(scene: &Scene, folder: &Path) {
    let media: Vec<Vec<u8>> = {
        let parts = segments();
        let tracks = [parts[0].1.clone(), [&parts[1].1[..], &parts[2].1].concat()];
        ["a1", "a2", "p1", "o1"].iter().map(|name| content(name)).chain(tracks).collect()
    };
    let places = folder.join("recordings");
    if !places.exists() {
        return;
    }
    for (name, bytes) in tree(&places) {
        let file = name.rsplit('/').next().unwrap();
        if file == "recording.json" {
            let document: Value = serde_json::from_slice(&bytes).unwrap();
            assert!(OF_ANNA.iter().any(|one| document["recording"] == scene.id(one)), "{name}");
        } else if !file.starts_with(".new-") {
            assert!(media.contains(&bytes), "{name} is there and not whole");
        }
    }
}

fn sealed_is_not_half_written(scene: &Scene, folder: &Path) {
    for name in OF_ANNA {
        let place = folder.join("rec").join(scene.id(name));
        if place.exists() {
            for (index, segment) in scene.objects(name).segments.iter().enumerate() {
                let body = fs::read(place.join(format!("seg/{index}/body"))).unwrap();
                assert!(body == segment.body, "{name} is there and not whole");
            }
        }
    }
}

fn watched(scene: &Scene, folder: &Path, rule: Rule, command: &mut Command) -> usize {
    let disk = WatchedDisk::new(folder, &scene.folder().join("trace")).with(&[rule]);
    let _ = disk.take_struck();
    disk.watch(command);
    let _ = end(command);
    disk.take_struck()
}

/// Killed behind the call of each of these numbers, opened and sealed, each time in a new folder; then once more in one
/// folder.
#[test]
fn an_export_that_is_killed_anywhere_goes_on() {
    let scene = Scene::new();
    for more in [&[][..], &["--sealed"]] {
        let (mut point, mut killed) = (1, 0);
        loop {
            let folder = scene.folder().join(format!("killed {} {point}", more.len()));
            let rule = Rule { call: "any", effect: Effect::Kill, from: point, to: point };
            let mut command = exporting(&scene, "anna", &folder, more);
            if watched(&scene, &folder, rule, &mut command) == 0 {
                break;
            }
            killed += 1;
            if more.is_empty() {
                nothing_is_half_written(&scene, &folder);
            } else {
                sealed_is_not_half_written(&scene, &folder);
            }
            let said = export(&scene, "anna", &folder, more);
            assert_eq!(said.exit, Some(0), "killed at {point}: {}", said.stderr);
            verify(Some(&scene.home("anna")), &folder).is_whole(5);
            only_signed_files(&folder);
            fs::remove_dir_all(&folder).unwrap();
            point += 1 + point / 4;
        }
        assert!(killed > 10, "only {killed} points were reached");
    }
}

#[test]
fn an_export_that_is_killed_again_and_again_comes_to_an_end() {
    let scene = Scene::new();
    let folder = scene.folder().join("export");
    let mut kills = 0;
    loop {
        // Far enough each time for a recording to be done.
        let rule = Rule { call: "any", effect: Effect::Kill, from: 60, to: 60 };
        if watched(&scene, &folder, rule, &mut exporting(&scene, "anna", &folder, &[])) == 0 {
            break;
        }
        kills += 1;
        assert!(kills < 40, "it does not go on");
        nothing_is_half_written(&scene, &folder);
    }
    assert!(kills > 0);
    exported(&export(&scene, "anna", &folder, &[]), 5, 0);
    verify(Some(&scene.home("anna")), &folder).is_whole(5);
    only_signed_files(&folder);
}

/// The disk gets full, or fails, at a call of each kind, and stays so.
#[test]
fn a_disk_that_is_full_leaves_what_is_there_and_the_next_run_goes_on() {
    let scene = Scene::new();
    let mut struck = 0;
    for (call, effect, from) in [
        ("write", ENOSPC, 1),
        ("write", ENOSPC, 5),
        ("write", ENOSPC, 20),
        ("write", ENOSPC, 60),
        ("write", EIO, 10),
        ("mkdir", ENOSPC, 1),
        ("mkdir", ENOSPC, 6),
        ("open", ENOSPC, 3),
        ("open", ENOSPC, 12),
        ("rename", ENOSPC, 2),
        ("rename", ENOSPC, 15),
        ("fsync", EIO, 3),
        ("fsync", EIO, 25),
    ] {
        for more in [&[][..], &["--sealed"]] {
            let folder = scene.folder().join("export");
            let rule = Rule { call, effect: Effect::Fail(effect), from, to: 1_000_000 };
            let disk = WatchedDisk::new(&folder, &scene.folder().join("trace")).with(&[rule]);
            let mut command = exporting(&scene, "anna", &folder, more);
            disk.watch(&mut command);
            let said = end(&mut command);
            let strikes = disk.take_struck();
            if strikes > 0 {
                struck += 1;
                assert_eq!(said.exit, Some(19), "{rule:?} {more:?}: {}", said.stderr);
                assert!(said.stderr.contains(folder.to_str().unwrap()), "{rule:?}: {}", said.stderr);
            } else {
                assert_eq!(said.exit, Some(0), "{rule:?} {more:?}: {}", said.stderr);
            }
            if folder.exists() && more.is_empty() {
                nothing_is_half_written(&scene, &folder);
            }
            let said = export(&scene, "anna", &folder, more);
            assert_eq!(said.exit, Some(0), "{rule:?} {more:?}: {}", said.stderr);
            verify(Some(&scene.home("anna")), &folder).is_whole(5);
            only_signed_files(&folder);
            fs::remove_dir_all(&folder).unwrap();
        }
    }
    assert!(struck >= 15, "only {struck} of the faults struck");
}

#[test]
fn a_disk_that_is_full_when_an_export_grows_spoils_nothing_of_it() {
    let scene = Scene::new();
    let folder = scene.folder().join("export");
    exported(&export(&scene, "anna", &folder, &[]), 5, 5);
    let before = tree(&folder);
    super::contents::seal_another(&scene);
    let rule = Rule { call: "write", effect: Effect::Fail(ENOSPC), from: 1, to: 1_000_000 };
    let disk = WatchedDisk::new(&folder, &scene.folder().join("trace")).with(&[rule]);
    let mut command = exporting(&scene, "anna", &folder, &[]);
    disk.watch(&mut command);
    assert_eq!(end(&mut command).exit, Some(19));
    assert!(disk.take_struck() > 0);
    let after = tree(&folder);
    for (name, bytes) in before.iter().filter(|(name, _)| *name != ".lock") {
        assert!(after.get(name) == Some(bytes), "{name} is gone or another one");
    }
    // Nothing but what came later is amiss with it.
    let verified = verify(Some(&scene.home("anna")), &folder);
    assert_eq!(verified.said.exit, Some(20), "{}", verified.said.stderr);
    assert_eq!(verified.wrong(), std::collections::BTreeMap::new());
    exported(&export(&scene, "anna", &folder, &[]), 6, 1);
    verify(Some(&scene.home("anna")), &folder).is_whole(6);
}

#[test]
fn a_second_export_into_a_folder_waits_for_nobody() {
    let scene = Scene::new();
    let folder = scene.folder().join("export");
    // The first one waits for a part that does not come.
    let path = format!("/v1/recordings/{}/segments/0/body", scene.id("p1"));
    scene.server().answer(&path, Canned::SilentBehind(1_000));
    let mut first = exporting(&scene, "anna", &folder, &[]).spawn().unwrap();
    while !folder.join(".incomplete").join(scene.id("p1")).exists() {
        assert!(first.try_wait().unwrap().is_none(), "the first one has ended");
        std::thread::yield_now();
    }
    for more in [&[][..], &["--sealed"]] {
        refused(&export(&scene, "anna", &folder, more), 2, folder.to_str().unwrap());
    }
    assert!(first.try_wait().unwrap().is_none(), "the first one has ended");
    assert!(folder.join(".incomplete").join(scene.id("p1")).exists(), "what the first one works on is gone");
    first.kill().unwrap();
    first.wait().unwrap();
    scene.server().clear();
    let said = export(&scene, "anna", &folder, &[]);
    assert_eq!(said.exit, Some(0), "{}", said.stderr);
    verify(Some(&scene.home("anna")), &folder).is_whole(5);
    only_signed_files(&folder);
}

#[test]
fn a_finished_export_that_is_locked_stays_as_it_is() {
    let scene = Scene::new();
    let folder = scene.folder().join("export");
    exported(&export(&scene, "anna", &folder, &[]), 5, 5);
    let lock = OpenOptions::new().write(true).open(folder.join(".lock")).unwrap();
    lock.lock().unwrap();
    let before = tree(&folder);
    refused(&export(&scene, "anna", &folder, &[]), 2, folder.to_str().unwrap());
    assert_eq!(tree(&folder), before);
    // Who only looks is not in the way.
    verify(Some(&scene.home("anna")), &folder).is_whole(5);
    lock.unlock().unwrap();
    exported(&export(&scene, "anna", &folder, &[]), 5, 0);
}

#[test]
fn a_server_that_is_away_leaves_an_export_as_it_is() {
    let mut scene = Scene::new();
    let folder = scene.folder().join("export");
    exported(&export(&scene, "anna", &folder, &[]), 5, 5);
    let before = tree(&folder);
    let mut command = exporting(&scene, "anna", &folder, &[]);
    scene.stop();
    let said = end(&mut command);
    refused(&said, 18, "cannot be reached");
    assert_eq!(tree(&folder), before);
    verify(Some(&scene.home("anna")), &folder).is_whole(5);
}
