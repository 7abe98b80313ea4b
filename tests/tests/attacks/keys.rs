//! Rows 1, 10 (at rest), 16 and 18: whose keys are sealed to.

use data_encoding::BASE64;
use vault_core::seed::Seed;
use vault_core::signing_key::SigningKey;
use vault_engine::effects::Method;
use vault_proto::envelope;
use vault_proto::ids::KeyId;
use vault_proto::statements::{EncryptionKey, KeyList};
use vault_proto::wire::{self, Enrol};
use vault_tests::attack::{Attack, run_in};
use vault_tests::hostile::{Fault, FaultKind};
use vault_tests::scene::Scene;
use vault_tests::sealing_device::Device;

/// The next key list of an account, as its holder signs it with the words from paper.
pub(crate) fn next_key_list(
    scene: &Scene,
    name: &str,
    device: &Device,
    epoch: u32,
    change: impl FnOnce(&mut KeyList),
) -> envelope::Envelope<KeyList> {
    let seed = Seed::from_words(scene.facts.words.get(name).unwrap()).unwrap_or_else(|_| panic!("24 words"));
    let root = seed.account_root();
    let before = device.member.key_list.unverified();
    let suite = device.account.identity.suite();
    let next = seed.identity(suite, epoch).unwrap_or_else(|_| panic!("an identity"));
    // The device holds no other identity: nothing can be opened with it that is sealed from here on.
    let encryption = vec![EncryptionKey { suite, recipient: next.recipient().to_string() }];
    let mut list = KeyList {
        number: before.number + 1,
        previous: Some(device.member.key_list.digest()),
        epoch,
        encryption,
        ..before.clone()
    };
    change(&mut list);
    envelope::sign(&list, KeyId::of_account_root(&list.root), |bytes| root.sign(bytes)).unwrap()
}

/// Stores an account's next key list through the protocol.
pub(crate) fn submit(scene: &Scene, device: &Device, list: envelope::Envelope<KeyList>) {
    let chain = vault_proto::members::CertificateChain {
        issuer: device.member.issuer.clone(),
        certificate: device.member.certificate.clone(),
    };
    let body = Enrol { chain, key_list: list };
    let connection = device.connection(&scene.server().url());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(connection.send_json(Method::Post, wire::path::ACCOUNTS, &body)).unwrap();
}

/// Seals as dora for anna, which pins both.
pub(crate) fn seal_truthfully(scene: &Scene) -> String {
    let file = scene.folder().join("truthful");
    std::fs::write(&file, b"a truthful recording").unwrap();
    let mut command = scene.command("dora");
    command.arg("seal").arg(&file).args([
        "--patient",
        scene.account("anna"),
        "--clinician",
        scene.account("dora"),
    ]);
    run_in(scene.folder(), &mut command, false).said.text()
}

#[test]
fn row_01_server_hands_out_its_own_key() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_01_server_hands_out_its_own_key");
    let (anna, dora) = (scene.account("anna"), scene.account("dora"));
    for whose in ["anna", "dora"] {
        let account = scene.account(whose);
        for (fault, words) in [
            (Fault::swap(FaultKind::SwapKeyList, account, scene.account("nora")), "for another account"),
            (Fault::on(FaultKind::OwnKeyList, account), "for another account"),
            (Fault::on(FaultKind::EditKeyList, account), "valid signature"),
            (Fault::on(FaultKind::OtherTenantCertificate, account), "another organisation"),
        ] {
            scene.server().clear();
            let injected = format!(
                "{} for the {}",
                fault.kind.name(),
                if whose == "anna" { "patient" } else { "clinician" }
            );
            scene.server().inject(fault);
            attack.seal_refused(&injected, "dora", (anna, dora), (16, words));
            attack.seal_refused(&injected, "dora", (anna, dora), (16, account));
        }
    }
}

#[test]
fn row_01_server_hands_out_an_older_key_list() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_01_server_hands_out_an_older_key_list");
    let anna = scene.device("anna");
    submit(&scene, &anna, next_key_list(&scene, "anna", &anna, 2, |_| {}));
    // The new key is taken without asking, as it is signed by the same root; that pins it.
    seal_truthfully(&scene);
    scene.server().inject(Fault::on(FaultKind::OldKeyList, scene.account("anna")));
    attack.seal_refused(
        "old-key-list for the patient",
        "dora",
        (scene.account("anna"), scene.account("dora")),
        (16, "number 1, and number 2 was seen before"),
    );
}

#[test]
fn row_10_work_factor_of_the_identity_file() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_10_work_factor_of_the_identity_file");
    let file = scene.home("anna").join("identity.age");
    let stored = std::fs::read(&file).unwrap();
    let end = stored.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0;
    let (start, rest) = stored.split_at(end);
    let start = start.strip_suffix(b"15").expect("the written work factor");
    // 2^40 times the work would not end in this life: that the test ends shows that it is refused first.
    for factor in ["1", "14", "19", "40"] {
        std::fs::write(&file, [start, factor.as_bytes(), rest].concat()).unwrap();
        let injected = format!("scrypt work factor 2^{factor}");
        attack.open_refused(&injected, "anna", scene.id("o1"), 21, "work");
    }
}

#[test]
fn row_16_low_order_share_in_a_header() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_16_low_order_share_in_a_header");
    scene.server().inject(Fault::everywhere(FaultKind::LowOrderKey));
    attack.open_refused("low-order-key, suite x25519", "xenia", scene.id("x1"), 11, "unsafe key share");
    scene.server().clear();
    // The X25519 half of a post-quantum share.
    let mut objects = scene.objects("o1");
    let segment = &mut objects.segments[0];
    let (header, _) = vault_proto::age_header::Header::parse(&segment.header).unwrap();
    let stanzas = header
        .stanzas()
        .iter()
        .map(|stanza| match stanza.args() {
            [share] if stanza.tag() == "mlkem768x25519" => {
                let mut share: [u8; 1120] = vault_proto::age_header::decode_argument(share).unwrap();
                share[1088..].fill(0);
                let share = vault_proto::age_header::encode_argument(&share);
                vault_proto::age_header::Stanza::new(stanza.tag(), vec![share], stanza.body().to_vec())
                    .unwrap()
            }
            _ => stanza.clone(),
        })
        .collect();
    segment.header = vault_proto::age_header::Header::new(stanzas, *header.mac()).unwrap().encode();
    scene.server().stand_in(scene.id("o1"), objects, None);
    attack.open_refused("low-order-key, suite pq", "anna", scene.id("o1"), 11, "unsafe key share");
}

/// Puts a key list into the database as the operator can, and a signature under it that only its holder can make.
fn store_list_with_recipient(scene: &mut Scene, name: &str, recipient: &str) {
    let device = scene.device(name);
    let list = next_key_list(scene, name, &device, 2, |_| {});
    let seed = Seed::from_words(scene.facts.words.get(name).unwrap()).unwrap_or_else(|_| panic!("24 words"));
    let mut statement = list.unverified().clone();
    statement.encryption[0].recipient = recipient.to_owned();
    let envelope = sign_as_it_is(&statement, &seed.account_root(), list.key_id());
    let account = device.account.id;
    scene.stop();
    let database = rusqlite::Connection::open(scene.data().join("vault.db")).unwrap();
    let digest = vault_proto::envelope::payload_digest(envelope.as_bytes()).unwrap();
    for (sql, value) in [
        ("INSERT INTO statements (digest, envelope) VALUES (?1, ?2)", envelope.as_bytes()),
        ("INSERT INTO key_lists (account, number, key_list) VALUES (?2, 2, ?1)", &account.as_bytes()[..]),
    ] {
        assert_eq!(database.execute(sql, (&digest.as_bytes()[..], value)), Ok(1));
    }
    drop(database);
    scene.start();
    // The real server does not parse it; the operator hands the row out as it is.
    let account = scene.account(name);
    scene.server().inject(Fault::swap(FaultKind::SwapKeyList, account, account));
}

/// Signs a statement that breaks its own rules, which the vault's own signer refuses to do.
fn sign_as_it_is(list: &KeyList, root: &SigningKey, key_id: KeyId) -> String {
    let kind = "application/vnd.recording-vault.key-list.v1+json";
    let payload = serde_json::to_string(list).unwrap();
    let signed = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
    let signature = root.sign(signed.as_bytes());
    format!(
        r#"{{"payloadType":"{kind}","payload":"{}","signatures":[{{"keyid":"{key_id}","sig":"{}"}}]}}"#,
        BASE64.encode(payload.as_bytes()),
        BASE64.encode(&signature)
    )
}

#[test]
fn row_16_low_order_recipient() {
    let mut scene = Scene::closed();
    // The recipient whose point is zero, in correct bech32.
    store_list_with_recipient(
        &mut scene,
        "xenia",
        "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z",
    );
    let attack = Attack::new(&scene, "row_16_low_order_recipient");
    let both = (scene.account("xenia"), scene.account("xaver"));
    attack.seal_refused(
        "a low-order recipient, signed by its holder",
        "xaver",
        both,
        (16, scene.account("xenia")),
    );
}

#[test]
fn row_18_recipient_string_starts_a_program() {
    let mut scene = Scene::closed();
    let planted = scene.folder().join("started");
    let program = scene.folder().join("age-plugin-evil");
    std::fs::write(&program, format!("#!/bin/sh\ntouch {}\n", planted.display())).unwrap();
    assert_eq!(
        std::process::Command::new("chmod").arg("755").arg(&program).status().unwrap().code(),
        Some(0)
    );
    store_list_with_recipient(&mut scene, "xenia", "age1/../../bin/sh");
    let attack = Attack::new(&scene, "row_18_recipient_string_starts_a_program");
    let both = (scene.account("xenia"), scene.account("xaver"));
    attack.seal_refused(
        "age1/../../bin/sh in a signed key list",
        "xaver",
        both,
        (16, scene.account("xenia")),
    );
    for given in [
        "age1/../../bin/sh",
        "age1evil1qqqqqqqqqqq",
        "AGE-PLUGIN-EVIL-1QQQQ",
        "ssh-ed25519 AAAA",
        "../../bin/sh",
    ] {
        attack.seal_refused(
            &format!("--patient {given}"),
            "xaver",
            (given, scene.account("xaver")),
            (2, "does not name an account"),
        );
    }
    drop(scene);
    let mut scene = Scene::closed();
    store_list_with_recipient(
        &mut scene,
        "xenia",
        "age1evil1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq",
    );
    let attack = Attack::new(&scene, "row_18_recipient_string_starts_a_program");
    let both = (scene.account("xenia"), scene.account("xaver"));
    attack.seal_refused(
        "a plugin's recipient in a signed key list",
        "xaver",
        both,
        (16, scene.account("xenia")),
    );
    assert!(!planted.exists(), "a program was started");
}

#[test]
fn row_18_age_is_built_without_plugins() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let tree = std::process::Command::new(env!("CARGO"))
        .current_dir(root)
        .args([
            "tree",
            "--offline",
            "--locked",
            "-p",
            "vault-cli",
            "-e",
            "normal",
            "-i",
            "age",
            "-f",
            "{p} [{f}]",
            "--depth",
            "0",
        ])
        .output()
        .unwrap();
    let line = String::from_utf8(tree.stdout).unwrap();
    assert!(line.starts_with("age v"), "{line}{}", String::from_utf8_lossy(&tree.stderr));
    let features = line.trim().rsplit_once('[').unwrap().1.trim_end_matches(']');
    let harmful: Vec<&str> = features
        .split(',')
        .filter(|feature| ["plugin", "ssh", "cli-common", "unstable"].contains(feature))
        .collect();
    assert!(harmful.is_empty(), "age is built with {harmful:?}");
    vault_tests::attack::report(
        "row_18_age_is_built_without_plugins",
        "the age crate's features in the released client",
        &format!("[{features}]"),
        Some(0),
        0,
    );
}
