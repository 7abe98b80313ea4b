use reqwest::Method;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::{RecordingRecord, path};
use vault_server::limits::Limits;

use crate::support::{Call, Draft, Organisation, Person, Server};

fn people() -> (Organisation, Person, Person) {
    let organisation = Organisation::new(1);
    let (patient, clinician) =
        (organisation.person(10, Role::Patient), organisation.person(11, Role::Clinician));
    (organisation, patient, clinician)
}

/// Room for three parts and many that come at once: three are stored, the others leave nothing, and there is room again
/// when something goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_bytes_are_stored() {
    let (organisation, patient, clinician) = people();
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let parts = draft.parts(0, 8_000_000);
    let full = parts[1].len() as u64;
    let limits = Limits { max_bytes: Some(3 * full + 10), ..Limits::default() };
    let server = Server::start_with(&organisation, limits).await;
    server.enrol(&[&patient, &clinician]).await;
    server.create(&draft).await;
    server.open(&draft, 0).await.ok(201);
    let put = async |server: &Server, numbers: std::ops::Range<u32>| {
        let puts = numbers.map(|number| server.part(&draft, 0, number, &parts[number as usize]));
        let answers = futures_util::future::join_all(puts).await;
        for answer in &answers {
            if answer.status != 201 {
                answer.refused(ProblemCode::StorageFull);
            }
        }
        answers.iter().filter(|answer| answer.status == 201).count()
    };
    assert_eq!(put(&server, 1..7).await, 3);
    let stored = async |server: &Server| {
        let page: vault_proto::wire::RecordingPage =
            server.get(&patient, path::RECORDINGS).await.ok(200).json();
        page.recordings[0].bytes
    };
    assert_eq!(stored(&server).await, 3 * full);
    let details = draft.details();
    assert!(details.len() > 10);

    // It counts what was stored before it was started, and once it may store more, what was refused comes again.
    let server = server.restart().await;
    server.part(&draft, 0, 0, &parts[0]).await.refused(ProblemCode::StorageFull);
    let abandon = Call::new(&clinician.device, Method::DELETE, path::segment(&draft.id(), 0), Vec::new());
    server.call(abandon).await.ok(201);
    server.open(&draft, 0).await.ok(201);
    assert_eq!(put(&server, 1..4).await, 3);
    server.part(&draft, 0, 0, &parts[0]).await.refused(ProblemCode::StorageFull);
    let server = server.restart_with(Limits { max_bytes: Some(9 * full), ..Limits::default() }).await;
    server.part(&draft, 0, 1, &parts[1]).await.ok(200);
    assert_eq!(put(&server, 4..5).await, 1);
    server.part(&draft, 0, 0, &parts[0]).await.ok(201);
    let body = server.get(&patient, path::body(&draft.id(), 0)).await.ok(200).body;
    assert!(body == parts[..5].concat());
}

/// Parts beyond a seal, and details that others replace, are room again.
#[tokio::test]
async fn what_is_dropped_is_room_again() {
    let (organisation, patient, clinician) = people();
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let parts = draft.parts(0, 3_000_000);
    let details = draft.details();
    let most = parts[0].len() + parts[1].len() + details.len();
    let limits = Limits { max_bytes: Some(most as u64), ..Limits::default() };
    let server = Server::start_with(&organisation, limits).await;
    server.enrol(&[&patient, &clinician]).await;
    server.create(&draft).await;
    server.open(&draft, 0).await.ok(201);
    server.part(&draft, 0, 0, &parts[0]).await.ok(201);
    server.part(&draft, 0, 1, &parts[1]).await.ok(201);
    let end = vault_proto::geometry::BodyEnd::Cut;
    let seal = draft.sign_seal(&draft.segment_seal(0, &parts[..1], end, None));
    server.put(&clinician, path::seal(&draft.id(), 0), seal.bytes().to_vec()).await.ok(201);
    let place = path::details(&draft.id());
    server.put(&clinician, place.clone(), details.clone()).await.ok(201);
    let mut other = details.clone();
    other.extend(vec![1; parts[1].len()]);
    let put = async |bytes: &[u8]| server.put(&clinician, place.clone(), bytes.to_vec()).await;
    // While they are replaced, both take room.
    put(&other).await.refused(ProblemCode::StorageFull);
    assert!(server.get(&patient, place.clone()).await.ok(200).body == details);
    other.truncate(other.len() - details.len());
    put(&other).await.ok(201);
    put(&details).await.ok(201);
    put(&other).await.ok(201);
}

/// On a disk that is nearly full nothing new begins, and what is there can be sealed and read.
#[tokio::test]
async fn some_of_the_disk_stays_free() {
    let (organisation, patient, clinician) = people();
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician]).await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.create(&draft).await;
    server.open(&draft, 0).await.ok(201);
    let parts = draft.parts(0, 1_000_000);
    server.part(&draft, 0, 0, &parts[0]).await.ok(201);

    let full = Limits { min_free: u64::MAX, ..Limits::default() };
    let server = server.restart_with(full).await;
    let next = Draft::new(&organisation, 2, &patient, &clinician, &clinician);
    server.post(&clinician, path::RECORDINGS, next.create()).await.refused(ProblemCode::StorageFull);
    assert!(!server.data().join(format!("blobs/rec/{}", next.id())).exists());
    server.part(&draft, 0, 1, &draft.parts(0, 2_000_000)[1]).await.refused(ProblemCode::StorageFull);
    server.part(&draft, 0, 0, &parts[0]).await.ok(200);
    assert!(server.get(&patient, path::body(&draft.id(), 0)).await.ok(200).body == parts[0]);
    let seal =
        draft.sign_seal(&draft.segment_seal(0, &parts[..1], vault_proto::geometry::BodyEnd::Final, None));
    server.put(&clinician, path::seal(&draft.id(), 0), seal.bytes().to_vec()).await.ok(201);
    server.open(&draft, 1).await.refused(ProblemCode::StorageFull);
    let details = draft.details();
    server
        .put(&clinician, path::details(&draft.id()), details.clone())
        .await
        .refused(ProblemCode::StorageFull);

    let server = server.restart_with(Limits::default()).await;
    server.create(&next).await;
    server.put(&clinician, path::details(&draft.id()), details.clone()).await.ok(201);
    let last = draft.sign_final(&draft.final_seal(&[seal], &details));
    server.put(&clinician, path::final_seal(&draft.id()), last.bytes().to_vec()).await.ok(201);
    let record: RecordingRecord = server.get(&patient, path::recording(&draft.id())).await.ok(200).json();
    assert!(record.final_seal.is_some());
}
