//! One form for each statement, and no statement in the place of another.

use std::sync::LazyLock;

use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::geometry::{BodyEnd, PartChunks, body_length};
use crate::ids::{AccountId, OrganisationId, RecordingId, RecordingSalt};
use crate::statements::{
    Allowance, Certificate, Device, DeviceKey, DeviceRole, EncryptionKey, EndedIssuer, FinalSeal, Guardian,
    IssuerCertificate, KeyList, Manifest, Member, NotYet, Reader, ReaderRole, RecordingStatus, RemovedDevice,
    Revocations, Role, SegmentSeal, Suite,
};
use crate::timestamp::Timestamp;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn public() -> PublicKey {
    PublicKey::from_bytes(key().verifying_key().to_bytes())
}

fn other_public() -> PublicKey {
    PublicKey::from_bytes(SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes())
}

fn key_id() -> KeyId {
    KeyId::of_device(&public())
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

/// An envelope of any type around any payload, with a true signature.
fn forge(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let signature = key().sign(&pre_authentication_encoding(payload_type, payload)).to_bytes();
    let text = EnvelopeText {
        payload_type: payload_type.to_owned(),
        payload: base64::encode(payload),
        signatures: [SignatureText { keyid: key_id(), sig: base64::encode(signature) }],
    };
    serde_json::to_vec(&text).unwrap()
}

fn manifest() -> Manifest {
    let [patient, clinician] = [1, 2].map(|byte| AccountId::from_bytes([byte; 32]));
    let reader = |account, role| Reader { account, key: KeyId::from_bytes([3; 32]), role, until: None };
    let member = |account| Member {
        account,
        issuer: Digest::of(b"issuer"),
        certificate: Digest::of(b"certificate"),
        key_list: Digest::of(b"key list"),
        device: None,
    };
    Manifest {
        suite: Suite::Pq,
        recording: RecordingId::of(&key_id(), &RecordingSalt::from_bytes([4; 16])),
        salt: RecordingSalt::from_bytes([4; 16]),
        tenant: OrganisationId::from_bytes([5; 32]),
        consultation: "c".parse().unwrap(),
        patient,
        clinician,
        key: KeyId::from_bytes([6; 32]),
        key_object: Digest::of(b"key object"),
        readers: vec![reader(patient, ReaderRole::Patient), reader(clinician, ReaderRole::Clinician)],
        sealer: clinician,
        sealer_key: key_id(),
        sequence: 1,
        members: [patient, clinician].map(member).to_vec(),
        directory_checkpoint: None,
        created: time(1),
        policy: vec![Allowance::ClinicianShares],
        replaces: NotYet,
    }
}

/// One valid payload of each kind, by payload type.
fn statements() -> Vec<(&'static str, Value)> {
    fn entry<T: Statement>(statement: &T) -> (&'static str, Value) {
        statement.check().unwrap();
        (T::PAYLOAD_TYPE, serde_json::to_value(statement).unwrap())
    }
    let digest = Digest::of(b"manifest");
    vec![
        entry(&manifest()),
        entry(&SegmentSeal {
            manifest: digest,
            index: 0,
            track: 0,
            body_length: body_length(5),
            parts: 1,
            parts_root: digest,
            end: BodyEnd::Final,
            header: digest,
            previous: None,
            part_chunks: PartChunks::FIFTEEN,
            supersedes: None,
        }),
        entry(&FinalSeal {
            manifest: digest,
            segments: 1,
            last_seal: digest,
            total_length: 5,
            details: digest,
            ended: time(2),
            status: RecordingStatus::Complete,
            supersedes: Some(digest),
        }),
        entry(&IssuerCertificate {
            organisation: OrganisationId::of_root(&public()),
            root: public(),
            issuer: public(),
            not_before: time(1),
            not_after: time(2),
            number: 2,
            ended: vec![EndedIssuer { issuer: other_public(), from: time(1) }],
            revocations: true,
            roles: vec![Role::Clinician, Role::Patient],
        }),
        entry(&Certificate {
            organisation: OrganisationId::of_root(&public()),
            account: AccountId::of_root(&public()),
            role: Role::Patient,
            label: Some("Ward 3".to_owned()),
            issued: time(1),
            not_before: time(1),
            not_after: time(2),
            succeeds: Some(AccountId::from_bytes([9; 32])),
            guardians: vec![Guardian { account: AccountId::from_bytes([8; 32]), until: time(3) }],
        }),
        entry(&KeyList {
            account: AccountId::of_root(&public()),
            root: public(),
            number: 1,
            previous: None,
            created: time(1),
            epoch: 1,
            encryption: vec![EncryptionKey {
                suite: Suite::X25519,
                recipient: format!("age1{}", "q".repeat(58)),
            }],
            devices: vec![DeviceKey { key: public(), roles: vec![DeviceRole::Auth, DeviceRole::Seal] }],
            removed: vec![RemovedDevice { key: other_public(), sequence: 7, since: Some(time(1)) }],
            allows: vec![Allowance::ClinicianReadmits, Allowance::ClinicianShares],
        }),
        entry(&Device {
            account: AccountId::of_root(&public()),
            key_list: digest,
            key: other_public(),
            roles: vec![DeviceRole::Seal],
            by: key_id(),
            created: time(1),
        }),
        entry(&Revocations {
            organisation: OrganisationId::of_root(&public()),
            number: 1,
            previous: None,
            created: time(1),
            expires: time(1 + 7 * 24 * 3600),
            entries: vec![digest],
        }),
    ]
}

/// Reads `bytes` as the kind of number `kind` and verifies it.
fn read(kind: usize, bytes: &[u8]) -> Result<Digest, StatementError> {
    fn as_kind<T: Statement + Clone>(bytes: &[u8]) -> Result<Digest, StatementError> {
        let envelope = Envelope::<T>::parse(bytes)?;
        assert_eq!(envelope.bytes(), bytes);
        Ok(envelope.verify(key_id(), &public())?.digest())
    }
    match kind {
        0 => as_kind::<Manifest>(bytes),
        1 => as_kind::<SegmentSeal>(bytes),
        2 => as_kind::<FinalSeal>(bytes),
        3 => as_kind::<IssuerCertificate>(bytes),
        4 => as_kind::<Certificate>(bytes),
        5 => as_kind::<KeyList>(bytes),
        6 => as_kind::<Device>(bytes),
        _ => as_kind::<Revocations>(bytes),
    }
}

#[test]
fn no_statement_stands_in_for_another() {
    let all = statements();
    for (at, (own_type, payload)) in all.iter().enumerate() {
        let bytes = payload.to_string().into_bytes();
        for (place, (type_of_place, _)) in all.iter().enumerate() {
            let outcome = read(place, &forge(own_type, &bytes));
            assert_eq!(outcome.is_ok(), at == place, "{own_type} as {type_of_place}: {outcome:?}");
            // The same payload under the other's type: its grammar is not the other's.
            assert_eq!(read(place, &forge(type_of_place, &bytes)).is_ok(), at == place);
        }
    }
}

#[test]
fn a_signature_counts_for_its_type_its_key_and_its_key_id_only() {
    let signed = sign(&manifest(), key_id(), |bytes| key().sign(bytes).to_bytes()).unwrap();
    assert!(signed.verify(key_id(), &public()).is_ok());
    let refused = Err(StatementError::Signature("manifest"));
    assert_eq!(signed.verify(KeyId::from_bytes([0; 32]), &public()).map(|_| ()), refused);
    assert_eq!(signed.verify(key_id(), &PublicKey::from_bytes([1; 32])).map(|_| ()), refused);
    let other = SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes();
    assert_eq!(signed.verify(key_id(), &PublicKey::from_bytes(other)).map(|_| ()), refused);
    let raw = sign(&manifest(), key_id(), |bytes| key().sign(&bytes[7..]).to_bytes()).unwrap();
    assert_eq!(raw.verify(key_id(), &public()).map(|_| ()), refused);
}

/// A key that cannot be taken from where it lives signs what it is handed, and what comes back is not believed.
#[test]
fn a_statement_is_signed_in_two_steps() {
    let signer = public();
    let unsigned = || Unsigned::prepare(&manifest(), key_id(), signer).unwrap();
    let signature = key().sign(unsigned().to_be_signed()).to_bytes();
    let at_hand = sign(&manifest(), key_id(), |bytes| key().sign(bytes).to_bytes()).unwrap();
    assert_eq!(unsigned().attach(&signature).unwrap(), at_hand);
    at_hand.verify(key_id(), &signer).unwrap();
    let refused =
        |signature: [u8; 64]| matches!(unsigned().attach(&signature), Err(StatementError::Signature(_)));
    for place in 0..64 {
        let mut flipped = signature;
        flipped[place] ^= 1;
        assert!(refused(flipped), "byte {place}");
    }
    assert!(refused(SigningKey::from_bytes(&[77; 32]).sign(unsigned().to_be_signed()).to_bytes()));
    assert!(refused(key().sign(&unsigned().to_be_signed()[1..]).to_bytes()));
    let malformed = Unsigned::prepare(&Manifest { sequence: 0, ..manifest() }, key_id(), signer);
    assert!(matches!(malformed, Err(StatementError::Payload { .. })));
}

#[test]
fn every_field_is_needed_once_and_no_other_is_taken() {
    for (kind, (payload_type, payload)) in statements().iter().enumerate() {
        let fields = payload.as_object().unwrap();
        let text = payload.to_string();
        let refuses = |payload: &str| {
            let outcome = read(kind, &forge(payload_type, payload.as_bytes()));
            assert!(matches!(outcome, Err(StatementError::Payload { .. })), "{payload}: {outcome:?}");
        };
        for name in fields.keys() {
            let mut fewer = fields.clone();
            let value = fewer.remove(name).unwrap();
            refuses(&Value::Object(fewer.clone()).to_string());
            refuses(&text.replacen('{', &format!("{{{name:?}:{value},"), 1));
            for wrong in [json!([]), json!({}), json!(true), json!(1.5), json!("\u{0}"), json!(u64::MAX)] {
                let may_be_empty =
                    matches!(name.as_str(), "ended" | "guardians" | "removed" | "allows" | "policy");
                if (wrong == json!([]) && may_be_empty && fields[name].is_array())
                    || (wrong == json!(true) && fields[name].is_boolean())
                {
                    continue;
                }
                let mut changed = fields.clone();
                changed.insert(name.clone(), wrong);
                let outcome = read(kind, &forge(payload_type, &serde_json::to_vec(&changed).unwrap()));
                assert!(outcome.is_err(), "{payload_type} {name}: {changed:?}");
            }
        }
        refuses(&text.replacen('{', r#"{"extra":null,"#, 1));
        refuses(&format!("{text}{text}"));
        refuses(&Value::Array(fields.values().cloned().collect()).to_string());
        refuses(&"[".repeat(60_000));
        refuses(&format!("{}{text}", r#"{"a":"#.repeat(5_000)));
        refuses("");
        refuses("null");
        let reversed: Vec<String> =
            fields.iter().rev().map(|(name, v)| format!("{name:?} :\n {v}")).collect();
        let reversed = format!(" {{{}}}\t", reversed.join(" , "));
        assert!(read(kind, &forge(payload_type, reversed.as_bytes())).is_ok(), "{reversed}");
    }
}

#[test]
fn the_values_of_an_object_in_order_are_not_the_object() {
    let text = serde_json::to_string(&manifest()).unwrap();
    let Reader { account, key, role, until } = manifest().readers[0];
    let reader = serde_json::to_string(&manifest().readers[0]).unwrap();
    let array = json!([account, key, role, until]).to_string();
    // Derived parsers take it, so this would be signed content with two readings.
    assert!(serde_json::from_str::<Manifest>(&text.replace(&reader, &array)).is_ok());
    assert!(read(0, &forge(Manifest::PAYLOAD_TYPE, text.replace(&reader, &array).as_bytes())).is_err());
    assert!(serde_json::from_str::<Manifest>(&text.replace(r#""directory_checkpoint":null,"#, "")).is_ok());
    let missing = text.replace(r#""directory_checkpoint":null,"#, "");
    assert!(read(0, &forge(Manifest::PAYLOAD_TYPE, missing.as_bytes())).is_err());
}

#[test]
fn integers_end_below_two_to_the_53() {
    for (sequence, accepted) in [((1 << 53) - 1, true), (1 << 53, false), (u64::MAX, false)] {
        let manifest = Manifest { sequence, ..manifest() };
        let text = serde_json::to_vec(&manifest).unwrap();
        assert_eq!(read(0, &forge(Manifest::PAYLOAD_TYPE, &text)).is_ok(), accepted, "{sequence}");
    }
}

#[test]
fn other_versions_suites_and_policies_are_newer_and_other_types_are_not() {
    let text = serde_json::to_string(&manifest()).unwrap();
    let family = "application/vnd.recording-vault.manifest.v";
    for (payload_type, payload, newer) in [
        (format!("{family}2+json"), text.clone(), true),
        (format!("{family}10+json"), text.clone(), true),
        (format!("{family}\u{1b}[2J+json"), text.clone(), false),
        (format!("{family}1+jsonx"), text.clone(), false),
        (format!("{family}{}+json", "9".repeat(400)), text.clone(), false),
        (format!("{family}1+json"), text.replace(r#""suite":2"#, r#""suite":3"#), true),
        (format!("{family}1+json"), text.replace("clinician-shares", "care-team"), true),
        (format!("{family}1+json"), text.replace(r#""role":"clinician""#, r#""role":"witness""#), true),
        (format!("{family}1+json"), text.replace(r#""role":"clinician""#, r#""role":"Guardian""#), false),
        (format!("{family}1+json"), text.replace(r#""replaces":null"#, r#""replaces":[1]"#), true),
        (format!("{family}1+json"), text.replace(r#""suite":2"#, r#""suite":-3"#), false),
    ] {
        let outcome = read(0, &forge(&payload_type, payload.as_bytes()));
        let error = outcome.expect_err("not of this version");
        assert_eq!(matches!(error, StatementError::Newer { .. }), newer, "{error:?}");
        assert!(error.to_string().len() < 400 && !error.to_string().contains('\u{1b}'));
    }
}

#[test]
fn sizes_are_bounded() {
    let at_most = |length: usize| {
        let text = serde_json::to_string(&manifest()).unwrap();
        let padded = format!("{text}{}", " ".repeat(length - text.len()));
        read(0, &forge(Manifest::PAYLOAD_TYPE, padded.as_bytes()))
    };
    assert!(at_most(MAX_PAYLOAD).is_ok());
    assert!(at_most(MAX_PAYLOAD + 1).is_err());
    assert!(Envelope::<Manifest>::parse(&vec![b' '; MAX_ENVELOPE + 1]).is_err());
}

proptest! {
    #[test]
    fn a_changed_byte_is_never_verified(at in any::<prop::sample::Index>(), change in 1u8..=255) {
        static SIGNED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            let forged = |(kind, payload): &(&str, Value)| forge(kind, payload.to_string().as_bytes());
            statements().iter().map(forged).collect()
        });
        for (kind, signed) in SIGNED.iter().enumerate() {
            let mut bytes = signed.clone();
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            prop_assert!(read(kind, &bytes).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,200}") {
        for kind in 0..8 {
            prop_assert!(read(kind, &bytes).is_err());
            prop_assert!(read(kind, text.as_bytes()).is_err());
        }
    }
}
