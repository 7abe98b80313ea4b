//! The rules of each kind, on either side of each bound.

use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::envelope::{self, Envelope, Statement, StatementError};
use crate::ids::{AccountId, Digest, KeyId, OrganisationId, PublicKey};
use crate::signing_fixture::{key, signing_key, time};

fn account(number: u8) -> AccountId {
    AccountId::from_bytes([number; 32])
}

fn recipient(suite: Suite, letter: &str) -> EncryptionKey {
    let recipient = match suite {
        Suite::X25519 => format!("age1{}", letter.repeat(58)),
        Suite::Pq => format!("age1pq1{}", letter.repeat(1_952)),
    };
    EncryptionKey { suite, recipient }
}

fn removed(number: u8, sequence: u64) -> RemovedDevice {
    RemovedDevice { key: key(number), sequence, since: None }
}

fn device(number: u8) -> DeviceKey {
    DeviceKey { key: key(number), roles: vec![DeviceRole::Auth, DeviceRole::Seal] }
}

fn issuer_certificate() -> IssuerCertificate {
    IssuerCertificate {
        organisation: OrganisationId::of_root(&key(1)),
        root: key(1),
        issuer: key(2),
        not_before: time(10),
        not_after: time(20),
        number: 1,
        ended: Vec::new(),
        revocations: false,
        roles: vec![Role::Auditor, Role::Clinician, Role::Custodian, Role::Patient, Role::Recorder],
    }
}

fn certificate() -> Certificate {
    Certificate {
        organisation: OrganisationId::of_root(&key(1)),
        account: account(1),
        role: Role::Patient,
        label: None,
        issued: time(10),
        not_before: time(10),
        not_after: time(20),
        succeeds: None,
        guardians: Vec::new(),
    }
}

fn key_list() -> KeyList {
    KeyList {
        account: AccountId::of_root(&key(1)),
        root: key(1),
        number: 1,
        previous: None,
        created: time(10),
        epoch: 1,
        encryption: vec![recipient(Suite::X25519, "q")],
        devices: vec![device(2)],
        removed: Vec::new(),
        allows: Vec::new(),
    }
}

fn added() -> Device {
    Device {
        account: account(1),
        key_list: Digest::of(b"list"),
        key: key(3),
        roles: vec![DeviceRole::Seal],
        by: KeyId::of_device(&key(2)),
        created: time(10),
    }
}

fn revocations() -> Revocations {
    Revocations {
        organisation: OrganisationId::of_root(&key(1)),
        number: 1,
        previous: None,
        created: time(10),
        expires: time(10 + 7 * 24 * 3600),
        entries: vec![Digest::of(b"entries")],
    }
}

/// Reads a payload as a statement of this kind.
fn read<T: Statement>(payload: &Value) -> Result<(), StatementError> {
    let text = json!({
        "payloadType": T::PAYLOAD_TYPE,
        "payload": crate::base64::encode(payload.to_string().as_bytes()),
        "signatures": [{ "keyid": "0".repeat(64), "sig": crate::base64::encode([0; 64]) }],
    });
    // In the order that the one spelling has.
    let text = format!(
        r#"{{"payloadType":{},"payload":{},"signatures":[{{"keyid":{},"sig":{}}}]}}"#,
        text["payloadType"], text["payload"], text["signatures"][0]["keyid"], text["signatures"][0]["sig"]
    );
    Envelope::<T>::parse(text.as_bytes()).map(|_| ())
}

/// What a change of one field makes of a statement: taken, damaged, or of a newer format.
fn outcome<T: Statement>(statement: &T, field: &str, value: Value) -> &'static str {
    let mut payload = serde_json::to_value(statement).unwrap();
    read::<T>(&payload).unwrap();
    payload[field] = value;
    match read::<T>(&payload) {
        Ok(()) => "taken",
        Err(StatementError::Payload { .. }) => "damaged",
        Err(StatementError::Newer { .. }) => "newer",
        Err(other) => panic!("{other:?}"),
    }
}

fn expect<T: Statement>(statement: &T, cases: impl IntoIterator<Item = (&'static str, Value, &'static str)>) {
    for (field, value, expected) in cases {
        let found = outcome(statement, field, value.clone());
        assert_eq!(found, expected, "{} of {}: {value}", field, T::NAME);
    }
}

/// Public keys of `numbers`, in ascending order.
fn keys(numbers: std::ops::Range<u8>) -> Vec<PublicKey> {
    let mut keys: Vec<PublicKey> = numbers.map(key).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn issuer_certificates() {
    let ended = |keys: &[PublicKey]| {
        let ended = keys.iter().map(|&issuer| EndedIssuer { issuer, from: time(1) });
        serde_json::to_value(ended.collect::<Vec<_>>()).unwrap()
    };
    let sixteen = keys(10..26);
    let descending: Vec<PublicKey> = sixteen.iter().rev().copied().collect();
    expect(
        &issuer_certificate(),
        [
            ("number", json!(0), "damaged"),
            ("number", json!(7), "taken"),
            ("ended", ended(&sixteen), "taken"),
            ("ended", ended(&keys(10..27)), "damaged"),
            ("ended", ended(&descending), "damaged"),
            ("ended", ended(&[key(9), key(9)]), "damaged"),
            ("ended", ended(&[PublicKey::from_bytes([0; 32])]), "damaged"),
            ("revocations", json!(true), "taken"),
            ("revocations", json!(1), "damaged"),
            ("roles", json!([]), "damaged"),
            ("roles", json!(["patient"]), "taken"),
            ("roles", json!(["patient", "clinician"]), "damaged"),
            ("roles", json!(["patient", "patient"]), "damaged"),
            ("roles", json!(["clinician", "porter"]), "newer"),
            ("roles", json!(["Porter"]), "damaged"),
            ("roles", json!([""]), "damaged"),
            ("roles", json!(["p".repeat(32)]), "newer"),
            ("roles", json!(["p".repeat(33)]), "damaged"),
            ("roles", json!("porter"), "damaged"),
        ],
    );
}

#[test]
fn certificates() {
    let guardians = |accounts: &[u8]| {
        let guardians = accounts.iter().map(|&number| Guardian { account: account(number), until: time(1) });
        serde_json::to_value(guardians.collect::<Vec<_>>()).unwrap()
    };
    expect(
        &certificate(),
        [
            ("role", json!("porter"), "newer"),
            ("role", json!("Patient"), "damaged"),
            ("role", json!(["porter"]), "damaged"),
            ("succeeds", json!(account(2)), "taken"),
            ("succeeds", json!(account(1)), "damaged"),
            ("guardians", guardians(&[2, 3, 4, 5]), "taken"),
            ("guardians", guardians(&[2, 3, 4, 5, 6]), "damaged"),
            ("guardians", guardians(&[3, 2]), "damaged"),
            ("guardians", guardians(&[2, 2]), "damaged"),
            ("guardians", guardians(&[1]), "damaged"),
        ],
    );
}

#[test]
fn key_lists() {
    let list = key_list();
    let encryption = |keys: &[EncryptionKey]| serde_json::to_value(keys).unwrap();
    let (x25519, pq) = (recipient(Suite::X25519, "q"), recipient(Suite::Pq, "q"));
    let unknown = json!([x25519, { "suite": 3, "recipient": "age3" }]);
    let devices =
        |numbers: std::ops::Range<u8>| serde_json::to_value(numbers.map(device).collect::<Vec<_>>()).unwrap();
    let gone = |numbers: &[u8]| {
        serde_json::to_value(numbers.iter().map(|&number| removed(number, 0)).collect::<Vec<_>>()).unwrap()
    };
    let mut of_since = gone(&[9]);
    of_since[0]["since"] = json!(time(3));
    let mut roles = devices(2..3);
    roles[0]["roles"] = json!(["auth", "read"]);
    expect(
        &list,
        [
            ("epoch", json!(0), "damaged"),
            ("epoch", json!(u32::MAX), "taken"),
            ("epoch", json!(1u64 << 32), "damaged"),
            ("encryption", json!([]), "damaged"),
            ("encryption", encryption(&[x25519.clone(), pq.clone()]), "taken"),
            ("encryption", encryption(&[pq.clone(), x25519.clone()]), "damaged"),
            ("encryption", encryption(&[x25519.clone(), recipient(Suite::X25519, "p")]), "damaged"),
            ("encryption", encryption(&[EncryptionKey { suite: Suite::Pq, ..x25519 }]), "damaged"),
            ("encryption", unknown, "newer"),
            ("devices", json!([]), "damaged"),
            ("devices", devices(2..18), "taken"),
            ("devices", devices(2..19), "damaged"),
            ("devices", json!([device(2), device(2)]), "damaged"),
            ("devices", roles, "newer"),
            ("removed", gone(&[9, 8]), "taken"),
            ("removed", gone(&[9, 9]), "damaged"),
            ("removed", gone(&[2]), "damaged"),
            ("removed", of_since, "taken"),
            ("allows", json!(["clinician-readmits", "clinician-shares"]), "taken"),
            ("allows", json!(["clinician-shares", "clinician-readmits"]), "damaged"),
            ("allows", json!(["clinician-shares", "clinician-shares"]), "damaged"),
            ("allows", json!(["clinician-shares", "everybody-reads"]), "newer"),
            ("allows", json!(["Everybody"]), "damaged"),
        ],
    );
    let many = |length: usize| {
        let removed = (0..length).map(|number| {
            let mut secret = [7; 32];
            secret[..8].copy_from_slice(&number.to_be_bytes());
            let key = SigningKey::from_bytes(&secret).verifying_key().to_bytes();
            RemovedDevice { key: PublicKey::from_bytes(key), sequence: 1 << 52, since: Some(time(1)) }
        });
        KeyList {
            removed: removed.collect(),
            encryption: vec![recipient(Suite::X25519, "q"), pq.clone()],
            ..key_list()
        }
    };
    let longest = many(256);
    let signed = envelope::sign(&longest, KeyId::of_account_root(&key(1)), |bytes| {
        signing_key(1).sign(bytes).to_bytes()
    });
    assert_eq!(signed.unwrap().unverified(), &longest);
    assert!(many(257).check().is_err());
}

#[test]
fn added_devices() {
    expect(
        &added(),
        [
            ("key", json!(PublicKey::from_bytes([0; 32])), "damaged"),
            ("roles", json!([]), "damaged"),
            ("roles", json!(["seal", "auth"]), "damaged"),
            ("roles", json!(["auth", "seal"]), "taken"),
            ("roles", json!(["auth", "read"]), "newer"),
            ("by", json!(KeyId::of_device(&key(3))), "damaged"),
        ],
    );
}

#[test]
fn lists_of_revocations() {
    let digest = Digest::of(b"entries");
    expect(
        &revocations(),
        [
            ("number", json!(0), "damaged"),
            ("number", json!(2), "damaged"),
            ("previous", json!(digest), "damaged"),
            ("expires", json!(time(10)), "damaged"),
            ("expires", json!(time(11)), "taken"),
            ("expires", json!(time(11 + 7 * 24 * 3600)), "damaged"),
            ("entries", json!([]), "damaged"),
            ("entries", json!([digest, digest]), "newer"),
        ],
    );
}

fn any_list() -> impl Strategy<Value = KeyList> {
    let suites = prop::sample::subsequence(vec![Suite::X25519, Suite::Pq], 1..=2);
    let allows =
        prop::sample::subsequence(vec![Allowance::ClinicianReadmits, Allowance::ClinicianShares], 0..=2);
    let keys = prop::sample::subsequence((2..30u8).collect::<Vec<_>>(), 1..=16);
    (suites, allows, keys, 0..16usize, 1u32.., any::<u32>()).prop_map(
        |(suites, allows, numbers, removed_of_them, epoch, sequence)| {
            let removed_of_them = removed_of_them.min(numbers.len() - 1);
            let (gone, kept) = numbers.split_at(removed_of_them);
            KeyList {
                epoch,
                encryption: suites.into_iter().map(|suite| recipient(suite, "z")).collect(),
                devices: kept.iter().map(|&number| device(number)).collect(),
                removed: gone.iter().map(|&number| removed(number, sequence.into())).collect(),
                allows,
                ..key_list()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_signed_is_read_as_the_same(list in any_list()) {
        let key_id = KeyId::of_account_root(&key(1));
        let signed = envelope::sign(&list, key_id, |bytes| signing_key(1).sign(bytes).to_bytes()).unwrap();
        let read = Envelope::<KeyList>::parse(signed.bytes()).unwrap();
        let read = read.verify(key_id, &key(1)).unwrap();
        prop_assert_eq!(&*read, &list);
    }

    #[test]
    fn a_list_follows_on_itself_and_a_removal_is_for_good(list in any_list()) {
        prop_assert_eq!(list.check_follows(&list), Ok(()));
        if list.devices.len() > 1 {
            let gone = list.devices[0].key;
            let mut next = list.clone();
            next.devices.remove(0);
            prop_assert!(next.check_follows(&list).is_err(), "a device that is nowhere");
            next.removed.push(RemovedDevice { key: gone, sequence: 3, since: None });
            prop_assert_eq!(next.check_follows(&list), Ok(()));
            prop_assert!(list.check_follows(&next).is_err(), "a device that came back");
            let mut other = next.clone();
            other.removed.last_mut().unwrap().sequence = 4;
            prop_assert!(other.check_follows(&next).is_err(), "a removal that changed");
        }
        let mut other_roles = list.clone();
        other_roles.devices[0].roles = vec![DeviceRole::Seal];
        prop_assert!(other_roles.check_follows(&list).is_err());
    }

    #[test]
    fn recipients_change_exactly_with_the_epoch(list in any_list()) {
        let other = |letter: &str, epoch: u32| KeyList {
            epoch,
            encryption: list.encryption.iter().map(|key| recipient(key.suite, letter)).collect(),
            ..list.clone()
        };
        if let Some(next) = list.epoch.checked_add(1) {
            prop_assert_eq!(other("q", next).check_follows(&list), Ok(()));
            prop_assert!(other("z", next).check_follows(&list).is_err());
            prop_assert!(list.check_follows(&other("q", next)).is_err());
        }
        prop_assert!(other("q", list.epoch).check_follows(&list).is_err());
    }
}
