//! Who is not certified, not entitled, or not a reader.

use vault_core::signing_key::SigningKey;
use vault_proto::envelope::Statement;
use vault_proto::ids::{KeyId, PublicKey, RecordingId};
use vault_proto::statements::{
    Certificate, DeviceKey, DeviceRole, IssuerCertificate, KeyList, Manifest, Role, Suite,
};

use super::Outcome::{self, Damaged, NotAReader, NotEntitled};
use super::Scenario;
use super::cast::{Cast, MemberText, key_of, time};
use super::draft::Draft;
use super::primitives::{fixed_bytes, signed, taken_apart};

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    [readers(cast), sealers(cast), windows(cast), chains(cast), confused(cast)]
        .into_iter()
        .flatten()
        .collect()
}

pub(super) const SUITE: Suite = Suite::X25519;
/// Place of the sealer's member.
pub(super) const SEALER: usize = 1;

/// A recording whose members' statements `change` has made wrong.
pub(super) fn members<'a>(
    cast: &'a Cast,
    (name, text, outcome): (&str, &str, Outcome),
    change: impl Fn(&mut Vec<MemberText>) + 'a,
) -> Scenario {
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    draft.on_members = Box::new(change);
    Scenario::refused(name, text, cast, &draft.record(), outcome)
}

pub(super) fn key_list<'a>(
    cast: &'a Cast,
    what: (&str, &str, Outcome),
    change: fn(&mut KeyList),
) -> Scenario {
    members(cast, what, move |members| {
        let mut list = cast.key_list(&cast.clinician, SUITE);
        change(&mut list);
        members[SEALER].key_list = cast.sign_key_list(&cast.clinician, &list);
    })
}

pub(super) fn certificate<'a>(
    cast: &'a Cast,
    what: (&str, &str, Outcome),
    change: fn(&mut Certificate),
) -> Scenario {
    members(cast, what, move |members| {
        let mut certificate = cast.certificate(&cast.clinician);
        change(&mut certificate);
        members[SEALER].certificate = cast.sign_certificate(&certificate);
    })
}

pub(super) fn issuer<'a>(
    cast: &'a Cast,
    what: (&str, &str, Outcome),
    change: fn(&mut IssuerCertificate),
) -> Scenario {
    members(cast, what, move |members| {
        let mut issuer = cast.issuer_certificate();
        change(&mut issuer);
        members[SEALER].issuer = cast.sign_issuer(&issuer);
    })
}

fn readers(cast: &Cast) -> Vec<Scenario> {
    let recording = Draft::new(cast, SUITE, "readers", &[(0, 250)]).record();
    let refused = |name, text| Scenario::refused(name, text, cast, &recording, NotAReader);
    let mut old_key =
        refused("reader-of-a-later-epoch", "the patient with an identity the manifest does not name");
    old_key.description.identity = cast.patient.identity_of(SUITE, 2).export().to_string();
    let mut borrowed = refused("reader-with-another-name", "another account with the patient's identity");
    borrowed.description.account = cast.other.account;
    let mut crossed = refused("reader-with-another-key", "the patient with the clinician's identity");
    crossed.description.identity = cast.clinician.identity(SUITE).export().to_string();
    vec![
        refused("reader-unknown", "an account that the manifest does not name").read_by(&cast.other, SUITE),
        refused("reader-of-the-other-suite", "the patient with her identity of suite pq")
            .read_by(&cast.patient, Suite::Pq),
        Scenario::refused(
            "reader-is-the-recorder",
            "the recorder, who sealed it",
            cast,
            &Draft::new(cast, SUITE, "reader-is-the-recorder", &[(0, 250)])
                .sealed_by(&cast.recorder)
                .record(),
            NotAReader,
        )
        .read_by(&cast.recorder, SUITE),
        old_key,
        borrowed,
        crossed,
    ]
}

fn sealers(cast: &Cast) -> Vec<Scenario> {
    let mut all = Vec::new();
    let name = "sealer-is-another-patient";
    let other = Draft::new(cast, SUITE, name, &[(0, 250)]).sealed_by(&cast.other).record();
    all.push(Scenario::refused(name, "sealed by another patient", cast, &other, NotEntitled));

    let strangers = [
        (Role::Clinician, "another-clinician"),
        (Role::Auditor, "an-auditor"),
        (Role::Custodian, "a-custodian"),
    ];
    for (role, word) in strangers {
        let name = format!("sealer-is-{word}");
        let mut draft = Draft::new(cast, SUITE, &name, &[(0, 250)]).sealed_by(&cast.other);
        draft.on_members = Box::new(move |members| {
            let certificate = Certificate { role, ..cast.certificate(&cast.other) };
            members[2].certificate = cast.sign_certificate(&certificate);
        });
        let text = format!("sealed by {word} of the same organisation");
        all.push(Scenario::refused(&name, &text, cast, &draft.record(), NotEntitled));
    }

    let name = "sealer-with-another-device";
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    draft.device = &cast.other.device;
    let text = "signed by another account's device under the sealer's key id";
    all.push(Scenario::refused(name, text, cast, &draft.record(), NotEntitled));

    let name = "sealer-key-is-its-account-root";
    let root = cast.clinician.seed.account_root();
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    let root_id = KeyId::of_account_root(&PublicKey::from_bytes(root.public()));
    draft.on_manifest = Box::new(move |manifest| begin_with(manifest, root_id));
    let recording = draft.record();
    let text = "signed by the account's root, which is no device";
    all.push(Scenario::refused(name, text, cast, &recording, NotEntitled).with(|objects| {
        objects.manifest = signed(&recording.manifest, root_id, &root);
    }));

    let name = "sealer-key-of-small-order";
    let identity_point = {
        let mut point = [0; 32];
        point[0] = 1;
        PublicKey::from_bytes(point)
    };
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    draft.on_members = Box::new(move |members| {
        let mut list = cast.key_list(&cast.clinician, SUITE);
        list.devices = vec![DeviceKey { key: identity_point, roles: vec![DeviceRole::Seal] }];
        members[SEALER].key_list = cast.sign_key_list(&cast.clinician, &list);
    });
    draft.on_manifest = Box::new(move |manifest| begin_with(manifest, KeyId::of_device(&identity_point)));
    let recording = draft.record();
    let text = "a key list with a device key for which one signature fits every statement";
    all.push(Scenario::refused(name, text, cast, &recording, Damaged).with(|objects| {
        let true_signature =
            signed(&recording.manifest, recording.manifest.sealer_key, &cast.clinician.device);
        let text = String::from_utf8(true_signature).unwrap();
        let at = text.find(r#""sig":""#).unwrap() + 7;
        let mut signature = [0; 64];
        signature[0] = 1;
        objects.manifest =
            format!("{}{}\"}}]}}", &text[..at], data_encoding::BASE64.encode(&signature)).into_bytes();
    }));

    all.extend([
        key_list(
            cast,
            ("sealer-device-not-listed", "a key list without the sealing device", NotEntitled),
            |list| {
                list.devices[0].key =
                    PublicKey::from_bytes(SigningKey::from_bytes(&fixed_bytes("another device")).public());
            },
        ),
        key_list(
            cast,
            ("sealer-device-may-not-seal", "a device with the role auth only", NotEntitled),
            |list| {
                list.devices[0].roles = vec![DeviceRole::Auth];
            },
        ),
        key_list(
            cast,
            ("readers-key-not-listed", "a reader's key that is not in its list", NotEntitled),
            |list| {
                list.encryption[0].recipient =
                    Cast::of("hospital").other.identity(SUITE).recipient().to_string();
            },
        ),
    ]);

    let name = "readers-key-of-somebody-else";
    let stranger = key_of(&cast.other.identity(SUITE));
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    draft.on_manifest = Box::new(move |manifest: &mut Manifest| manifest.readers[1].key = stranger);
    let text = "a manifest that names a stranger's key for the clinician";
    all.push(Scenario::refused(name, text, cast, &draft.record(), NotEntitled));

    let name = "readers-key-of-the-other-suite";
    let pq = cast.clinician.identity(Suite::Pq);
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    draft.on_members = Box::new(move |members| {
        let mut list = cast.key_list(&cast.clinician, SUITE);
        list.encryption.extend(cast.key_list(&cast.clinician, Suite::Pq).encryption);
        members[SEALER].key_list = cast.sign_key_list(&cast.clinician, &list);
    });
    draft.on_manifest = Box::new(move |manifest: &mut Manifest| manifest.readers[1].key = key_of(&pq));
    let text = "a manifest of suite x25519 that names the clinician's key of suite pq";
    all.push(Scenario::refused(name, text, cast, &draft.record(), NotEntitled));

    let name = "readers-in-another-role";
    all.push(members(cast, (name, "a patient who is certified as a clinician", NotEntitled), |members| {
        let certificate = Certificate { role: Role::Clinician, ..cast.certificate(&cast.patient) };
        members[0].certificate = cast.sign_certificate(&certificate);
    }));
    all
}

/// The recording's `created` is 2026-11-21T09:30:00Z.
fn windows(cast: &Cast) -> Vec<Scenario> {
    let mut all = vec![
        certificate(
            cast,
            ("window-certificate-expired", "a certificate that ends at `created`", NotEntitled),
            |c| {
                c.not_after = time("2026-11-21T09:30:00Z");
            },
        ),
        certificate(
            cast,
            ("window-certificate-to-come", "a certificate from 121 s later", NotEntitled),
            |c| {
                c.not_before = time("2026-11-21T09:32:01Z");
            },
        ),
        issuer(
            cast,
            ("window-issuer-expired", "an issuer certificate that ends at `created`", NotEntitled),
            |c| {
                c.not_after = time("2026-11-21T09:30:00Z");
            },
        ),
        issuer(cast, ("window-issuer-to-come", "an issuer certificate from 121 s later", NotEntitled), |c| {
            c.not_before = time("2026-11-21T09:32:01Z");
        }),
        key_list(cast, ("window-key-list-to-come", "a key list from 121 s later", NotEntitled), |list| {
            list.created = time("2026-11-21T09:32:01Z");
        }),
        certificate(
            cast,
            ("window-certificate-issued-later", "a certificate that was issued 121 s later", NotEntitled),
            |c| {
                c.issued = time("2026-11-21T09:32:01Z");
            },
        ),
        certificate(
            cast,
            ("window-certificate-reversed", "a certificate that ends before it begins", Damaged),
            |c| {
                std::mem::swap(&mut c.not_before, &mut c.not_after);
            },
        ),
        certificate(
            cast,
            ("window-certificate-empty", "a certificate that ends when it begins", Damaged),
            |c| {
                c.not_after = c.not_before;
            },
        ),
        issuer(
            cast,
            ("window-issuer-reversed", "an issuer certificate that ends before it begins", Damaged),
            |c| {
                std::mem::swap(&mut c.not_before, &mut c.not_after);
            },
        ),
        issuer(
            cast,
            ("window-issuer-empty", "an issuer certificate that ends when it begins", Damaged),
            |c| {
                c.not_after = c.not_before;
            },
        ),
    ];
    let name = "opens-at-the-edges-of-all-windows";
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    draft.on_members = Box::new(move |members| {
        let (from, to) = (time("2026-11-21T09:32:00Z"), time("2026-11-21T09:30:01Z"));
        // From 120 s later on, and until one second later: two members, since no statement can have both.
        let mut issuer = cast.issuer_certificate();
        issuer.not_before = from;
        members[0].issuer = cast.sign_issuer(&issuer);
        let mut certificate = cast.certificate(&cast.patient);
        certificate.issued = from;
        certificate.not_before = from;
        members[0].certificate = cast.sign_certificate(&certificate);
        let mut list = cast.key_list(&cast.patient, SUITE);
        list.created = from;
        members[0].key_list = cast.sign_key_list(&cast.patient, &list);
        let mut issuer = cast.issuer_certificate();
        issuer.not_after = to;
        members[1].issuer = cast.sign_issuer(&issuer);
        let mut certificate = cast.certificate(&cast.clinician);
        certificate.not_after = to;
        members[1].certificate = cast.sign_certificate(&certificate);
    });
    let text =
        "the patient's statements begin 120 s later, the clinician's certificates end one second later";
    all.push(Scenario::opened(name, text, cast, &draft.record()));
    all
}

fn chains(cast: &Cast) -> Vec<Scenario> {
    let mut all = vec![
        members(
            cast,
            ("chain-key-list-by-another", "the sealer's keys in another account's key list", NotEntitled),
            |members| {
                let KeyList { account, root, .. } = cast.key_list(&cast.other, SUITE);
                let list = KeyList { account, root, ..cast.key_list(&cast.clinician, SUITE) };
                members[SEALER].key_list = cast.sign_key_list(&cast.other, &list);
            },
        ),
        members(
            cast,
            ("chain-root-of-another", "a key list signed by another root", NotEntitled),
            |members| {
                let list = cast.key_list(&cast.clinician, SUITE);
                let root = cast.clinician.seed.account_root();
                let key_id = KeyId::of_account_root(&PublicKey::from_bytes(root.public()));
                let forged = signed(&list, key_id, &cast.other.seed.account_root());
                members[SEALER].key_list = String::from_utf8(forged).unwrap();
            },
        ),
        members(
            cast,
            ("chain-account-is-no-hash", "an account id that is not that of its root", Damaged),
            |members| {
                let mut list = cast.key_list(&cast.clinician, SUITE);
                list.root = PublicKey::from_bytes(cast.other.seed.account_root().public());
                members[SEALER].key_list = cast.sign_key_list(&cast.other, &list);
            },
        ),
        members(
            cast,
            ("chain-self-issued", "a certificate that its own account signed", NotEntitled),
            |members| {
                let certificate = cast.certificate(&cast.clinician);
                let issuer = KeyId::of_issuer(&PublicKey::from_bytes(cast.issuer.public()));
                let forged = signed(&certificate, issuer, &cast.clinician.device);
                members[SEALER].certificate = String::from_utf8(forged).unwrap();
            },
        ),
        members(
            cast,
            ("chain-issued-by-the-root", "a certificate signed by the root", NotEntitled),
            |members| {
                let certificate = cast.certificate(&cast.clinician);
                let issuer = KeyId::of_issuer(&PublicKey::from_bytes(cast.issuer.public()));
                members[SEALER].certificate =
                    String::from_utf8(signed(&certificate, issuer, &cast.root)).unwrap();
            },
        ),
        members(
            cast,
            ("chain-issuer-of-nobody", "an issuer that it certified itself", NotEntitled),
            |members| {
                let root = KeyId::of_organisation_root(&PublicKey::from_bytes(cast.root.public()));
                let forged = signed(&cast.issuer_certificate(), root, &cast.issuer);
                members[SEALER].issuer = String::from_utf8(forged).unwrap();
            },
        ),
        certificate(
            cast,
            ("chain-certificate-of-elsewhere", "a certificate of another organisation", NotEntitled),
            |c| {
                c.organisation = Cast::of("elsewhere").organisation();
            },
        ),
        certificate(
            cast,
            ("chain-label-that-deceives", "a label that turns the writing direction", Damaged),
            |c| {
                c.label = Some("Dr \u{202e}regnaD".to_owned());
            },
        ),
    ];
    let elsewhere = Cast::of("elsewhere");
    let name = "chain-organisation-of-elsewhere";
    let recording = Draft::new(&elsewhere, SUITE, name, &[(0, 250)]).record();
    let text = "everything in order, under another organisation than the pinned one";
    all.push(Scenario::refused(name, text, cast, &recording, NotEntitled));

    let name = "chain-tenant-is-a-claim";
    let mut draft = Draft::new(&elsewhere, SUITE, name, &[(0, 250)]);
    let pinned = cast.organisation();
    draft.on_manifest = Box::new(move |manifest| manifest.tenant = pinned);
    let text = "a manifest that names the pinned organisation, with members of another";
    all.push(Scenario::refused(name, text, cast, &draft.record(), NotEntitled));

    let name = "chain-tenant-of-elsewhere";
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    let tenant = elsewhere.organisation();
    draft.on_manifest = Box::new(move |manifest| manifest.tenant = tenant);
    let text = "a manifest that names another organisation, with members of the pinned one";
    all.push(Scenario::refused(name, text, cast, &draft.record(), NotEntitled));

    // An issuer of the other organisation, who certifies for the pinned one.
    let certified = |members: &mut Vec<MemberText>, issuer: &IssuerCertificate| {
        members[SEALER].issuer = elsewhere.sign_issuer(issuer);
        members[SEALER].certificate = elsewhere.sign_certificate(&cast.certificate(&cast.clinician));
    };
    all.push(members(
        cast,
        (
            "chain-issuer-of-elsewhere",
            "an issuer of another organisation, who names the pinned one",
            NotEntitled,
        ),
        |members| certified(members, &elsewhere.issuer_certificate()),
    ));
    all.push(members(
        cast,
        ("chain-organisation-is-no-hash", "the pinned organisation's id beside another root", Damaged),
        |members| {
            let organisation = cast.organisation();
            certified(members, &IssuerCertificate { organisation, ..elsewhere.issuer_certificate() });
        },
    ));
    all
}

/// Each statement of a member in the place of each other one.
fn confused(cast: &Cast) -> Vec<Scenario> {
    type Piece = fn(&mut MemberText) -> &mut String;
    let pieces: [(&str, Piece); 3] = [
        ("issuer-certificate", |member| &mut member.issuer),
        ("certificate", |member| &mut member.certificate),
        ("key-list", |member| &mut member.key_list),
    ];
    let mut all = Vec::new();
    for (from, take) in pieces {
        for (to, place) in pieces {
            if from == to {
                continue;
            }
            let name = format!("confused-{from}-as-{to}");
            let text = format!("a member whose {to} is a {from}");
            all.push(members(cast, (&name, &text, Damaged), move |members| {
                let taken = take(&mut members[SEALER]).clone();
                *place(&mut members[SEALER]) = taken;
            }));
        }
    }
    // The payload of one kind under the type of another, signed by the right key for that place.
    let name = "confused-seal-payload-as-manifest";
    let recording = Draft::new(cast, SUITE, name, &[(0, 250)]).record();
    let text = "a seal's payload under the manifest's type";
    all.push(Scenario::refused(name, text, cast, &recording, Damaged).with(|objects| {
        let payload = taken_apart(&objects.segments[0].seal).1;
        let key_id = cast.clinician.device_id();
        objects.manifest =
            super::primitives::envelope(Manifest::PAYLOAD_TYPE, &payload, key_id, &cast.clinician.device);
    }));
    all
}

/// Makes another device key the sealer's, and the recording that key's.
pub(super) fn begin_with(manifest: &mut Manifest, sealer_key: KeyId) {
    manifest.sealer_key = sealer_key;
    manifest.recording = RecordingId::of(&sealer_key, &manifest.salt);
}
