//! One gibibyte: the same bytes come back, and neither side ever holds more than 64 MiB.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use sha2::{Digest as _, Sha256};
use vault_tests::command::{binary, vault_cli};
use vault_tests::world::{World, bytes};

const MEBIBYTES: usize = 1024;
/// Most resident memory of either side, in KiB.
const LIMIT_KIB: u64 = 64 * 1024;

fn sha256_of_file(path: &Path) -> String {
    let mut file = File::open(path).unwrap();
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return vault_proto::ids::Digest::from_bytes(hash.finalize().into()).to_string(),
            read => hash.update(buffer.get(..read).unwrap()),
        }
    }
}

/// Runs `vault-cli` under Python's accounting of its child and gives its peak memory in KiB with its output.
fn measured(home: &Path, arguments: &[&str]) -> (u64, String) {
    let prepared = vault_cli(home);
    let mut command = Command::new(std::env::var_os("PYTHON_BIN").unwrap_or_else(|| "python3".into()));
    command.arg("-c").arg(
        "import resource, subprocess, sys\n\
         done = subprocess.run(sys.argv[1:])\n\
         print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n\
         sys.exit(done.returncode)",
    );
    command.arg(binary("vault-cli")).args(arguments);
    for (name, value) in prepared.get_envs() {
        command.env(name, value.unwrap());
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (before, peak) = text.trim().rsplit_once('\n').unwrap_or(("", text.trim()));
    (peak.parse().unwrap(), before.to_owned())
}

#[test]
fn a_gibibyte_comes_back_and_memory_stays_flat() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let path = world.folder().join("large.bin");
    let mut file = File::create(&path).unwrap();
    for mebibyte in 0..MEBIBYTES {
        file.write_all(&bytes(1 << 20, mebibyte as u64)).unwrap();
    }
    drop(file);
    let hash = sha256_of_file(&path);
    let (sealing, said) = measured(
        &clinician.home,
        &[
            "seal",
            path.to_str().unwrap(),
            "--patient",
            &patient.account,
            "--clinician",
            &clinician.account,
            "--json",
        ],
    );
    let sealed: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(sealed.get("sha256").unwrap(), hash.as_str());
    std::fs::remove_file(&path).unwrap();
    let listed = patient.run(&["list", "--json"]).json();
    assert_eq!(listed.get("bytes").unwrap(), MEBIBYTES << 20);
    let recording = listed.get("recording").unwrap().as_str().unwrap();
    let out = world.folder().join("out.bin");
    let (opening, _) = measured(&patient.home, &["open", recording, "-o", out.to_str().unwrap()]);
    assert_eq!(sha256_of_file(&out), hash);
    let server = world.server().peak_memory_kib();
    println!("peak memory in KiB: sealing {sealing}, opening {opening}, server {server}");
    for (who, peak) in [("sealing", sealing), ("opening", opening), ("the server", server)] {
        assert!(peak < LIMIT_KIB, "{who} took {peak} KiB");
    }
}
