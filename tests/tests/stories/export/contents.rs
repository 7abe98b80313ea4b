//! What an export holds, who may read it, and how it grows.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use vault_proto::ids::Digest;
use vault_proto::object::statement_path;
use vault_tests::command::end;
use vault_tests::scene::{Scene, content, segments, title};
use vault_tests::world::{World, bytes};

use super::*;

/// Every folder 0700, every file 0600.
#[track_caller]
fn is_private(folder: &Path) {
    let mut open = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(above) = folders.pop() {
        for entry in fs::read_dir(&above).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let (mode, wanted) =
                (metadata.permissions().mode() & 0o777, if metadata.is_dir() { 0o700 } else { 0o600 });
            if mode != wanted {
                open.push(format!("{} {mode:o}", path.strip_prefix(folder).unwrap().display()));
            }
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    assert_eq!(open, Vec::<String>::new(), "these are not the owner's alone");
}

#[test]
fn everything_that_may_be_read_comes_home_with_what_proves_it() {
    let mut scene = Scene::new();
    let folder = scene.folder().join("anna's export");
    let said = export(&scene, "anna", &folder, &[]);
    exported(&said, 5, 5);
    assert_eq!(report(&said)["folder"], folder.to_str().unwrap());
    let mut named: BTreeMap<Digest, String> = BTreeMap::new();
    for name in OF_ANNA {
        named.append(&mut scene.objects(name).statements);
    }
    scene.stop();
    for name in ["a1", "a2", "p1", "o1"] {
        let media = media(&folder, scene.id(name));
        assert_eq!(media.len(), 1, "{name}");
        assert!(media[&0] == content(name), "{name}: the bytes differ");
    }
    let parts = segments();
    let tracks = media(&folder, scene.id("s1"));
    assert!(tracks[&0] == parts[0].1 && tracks[&1] == [&parts[1].1[..], &parts[2].1].concat());
    for name in OF_ANNA {
        let (place, document) = described(&folder, scene.id(name));
        assert_eq!(document["title"], title(name));
        assert_eq!(document["status"], "complete");
        assert_eq!(document["patient"]["account"], scene.account("anna"));
        assert_eq!(document["clinician"]["account"], scene.account("dora"));
        let named = place.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(named.contains(&title(name)) && named.contains(&scene.id(name)[..8]), "{named}");
        assert!(named.starts_with(&document["created"].as_str().unwrap()[..10]), "{named}");
        for statement in ["manifest", "final", "seg/0/seal"] {
            assert!(folder.join("rec").join(scene.id(name)).join(statement).is_file(), "{name}: {statement}");
        }
    }
    assert_eq!(fs::read_dir(folder.join("recordings")).unwrap().count(), 5);
    assert_eq!(fs::read_dir(folder.join("rec")).unwrap().count(), 5);
    // Each once, however many recordings name it.
    assert_eq!(fs::read_dir(folder.join("statements")).unwrap().count(), named.len());
    for (digest, envelope) in named {
        let path = statement_path(&digest);
        assert_eq!(fs::read_to_string(folder.join(&path)).unwrap(), envelope);
        assert!(summed(&folder).contains(&path), "{path}");
    }
    for name in ["index.html", "fhir/r4.json", "fhir/r5.json", "proof/list", "proof/list-object"] {
        assert!(summed(&folder).contains(name), "{name}");
    }
    for version in ["r4", "r5"] {
        let bundle = fs::read(folder.join(format!("fhir/{version}.json"))).unwrap();
        assert!(serde_json::from_slice::<Value>(&bundle).unwrap().is_object(), "{version}");
    }
    only_signed_files(&folder);

    // Offline, without a passphrase: by the account's own device, and by anyone who got the folder.
    let at_home = verify(Some(&scene.home("anna")), &folder);
    at_home.is_whole(5);
    assert_eq!(at_home.summary["pinned"], true);
    let elsewhere = verify(None, &folder);
    elsewhere.is_whole(5);
    assert_eq!(elsewhere.summary["pinned"], false);
    assert_eq!(elsewhere.summary["account"], scene.account("anna"));
    assert_eq!(elsewhere.summary["organisation"], scene.facts.organisation.as_str());
    for verified in [&at_home, &elsewhere] {
        for (name, sealer, role) in [("a1", "dora", "clinician"), ("p1", "rex", "recorder")] {
            let entry = &verified.recordings[scene.id(name)];
            assert_eq!(entry["sealer"], scene.account(sealer), "{entry}");
            assert_eq!(entry["sealer_role"], role, "{entry}");
            assert_eq!(entry["status"], "complete", "{entry}");
        }
    }
    let said = end(&mut verifying(Some(&scene.home("anna")), &folder)).text();
    assert!(said.contains("5 of 5"), "{said}");
    assert!(said.contains(&format!("account {}", scene.account("anna"))), "{said}");
}

#[test]
fn an_export_is_its_owners_alone() {
    let scene = Scene::new();
    for more in [&[][..], &["--sealed"]] {
        // Made by a person beforehand, for everyone to read.
        let folder = scene.folder().join(format!("export {}", more.len()));
        exported(&export(&scene, "anna", &folder, more), 5, 5);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        is_private(&folder);
    }
}

#[test]
fn a_sealed_export_holds_what_the_server_has_and_nothing_opened() {
    let mut scene = Scene::new();
    let folder = scene.folder().join("sealed");
    exported(&export(&scene, "anna", &folder, &["--sealed"]), 5, 5);
    exported(&export(&scene, "anna", &folder, &["--sealed"]), 5, 0);
    for name in OF_ANNA {
        let (sealed, here) = (scene.objects(name), folder.join("rec").join(scene.id(name)));
        assert_eq!(fs::read(here.join("manifest")).unwrap(), sealed.manifest.as_bytes());
        assert_eq!(fs::read(here.join("details")).unwrap(), sealed.details);
        assert_eq!(fs::read(here.join("final")).unwrap(), sealed.final_seal.unwrap().as_bytes());
        for (index, segment) in sealed.segments.iter().enumerate() {
            let object = |object: &str| fs::read(here.join(format!("seg/{index}/{object}"))).unwrap();
            assert!(object("body") == segment.body, "{name}: body");
            assert!(object("header") == segment.header, "{name}: header");
            assert!(object("parts") == segment.parts, "{name}: parts");
        }
    }
    scene.stop();
    only_signed_files(&folder);
    for (name, bytes) in tree(&folder) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("for its readers"), "{name} holds a title");
    }
    assert!(!folder.join("recordings").exists() && !folder.join("index.html").exists());
    verify(Some(&scene.home("anna")), &folder).is_whole(5);
    verify(None, &folder).is_whole(5);
}

#[test]
fn a_later_run_adds_only_what_is_new_and_replaces_what_was_damaged() {
    let scene = Scene::new();
    for (number, more) in [&[][..], &["--sealed"]].iter().enumerate() {
        let folder = scene.folder().join(format!("export {number}"));
        exported(&export(&scene, "anna", &folder, more), 5 + number, 5 + number);
        let before = tree(&folder);
        exported(&export(&scene, "anna", &folder, more), 5 + number, 0);
        let new = seal_another(&scene);
        exported(&export(&scene, "anna", &folder, more), 6 + number, 1);
        let after = tree(&folder);
        for (name, bytes) in before.iter().filter(|(name, _)| name.starts_with("rec")) {
            assert!(after.get(name) == Some(bytes), "{name} is another one");
        }
        verify(Some(&scene.home("anna")), &folder).is_whole(6 + number);
        // Damaged at home: the same command fetches that one again.
        let file = if more.is_empty() { medium(&folder, &new) } else { format!("rec/{new}/seg/0/body") };
        flip(&folder.join(&file));
        let other = if more.is_empty() {
            medium(&folder, scene.id("p1"))
        } else {
            format!("rec/{}/seg/0/parts", scene.id("p1"))
        };
        fs::remove_file(folder.join(other)).unwrap();
        exported(&export(&scene, "anna", &folder, more), 6 + number, 2);
        assert_eq!(tree(&folder)[&file], after[&file]);
        verify(Some(&scene.home("anna")), &folder).is_whole(6 + number);
        only_signed_files(&folder);
    }
}

/// Another consultation of anna and dora.
pub(super) fn seal_another(scene: &Scene) -> String {
    let file = scene.folder().join("another");
    fs::write(&file, b"another consultation").unwrap();
    let mut command = scene.command("dora");
    command.arg("seal").arg(&file).args([
        "--patient",
        scene.account("anna"),
        "--clinician",
        scene.account("dora"),
    ]);
    end(&mut command).text()
}

#[test]
fn chosen_recordings_come_alone() {
    let scene = Scene::new();
    let folder = scene.folder().join("export");
    let said = export(&scene, "anna", &folder, &[&scene.id("a2")[..8], scene.id("o1")]);
    exported(&said, 2, 2);
    assert!(media(&folder, scene.id("a2"))[&0] == content("a2"));
    assert_eq!(fs::read_dir(folder.join("recordings")).unwrap().count(), 2);
    // The account's list names all five.
    let verified = verify(Some(&scene.home("anna")), &folder);
    assert_eq!(verified.said.exit, Some(20), "{}", verified.said.stderr);
    let missing: Vec<&str> = verified.wrong().values().copied().collect();
    assert_eq!(missing, ["missing"; 3]);
    assert_eq!((verified.finding(scene.id("a2")), verified.finding(scene.id("o1"))), ("right", "right"));
    exported(&export(&scene, "anna", &folder, &[]), 5, 3);
    verify(Some(&scene.home("anna")), &folder).is_whole(5);
}

#[test]
fn every_suite_and_role_takes_home_what_it_may_read() {
    let scene = Scene::new();
    for (who, names) in [("xenia", &["x1"][..]), ("emil", &["c1"]), ("bert", &["b1", "c1"]), ("nora", &[])] {
        let folder = scene.folder().join(format!("export of {who}"));
        exported(&export(&scene, who, &folder, &[]), names.len(), names.len());
        for name in names {
            assert!(media(&folder, scene.id(name))[&0] == content(name), "{name}");
        }
        verify(Some(&scene.home(who)), &folder).is_whole(names.len());
        only_signed_files(&folder);
    }
    // A recorder reads nothing of what it sealed: it takes home what proves it.
    for more in [&[][..], &["--sealed"]] {
        let folder = scene.folder().join(format!("export of rex {}", more.len()));
        exported(&export(&scene, "rex", &folder, more), 3, 3);
        for name in ["b1", "p1", "x1"] {
            let place = folder.join("rec").join(scene.id(name));
            assert!(place.join("final").is_file() && !place.join("seg/0/body").exists(), "{name}");
        }
        verify(Some(&scene.home("rex")), &folder).is_whole(3);
        exported(&export(&scene, "rex", &folder, more), 3, 0);
    }
}

#[test]
fn a_cut_off_recording_is_exported_as_far_as_it_goes_and_replaced_once_its_end_is_there() {
    use std::io::Write as _;
    use vault_proto::geometry::MAX_PART_PLAINTEXT;

    let world = World::new();
    let (patient, clinician) = (world.person("patient", "patient"), world.person("clinician", "clinician"));
    let content = bytes(3 * MAX_PART_PLAINTEXT + 1_000, 61);
    let mut command = vault_tests::command::vault_cli(&clinician.home);
    command.args(["seal", "-", "--patient", &patient.account, "--clinician", &clinician.account]);
    let mut live = command.args(["--title", "Knee"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut pipe = live.stdin.take().unwrap();
    pipe.write_all(&content).unwrap();
    pipe.flush().unwrap();
    while world.parts() < 3 {
        assert!(live.try_wait().unwrap().is_none(), "it ended before three parts were there");
        std::thread::yield_now();
    }
    let (opened, sealed) = (world.folder().join("opened"), world.folder().join("sealed"));
    let run = |folder: &Path, more: &[&str]| {
        patient.run(&[&["export", folder.to_str().unwrap(), "--json"], more].concat())
    };
    exported(&run(&opened, &[]), 1, 1);
    exported(&run(&sealed, &["--sealed"]), 1, 1);
    let listed = patient.run(&["list", "--json"]).json();
    let recording = listed["recording"].as_str().unwrap();
    for folder in [&opened, &sealed] {
        let verified = verify(Some(&patient.home), folder);
        verified.is_whole(1);
        assert_eq!(verified.recordings[recording]["status"], "cut_off");
    }
    let (_, document) = described(&opened, recording);
    assert_eq!(document["status"], "cut_off");
    assert!(media(&opened, recording)[&0] == content[..3 * MAX_PART_PLAINTEXT]);

    drop(pipe);
    assert!(live.wait().unwrap().success());
    exported(&run(&opened, &[]), 1, 1);
    exported(&run(&sealed, &["--sealed"]), 1, 1);
    for folder in [&opened, &sealed] {
        let verified = verify(Some(&patient.home), folder);
        verified.is_whole(1);
        assert_eq!(verified.recordings[recording]["status"], "complete");
        only_signed_files(folder);
    }
    let (_, document) = described(&opened, recording);
    assert_eq!((&document["status"], &document["title"]), (&"complete".into(), &"Knee".into()));
    assert!(media(&opened, recording)[&0] == content);
}

#[test]
fn an_older_export_of_a_recording_that_was_cut_off_then_is_too_old() {
    let scene = Scene::new();
    use vault_tests::hostile::{Fault, FaultKind};
    // Its end is not there yet when the export is made, and the account has seen it by the time of the next one.
    scene.server().inject(Fault::on(FaultKind::HideFinal, scene.id("a1")));
    let folder = scene.folder().join("export");
    exported(&export(&scene, "anna", &folder, &[]), 5, 5);
    scene.server().clear();
    end(scene.command("anna").arg("list")).text();
    // A run that brings nothing but the newest list.
    exported(&export(&scene, "anna", &folder, &[scene.id("o1")]), 5, 0);
    let verified = verify(Some(&scene.home("anna")), &folder);
    assert_eq!(verified.said.exit, Some(20), "{}", verified.said.stderr);
    assert_eq!(verified.finding(scene.id("a1")), "too-old");
    exported(&export(&scene, "anna", &folder, &[]), 5, 1);
    verify(Some(&scene.home("anna")), &folder).is_whole(5);
}

#[test]
fn an_export_older_than_the_homes_newest_list_is_superseded() {
    let scene = Scene::new();
    let folder = scene.folder().join("export");
    exported(&export(&scene, "anna", &folder, &[]), 5, 5);
    seal_another(&scene);
    end(scene.command("anna").arg("list")).text();
    let verified = verify(Some(&scene.home("anna")), &folder);
    assert_eq!(verified.said.exit, Some(20), "{}", verified.said.stderr);
    assert_eq!(verified.summary["superseded"], true);
    assert_eq!(verified.wrong(), std::collections::BTreeMap::new());
    // Who knows no newer list cannot tell.
    verify(None, &folder).is_whole(5);
}

#[test]
fn a_clip_is_exported_byte_for_byte_and_plays() {
    let world = World::new();
    let (patient, clinician) = (world.person("patient", "patient"), world.person("clinician", "clinician"));
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo-assets/consultation.webm");
    let original = fs::read(&clip).unwrap();
    let recording = clinician.seal(&clip, &patient, &clinician, &["--title", "A clip"]).text();
    let folder = world.folder().join("export");
    exported(&patient.run(&["export", folder.to_str().unwrap(), "--json"]), 1, 1);
    let (place, document) = described(&folder, &recording);
    let file = &document["files"][0];
    assert!(file["media_type"].as_str().unwrap().starts_with("video/webm"), "{file}");
    let exported = place.join(file["path"].as_str().unwrap());
    assert_eq!(exported.extension().unwrap(), "webm");
    assert!(fs::read(&exported).unwrap() == original, "it was seekable already, and is changed");
    let Some(ffprobe) = std::env::var_os("FFPROBE_BIN") else {
        println!("skipped: ffprobe is not installed");
        return;
    };
    let probe = |path: &Path| -> Value {
        let mut probe = Command::new(&ffprobe);
        let show =
            ["-v", "error", "-of", "json", "-show_entries", "format=duration:stream=codec_type,codec_name"];
        let probed = probe.args(show).arg(path).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&probed.stderr), "", "{}", path.display());
        serde_json::from_slice(&probed.stdout).unwrap()
    };
    let probed = probe(&exported);
    assert_eq!(probed, probe(&clip));
    let duration: f64 = probed["format"]["duration"].as_str().unwrap().parse().unwrap();
    assert!(duration > 1.0, "{probed}");
    assert!(probed["streams"].as_array().unwrap().len() >= 2, "{probed}");
    if let Some(told) = file["duration_ms"].as_f64() {
        assert!((told - duration * 1000.0).abs() < 1.0, "{file}");
    }
}
