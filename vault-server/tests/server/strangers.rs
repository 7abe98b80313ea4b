use std::time::Duration;

use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::{Enrol, MAX_ENROLMENT, MAX_KEY_LISTS, MAX_SEAL, path};
use vault_server::limits::Limits;

use crate::support::{Call, Draft, Organisation, Person, Server};

/// Begins an enrolment whose body does not come. Returns once the server waits for it.
async fn begun_enrolment(server: &Server, person: &Person) -> TcpStream {
    let call = Call::new(&person.device, Method::POST, path::ACCOUNTS, person.enrolment());
    let head = format!("{}expect: 100-continue\r\n\r\n", call.head(call.body.len()));
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{\"chain\":").await.unwrap();
    stream
}

#[tokio::test]
async fn an_enrolment_that_dribbles_is_given_up() {
    let organisation = Organisation::new(1);
    let stranger = organisation.person(12, Role::Patient);
    let limits = Limits { enrolment_body_time: Duration::from_millis(100), ..Limits::default() };
    let server = Server::start_with(&organisation, limits).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(begun_enrolment(&server, &stranger).await);
    }
    for mut stream in waiting {
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 408");
    }
    server.enrol(&[&stranger]).await;
}

#[tokio::test]
async fn bodies_that_are_never_large_may_not_be_large() {
    let organisation = Organisation::new(1);
    let (patient, clinician) =
        (organisation.person(10, Role::Patient), organisation.person(11, Role::Clinician));
    let server = Server::start(&organisation).await;
    let large = vec![b' '; MAX_ENROLMENT];
    server.post(&patient, path::ACCOUNTS, large.clone()).await.refused(ProblemCode::BadRequest);
    server.post(&patient, path::ACCOUNTS, [large, vec![b' ']].concat()).await.refused(ProblemCode::TooLarge);
    server.enrol(&[&patient, &clinician]).await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.create(&draft).await;
    for place in [path::seal(&draft.id(), 0), path::final_seal(&draft.id())] {
        let put = async |length| server.put(&clinician, place.clone(), vec![b' '; length]).await;
        put(MAX_SEAL).await.refused(ProblemCode::StatementRefused);
        put(MAX_SEAL + 1).await.refused(ProblemCode::TooLarge);
    }
}

/// What everybody who looks an account up is sent does not grow without end.
#[tokio::test]
async fn an_account_has_only_so_many_key_lists() {
    let organisation = Organisation::new(1);
    let mut person = organisation.person(10, Role::Patient);
    let server = Server::start(&organisation).await;
    server.enrol(&[&person]).await;
    let device = person.device.clone();
    for _ in 1..MAX_KEY_LISTS {
        person.key_list = person.next_key_list(&[&device]);
        server.post(&person, path::ACCOUNTS, person.enrolment()).await.ok(200);
    }
    let next = Enrol { chain: person.chain.clone(), key_list: person.next_key_list(&[&device]) };
    let next = serde_json::to_vec(&next).unwrap();
    server.post(&person, path::ACCOUNTS, next).await.refused(ProblemCode::Conflict);
    // Its certificate can still be renewed.
    person.chain =
        organisation.certify(person.account(), Role::Patient, crate::support::Validity(-500, 40_000));
    server.post(&person, path::ACCOUNTS, person.enrolment()).await.ok(200);
    let entry: vault_proto::wire::DirectoryEntry =
        server.get(&person, path::account(&person.account())).await.ok(200).json();
    assert_eq!(entry.key_lists.len(), MAX_KEY_LISTS);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let organisation = Organisation::new(1);
    let (patient, clinician) =
        (organisation.person(10, Role::Patient), organisation.person(11, Role::Clinician));
    let limits = Limits { body_time: Duration::from_millis(100), ..Limits::default() };
    let server = Server::start_with(&organisation, limits).await;
    server.enrol(&[&patient, &clinician]).await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let call = Call::new(&clinician.device, Method::PUT, path::details(&draft.id()), Vec::new());
    let chunked = call.head(0).replace("content-length: 0", "transfer-encoding: chunked");
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(format!("{chunked}\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}
