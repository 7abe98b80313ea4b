//! Payloads that are truly signed and spelled otherwise: outside the grammar, or of a newer format.

use vault_proto::envelope::{MAX_PAYLOAD, Statement as _};
use vault_proto::ids::{AccountId, Digest, KeyId, PublicKey, RecordingId, RecordingSalt};
use vault_proto::statements::{Allowance, KeyList, Manifest, Reader, ReaderRole, Suite};

use super::Outcome::{self, Damaged, MixUp, NewerFormat, NotEntitled};
use super::Scenario;
use super::cast::{Cast, time};
use super::draft::Draft;
use super::forged::forge;
use super::primitives::{envelope, taken_apart};

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    [payloads(cast), consultations(cast), sizes(cast), policies(cast), newer(cast)]
        .into_iter()
        .flatten()
        .collect()
}

/// Writes a payload otherwise.
type Rewrite = fn(String) -> Vec<u8>;

/// A recording whose payloads of one kind `change` has made wrong before they were signed.
fn payload(cast: &Cast, kind: &'static str, what: (&str, &str, Outcome), change: Rewrite) -> Scenario {
    forge(cast, what, |draft| {
        draft.on_payload = Box::new(move |payload_type, payload| {
            if payload_type.ends_with(kind) {
                *payload = change(String::from_utf8(payload.clone()).unwrap());
            }
        });
    })
}

/// Payloads outside the grammar, with true signatures.
fn payloads(cast: &Cast) -> Vec<Scenario> {
    const MANIFEST: &str = "manifest.v1+json";
    const SEAL: &str = "segment-seal.v1+json";
    const FINAL: &str = "final-seal.v1+json";
    let mut all = Vec::new();
    for (place, kind) in [("manifest", MANIFEST), ("segment-seal", SEAL), ("final-seal", FINAL)] {
        let changes: [(&str, Rewrite); 6] = [
            ("unknown-field", |text| text.replacen('{', r#"{"extra":null,"#, 1).into()),
            ("repeated-field", |text| {
                let first = text.split(',').next().unwrap().to_owned();
                text.replacen('{', &format!("{first},"), 1).into()
            }),
            ("trailing-bytes", |text| format!("{text}{{}}").into()),
            ("array-for-an-object", |text| {
                // The values in the order of the fields: what a careless parser takes for the object.
                let values = ordered_values(&text);
                format!("[{}]", values.join(",")).into()
            }),
            ("not-utf-8", |text| [text.as_bytes(), &[0xff]].concat()),
            ("byte-order-mark", |text| format!("\u{feff}{text}").into()),
        ];
        for (what, change) in changes {
            let name = format!("payload-{place}-{what}");
            let text = format!("the payload of the {place}: {what}");
            all.push(payload(cast, kind, (&name, &text, Damaged), change));
        }
    }
    for (kind, name, text, change) in [
        (
            MANIFEST,
            "payload-nullable-field-missing",
            "a manifest without its field `directory_checkpoint`",
            (|text: String| text.replace(r#""directory_checkpoint":null,"#, "").into()) as Rewrite,
        ),
        (MANIFEST, "payload-without-replaces", "a manifest that does not say what it replaces", |text| {
            text.replace(r#","replaces":null"#, "").into()
        }),
        (MANIFEST, "payload-without-until", "a reader of whom it is not said until when", |text| {
            text.replacen(r#","until":null"#, "", 1).into()
        }),
        (MANIFEST, "payload-role-in-capitals", "a reader whose role is in capitals", |text| {
            text.replace(r#""role":"patient""#, r#""role":"Patient""#).into()
        }),
        (MANIFEST, "payload-policy-as-text", "a policy that is a word and no list", |text| {
            text.replace(r#""policy":[]"#, r#""policy":"clinician-shares""#).into()
        }),
        (MANIFEST, "payload-policy-in-capitals", "a policy of a word in capitals", |text| {
            text.replace(r#""policy":[]"#, r#""policy":["Clinician-shares"]"#).into()
        }),
        (MANIFEST, "payload-number-as-text", "a suite that is a string", |text| {
            text.replace(r#""suite":1"#, r#""suite":"1""#).into()
        }),
        (MANIFEST, "payload-integer-too-large", "a sequence number of 2^53", |text| {
            text.replace(r#""sequence":1"#, r#""sequence":9007199254740992"#).into()
        }),
        (SEAL, "payload-number-with-a-point", "an index of 0.0", |text| {
            text.replace(r#""index":0"#, r#""index":0.0"#).into()
        }),
        (SEAL, "payload-number-with-an-exponent", "an index of 0e0", |text| {
            text.replace(r#""index":0"#, r#""index":0e0"#).into()
        }),
        (SEAL, "payload-index-that-wraps", "an index of 2^32", |text| {
            text.replace(r#""index":0"#, r#""index":4294967296"#).into()
        }),
        (SEAL, "payload-track-that-wraps", "a track of 256", |text| {
            text.replace(r#""track":0"#, r#""track":256"#).into()
        }),
        (SEAL, "payload-parts-that-wrap", "2^32 + 1 parts", |text| {
            text.replace(r#""parts":1"#, r#""parts":4294967297"#).into()
        }),
        (SEAL, "payload-unknown-end", "an end that is not known", |text| {
            text.replace(r#""end":"final""#, r#""end":"open""#).into()
        }),
        (FINAL, "payload-segments-that-wrap", "2^32 + 1 segments", |text| {
            text.replace(r#""segments":1"#, r#""segments":4294967297"#).into()
        }),
        (MANIFEST, "payload-time-before-1970", "a time before all times", |text| {
            text.replace("2026-11-21T09:30:00Z", "1969-12-31T23:59:59Z").into()
        }),
        (SEAL, "payload-negative-number", "a track of -1", |text| {
            text.replace(r#""track":0"#, r#""track":-1"#).into()
        }),
        (SEAL, "payload-hexadecimal-in-capitals", "a digest in capitals", |text| {
            let at = text.find(r#""manifest":""#).unwrap() + 12;
            [&text[..at], &text[at..at + 64].to_uppercase(), &text[at + 64..]].concat().into()
        }),
        (FINAL, "payload-other-time-zone", "a time that is not written in UTC", |text| {
            text.replace("45:00Z", "45:00+00:00").into()
        }),
        (FINAL, "payload-unknown-status", "a status that is not known", |text| {
            text.replace("complete", "finished").into()
        }),
        (MANIFEST, "payload-reader-as-array", "a reader that is an array", |text| {
            let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let fields = ["account", "key", "role", "until"].map(|name| value["readers"][0][name].clone());
            value["readers"][0] = serde_json::Value::from(fields.to_vec());
            value.to_string().into()
        }),
    ] {
        all.push(payload(cast, kind, (name, text, Damaged), change));
    }
    for (name, text, outcome, change) in [
        (
            "manifest-of-another-key",
            "the id of another key",
            MixUp,
            (|text| digest_replaced(&text, r#""key":""#)) as Rewrite,
        ),
        ("manifest-of-another-key-object", "the digest of another key object", Damaged, |text| {
            digest_replaced(&text, r#""key_object":""#)
        }),
    ] {
        all.push(payload(cast, MANIFEST, (name, text, outcome), change));
    }
    let manifest =
        |what, change: fn(&mut Manifest)| forge(cast, what, |draft| draft.on_manifest = Box::new(change));
    all.extend([
        manifest(("manifest-one-person", "a patient who is the clinician", Damaged), |manifest| {
            manifest.patient = manifest.clinician;
        }),
        forge(
            cast,
            ("manifest-one-person-in-both-roles", "a reader who is the patient and the clinician", Damaged),
            |draft| {
                draft.on_members = Box::new(|members| members[0] = members[1].clone());
                draft.on_manifest = Box::new(|manifest| {
                    manifest.patient = manifest.clinician;
                    let clinician = manifest.readers[1];
                    manifest.readers[0] = Reader { role: ReaderRole::Patient, ..clinician };
                });
            },
        ),
        manifest(
            ("manifest-of-another-device", "an id that the sealer's device key does not make", Damaged),
            |manifest| {
                let other = KeyId::from_bytes([7; 32]);
                manifest.recording = RecordingId::of(&other, &manifest.salt);
            },
        ),
        manifest(("manifest-other-salt", "an id that its salt does not make", Damaged), |manifest| {
            manifest.salt = RecordingSalt::from_bytes([7; 16]);
        }),
        manifest(("manifest-id-is-its-salt", "an id that is drawn and not derived", Damaged), |manifest| {
            manifest.recording = RecordingId::from_bytes(*manifest.salt.as_bytes());
        }),
        manifest(("manifest-readers-exchanged", "the clinician before the patient", Damaged), |manifest| {
            manifest.readers.swap(0, 1);
        }),
        manifest(("manifest-roles-exchanged", "each reader in the other's role", Damaged), |manifest| {
            manifest.readers[0].role = ReaderRole::Clinician;
            manifest.readers[1].role = ReaderRole::Patient;
        }),
        manifest(("manifest-hidden-reader", "a third reader", Damaged), |manifest| {
            manifest.readers.push(manifest.readers[0]);
        }),
        manifest(("manifest-one-reader", "the clinician is no reader", Damaged), |manifest| {
            manifest.readers.truncate(1);
        }),
        manifest(("manifest-of-other-readers", "a patient who is not the reader", Damaged), |manifest| {
            manifest.patient = AccountId::from_bytes([7; 32]);
        }),
        manifest(
            ("manifest-reader-for-a-time", "a reader who does not read for good", Damaged),
            |manifest| {
                manifest.readers[1].until = Some(time("2036-11-21T09:30:00Z"));
            },
        ),
        manifest(("manifest-sequence-from-zero", "number 0 of its chain", Damaged), |manifest| {
            manifest.sequence = 0;
        }),
        manifest(
            ("manifest-of-another-key-list", "the digest of no statement that is there", Damaged),
            |manifest| {
                manifest.members[0].key_list = Digest::of(b"another key list");
            },
        ),
        manifest(("manifest-policy-descending", "a policy in another order", Damaged), |manifest| {
            manifest.policy = vec![Allowance::ClinicianShares, Allowance::ClinicianReadmits];
        }),
        manifest(("manifest-policy-of-one-word-twice", "a policy of one word twice", Damaged), |manifest| {
            manifest.policy = vec![Allowance::ClinicianShares; 2];
        }),
        manifest(("manifest-policy-of-more", "a policy that the patient does not allow", NotEntitled), |m| {
            m.policy = vec![Allowance::ClinicianShares];
        }),
        manifest(("manifest-other-suite", "suite pq with keys of suite x25519", NotEntitled), |manifest| {
            manifest.suite = Suite::Pq;
        }),
    ]);
    all
}

/// Consultation ids at the bounds of their form.
fn consultations(cast: &Cast) -> Vec<Scenario> {
    let all = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
    let longest: String = all.chars().cycle().take(128).collect();
    let recording = |name: &str, consultation: &str| {
        let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 600)]);
        let consultation = format!("{consultation:?}");
        draft.on_payload = Box::new(move |kind, payload| {
            if kind == Manifest::PAYLOAD_TYPE {
                let text = String::from_utf8(payload.clone()).unwrap();
                *payload = text.replace("\"2026-0421:7\"", &consultation).into_bytes();
            }
        });
        draft.record()
    };
    let name = "opens-consultation-of-128-characters";
    let text = "a consultation id of 128 characters, all that there are";
    let mut scenarios = vec![Scenario::opened(name, text, cast, &recording(name, &longest))];
    for (name, text, consultation) in [
        ("manifest-consultation-empty", "a consultation id of no character", ""),
        (
            "manifest-consultation-of-129-characters",
            "a consultation id of 129 characters",
            &format!("{longest}a"),
        ),
        ("manifest-consultation-with-a-space", "a consultation id with a space", "2026 7"),
        ("manifest-consultation-with-a-slash", "a consultation id that goes up a folder", "../7"),
    ] {
        scenarios.push(Scenario::refused(name, text, cast, &recording(name, consultation), Damaged));
    }
    scenarios
}

/// Payloads of the largest size and above.
fn sizes(cast: &Cast) -> Vec<Scenario> {
    let recording = |name: &str, size: usize| {
        let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 600)]);
        draft.on_payload = Box::new(move |kind, payload| {
            if kind == Manifest::PAYLOAD_TYPE {
                let space = vec![b' '; size - payload.len()];
                payload.splice(1..1, space);
            }
        });
        draft.record()
    };
    let (name, larger) = ("opens-payload-of-65536-bytes", "payload-of-65537-bytes");
    let text = "a manifest that white space makes as large as a payload may be";
    let too_large = recording(larger, MAX_PAYLOAD + 1);
    vec![
        Scenario::opened(name, text, cast, &recording(name, MAX_PAYLOAD)),
        Scenario::refused(larger, "a manifest that is a byte larger", cast, &too_large, Damaged),
    ]
}

/// A payload with another digest or id behind the first `mark`.
fn digest_replaced(text: &str, mark: &str) -> Vec<u8> {
    let at = text.find(mark).unwrap() + mark.len();
    [&text[..at], &"07".repeat(32), &text[at + 64..]].concat().into()
}

/// Policies beside what a patient's key list allows.
fn policies(cast: &Cast) -> Vec<Scenario> {
    const BOTH: &[Allowance] = &[Allowance::ClinicianReadmits, Allowance::ClinicianShares];
    let recording = |name: &str, allows: &'static [Allowance], policy: &'static [Allowance]| {
        let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 600)]);
        draft.on_members = Box::new(move |members| {
            let list = KeyList { allows: allows.to_vec(), ..cast.key_list(&cast.patient, Suite::X25519) };
            members[0].key_list = cast.sign_key_list(&cast.patient, &list);
        });
        draft.on_manifest = Box::new(move |manifest| manifest.policy = policy.to_vec());
        draft.record()
    };
    let refused = |name: &str, text: &str, allows, policy| {
        Scenario::refused(name, text, cast, &recording(name, allows, policy), NotEntitled)
    };
    let name = "opens-with-a-policy";
    let text = "a policy of both words, which the patient allows";
    vec![
        Scenario::opened(name, text, cast, &recording(name, BOTH, BOTH)),
        refused("manifest-policy-of-nothing", "no policy where the patient allows both words", BOTH, &[]),
        refused("manifest-policy-of-less", "one of the words that the patient allows", BOTH, &BOTH[..1]),
        refused("manifest-policy-of-other", "another word than the patient allows", &BOTH[..1], &BOTH[1..]),
    ]
}

/// The values of a payload's fields, in their order.
fn ordered_values(text: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut rest = text.trim_start_matches('{').trim_end_matches('}');
    while let Some((_, after)) = rest.split_once("\":") {
        let mut stream = serde_json::Deserializer::from_str(after).into_iter::<serde_json::Value>();
        let value = stream.next().unwrap().unwrap();
        values.push(value.to_string());
        rest = &after[stream.byte_offset()..];
    }
    values
}

const REPLACES: &str = r#""replaces":"00112233445566778899aabbccddeeff""#;

fn newer(cast: &Cast) -> Vec<Scenario> {
    let mut all = Vec::new();
    let name = "newer-";
    for (kind, payload_type) in [
        ("manifest", "application/vnd.recording-vault.manifest.v2+json"),
        ("segment-seal", "application/vnd.recording-vault.segment-seal.v2+json"),
        ("final-seal", "application/vnd.recording-vault.final-seal.v17+json"),
    ] {
        let name = format!("{name}{kind}");
        let recording = Draft::new(cast, Suite::X25519, &name, &[(0, 600)]).record();
        let text = format!("a {kind} of a newer version");
        all.push(Scenario::refused(&name, &text, cast, &recording, NewerFormat).with(|objects| {
            let object = match kind {
                "manifest" => &mut objects.manifest,
                "segment-seal" => &mut objects.segments[0].seal,
                _ => objects.final_seal.as_mut().unwrap(),
            };
            let device = &cast.clinician.device;
            *object = envelope(payload_type, &taken_apart(object).1, cast.clinician.device_id(), device);
        }));
    }
    for (name, text, from, to) in [
        ("newer-suite", "a manifest of suite 3", r#""suite":1"#, r#""suite":3"#),
        (
            "newer-policy",
            "a manifest of an unknown policy",
            r#""policy":[]"#,
            r#""policy":["clinician-shares","care-team"]"#,
        ),
        ("newer-reader", "a reader in an unknown role", r#""role":"clinician""#, r#""role":"witness""#),
        ("newer-replaces", "a manifest that replaces a recording", r#""replaces":null"#, REPLACES),
        (
            "newer-replaces-a-number",
            "a number in place of what it replaces",
            r#""replaces":null"#,
            r#""replaces":0"#,
        ),
        (
            "newer-replaces-and-is-broken",
            "a manifest that replaces a recording and has the number 0",
            r#""replaces":null"#,
            REPLACES,
        ),
    ] {
        all.push(forge(cast, (name, text, NewerFormat), |draft| {
            if name.ends_with("broken") {
                draft.on_manifest = Box::new(|manifest| manifest.sequence = 0);
            }
            draft.on_payload = Box::new(move |kind, payload| {
                if kind == Manifest::PAYLOAD_TYPE {
                    let changed = String::from_utf8(payload.clone()).unwrap().replace(from, to).into_bytes();
                    assert_ne!(changed, *payload);
                    *payload = changed;
                }
            });
        }));
    }
    all.push(forge(cast, ("newer-key-list", "a key list of a newer version", NewerFormat), |draft| {
        draft.on_members = Box::new(|members| {
            let root = cast.patient.seed.account_root();
            let key_id = KeyId::of_account_root(&PublicKey::from_bytes(root.public()));
            let payload = taken_apart(members[0].key_list.as_bytes()).1;
            let payload_type = "application/vnd.recording-vault.key-list.v2+json";
            members[0].key_list = String::from_utf8(envelope(payload_type, &payload, key_id, &root)).unwrap();
        });
    }));
    all.push(forge(
        cast,
        ("newer-suite-in-key-list", "a key list with a key of suite 3", NewerFormat),
        |draft| {
            draft.on_members = Box::new(|members| {
                let root = cast.patient.seed.account_root();
                let key_id = KeyId::of_account_root(&PublicKey::from_bytes(root.public()));
                let (kind, payload) = taken_apart(members[0].key_list.as_bytes());
                let payload = String::from_utf8(payload).unwrap().replace(r#""suite":1"#, r#""suite":3"#);
                members[0].key_list =
                    String::from_utf8(envelope(&kind, payload.as_bytes(), key_id, &root)).unwrap();
            });
        },
    ));
    all
}
