//! An upload that dies goes on when the command is typed again: nothing acknowledged is lost, no counter is resumed.
//! Ctrl-C is heard whatever a command waits for. A file that changes while it is read is never complete.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustix::process::{Pid, Signal, kill_process};
use vault_proto::geometry::PartChunks;
use vault_tests::command::{Said, end, vault_cli};
use vault_tests::faults::proxy::{Proxy, Strike};
use vault_tests::faults::watched_disk::{EIO, ESTALE, ETIMEDOUT, Effect, Rule, WatchedDisk};
use vault_tests::world::{Person, World, bytes, sha256};

/// Long enough that a process is caught on the way.
const LENGTH: usize = 62 * 1024 * 1024 + 777;

fn journals(person: &Person) -> Vec<PathBuf> {
    match std::fs::read_dir(person.home.join("uploads")) {
        Ok(entries) => entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_none_or(|extension| extension != "lock"))
            .collect(),
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

/// Parts of segment `segment` that the server has acknowledged, at least: what lies in its body but for those that may
/// be on their way.
fn acknowledged(world: &World, segment: usize) -> u64 {
    const ON_THEIR_WAY: u64 = 4;
    let body = segments(world).get(segment).and_then(|segment| segment.join("body").metadata().ok());
    let parts = body.map_or(0, |body| body.len() / PartChunks::FIFTEEN.ciphertext() as u64);
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
        .map(|segment| std::fs::read(world.stored(&recording).join(format!("seg/{segment}/header"))).unwrap())
        .collect();
    assert!(headers[0] != headers[1] && headers[1] != headers[2]);
}

/// A segment holds 63.75 MiB: a file that is larger has several, and goes on from within any.
#[test]
fn an_upload_that_is_killed_in_its_second_segment_goes_on_there() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let content = bytes(LENGTH + (40 << 20), 16);
    let file = world.file("talk.bin", &content);
    killed_after(&world, 1, &file, &patient, &clinician);
    let sealed = clinician.seal(&file, &patient, &clinician, &["--json"]).json();
    assert_eq!(sealed["segments"], 3, "a full one, one that was cut, and the rest");
    assert_eq!(sealed["sha256"], sha256(&content));
    for reader in [&patient, &clinician] {
        assert!(reader.open(sealed["recording"].as_str().unwrap()).stdout == content, "the bytes differ");
    }
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
    let refused = clinician.seal(&file, &patient, &clinician, &[]);
    refused.refused(20, "it does not begin with what was sealed of it before");
    let cut_off = patient.run(&["list", "--json"]).json();
    assert_eq!(cut_off["status"], "cut_off", "what was sealed of it has ended there");
    assert_eq!(journals(&clinician), Vec::<PathBuf>::new(), "nothing is stuck");

    // As it is now it becomes another recording.
    let sealed = clinician.seal(&file, &patient, &clinician, &["--json"]).json();
    assert_ne!(sealed["recording"], cut_off["recording"]);
    assert_eq!(sealed["segments"], 1);
    assert_eq!(sealed["sha256"], sha256(&content));
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

/// Two processes never seal one file twice: the second is told of the first, and what to do.
#[test]
fn a_file_that_is_being_sealed_is_not_sealed_a_second_time() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let content = bytes(LENGTH, 17);
    let file = world.file("talk.bin", &content);
    let mut first = start(&clinician, &file, &patient, &clinician);
    while acknowledged(&world, 0) < 1 {
        assert!(first.try_wait().unwrap().is_none(), "it ended before the second began");
        std::thread::yield_now();
    }
    let id = Pid::from_child(&first);
    kill_process(id, Signal::STOP).unwrap();
    let second = clinician.seal(&file, &patient, &clinician, &[]);
    kill_process(id, Signal::CONT).unwrap();
    second.refused(2, "Another process is sealing this very file now, as recording");
    assert!(second.stderr.contains("Wait until it is done"), "{}", second.stderr);
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert_eq!(world.recordings(), 1);
}

/// Asks a process to end, as Ctrl-C does.
fn interrupt(child: &Child) {
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
}

/// What a process says once it was asked to end.
fn interrupted(child: Child) -> Said {
    interrupt(&child);
    Said::new(child.wait_with_output().unwrap())
}

#[test]
fn every_command_that_waits_for_its_server_can_be_interrupted() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let file = world.file("talk.bin", &bytes(LENGTH, 16));
    let recording = clinician.seal(&file, &patient, &clinician, &[]).text();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", silent.local_addr().unwrap());
    let export = world.folder().join("export");
    let readers = ["--patient", &patient.account, "--clinician", &clinician.account];
    let commands: [&[&str]; 8] = [
        &["list"],
        &["open", &recording],
        &["play", &recording],
        &["verify", &recording],
        &["export", export.to_str().unwrap()],
        &["compare", &patient.account],
        &[&["seal", file.to_str().unwrap()], &readers[..]].concat(),
        &[&["seal", "-"], &readers[..]].concat(),
    ];
    for typed in commands {
        let mut command = vault_cli(&clinician.home);
        command.args(typed).args(["--server", &server]).stdin(Stdio::piped());
        let child = command.spawn().unwrap();
        // It has asked, and nobody answers.
        let (mut asked, _) = silent.accept().unwrap();
        asked.read_exact(&mut [0]).unwrap();
        let said = interrupted(child);
        said.refused(130, "Interrupted.");
    }
    assert_eq!(journals(&clinician), Vec::<PathBuf>::new(), "something was begun");
    assert!(!export.join("SHA256SUMS").exists());
}

/// Ctrl-C at the prompt gives the terminal its echo back. `script` is the terminal.
#[test]
fn a_prompt_can_be_interrupted() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let program = vault_tests::command::binary("vault-cli");
    // The terminal interrupts the shell too: with a trap of its own it goes on when the program has ended.
    let typed = format!("trap : INT; {} list; echo exit=$?; stty -a", program.display());
    let mut terminal = Command::new("script");
    terminal
        .args(["-qec", &typed, "/dev/null"])
        .env("VAULT_HOME", &patient.home)
        .env_remove("VAULT_PASSPHRASE");
    let mut child = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = Vec::new();
    let mut byte = [0];
    while !shown.ends_with(b"Passphrase: ") {
        assert_eq!(screen.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&shown));
        shown.extend(byte);
    }
    keyboard.write_all(b"\x03").unwrap();
    screen.read_to_end(&mut shown).unwrap();
    child.wait().unwrap();
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("exit=130"), "{shown}");
    assert!(shown.contains(" echo "), "{shown}");
}

#[test]
fn an_upload_that_is_interrupted_goes_on() {
    let proxy = Proxy::start();
    let world = World::behind(&proxy);
    let patient = world.person_with("patient", "patient", &[], &proxy.url());
    let clinician = world.person_with("clinician", "clinician", &[], &proxy.url());
    let content = bytes(LENGTH, 17);
    let file = world.file("talk.bin", &content);
    let held = Held::after(&proxy, 20 * 1024 * 1024);
    let child = start(&clinician, &file, &patient, &clinician);
    held.reached();
    let said = interrupted(child);
    held.go_on();
    said.refused(130, "run the same command again");
    // And a second time, on the way of another command.
    let held = Held::after(&proxy, 20 * 1024 * 1024);
    let child = vault_cli(&clinician.home).arg("resume").spawn().unwrap();
    held.reached();
    let said = interrupted(child);
    held.go_on();
    said.refused(130, "Run `vault-cli resume` again to go on");
    let sealed = clinician.seal(&file, &patient, &clinician, &["--json"]).json();
    assert_eq!(sealed["sha256"], sha256(&content));
    assert!(patient.open(sealed["recording"].as_str().unwrap()).stdout == content, "the bytes differ");
}

#[test]
fn a_reader_of_the_output_that_has_stalled_holds_nobody() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let file = world.file("talk.bin", &bytes(LENGTH, 18));
    let recording = clinician.seal(&file, &patient, &clinician, &[]).text();
    let mut child = vault_cli(&patient.home).args(["open", &recording]).spawn().unwrap();
    let stalled = child.stdout.take().unwrap();
    // As many bytes as the pipe holds: the next write waits.
    while rustix::io::ioctl_fionread(&stalled).unwrap() < 64 * 1024 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be interrupted");
        std::thread::yield_now();
    }
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// A proxy that holds everything at a byte.
struct Held {
    reached: Receiver<()>,
    go_on: SyncSender<()>,
}

impl Held {
    fn after(proxy: &Proxy, bytes: u64) -> Self {
        let (reach, reached) = sync_channel(1);
        let (go_on, going_on) = sync_channel::<()>(1);
        let strike = move || {
            reach.send(()).unwrap();
            // Whoever held it may have failed.
            let _ = going_on.recv();
        };
        proxy.strike_after(bytes, Strike::Call(Box::new(strike)));
        Self { reached, go_on }
    }

    fn reached(&self) {
        self.reached.recv().unwrap();
    }

    fn go_on(self) {
        self.go_on.send(()).unwrap();
    }
}

/// Seals a file to which something is done when a quarter of it has passed.
fn changed_on_the_way(name: &str, seed: u64, change: impl FnOnce(&Path) + Send + 'static) {
    let proxy = Proxy::start();
    let world = World::behind(&proxy);
    let patient = world.person_with("patient", "patient", &[], &proxy.url());
    let clinician = world.person_with("clinician", "clinician", &[], &proxy.url());
    let content = bytes(LENGTH / 3, seed);
    let file = world.file(name, &content);
    let changing = file.clone();
    proxy.strike_after((content.len() / 4) as u64, Strike::Call(Box::new(move || change(&changing))));
    let said = clinician.seal(&file, &patient, &clinician, &[]);
    said.refused(20, "The file changed while it was read");
    let listed = patient.run(&["list", "--json"]).json();
    let text = |document: &serde_json::Value, field| {
        document.get(field).and_then(serde_json::Value::as_str).map(str::to_owned)
    };
    assert_eq!(text(&listed, "status").as_deref(), Some("cut_off"), "{name}");
    let recording = text(&listed, "recording").unwrap();
    patient.open(&recording).refused(12, "cut off");
    let opened = patient.run(&["open", &recording, "--allow-cut-off"]);
    assert_eq!(opened.exit, Some(0), "{}", opened.stderr);
    assert!(said.stderr.contains(&format!("The {} bytes that had been sealed", opened.stdout.len())));
    assert_eq!(journals(&clinician), Vec::<PathBuf>::new(), "{name}: it has ended");

    // What the file is now is another recording.
    let now = std::fs::read(&file).unwrap();
    let sealed = clinician.seal(&file, &patient, &clinician, &["--json"]).json();
    assert_ne!(text(&sealed, "recording").as_deref(), Some(recording.as_str()));
    assert_eq!(text(&sealed, "sha256"), Some(sha256(&now)));
}

#[test]
fn a_file_that_shrinks_is_never_complete() {
    changed_on_the_way("shrinks", 21, |file| {
        std::fs::File::options().write(true).open(file).unwrap().set_len(10_000_000).unwrap();
    });
}

#[test]
fn a_file_that_grows_is_never_complete() {
    changed_on_the_way("grows", 22, |file| {
        std::fs::File::options().append(true).open(file).unwrap().write_all(b"and more").unwrap();
    });
}

#[test]
fn a_file_that_is_written_over_is_never_complete() {
    changed_on_the_way("written-over", 23, |file| {
        let modified = std::fs::metadata(file).unwrap().modified().unwrap();
        let over = std::fs::File::options().write(true).open(file).unwrap();
        over.write_all_at(b"another beginning", 0).unwrap();
        // Whoever sets the time back is seen as well.
        over.set_modified(modified).unwrap();
    });
}

/// What a change is called, what it does, and whether the file's name leads to another file after it.
type HarmlessChange = (&'static str, fn(&Path), bool);

/// Permissions, links and names of a file are none of its bytes: what was opened is sealed, all of it.
#[test]
fn a_file_that_keeps_every_byte_is_complete() {
    let proxy = Proxy::start();
    let world = World::behind(&proxy);
    let patient = world.person_with("patient", "patient", &[], &proxy.url());
    let clinician = world.person_with("clinician", "clinician", &[], &proxy.url());
    let changes: [HarmlessChange; 3] = [
        (
            "linked",
            |file| {
                std::fs::hard_link(file, file.with_extension("link")).unwrap();
                std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o440)).unwrap();
            },
            false,
        ),
        ("removed", |file| std::fs::remove_file(file).unwrap(), false),
        (
            "replaced",
            |file| {
                let aside = file.with_extension("aside");
                std::fs::write(&aside, b"something else").unwrap();
                std::fs::rename(aside, file).unwrap();
            },
            true,
        ),
    ];
    for (number, (name, change, leads_elsewhere)) in changes.into_iter().enumerate() {
        let content = bytes(LENGTH / 3, 24 + number as u64);
        let file = world.file(name, &content);
        let changing = file.clone();
        proxy.strike_after((content.len() / 4) as u64, Strike::Call(Box::new(move || change(&changing))));
        let said = clinician.seal(&file, &patient, &clinician, &["--json"]);
        assert_eq!(proxy.end_strikes(), 1, "{name}: it was not changed");
        assert_eq!(said.exit, Some(0), "{name}: {}", said.stderr);
        let sealed = said.json();
        assert_eq!(sealed["sha256"], sha256(&content), "{name}");
        let told = said.stderr.contains("The file's name leads to another file by now");
        assert_eq!(told, leads_elsewhere, "{name}: {}", said.stderr);
        assert!(patient.open(sealed["recording"].as_str().unwrap()).stdout == content, "{name}");
    }
}

/// A disk or a share of the network that fails once: the upload is kept, and goes on when the command is typed again.
#[test]
fn a_file_that_cannot_be_read_for_a_while_goes_on() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let folder = world.folder().join("share");
    std::fs::create_dir(&folder).unwrap();
    let disk = WatchedDisk::new(&folder, &world.folder().join("share.trace"));
    for (number, error) in [EIO, ESTALE, ETIMEDOUT].into_iter().enumerate() {
        let content = bytes(LENGTH / 3, 30 + number as u64);
        let file = folder.join(format!("talk-{number}"));
        std::fs::write(&file, &content).unwrap();
        let rule = Rule { call: "read", effect: Effect::Fail(error), from: 60, to: 1_000_000 };
        let seal = || {
            let mut command = vault_cli(&clinician.home);
            command.arg("seal").arg(&file);
            command.args(["--patient", &patient.account, "--clinician", &clinician.account]);
            command
        };
        let mut failing = seal();
        disk.with(&[rule]).watch(&mut failing);
        let failed = end(&mut failing);
        failed.refused(19, "cannot be read");
        assert!(failed.stderr.contains("Nothing was ended"), "{}", failed.stderr);
        assert_eq!(journals(&clinician).len(), 1, "the upload is kept");
        let mut resuming = vault_cli(&clinician.home);
        resuming.arg("resume");
        disk.with(&[Rule { from: 1, ..rule }]).watch(&mut resuming);
        end(&mut resuming).refused(19, "cannot be read");
        assert_eq!(journals(&clinician).len(), 1, "the upload is kept");
        let went_on = end(seal().arg("--json"));
        assert!(went_on.stderr.contains("Going on where"), "{}", went_on.stderr);
        assert_eq!(went_on.json()["sha256"], sha256(&content));
    }
}

#[test]
fn an_empty_file_is_sealed_with_a_warning() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let file = world.file("empty", b"");
    let said = clinician.seal(&file, &patient, &clinician, &["--json"]);
    assert_eq!(said.exit, Some(20), "{}", said.stderr);
    assert!(said.stderr.contains("There was nothing to seal"), "{}", said.stderr);
    let sealed: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(sealed["bytes"], 0);
    let opened = patient.open(sealed["recording"].as_str().unwrap());
    assert_eq!((opened.exit, opened.stdout.len()), (Some(0), 0), "{}", opened.stderr);
}
