//! Members of a manifest, the statements that they name by their digests, and devices that were added to key lists.

use vault_core::signing_key::SigningKey;
use vault_proto::envelope::Statement as _;
use vault_proto::ids::{Digest, KeyId, PublicKey};
use vault_proto::statements::{Device, DeviceKey, DeviceRole, KeyList, Manifest, Member, RemovedDevice};

use super::Outcome::{self, Damaged, MixUp, NewerFormat, NotEntitled};
use super::Scenario;
use super::cast::{Cast, MemberText, time};
use super::draft::{Draft, Objects, Recording};
use super::primitives::{digest, envelope, fixed_bytes, signed};
use super::untrusted::{SEALER, SUITE, begin_with, members};

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    [who(cast), whose(cast), spelling(cast), statements(cast), devices(cast), added(cast)]
        .into_iter()
        .flatten()
        .collect()
}

/// Members that are not exactly those that are needed.
fn who(cast: &Cast) -> Vec<Scenario> {
    let mut all = vec![
        members(cast, ("member-sealer-missing", "members without the sealer", Damaged), |members| {
            members.truncate(1);
        }),
        members(cast, ("member-patient-missing", "members without the patient", Damaged), |members| {
            members.remove(0);
        }),
        members(cast, ("member-nobody", "no member", Damaged), Vec::clear),
        members(cast, ("member-one-too-many", "another patient among the members", Damaged), |members| {
            members.push(cast.member(&cast.other, SUITE))
        }),
        members(cast, ("member-twice", "the patient twice among the members", Damaged), |members| {
            members.push(members[0].clone());
        }),
        members(
            cast,
            ("member-somebody-else", "another patient's member in place of the patient's", Damaged),
            |members| members[0] = cast.member(&cast.other, SUITE),
        ),
    ];
    let name = "member-order";
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    draft.on_manifest = Box::new(|manifest| manifest.members.reverse());
    all.push(Scenario::refused(name, "members in another order", cast, &draft.record(), Damaged));
    let name = "member-recorder-missing";
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]).sealed_by(&cast.recorder);
    draft.on_members = Box::new(|members| drop(members.pop()));
    let text = "members without the recorder, who sealed it";
    all.push(Scenario::refused(name, text, cast, &draft.record(), Damaged));
    all
}

/// Members whose statements are somebody else's.
fn whose(cast: &Cast) -> Vec<Scenario> {
    vec![
        members(
            cast,
            ("member-key-list-of-another", "the patient's key list in the sealer's member", NotEntitled),
            |members| members[SEALER].key_list = members[0].key_list.clone(),
        ),
        members(
            cast,
            (
                "member-certificate-of-another",
                "another clinician's certificate in the sealer's member",
                NotEntitled,
            ),
            |members| {
                let mut certificate = cast.certificate(&cast.clinician);
                certificate.account = cast.other.account;
                members[SEALER].certificate = cast.sign_certificate(&certificate);
            },
        ),
        members(
            cast,
            ("member-statements-of-another", "all statements of another account in a member", NotEntitled),
            |members| {
                let account = members[SEALER].account;
                members[SEALER] = MemberText { account, ..cast.member(&cast.other, SUITE) };
            },
        ),
    ]
}

/// Rewrites the payload of a manifest.
type Rewrite = fn(&str) -> String;

fn spelling(cast: &Cast) -> Vec<Scenario> {
    let cases: [(&str, &str, Rewrite); 5] = [
        ("unknown-field", "a field more in a member", |text| {
            text.replacen(r#""device":null"#, r#""device":null,"extra":null"#, 1)
        }),
        ("repeated-field", "a member's account twice", |text| {
            let from = text.find(r#""members":[{"#).unwrap() + 12;
            let account = &text[from..from + r#""account":"","#.len() + 64];
            format!("{}{account}{}", &text[..from], &text[from..])
        }),
        ("missing-device", "a member that says nothing of a device", |text| {
            text.replacen(r#","device":null"#, "", 1)
        }),
        ("digest-in-capitals", "a digest in capitals", |text| {
            let from = text.find(r#""issuer":""#).unwrap() + 10;
            format!("{}{}{}", &text[..from], text[from..from + 64].to_uppercase(), &text[from + 64..])
        }),
        ("array-for-an-object", "the values of a member in an array", |text| {
            let from = text.find(r#""members":[{"#).unwrap() + 11;
            let to = from + text[from..].find('}').unwrap() + 1;
            let member: Member = serde_json::from_str(&text[from..to]).unwrap();
            let Member { account, issuer, certificate, key_list, .. } = member;
            let array = format!(r#"["{account}","{issuer}","{certificate}","{key_list}",null]"#);
            format!("{}{array}{}", &text[..from], &text[to..])
        }),
    ];
    cases
        .into_iter()
        .map(|(what, text, change)| {
            let name = format!("member-{what}");
            let mut draft = Draft::new(cast, SUITE, &name, &[(0, 250)]);
            draft.on_payload = Box::new(move |payload_type, payload| {
                if payload_type == Manifest::PAYLOAD_TYPE {
                    let before = String::from_utf8(payload.clone()).unwrap();
                    *payload = change(&before).into_bytes();
                    assert_ne!(*payload, before.into_bytes());
                }
            });
            Scenario::refused(&name, text, cast, &draft.record(), Damaged)
        })
        .collect()
}

/// Changes what lies under the digests that a member names.
type Change = fn(&mut Objects, &Member, &Member);

/// What a store does to statements without any key: the clinician's and the patient's members are handed over.
fn statements(cast: &Cast) -> Vec<Scenario> {
    let record = |name: &str| Draft::new(cast, SUITE, name, &[(0, 250)]).record();
    let recording = record("statements");
    let (sealer, patient) = (recording.member(&cast.clinician), recording.member(&cast.patient));
    let changes: [(&str, &str, Outcome, Change); 12] = [
        ("statements-missing-issuer-certificate", "no issuer certificate", Damaged, |o, sealer, _| {
            o.statements.remove(&sealer.issuer);
        }),
        ("statements-missing-certificate", "no certificate of the sealer", Damaged, |o, sealer, _| {
            o.statements.remove(&sealer.certificate);
        }),
        ("statements-missing-key-list", "no key list of the sealer", Damaged, |o, sealer, _| {
            o.statements.remove(&sealer.key_list);
        }),
        (
            "statements-swapped-certificates",
            "the patient's certificate under the digest of the sealer's",
            Damaged,
            |o, sealer, patient| {
                *o.statement(&sealer.certificate) = o.statement(&patient.certificate).clone();
            },
        ),
        (
            "statements-swapped-key-lists",
            "the patient's key list under the digest of the sealer's",
            Damaged,
            |o, sealer, patient| *o.statement(&sealer.key_list) = o.statement(&patient.key_list).clone(),
        ),
        (
            "statements-certificate-under-a-key-list",
            "the sealer's certificate under the digest of the sealer's key list",
            Damaged,
            |o, sealer, _| *o.statement(&sealer.key_list) = o.statement(&sealer.certificate).clone(),
        ),
        (
            "statements-newer-under-a-key-list",
            "a statement of a newer version under the digest of another",
            Damaged,
            |o, sealer, patient| {
                let text = String::from_utf8(o.statement(&patient.key_list).clone()).unwrap();
                *o.statement(&sealer.key_list) = text.replace("key-list.v1", "key-list.v2").into_bytes();
            },
        ),
        ("statements-altered-payload", "a byte of a certificate's payload", Damaged, |o, sealer, _| {
            replace_digit(o.statement(&sealer.certificate), r#""payload":""#, 40);
        }),
        (
            "statements-altered-signature",
            "a byte of a certificate's signature",
            NotEntitled,
            |o, sealer, _| {
                replace_digit(o.statement(&sealer.certificate), r#""sig":""#, 3);
            },
        ),
        ("statements-altered-key-id", "a digit of a key list's key id", NotEntitled, |o, sealer, _| {
            replace_digit(o.statement(&sealer.key_list), r#""keyid":""#, 3);
        }),
        ("statements-longer", "a line feed behind a key list", Damaged, |o, sealer, _| {
            o.statement(&sealer.key_list).push(b'\n');
        }),
        ("statements-cut", "a key list without its last byte", Damaged, |o, sealer, _| {
            o.statement(&sealer.key_list).pop();
        }),
    ];
    let mut all: Vec<Scenario> = changes
        .into_iter()
        .map(|(name, text, outcome, change)| {
            Scenario::refused(name, text, cast, &recording, outcome)
                .with(|objects| change(objects, &sealer, &patient))
        })
        .collect();

    let other = record("another recording");
    let text = "no statement at all, and the manifest of another recording";
    let mut mixed = Scenario::refused("statements-missing-beside-a-mix-up", text, cast, &other, MixUp);
    mixed.description.requested = recording.id;
    all.push(mixed.with(|objects| objects.statements.clear()));

    let name = "statements-missing-beside-a-stranger";
    let stranger = Draft::new(cast, SUITE, name, &[(0, 250)]).sealed_by(&cast.other).record();
    let text = "sealed by another patient, whose key list is missing";
    let missing = stranger.member(&cast.other).key_list;
    all.push(
        Scenario::refused(name, text, cast, &stranger, Damaged)
            .with(|objects| drop(objects.statements.remove(&missing))),
    );

    let name = "opens-beside-other-statements";
    let text = "statements of somebody else beside those that are named";
    let others = cast.member(&cast.other, SUITE);
    all.push(Scenario::opened(name, text, cast, &record(name)).with(|objects| {
        for envelope in others.statements() {
            objects.statements.insert(digest(envelope.as_bytes()), envelope.clone().into_bytes());
        }
    }));
    all
}

/// Exchanges a digit of an envelope, so many behind a mark, for another of base64 and of hexadecimal.
fn replace_digit(envelope: &mut [u8], mark: &str, behind: usize) {
    let text = String::from_utf8(envelope.to_vec()).unwrap();
    let at = text.find(mark).unwrap() + mark.len() + behind;
    let digit = envelope.get_mut(at).unwrap();
    *digit = if *digit == b'1' { b'2' } else { b'1' };
}

/// A device that is in the clinician's key list in place of the one that seals.
fn adder() -> SigningKey {
    SigningKey::from_bytes(&fixed_bytes("device that adds another"))
}

const BOTH: [DeviceRole; 2] = [DeviceRole::Auth, DeviceRole::Seal];

/// The clinician's key list with a device in `roles` that adds others, and without the one that seals.
fn list_of_adder(cast: &Cast, roles: &[DeviceRole]) -> KeyList {
    let key = PublicKey::from_bytes(adder().public());
    let devices = vec![DeviceKey { key, roles: roles.to_vec() }];
    KeyList { devices, ..cast.key_list(&cast.clinician, SUITE) }
}

/// What adds the clinician's sealing device to `list`.
fn adding(cast: &Cast, list: &KeyList) -> Device {
    Device {
        account: cast.clinician.account,
        key_list: digest(cast.sign_key_list(&cast.clinician, list).as_bytes()),
        key: PublicKey::from_bytes(cast.clinician.device.public()),
        roles: vec![DeviceRole::Seal],
        by: KeyId::of_device(&PublicKey::from_bytes(adder().public())),
        created: time("2026-11-01T00:00:00Z"),
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// A recording by a device that was added to a list: `list` and `device` change both before they are signed.
fn with_device(
    cast: &Cast,
    name: &str,
    list: impl Fn(&mut KeyList),
    device: impl Fn(&mut Device),
) -> Recording {
    let mut key_list = list_of_adder(cast, &BOTH);
    list(&mut key_list);
    let mut added = adding(cast, &key_list);
    device(&mut added);
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    draft.on_members = Box::new(move |members| {
        members[SEALER].key_list = cast.sign_key_list(&cast.clinician, &key_list);
        members[SEALER].device = Some(text(signed(&added, added.by, &adder())));
    });
    draft.record()
}

fn devices(cast: &Cast) -> Vec<Scenario> {
    let refused = |name, text, outcome, list: fn(&mut KeyList), device: fn(&mut Device)| {
        Scenario::refused(name, text, cast, &with_device(cast, name, list, device), outcome)
    };
    let mut all = vec![
        Scenario::opened(
            "opens-sealed-by-an-added-device",
            "sealed by a device that another one added to the key list",
            cast,
            &with_device(cast, "opens-sealed-by-an-added-device", |_| {}, |_| {}),
        ),
        refused(
            "member-device-that-is-listed",
            "a statement that adds the sealing device to a key list that has it",
            Damaged,
            |list| list.devices.push(listed(&Cast::of("hospital"))),
            |_| {},
        ),
        refused(
            "member-device-of-another-key",
            "a statement that adds another device than the one that sealed",
            Damaged,
            |_| {},
            |device| device.key = another(),
        ),
        refused(
            "member-device-of-another-list",
            "the sealing device, added to another key list",
            NotEntitled,
            |_| {},
            |device| device.key_list = Digest::of(b"another key list"),
        ),
        refused(
            "member-device-of-another-account",
            "the sealing device, added to the keys of another account",
            NotEntitled,
            |_| {},
            |device| device.account = Cast::of("hospital").other.account,
        ),
        refused(
            "member-device-by-one-without-auth",
            "the sealing device, added by one that may only seal",
            NotEntitled,
            |list| list.devices[0].roles = vec![DeviceRole::Seal],
            |_| {},
        ),
        refused(
            "member-device-with-a-role-more",
            "the sealing device, added with a role that the one which added it has not",
            NotEntitled,
            |list| list.devices[0].roles = vec![DeviceRole::Auth],
            |_| {},
        ),
        refused(
            "member-device-that-may-not-seal",
            "the sealing device, added with the role auth only",
            NotEntitled,
            |_| {},
            |device| device.roles = vec![DeviceRole::Auth],
        ),
        refused(
            "member-device-that-was-removed",
            "the sealing device, added to a key list that removed it",
            NotEntitled,
            |list| {
                let key = PublicKey::from_bytes(Cast::of("hospital").clinician.device.public());
                list.removed.push(RemovedDevice { key, sequence: 9, since: None });
            },
            |_| {},
        ),
        refused(
            "member-device-by-a-stranger",
            "the sealing device, added by a device that the key list does not have",
            NotEntitled,
            |list| list.devices[0].key = another(),
            |_| {},
        ),
    ];
    let name = "member-device-missing";
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    draft.on_members = Box::new(|members| {
        let list = list_of_adder(cast, &BOTH);
        members[SEALER].key_list = cast.sign_key_list(&cast.clinician, &list);
    });
    let what = "sealed by a device that is not in the key list, and no statement that adds it";
    all.push(Scenario::refused(name, what, cast, &draft.record(), NotEntitled));

    let name = "member-device-of-a-reader";
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    draft.on_members = Box::new(|members| {
        let added = adding(cast, &list_of_adder(cast, &BOTH));
        members[0].device = Some(text(signed(&added, added.by, &adder())));
    });
    let what = "a device in the member of the patient, who did not seal";
    all.push(Scenario::refused(name, what, cast, &draft.record(), Damaged));
    all
}

/// The clinician's sealing device as a key list has it.
fn listed(cast: &Cast) -> DeviceKey {
    DeviceKey { key: PublicKey::from_bytes(cast.clinician.device.public()), roles: BOTH.to_vec() }
}

fn another() -> PublicKey {
    PublicKey::from_bytes(SigningKey::from_bytes(&fixed_bytes("another device")).public())
}

/// The statement that adds a device, otherwise than it should be, and what the reader knows of later lists.
fn added(cast: &Cast) -> Vec<Scenario> {
    let list = list_of_adder(cast, &BOTH);
    let by = adding(cast, &list).by;
    let signed_otherwise = |(name, what, outcome): (&str, &str, Outcome),
                            sign: &dyn Fn(&Device) -> Vec<u8>| {
        let device = text(sign(&adding(cast, &list)));
        let list = cast.sign_key_list(&cast.clinician, &list);
        let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
        draft.on_members = Box::new(move |members| {
            members[SEALER].key_list.clone_from(&list);
            members[SEALER].device = Some(device.clone());
        });
        Scenario::refused(name, what, cast, &draft.record(), outcome)
    };
    let payload = |device: &Device, from: &str, to: &str| {
        let payload = serde_json::to_string(device).unwrap();
        let changed = payload.replace(from, to);
        assert_ne!(changed, payload);
        envelope(Device::PAYLOAD_TYPE, changed.as_bytes(), by, &adder())
    };
    let own_id = cast.clinician.device_id();
    let mut all = vec![
        signed_otherwise(
            ("member-device-signed-by-itself", "a device that signed itself in another's name", NotEntitled),
            &|device| signed(device, by, &cast.clinician.device),
        ),
        signed_otherwise(
            ("member-device-by-itself", "a device that names itself as the one that added it", Damaged),
            &|device| signed(&Device { by: own_id, ..device.clone() }, own_id, &cast.clinician.device),
        ),
        signed_otherwise(
            ("member-device-by-the-root", "a device that the account's root added", NotEntitled),
            &|device| {
                let root = cast.clinician.seed.account_root();
                signed(device, KeyId::of_account_root(&PublicKey::from_bytes(root.public())), &root)
            },
        ),
        signed_otherwise(
            ("member-device-without-a-role", "an added device without a role", Damaged),
            &|device| signed(&Device { roles: Vec::new(), ..device.clone() }, by, &adder()),
        ),
        signed_otherwise(
            (
                "member-device-with-roles-exchanged",
                "an added device whose roles stand in another order",
                Damaged,
            ),
            &|device| {
                let roles = vec![DeviceRole::Seal, DeviceRole::Auth];
                signed(&Device { roles, ..device.clone() }, by, &adder())
            },
        ),
        signed_otherwise(
            ("newer-role-of-an-added-device", "an added device with a role that is unknown", NewerFormat),
            &|device| payload(device, "\"seal\"", "\"grant\""),
        ),
        signed_otherwise(
            ("newer-added-device", "an added device in a statement of a newer version", NewerFormat),
            &|device| {
                let payload = serde_json::to_vec(device).unwrap();
                envelope("application/vnd.recording-vault.device.v2+json", &payload, by, &adder())
            },
        ),
        signed_otherwise(
            ("member-key-list-as-a-device", "the key list in place of what added the device", Damaged),
            &|_| cast.sign_key_list(&cast.clinician, &list).into_bytes(),
        ),
    ];
    let name = "member-device-of-no-point";
    let point = {
        let mut bytes = [0; 32];
        bytes[0] = 2;
        PublicKey::from_bytes(bytes)
    };
    let device = Device { key: point, ..adding(cast, &list) };
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    draft.on_members = Box::new(|members| {
        members[SEALER].key_list = cast.sign_key_list(&cast.clinician, &list);
        members[SEALER].device = Some(text(signed(&device, by, &adder())));
    });
    draft.on_manifest = Box::new(move |manifest| begin_with(manifest, KeyId::of_device(&point)));
    let what = "an added device, which sealed, whose key is no point of the curve";
    all.push(Scenario::refused(name, what, cast, &draft.record(), Damaged));

    let name = "statements-missing-device";
    let recording = with_device(cast, name, |_| {}, |_| {});
    let missing = recording.member(&cast.clinician).device.unwrap();
    all.push(
        Scenario::refused(name, "no statement that adds the sealing device", cast, &recording, Damaged)
            .with(|objects| drop(objects.statements.remove(&missing))),
    );

    // The list after that one has the added device, or removed it, or knows nothing of it.
    let after = |devices: Vec<DeviceKey>, removed: Vec<RemovedDevice>| {
        let mut next = KeyList {
            number: 2,
            previous: Some(digest(cast.sign_key_list(&cast.clinician, &list).as_bytes())),
            removed,
            created: time("2026-11-22T00:00:00Z"),
            ..list.clone()
        };
        next.devices.extend(devices);
        [&list, &next].map(|list| cast.sign_key_list(&cast.clinician, list)).to_vec()
    };
    let gone = |sequence| RemovedDevice { key: listed(cast).key, sequence, since: None };
    let added = |name: &str| with_device(cast, name, |_| {}, |_| {});
    let name = "opens-added-device-that-a-later-list-has";
    let what = "sealed by an added device that the reader knows from a later key list";
    all.push(Scenario::opened(name, what, cast, &added(name)).knowing(after(vec![listed(cast)], Vec::new())));
    let name = "opens-added-device-up-to-its-removal";
    let what = "sealed by an added device that a later key list removed behind this very manifest";
    all.push(Scenario::opened(name, what, cast, &added(name)).knowing(after(Vec::new(), vec![gone(1)])));
    let name = "removed-added-device";
    let what = "sealed by an added device that a later key list removed before it sealed anything";
    all.push(
        Scenario::refused(name, what, cast, &added(name), NotEntitled)
            .knowing(after(Vec::new(), vec![gone(0)])),
    );
    let name = "removed-added-device-without-a-word";
    let what = "sealed by an added device that a later key list neither has nor removed";
    all.push(
        Scenario::refused(name, what, cast, &added(name), NotEntitled).knowing(after(Vec::new(), Vec::new())),
    );
    all
}
