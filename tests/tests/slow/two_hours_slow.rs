//! A consultation of two hours at 2 Mbit/s, fed as fast as it is taken: what a pipe gives is sealed with flat memory.

use std::io::Write as _;

use sha2::{Digest as _, Sha256};
use vault_tests::measured::{LIMIT_KIB, measured};
use vault_tests::world::{World, bytes};

const SECONDS: usize = 2 * 3600;
/// Bytes of a second at 2 Mbit/s.
const SECOND: usize = 2_000_000 / 8;

#[test]
fn two_hours_from_a_pipe_take_no_more_memory_than_a_minute() {
    let world = World::new();
    let patient = world.person("patient", "patient");
    let clinician = world.person("clinician", "clinician");
    let mut hash = Sha256::new();
    let arguments = ["seal", "-", "--patient", &patient.account, "--clinician", &clinician.account, "--json"];
    let (sealing, said) = measured(&clinician.home, &arguments, |pipe| {
        // A minute is made once and told apart by its number.
        let mut minute = bytes(60 * SECOND, 120);
        for number in 0..SECONDS / 60 {
            minute.splice(..8, number.to_be_bytes());
            hash.update(&minute);
            pipe.write_all(&minute)?;
        }
        Ok(())
    });
    let sealed: serde_json::Value = serde_json::from_str(&said).unwrap();
    let hash = vault_proto::ids::Digest::from_bytes(hash.finalize().into()).to_string();
    assert_eq!(sealed.get("bytes").unwrap(), SECONDS * SECOND);
    assert_eq!(sealed.get("sha256").unwrap(), hash.as_str());
    let recording = sealed.get("recording").unwrap().as_str().unwrap();
    let (verifying, said) = measured(&patient.home, &["verify", recording, "--json"], |_| Ok(()));
    let verified: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(verified.get("status").unwrap(), "complete");
    assert_eq!(verified.get("sha256").unwrap(), hash.as_str());
    let server = world.server().peak_memory_kib();
    println!("peak memory in KiB: sealing {sealing}, verifying {verifying}, server {server}");
    for (who, peak) in [("sealing", sealing), ("verifying", verifying), ("the server", server)] {
        assert!(peak < LIMIT_KIB, "{who} took {peak} KiB");
    }
}
