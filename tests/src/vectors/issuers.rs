//! What issuer certificates say of each other, and certificates of other accounts.

use vault_core::signing_key::SigningKey;
use vault_proto::envelope::Statement as _;
use vault_proto::ids::{AccountId, KeyId, PublicKey};
use vault_proto::statements::{Certificate, EndedIssuer, Guardian, IssuerCertificate, Role};
use vault_proto::timestamp::Timestamp;

use super::Outcome::{self, Damaged, NewerFormat, NotEntitled};
use super::Scenario;
use super::cast::{Cast, MemberText, time};
use super::draft::Draft;
use super::primitives::{envelope, fixed_bytes, signed};
use super::untrusted::{SEALER, SUITE, certificate, issuer, members};

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    [malformed_issuers(cast), malformed_certificates(cast), unknown_words(cast), ended(cast)]
        .into_iter()
        .flatten()
        .collect()
}

/// An issuer of another key.
fn another(number: u8) -> PublicKey {
    PublicKey::from_bytes(SigningKey::from_bytes(&fixed_bytes(&format!("issuer {number}"))).public())
}

/// So many issuers, ascending, that ended at one time.
fn ended_issuers(count: u8) -> Vec<EndedIssuer> {
    let mut issuers: Vec<PublicKey> = (0..count).map(another).collect();
    issuers.sort_unstable();
    issuers.into_iter().map(|issuer| EndedIssuer { issuer, from: time("2026-01-01T00:00:00Z") }).collect()
}

fn malformed_issuers(cast: &Cast) -> Vec<Scenario> {
    let refused =
        |name, text, change: fn(&mut IssuerCertificate)| issuer(cast, (name, text, Damaged), change);
    vec![
        refused("chain-issuer-number-zero", "an issuer certificate of number 0", |c| c.number = 0),
        refused("chain-issuer-ends-17", "an issuer certificate that ends 17 issuers", |c| {
            c.ended = ended_issuers(17);
        }),
        refused("chain-issuer-ends-descending", "ended issuers in another order", |c| {
            c.ended = ended_issuers(2);
            c.ended.reverse();
        }),
        refused("chain-issuer-ends-one-twice", "one issuer that is ended twice", |c| {
            c.ended = vec![ended_issuers(1)[0]; 2];
        }),
        refused("chain-issuer-ends-no-point", "an ended issuer whose key is no point of the curve", |c| {
            let mut bytes = [0; 32];
            bytes[0] = 2;
            c.ended = ended_issuers(1);
            c.ended[0].issuer = PublicKey::from_bytes(bytes);
        }),
        refused("chain-issuer-without-roles", "an issuer that may certify no role", |c| c.roles.clear()),
        refused("chain-issuer-of-descending-roles", "roles in another order", |c| c.roles.reverse()),
        issuer(
            cast,
            (
                "chain-issuer-of-other-roles",
                "a clinician whose issuer may certify patients and recorders",
                NotEntitled,
            ),
            |c| c.roles = vec![Role::Patient, Role::Recorder],
        ),
    ]
}

fn malformed_certificates(cast: &Cast) -> Vec<Scenario> {
    let refused = |name, text, change: fn(&mut Certificate)| certificate(cast, (name, text, Damaged), change);
    let mut all = vec![
        refused("chain-succeeds-itself", "an account that succeeds itself", |c| c.succeeds = Some(c.account)),
        refused("chain-guards-itself", "an account that is its own guardian", |c| {
            c.guardians = vec![Guardian { account: c.account, until: c.not_after }];
        }),
        refused("chain-five-guardians", "a certificate of five guardians", |c| c.guardians = guardians(5)),
        refused("chain-guardian-twice", "one guardian twice", |c| c.guardians = vec![guardians(1)[0]; 2]),
        refused("chain-guardians-descending", "guardians in another order", |c| {
            c.guardians = guardians(2);
            c.guardians.reverse();
        }),
    ];
    let name = "opens-certificate-of-a-successor-with-guardians";
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    draft.on_members = Box::new(|members| {
        let statement = Certificate {
            succeeds: Some(cast.other.account),
            guardians: guardians(4),
            ..cast.certificate(&cast.patient)
        };
        members[0].certificate = cast.sign_certificate(&statement);
        let statement =
            IssuerCertificate { ended: ended_issuers(16), revocations: true, ..cast.issuer_certificate() };
        members[0].issuer = cast.sign_issuer(&statement);
    });
    let text = "a patient who succeeds another account and has four guardians, under an issuer that ends 16 others \
        and wants revocations";
    all.push(Scenario::opened(name, text, cast, &draft.record()));
    all
}

fn guardians(count: u8) -> Vec<Guardian> {
    let until = time("2030-01-01T00:00:00Z");
    (1..=count).map(|number| Guardian { account: AccountId::from_bytes([number; 32]), until }).collect()
}

fn unknown_words(cast: &Cast) -> Vec<Scenario> {
    let root = KeyId::of_organisation_root(&PublicKey::from_bytes(cast.root.public()));
    let by = KeyId::of_issuer(&PublicKey::from_bytes(cast.issuer.public()));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let issuer_saying =
        |(name, what, outcome): (&str, &str, Outcome), from: &'static str, to: &'static str| {
            members(cast, (name, what, outcome), move |members| {
                let payload = serde_json::to_string(&cast.issuer_certificate()).unwrap();
                let changed = payload.replace(from, to);
                assert_ne!(changed, payload);
                let kind = IssuerCertificate::PAYLOAD_TYPE;
                members[SEALER].issuer = text(envelope(kind, changed.as_bytes(), root, &cast.root));
            })
        };
    let certificate_saying = |(name, what, outcome): (&str, &str, Outcome), to: &'static str| {
        members(cast, (name, what, outcome), move |members| {
            let payload = serde_json::to_string(&cast.certificate(&cast.clinician)).unwrap();
            let changed = payload.replace("\"clinician\"", to);
            assert_ne!(changed, payload);
            let kind = Certificate::PAYLOAD_TYPE;
            members[SEALER].certificate = text(envelope(kind, changed.as_bytes(), by, &cast.issuer));
        })
    };
    vec![
        issuer_saying(
            ("newer-role-of-an-issuer", "an issuer that may certify an unknown role", NewerFormat),
            "\"recorder\"]",
            "\"recorder\",\"warden\"]",
        ),
        issuer_saying(
            ("chain-issuer-of-a-role-in-capitals", "an issuer that may certify a role in capitals", Damaged),
            "\"recorder\"]",
            "\"recorder\",\"zoo Keeper\"]",
        ),
        certificate_saying(
            ("newer-role", "a certificate of a role that is unknown", NewerFormat),
            "\"warden\"",
        ),
        certificate_saying(
            ("chain-role-in-capitals", "a certificate of a role in capitals", Damaged),
            "\"Clinician\"",
        ),
    ]
}

/// The patient's certificate by a second issuer, whose own certificate of `number` ends the first one, which is that of
/// the clinician's.
fn second_issuer(cast: &Cast, members: &mut [MemberText], number: u64, from: Timestamp) {
    let second = SigningKey::from_bytes(&fixed_bytes("issuer 2"));
    let key = PublicKey::from_bytes(second.public());
    let first = PublicKey::from_bytes(cast.issuer.public());
    let ended = vec![EndedIssuer { issuer: first, from }];
    let statement = IssuerCertificate { issuer: key, number, ended, ..cast.issuer_certificate() };
    members[0].issuer = cast.sign_issuer(&statement);
    let certificate = signed(&cast.certificate(&cast.patient), KeyId::of_issuer(&key), &second);
    members[0].certificate = String::from_utf8(certificate).unwrap();
}

fn ended(cast: &Cast) -> Vec<Scenario> {
    let created = "2026-11-21T09:30:00Z";
    let text = "a second issuer's certificate, which ends the clinician's issuer at `created`";
    let ended = members(cast, ("window-issuer-ended", text, NotEntitled), move |members| {
        second_issuer(cast, members, 2, time(created));
    });
    let opened = |name: &str, text: &str, number: u64, from: &'static str| {
        let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
        draft.on_members = Box::new(move |members| {
            second_issuer(cast, members, number, time(from));
            let statement = IssuerCertificate { number: 2, ..cast.issuer_certificate() };
            if number < 2 {
                members[SEALER].issuer = cast.sign_issuer(&statement);
            }
        });
        Scenario::opened(name, text, cast, &draft.record())
    };
    vec![
        ended,
        opened(
            "opens-before-its-issuer-ended",
            "a second issuer's certificate, which ends the clinician's issuer one second after `created`",
            2,
            "2026-11-21T09:30:01Z",
        ),
        opened(
            "opens-issuer-that-a-lower-number-ended",
            "an issuer certificate of number 1, which ends an issuer whose own certificate has number 2",
            1,
            created,
        ),
    ]
}
