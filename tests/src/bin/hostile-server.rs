//! A storage server that lies, to be run by hand: see with your own client what it refuses.

#![expect(clippy::print_stdout, reason = "a program for people")]
#![expect(clippy::expect_used, reason = "a tool of the tests stops at the first thing that is wrong")]

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use vault_tests::command::{PASSPHRASE, binary, is_built};
use vault_tests::hostile::{Fault, FaultKind, HostileServer};
use vault_tests::scene::Scene;

const USAGE: &str = "usage: hostile-server [--data DIR] [--listen ADDR] [--accomplice HOME] --fault NAME[=TARGET[,WITH]]…

Serves a data folder that `vault-server init` made and `vault-server serve` filled, and lies as it is told. Without --data it
founds a clinic of its own, with people and recordings, and says what to type to see the lie refused.
TARGET and WITH are ids of recordings, or of accounts for faults about keys; without them every one is meant, and the
server chooses what stands in. An accomplice is a reader's home; VAULT_PASSPHRASE opens it.

Faults:";

fn main() -> ExitCode {
    let mut data = None;
    let mut listen = "127.0.0.1:8440".to_owned();
    let mut accomplice = None;
    let mut faults: Vec<Fault> = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_default();
        match argument.as_str() {
            "--data" => data = Some(PathBuf::from(value())),
            "--listen" => listen = value(),
            "--accomplice" => accomplice = Some(PathBuf::from(value())),
            "--fault" => match value().parse() {
                Ok(fault) => faults.push(fault),
                Err(error) => {
                    println!("hostile-server: {error}");
                    return ExitCode::from(2);
                }
            },
            _ => return usage(),
        }
    }
    if faults.is_empty() {
        return usage();
    }
    let clinic = if data.is_none() { Some(found_clinic()) } else { None };
    let data = data.or_else(|| clinic.as_ref().map(Scene::data)).unwrap_or_default();
    let server = HostileServer::start_on(&data, &listen);
    match (&clinic, accomplice) {
        (_, Some(home)) => server.collude_with(&home, &std::env::var("VAULT_PASSPHRASE").unwrap_or_default()),
        (Some(clinic), None) => server.collude_with(&clinic.home("dora"), PASSPHRASE),
        (None, None) => {}
    }
    println!("hostile-server listening on {}", server.url());
    println!("It serves {} truthfully, except:", data.display());
    for fault in faults {
        println!("  {fault}");
        if fault.kind == FaultKind::PlantRecording {
            println!("    the planted recording is {}", server.planted());
        }
        server.inject(fault);
    }
    if let Some(clinic) = &clinic {
        invite(clinic, &server.url());
    }
    println!("Ctrl-C stops it.");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(tokio::signal::ctrl_c()).expect("signals can be waited for");
    server.stop();
    ExitCode::SUCCESS
}

/// A clinic of this program's own; the programs that it takes are built if they are not there.
fn found_clinic() -> Scene {
    if !is_built("vault-cli") || !is_built("vault-server") {
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "-p", "vault-cli", "-p", "vault-server", "--bins"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "the programs are built");
    }
    println!("Founding a clinic: anna and bert are patients, dora and emil their clinicians.");
    Scene::closed()
}

/// Says what to type.
fn invite(clinic: &Scene, url: &str) {
    let cli = binary("vault-cli");
    println!(
        "\nIn another terminal, as the patient Anna, whose recording a1 was sealed by her clinician Dora:\n"
    );
    println!(
        "  export VAULT_PASSPHRASE='{PASSPHRASE}' VAULT_SERVER={url} VAULT_HOME={}",
        clinic.home("anna").display()
    );
    println!("  {} list", cli.display());
    println!("  {} open {} -o a1.webm", cli.display(), clinic.id("a1"));
    println!("  {} verify {}", cli.display(), clinic.id("a1"));
    println!(
        "  {} seal README.md --patient {} --clinician {}",
        cli.display(),
        clinic.account("anna"),
        clinic.account("dora")
    );
    println!("  echo \"exit code $?\"\n");
    println!(
        "Some faults show on others of hers: a2 (the same two people) is {}, p1 (three parts) {},",
        clinic.id("a2"),
        clinic.id("p1")
    );
    println!(
        "s1 (three segments) {}. Bert's b1, which Dora opens too, is {}.\n",
        clinic.id("s1"),
        clinic.id("b1")
    );
}

fn usage() -> ExitCode {
    println!("{USAGE}");
    for kind in FaultKind::ALL {
        println!("  {:<28} {}", kind.name(), kind.what());
    }
    ExitCode::from(2)
}
