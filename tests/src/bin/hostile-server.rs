//! A storage server that lies, to be run by hand: see with your own client what it refuses.

#![expect(clippy::print_stdout, reason = "a program for people")]
#![expect(clippy::expect_used, reason = "a tool of the tests stops at the first thing that is wrong")]

use std::path::PathBuf;
use std::process::ExitCode;

use vault_tests::hostile::{Fault, FaultKind, HostileServer};

const USAGE: &str = "usage: hostile-server --data DIR [--listen ADDR] [--accomplice HOME] --fault NAME[=TARGET[,WITH]]…

Serves a data folder that `vault-server init` made and `vault-server serve` filled, and lies as it is told.
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
    let Some(data) = data else { return usage() };
    let server = HostileServer::start_on(&data, &listen);
    if let Some(home) = accomplice {
        server.collude_with(&home, &std::env::var("VAULT_PASSPHRASE").unwrap_or_default());
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
    println!("Ctrl-C stops it.");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(tokio::signal::ctrl_c()).expect("signals can be waited for");
    server.stop();
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    println!("{USAGE}");
    for kind in FaultKind::ALL {
        println!("  {:<28} {}", kind.name(), kind.what());
    }
    ExitCode::from(2)
}
