//! What a reader knows of an account's later key lists.

use vault_core::signing_key::SigningKey;
use vault_proto::ids::{Digest, PublicKey};
use vault_proto::statements::{DeviceKey, DeviceRole, EncryptionKey, KeyList, RemovedDevice, Suite};

use super::Outcome::{self, NotEntitled};
use super::Scenario;
use super::cast::{Cast, time};
use super::draft::{Draft, Recording};
use super::primitives::{digest, fixed_bytes};
use super::untrusted::{SEALER, SUITE};

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    [removals(cast), chains(cast)].into_iter().flatten().collect()
}

/// The clinician's first key list, by which every recording here but some is sealed.
fn first(cast: &Cast) -> KeyList {
    cast.key_list(&cast.clinician, SUITE)
}

fn device(name: &str) -> DeviceKey {
    let key = SigningKey::from_bytes(&fixed_bytes(name));
    let roles = vec![DeviceRole::Auth, DeviceRole::Seal];
    DeviceKey { key: PublicKey::from_bytes(key.public()), roles }
}

fn key_of_epoch(cast: &Cast, epoch: u32) -> EncryptionKey {
    let recipient = cast.clinician.identity_of(SUITE, epoch).recipient().to_string();
    EncryptionKey { suite: SUITE, recipient }
}

/// The list that follows on `before` with another device, and of its epoch.
fn next(cast: &Cast, before: &KeyList) -> KeyList {
    let mut list = KeyList {
        number: before.number + 1,
        previous: Some(digest(cast.sign_key_list(&cast.clinician, before).as_bytes())),
        created: time("2026-11-22T00:00:00Z"),
        ..before.clone()
    };
    list.devices.push(device(&format!("device of list {}", list.number)));
    list
}

/// The list after the first, which removes the sealing device behind its statement `sequence`.
fn removing(cast: &Cast, sequence: u64) -> KeyList {
    let mut list = next(cast, &first(cast));
    let gone = list.devices.remove(0);
    list.removed.push(RemovedDevice { key: gone.key, sequence, since: None });
    list.epoch = 2;
    list.encryption = vec![key_of_epoch(cast, 2)];
    list
}

/// A recording whose manifest is the seventh of its device.
fn seventh(cast: &Cast, name: &str) -> Recording {
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    draft.on_manifest = Box::new(|manifest| manifest.sequence = 7);
    draft.record()
}

fn signed(cast: &Cast, lists: &[&KeyList]) -> Vec<String> {
    lists.iter().map(|list| cast.sign_key_list(&cast.clinician, list)).collect()
}

fn removals(cast: &Cast) -> Vec<Scenario> {
    let (first, at_six, at_seven) = (first(cast), removing(cast, 6), removing(cast, 7));
    let refused = |name: &str, text: &str, lists: &[&KeyList]| {
        Scenario::refused(name, text, cast, &seventh(cast, name), NotEntitled).knowing(signed(cast, lists))
    };
    let opened = |name: &str, text: &str, lists: &[&KeyList]| {
        Scenario::opened(name, text, cast, &seventh(cast, name)).knowing(signed(cast, lists))
    };
    let later = next(cast, &at_six);
    vec![
        refused(
            "removed-before-it-was-sealed",
            "the reader knows a later key list, which removed the sealing device behind its sixth manifest; this is \
             the seventh",
            &[&first, &at_six],
        ),
        refused(
            "removed-two-lists-ago",
            "the same, and another key list follows",
            &[&first, &at_six, &later],
        ),
        opened(
            "opens-up-to-a-removal",
            "the reader knows a later key list, which removed the sealing device behind this very manifest",
            &[&first, &at_seven],
        ),
        opened(
            "opens-with-a-later-key-list",
            "the reader knows a later key list, which has the sealing device and another",
            &[&first, &next(cast, &first)],
        ),
    ]
}

/// A recording that is sealed by the key list after those of `known`, which the reader has seen.
fn by_next(
    cast: &Cast,
    (name, text, outcome): (&str, &str, Option<Outcome>),
    known: &[&KeyList],
    change: fn(&mut KeyList),
) -> Scenario {
    let mut list = next(cast, known[known.len() - 1]);
    list.created = time("2026-11-20T00:00:00Z");
    change(&mut list);
    let text_of_list = cast.sign_key_list(&cast.clinician, &list);
    let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
    draft.on_members = Box::new(move |members| members[SEALER].key_list.clone_from(&text_of_list));
    let recording = draft.record();
    let scenario = match outcome {
        Some(outcome) => Scenario::refused(name, text, cast, &recording, outcome),
        None => Scenario::opened(name, text, cast, &recording),
    };
    scenario.knowing(signed(cast, known))
}

fn chains(cast: &Cast) -> Vec<Scenario> {
    let first = first(cast);
    let second = next(cast, &first);
    let mut third = next(cast, &second);
    let gone = third.devices.remove(1);
    third.removed.push(RemovedDevice { key: gone.key, sequence: 3, since: None });
    let refused = |name, text, known: &[&KeyList], change| {
        by_next(cast, (name, text, Some(NotEntitled)), known, change)
    };
    let name = "removed-from-the-chain";
    let forked = KeyList { created: time("2026-03-01T00:00:01Z"), ..first.clone() };
    let recording = Draft::new(cast, SUITE, name, &[(0, 250)]).record();
    let text = "the reader knows another first key list of the clinician";
    vec![
        Scenario::refused(name, text, cast, &recording, NotEntitled).knowing(signed(cast, &[&forked])),
        by_next(
            cast,
            (
                "opens-with-the-next-key-list",
                "sealed by the key list after the one that the reader knows",
                None,
            ),
            &[&first],
            |_| {},
        ),
        refused(
            "removed-without-a-word",
            "the key list after those that the reader knows neither has nor removed a device of the last of them",
            &[&first, &second],
            |list| drop(list.devices.remove(1)),
        ),
        refused(
            "removed-and-restored",
            "the key list after those that the reader knows has a device again that one of them removed",
            &[&first, &second, &third],
            |list| {
                let key = list.removed.remove(0).key;
                list.devices.push(DeviceKey { key, roles: vec![DeviceRole::Seal] });
            },
        ),
        refused(
            "removed-at-another-sequence",
            "the key list after those that the reader knows removes a device at another sequence than they did",
            &[&first, &second, &third],
            |list| list.removed[0].sequence = 4,
        ),
        refused(
            "keys-device-of-other-roles",
            "the key list after those that the reader knows gives a device another role",
            &[&first, &second],
            |list| list.devices[1].roles = vec![DeviceRole::Seal],
        ),
        refused(
            "keys-of-another-chain",
            "the key list after the one that the reader knows names another one before it",
            &[&first],
            |list| list.previous = Some(Digest::of(b"another list")),
        ),
        refused(
            "keys-other-in-the-same-epoch",
            "the key list after the one that the reader knows has its epoch and a key more",
            &[&first],
            |list| {
                let identity = Cast::of("hospital").clinician.identity(Suite::Pq);
                let recipient = identity.recipient().to_string();
                list.encryption.push(EncryptionKey { suite: Suite::Pq, recipient });
            },
        ),
        refused(
            "keys-same-in-another-epoch",
            "the key list after the one that the reader knows has another epoch and the same key",
            &[&first],
            |list| list.epoch = 2,
        ),
        refused(
            "keys-of-a-lower-epoch",
            "the key list after the one that the reader knows has a lower epoch",
            &[&KeyList { epoch: 2, encryption: vec![key_of_epoch(cast, 2)], ..first.clone() }],
            |list| {
                list.epoch = 1;
                list.encryption = vec![key_of_epoch(&Cast::of("hospital"), 1)];
            },
        ),
    ]
}
