//! Row 2: the wrapped keys that the server stores are flipped and substituted.

use vault_proto::age_header::Header;
use vault_proto::envelope::Envelope;
use vault_proto::labels;
use vault_proto::statements::Manifest;
use vault_tests::attack::Attack;
use vault_tests::command::PASSPHRASE;
use vault_tests::hostile::{Fault, FaultKind, ForgedKey, Objects, forge_header};
use vault_tests::scene::Scene;

use crate::open_here;

/// Where something stands among the objects of a recording.
type Place = fn(&mut Objects) -> &mut Vec<u8>;

#[test]
fn row_02_every_byte_of_a_wrapped_key_flipped() {
    let scene = Scene::new();
    let places: [(&str, Place); 2] =
        [("key", |objects| &mut objects.key), ("header", |objects| &mut objects.segments[0].header)];
    for (recording, reader) in [("o1", "anna"), ("x1", "xenia")] {
        let device = scene.device(reader);
        let truth = scene.objects(recording);
        for (name, place) in places {
            for at in 0..place(&mut truth.clone()).len() {
                let mut objects = truth.clone();
                place(&mut objects)[at] ^= 1;
                let opened = open_here(&scene, &device, scene.id(recording), &objects);
                assert!(opened.is_err(), "{recording}, byte {at} of the {name}");
            }
        }
    }
}

#[test]
fn row_02_server_overwrites_wrapped_keys() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_02_server_overwrites_wrapped_keys");
    let server = scene.server();
    let id = scene.id("o1");
    // One place in each line of what wraps a key, through the program.
    let truth = scene.objects("o1");
    let (_, length) = Header::parse(&truth.key).unwrap();
    let wrapped: [(&[u8], Place); 2] = [
        (&truth.key[..length], |objects| &mut objects.key),
        (&truth.segments[0].header, |objects| &mut objects.segments[0].header),
    ];
    let lines = wrapped.iter().flat_map(|&(bytes, place)| {
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        ends.map(move |(end, _)| (end - 2, place))
    });
    for (at, place) in lines {
        let mut objects = truth.clone();
        place(&mut objects)[at] ^= 1;
        server.stand_in(id, objects, None);
        let outcome = attack.run("anna", &["open", id], true);
        assert!(matches!(outcome.said.exit, Some(11 | 13 | 14)), "byte {at}: {}", outcome.said.stderr);
        assert_eq!(outcome.released(), 0, "byte {at}");
        attack.report(&format!("byte {at} of what wraps a key flipped"), &outcome);
    }
    server.clear();
    for other in ["a1", "p1", "b1"] {
        server.clear();
        server.inject(Fault::swap(FaultKind::SwapHeader, id, scene.id(other)));
        attack.open_refused(&format!("the wrapped file key of {other}"), "anna", id, 13, "Mix-up");
        server.clear();
        server.inject(Fault::swap(FaultKind::SwapKey, id, scene.id(other)));
        attack.open_refused(&format!("the wrapped key of {other}"), "anna", id, 13, "Mix-up");
    }
    for (what, (_, place)) in ["key", "header"].into_iter().zip(wrapped) {
        let mut objects = truth.clone();
        place(&mut objects).extend([0; 40_000]);
        server.clear();
        server.stand_in(id, objects, None);
        attack.open_refused(&format!("a {what} with 40,000 bytes more"), "anna", id, 11, "no more");
    }
    server.collude_with(&scene.home("dora"), PASSPHRASE);
    for (kind, words) in [
        (FaultKind::HeaderAddsReader, "2 recipients instead of 1"),
        (FaultKind::KeyAddsReader, "not the one that its manifest was signed with"),
        (FaultKind::EditKey, "not the one that its manifest was signed with"),
        (FaultKind::RewrapKey, "not the one that its manifest was signed with"),
        (FaultKind::HideKey, "does not have its key"),
    ] {
        server.clear();
        server.inject(Fault::on(kind, id));
        attack.open_refused(kind.name(), "anna", id, 11, words);
    }
    // A file key that the operator knows, wrapped well under the true context, with the help of a reader who tells him
    // the recording's recipient: everything fits but the header's digest.
    server.clear();
    let objects = scene.objects("x1");
    let manifest = Envelope::<Manifest>::parse(objects.manifest.as_bytes()).unwrap();
    let context = labels::context(&manifest.digest(), 0, 0);
    let known = ForgedKey([0x55; 16]);
    let key = objects.opened_key(&scene.device("xaver").account.identity).unwrap();
    let stanza = known.wrap(&key.recipient().to_string());
    let mut substituted = objects.clone();
    substituted.segments[0].header = forge_header(Some(&context), vec![stanza.clone()], known);
    server.stand_in(scene.id("x1"), substituted, None);
    attack.open_refused(
        "a key that the operator knows, with a good MAC",
        "xenia",
        scene.id("x1"),
        14,
        "another header than the one that its sealer signed",
    );
    let mut twice = objects;
    twice.segments[0].header = forge_header(Some(&context), vec![stanza.clone(), stanza], known);
    server.stand_in(scene.id("x1"), twice, None);
    attack.open_refused(
        "the recording's key wrapped to twice",
        "xenia",
        scene.id("x1"),
        11,
        "2 recipients instead of 1",
    );
    // The readers' stanzas of a key object in another order, or one of them left out, under the true MAC.
    let objects = scene.objects("x1");
    let (header, length) = Header::parse(&objects.key).unwrap();
    let [context, patient, clinician] = header.stanzas() else { panic!("a context and two readers") };
    for (what, stanzas) in [
        ("the readers' stanzas exchanged", vec![context, clinician, patient]),
        ("the patient's stanza left out", vec![context, clinician]),
    ] {
        let mut changed = objects.clone();
        let stanzas = stanzas.into_iter().cloned().collect();
        changed.key.splice(..length, Header::new(stanzas, *header.mac()).unwrap().encode());
        server.stand_in(scene.id("x1"), changed, None);
        let words = "not the one that its manifest was signed with";
        attack.open_refused(what, "xenia", scene.id("x1"), 11, words);
    }
}
