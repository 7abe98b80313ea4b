//! Row 6: anything of one recording in the place of another.

use vault_tests::attack::{Attack, report};
use vault_tests::hostile::{Fault, FaultKind};
use vault_tests::scene::{Scene, title};

#[test]
fn row_06_swap_matrix() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_06_swap_matrix");
    // An operator who serves two tenants holds both their recordings.
    scene.objects("t1").write(&scene.data().join("blobs/rec").join(scene.id("t1")));
    let kinds = [
        (FaultKind::SwapRecording, 13, "Mix-up"),
        (FaultKind::SwapManifest, 13, "Mix-up"),
        (FaultKind::SwapSegment, 13, "Mix-up"),
        (FaultKind::SwapSeal, 13, "Mix-up"),
        (FaultKind::SwapFinal, 13, "Mix-up"),
        (FaultKind::SwapHeader, 13, "Mix-up"),
        (FaultKind::SwapKey, 13, "Mix-up"),
        (FaultKind::SwapBody, 11, "damaged"),
        (FaultKind::SwapBodyOnly, 11, "damaged"),
        (FaultKind::SwapDetails, 11, "damaged"),
    ];
    // dora can open a1, a2, b1, s1 and t1 with her own key; c1 is foreign to her.
    for asked in ["a1", "b1"] {
        for other in ["a1", "a2", "b1", "c1", "s1", "t1"] {
            if asked == other {
                continue;
            }
            for (kind, exit, words) in kinds {
                scene.server().clear();
                scene.server().inject(Fault::swap(kind, scene.id(asked), scene.id(other)));
                let injected = format!("{} of {asked} with {other}", kind.name());
                attack.open_refused(&injected, "dora", scene.id(asked), exit, words);
            }
        }
    }
}

#[test]
fn row_06_swap_for_the_patient() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_06_swap_for_the_patient");
    for kind in [FaultKind::SwapRecordingSamePatient, FaultKind::SwapRecording] {
        scene.server().clear();
        scene.server().inject(Fault::everywhere(kind));
        attack.open_refused(kind.name(), "anna", scene.id("a1"), 13, "Mix-up");
    }
    // Sealed by the same device for the same people: nothing but the manifest they name tells them apart.
    for kind in [FaultKind::SwapSegment, FaultKind::SwapSeal, FaultKind::SwapFinal] {
        scene.server().clear();
        scene.server().inject(Fault::swap(kind, scene.id("a1"), scene.id("a2")));
        let injected = format!("{} of the same patient", kind.name());
        attack.open_refused(&injected, "anna", scene.id("a1"), 13, "belongs to another recording");
    }
}

#[test]
fn row_06_segments_within_a_recording() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_06_segments_within_a_recording");
    let recording = scene.id("s1");
    scene.server().inject(Fault::everywhere(FaultKind::ExchangeSegments));
    attack.open_refused("exchange-segments", "anna", recording, 13, "in place of segment 0 stands segment 1");
    scene.server().clear();
    // Segments 1 and 2 are of one track and one length: only their numbers differ.
    let truth = vault_tests::scene::content("s1");
    let mut objects = scene.objects("s1");
    let first = objects.segments[1].clone();
    let second = std::mem::replace(&mut objects.segments[2], first);
    objects.segments[1] = second;
    scene.server().stand_in(recording, objects, None);
    attack.open_refused("segments 1 and 2 exchanged with their seals", "anna", recording, 13, "Mix-up");
    let mut objects = scene.objects("s1");
    let (header, body, parts) = {
        let other = scene.objects("s1").segments[2].clone();
        (other.header, other.body, other.parts)
    };
    let segment = &mut objects.segments[1];
    (segment.header, segment.body, segment.parts) = (header, body, parts);
    scene.server().stand_in(recording, objects, None);
    attack.open_refused_after(
        "segment 2 under the seal of segment 1",
        ("anna", &[recording, "--track", "1"]),
        (13, "Mix-up"),
        &truth[70_000..],
    );
    scene.server().clear();
    scene.server().inject(Fault::everywhere(FaultKind::ReplayOldHeader));
    let arguments: &[&str] = &[recording, "--track", "1"];
    attack.open_refused_after("replay-old-header", ("anna", arguments), (13, "Mix-up"), &truth[70_000..]);
}

#[test]
fn row_06_swapped_in_the_list() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_06_swapped_in_the_list");
    let (a1, b1, c1) = (scene.id("a1"), scene.id("b1"), scene.id("c1"));
    scene.server().inject(Fault::swap(FaultKind::SwapRecording, a1, b1));
    attack.list_refused("swap-recording of a1 with b1", "dora", 13, &[a1]);
    scene.server().clear();
    scene.server().inject(Fault::swap(FaultKind::SwapDetails, a1, scene.id("a2")));
    attack.list_refused("swap-details of a1 with a2", "dora", 11, &[a1]);
    scene.server().clear();
    scene.server().inject(Fault::everywhere(FaultKind::CrossList));
    let absent = [b1, c1, scene.id("x1"), &title("b1"), &title("c1")];
    let said = attack.list_refused("cross-list", "anna", 13, &absent);
    let own = String::from_utf8(said.stdout).unwrap();
    for recording in ["a1", "a2", "p1", "o1", "s1"] {
        assert!(own.contains(scene.id(recording)), "{recording} is hers and is not listed: {own}");
    }
    for recording in ["b1", "c1"] {
        attack.open_refused(
            &format!("cross-list, {recording} opened"),
            "anna",
            scene.id(recording),
            10,
            "not a reader",
        );
    }
    let nobody = attack.run("nora", &["list"], false);
    assert_eq!(nobody.said.exit, Some(13));
    report(
        "row_06_swapped_in_the_list",
        "cross-list for a patient without recordings",
        nobody.saw(),
        nobody.said.exit,
        nobody.released(),
    );
    assert_eq!(nobody.released(), 0);
}
