//! The drill of 9 June 2020. On that day a user of a video-consultation service found some fifty recordings of other
//! people's consultations in his own list, and could watch them; the firm said that a new way to switch from audio to
//! video in the middle of a call had mixed sessions up. This is that day again, with a server that makes the same
//! mistake.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::collections::BTreeSet;

use vault_tests::attack::{Attack, report};
use vault_tests::hostile::{Fault, FaultKind};
use vault_tests::scene::{Scene, content, title};
use vault_tests::sealing_device::Plan;
use vault_tests::world::bytes;

const DRILL: &str = "drill_june_2020";
/// Recordings of other people.
const FOREIGN: usize = 50;

/// Fifty consultations of bert with emil, who have nothing to do with anna.
fn fifty_consultations(scene: &Scene) -> Vec<(String, String)> {
    let [bert, emil] = ["bert", "emil"].map(|name| scene.device(name));
    (0..FOREIGN)
        .map(|number| {
            let title = format!("Foreign consultation {number:02}");
            let said = bytes(3_000, 100 + number as u64);
            let (recording, objects) = emil.seal(&Plan {
                tenant: scene.facts.organisation.parse().unwrap(),
                patient: &bert.member,
                clinician: &emil.member,
                sealer: &emil.member,
                title: &title,
                segments: &[(0, &said)],
            });
            emil.upload(&scene.server().url(), recording, &objects);
            (recording.to_string(), title)
        })
        .collect()
}

#[test]
fn fifty_foreign_recordings_in_a_patients_list() {
    let scene = Scene::new();
    let foreign = fifty_consultations(&scene);
    let anna = Attack::new(&scene, DRILL);

    // The day before: anna sees her five recordings.
    let own: BTreeSet<String> = ["a1", "a2", "o1", "p1", "s1"].map(|name| scene.id(name).to_owned()).into();
    let listed = |said: &[u8]| -> BTreeSet<String> {
        let lines = std::str::from_utf8(said).unwrap().lines();
        let document = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
        lines.map(|line| document(line)["recording"].as_str().unwrap().to_owned()).collect()
    };
    let before = anna.run("anna", &["list", "--json"], false).said;
    assert_eq!((before.exit, listed(&before.stdout)), (Some(0), own.clone()), "{}", before.stderr);

    // The day: the server lists everybody's recordings to everybody, and hands out whatever is asked for.
    scene.server().inject(Fault::everywhere(FaultKind::CrossList));
    let during =
        anna.list_refused("fifty foreign recordings in her list", "anna", 13, &["Foreign consultation"]);
    assert_eq!(listed(&during.stdout), own, "she still sees her own, and nothing else");
    for (recording, title) in &foreign {
        assert!(during.stderr.contains(recording.as_str()), "{recording} is named among what was refused");
        assert!(!during.stderr.contains(title.as_str()), "no title of it is shown");
    }

    // She opens one, then all of them. Not a byte.
    let (first, _) = foreign.first().unwrap();
    anna.open_refused("she opens one of the fifty", "anna", first, 10, "not a reader");
    for (recording, _) in foreign.iter().skip(1).step_by(7) {
        let outcome = anna.run("anna", &["open", recording], true);
        assert_eq!((outcome.said.exit, outcome.released()), (Some(10), 0), "{}", outcome.said.stderr);
    }

    // The server makes it worse and hands one of the fifty out under the name of her own recording.
    scene.server().clear();
    scene.server().inject(Fault::swap(FaultKind::SwapRecording, scene.id("a1"), first));
    anna.open_refused("one of the fifty under the name of her own", "anna", scene.id("a1"), 13, "Mix-up");

    // bert, whose recordings they are, has lost nothing.
    scene.server().clear();
    let (recording, _) = foreign.last().unwrap();
    let opened = anna.run("bert", &["open", recording], true);
    assert!(opened.output == Some(bytes(3_000, 100 + FOREIGN as u64 - 1)), "{}", opened.said.stderr);
}

#[test]
fn a_clinician_who_can_open_both_is_handed_a_under_bs_name() {
    let scene = Scene::new();
    let dora = Attack::new(&scene, DRILL);
    let (a, b) = (scene.id("a1"), scene.id("b1"));
    // dora was in both consultations; her key opens both recordings.
    for (name, id) in [("a1", a), ("b1", b)] {
        assert!(dora.run("dora", &["open", id], true).output == Some(content(name)));
    }
    // She asks for bert's and is handed anna's: her key would open it, and she would believe it to be bert's.
    scene.server().inject(Fault::swap(FaultKind::SwapRecording, b, a));
    dora.open_refused("a clinician of both is handed A under B's name", "dora", b, 13, a);
    let said = dora.list_refused("A under B's name, in her list", "dora", 13, &[b, &title("b1")]);
    assert!(String::from_utf8(said.stdout).unwrap().contains(&title("a1")), "A under its own name is fine");
    scene.server().clear();
    assert!(dora.run("dora", &["open", b], true).output == Some(content("b1")), "the truth opens again");
}

/// Both tracks of a recording, as two files.
fn both_tracks(attack: &Attack<'_>, who: &str, recording: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let said = attack.run(who, &["open", recording, "-o", out], false).said;
    assert_eq!(said.exit, Some(0), "{who}: {}", said.stderr);
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["track-0.webm", "track-1.webm"]);
    names.iter().flat_map(|name| std::fs::read(folder.path().join(name)).unwrap()).collect()
}

#[test]
fn an_audio_booking_switches_to_video() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, DRILL);
    let [anna, bert, dora] = ["anna", "bert", "dora"].map(|name| scene.device(name));
    let tenant = scene.facts.organisation.parse().unwrap();
    // Two bookings with the same clinician, one after the other; both begin as audio and go on as video.
    let switched = |patient: &vault_tests::sealing_device::Device, title: &str, seed: u64| {
        let (audio, video) = (bytes(40_000, seed), bytes(90_000, seed + 1));
        let (recording, objects) = dora.seal(&Plan {
            tenant,
            patient: &patient.member,
            clinician: &dora.member,
            sealer: &dora.member,
            title,
            segments: &[(0, &audio), (1, &video)],
        });
        dora.upload(&scene.server().url(), recording, &objects);
        (recording.to_string(), [audio, video].concat())
    };
    let (annas, annas_content) = switched(&anna, "anna's booking", 501);
    let (berts, berts_content) = switched(&bert, "bert's booking", 601);

    // What each of them sees, to the byte.
    for (who, recording, truth) in [
        ("anna", &annas, &annas_content),
        ("dora", &annas, &annas_content),
        ("bert", &berts, &berts_content),
        ("dora", &berts, &berts_content),
    ] {
        assert!(both_tracks(&attack, who, recording) == *truth, "{who}: other bytes");
        // Never both in one file, where the second would be lost.
        attack.open_refused(
            "two tracks into one file",
            who,
            recording,
            2,
            "track 1 (video/webm, 90000 bytes)",
        );
    }
    let listed = attack.run("anna", &["list", "--json"], false).said;
    let line = String::from_utf8(listed.stdout).unwrap();
    let line = line.lines().find(|line| line.contains(&annas)).unwrap();
    let document: serde_json::Value = serde_json::from_str(line).unwrap();
    let kinds: Vec<&str> = document["tracks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|track| track["media_type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["audio/webm", "video/webm"]);
    for (who, recording) in [("anna", &berts), ("bert", &annas)] {
        attack.open_refused(&format!("{who} opens the other booking"), who, recording, 17, "not found");
    }

    // The switch goes wrong as it did then: the video of bert's session goes on where anna's audio ended.
    let truth = scene.server().stored(&annas);
    let foreign = scene.server().stored(&berts);
    let mut crossed = truth.clone();
    crossed.segments[1] = foreign.segments[1].clone();
    scene.server().stand_in(&annas, crossed, None);
    for who in ["anna", "dora"] {
        attack.open_refused(
            "bert's video behind anna's audio, seals too",
            who,
            &annas,
            13,
            "belongs to another recording",
        );
    }
    // The same with anna's seals kept: her own audio is right and may come out, bert's video never does.
    let mut crossed = truth.clone();
    let seal = crossed.segments[1].seal.clone();
    crossed.segments[1] = foreign.segments[1].clone();
    crossed.segments[1].seal = seal;
    scene.server().stand_in(&annas, crossed, None);
    for who in ["anna", "dora"] {
        attack.open_refused_after(
            "bert's video under anna's seal",
            (who, &[&annas, "--track", "1"]),
            (13, "Mix-up"),
            &annas_content[40_000..],
        );
    }
    // Her video is in place of her audio, and the audio is gone.
    let mut crossed = truth.clone();
    crossed.segments.remove(0);
    scene.server().stand_in(&annas, crossed, None);
    attack.open_refused(
        "the audio before the switch is missing",
        "anna",
        &annas,
        13,
        "in place of segment 0",
    );
    // Nothing after the switch is there: cut off, and said so.
    let mut crossed = truth;
    crossed.segments.truncate(1);
    crossed.final_seal = None;
    scene.server().stand_in(&annas, crossed, None);
    attack.open_refused("the video after the switch is missing", "anna", &annas, 12, "cut off");
    scene.server().clear();
    assert!(both_tracks(&attack, "anna", &annas) == annas_content);
    report(DRILL, "the server tells the truth again", "everyone has what is theirs, to the byte", Some(0), 0);
}
