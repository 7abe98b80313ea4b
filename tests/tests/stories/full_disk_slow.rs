//! Disks without room, as people meet them: what is stored is read, and nothing else is claimed.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use vault_tests::command::{Said, binary, end, vault_cli};
use vault_tests::server_process::ServerProcess;
use vault_tests::small_disk::SmallDisk;
use vault_tests::world::{Person, World, bytes};

const READS_ONLY: &str = "storage-full: reads are served, recordings are not stored";

/// The status and the body that `/readyz` answers.
fn ready(server: &ServerProcess) -> (String, String) {
    let mut stream = TcpStream::connect(server.authority()).unwrap();
    let host = server.authority();
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.strip_suffix('\n').unwrap().to_owned())
}

fn cli<A: AsRef<OsStr>>(person: &Person, arguments: impl IntoIterator<Item = A>) -> Said {
    end(vault_cli(&person.home).args(arguments))
}

/// Whoever may read reads everything, on a disk without a byte left and across a crash, a clean end and a start.
#[test]
fn a_full_disk_of_the_server_keeps_nobody_from_reading() {
    let mut world = World::new();
    let Some(disk) = SmallDisk::mount(world.folder().join("small"), "24m") else { return };
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    disk.take_data(&mut world);
    let content = bytes(3 * 1024 * 1024, 71);
    let file = world.file("talk.bin", &content);
    let sealed = clinician.seal(&file, &patient, &clinician, &["--json"]).json();
    let recording = sealed.get("recording").unwrap().as_str().unwrap().to_owned();
    let reads = |round: &str| {
        for reader in [&patient, &clinician] {
            assert!(cli(reader, ["list"]).text().contains(&recording[..8]), "{round}");
            assert!(reader.open(&recording).stdout == content, "{round}");
            assert_eq!(cli(reader, ["verify", &recording]).exit, Some(0), "{round}");
        }
        let folder = world.folder().join(format!("export {round}"));
        let exported = cli(&patient, [OsStr::new("export"), folder.as_os_str()]);
        assert_eq!(exported.exit, Some(0), "{round}: {}", exported.stderr);
    };
    disk.fill();
    reads("full");
    assert_eq!(ready(world.server()), ("503".to_owned(), READS_ONLY.to_owned()));
    let other = world.file("other.bin", &bytes(2 * 1024 * 1024, 72));
    clinician.seal(&other, &patient, &clinician, &[]).refused(22, "storage-full");
    reads("after a refusal");
    let mut world = world;
    world.take_server().kill();
    disk.fill();
    world.start();
    let reads = |world: &World, round: &str| {
        for reader in [&patient, &clinician] {
            assert!(cli(reader, ["list"]).text().contains(&recording[..8]), "{round}");
            assert!(reader.open(&recording).stdout == content, "{round}");
        }
        assert_eq!(ready(world.server()), ("503".to_owned(), READS_ONLY.to_owned()), "{round}");
    };
    reads(&world, "after a crash");
    assert!(world.take_server().stop().success());
    disk.fill();
    world.start();
    reads(&world, "after an end");
    disk.make_room();
    clinician.seal(&other, &patient, &clinician, &[]).text();
    assert!(world.take_server().stop().success());
}

/// A command that may make files of so many bytes at most.
fn with_files_up_to(bytes: u64, command: &Command) -> Command {
    let mut limited = Command::new("/bin/sh");
    // In blocks of 512 bytes, as POSIX has it.
    limited.arg("-c").arg(format!("ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512));
    limited.arg(command.get_program()).args(command.get_args());
    limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited
}

fn serve(data: &Path, listen: &str) -> Command {
    let mut command = Command::new(binary("vault-server"));
    command.arg("serve").arg("--data").arg(data).args(["--listen", listen]);
    command
}

/// `ulimit -f` is a full disk to server and client, and kills neither.
#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk() {
    let mut world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let content = bytes(3 * 1024 * 1024, 73);
    let file = world.file("talk.bin", &content);
    let sealed = clinician.seal(&file, &patient, &clinician, &["--json"]).json();
    let recording = sealed.get("recording").unwrap().as_str().unwrap().to_owned();

    // The reader's own files.
    let out = world.folder().join("out.bin");
    let mut open = vault_cli(&patient.home);
    open.args(["open", &recording, "-o"]).arg(&out);
    end(&mut with_files_up_to(1 << 20, &open)).refused(19, "Allow larger files there");
    assert!(!out.exists());
    assert_eq!(end(&mut open).exit, Some(0));

    // Those of the server: its bodies, then its log.
    let listen = world.server().authority().to_owned();
    assert!(world.take_server().stop().success());
    let command = serve(&world.data(), &listen);
    let mut server = ServerProcess::spawn(with_files_up_to(1 << 20, &command), &world.log());
    let other = world.file("other.bin", &bytes(2 * 1024 * 1024, 74));
    clinician.seal(&other, &patient, &clinician, &[]).refused(22, "storage-full");
    let remembered = || {
        let reserve = std::fs::read(world.data().join("read-nonces")).unwrap();
        reserve.get(32..).unwrap().iter().any(|byte| *byte != 0)
    };
    let mut reads = 0;
    while !remembered() {
        assert!(reads < 1000, "the log never came to its limit");
        assert!(patient.open(&recording).stdout == content);
        reads += 1;
    }
    assert!(patient.open(&recording).stdout == content);
    assert!(server.is_alive());
    assert!(server.stop().success());

    // And of its first steps.
    let mut init = Command::new(binary("vault-server"));
    init.arg("init").arg("--data").arg(world.folder().join("fresh"));
    init.args(["--organisation", &world.organisation]);
    let said = end(&mut with_files_up_to(1 << 20, &init));
    assert_eq!((said.exit, said.stderr.lines().count()), (Some(19), 3), "{}", said.stderr);
    assert_eq!(end(&mut init).exit, Some(0));
    world.start();
    clinician.seal(&other, &patient, &clinician, &[]).text();
}
