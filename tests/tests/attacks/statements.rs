//! Rows 10, 13, 14 and 17: older suites, statements in each other's place, hidden readers, other spellings.

use vault_proto::age_header::Header;
use vault_proto::envelope::{Envelope, Statement};
use vault_proto::statements::{Certificate, FinalSeal, IssuerCertificate, KeyList, Manifest, SegmentSeal};
use vault_tests::attack::Attack;
use vault_tests::hostile::{Fault, FaultKind, Objects};
use vault_tests::scene::Scene;

#[test]
fn row_10_downgrade_of_suite_and_version() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_10_downgrade_of_suite_and_version");
    for (kind, exit, words) in [
        (FaultKind::DowngradeSuite, 14, "valid signature"),
        (FaultKind::DowngradeHeader, 11, "which this recording's suite does not know"),
        (FaultKind::UnknownSuite, 15, "suite 9"),
        (FaultKind::NewerVersion, 15, "newer format"),
    ] {
        scene.server().clear();
        scene.server().inject(Fault::everywhere(kind));
        attack.open_refused(kind.name(), "anna", scene.id("o1"), exit, words);
        let shown = attack.run("anna", &["list", "--json"], false).said.stdout;
        let shown = String::from_utf8(shown).unwrap();
        let line = shown.lines().find(|line| line.contains(scene.id("o1"))).unwrap();
        let listed = !line.contains("\"status\":\"refused\"");
        // The list shows statements and details, which a changed segment header leaves as they are.
        assert_eq!(listed, kind == FaultKind::DowngradeHeader, "{kind:?}");
    }
}

/// Puts a statement in the place of another.
type Put = fn(&mut Objects, String);

/// The payload types that parse as `T`.
fn taken<T: Statement>(statements: &[(&'static str, &str)]) -> Vec<&'static str> {
    let parses = |text: &str| Envelope::<T>::parse(text.as_bytes()).is_ok();
    statements.iter().filter(|(_, text)| parses(text)).map(|(name, _)| *name).collect()
}

#[test]
fn row_13_statements_confused_with_one_another() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_13_statements_confused_with_one_another");
    let objects = scene.objects("o1");
    let member = scene.device("anna").member;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (issuer, certificate) = (text(member.issuer.bytes()), text(member.certificate.bytes()));
    let key_list = text(member.key_list.bytes());
    let seal = objects.segments[0].seal.clone().unwrap();
    let final_seal = objects.final_seal.clone().unwrap();
    let all = [
        ("manifest", objects.manifest.as_str()),
        ("segment-seal", &seal),
        ("final-seal", &final_seal),
        ("key-list", &key_list),
        ("certificate", &certificate),
        ("issuer-certificate", &issuer),
    ];
    // Every verifier takes its own kind and nothing else, and the type is under the signature.
    assert_eq!(taken::<Manifest>(&all), ["manifest"]);
    assert_eq!(taken::<SegmentSeal>(&all), ["segment-seal"]);
    assert_eq!(taken::<FinalSeal>(&all), ["final-seal"]);
    assert_eq!(taken::<KeyList>(&all), ["key-list"]);
    assert_eq!(taken::<Certificate>(&all), ["certificate"]);
    assert_eq!(taken::<IssuerCertificate>(&all), ["issuer-certificate"]);
    let place: [(&str, Put); 3] = [
        ("manifest", |objects, text| objects.manifest = text),
        ("segment-seal", |objects, text| objects.segments[0].seal = Some(text)),
        ("final-seal", |objects, text| objects.final_seal = Some(text)),
    ];
    for (expected, put) in place {
        for (found, text) in all {
            if found == expected {
                continue;
            }
            let mut changed = objects.clone();
            put(&mut changed, text.to_owned());
            scene.server().stand_in(scene.id("o1"), changed, None);
            let injected = format!("a {found} in place of the {expected}");
            attack.open_refused(&injected, "anna", scene.id("o1"), 11, "is a statement of type");
        }
    }
}

#[test]
fn row_14_policy_as_a_hidden_reader() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_14_policy_as_a_hidden_reader");
    for (kind, exit, words) in [
        (FaultKind::PolicyAddsReader, 11, "nobody else"),
        (FaultKind::PolicyChanged, 15, "policy"),
        (FaultKind::HeaderAddsReader, 11, "2 recipients instead of 1"),
        (FaultKind::KeyAddsReader, 11, "the one that its manifest was signed with"),
    ] {
        scene.server().clear();
        scene.server().inject(Fault::everywhere(kind));
        attack.open_refused(kind.name(), "anna", scene.id("o1"), exit, words);
        // What is sealed meanwhile is for two readers, whatever the server says of policies.
        let recording = crate::keys::seal_truthfully(&scene);
        let stored = scene.server().stored(&recording);
        let manifest = stored.manifest().unwrap();
        let readers: Vec<String> = manifest.readers.iter().map(|reader| reader.account.to_string()).collect();
        assert_eq!(readers, [scene.account("anna"), scene.account("dora")]);
        let stanzas = |bytes: &[u8]| Header::parse(bytes).unwrap().0.stanzas().len();
        assert_eq!(stanzas(&stored.key), 1 + 2, "a context and two readers");
        assert_eq!(stanzas(&stored.segments[0].header), 1 + 1, "a context and the recording's key");
        assert_eq!(stanzas(&stored.details), 1 + 1);
    }
}

#[test]
fn row_17_other_spellings() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_17_other_spellings");
    let truth = scene.objects("o1");
    let header = String::from_utf8(truth.segments[0].header.clone()).unwrap();
    let (before_mac, mac) = header.rsplit_once("--- ").unwrap();
    let headers = [
        ("line ends of Windows", header.replace('\n', "\r\n")),
        ("padded base64 in the MAC", format!("{before_mac}--- {}=\n", mac.trim_end())),
        ("a space at the end of a line", header.replacen("\n-> ", " \n-> ", 1)),
        ("an empty line before the MAC", format!("{before_mac}\n--- {mac}")),
        ("a byte behind the header", format!("{header}\n")),
        ("another version", header.replacen("age-encryption.org/v1", "age-encryption.org/v2", 1)),
        ("two spaces between arguments", header.replacen("mlkem768x25519 ", "mlkem768x25519  ", 1)),
        ("no line end at the end", header.trim_end().to_owned()),
    ];
    for (what, header) in headers {
        let mut objects = truth.clone();
        objects.segments[0].header = header.into_bytes();
        scene.server().stand_in(scene.id("o1"), objects, None);
        attack.open_refused(&format!("header: {what}"), "anna", scene.id("o1"), 11, "damaged");
    }
    let manifest = &truth.manifest;
    let statements = [
        ("white space", manifest.replacen(":", ": ", 1)),
        ("a line end at the end", format!("{manifest}\n")),
        ("an unknown field", manifest.replacen('{', "{\"a\":1,", 1)),
        ("a repeated field", manifest.replacen('{', "{\"payload\":\"\",", 1)),
        ("two signatures", {
            let (start, signature) = manifest.split_once("\"signatures\":[").unwrap();
            let signature = signature.trim_end_matches("]}");
            format!("{start}\"signatures\":[{signature},{signature}]}}")
        }),
        ("an escaped letter", manifest.replacen("payloadType", "p\\u0061yloadType", 1)),
        ("fields in another order", {
            let value: serde_json::Value = serde_json::from_str(manifest).unwrap();
            let field = |name: &str| value[name].to_string();
            format!(
                r#"{{"payload":{},"payloadType":{},"signatures":{}}}"#,
                field("payload"),
                field("payloadType"),
                field("signatures")
            )
        }),
    ];
    for (what, manifest) in statements {
        let objects = Objects { manifest, ..truth.clone() };
        scene.server().stand_in(scene.id("o1"), objects, None);
        attack.open_refused(&format!("manifest: {what}"), "anna", scene.id("o1"), 11, "canonical form");
    }
}
