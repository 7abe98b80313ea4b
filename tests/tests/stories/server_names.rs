//! Under which names a server is reached: what it refuses to start with, and what it says of requests for another.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::process::{Command, Stdio};

use vault_tests::command::{Said, binary};
use vault_tests::server_process::ServerProcess;
use vault_tests::world::{World, bytes};

fn serve(world: &World, more: &[&str]) -> Command {
    let mut command = Command::new(binary("vault-server"));
    command.arg("serve").arg("--data").arg(world.data()).args(more);
    command
}

fn refused(world: &World, more: &[&str]) -> Said {
    Said::new(serve(world, more).stdin(Stdio::null()).output().unwrap())
}

#[test]
fn a_server_on_every_address_needs_a_name() {
    let world = World::offline();
    let before = std::fs::read(world.data().join("vault.db")).unwrap();
    for every in ["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0"] {
        let said = refused(&world, &["--listen", every]);
        said.refused(2, &format!("every address of this machine ({every})"));
        // Only the message: it does not get as far as a log.
        assert_eq!(said.stderr.lines().count(), 3, "{}", said.stderr);
        // What it says to type works, but for the name, which is an example.
        let typed = said.stderr.lines().last().unwrap().split_once(": vault-server serve ").unwrap().1;
        let typed: Vec<&str> = typed.split(' ').collect();
        assert_eq!(typed[2..], ["--listen", every, "--authority", "vault.example"]);
        let mut command = Command::new(binary("vault-server"));
        command.arg("serve").args(&typed);
        assert!(ServerProcess::spawn(command, &world.log()).stop().success());
    }
    assert_eq!(std::fs::read(world.data().join("vault.db")).unwrap().len(), before.len());
}

#[test]
fn what_is_no_name_and_what_is_no_address_is_told_how_to_be_typed() {
    let world = World::offline();
    for (name, instead) in [
        ("https://vault.example", "vault.example"),
        ("https://user@Vault.Example:8440/v1", "vault.example:8440"),
        ("vault.example/", "vault.example"),
        ("vault example", "vault.example"),
        ("ärztin.example", "vault.example"),
        ("", "vault.example"),
        ("0.0.0.0", "vault.example"),
    ] {
        let said = refused(&world, &["--authority", "good.example", "--authority", name]);
        assert_eq!(said.exit, Some(2), "{name}: {}", said.stderr);
        assert!(said.stderr.contains(&format!("such as {instead}\n")), "{name}: {}", said.stderr);
    }
    for (address, instead) in
        [("localhost", "127.0.0.1:8440"), ("192.168.0.7", "192.168.0.7:8440"), ("::1", "[::1]:8440")]
    {
        let said = refused(&world, &["--listen", address]);
        assert_eq!(said.exit, Some(2), "{address}: {}", said.stderr);
        assert!(said.stderr.contains(&format!("such as {instead}\n")), "{address}: {}", said.stderr);
    }
}

/// The log has both names, and a flood of such requests does not fill it.
#[test]
fn a_request_for_another_name_is_logged_with_both_and_answered_with_the_right_ones() {
    let world = World::known_as("vault.example".to_owned());
    let patient = world.unenrolled("patient", "patient", &[]);
    let url = world.server().url();
    for _ in 0..5 {
        let said = world.enrol(&patient, url);
        said.refused(22, "signature-invalid");
        assert!(said.stderr.contains("This server is reached as vault.example."), "{}", said.stderr);
        assert!(said.stderr.contains("--authority"), "{}", said.stderr);
    }
    let log = world.server().log();
    let told: Vec<&str> =
        log.lines().filter(|line| line.contains("another name than this server has")).collect();
    assert_eq!(told.len(), 1, "{log}");
    let names = format!("signed_for=\"{}\" own=\"vault.example\"", world.server().authority());
    assert!(told[0].contains(" WARN ") && told[0].contains(&names), "{log}");
}

/// Several names, of which one is the address of its machine; each in its own spelling.
#[test]
fn a_server_has_as_many_names_as_it_is_given() {
    let world = World::offline();
    let port = {
        let server = ServerProcess::spawn(serve(&world, &["--listen", "127.0.0.1:0"]), &world.log());
        server.authority().rsplit(':').next().unwrap().to_owned()
    };
    let mut command = serve(&world, &["--listen", &format!("127.0.0.1:{port}"), "--min-free", "0"]);
    for name in [format!("LOCALHOST:{port}"), format!("127.0.0.1:{port}")] {
        command.args(["--authority", &name]);
    }
    let _server = ServerProcess::spawn(command, &world.log());
    let patient = world.person_with("patient", "patient", &[], &format!("http://localhost:{port}"));
    let clinician = world.person_with("clinician", "clinician", &[], &format!("http://127.0.0.1:{port}"));
    let content = bytes(5000, 1);
    let recording = clinician.seal(&world.file("talk", &content), &patient, &clinician, &[]).text();
    assert_eq!(patient.open(&recording).stdout, content);
}
