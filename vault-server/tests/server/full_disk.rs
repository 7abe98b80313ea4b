//! A disk without a byte left: reads go on and are never repeated, nothing is half-stored, and `/readyz` says so.

use reqwest::Method;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::path;
use vault_server::limits::Limits;

use crate::support::{Answer, Call, Draft, Organisation, Person, Server, number_in};

const FULL: &str = "storage-full: reads are served, recordings are not stored";

async fn ready(server: &Server) -> (u16, String) {
    let answer = server.send(Method::GET, path::READYZ, &[], Vec::new()).await;
    let body = String::from_utf8(answer.body).unwrap();
    // A line, as whoever asks by hand needs it.
    (answer.status, body.strip_suffix('\n').unwrap().to_owned())
}

/// Asks as `get` does, and gives what it takes to ask the very same once more.
async fn read<'a>(server: &Server, reader: &'a Person, place: &str) -> (Answer, Call<'a>) {
    let call = || Call::new(&reader.device, Method::GET, place, Vec::new());
    let (first, mut again) = (call(), call());
    again.nonce = first.nonce;
    (server.call(first).await, again)
}

async fn not_again(server: &Server, call: &Call<'_>) {
    let mut again = Call::new(call.device, call.method.clone(), call.path.clone(), Vec::new());
    again.nonce = call.nonce;
    again.created = call.created;
    server.call(again).await.refused(ProblemCode::SignatureReplayed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_serves_every_read_and_none_twice() {
    let organisation = Organisation::new(1);
    let (patient, clinician) =
        (organisation.person(10, Role::Patient), organisation.person(11, Role::Clinician));
    let limits = Limits { min_free: 0, ..Limits::default() };
    let Some((server, disk)) = Server::start_on_small_disk(&organisation, 16 << 20, limits).await else {
        return;
    };
    server.enrol(&[&patient, &clinician]).await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let body = server.finish(&draft, 1_500_000).await;
    let next = Draft::new(&organisation, 2, &patient, &clinician, &clinician);
    server.begin(&next).await;
    // Small, so that it is there when it is refused: a connection with a body that nobody reads is closed.
    let part = next.parts(0, 100).remove(0);
    let (_, with_room) = read(&server, &patient, path::RECORDINGS).await;
    assert_eq!(ready(&server).await, (200, "ready".to_owned()));

    disk.fill();
    let mut used = vec![with_room];
    let places = || {
        [
            path::RECORDINGS.to_owned(),
            path::recording(&draft.id()),
            path::key(&draft.id(), 0),
            path::body(&draft.id(), 0),
            path::details(&draft.id()),
            path::account(&clinician.account()),
        ]
    };
    for _ in 0..20 {
        for place in places() {
            let (answer, again) = read(&server, &patient, &place).await;
            let answer = answer.ok(200);
            if place.ends_with("/body") {
                assert!(answer.body == body);
            }
            used.push(again);
        }
    }
    // A hundred commits do not fit into what a log may have had left.
    let reserve = std::fs::read(server.data().join("read-nonces")).unwrap();
    let kept = reserve.chunks(32).skip(1).filter(|record| record.iter().any(|byte| *byte != 0)).count();
    assert!(kept > 50, "{kept}");
    server.part(&next, 0, 0, &part).await.refused(ProblemCode::StorageFull);
    let third = Draft::new(&organisation, 3, &patient, &clinician, &clinician);
    server.post(&clinician, path::RECORDINGS, third.create()).await.refused(ProblemCode::StorageFull);
    for call in &used {
        not_again(&server, call).await;
    }

    // Nor in the next process, which starts on a disk that is as full.
    let server = server.restart_after(|| disk.fill()).await;
    assert_eq!(ready(&server).await, (503, FULL.to_owned()));
    for call in &used {
        not_again(&server, call).await;
    }
    for place in places() {
        let (answer, again) = read(&server, &patient, &place).await;
        answer.ok(200);
        used.push(again);
    }
    server.part(&next, 0, 0, &part).await.refused(ProblemCode::StorageFull);
    server.post(&clinician, path::RECORDINGS, third.create()).await.refused(ProblemCode::StorageFull);

    // Nor once there is room, when everything is stored that was refused.
    disk.make_room();
    let server = server.restart().await;
    assert_eq!(ready(&server).await, (200, "ready".to_owned()));
    for call in &used {
        not_again(&server, call).await;
    }
    server.part(&next, 0, 0, &part).await.ok(201);
    server.create(&third).await;
    let parts = [part];
    assert!(server.get(&patient, path::body(&next.id(), 0)).await.ok(200).body == parts.concat());
}

/// Who keeps asking has nothing written more often than once a second: a look is shared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_at_readiness_are_shared() {
    let organisation = Organisation::new(1);
    let server = Server::start(&organisation).await;
    let commits = || number_in(server.data(), "SELECT commits FROM vault");
    let before = commits();
    let looks = futures_util::future::join_all((0..300).map(|_| ready(&server))).await;
    assert!(looks.iter().all(|(status, line)| (*status, line.as_str()) == (200, "ready")));
    let written = commits() - before;
    assert!((1..100).contains(&written), "{written} looks");
    assert!(!server.data().join("blobs/probe").exists());
}

/// Below what is to stay free `/readyz` says that nothing new is stored, and beyond the most bytes as well.
#[tokio::test]
async fn readiness_heeds_the_limits() {
    let organisation = Organisation::new(1);
    let server = Server::start(&organisation).await;
    for limits in [
        Limits { min_free: u64::MAX, ..Limits::default() },
        Limits { max_bytes: Some(900_000), ..Limits::default() },
    ] {
        let server = Server::start_with(&organisation, limits).await;
        assert_eq!(ready(&server).await, (503, FULL.to_owned()));
    }
    assert_eq!(ready(&server).await, (200, "ready".to_owned()));
}
