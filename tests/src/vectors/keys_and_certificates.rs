//! Key lists and certificates at the bounds of their form, on either side of each.

use vault_core::signing_key::SigningKey;
use vault_proto::envelope::Statement as _;
use vault_proto::ids::{AccountId, Digest, KeyId, OrganisationId, PublicKey};
use vault_proto::statements::{
    Allowance, Certificate, DeviceKey, DeviceRole, EncryptionKey, KeyList, RemovedDevice, Suite,
};

use super::Outcome::{self, Damaged, NewerFormat};
use super::Scenario;
use super::cast::{Cast, Person};
use super::draft::Draft;
use super::primitives::{envelope, fixed_bytes};
use super::untrusted::{SEALER, SUITE, certificate, issuer, key_list, members};

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    [
        encryption_keys(cast),
        devices(cast),
        removed_devices(cast),
        chained(cast),
        labels(cast),
        versions(cast),
        accepted(cast),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The clinician's key of any epoch.
fn key(suite: Suite, epoch: u32) -> EncryptionKey {
    let identity = Cast::of("hospital").clinician.identity_of(suite, epoch);
    EncryptionKey { suite, recipient: identity.recipient().to_string() }
}

/// A device that nobody has.
fn device(name: &str, roles: &[DeviceRole]) -> DeviceKey {
    let key = SigningKey::from_bytes(&fixed_bytes(name));
    DeviceKey { key: PublicKey::from_bytes(key.public()), roles: roles.to_vec() }
}

const BOTH: &[DeviceRole] = &[DeviceRole::Auth, DeviceRole::Seal];

fn encryption_keys(cast: &Cast) -> Vec<Scenario> {
    let refused = |name, text, change: fn(&mut KeyList)| key_list(cast, (name, text, Damaged), change);
    vec![
        refused("keys-none", "a key list without an encryption key", |list| list.encryption.clear()),
        refused("keys-five", "a key list of five encryption keys", |list| {
            list.encryption = (1..=5).map(|epoch| key(SUITE, epoch)).collect();
        }),
        refused("keys-of-epoch-zero", "a key list of epoch 0", |list| list.epoch = 0),
        refused("keys-of-one-suite-twice", "two keys of one suite", |list| {
            list.encryption.push(key(SUITE, 2));
        }),
        refused("keys-of-descending-suites", "a key of suite pq before that of suite x25519", |list| {
            list.encryption.insert(0, key(Suite::Pq, 1));
        }),
        refused("keys-recipient-of-pq-under-x25519", "a recipient of suite pq under suite x25519", |list| {
            list.encryption = vec![EncryptionKey { suite: SUITE, ..key(Suite::Pq, 1) }];
        }),
        refused("keys-recipient-of-x25519-under-pq", "a recipient of suite x25519 under suite pq", |list| {
            list.encryption.push(EncryptionKey { suite: Suite::Pq, ..key(SUITE, 2) });
        }),
        refused("keys-recipient-in-capitals", "a recipient in capitals", |list| {
            list.encryption[0].recipient.make_ascii_uppercase();
        }),
        refused("keys-recipient-too-short", "a recipient without its last character", |list| {
            list.encryption.push(key(Suite::Pq, 1));
            list.encryption[1].recipient.pop();
        }),
        refused("keys-recipient-too-long", "a recipient with a character more", |list| {
            list.encryption.push(key(Suite::Pq, 1));
            list.encryption[1].recipient.push('q');
        }),
        refused("keys-recipient-of-a-program", "a recipient that names a program of its own", |list| {
            list.encryption[0].recipient = format!("age1evil1{}", "q".repeat(53));
        }),
        refused(
            "keys-recipient-of-other-letters",
            "a recipient with a letter that Bech32 does not have",
            |list| list.encryption[0].recipient.replace_range(10..11, "b"),
        ),
    ]
}

fn devices(cast: &Cast) -> Vec<Scenario> {
    let refused = |name, text, change: fn(&mut KeyList)| key_list(cast, (name, text, Damaged), change);
    let mut all = vec![
        refused("keys-no-device", "a key list without a device", |list| list.devices.clear()),
        refused("keys-17-devices", "a key list of 17 devices", |list| {
            list.devices.extend((0..16).map(|number| device(&format!("device {number}"), BOTH)));
        }),
        refused("keys-device-twice", "a device that is listed twice, with other roles", |list| {
            let again = DeviceKey { roles: vec![DeviceRole::Auth], ..list.devices[0].clone() };
            list.devices.push(again);
        }),
        refused("keys-device-without-a-role", "a device without a role", |list| {
            list.devices.push(device("more", &[]));
        }),
        refused("keys-device-with-a-role-twice", "a device with one role twice", |list| {
            list.devices.push(device("more", &[DeviceRole::Seal, DeviceRole::Seal]));
        }),
        refused("keys-device-with-roles-exchanged", "a device whose roles stand in another order", |list| {
            list.devices.push(device("more", &[DeviceRole::Seal, DeviceRole::Auth]));
        }),
        refused("keys-device-of-no-point", "a device key that is no point of the curve", |list| {
            let mut bytes = [0; 32];
            bytes[0] = 2;
            list.devices.push(DeviceKey { key: PublicKey::from_bytes(bytes), roles: BOTH.to_vec() });
        }),
        refused(
            "keys-device-not-canonical",
            "a device key whose coordinate is not below the prime",
            |list| {
                let mut bytes = [0xff; 32];
                (bytes[0], bytes[31]) = (0xf0, 0x7f);
                list.devices.push(DeviceKey { key: PublicKey::from_bytes(bytes), roles: BOTH.to_vec() });
            },
        ),
        refused(
            "keys-device-of-small-order",
            "a device key of order 8 that nothing is signed with",
            |list| {
                let bytes = data_encoding::HEXLOWER
                    .decode(b"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
                    .unwrap();
                let key = PublicKey::from_bytes(bytes.try_into().unwrap());
                list.devices.push(DeviceKey { key, roles: BOTH.to_vec() });
            },
        ),
        issuer(
            cast,
            (
                "chain-organisation-of-small-order",
                "an organisation root for which one signature fits everything",
                Damaged,
            ),
            |issuer| {
                let mut bytes = [0; 32];
                bytes[0] = 1;
                issuer.root = PublicKey::from_bytes(bytes);
                issuer.organisation = OrganisationId::of_root(&issuer.root);
            },
        ),
        issuer(
            cast,
            (
                "chain-issuer-of-small-order",
                "an issuer's key for which one signature fits everything",
                Damaged,
            ),
            |issuer| {
                let mut bytes = [0; 32];
                bytes[0] = 1;
                issuer.issuer = PublicKey::from_bytes(bytes);
            },
        ),
    ];
    for (name, text, from, to) in [
        ("keys-device-with-a-role-in-capitals", "a device with a role in capitals", "\"seal\"", "\"Seal\""),
        ("keys-of-fraction-epochs", "an epoch with a point", "\"epoch\":1", "\"epoch\":1.0"),
        ("keys-of-too-high-an-epoch", "an epoch of 2^32", "\"epoch\":1", "\"epoch\":4294967296"),
        ("keys-of-an-epoch-that-wraps", "an epoch of 2^32 + 1", "\"epoch\":1", "\"epoch\":4294967297"),
        ("keys-that-expire", "a key list with a field that none has", "\"encryption\"", EXPIRES),
    ] {
        all.push(respelt(cast, (name, text, Damaged), |payload| payload.replace(from, to)));
    }
    all.push(respelt(
        cast,
        ("newer-device-role", "a device with a role that is unknown", NewerFormat),
        |payload| payload.replace("\"seal\"", "\"grant\""),
    ));
    all
}

/// A device that was removed.
fn removed(name: &str) -> RemovedDevice {
    RemovedDevice { key: device(name, BOTH).key, sequence: 0, since: None }
}

fn removed_devices(cast: &Cast) -> Vec<Scenario> {
    let refused = |name, text, change: fn(&mut KeyList)| key_list(cast, (name, text, Damaged), change);
    let mut all = vec![
        refused("keys-257-removed", "a key list of 257 removed devices", |list| {
            list.removed = (0..257).map(|number| removed(&format!("device {number}"))).collect();
        }),
        refused("keys-removed-and-listed", "a device that is listed and removed", |list| {
            list.removed.push(RemovedDevice { key: list.devices[0].key, sequence: 7, since: None });
        }),
        refused("keys-removed-twice", "a device that is removed twice", |list| {
            list.removed = vec![removed("gone"), RemovedDevice { sequence: 7, ..removed("gone") }];
        }),
        refused("keys-removed-of-no-point", "a removed device whose key is no point of the curve", |list| {
            let mut bytes = [0; 32];
            bytes[0] = 2;
            list.removed.push(RemovedDevice { key: PublicKey::from_bytes(bytes), ..removed("gone") });
        }),
        refused("keys-allows-a-word-twice", "a word that is allowed twice", |list| {
            list.allows = vec![Allowance::ClinicianShares, Allowance::ClinicianShares];
        }),
        refused("keys-allows-descending-words", "allowed words in another order", |list| {
            list.allows = vec![Allowance::ClinicianShares, Allowance::ClinicianReadmits];
        }),
    ];
    for (name, text, outcome, allows) in [
        ("keys-allows-no-word", "an allowed word in capitals", Damaged, "[\"Clinician-shares\"]"),
        ("keys-allows-an-empty-word", "an allowed word of no character", Damaged, "[\"\"]"),
        (
            "keys-allows-a-word-of-33-characters",
            "an allowed word of 33 characters",
            Damaged,
            "[\"a-word-that-is-one-letter-too-long\"]",
        ),
        (
            "newer-allowed-word-of-32-characters",
            "an unknown word of 32 characters",
            NewerFormat,
            "[\"0-word-of-thirty-two-characters0\"]",
        ),
        ("keys-allows-null", "null in place of the allowed words", Damaged, "null"),
        ("newer-allowed-word", "an allowed word that is unknown", NewerFormat, "[\"everybody-reads\"]"),
    ] {
        all.push(respelt(cast, (name, text, outcome), move |payload| {
            payload.replace("\"allows\":[]", &format!("\"allows\":{allows}"))
        }));
    }
    all.push(respelt(
        cast,
        ("keys-without-removed", "a key list that does not say what was removed", Damaged),
        |payload| payload.replace("\"removed\":[],", ""),
    ));
    all
}

const EXPIRES: &str = "\"expires\":\"2029-03-01T00:00:00Z\",\"encryption\"";

/// The clinician's key list with another payload.
fn respelt(cast: &Cast, what: (&str, &str, Outcome), change: impl Fn(String) -> String) -> Scenario {
    members(cast, what, |members| {
        let list = serde_json::to_string(&cast.key_list(&cast.clinician, SUITE)).unwrap();
        let changed = change(list.clone());
        assert_ne!(changed, list);
        members[SEALER].key_list = signed_list(&cast.clinician, KeyList::PAYLOAD_TYPE, &changed);
    })
}

fn signed_list(person: &Person, payload_type: &str, payload: &str) -> String {
    let root = person.seed.account_root();
    let key_id = KeyId::of_account_root(&PublicKey::from_bytes(root.public()));
    String::from_utf8(envelope(payload_type, payload.as_bytes(), key_id, &root)).unwrap()
}

fn chained(cast: &Cast) -> Vec<Scenario> {
    let refused = |name, text, change: fn(&mut KeyList)| key_list(cast, (name, text, Damaged), change);
    vec![
        refused("chain-root-of-small-order", "a root for which one signature fits every list", |list| {
            let mut bytes = [0; 32];
            bytes[0] = 1;
            list.root = PublicKey::from_bytes(bytes);
            list.account = AccountId::of_root(&list.root);
        }),
        refused("keys-number-zero", "a key list of number 0", |list| list.number = 0),
        refused("keys-first-with-a-previous", "a first key list that names one before it", |list| {
            list.previous = Some(Digest::of(b"a list"));
        }),
        refused("keys-second-without-a-previous", "a second key list that names none before it", |list| {
            list.number = 2;
        }),
    ]
}

/// A certificate whose label has a byte that no UTF-8 has.
fn label_of_bytes(cast: &Cast) -> Scenario {
    members(cast, ("chain-label-is-no-text", "a label that is no UTF-8", Damaged), |members| {
        let statement = Certificate { label: Some("Dr E?".to_owned()), ..cast.certificate(&cast.clinician) };
        let mut payload = serde_json::to_vec(&statement).unwrap();
        let at = payload.iter().position(|byte| *byte == b'?').unwrap();
        payload[at] = 0xff;
        let issuer = KeyId::of_issuer(&PublicKey::from_bytes(cast.issuer.public()));
        let signed = envelope(Certificate::PAYLOAD_TYPE, &payload, issuer, &cast.issuer);
        members[SEALER].certificate = String::from_utf8(signed).unwrap();
    })
}

fn labels(cast: &Cast) -> Vec<Scenario> {
    let labelled =
        |name, text, change: fn(&mut Certificate)| certificate(cast, (name, text, Damaged), change);
    vec![
        label_of_bytes(cast),
        labelled("chain-label-too-long", "a label of 129 characters", |c| c.label = Some("a".repeat(129))),
        labelled("chain-label-of-two-lines", "a label with a line feed", |c| {
            c.label = Some("Dr Ex\nample".to_owned());
        }),
        labelled("chain-label-with-a-line-separator", "a label with U+2028", |c| {
            c.label = Some("Dr Ex\u{2028}ample".to_owned());
        }),
        labelled("chain-label-with-a-letter-mark", "a label with U+061C", |c| {
            c.label = Some("Dr \u{61c}Example".to_owned());
        }),
        labelled("chain-label-with-an-isolate", "a label with U+2067", |c| {
            c.label = Some("Dr \u{2067}elpmaxE".to_owned());
        }),
        labelled("chain-label-with-a-c1-control", "a label with U+009B", |c| {
            c.label = Some("Dr \u{9b}2J".to_owned());
        }),
    ]
}

/// The clinician's key list under other payload types.
fn versions(cast: &Cast) -> Vec<Scenario> {
    let of = |version: &str| format!("application/vnd.recording-vault.key-list.v{version}+json");
    [
        ("newer-key-list-v10", "10", NewerFormat),
        ("newer-key-list-v999999999", "999999999", NewerFormat),
        ("respelt-version-0", "0", Damaged),
        ("respelt-version-01", "01", Damaged),
        ("respelt-version-02", "02", Damaged),
        ("respelt-version-of-ten-digits", "1000000000", Damaged),
        ("respelt-version-of-letters", "2b", Damaged),
    ]
    .into_iter()
    .map(|(name, version, outcome)| {
        members(cast, (name, &format!("a key list of version {version:?}"), outcome), move |members| {
            let list = serde_json::to_string(&cast.key_list(&cast.clinician, SUITE)).unwrap();
            members[SEALER].key_list = signed_list(&cast.clinician, &of(version), &list);
        })
    })
    .collect()
}

/// What stands just within its bounds.
fn accepted(cast: &Cast) -> Vec<Scenario> {
    let opened = |name: &str, text: &str, list: fn(&mut KeyList), certificate: fn(&mut Certificate)| {
        let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
        draft.on_members = Box::new(move |members| {
            let mut statement = cast.key_list(&cast.clinician, SUITE);
            list(&mut statement);
            members[SEALER].key_list = cast.sign_key_list(&cast.clinician, &statement);
            let mut statement = cast.certificate(&cast.clinician);
            certificate(&mut statement);
            members[SEALER].certificate = cast.sign_certificate(&statement);
        });
        Scenario::opened(name, text, cast, &draft.record())
    };
    vec![
        opened(
            "opens-keys-of-two-suites",
            "a key list with a key of each suite",
            |list| list.encryption.push(key(Suite::Pq, 1)),
            |_| {},
        ),
        opened(
            "opens-16-devices",
            "a key list of 16 devices, of each roles",
            |list| {
                let roles = [&[DeviceRole::Auth][..], &[DeviceRole::Seal], BOTH];
                let more = (0..15).zip(roles.into_iter().cycle());
                list.devices.extend(more.map(|(number, roles)| device(&format!("device {number}"), roles)));
            },
            |_| {},
        ),
        opened(
            "opens-256-removed",
            "a key list of 256 removed devices, of all sequences, and all that can be allowed",
            |list| {
                let since = Some(super::cast::time("2026-03-01T00:00:00Z"));
                let gone =
                    (0..256).map(|number| RemovedDevice { since, ..removed(&format!("gone {number}")) });
                list.removed = gone.collect();
                list.removed[0] = RemovedDevice { sequence: (1 << 53) - 1, ..removed("gone 0") };
                list.allows = vec![Allowance::ClinicianReadmits, Allowance::ClinicianShares];
                list.epoch = u32::MAX;
            },
            |_| {},
        ),
        opened(
            "opens-key-list-number-two",
            "a second key list, which names the one before by its digest",
            |list| {
                list.number = 2;
                list.previous = Some(Digest::of(b"the list before"));
            },
            |_| {},
        ),
        opened(
            "opens-label-of-128-characters",
            "a label of 128 characters beyond the basic plane",
            |_| {},
            |certificate| certificate.label = Some("\u{1f3e5}".repeat(128)),
        ),
        opened(
            "opens-certificate-for-a-time-before-it-was-issued",
            "a certificate that was issued 120 s after `created`, for a time that began long before",
            |_| {},
            |certificate| certificate.issued = super::cast::time("2026-11-21T09:32:00Z"),
        ),
    ]
}
