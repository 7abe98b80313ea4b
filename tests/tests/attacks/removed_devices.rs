//! Row 27: a device that its account has removed goes on sealing, with the server on its side.

use http::Method;
use vault_core::signing_key::SigningKey;
use vault_proto::ids::PublicKey;
use vault_proto::statements::{DeviceKey, DeviceRole, RemovedDevice};
use vault_proto::wire::{self, Enrol};
use vault_tests::attack::Attack;
use vault_tests::hostile::{Fault, FaultKind};
use vault_tests::scene::Scene;
use vault_tests::sealing_device::{Device, Plan};

use crate::keys::next_key_list;
use crate::requests::Raw;

#[test]
fn row_27_removed_device() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_27_removed_device");
    let [anna, dora, rex] = ["anna", "dora", "rex"].map(|name| scene.device(name));
    let tenant = scene.facts.organisation.parse().unwrap();
    let seal = |patient: &Device| {
        rex.seal(&Plan {
            tenant,
            patient: &patient.member,
            clinician: &dora.member,
            sealer: &rex.member,
            title: "after it was taken",
            segments: &[(0, b"whoever has the device says this")],
        })
    };
    // Before it is removed it seals what its readers open, at first sight too.
    let (before, objects) = seal(&anna);
    let last = objects.manifest().unwrap().sequence;
    scene.server().stand_in(&before.to_string(), objects, None);
    let opened = attack.run("anna", &["open", &before.to_string()], true);
    assert_eq!(opened.said.exit, Some(0), "{}", opened.said.stderr);

    // Its account removes it from another one: nothing that it seals from then on counts, whatever date it writes.
    let key = SigningKey::generate().unwrap();
    let device = PublicKey::from_bytes(key.public());
    let removed = rex.account.device;
    let list = next_key_list(&scene, "rex", &rex, 2, |list| {
        list.devices = vec![DeviceKey { key: device, roles: vec![DeviceRole::Auth, DeviceRole::Seal] }];
        list.removed = vec![RemovedDevice { key: removed, sequence: last, since: None }];
    });
    let chain = vault_proto::members::CertificateChain {
        issuer: rex.member.issuer.clone(),
        certificate: rex.member.certificate.clone(),
    };
    let other = Device {
        account: vault_engine::home::account::Account { device, ..rex.account.clone() },
        key,
        member: rex.member.clone(),
        home: rex.home.clone(),
    };
    let raw = Raw::new(&other, scene.server().url());
    let body = serde_json::to_vec(&Enrol { chain, key_list: list }).unwrap();
    let (status, said) = raw.send(&raw.sign(Method::POST, wire::path::ACCOUNTS, &body, 0, 1));
    assert_eq!((status.as_u16(), said.as_str()), (200, ""));

    // The server takes nothing more from it, so an operator who helps shows it by himself, to people who never heard of
    // its account.
    let words = "removed";
    for (reader, patient) in [("anna", &anna), ("dora", &anna)] {
        let (recording, objects) = seal(patient);
        scene.server().stand_in(&recording.to_string(), objects, None);
        let injected = format!("sealed by a removed device, for {reader}");
        attack.open_refused(&injected, reader, &recording.to_string(), 14, words);
    }
    // Who has seen the newer list holds on to it.
    scene.server().inject(Fault::on(FaultKind::OldKeyList, scene.account("rex")));
    let (recording, objects) = seal(&anna);
    scene.server().stand_in(&recording.to_string(), objects, None);
    let injected = "sealed by a removed device, with a server that went back to the older list";
    attack.open_refused(injected, "anna", &recording.to_string(), 14, words);
    // What it sealed before opens for good.
    let opened = attack.run("anna", &["open", &before.to_string()], true);
    assert_eq!(opened.said.exit, Some(0), "{}", opened.said.stderr);
}
