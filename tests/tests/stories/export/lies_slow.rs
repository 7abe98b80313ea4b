//! Every lie of a server about one recording, while it is taken home in either form.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use vault_tests::command::end;
use vault_tests::hostile::{Fault, FaultKind};
use vault_tests::scene::{Scene, content};

use super::*;

/// Fails if any file of the export holds a piece of a recording's content.
#[track_caller]
fn holds_nothing_of(folder: &Path, recording: &str) {
    let content = content(recording);
    let pieces: Vec<&[u8]> = content.chunks(200_000).filter_map(|chunk| chunk.get(..32)).collect();
    for (name, bytes) in tree(folder) {
        // A window's first byte is looked for by itself first.
        for piece in &pieces {
            let mut rest = &bytes[..];
            while let Some(at) = rest.iter().position(|byte| *byte == piece[0]) {
                assert!(!rest[at..].starts_with(piece), "{name} holds content of {recording}");
                rest = &rest[at + 1..];
            }
        }
    }
}

#[test]
fn what_is_exchanged_or_changed_on_the_way_is_named_and_does_not_come_home() {
    let scene = Scene::new();
    let (a1, a2, b1) = (scene.id("a1"), scene.id("a2"), scene.id("b1"));
    end(scene.command("anna").arg("list")).text();
    let faults = [
        Fault::swap(FaultKind::SwapRecording, a1, a2),
        Fault::swap(FaultKind::SwapRecording, a1, b1),
        Fault::swap(FaultKind::SwapBody, a1, a2),
        Fault::swap(FaultKind::SwapBodyOnly, a1, a2),
        Fault::swap(FaultKind::SwapHeader, a1, a2),
        Fault::swap(FaultKind::SwapFinal, a1, a2),
        Fault::swap(FaultKind::SwapDetails, a1, a2),
        Fault::on(FaultKind::EditDetails, a1),
        Fault::on(FaultKind::DropPart, a1),
        Fault::on(FaultKind::ReorderParts, a1),
        Fault::on(FaultKind::Truncate, a1),
        Fault::on(FaultKind::LieAboutRange, a1),
        Fault::on(FaultKind::PlantAgeFile, a1),
    ];
    let mut wrong = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        for more in [&[][..], &["--sealed"]] {
            let folder = scene.folder().join(format!("export {number} {}", more.len()));
            scene.server().inject(fault.clone());
            let said = export(&scene, "anna", &folder, more);
            scene.server().clear();
            let document: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
            let named = document["failed"].as_array().is_some_and(|failed| {
                failed.len() == 1 && failed[0]["recording"] == a1 && said.stderr.contains(a1)
            });
            if said.exit != Some(20) || !named || document["fetched"] != 4 {
                wrong.push(format!("{fault} {more:?}: exit {:?}, {document}, {}", said.exit, said.stderr));
                continue;
            }
            if more.is_empty() {
                holds_nothing_of(&folder, "a1");
                assert_eq!(fs::read_dir(folder.join("recordings")).unwrap().count(), 4, "{fault}");
            }
            let verified = verify(Some(&scene.home("anna")), &folder);
            if verified.said.exit != Some(20) || verified.wrong() != BTreeMap::from([(a1, "missing")]) {
                let found = (verified.said.exit, verified.wrong(), &verified.files);
                wrong.push(format!("{fault} {more:?}: verified as {found:?}"));
            }
            let again = export(&scene, "anna", &folder, more);
            if again.exit != Some(0) || report(&again)["fetched"] != 1 {
                wrong.push(format!("{fault} {more:?}: again: {:?} {}", again.exit, again.stderr));
            }
            let verified = verify(Some(&scene.home("anna")), &folder);
            if verified.said.exit != Some(0) {
                wrong.push(format!("{fault} {more:?}: at last {:?} {:?}", verified.wrong(), verified.files));
            }
            only_signed_files(&folder);
            fs::remove_dir_all(folder).unwrap();
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
