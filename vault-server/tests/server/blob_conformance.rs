use vault_proto::ids::{AccountId, Digest, KeyId, RecordingId};
use vault_proto::statements::{Participants, Role};
use vault_server::authorize::{Action, Actor, Parties, Permit, Standing, authorize};
use vault_server::blob::{BlobError, BlobKey, BlobStore, Object};

use crate::support::open_blobs;

/// What every blob store must do. `reopen` gives the store anew, as after a restart.
fn conforms(reopen: impl Fn() -> Box<dyn BlobStore>) {
    let permit = sealing_permit(RecordingId::from_bytes([1; 16]));
    let other = sealing_permit(RecordingId::from_bytes([2; 16]));
    let name = |object| BlobKey::new(&permit, object).unwrap();
    let store = reopen();
    store.check_ready().unwrap();
    let objects = [
        Object::Manifest,
        Object::Key { generation: 0 },
        Object::Key { generation: 1 },
        Object::Header { segment: 0 },
        Object::Header { segment: 1 },
        Object::Parts { segment: 0 },
        Object::Seal { segment: 0 },
        Object::Details,
        Object::Final,
    ];
    for (number, object) in (0u8..).zip(objects) {
        assert!(matches!(store.get(&name(object)), Err(BlobError::NotFound)));
        store.put(&name(object), b"first").unwrap();
        store.put(&name(object), &[number; 70_000]).unwrap();
        assert!(matches!(store.get(&BlobKey::new(&other, object).unwrap()), Err(BlobError::NotFound)));
    }
    let body = name(Object::Body { segment: 3 });
    assert!(matches!(store.write_part(&body, 0, b"x"), Err(BlobError::NotFound)));
    assert!(matches!(store.open_body(&body), Err(BlobError::NotFound)));
    assert!(matches!(store.truncate_body(&body, 0), Err(BlobError::NotFound)));
    store.create_body(&body).unwrap();
    store.write_part(&body, 1_000_000, b"tail").unwrap();
    store.create_body(&body).unwrap();
    store.write_part(&body, 0, b"head").unwrap();
    store.write_part(&body, 0, b"HEAD").unwrap();

    let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
    assert!(matches!(store.statement(&one), Err(BlobError::NotFound)));
    store.put_statement(&one, b"first").unwrap();
    store.put_statement(&one, &[1; 70_000]).unwrap();
    store.put_statement(&two, b"other").unwrap();

    let store = reopen();
    assert_eq!(store.statement(&one).unwrap(), vec![1; 70_000]);
    assert_eq!(store.statement(&two).unwrap(), b"other");
    let mut listed: Vec<_> =
        store.statements().unwrap().iter().map(|file| (file.digest, file.length)).collect();
    listed.sort();
    let mut expected = vec![(Some(one), 70_000), (Some(two), 5)];
    expected.sort();
    assert_eq!(listed, expected);
    for (number, object) in (0u8..).zip(objects) {
        assert_eq!(store.get(&name(object)).unwrap(), vec![number; 70_000]);
    }
    let reader = store.open_body(&body).unwrap();
    assert_eq!(reader.read_at(0, 6).unwrap(), b"HEAD\0\0");
    assert_eq!(reader.read_at(1_000_000, 4).unwrap(), b"tail");
    assert_eq!(reader.read_at(1_000_004, 0).unwrap(), b"");
    assert!(reader.read_at(1_000_000, 5).is_err(), "past the end");
    store.truncate_body(&body, 3).unwrap();
    store.truncate_body(&body, 10).unwrap();
    let reader = store.open_body(&body).unwrap();
    assert_eq!(reader.read_at(0, 3).unwrap(), b"HEA");
    assert!(reader.read_at(3, 1).is_err());
    std::thread::scope(|scope| {
        for part in 0..8u8 {
            let (store, body) = (&store, &body);
            scope.spawn(move || {
                store.write_part(body, u64::from(part) * 5000, &[part; 5000]).unwrap();
            });
        }
    });
    let reader = store.open_body(&body).unwrap();
    for part in 0..8u8 {
        assert_eq!(reader.read_at(u64::from(part) * 5000, 5000).unwrap(), [part; 5000]);
    }
}

pub(crate) fn parties(recording: RecordingId) -> Parties {
    Parties {
        recording,
        people: Participants {
            patient: AccountId::from_bytes([1; 32]),
            clinician: AccountId::from_bytes([2; 32]),
            sealer: AccountId::from_bytes([3; 32]),
        },
        sealer_key: KeyId::from_bytes([4; 32]),
    }
}

fn permit(account: u8, role: Role, action: Action, recording: RecordingId) -> Permit {
    let actor = Actor {
        has_auth: true,
        account: AccountId::from_bytes([account; 32]),
        key_id: KeyId::from_bytes([4; 32]),
        role,
        standing: Standing::InForce,
    };
    authorize(&actor, action, Some(&parties(recording))).unwrap()
}

fn sealing_permit(recording: RecordingId) -> Permit {
    permit(3, Role::Recorder, Action::StorePart, recording)
}

#[test]
fn files_conform() {
    let folder = tempfile::tempdir().unwrap();
    conforms(|| Box::new(open_blobs(folder.path())));
    let left: Vec<_> = std::fs::read_dir(folder.path().join(format!("blobs/rec/{}", "01".repeat(16))))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with('.'))
        .collect();
    assert!(left.is_empty(), "nothing is left aside: {left:?}");
}

#[test]
fn a_permit_names_only_what_its_action_reaches() {
    let recording = RecordingId::from_bytes([1; 16]);
    let statements = permit(3, Role::Recorder, Action::FetchStatements, recording);
    let content = permit(1, Role::Patient, Action::FetchBody, recording);
    for (object, is_content) in [
        (Object::Manifest, false),
        (Object::Parts { segment: 0 }, false),
        (Object::Seal { segment: 0 }, false),
        (Object::Final, false),
        (Object::Key { generation: 0 }, true),
        (Object::Header { segment: 0 }, true),
        (Object::Body { segment: 0 }, true),
        (Object::Details, true),
    ] {
        assert_eq!(BlobKey::new(&statements, object).is_ok(), !is_content, "{object:?}");
        assert_eq!(BlobKey::new(&content, object).is_ok(), is_content, "{object:?}");
    }
    let actor = *content.actor();
    let list = authorize(&actor, Action::ListRecordings, None).unwrap();
    assert!(BlobKey::new(&list, Object::Manifest).is_err());
}
