//! Row 36: what lies under the digests that a manifest names is another statement, or none.

use std::collections::BTreeSet;

use vault_tests::attack::Attack;
use vault_tests::hostile::{Fault, FaultKind, Seen};
use vault_tests::scene::Scene;

const OTHER: &str = "is not the one that belongs to it";

#[test]
fn row_36_statements_under_a_digest() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_36_statements_under_a_digest");
    for (kind, exit, words) in [
        (FaultKind::SwapStatements, 11, OTHER),
        (FaultKind::SwapKinds, 11, OTHER),
        (FaultKind::OwnStatements, 11, OTHER),
        (FaultKind::HideStatements, 11, "the key list that belongs to it is missing"),
        (FaultKind::EditStatements, 14, "does not carry a valid signature"),
        (FaultKind::FewerStatements, 18, "statements where"),
    ] {
        for (reader, recording) in [("anna", "a1"), ("dora", "b1")] {
            scene.server().clear();
            scene.server().inject(Fault::on(kind, scene.id(recording)));
            if kind == FaultKind::FewerStatements {
                scene.server().inject(Fault::everywhere(kind));
            }
            let injected = format!("{} for {reader}", kind.name());
            attack.open_refused(&injected, reader, scene.id(recording), exit, words);
        }
    }
}

#[test]
fn row_36_one_statement_of_a_member() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_36_one_statement_of_a_member");
    let recording = scene.id("a1");
    for who in ["anna", "dora"] {
        let account = scene.account(who).parse().unwrap();
        let member = scene.objects("a1").member(account);
        let statements = [
            ("issuer's certificate", member.issuer),
            ("certificate", member.certificate),
            ("key list", member.key_list),
        ];
        for (at, (name, digest)) in statements.into_iter().enumerate() {
            let mut objects = scene.objects("a1");
            objects.statements.remove(&digest);
            scene.server().stand_in(recording, objects, None);
            attack.open_refused(&format!("no {name} of {who}"), "anna", recording, 11, "is missing");

            // Of the same account, and truly signed.
            let (other, other_digest) = statements[(at + 1) % statements.len()];
            let mut objects = scene.objects("a1");
            let exchanged = objects.statements[&other_digest].clone();
            objects.statements.insert(digest, exchanged);
            scene.server().stand_in(recording, objects, None);
            let injected = format!("the {other} of {who} in place of the {name}");
            attack.open_refused(&injected, "anna", recording, 11, OTHER);
        }
    }
}

#[test]
fn row_36_in_the_list() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_36_in_the_list");
    let all: Vec<&str> = ["a1", "a2", "p1", "o1", "s1"].map(|name| scene.id(name)).to_vec();
    for (kind, exit) in [(FaultKind::HideStatements, 11), (FaultKind::SwapKinds, 11)] {
        scene.server().clear();
        scene.server().inject(Fault::everywhere(kind));
        attack.list_refused(kind.name(), "anna", exit, &all);
    }
}

/// Statements that were asked for, in all requests together.
fn asked(traffic: &[Seen]) -> Vec<&str> {
    let queries = traffic.iter().filter_map(|seen| seen.path.strip_prefix("/v1/statements?"));
    queries.flat_map(|query| query.split('&')).collect()
}

/// Nothing is asked for because of a manifest that is not the one that was asked for, and what is asked for is asked
/// for once, however many recordings name it.
#[test]
fn row_36_what_is_asked_for() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_36_what_is_asked_for");
    scene.server().inject(Fault::everywhere(FaultKind::SwapRecording));
    scene.server().take_traffic();
    attack.open_refused("another recording", "anna", scene.id("a1"), 13, "Mix-up");
    assert_eq!(asked(&scene.server().take_traffic()), [] as [&str; 0]);

    scene.server().clear();
    let listed = attack.run("dora", &["list"], false);
    assert_eq!(listed.said.exit, Some(0), "{}", listed.said.stderr);
    let traffic = scene.server().take_traffic();
    let asked = asked(&traffic);
    let named: BTreeSet<String> = ["a1", "a2", "b1", "o1", "p1", "s1"]
        .iter()
        .flat_map(|name| scene.objects(name).statements.into_keys())
        .map(|digest| format!("digest={digest}"))
        .collect();
    let distinct: BTreeSet<String> = asked.iter().map(|digest| (*digest).to_owned()).collect();
    assert_eq!(asked.len(), distinct.len(), "one was asked for twice");
    assert!(distinct.is_subset(&named), "{distinct:?}");
}
