//! Row 19: two independent walls, each tried with the other one removed.

use std::collections::BTreeMap;

use vault_client::ClientError;
use vault_proto::wire::path;
use vault_tests::attack::{Attack, report};
use vault_tests::hostile::{Fault, FaultKind, Objects};
use vault_tests::scene::{Scene, title};
use vault_tests::sealing_device::Plan;

const PEOPLE: [&str; 6] = ["anna", "bert", "nora", "dora", "emil", "rex"];

/// Who may read what.
const READERS: [(&str, &[&str]); 7] = [
    ("a1", &["anna", "dora"]),
    ("a2", &["anna", "dora"]),
    ("b1", &["bert", "dora"]),
    ("c1", &["bert", "emil"]),
    ("p1", &["anna", "dora"]),
    ("s1", &["anna", "dora"]),
    ("x1", &["xenia", "xaver"]),
];

#[test]
fn row_19_authorisation_says_yes_to_everyone() {
    const NAME: &str = "row_19_authorisation_says_yes_to_everyone";
    let scene = Scene::new();
    let attack = Attack::new(&scene, NAME);
    scene.server().inject(Fault::everywhere(FaultKind::AuthoriseEveryone));
    scene.server().inject(Fault::everywhere(FaultKind::CrossList));
    let titles: BTreeMap<&str, String> = READERS.iter().map(|(name, _)| (*name, title(name))).collect();
    let mut refused = 0;
    for who in PEOPLE {
        let listed = attack.run(who, &["list"], false);
        let shown = format!("{}{}", String::from_utf8_lossy(&listed.said.stdout), listed.said.stderr);
        for (recording, readers) in READERS {
            let reads = readers.contains(&who);
            let told = shown.contains(&titles[recording]);
            assert_eq!(told, reads, "{who} and the title of {recording}: {shown}");
            if reads {
                continue;
            }
            for command in ["open", "verify"] {
                let outcome = attack.run(who, &[command, scene.id(recording)], command == "open");
                assert_eq!(
                    outcome.said.exit,
                    Some(10),
                    "{who}, {command} {recording}: {}",
                    outcome.said.stderr
                );
                assert_eq!(outcome.released(), 0, "{who}, {command} {recording}");
                assert!(!outcome.said.stderr.contains(&titles[recording]));
                refused += 1;
            }
            if (who, recording) == ("nora", "a1") {
                let outcome = attack.run(who, &["open", scene.id(recording)], true);
                attack.report("everything handed out to everyone; a stranger opens", &outcome);
            }
        }
        // All objects of all recordings, in the hands of somebody who is no reader, hold nothing in the clear.
        let device = scene.device(who);
        for (recording, readers) in READERS {
            let fetched = fetch_all(&scene, &device, scene.id(recording));
            assert!(!fetched.is_empty(), "the drill hands everything out");
            if readers.contains(&who) {
                continue;
            }
            let clear = vault_tests::scene::content(recording);
            for (object, bytes) in fetched {
                assert!(!holds(&bytes, titles[recording].as_bytes()), "the title is in {object}");
                assert!(!holds(&bytes, &clear[..64]), "content is in {object}");
            }
        }
    }
    report(
        NAME,
        "authorisation removed: N×N, list, open and verify",
        &format!("{refused} foreign reads refused; no title, no byte"),
        Some(10),
        0,
    );
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// All objects of a recording that the server hands out to somebody, by path.
fn fetch_all(
    scene: &Scene,
    device: &vault_tests::sealing_device::Device,
    id: &str,
) -> Vec<(String, Vec<u8>)> {
    let connection = device.connection(&scene.server().url());
    let recording = id.parse().unwrap();
    let paths = [
        (path::recording(&recording), None),
        (path::details(&recording), None),
        (path::header(&recording, 0), None),
        (path::parts(&recording, 0), None),
        (path::body(&recording, 0), None),
        (path::body(&recording, 0), Some((0, 99))),
    ];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut fetched = Vec::new();
        for (path, range) in paths {
            match connection.get(&path, None, range, 1 << 24).await {
                Ok(answer) => fetched.push((path, answer.to_vec())),
                Err(ClientError::Refused(problem)) => {
                    assert!(matches!(problem.status, 403 | 404), "{path}: {}", problem.code);
                }
                Err(error) => panic!("{path}: {error}"),
            }
        }
        fetched
    })
}

#[test]
fn row_19_sealing_is_a_no_op() {
    const NAME: &str = "row_19_sealing_is_a_no_op";
    let scene = Scene::new();
    let tenant = scene.facts.organisation.parse().unwrap();
    let devices: BTreeMap<&str, _> = PEOPLE.iter().map(|name| (*name, scene.device(name))).collect();
    let mut recordings = Vec::new();
    for (patient, clinician) in [("anna", "dora"), ("bert", "emil"), ("bert", "dora"), ("anna", "emil")] {
        let marker = format!("In the clear: what {patient} told {clinician}. ");
        let clear: Vec<u8> = marker.bytes().cycle().take(5_000).collect();
        let sealer = &devices[clinician];
        let plan = Plan {
            tenant,
            patient: &devices[patient].member,
            clinician: &sealer.member,
            sealer: &sealer.member,
            title: &marker,
            segments: &[(0, &clear)],
        };
        // A device that signs whatever it is given: the body it stores is the plaintext, and so is what follows the
        // header of the details.
        let (recording, objects) = sealer.seal_in_the_clear(&plan, &clear);
        sealer.upload(&scene.server().url(), recording, &objects);
        let stored: Objects = scene.server().stored(&recording.to_string());
        assert!(
            holds(&stored.segments[0].body, marker.as_bytes()),
            "the store holds plaintext in this drill"
        );
        recordings.push((recording.to_string(), [patient, clinician], marker));
    }
    let (mut foreign, mut own) = (0, 0);
    for (name, device) in &devices {
        for (recording, readers, marker) in &recordings {
            let fetched = fetch_all(&scene, device, recording);
            if readers.contains(name) {
                assert!(fetched.iter().any(|(_, bytes)| holds(bytes, marker.as_bytes())), "the drill is one");
                own += 1;
            } else {
                assert!(
                    fetched.is_empty(),
                    "{name} was given {:?}",
                    fetched.iter().map(|(path, _)| path).collect::<Vec<_>>()
                );
                foreign += 1;
            }
        }
        let connection = device.connection(&scene.server().url());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let list = runtime.block_on(connection.get(path::RECORDINGS, None, None, 1 << 20)).unwrap();
        for (recording, readers, _) in &recordings {
            assert_eq!(holds(&list, recording.as_bytes()), readers.contains(name), "{name}, {recording}");
        }
    }
    assert_eq!((foreign, own), (16, 8));
    report(
        NAME,
        "sealing removed: plaintext bodies in the store, N×N reads over HTTP",
        &format!("0 of {foreign} foreign reads answered, {own} of {own} own ones"),
        None,
        0,
    );
}
