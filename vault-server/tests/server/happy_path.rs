use vault_proto::envelope::Envelope;
use vault_proto::geometry::{BodyEnd, PartChunks};
use vault_proto::ids::Digest;
use vault_proto::named_statements::NamedStatements;
use vault_proto::recording::{CheckedRecording, StoredStatements};
use vault_proto::statements::{Manifest, Role};
use vault_proto::trust::Known;
use vault_proto::wire::{DirectoryEntry, RecordingPage, RecordingRecord, ServerInfo, Statements, path};

use crate::support::{Draft, Organisation, Server};

/// From enrolment to a fetched recording, each write twice, with a restart in the middle.
#[tokio::test]
async fn a_recording_is_stored_and_fetched() {
    let organisation = Organisation::new(1);
    let (patient, clinician, recorder) = (
        organisation.person(10, Role::Patient),
        organisation.person(11, Role::Clinician),
        organisation.person(12, Role::Recorder),
    );
    let server = Server::start(&organisation).await;
    let info: ServerInfo =
        server.send(reqwest::Method::GET, path::SERVER, &[], Vec::new()).await.ok(200).json();
    assert_eq!(info.organisation, organisation.id());
    server.enrol(&[&patient, &clinician, &recorder]).await;
    server.post(&patient, path::ACCOUNTS, patient.enrolment()).await.ok(200);
    let entry: DirectoryEntry = server.get(&recorder, path::account(&patient.account())).await.ok(200).json();
    assert_eq!(entry.current().unwrap(), patient.statements());

    let draft = Draft::new(&organisation, 1, &patient, &clinician, &recorder);
    let id = draft.id();
    server.create(&draft).await;
    server.post(&recorder, path::RECORDINGS, draft.create()).await.ok(200);
    server.open(&draft, 0).await.ok(201);
    server.open(&draft, 0).await.ok(200);
    // Out of order, and the first one twice.
    let parts = draft.parts(0, 2_500_000);
    assert_eq!(parts.len(), 3);
    server.part(&draft, 0, 2, &parts[2]).await.ok(201);
    server.part(&draft, 0, 0, &parts[0]).await.ok(201);
    server.part(&draft, 0, 0, &parts[0]).await.ok(200);
    let hashes = server.get(&recorder, path::parts(&id, 0)).await.ok(200).body;
    assert_eq!(hashes, Digest::of(&parts[0]).as_bytes(), "up to the first gap");
    let body = server.get(&patient, path::body(&id, 0)).await.ok(200).body;
    assert!(body == parts[0], "the body ends at the first gap");

    let server = server.restart().await;
    server.part(&draft, 0, 1, &parts[1]).await.ok(201);
    let first = draft.sign_seal(&draft.segment_seal(0, &parts, BodyEnd::Final, None));
    server.put(&recorder, path::seal(&id, 0), first.bytes().to_vec()).await.ok(201);
    server.put(&recorder, path::seal(&id, 0), first.bytes().to_vec()).await.ok(200);

    // A second segment that was cut off after its first part: what came later is dropped at sealing.
    server.open(&draft, 1).await.ok(201);
    let second_parts = draft.parts(1, 3_000_000);
    for (number, part) in (0..).zip(&second_parts) {
        server.part(&draft, 1, number, part).await.ok(201);
    }
    let kept = &second_parts[..1];
    let second = draft.sign_seal(&draft.segment_seal(1, kept, BodyEnd::Cut, Some(&first)));
    server.put(&recorder, path::seal(&id, 1), second.bytes().to_vec()).await.ok(201);
    let body_file = server.data().join(format!("blobs/rec/{id}/seg/1/body"));
    assert_eq!(std::fs::metadata(&body_file).unwrap().len(), PartChunks::FIFTEEN.offset(1));

    let details = draft.details();
    server.put(&recorder, path::details(&id), details.clone()).await.ok(201);
    server.put(&recorder, path::details(&id), details.clone()).await.ok(200);
    let seals = [first, second];
    let last = draft.sign_final(&draft.final_seal(&seals, &details));
    server.put(&recorder, path::final_seal(&id), last.bytes().to_vec()).await.ok(201);
    server.put(&recorder, path::final_seal(&id), last.bytes().to_vec()).await.ok(200);

    let server = server.restart().await;
    for reader in [&patient, &clinician] {
        let page: RecordingPage = server.get(reader, path::RECORDINGS).await.ok(200).json();
        assert_eq!(page.next, None);
        let [entry] = page.recordings.as_slice() else {
            panic!("one recording, not {}", page.recordings.len());
        };
        let stored = parts.concat().len() + kept.concat().len();
        assert_eq!((entry.recording, entry.finished, entry.bytes), (id, true, stored as u64));
        let record: RecordingRecord = server.get(reader, path::recording(&id)).await.ok(200).json();
        let manifest = Envelope::<Manifest>::parse(record.manifest.as_bytes()).unwrap();
        let asked: Vec<Digest> = manifest.unverified().named_statements().into_iter().collect();
        let query: Vec<String> = asked.iter().map(|digest| format!("digest={digest}")).collect();
        let answer = server.get(reader, format!("{}?{}", path::STATEMENTS, query.join("&"))).await;
        let answer: Statements = answer.ok(200).json();
        let named: NamedStatements = asked
            .into_iter()
            .zip(answer.statements.into_iter().map(|envelope| envelope.into_bytes().into()))
            .collect();
        let seal_bytes: Vec<Vec<u8>> =
            record.segments.iter().map(|segment| segment.seal.clone().unwrap().into_bytes()).collect();
        let checked = CheckedRecording::check(
            id,
            organisation.id(),
            &StoredStatements {
                manifest: record.manifest.as_bytes(),
                named: &named,
                seals: &seal_bytes,
                progress: None,
                final_seal: record.final_seal.as_deref().map(str::as_bytes),
            },
            &Known::default(),
        )
        .unwrap();
        assert!(checked.final_seal().is_some());
        assert_eq!(record.details_bytes, Some(details.len() as u64));
        let fetched = server.get(reader, path::body(&id, 0)).await.ok(200);
        assert!(fetched.body == parts.concat());
        assert_eq!(fetched.headers["etag"], format!("\"{}\"", seals[0].unverified().parts_root));
        assert!(server.get(reader, path::body(&id, 1)).await.ok(200).body == kept[0]);
        assert_eq!(server.get(reader, path::key(&id, 0)).await.ok(200).body, draft.key_object);
        assert_eq!(server.get(reader, path::header(&id, 0)).await.ok(200).body, draft.header(0, 0));
        assert_eq!(server.get(reader, path::details(&id)).await.ok(200).body, details);
    }
    // The blobs alone are enough.
    let folder = server.data().join(format!("blobs/rec/{id}"));
    let blob = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert_eq!(blob("manifest"), draft.manifest.bytes());
    let statements = std::fs::read_dir(server.data().join("blobs/statements")).unwrap();
    let mut statements: Vec<String> =
        statements.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    statements.sort();
    let mut named = draft.statements.clone();
    named.sort();
    assert_eq!(statements, named);
    assert_eq!(blob("key.0"), draft.key_object);
    assert_eq!(blob("seg/0/header"), draft.header(0, 0));
    assert!(blob("seg/0/body") == parts.concat());
    assert_eq!(blob("seg/1/parts"), Digest::of(&kept[0]).as_bytes());
    assert_eq!(blob("seg/0/seal"), seals[0].bytes());
    assert_eq!(blob("details"), details);
    assert_eq!(blob("final"), last.bytes());
}
