use reqwest::Method;
use vault_proto::ids::{ComparisonNonce, Digest};
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::{COMPARISON_LIFETIME, ComparisonSide, ComparisonState, path};

use crate::support::{Call, Organisation, Person, Server};

struct Scene {
    server: Server,
    anna: Person,
    ben: Person,
    stranger: Person,
}

async fn scene() -> Scene {
    let organisation = Organisation::new(1);
    let server = Server::start(&organisation).await;
    let anna = organisation.person(10, Role::Patient);
    let ben = organisation.person(11, Role::Clinician);
    let stranger = organisation.person(12, Role::Recorder);
    server.enrol(&[&anna, &ben, &stranger]).await;
    Scene { server, anna, ben, stranger }
}

async fn commit(server: &Server, who: &Person, with: &Person, value: u8) -> crate::support::Answer {
    server.put(who, path::commitment(&with.account()), vec![value; 32]).await
}

async fn reveal(server: &Server, who: &Person, with: &Person, value: u8) -> crate::support::Answer {
    server.put(who, path::nonce(&with.account()), vec![value; 32]).await
}

async fn state(server: &Server, who: &Person, with: &Person) -> crate::support::Answer {
    server.get(who, path::comparison(&with.account())).await
}

fn side(commitment: u8, nonce: Option<u8>) -> ComparisonSide {
    ComparisonSide {
        commitment: Digest::from_bytes([commitment; 32]),
        nonce: nonce.map(|nonce| ComparisonNonce::from_bytes([nonce; 32])),
    }
}

#[tokio::test]
async fn commitments_come_before_nonces_and_the_earlier_side_reveals_first() {
    let Scene { server, anna, ben, .. } = scene().await;
    state(&server, &anna, &ben).await.refused(ProblemCode::NotFound);
    reveal(&server, &anna, &ben, 1).await.refused(ProblemCode::NotFound);
    commit(&server, &anna, &ben, 1).await.ok(201);
    commit(&server, &anna, &ben, 1).await.ok(200);
    reveal(&server, &anna, &ben, 2).await.refused(ProblemCode::OutOfOrder);
    let seen: ComparisonState = state(&server, &anna, &ben).await.ok(200).json();
    assert_eq!(seen, ComparisonState { own: side(1, None), other: None, first: true });
    // That Anna waits is nothing Ben is told before he commits.
    state(&server, &ben, &anna).await.refused(ProblemCode::NotFound);

    commit(&server, &ben, &anna, 3).await.ok(201);
    reveal(&server, &ben, &anna, 4).await.refused(ProblemCode::OutOfOrder);
    reveal(&server, &anna, &ben, 2).await.ok(201);
    reveal(&server, &anna, &ben, 2).await.ok(200);
    reveal(&server, &anna, &ben, 5).await.refused(ProblemCode::Conflict);
    let server = server.restart().await;
    reveal(&server, &ben, &anna, 4).await.ok(201);
    let seen: ComparisonState = state(&server, &ben, &anna).await.ok(200).json();
    assert_eq!(seen, ComparisonState { own: side(3, Some(4)), other: Some(side(1, Some(2))), first: false });

    // A new commitment ends what was, on both sides.
    commit(&server, &ben, &anna, 6).await.ok(201);
    state(&server, &anna, &ben).await.refused(ProblemCode::NotFound);
    let seen: ComparisonState = state(&server, &ben, &anna).await.ok(200).json();
    assert_eq!(seen, ComparisonState { own: side(6, None), other: None, first: true });
}

#[tokio::test]
async fn a_side_left_behind_costs_nobody_a_nonce() {
    let Scene { server, anna, ben, .. } = scene().await;
    commit(&server, &anna, &ben, 1).await.ok(201);
    commit(&server, &ben, &anna, 2).await.ok(201);
    commit(&server, &anna, &ben, 3).await.ok(201);
    let seen: ComparisonState = state(&server, &ben, &anna).await.ok(200).json();
    assert_eq!(seen, ComparisonState { own: side(2, None), other: Some(side(3, None)), first: true });
    reveal(&server, &anna, &ben, 4).await.refused(ProblemCode::OutOfOrder);
    for status in [201, 200] {
        let gone = Call::new(&ben.device, Method::DELETE, path::comparison(&anna.account()), Vec::new());
        server.call(gone).await.ok(status);
    }
    let seen: ComparisonState = state(&server, &anna, &ben).await.ok(200).json();
    assert_eq!(seen.other, None);
}

#[tokio::test]
async fn strangers_learn_and_change_nothing() {
    let Scene { server, anna, ben, stranger } = scene().await;
    commit(&server, &anna, &ben, 1).await.ok(201);
    commit(&server, &ben, &anna, 2).await.ok(201);
    for with in [&anna, &ben] {
        state(&server, &stranger, with).await.refused(ProblemCode::NotFound);
        reveal(&server, &stranger, with, 9).await.refused(ProblemCode::NotFound);
        let gone = Call::new(&stranger.device, Method::DELETE, path::comparison(&with.account()), Vec::new());
        server.call(gone).await.ok(200);
        // A comparison of the stranger's own is another one.
        commit(&server, &stranger, with, 9).await.ok(201);
        let seen: ComparisonState = state(&server, &stranger, with).await.ok(200).json();
        assert_eq!(seen, ComparisonState { own: side(9, None), other: None, first: true });
    }
    let seen: ComparisonState = state(&server, &anna, &ben).await.ok(200).json();
    assert_eq!(seen, ComparisonState { own: side(1, None), other: Some(side(2, None)), first: true });
}

#[tokio::test]
async fn what_is_no_comparison() {
    let Scene { server, anna, .. } = scene().await;
    let nobody = Organisation::new(1).person(13, Role::Patient);
    commit(&server, &anna, &nobody, 1).await.refused(ProblemCode::NotFound);
    commit(&server, &anna, &anna, 1).await.refused(ProblemCode::BadRequest);
    let place = path::commitment(&Organisation::new(1).person(11, Role::Clinician).account());
    for length in [0, 31] {
        server.put(&anna, place.clone(), vec![1; length]).await.refused(ProblemCode::BadRequest);
    }
    server.put(&anna, place, vec![1; 33]).await.refused(ProblemCode::TooLarge);
    server.put(&anna, "/v1/comparisons/0123/commitment", vec![1; 32]).await.refused(ProblemCode::NotFound);
}

#[tokio::test]
async fn comparisons_are_forgotten() {
    let Scene { server, anna, ben, stranger } = scene().await;
    commit(&server, &anna, &ben, 1).await.ok(201);
    server.advance(COMPARISON_LIFETIME - 1);
    state(&server, &anna, &ben).await.ok(200);
    server.advance(1);
    state(&server, &anna, &ben).await.refused(ProblemCode::NotFound);
    // The next commitment of anybody removes the row.
    let mut call = Call::new(&stranger.device, Method::PUT, path::commitment(&ben.account()), vec![9; 32]);
    call.created += COMPARISON_LIFETIME;
    server.call(call).await.ok(201);
    let db = rusqlite::Connection::open(server.data().join("vault.db")).unwrap();
    let mut count = db.prepare("SELECT count(*) FROM comparisons").unwrap();
    let rows: Vec<u32> = count.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows, [1]);
}
