//! What is told of a home and of the way to its server before it hurts, and what a home can do that cannot be written
//! to.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use vault_proto::envelope::Envelope;
use vault_proto::statements::Manifest;
use vault_proto::wire::{Last, path};
use vault_tests::command::{end, run, vault_cli};
use vault_tests::faults::watched_disk::{EROFS, Effect, Rule, WatchedDisk};
use vault_tests::hostile::Canned;
use vault_tests::scene::Scene;
use vault_tests::tls_certificates;
use vault_tests::world::{Person, World, bytes};

#[test]
fn a_home_that_others_can_look_into_is_told() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    assert!(!patient.run(&["list"]).stderr.contains("look into"));
    std::fs::set_permissions(&patient.home, std::fs::Permissions::from_mode(0o755)).unwrap();
    let said = patient.run(&["list", "--quiet"]);
    assert!(
        said.stderr.contains("other users of this machine can look into your home folder"),
        "{}",
        said.stderr
    );
    // The advice is the remedy.
    let advice = said.stderr.split('`').nth(1).unwrap().to_owned();
    assert!(Command::new("sh").args(["-c", &advice]).status().unwrap().success(), "{advice}");
    let said = patient.run(&["list", "--quiet"]);
    assert_eq!((said.exit, said.stderr.as_str()), (Some(0), ""));
}

#[test]
fn the_end_of_a_certificate_is_told_before_it_comes() {
    let world = World::new();
    let person = world.unenrolled("person", "patient", &[]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let at = |days: i64| {
        let seconds = i64::try_from(now).unwrap() + days * 24 * 3600 + 3600;
        vault_proto::timestamp::Timestamp::from_unix_seconds(seconds).unwrap().to_string()
    };
    for (days, told) in [(40, false), (10, true)] {
        world.certify(&person.account, "patient", &["--not-after", &at(days)], &person.certificate).text();
        world.enrol(&person, world.server().url()).text();
        let said = person.run(&["list"]);
        said.text();
        let day = at(days).split('T').next().unwrap().to_owned();
        let words = format!("the certificate of this account ends on {day}, in {days} days");
        assert_eq!(said.stderr.contains(&words), told, "{}", said.stderr);
    }
}

#[test]
fn a_home_that_cannot_be_written_to_lists_opens_and_verifies() {
    let world = World::new();
    let (patient, clinician) = (world.person("patient", "patient"), world.person("clinician", "clinician"));
    let content = bytes(70_000, 3);
    let recording = clinician.seal(&world.file("talk.bin", &content), &patient, &clinician, &[]).text();
    let before = contents(&patient.home);
    let mut disk = WatchedDisk::new(&patient.home, &world.folder().join("trace"));
    disk.rules = ["open", "mkdir", "rename", "unlink"]
        .map(|call| Rule { call, effect: Effect::Fail(EROFS), from: 1, to: u64::MAX >> 1 })
        .to_vec();
    let read_only = |arguments: &[&str]| {
        let mut command = vault_cli(&patient.home);
        disk.watch(command.args(arguments));
        end(&mut command)
    };
    let listed = read_only(&["list"]);
    assert!(listed.text().contains(&recording));
    assert!(listed.stderr.contains("cannot be written to, so nothing"), "{}", listed.stderr);
    assert_eq!(read_only(&["open", &recording]).stdout, content);
    assert!(read_only(&["verify", &recording]).text().contains("all right"));
    assert!(read_only(&["whoami"]).text().contains(&patient.account));
    read_only(&["name", &clinician.account, "dora"]).refused(19, "cannot be used: Read-only file system");
    assert!(disk.take_struck() > 0, "nothing was refused, so nothing was tried");
    assert_eq!(contents(&patient.home), before);
}

fn contents(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() {
            true => found.extend(contents(&entry)),
            false => found.push((entry.clone(), std::fs::read(&entry).unwrap())),
        }
    }
    found.sort();
    found
}

fn copy_of(home: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([home, to]).status().unwrap().success());
}

/// Each home knows the chain of its device as it was when it was copied, and seals all the same: the server tells it
/// where the chain has got to.
#[test]
fn a_home_that_was_copied_or_restored_goes_on_sealing() {
    let world = World::new();
    let (patient, clinician) = (world.person("patient", "patient"), world.person("clinician", "clinician"));
    let mut sealed = Vec::new();
    let mut seal = |home: &Person| {
        let content = bytes(70_000, sealed.len() as u64);
        let file = world.file(&format!("talk {}.bin", sealed.len()), &content);
        let recording = home.seal(&file, &patient, &clinician, &[]).text();
        sealed.push((recording, content));
    };
    let restored = |name: &str| Person {
        home: world.folder().join(name),
        account: clinician.account.clone(),
        certificate: clinician.certificate.clone(),
    };
    // Of a home that has sealed nothing yet, and of one that has.
    let (new, used) = (restored("new"), restored("used"));
    copy_of(&clinician.home, &new.home);
    seal(&clinician);
    copy_of(&clinician.home, &used.home);
    // By as many as the home knows fewer, from one on; and the first one is behind by then.
    for home in [&new, &used, &clinician, &clinician, &used, &new] {
        seal(home);
    }
    let sequences: Vec<u64> = sealed
        .iter()
        .map(|(recording, _)| {
            let manifest = std::fs::read(world.stored(recording).join("manifest")).unwrap();
            let manifest: Envelope<Manifest> = Envelope::parse(&manifest).unwrap();
            manifest.unverified().sequence
        })
        .collect();
    assert!(sequences.is_sorted_by(|one, next| one < next), "{sequences:?}");
    for (recording, content) in &sealed {
        for reader in [&patient, &clinician, &new] {
            assert!(reader.open(recording).stdout == *content, "the bytes differ");
            assert!(reader.run(&["verify", recording]).text().contains("all right"));
        }
    }
    assert_eq!(patient.run(&["list", "--json"]).json_lines().len(), sealed.len());
}

/// Where its chain has got to, a home believes its own device's signature only, and no server.
#[test]
fn what_another_device_signed_is_not_taken_for_the_newest_of_this_one() {
    let scene = Scene::new();
    let before = scene.folder().join("before");
    copy_of(&scene.home("emil"), &before);
    let file = scene.folder().join("talk.bin");
    std::fs::write(&file, bytes(70_000, 5)).unwrap();
    let seal = |home: &Path| {
        let mut command = vault_cli(home);
        command.arg("--server").arg(scene.server().url()).arg("seal").arg(&file);
        end(command.args(["--patient", scene.account("bert"), "--clinician", scene.account("emil")]))
    };
    let restored = |name: &str| {
        let home = scene.folder().join(format!("restored {name}"));
        copy_of(&before, &home);
        home
    };
    seal(&scene.home("emil")).text();
    let place = path::last(&scene.account("emil").parse().unwrap());
    let recordings = scene.server().recordings().len();
    let lie = |name: &str, manifest: String| {
        let body = serde_json::to_vec(&Last { manifest: Some(manifest) }).unwrap();
        scene.server().answer(&place, Canned::Says(200, body));
        seal(&restored(name))
    };
    let signed = |recording: &str| scene.objects(recording).manifest;
    for (name, manifest) in [
        ("another account's", signed("a1")),
        ("a recorder's", signed("b1")),
        ("no statement", "{}".to_owned()),
        ("nothing", String::new()),
    ] {
        lie(name, manifest).refused(18, "the manifest it calls this device's newest is not its");
    }
    // The own one that this home knows: the server contradicts itself, and there is nothing to learn.
    lie("what was known", signed("c1")).refused(22, "already stored");
    assert_eq!(scene.server().recordings().len(), recordings, "something was stored");
    scene.server().clear();
    let recording = seal(&restored("truth")).text();
    let opened = end(scene.command("bert").args(["open", &recording]));
    assert!(opened.stdout == bytes(70_000, 5), "the bytes differ");
}

#[test]
fn the_end_of_a_certificate_is_told_before() {
    let world = World::new();
    let person = world.unenrolled("person", "patient", &[]);
    let now = vault_client::clock::now().unwrap();
    for (days, told) in [(40, false), (20, true)] {
        let end_of_it = now.saturating_add(days * 24 * 3600 + 600).to_string();
        world.certify(&person.account, "patient", &["--not-after", &end_of_it], &person.certificate).text();
        world.enrol(&person, world.server().url()).text();
        let said = person.run(&["list"]);
        assert_eq!(said.exit, Some(0), "{}", said.stderr);
        assert_eq!(
            said.stderr.contains(&format!("in {days} days. Ask the registrar")),
            told,
            "{}",
            said.stderr
        );
    }
    assert!(!person.run(&["list", "--quiet"]).stderr.contains("registrar"));
}

#[test]
fn plain_http_beyond_this_machine_is_told() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let said = |server: &str| patient.run(&["list", "--server", server, "--retry-for", "0"]).stderr;
    // A name that no server can have, so that nothing is asked of anybody.
    assert!(said("http://vault.invalid").contains("http://vault.invalid is plain http"));
    assert!(!said("https://vault.invalid").contains("plain http"));
    assert!(!said(world.server().url()).contains("plain http"));
}

#[test]
fn a_file_is_sealed_whatever_the_bytes_of_its_name() {
    let world = World::new();
    let (patient, clinician) = (world.person("patient", "patient"), world.person("clinician", "clinician"));
    let content = bytes(2_000_000, 4);
    let path = world.folder().join(std::ffi::OsStr::from_bytes(b"t\xe9l\xff.bin"));
    std::fs::write(&path, &content).unwrap();
    let recording = clinician.seal(&path, &patient, &clinician, &[]).text();
    assert_eq!(patient.open(&recording).stdout, content);
    let out = world.folder().join(std::ffi::OsStr::from_bytes(b"o\xff"));
    let mut command = vault_cli(&patient.home);
    let opened = end(command.args(["open", &recording, "--json", "-o"]).arg(&out)).json();
    assert_eq!(opened.get("bytes").and_then(serde_json::Value::as_u64), Some(2_000_000), "{opened}");
    assert_eq!(std::fs::read(&out).unwrap(), content);
    // Its name is in a JSON document too.
    let certificate = world.folder().join(std::ffi::OsStr::from_bytes(b"c\xff"));
    let mut command = vault_cli(&world.folder().join("registrar"));
    command
        .args(["--json", "registrar", "certify", &patient.account, "--role", "patient", "-o"])
        .arg(&certificate);
    assert!(end(&mut command).json().get("file").is_some() && certificate.exists());
}

#[test]
fn a_server_with_an_authority_of_its_own() {
    if !tls_certificates::can_be_made() {
        return;
    }
    let world = World::new();
    let patient = world.person("patient", "patient");
    let path = |name: &str| world.folder().join(name).display().to_string();
    for authority in ["ca", "other-ca"] {
        tls_certificates::make_authority(world.folder(), authority);
    }
    tls_certificates::make_server_certificate(world.folder(), "ca");
    let front = TlsFront::start(world.folder(), world.server().authority());
    // Behind the front the server is known by the address that requests are signed for.
    let list = |more: &[&str]| {
        let mut command = vault_cli(&patient.home);
        end(command.args(["list", "--retry-for", "0", "--server", &front.url]).args(more))
    };
    list(&[]).refused(18, "cannot be reached");
    list(&["--cacert", &path("other-ca.pem")]).refused(18, "cannot be reached");
    list(&["--cacert", &path("ca.key")]).refused(2, "holds no certificate");
    list(&["--cacert", &path("nowhere.pem")]).refused(19, "nowhere.pem");
    // It answers, and does not know itself by the name that the request is signed for: the connection was made.
    let said = list(&["--cacert", &path("ca.pem")]);
    assert!(said.exit == Some(22) && said.stderr.contains("The server refused"), "{}", said.stderr);
}

/// A server of TLS in front of another, as a proxy is.
struct TlsFront {
    url: String,
    child: std::process::Child,
}

impl TlsFront {
    fn start(folder: &Path, behind: &str) -> Self {
        use std::io::BufRead as _;
        let script = "\
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('server.pem', 'server.key')
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
host, port = sys.argv[1].split(':')
def carry(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
while True:
    raw, _ = listener.accept()
    try:
        secure = context.wrap_socket(raw, server_side=True)
    except (ssl.SSLError, OSError):
        continue
    plain = socket.create_connection((host, int(port)))
    for ends in ((secure, plain), (plain, secure)):
        threading.Thread(target=carry, args=ends, daemon=True).start()
";
        let python = std::env::var_os("PYTHON_BIN").unwrap_or_else(|| "python3".into());
        let mut child = Command::new(python)
            .args(["-c", script, behind])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { url: format!("https://127.0.0.1:{}", port.trim()), child }
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_relative_path_keeps_its_spelling_in_messages() {
    let folder = tempfile::tempdir().unwrap();
    let mut made = vault_cli(Path::new("house"));
    end(made.current_dir(folder.path()).args(["keygen", "--words-file", "words"])).text();
    let mut again = vault_cli(Path::new("house"));
    end(again.current_dir(folder.path()).arg("keygen"))
        .refused(2, "The folder house already holds an identity");
    run(
        &folder.path().join("house"),
        [
            "enrol",
            "--organisation",
            &"0".repeat(64),
            "--server",
            "http://127.0.0.1:1",
            "--certificate",
            "nowhere",
        ],
    )
    .refused(19, "nowhere cannot be used");
}
