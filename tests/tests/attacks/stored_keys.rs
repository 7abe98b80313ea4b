//! Row 2: the wrapped keys that the server stores are flipped and substituted.

use vault_proto::age_header::Header;
use vault_proto::envelope::Envelope;
use vault_proto::labels;
use vault_proto::statements::Manifest;
use vault_tests::attack::Attack;
use vault_tests::hostile::{Fault, FaultKind, ForgedKey, forge_header};
use vault_tests::scene::Scene;

use crate::open_here;

#[test]
fn row_02_every_byte_of_a_wrapped_key_flipped() {
    let scene = Scene::new();
    for (recording, reader) in [("o1", "anna"), ("x1", "xenia")] {
        let device = scene.device(reader);
        let truth = scene.objects(recording);
        for at in 0..truth.segments[0].header.len() {
            let mut objects = truth.clone();
            objects.segments[0].header[at] ^= 1;
            let opened = open_here(&scene, &device, scene.id(recording), &objects);
            assert!(opened.is_err(), "{recording}, byte {at} of the header");
        }
    }
}

#[test]
fn row_02_server_overwrites_wrapped_keys() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_02_server_overwrites_wrapped_keys");
    let server = scene.server();
    let id = scene.id("o1");
    // One place in each line of the header, through the program.
    let truth = scene.objects("o1");
    let header = &truth.segments[0].header;
    let ends: Vec<usize> =
        header.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    for at in ends.iter().map(|end| end - 2) {
        let mut objects = truth.clone();
        objects.segments[0].header[at] ^= 1;
        server.stand_in(id, objects, None);
        let outcome = attack.run("anna", &["open", id], true);
        assert!(matches!(outcome.said.exit, Some(11 | 13 | 14)), "byte {at}: {}", outcome.said.stderr);
        assert_eq!(outcome.released(), 0, "byte {at}");
        attack.report(&format!("byte {at} of the header flipped"), &outcome);
    }
    server.clear();
    for other in ["a1", "p1", "b1"] {
        server.clear();
        server.inject(Fault::swap(FaultKind::SwapHeader, id, scene.id(other)));
        attack.open_refused(&format!("the wrapped keys of {other}"), "anna", id, 13, "Mix-up");
    }
    server.clear();
    server.inject(Fault::on(FaultKind::HeaderAddsReader, id));
    attack.open_refused("a wrapped key for the operator added", "anna", id, 11, "authentication code");
    // A key that the operator knows, wrapped well under the true context: everything fits but the commitment.
    server.clear();
    let objects = scene.objects("x1");
    let manifest = Envelope::<Manifest>::parse(objects.manifest.as_bytes()).unwrap();
    let context = labels::context(&manifest.digest(), 0, 0);
    let known = ForgedKey([0x55; 16]);
    let readers = ["xenia", "xaver"].map(|name| scene.device(name).account.identity.recipient().to_string());
    let stanzas: Vec<_> = readers.iter().map(|reader| known.wrap(reader)).collect();
    let mut substituted = objects.clone();
    substituted.segments[0].header = forge_header(Some(&context), stanzas.clone(), known);
    server.stand_in(scene.id("x1"), substituted, None);
    attack.open_refused(
        "a key that the operator knows, with a good MAC",
        "xenia",
        scene.id("x1"),
        14,
        "another key than the one its sealer committed to",
    );
    let mut left_out = objects.clone();
    left_out.segments[0].header = forge_header(Some(&context), stanzas[1..].to_vec(), known);
    server.stand_in(scene.id("x1"), left_out, None);
    attack.open_refused(
        "the patient's wrapped key left out",
        "xenia",
        scene.id("x1"),
        14,
        "leaves out a reader",
    );
    // The stanzas in another order under the true MAC.
    let mut turned = objects;
    let (header, _) = Header::parse(&turned.segments[0].header).unwrap();
    let mut stanzas = header.stanzas().to_vec();
    stanzas.swap(1, 2);
    turned.segments[0].header = Header::new(stanzas, *header.mac()).unwrap().encode();
    server.stand_in(scene.id("x1"), turned, None);
    attack.open_refused("the wrapped keys exchanged", "xenia", scene.id("x1"), 11, "authentication code");
}
