//! Titles that want to be more than titles, and folders that are not the export's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use vault_tests::command::end;
use vault_tests::scene::Scene;
use vault_tests::sealing_device::Plan;
use vault_tests::world::bytes;

use super::*;

const HOSTILE: [&str; 13] = [
    "../../../../tmp/escaped",
    "..",
    "....",
    "",
    "/etc/passwd",
    "a\u{0}b\n\r\t\u{1b}[31mred\u{7f}",
    "\u{202e}gpj.exe\u{202c}\u{2066}x\u{2069}\u{200b}\u{feff}",
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&",
    "CON",
    "-rf $(touch escaped) `touch escaped` %2e%2e %PATH%",
    "trailing dots and spaces. . .",
    "back\\slash:colon*star?",
    "  ",
];

/// Whether a character steers what a terminal or a file manager shows.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[track_caller]
fn is_safe(name: &str) {
    assert!(name.len() <= 255, "{} bytes: {name}", name.len());
    assert!(!name.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|']), "{name:?}");
    assert!(!name.chars().any(steers), "{name:?}");
    assert!(!name.starts_with(['.', '-', ' ']) && !name.ends_with(['.', ' ']), "{name:?}");
}

#[test]
fn no_title_chooses_where_a_file_goes() {
    let mut scene = Scene::new();
    let [nora, dora] = ["nora", "dora"].map(|name| scene.device(name));
    let long = ["x".repeat(4_000), "🩺é".repeat(700), "a/../".repeat(500)];
    let mut sealed = Vec::new();
    for (seed, title) in (0..).zip(HOSTILE.into_iter().chain(long.iter().map(String::as_str))) {
        let content = bytes(500, 900 + seed);
        let (recording, objects) = dora.seal(&Plan {
            tenant: scene.facts.organisation.parse().unwrap(),
            patient: &nora.member,
            clinician: &dora.member,
            sealer: &dora.member,
            title,
            segments: &[(0, &content)],
        });
        dora.upload(&scene.server().url(), recording, &objects);
        sealed.push((recording.to_string(), title.to_owned(), content));
    }
    let above = scene.folder().join("above");
    fs::create_dir(&above).unwrap();
    let folder = above.join("export");
    exported(&export(&scene, "nora", &folder, &[]), sealed.len(), sealed.len());
    scene.stop();
    assert_eq!(fs::read_dir(&above).unwrap().count(), 1, "something was written beside the export");
    assert!(!Path::new("/tmp/escaped").exists() && !Path::new("escaped").exists());
    for (recording, title, content) in &sealed {
        let (place, document) = described(&folder, recording);
        assert_eq!(place.parent().unwrap(), folder.join("recordings"));
        is_safe(place.file_name().unwrap().to_str().unwrap());
        assert_eq!(document["title"], title.as_str(), "a title is told as it was sealed");
        assert!(media(&folder, recording)[&0] == *content, "{title:?}");
    }
    only_signed_files(&folder);
    let page = fs::read_to_string(folder.join("index.html")).unwrap();
    assert!(
        !page.contains("<script>alert(1)") && !page.contains("<img src=x"),
        "HTML of a title is in the page"
    );
    verify(Some(&scene.home("nora")), &folder).is_whole(sealed.len());
    // What is shown to a person steers no terminal.
    let shown = end(&mut verifying(Some(&scene.home("nora")), &folder)).text();
    assert!(!shown.chars().any(|c| steers(c) && c != '\n'), "{shown:?}");
}

#[test]
fn the_longest_title_that_can_be_sealed_is_told_whole_or_refused_at_sealing() {
    let scene = Scene::new();
    let file = scene.folder().join("talk");
    fs::write(&file, b"a talk").unwrap();
    let mut command = scene.command("dora");
    command.arg("seal").arg(&file).args([
        "--patient",
        scene.account("nora"),
        "--clinician",
        scene.account("dora"),
    ]);
    let sealed = end(command.args(["--title", &"t".repeat(10_000)]));
    let folder = scene.folder().join("export");
    if sealed.exit == Some(0) {
        exported(&export(&scene, "nora", &folder, &[]), 1, 1);
        let (place, document) = described(&folder, &sealed.text());
        assert_eq!(document["title"], "t".repeat(10_000));
        is_safe(place.file_name().unwrap().to_str().unwrap());
    } else {
        sealed.refused(2, "title");
        exported(&export(&scene, "nora", &folder, &[]), 0, 0);
    }
}

#[test]
fn recordings_of_one_title_and_minute_get_folders_of_their_own() {
    let scene = Scene::new();
    let [nora, dora] = ["nora", "dora"].map(|name| scene.device(name));
    let titles = ["Knee", "Knee", "KNEE", "knee"];
    let mut sealed = Vec::new();
    for (seed, title) in (0..).zip(titles) {
        let content = bytes(400, 950 + seed);
        let (recording, objects) = dora.seal(&Plan {
            tenant: scene.facts.organisation.parse().unwrap(),
            patient: &nora.member,
            clinician: &dora.member,
            sealer: &dora.member,
            title,
            segments: &[(0, &content)],
        });
        dora.upload(&scene.server().url(), recording, &objects);
        sealed.push((recording.to_string(), content));
    }
    let folder = scene.folder().join("export");
    exported(&export(&scene, "nora", &folder, &[]), 4, 4);
    let mut places = BTreeSet::new();
    for (recording, content) in &sealed {
        let (place, _) = described(&folder, recording);
        // Also on a file system that knows no capitals.
        assert!(places.insert(place.to_str().unwrap().to_lowercase()));
        assert!(media(&folder, recording)[&0] == *content);
    }
    exported(&export(&scene, "nora", &folder, &[]), 4, 0);
}

#[test]
fn a_folder_of_other_things_is_refused_and_stays_as_it_is() {
    let scene = Scene::new();
    let folder = scene.folder().join("documents");
    fs::create_dir_all(folder.join("recordings")).unwrap();
    fs::write(folder.join("diary.txt"), b"mine").unwrap();
    fs::write(folder.join("recordings/holiday.mp4"), b"also mine").unwrap();
    let before = tree(&folder);
    for more in [&[][..], &["--sealed"]] {
        refused(&export(&scene, "anna", &folder, more), 2, folder.to_str().unwrap());
        assert_eq!(tree(&folder), before);
    }
    // A file in its place, and a folder that cannot be.
    let file = scene.folder().join("file");
    fs::write(&file, b"mine").unwrap();
    let said = export(&scene, "anna", &file, &[]);
    assert!(said.exit == Some(2) || said.exit == Some(19), "{:?} {}", said.exit, said.stderr);
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_folder_with_a_lock_file_of_something_else_is_no_export() {
    let scene = Scene::new();
    let folder = scene.folder().join("documents");
    fs::create_dir(&folder).unwrap();
    // Other programs call theirs so, too.
    for (name, text) in
        [(".lock", ""), ("README.txt", "mine"), ("index.html", "mine"), ("letter.txt", "mine")]
    {
        fs::write(folder.join(name), text).unwrap();
    }
    let before = tree(&folder);
    let said = export(&scene, "anna", &folder, &[]);
    assert!(tree(&folder) == before, "it was written into: {}", said.stderr);
    refused(&said, 2, folder.to_str().unwrap());
}

#[test]
fn opened_and_sealed_recordings_are_not_mixed() {
    let scene = Scene::new();
    for (first, second) in [(&[][..], &["--sealed"][..]), (&["--sealed"], &[])] {
        let folder = scene.folder().join(format!("export {}", first.len()));
        exported(&export(&scene, "anna", &folder, first), 5, 5);
        let before = tree(&folder);
        refused(&export(&scene, "anna", &folder, second), 2, "holds an export of the other form");
        assert_eq!(tree(&folder), before);
        verify(Some(&scene.home("anna")), &folder).is_whole(5);
    }
}

#[test]
fn an_export_of_another_account_is_refused_and_stays_as_it_is() {
    let scene = Scene::new();
    for more in [&[][..], &["--sealed"]] {
        let folder = scene.folder().join(format!("export {}", more.len()));
        exported(&export(&scene, "anna", &folder, more), 5, 5);
        let before = tree(&folder);
        let said = export(&scene, "bert", &folder, more);
        assert!(tree(&folder) == before, "it was written into: {}", said.stderr);
        refused(&said, 2, folder.to_str().unwrap());
        verify(Some(&scene.home("anna")), &folder).is_whole(5);
    }
}

#[test]
fn what_people_keep_beside_recordings_has_its_ending() {
    let scene = Scene::new();
    let folder = scene.folder().join("export");
    let mut sealed = Vec::new();
    for (given, media_type, name) in [
        ("letter.pdf", &["--media-type", "application/pdf"][..], "recording.pdf"),
        ("picture", &[], "recording.png"),
        ("page.html", &["--media-type", "text/html"], "recording.bin"),
    ] {
        let file = scene.folder().join(given);
        fs::write(&file, b"\x89PNG\r\n\x1a\nwhatever").unwrap();
        let mut command = scene.command("dora");
        command.arg("seal").arg(&file).args(media_type);
        command.args(["--patient", scene.account("nora"), "--clinician", scene.account("dora")]);
        sealed.push((end(&mut command).text(), name, media_type.get(1).copied().unwrap_or("image/png")));
    }
    exported(&export(&scene, "nora", &folder, &[]), 3, 3);
    let bundle = fs::read_to_string(folder.join("fhir/r4.json")).unwrap();
    for (recording, name, media_type) in sealed {
        let (place, document) = described(&folder, &recording);
        assert_eq!(document["files"][0]["path"], name);
        assert!(place.join(name).exists());
        // What could run when it is opened is not announced as what it is.
        let kept = if name.ends_with(".bin") { "application/octet-stream" } else { media_type };
        assert_eq!(document["files"][0]["media_type"], kept);
        assert!(bundle.contains(kept), "{kept}");
    }
}
