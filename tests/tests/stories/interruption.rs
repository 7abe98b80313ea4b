//! An upload that dies goes on when the command is typed again: nothing acknowledged is lost, no counter is resumed.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::path::{Path, PathBuf};
use std::process::Child;

use vault_proto::geometry::PART_CIPHERTEXT;
use vault_tests::command::{end, vault_cli};
use vault_tests::world::{Person, World, bytes, sha256};

/// Long enough that a process is caught on the way.
const LENGTH: usize = 96 * 1024 * 1024 + 777;

fn journals(person: &Person) -> Vec<PathBuf> {
    match std::fs::read_dir(person.home.join("uploads")) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    }
}

/// Folders of the segments that the server has, all of one recording, in their order.
fn segments(world: &World) -> Vec<PathBuf> {
    let within = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let recordings = within(world.data().join("blobs/rec"));
    let folders = recordings.flat_map(|recording| within(recording.path().join("seg")));
    let mut folders: Vec<PathBuf> = folders.map(|folder| folder.path()).collect();
    folders.sort_by_key(|folder| folder.file_name().unwrap().to_string_lossy().parse::<u32>().unwrap());
    folders
}

/// Parts of segment `segment` that the server has acknowledged, at least: what lies in its body but for those that may be on
/// their way.
fn acknowledged(world: &World, segment: usize) -> u64 {
    const ON_THEIR_WAY: u64 = 4;
    let body = segments(world).get(segment).and_then(|segment| segment.join("body").metadata().ok());
    let parts = body.map_or(0, |body| body.len() / PART_CIPHERTEXT as u64);
    parts.saturating_sub(ON_THEIR_WAY)
}

fn start(sealer: &Person, file: &Path, patient: &Person, clinician: &Person) -> Child {
    let mut command = vault_cli(&sealer.home);
    command.arg("seal").arg(file).args(["--patient", &patient.account, "--clinician", &clinician.account]);
    command.spawn().unwrap()
}

/// Starts sealing and kills the process without warning once some parts of segment `segment` were acknowledged.
fn killed_after(world: &World, segment: usize, file: &Path, patient: &Person, clinician: &Person) {
    let mut child = start(clinician, file, patient, clinician);
    while acknowledged(world, segment) < 3 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
}

#[test]
fn a_killed_upload_goes_on_with_a_new_key() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let content = bytes(LENGTH, 11);
    let file = world.file("talk.bin", &content);
    killed_after(&world, 0, &file, &patient, &clinician);
    let cut = patient.run(&["list", "--json"]).json();
    assert_eq!(cut["status"], "recording", "without an end it is never shown as complete");
    let recording = cut["recording"].as_str().unwrap().to_owned();
    patient.open(&recording).refused(12, "cut off");
    killed_after(&world, 1, &file, &patient, &clinician);

    let sealed = clinician.seal(&file, &patient, &clinician, &["--json"]);
    assert!(sealed.stderr.contains("Going on where the upload was interrupted"), "{}", sealed.stderr);
    let sealed = sealed.json();
    assert_eq!(sealed["recording"], recording.as_str(), "it is the same recording");
    assert_eq!(sealed["segments"], 3, "each process sealed with a key of its own");
    assert_eq!(sealed["sha256"], sha256(&content));
    assert_eq!(journals(&clinician), Vec::<PathBuf>::new(), "a finished upload leaves no journal");
    for reader in [&patient, &clinician] {
        let opened = reader.open(&recording);
        assert_eq!(opened.exit, Some(0), "{}", opened.stderr);
        assert!(opened.stdout == content, "the bytes differ");
    }
    let headers: Vec<Vec<u8>> = (0..3)
        .map(|segment| {
            std::fs::read(world.stored(&recording).join(format!("seg/{segment}/header.0"))).unwrap()
        })
        .collect();
    assert!(headers[0] != headers[1] && headers[1] != headers[2]);
}

#[test]
fn a_server_that_dies_loses_nothing_it_acknowledged() {
    let mut world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let content = bytes(LENGTH, 12);
    let file = world.file("talk.bin", &content);
    let mut child = start(&clinician, &file, &patient, &clinician);
    while acknowledged(&world, 0) < 4 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before the server could be killed");
        std::thread::yield_now();
    }
    world.take_server().kill();
    world.start();
    // The client tries again by itself while its server comes back.
    let output = child.wait_with_output().unwrap();
    let recording = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let opened = patient.open(&recording);
    assert_eq!(opened.exit, Some(0), "{}", opened.stderr);
    assert!(opened.stdout == content, "the bytes differ");
}

#[test]
fn a_file_that_changed_is_not_spliced() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let mut content = bytes(LENGTH, 13);
    let file = world.file("talk.bin", &content);
    let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
    killed_after(&world, 0, &file, &patient, &clinician);
    content[10] ^= 1;
    std::fs::write(&file, &content).unwrap();
    // The same length and time: only the bytes tell.
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    clinician
        .seal(&file, &patient, &clinician, &[])
        .refused(2, "has changed since its upload was interrupted");

    // With another time it is another file, and becomes another recording.
    std::fs::write(&file, &content[..1000]).unwrap();
    let other = clinician.seal(&file, &patient, &clinician, &["--json"]).json();
    assert_eq!(other["segments"], 1);
    assert_eq!(other["bytes"], 1000);
    assert_eq!(patient.run(&["list", "--json"]).json_lines().len(), 2);
}

#[test]
fn a_journal_torn_anywhere_still_leads_to_the_right_bytes() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let content = bytes(LENGTH, 14);
    let file = world.file("talk.bin", &content);
    killed_after(&world, 0, &file, &patient, &clinician);
    let path = journals(&clinician).pop().unwrap();
    let text = std::fs::read(&path).unwrap();
    let ends: Vec<usize> = (0..text.len()).filter(|&at| text[at] == b'\n').map(|at| at + 1).collect();
    // As a crash of the machine may leave it: the lines of all parts are gone, the next is half-written.
    std::fs::write(&path, &text[..ends[2] + 20]).unwrap();
    let sealed = clinician.seal(&file, &patient, &clinician, &["--json"]).json();
    assert_eq!(sealed["segments"], 1, "the segment whose key nobody has was dropped");
    assert_eq!(sealed["sha256"], sha256(&content));
    let opened = patient.open(sealed["recording"].as_str().unwrap());
    assert!(opened.stdout == content, "the bytes differ");
}

#[test]
fn an_interrupt_by_hand_leaves_nothing_half_written() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let content = bytes(LENGTH, 15);
    let file = world.file("talk.bin", &content);
    let recording = clinician.seal(&file, &patient, &clinician, &[]).text();
    let out = world.folder().join("out");
    std::fs::create_dir(&out).unwrap();
    let mut command = vault_cli(&patient.home);
    command.args(["open", &recording, "-o"]).arg(out.join("talk.bin"));
    let mut child = command.spawn().unwrap();
    // What it writes has no name yet, where the file system can do that: only the process shows that it has begun.
    let writes_there = |child: &Child| {
        let open = std::fs::read_dir(format!("/proc/{}/fd", child.id())).into_iter().flatten().flatten();
        open.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|file| file.starts_with(&out))
    };
    while !writes_there(&child) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be interrupted");
        std::thread::yield_now();
    }
    assert!(end(std::process::Command::new("kill").args(["-INT", &child.id().to_string()])).exit == Some(0));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0, "something was left behind");
}
