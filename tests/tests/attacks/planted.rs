//! Rows 7, 8 and 9: recordings and bodies made by somebody who was not entitled to, and one body under two keys.

use std::path::Path;
use std::process::Command;

use vault_core::details::Details;
use vault_core::identity::Identity;
use vault_core::sealing::RecordingSealer;
use vault_proto::envelope::{self, Envelope};
use vault_proto::geometry::{BodyEnd, PartChunks};
use vault_proto::ids::Digest;
use vault_proto::labels;
use vault_proto::statements::{RecordingStatus, SegmentSeal};
use vault_tests::attack::Attack;
use vault_tests::command::PASSPHRASE;
use vault_tests::hostile::{
    Fault, FaultKind, ForgedKey, Objects, SegmentObjects, body_for_two_keys, forge_header,
};
use vault_tests::scene::Scene;
use vault_tests::sealing_device::{Device, Plan, only_track};

/// Opens header and body with Debian's age; `None` where it is not installed.
fn open_with_stock_age(folder: &Path, identity: &Identity, objects: &SegmentObjects) -> Option<Vec<u8>> {
    let age = std::env::var_os("AGE_BIN")?;
    let (key, file) = (folder.join("key.txt"), folder.join("file.age"));
    std::fs::write(&key, format!("{}\n", *identity.export())).unwrap();
    std::fs::write(&file, [&objects.header[..], &objects.body].concat()).unwrap();
    let opened = Command::new(age).arg("-d").arg("-i").arg(&key).arg(&file).output().unwrap();
    std::fs::remove_file(key).unwrap();
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    Some(opened.stdout)
}

/// What the server hands out as a segment now, fetched as its reader would.
fn handed_out(scene: &Scene, device: &Device, recording: &str) -> SegmentObjects {
    let connection = device.connection(&scene.server().url());
    let recording = recording.parse().unwrap();
    let fetch = |path: String| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(connection.get(&path, None, None, 1 << 24)).unwrap().to_vec()
    };
    SegmentObjects {
        header: fetch(vault_proto::wire::path::header(&recording, 0)),
        body: fetch(vault_proto::wire::path::body(&recording, 0)),
        ..SegmentObjects::default()
    }
}

#[test]
fn row_07_planted_age_file() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_07_planted_age_file");
    scene.server().inject(Fault::everywhere(FaultKind::PlantAgeFile));
    attack.open_refused(
        "plant-age-file, suite pq",
        "anna",
        scene.id("o1"),
        14,
        "never sealed as part of a recording",
    );
    attack.open_refused(
        "plant-age-file, suite x25519",
        "xenia",
        scene.id("x1"),
        14,
        "never sealed as part of a recording",
    );
    // The file is good: stock age opens it with the patient's key.
    let xenia = scene.device("xenia");
    let segment = handed_out(&scene, &xenia, scene.id("x1"));
    if let Some(opened) = open_with_stock_age(scene.folder(), &xenia.account.identity, &segment) {
        assert!(opened.starts_with(b"planted: a file like any other."));
    }
}

#[test]
fn row_07_planted_recording() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_07_planted_recording");
    let planted = scene.server().planted().to_string();
    scene.server().inject(Fault::everywhere(FaultKind::PlantRecording));
    // Its manifest, keys and seals are all in order but for who certified the sealer.
    attack.open_refused("plant-recording, opened", "anna", &planted, 14, "another organisation");
    let said = attack.list_refused("plant-recording, listed", "anna", 14, &[&planted, "Planted"]);
    assert!(String::from_utf8(said.stdout).unwrap().contains(scene.id("a1")), "her own are shown");
}

#[test]
fn row_07_sealed_by_somebody_not_entitled() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_07_sealed_by_somebody_not_entitled");
    let [anna, bert, nora, dora, rex] =
        ["anna", "bert", "nora", "dora", "rex"].map(|name| scene.device(name));
    let tenant = scene.facts.organisation.parse().unwrap();
    // Both sealers are certified by the organisation; the first for herself only, the second names a patient as
    // clinician.
    let seal = |sealer: &Device, patient: &Device, clinician: &Device| {
        sealer.seal(&Plan {
            tenant,
            patient: &patient.member,
            clinician: &clinician.member,
            sealer: &sealer.member,
            title: "not entitled",
            segments: &[(0, b"never said")],
        })
    };
    for (injected, (recording, objects)) in [
        ("sealed by another patient of the clinic", seal(&nora, &anna, &dora)),
        ("a patient in the place of the clinician", seal(&rex, &anna, &bert)),
    ] {
        scene.server().stand_in(&recording.to_string(), objects, None);
        attack.open_refused(injected, "anna", &recording.to_string(), 14, "is needed");
    }
}

#[test]
fn row_08_reader_reauthors_the_body() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_08_reader_reauthors_the_body");
    // dora reads p1, which rex sealed; xaver reads x1, which rex sealed.
    for (accomplice, victim, recording) in [("dora", "anna", "p1"), ("xaver", "xenia", "x1")] {
        scene.server().collude_with(&scene.home(accomplice), PASSPHRASE);
        for (kind, exit, words) in [
            (FaultKind::ReauthorBody, 11, "the list of parts"),
            (FaultKind::ReauthorSealedBody, 14, "valid signature"),
        ] {
            scene.server().clear();
            scene.server().inject(Fault::everywhere(kind));
            let injected = format!("{} of {recording} by {accomplice}", kind.name());
            attack.open_refused(&injected, victim, scene.id(recording), exit, words);
        }
    }
    let xenia = scene.device("xenia");
    let segment = handed_out(&scene, &xenia, scene.id("x1"));
    assert_eq!(segment.header, scene.objects("x1").segments[0].header, "the header is the true one");
    let key = scene.objects("x1").opened_key(&xenia.account.identity).unwrap();
    if let Some(opened) = open_with_stock_age(scene.folder(), &key, &segment) {
        assert!(opened.starts_with(b"forged: words that nobody spoke."));
    }
}

/// A recorder seals one body that says one thing to the patient and another to the clinician.
struct TwoFaced {
    recording: String,
    for_patient: Objects,
    for_clinician: Objects,
    mixed: Objects,
}

const SECOND_FACE: &[u8] = b"what only the second reader was meant to see";

fn two_faced(scene: &Scene) -> TwoFaced {
    let [rex, xenia, xaver] = ["rex", "xenia", "xaver"].map(|name| scene.device(name));
    let plan = Plan {
        tenant: scene.facts.organisation.parse().unwrap(),
        patient: &xenia.member,
        clinician: &xaver.member,
        sealer: &rex.member,
        title: "two faces",
        segments: &[],
    };
    let begun = rex.begin(&plan);
    let (recording, digest, at) = (begun.manifest.recording, begun.manifest.digest(), begun.manifest.created);
    let context = labels::context(&digest, 0, 0);
    let (first, second) = (ForgedKey([0x11; 16]), ForgedKey([0x22; 16]));
    let recipient = begun.key.to_string();
    let header = |keys: &[ForgedKey], mac: ForgedKey| {
        forge_header(Some(&context), keys.iter().map(|key| key.wrap(&recipient)).collect(), mac)
    };
    let [for_patient, for_clinician] = [first, second].map(|key| header(&[key], key));
    let body = body_for_two_keys(first, second, SECOND_FACE);
    let seal = SegmentSeal {
        manifest: digest,
        index: 0,
        track: 0,
        body_length: body.len() as u64,
        parts: 1,
        parts_root: vault_proto::tree::parts_root(&[Digest::of(&body)]),
        end: BodyEnd::Final,
        header: Digest::of(&for_patient),
        previous: None,
        part_chunks: PartChunks::FIFTEEN,
        supersedes: None,
    };
    let device = &rex.key;
    let seal: Envelope<SegmentSeal> =
        envelope::sign(&seal, begun.manifest.sealer_key, |bytes| device.sign(bytes)).unwrap();
    let mut sealer = RecordingSealer::new(begun.manifest, begun.key).unwrap();
    sealer.continue_after(&seal).unwrap();
    let tracks = vec![only_track(sealer.total_length())];
    let details = Details { title: None, started: at, ended: at, tracks };
    let (details, final_seal) = sealer.prepare_final(&details, RecordingStatus::Complete, at).unwrap();
    let final_seal = device.sign_statement(final_seal).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let with_header = |header: Vec<u8>| {
        let mut segment =
            SegmentObjects { header, seal: Some(text(seal.bytes())), ..SegmentObjects::default() };
        segment.set_parts(std::slice::from_ref(&body));
        Objects {
            manifest: text(begun.envelope.bytes()),
            key: begun.key_object.clone(),
            statements: begun.statements.clone(),
            segments: vec![segment],
            details: details.clone(),
            final_seal: Some(text(final_seal.bytes())),
        }
    };
    let objects = TwoFaced {
        recording: recording.to_string(),
        for_patient: with_header(for_patient),
        for_clinician: with_header(for_clinician),
        mixed: with_header(header(&[first, second], first)),
    };
    rex.upload(&scene.server().url(), recording, &objects.for_patient);
    objects
}

#[test]
fn row_09_two_keys_one_ciphertext() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_09_two_keys_one_ciphertext");
    let faces = two_faced(&scene);
    let recording = faces.recording.as_str();
    let xaver = scene.device("xaver");
    let server = scene.server();
    let [segment] = faces.for_clinician.segments.as_slice() else { panic!("one segment") };
    let key = faces.for_clinician.opened_key(&xaver.account.identity).unwrap();
    if let Some(opened) = open_with_stock_age(scene.folder(), &key, segment) {
        assert!(opened[16..].starts_with(SECOND_FACE), "stock age shows the clinician the second face");
    }
    server.stand_in(recording, faces.for_clinician.clone(), Some(xaver.account.id));
    attack.open_refused(
        "a body for two keys, the clinician is given the second",
        "xaver",
        recording,
        14,
        "another header than the one that its sealer signed",
    );
    let patient = attack.run("xenia", &["open", recording], false);
    assert_eq!(patient.said.exit, Some(0), "{}", patient.said.stderr);
    assert!(!patient.said.stdout.windows(SECOND_FACE.len()).any(|bytes| bytes == SECOND_FACE));
    server.clear();
    server.stand_in(recording, faces.mixed, Some(xaver.account.id));
    attack.open_refused(
        "one header that wraps two keys",
        "xaver",
        recording,
        11,
        "2 recipients instead of 1",
    );
}
