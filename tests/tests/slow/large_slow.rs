//! One gibibyte: the same bytes come back, and neither side ever holds more than 64 MiB.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use vault_tests::measured::{LIMIT_KIB, measured};
use vault_tests::world::{World, bytes};

const MEBIBYTES: usize = 1024;

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
        |_| Ok(()),
    );
    let sealed: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(sealed.get("sha256").unwrap(), hash.as_str());
    std::fs::remove_file(&path).unwrap();
    let listed = patient.run(&["list", "--json"]).json();
    assert_eq!(listed.get("bytes").unwrap(), MEBIBYTES << 20);
    let recording = listed.get("recording").unwrap().as_str().unwrap();
    let out = world.folder().join("out.bin");
    let (opening, _) = measured(&patient.home, &["open", recording, "-o", out.to_str().unwrap()], |_| Ok(()));
    assert_eq!(sha256_of_file(&out), hash);
    let server = world.server().peak_memory_kib();
    println!("peak memory in KiB: sealing {sealing}, opening {opening}, server {server}");
    for (who, peak) in [("sealing", sealing), ("opening", opening), ("the server", server)] {
        assert!(peak < LIMIT_KIB, "{who} took {peak} KiB");
    }
}
