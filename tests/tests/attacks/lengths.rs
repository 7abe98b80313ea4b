//! Row 35: padding and lengths. Whoever opens a recording gets the bytes that were recorded, and none too many.

use vault_core::age_file;
use vault_core::details::{Details, Track};
use vault_core::padded_size::padded_size;
use vault_proto::envelope::{self, Envelope};
use vault_proto::geometry::MAX_PART_PLAINTEXT;
use vault_proto::ids::Digest;
use vault_proto::labels;
use vault_proto::sealed_header::context_stanza;
use vault_proto::statements::{FinalSeal, Manifest};
use vault_proto::wire::MAX_DETAILS;
use vault_tests::attack::Attack;
use vault_tests::command::end;
use vault_tests::hostile::{Fault, FaultKind, Objects};
use vault_tests::scene::Scene;
use vault_tests::world::{bytes, sha256};

const NAME: &str = "row_35_padding_and_lengths";
/// Three parts, and about 15 KiB of padding, which lie in the third.
const LENGTH: usize = 2 * MAX_PART_PLAINTEXT + 50_000;

/// Has dora seal a padded recording for anna; gives its id.
fn seal_padded(scene: &Scene, content: &[u8]) -> String {
    let file = scene.folder().join("padded.webm");
    std::fs::write(&file, content).unwrap();
    let (anna, dora) = (scene.account("anna"), scene.account("dora"));
    let mut command = scene.command("dora");
    command.arg("seal").arg(&file).args(["--patient", anna, "--clinician", dora, "--pad"]);
    let said = end(&mut command);
    assert_eq!(said.exit, Some(0), "{}", said.stderr);
    std::fs::remove_file(file).unwrap();
    said.text()
}

fn final_seal(objects: &Objects) -> Envelope<FinalSeal> {
    Envelope::parse(objects.final_seal.as_ref().unwrap().as_bytes()).unwrap()
}

/// The recording as its sealer might have ended it, with other details over the very same segments.
fn saying(scene: &Scene, objects: &Objects, change: impl FnOnce(&mut Details)) -> Objects {
    let dora = scene.device("dora");
    let key = objects.opened_key(&dora.account.identity).unwrap();
    let text = age_file::open_small(&key, &objects.details, MAX_DETAILS).unwrap();
    let mut details = Details::parse(&text).unwrap();
    change(&mut details);
    let manifest: Envelope<Manifest> = Envelope::parse(objects.manifest.as_bytes()).unwrap();
    let context = context_stanza(&labels::details_context(&manifest.digest())).unwrap();
    let text = details.to_text().unwrap();
    let details = age_file::seal_small(&[key.recipient().clone()], Some(context), &text).unwrap();
    let end = final_seal(objects);
    let other = FinalSeal { details: Digest::of(&details), ..end.unverified().clone() };
    let other = envelope::sign(&other, end.key_id(), |bytes| dora.key.sign(bytes)).unwrap();
    let final_seal = Some(String::from_utf8(other.bytes().to_vec()).unwrap());
    Objects { details, final_seal, ..objects.clone() }
}

#[test]
fn row_35_no_byte_of_padding_comes_out() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, NAME);
    let content = bytes(LENGTH, 35);
    let id = seal_padded(&scene, &content);
    let stored = scene.server().stored(&id);
    let total = final_seal(&stored).unverified().total_length;
    assert_eq!(total, padded_size(LENGTH as u64), "what the server learns");
    assert!(total > LENGTH as u64);
    let [piped, filed, played] = [
        attack.run("anna", &["open", &id], false).said.stdout,
        attack.run("anna", &["open", &id, "--as-sealed"], true).output.unwrap(),
        attack.run("dora", &["play", &id, "-o", "-"], false).said.stdout,
    ];
    for (how, opened) in [("open", piped), ("open -o", filed), ("play -o -", played)] {
        assert!(opened == content, "{how}: {} bytes of {LENGTH}", opened.len());
    }
    let verified = attack.run("anna", &["verify", &id, "--json"], false).said.json();
    assert_eq!((&verified["bytes"], &verified["sha256"]), (&LENGTH.into(), &sha256(&content).into()));
    let listed = attack.run("anna", &["list"], false).said.text();
    assert!(listed.contains(&id), "{listed}");
    let folder = scene.folder().join("taken-home");
    let taken = folder.to_str().unwrap();
    assert_eq!(attack.run("anna", &["export", taken], false).said.exit, Some(0));
    let longer = |path: &std::path::PathBuf| std::fs::metadata(path).unwrap().len() >= LENGTH as u64;
    let media: Vec<_> =
        walk(&folder).into_iter().filter(longer).map(|path| std::fs::read(path).unwrap()).collect();
    assert!(media.contains(&content), "the export has other bytes");
    assert!(media.iter().all(|bytes| bytes == &content || !bytes.starts_with(&content)));
    let checked = attack.run("anna", &["verify", taken], false).said;
    assert_eq!(checked.exit, Some(0), "{}", checked.stderr);
    // A server that hides the end hides with it where the track ends: what proves is zeros, and cut off.
    let scene = Scene::new();
    let attack = Attack::new(&scene, NAME);
    let id = seal_padded(&scene, &content);
    scene.server().inject(Fault::everywhere(FaultKind::HideFinal));
    attack.open_refused("hide-final of a padded recording", "anna", &id, 12, "cut off");
    let opened = attack.run("anna", &["open", &id, "--allow-cut-off"], false).said.stdout;
    let (recorded, zeros) = opened.split_at(LENGTH);
    assert!(recorded == content && zeros.iter().all(|byte| *byte == 0));
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn row_35_details_that_do_not_fit_their_segments() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, NAME);
    let content = bytes(LENGTH, 36);
    let id = seal_padded(&scene, &content);
    let stored = scene.server().stored(&id);
    let held = final_seal(&stored).unverified().total_length;
    type Change = fn(&mut Vec<Track>, u64);
    let cases: [(&str, &str, Change); 6] = [
        ("a byte more than the segments hold", "its segments hold", |tracks, held| {
            tracks[0].bytes = held + 1
        }),
        ("as many bytes as there can be", "its segments hold", |tracks, _| tracks[0].bytes = (1 << 53) - 1),
        ("no track", "not those of the segments", |tracks, _| tracks.clear()),
        ("another track", "not those of the segments", |tracks, _| tracks[0].track = 1),
        ("the track twice", "not those of the segments", |tracks, _| tracks.push(tracks[0].clone())),
        ("a track more", "not those of the segments", |tracks, _| {
            tracks.push(Track { track: 9, ..tracks[0].clone() });
        }),
    ];
    for (injected, words, change) in cases {
        let objects = saying(&scene, &stored, |details| change(&mut details.tracks, held));
        scene.server().stand_in(&id, objects, None);
        attack.open_refused(injected, "anna", &id, 11, words);
        attack.list_refused(&format!("{injected}, listed"), "anna", 11, &[&id]);
        let played = attack.run("anna", &["play", &id, "-o", "-"], false);
        assert_eq!((played.said.exit, played.released()), (Some(11), 0), "{}", played.said.stderr);
    }
}

#[test]
fn row_35_a_length_that_its_hash_does_not_fit() {
    let content = bytes(LENGTH, 37);
    for (injected, bytes) in [
        ("a byte of the padding counted to the track", LENGTH as u64 + 1),
        ("all of the padding counted to the track", padded_size(LENGTH as u64)),
        ("a byte of the track counted to the padding", LENGTH as u64 - 1),
        ("half of the track counted to the padding", LENGTH as u64 / 2),
    ] {
        let scene = Scene::new();
        let attack = Attack::new(&scene, NAME);
        let id = seal_padded(&scene, &content);
        let stored = scene.server().stored(&id);
        let objects = saying(&scene, &stored, |details| details.tracks[0].bytes = bytes);
        scene.server().stand_in(&id, objects, None);
        attack.open_refused_after(
            injected,
            ("anna", &[id.as_str()]),
            (11, "is not the one that was sealed"),
            &content[..LENGTH - 1],
        );
        let verified = attack.run("anna", &["verify", &id], false);
        assert_eq!(verified.said.exit, Some(11), "{}", verified.said.stderr);
    }
}
