//! Five hundred recordings taken home, five of which cannot be: the others come, the five are named, and the next run
//! fetches exactly these.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use vault_tests::command::{end, vault_cli};
use vault_tests::sealing_device::{Device, Plan};
use vault_tests::world::{World, bytes};

const RECORDINGS: usize = 500;
const DAMAGED: [usize; 5] = [0, 99, 250, 251, 499];

/// What was sealed, and where its export is.
struct Sealed {
    recording: String,
    content: Vec<u8>,
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn places(folder: &Path) -> BTreeMap<String, std::path::PathBuf> {
    let mut places = BTreeMap::new();
    for place in fs::read_dir(folder.join("recordings")).unwrap() {
        let place = place.unwrap().path();
        let document: Value =
            serde_json::from_slice(&fs::read(place.join("recording.json")).unwrap()).unwrap();
        let file = document["files"][0]["path"].as_str().unwrap();
        places.insert(document["recording"].as_str().unwrap().to_owned(), place.join(file));
    }
    places
}

#[test]
fn five_hundred_recordings_come_home_of_which_five_fail_at_first() {
    let mut world = World::new();
    let (patient, clinician) = (world.person("patient", "patient"), world.person("clinician", "clinician"));
    let [anna, dora] = [&patient, &clinician].map(|person| Device::unlock(&person.home));
    let mut sealed = Vec::with_capacity(RECORDINGS);
    for number in 0..RECORDINGS {
        let content = bytes(200 + number, 5_000 + number as u64);
        let (recording, objects) = dora.seal(&Plan {
            tenant: world.organisation.parse().unwrap(),
            patient: &anna.member,
            clinician: &dora.member,
            sealer: &dora.member,
            title: &format!("Consultation {number}"),
            segments: &[(0, &content)],
        });
        dora.upload(world.server().url(), recording, &objects);
        sealed.push(Sealed { recording: recording.to_string(), content });
    }
    let damage = |world: &World| {
        for number in DAMAGED {
            flip(&world.stored(&sealed[number].recording).join("seg/0/body"));
        }
    };
    world.tamper(damage);
    let folder = world.folder().join("export");
    let export = || patient.run(&["export", folder.to_str().unwrap(), "--json"]);
    let report = |stdout: &[u8]| serde_json::from_slice::<Value>(stdout).unwrap();

    let said = export();
    assert_eq!(said.exit, Some(20), "{}", said.stderr);
    let first = report(&said.stdout);
    let named: BTreeSet<&str> =
        first["failed"].as_array().unwrap().iter().map(|one| one["recording"].as_str().unwrap()).collect();
    let damaged: BTreeSet<&str> = DAMAGED.iter().map(|number| sealed[*number].recording.as_str()).collect();
    assert_eq!(named, damaged);
    assert!(damaged.iter().all(|recording| said.stderr.contains(recording)), "{}", said.stderr);
    assert_eq!(first["fetched"], RECORDINGS - DAMAGED.len());
    assert_eq!(first["recordings"], RECORDINGS - DAMAGED.len());

    // Flipped again, each byte is what it was.
    world.tamper(damage);
    let said = export();
    assert_eq!(said.exit, Some(0), "{}", said.stderr);
    assert_eq!(report(&said.stdout)["fetched"], DAMAGED.len());
    assert_eq!(report(&said.stdout)["recordings"], RECORDINGS);
    let places = places(&folder);
    assert_eq!(places.len(), RECORDINGS);
    for Sealed { recording, content } in &sealed {
        assert!(fs::read(&places[recording]).unwrap() == *content, "{recording}: the bytes differ");
    }

    assert!(world.take_server().stop().success());
    let verify = |more: &[&str]| {
        let mut command = vault_cli(&patient.home);
        end(command.env_remove("VAULT_PASSPHRASE").arg("verify").arg(&folder).args(more))
    };
    let said = verify(&[]).text();
    assert!(said.contains("500 of 500"), "{said}");
    let (deleted, changed) = (&sealed[17].recording, &sealed[321].recording);
    fs::remove_file(&places[deleted]).unwrap();
    flip(&places[changed]);
    let said = verify(&["--json"]);
    assert_eq!(said.exit, Some(11), "{}", said.stderr);
    assert!(said.stderr.contains("1 changed, 1 without some files"), "{}", said.stderr);
    let text = String::from_utf8(said.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wrong: BTreeSet<&str> = lines
        .iter()
        .filter(|line| line["finding"].is_string() && line["finding"] != "right")
        .map(|line| line["recording"].as_str().unwrap())
        .collect();
    assert_eq!(wrong, BTreeSet::from([deleted.as_str(), changed.as_str()]));
    let human = String::from_utf8(verify(&[]).stdout).unwrap();
    let of = |recording: &str| human.lines().find(|line| line.contains(recording)).unwrap().to_owned();
    assert!(of(deleted).contains("missing: recordings/"), "{}", of(deleted));
    assert!(of(changed).contains("changed: recordings/"), "{}", of(changed));
}
