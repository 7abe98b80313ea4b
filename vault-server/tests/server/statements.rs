//! Statements by their digests: who gets them, how they come in, and that each is there once.

use std::time::{Duration, SystemTime};

use vault_proto::envelope::payload_digest;
use vault_proto::ids::Digest;
use vault_proto::object::statement_path;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::{DeviceRole, Role};
use vault_proto::wire::{Statements, path};

use crate::support::{Answer, Draft, Organisation, Person, Server, Validity, clinic, statements};

fn digests(envelopes: &[String]) -> Vec<Digest> {
    envelopes.iter().map(|envelope| payload_digest(envelope.as_bytes()).unwrap()).collect()
}

async fn fetch(server: &Server, who: &Person, digests: &[Digest]) -> Answer {
    let query: Vec<String> = digests.iter().map(|digest| format!("digest={digest}")).collect();
    server.get(who, format!("{}?{}", path::STATEMENTS, query.join("&"))).await
}

/// An envelope with another signature: the last digits of an envelope are that.
fn with_other_signature(envelope: &str) -> String {
    let at = envelope.len() - 40;
    let digit = if envelope.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{digit}{}", &envelope[..at], &envelope[at + 1..])
}

#[tokio::test]
async fn statements_are_given_in_the_order_in_which_they_are_asked_for() {
    let (organisation, patient, clinician, server) = clinic().await;
    // Enrolment has brought those of accounts, a recording those of others.
    let stranger = organisation.person(20, Role::Recorder);
    let enrolled = statements(&[&patient, &clinician]);
    let all = digests(&enrolled);
    let backwards: Vec<Digest> = all.iter().rev().copied().collect();
    for asked in [&all[..], &backwards, &all[2..3]] {
        let answer: Statements = fetch(&server, &patient, asked).await.ok(200).json();
        assert_eq!(digests(&answer.statements), asked);
        assert!(answer.statements.iter().all(|envelope| enrolled.contains(envelope)));
    }
    let unknown = digests(&statements(&[&stranger]))[0];
    let unknown = if all.contains(&unknown) { Digest::of(b"nobody's") } else { unknown };
    fetch(&server, &patient, &[unknown]).await.refused(ProblemCode::NotFound);
    fetch(&server, &patient, &[all[0], unknown, all[1]]).await.refused(ProblemCode::NotFound);
    for query in ["", "?", "?digest=", "?digest=00", "?prefix=00000000", &format!("?digest={}&", all[0])] {
        let place = format!("{}{query}", path::STATEMENTS);
        server.get(&patient, place).await.refused(ProblemCode::BadRequest);
    }
    fetch(&server, &patient, &[all[0], all[0]]).await.refused(ProblemCode::BadRequest);
    let many: Vec<Digest> = (0u8..33).map(|number| Digest::of(&[number])).collect();
    fetch(&server, &patient, &many).await.refused(ProblemCode::BadRequest);
    fetch(&server, &patient, &many[..32]).await.refused(ProblemCode::NotFound);
}

#[tokio::test]
async fn whoever_is_enrolled_may_ask_and_nobody_else() {
    let organisation = Organisation::new(1);
    let patient = organisation.person_for(10, Role::Patient, Validity(-1_000, 1_000));
    let desk = organisation.person_for(11, Role::Clinician, Validity(-1_000, 1_000));
    let tablet = desk.at_another_device(90, vec![DeviceRole::Seal]);
    let nobody = organisation.person(12, Role::Patient);
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &desk]).await;
    server.post(&desk, path::ACCOUNTS, tablet.enrolment()).await.ok(200);
    let all = digests(&statements(&[&patient, &tablet]));
    for who in [&patient, &desk, &tablet] {
        fetch(&server, who, &all).await.ok(200);
    }
    fetch(&server, &nobody, &all).await.refused(ProblemCode::UnknownKey);
    // What proves a patient's recordings is hers for good, and a digest is known to who has seen what names it.
    server.advance(20 * 365 * 24 * 3600);
    for who in [&patient, &desk] {
        fetch(&server, who, &all).await.ok(200);
    }
}

/// What was replaced in the directory stays for the recordings that name it.
#[tokio::test]
async fn what_is_replaced_stays() {
    let (organisation, patient, clinician, server) = clinic().await;
    let before = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.create(&before).await;
    let renewed = organisation.certify_as_of(
        clinician.account(),
        Role::Clinician,
        Validity(-500, 40_000_000),
        (-500, 1_000_000_000),
    );
    let body = serde_json::to_vec(&renewed).unwrap();
    server.put(&patient, path::certificate(&clinician.account()), body).await.ok(201);
    let named: Vec<Digest> = before.manifest.unverified().named_statements().into_iter().collect();
    fetch(&server, &patient, &named).await.ok(200);
    fetch(&server, &patient, &[renewed.certificate.digest()]).await.ok(200);
    let server = server.restart().await;
    fetch(&server, &patient, &named).await.ok(200);
}

/// One whose signature is wrong has the digest of the right one, and does not stand in its way.
#[tokio::test]
async fn a_wrong_signature_takes_no_place() {
    let (organisation, patient, _, server) = clinic().await;
    let stranger = organisation.person(20, Role::Clinician);
    let recorder = organisation.person(21, Role::Recorder);
    server.enrol(&[&recorder]).await;
    let right = statements(&[&stranger]);
    let known = digests(&statements(&[&patient]));
    let (there, new): (Vec<usize>, Vec<usize>) =
        (0..right.len()).partition(|number| known.contains(&digests(&right)[*number]));
    let create = async |number: usize| {
        let mut wrong = right.clone();
        wrong[number] = with_other_signature(&wrong[number]);
        let draft = Draft::new(&organisation, 1 + number as u64, &patient, &stranger, &recorder);
        server.post(&recorder, path::RECORDINGS, draft.with_statements(wrong).create()).await
    };
    assert_eq!((there.len(), new.len()), (1, 2), "the issuer's certificate is that of everybody");
    for number in new {
        create(number).await.refused(ProblemCode::StatementRefused);
    }
    // What is stored was checked when it came, and stands.
    create(there[0]).await.ok(201);
    let draft = Draft::new(&organisation, 50, &patient, &stranger, &recorder);
    server.create(&draft).await;
    let answer: Statements = fetch(&server, &patient, &digests(&right)).await.ok(200).json();
    assert_eq!(answer.statements, right);
    for (digest, envelope) in digests(&right).iter().zip(&right) {
        let file = server.data().join("blobs").join(statement_path(digest));
        assert_eq!(std::fs::read_to_string(file).unwrap(), *envelope);
    }
}

/// A row that was changed is never answered as the statement that it was.
#[tokio::test]
async fn a_damaged_row_is_a_failure() {
    let (organisation, patient, clinician, server) = clinic().await;
    let recorder = organisation.person(21, Role::Recorder);
    server.enrol(&[&recorder]).await;
    let [one, other] = [&patient, &clinician].map(|person| person.key_list.digest());
    let database = rusqlite::Connection::open(server.data().join("vault.db")).unwrap();
    let exchange = "UPDATE statements SET envelope = (SELECT envelope FROM statements WHERE digest = ?2) \
                    WHERE digest = ?1";
    assert_eq!(database.execute(exchange, (&one.as_bytes()[..], &other.as_bytes()[..])).unwrap(), 1);
    fetch(&server, &recorder, &[one]).await.refused(ProblemCode::Internal);
    fetch(&server, &recorder, &[other, one]).await.refused(ProblemCode::Internal);
    fetch(&server, &recorder, &[other]).await.ok(200);
}

/// What a crash left of a write is looked at again by the next one, and is not destroyed.
#[tokio::test]
async fn what_a_crash_left_is_set_aside_for_what_comes() {
    let (organisation, patient, _, server) = clinic().await;
    let stranger = organisation.person(20, Role::Clinician);
    let recorder = organisation.person(21, Role::Recorder);
    server.enrol(&[&recorder]).await;
    let key_list = stranger.key_list.digest();
    let file = server.data().join("blobs").join(statement_path(&key_list));
    std::fs::write(&file, "of another try").unwrap();
    let old = SystemTime::now() - Duration::from_secs(3 * 24 * 3600);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
    server.create(&Draft::new(&organisation, 1, &patient, &stranger, &recorder)).await;
    assert_eq!(std::fs::read(&file).unwrap(), stranger.key_list.bytes());
    let leftovers = server.data().join("leftovers");
    let kept = std::fs::read_dir(leftovers)
        .unwrap()
        .filter_map(|day| std::fs::read_to_string(day.unwrap().path().join(statement_path(&key_list))).ok());
    assert_eq!(kept.collect::<Vec<_>>(), ["of another try"]);
}
