//! Rows 4 and 5: bits flipped, parts dropped, doubled, reordered, cut.

use vault_proto::ids::Digest;
use vault_proto::statements::Member;
use vault_tests::attack::{Attack, run_in};
use vault_tests::hostile::{Fault, FaultKind, Objects};
use vault_tests::scene::{Scene, content};

use crate::open_here;

/// Every place of a recording where bytes are stored, by name.
type Place = (&'static str, fn(&mut Objects) -> &mut Vec<u8>);

/// Where an envelope of a recording is kept, by name: its own, and those that its manifest names of its patient.
type Envelope = (&'static str, fn(&mut Objects) -> &mut String);

fn of_patient(objects: &mut Objects, named: fn(&Member) -> Digest) -> &mut String {
    let digest = named(&objects.member(objects.manifest().unwrap().patient));
    objects.statements.get_mut(&digest).unwrap()
}

fn edit_envelope(objects: &mut Objects, (_, place): Envelope, edit: impl FnOnce(&mut Vec<u8>)) {
    let text = place(objects);
    let mut bytes = std::mem::take(text).into_bytes();
    edit(&mut bytes);
    *text = String::from_utf8_lossy(&bytes).into_owned();
}

const OBJECTS: [Place; 5] = [
    ("key", |objects| &mut objects.key),
    ("header", |objects| &mut objects.segments[0].header),
    ("part list", |objects| &mut objects.segments[0].parts),
    ("body", |objects| &mut objects.segments[0].body),
    ("details", |objects| &mut objects.details),
];
const STATEMENTS: [Envelope; 6] = [
    ("manifest", |objects| &mut objects.manifest),
    ("final seal", |objects| objects.final_seal.as_mut().unwrap()),
    ("segment seal", |objects| objects.segments[0].seal.as_mut().unwrap()),
    ("issuer's certificate", |objects| of_patient(objects, |member| member.issuer)),
    ("certificate", |objects| of_patient(objects, |member| member.certificate)),
    ("key list", |objects| of_patient(objects, |member| member.key_list)),
];

#[test]
fn row_04_bits_flipped_anywhere() {
    let scene = Scene::new();
    let anna = scene.device("anna");
    let truth = scene.objects("o1");
    let recording = scene.id("o1");
    assert!(open_here(&scene, &anna, recording, &truth).unwrap() == content("o1"), "the truth opens");
    let mut tried = 0;
    let mut refused = |name: &str, at: usize, objects: &Objects| {
        assert!(open_here(&scene, &anna, recording, objects).is_err(), "{name}, byte {at}: opened");
        tried += 1;
    };
    for (name, object) in OBJECTS {
        let length = object(&mut truth.clone()).len();
        // Every byte of what is short; of a body or a long header, places spread over all of it, its ends among them.
        let step = (length / 400).max(1);
        for at in (0..length).step_by(step).chain([length - 1]) {
            let mut objects = truth.clone();
            object(&mut objects)[at] ^= 1 << (at % 7);
            refused(name, at, &objects);
        }
    }
    for place in STATEMENTS {
        let mut length = 0;
        edit_envelope(&mut truth.clone(), place, |text| length = text.len());
        for at in (0..length).step_by((length / 300).max(1)).chain([length - 1]) {
            let mut objects = truth.clone();
            edit_envelope(&mut objects, place, |text| text[at] ^= 1 << (at % 7));
            refused(place.0, at, &objects);
        }
    }
    assert!(tried > 2_000, "{tried}");
}

#[test]
fn row_04_malleable_encryption() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_04_malleable_encryption");
    let recording = scene.id("o1");
    for (name, object) in OBJECTS {
        for part in [1, 2] {
            let mut objects = scene.objects("o1");
            let bytes = object(&mut objects);
            let at = bytes.len() * part / 3;
            bytes[at] ^= 1;
            scene.server().stand_in(recording, objects, None);
            attack.open_refused(
                &format!("a bit of the {name} flipped at byte {at}"),
                "anna",
                recording,
                11,
                "damaged",
            );
        }
    }
    for place in STATEMENTS {
        let mut objects = scene.objects("o1");
        // The last digits of a statement are its signature: all before it stays well-formed.
        edit_envelope(&mut objects, place, |text| {
            let at = text.len() - 40;
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
        });
        scene.server().stand_in(recording, objects, None);
        attack.open_refused(&format!("the signature of the {} changed", place.0), "anna", recording, 14, "");
    }
    // A bit far into a long body: what came before is right, and what comes after never comes out.
    let recording = scene.id("p1");
    for at in [100, 65_700, 1_048_900, 2_100_000] {
        let mut objects = scene.objects("p1");
        objects.segments[0].body[at] ^= 4;
        scene.server().stand_in(recording, objects, None);
        let injected = format!("a bit of a body of three parts flipped at byte {at}");
        attack.open_refused_after(
            &injected,
            ("anna", &[recording]),
            (11, "is not the part that was sealed"),
            &content("p1"),
        );
    }
}

#[test]
fn row_05_parts_dropped_reordered_doubled_cut() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_05_parts_dropped_reordered_doubled_cut");
    let recording = scene.id("p1");
    for kind in [
        FaultKind::DropPart,
        FaultKind::DoublePart,
        FaultKind::ReorderParts,
        FaultKind::AppendPart,
        FaultKind::Truncate,
    ] {
        scene.server().clear();
        scene.server().inject(Fault::everywhere(kind));
        attack.open_refused(
            &format!("{}, part list too", kind.name()),
            "anna",
            recording,
            11,
            "the list of parts",
        );
    }
    scene.server().clear();
    // The true part list, and every other order, choice and number of the parts.
    let truth = scene.objects("p1");
    let parts = truth.segments[0].split();
    assert_eq!(parts.len(), 3);
    for order in [
        &[0, 2, 1][..],
        &[1, 0, 2],
        &[1, 2, 0],
        &[2, 0, 1],
        &[2, 1, 0],
        &[0, 0, 2],
        &[0, 1, 1],
        &[1, 1, 1],
        &[0, 2],
        &[1, 2],
        &[0, 1],
        &[0],
        &[],
    ] {
        let mut objects = truth.clone();
        objects.segments[0].body = order.iter().flat_map(|&part: &usize| parts[part].clone()).collect();
        scene.server().stand_in(recording, objects, None);
        let outcome = attack.run("anna", &["open", recording], true);
        let exit = outcome.said.exit;
        // A range beyond a body that is too short is refused by the operator's server before there is anything to
        // check.
        assert!(matches!(exit, Some(11 | 18 | 22)), "{order:?}: {exit:?} {}", outcome.said.stderr);
        assert_eq!(outcome.released(), 0, "{order:?}");
        attack.report(&format!("body of the parts {order:?}, true part list"), &outcome);
        let piped = attack.run("anna", &["open", recording], false);
        assert_eq!(piped.said.exit, exit);
        let whole = content("p1");
        assert!(whole.starts_with(&piped.said.stdout) && piped.said.stdout.len() < whole.len(), "{order:?}");
    }
    scene.server().clear();
    for (kind, exits) in [
        (FaultKind::LieAboutRange, &[11][..]),
        (FaultKind::IgnoreRange, &[11, 18]),
        (FaultKind::EndlessAnswer, &[18]),
        (FaultKind::Redirect, &[18]),
    ] {
        scene.server().clear();
        scene.server().inject(Fault::everywhere(kind));
        let outcome = attack.run("anna", &["open", recording], true);
        assert!(
            outcome.said.exit.is_some_and(|exit| exits.contains(&exit)),
            "{kind:?}: {}",
            outcome.said.stderr
        );
        assert_eq!(outcome.released(), 0, "{kind:?}");
        attack.report(kind.name(), &outcome);
    }
    scene.server().clear();
    scene.server().inject(Fault::everywhere(FaultKind::EndlessList));
    let outcome = attack.run("anna", &["list"], false);
    assert_eq!(outcome.said.exit, Some(18), "{}", outcome.said.stderr);
    attack.report("endless-list", &outcome);
}

/// The device that sealed an end knows that there is one, whatever the server says.
#[test]
fn row_05_end_is_hidden_from_its_sealer() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_05_end_is_hidden_from_its_sealer");
    let file = scene.folder().join("own.webm");
    std::fs::write(&file, b"what was said").unwrap();
    let mut seal = scene.command("dora");
    seal.arg("seal").arg(&file);
    seal.args(["--patient", scene.account("anna"), "--clinician", scene.account("dora")]);
    let recording = run_in(scene.folder(), &mut seal, false).said.text();
    scene.server().inject(Fault::everywhere(FaultKind::HideFinal));
    attack.open_refused("hide-final, the sealer opens", "dora", &recording, 12, "the server hides its end");
    attack.open_refused(
        "hide-final, the patient opens",
        "anna",
        &recording,
        12,
        "never sealed, or the server hides it",
    );
    let verified = attack.run("dora", &["verify", &recording], false);
    assert_eq!(verified.said.exit, Some(12), "{}", verified.said.stderr);
    assert!(verified.said.stderr.contains("(final seal "), "{}", verified.said.stderr);
}

#[test]
fn row_05_end_is_hidden() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_05_end_is_hidden");
    let recording = scene.id("s1");
    let server = scene.server();
    server.inject(Fault::everywhere(FaultKind::HideFinal));
    attack.open_refused("hide-final", "anna", recording, 12, "cut off");
    let verified = attack.run("anna", &["verify", recording], false);
    assert_eq!(verified.said.exit, Some(12), "{}", verified.said.stderr);
    let listed = attack.run("anna", &["list", "--json"], false);
    let text = String::from_utf8(listed.said.stdout).unwrap();
    assert!(!text.contains("\"complete\"") && text.contains(recording), "{text}");
    server.inject(Fault::everywhere(FaultKind::HideLastSegment));
    attack.open_refused("hide-final and hide-last-segment", "anna", recording, 12, "cut off");
    // What is there may be had by who asks for it, and is never called whole.
    let allowed = attack.run("anna", &["open", recording, "--allow-cut-off", "--track", "1"], false);
    assert_eq!(allowed.said.exit, Some(0), "{}", allowed.said.stderr);
    assert!(allowed.said.stdout == content("s1")[70_000..140_000], "track 1 as far as it is there");
    assert!(allowed.said.stderr.contains("cut off"), "{}", allowed.said.stderr);
    server.clear();
    server.inject(Fault::everywhere(FaultKind::HideLastSegment));
    attack.open_refused(
        "hide-last-segment, final seal kept",
        "anna",
        recording,
        11,
        "3 segments, and 2 of them are here",
    );
    server.clear();
    server.inject(Fault::everywhere(FaultKind::HideFirstSegment));
    attack.open_refused("hide-first-segment", "anna", recording, 13, "in place of segment 0");
    server.clear();
    let mut objects = scene.objects("s1");
    objects.segments.remove(1);
    server.stand_in(recording, objects, None);
    attack.open_refused("the middle segment denied", "anna", recording, 13, "in place of segment 1");
}
