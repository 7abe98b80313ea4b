//! Who opens the key of a recording, and which key objects are refused as what.

use vault_proto::ids::Digest;
use vault_proto::recording::StoredStatements;
use vault_proto::statements::Manifest;
use vault_proto::trust::Known;

use super::*;
use crate::recording_fixture::{Begun, begin};
use crate::sealing::prepare_manifest;

static_assertions::assert_not_impl_any!(RecordingKey: Clone, std::fmt::Debug, serde::Serialize);

/// The recording as it is checked, if its clinician signs a manifest for this key object.
fn signed_over(begun: &Begun, object: &[u8], change: impl Fn(&mut Manifest)) -> CheckedRecording {
    let mut manifest = Manifest { key_object: Digest::of(object), ..(*begun.manifest).clone() };
    change(&mut manifest);
    let unsigned = prepare_manifest(&manifest, *begun.manifest.signer()).unwrap();
    let envelope = begun.clinician.device.sign_statement(unsigned).unwrap();
    let stored = StoredStatements {
        manifest: envelope.bytes(),
        named: &begun.named,
        seals: &[],
        progress: None,
        final_seal: None,
    };
    CheckedRecording::check(manifest.recording, begun.organisation, &stored, &Known::default()).unwrap()
}

fn opened(begun: &Begun, checked: &CheckedRecording, object: &[u8]) -> Result<RecordingKey, OpenError> {
    RecordingKey::open(checked, begun.patient.account(), &begun.patient.identity, object)
}

/// A key object with the context and for the readers of the recording, of any text.
fn object_of(begun: &Begun, text: &[u8]) -> Vec<u8> {
    let Manifest { tenant, recording, key, .. } = &*begun.manifest;
    let context = context_stanza(&labels::key_context(tenant, recording, key)).unwrap();
    let readers = [&begun.patient, &begun.clinician].map(|person| person.identity.recipient().clone());
    age_file::seal_small(&readers, Some(context), text).unwrap()
}

#[test]
fn every_reader_opens_it_and_nobody_else() {
    for suite in [Suite::X25519, Suite::Pq] {
        let begun = begin(suite);
        let checked = signed_over(&begun, &begun.key_object, |_| {});
        for person in [&begun.patient, &begun.clinician] {
            let opened = RecordingKey::open(&checked, person.account(), &person.identity, &begun.key_object);
            assert_eq!(opened.unwrap().id(), begun.manifest.key);
        }
        let refused = |account, identity: &Identity| {
            RecordingKey::open(&checked, account, identity, &begun.key_object).err()
        };
        let patient = begun.patient.account();
        let later = Identity::generate(suite).unwrap();
        assert_eq!(refused(patient, &later), Some(OpenError::NotAReader));
        assert_eq!(refused(begun.clinician.account(), &begun.patient.identity), Some(OpenError::NotAReader));
        let stranger = AccountId::from_bytes([1; 32]);
        assert_eq!(refused(stranger, &begun.patient.identity), Some(OpenError::NotAReader));
        let other = if suite == Suite::Pq { Suite::X25519 } else { Suite::Pq };
        let of_other = OpenError::OtherSuite { recording: suite.name(), own: other.name() };
        assert_eq!(refused(patient, &Identity::generate(other).unwrap()), Some(of_other));
    }
}

#[test]
fn its_text_is_an_identity_file_in_one_spelling() {
    let begun = begin(Suite::X25519);
    let identity = begun.key.identity().export().to_string();
    let note = |note: &str| format!("# note: {note}\n{identity}\n");
    for (text, opens) in [
        (format!("{identity}\n"), true),
        (note("second opinion"), true),
        (note(""), true),
        (note(&"é".repeat(128)), true),
        (note(&"é".repeat(129)), false),
        (note("\u{202e}"), false),
        (note("a\rb"), false),
        (identity.clone(), false),
        (format!("{identity}\r\n"), false),
        (format!("{identity}\n\n"), false),
        (format!("{identity}\n{identity}\n"), false),
        (format!("\n{identity}\n"), false),
        (format!("# a comment\n{identity}\n"), false),
        (format!("# note: a\n# note: b\n{identity}\n"), false),
        (identity.to_lowercase() + "\n", false),
        (String::new(), false),
        (Identity::generate(Suite::X25519).unwrap().export().to_string() + "\n", false),
        (Identity::generate(Suite::Pq).unwrap().export().to_string() + "\n", false),
    ] {
        let object = object_of(&begun, text.as_bytes());
        let outcome = opened(&begun, &signed_over(&begun, &object, |_| {}), &object);
        match outcome {
            Ok(key) => assert!(opens && key.id() == begun.manifest.key, "{text:?}"),
            Err(error) => {
                assert!(!opens, "{text:?}");
                assert!(matches!(error, OpenError::Refused(Refusal::NotEntitled(_))), "{text:?}: {error}");
            }
        }
    }
}

#[test]
fn another_key_object_is_refused_as_what_it_is() {
    let (begun, other) = (begin(Suite::X25519), begin(Suite::X25519));
    let checked = signed_over(&begun, &begun.key_object, |_| {});
    let refusal = |object: &[u8]| match opened(&begun, &checked, object) {
        Err(OpenError::Refused(refusal)) => refusal,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a key object opened that was never signed"),
    };
    // The same key, sealed to the same readers once more: not the one that was signed.
    let readers = [&begun.patient, &begun.clinician].map(|person| person.identity.recipient().clone());
    let again = begun.key.seal(&begun.organisation, &begun.manifest.recording, &readers).unwrap();
    assert!(matches!(refusal(&again), Refusal::Damaged(_)));
    assert!(matches!(refusal(&other.key_object), Refusal::MixUp(_)));
    let bare = age_file::seal_small(&readers, None, b"x").unwrap();
    assert!(matches!(refusal(&bare), Refusal::NotEntitled(_)));
    assert!(matches!(refusal(b""), Refusal::Damaged(_)));
    // One for fewer or for more than the readers, signed as it is.
    for people in [&readers[..1], &[&readers[..], &readers[..1]].concat()] {
        let object = begun.key.seal(&begun.organisation, &begun.manifest.recording, people).unwrap();
        let outcome = opened(&begun, &signed_over(&begun, &object, |_| {}), &object);
        assert!(matches!(outcome, Err(OpenError::Refused(Refusal::NotEntitled(_)))));
    }
    // A key of the other suite, named as it is.
    let pq = RecordingKey::generate(Suite::Pq).unwrap();
    let object = pq.seal(&begun.organisation, &begun.manifest.recording, &readers).unwrap();
    let outcome = opened(&begun, &signed_over(&begun, &object, |manifest| manifest.key = pq.id()), &object);
    assert!(matches!(outcome, Err(OpenError::Refused(Refusal::NotEntitled(_)))));
    // A manifest that names another key gives the object another context.
    let named = KeyId::of_recipient(&readers[0].to_string());
    let elsewhere = signed_over(&begun, &begun.key_object, |manifest| manifest.key = named);
    assert!(matches!(
        opened(&begun, &elsewhere, &begun.key_object),
        Err(OpenError::Refused(Refusal::MixUp(_)))
    ));
}
