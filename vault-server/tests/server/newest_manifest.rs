//! What a restored home asks for: which manifest its device has signed last.

use vault_proto::ids::AccountId;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::{Last, path};
use vault_server::authorize::FINISHING_SECONDS;

use crate::support::{Call, Draft, Organisation, Person, Server, Validity, clinic};

/// What the server calls the newest of this person's device; `None` if it knows none.
async fn newest(server: &Server, person: &Person) -> Option<String> {
    let last: Last = server.get(person, path::last(&person.account())).await.ok(200).json();
    last.manifest
}

fn envelope(draft: &Draft<'_>) -> Option<String> {
    Some(String::from_utf8(draft.manifest.bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn a_device_is_told_its_own_newest_manifest() {
    let organisation = Organisation::new(1);
    let (patient, clinician) =
        (organisation.person(10, Role::Patient), organisation.person(11, Role::Clinician));
    let recorder = organisation.person(12, Role::Recorder);
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician, &recorder]).await;
    for person in [&patient, &clinician, &recorder] {
        assert_eq!(newest(&server, person).await, None);
    }
    // By its number in the device's chain, not by when it came: this one began while the server was away.
    let draft = |id| Draft::new(&organisation, id, &patient, &clinician, &clinician);
    let (early, late, later) = (draft(3), draft(5), draft(8));
    server.create(&early).await;
    assert_eq!(newest(&server, &clinician).await, envelope(&early));
    server.finish(&later, 1000).await;
    server.create(&late).await;
    assert_eq!(newest(&server, &clinician).await, envelope(&later));
    // To be a party of it is not to have sealed it.
    assert_eq!(newest(&server, &patient).await, None);
    let recorded = Draft::new(&organisation, 9, &patient, &clinician, &recorder);
    server.create(&recorded).await;
    assert_eq!(newest(&server, &recorder).await, envelope(&recorded));
    let server = server.restart().await;
    assert_eq!(newest(&server, &clinician).await, envelope(&later));

    // Another device of the same account has a chain of its own.
    let second = ed25519_dalek::SigningKey::from_bytes(&[99; 32]);
    let list = clinician.next_key_list(&[&clinician.device, &second]);
    server.post(&clinician, path::ACCOUNTS, clinician.enrolment_with(&list)).await.ok(200);
    let place = path::last(&clinician.account());
    let call = Call::new(&second, reqwest::Method::GET, place.clone(), Vec::new());
    assert_eq!(server.call(call).await.ok(200).json::<Last>(), Last { manifest: None });
    assert_eq!(newest(&server, &clinician).await, envelope(&later));
}

#[tokio::test]
async fn what_others_have_signed_is_told_to_nobody() {
    let (organisation, patient, clinician, server) = clinic().await;
    server.create(&Draft::new(&organisation, 1, &patient, &clinician, &clinician)).await;
    let ask = async |account: &str| {
        let problem = server.get(&patient, format!("{}/{account}/last", path::ACCOUNTS)).await;
        let problem = problem.refused(ProblemCode::NotFound);
        (problem.detail, problem.title)
    };
    // One that is here, one that is not, and none at all are the same.
    let here = ask(&clinician.account().to_string()).await;
    assert_eq!(ask(&AccountId::from_bytes([0; 32]).to_string()).await, here);
    assert_eq!(ask("somebody").await, here);
    // A key is whose it is now: what it signed for the account that had it before is that account's.
    let new_device = ed25519_dalek::SigningKey::from_bytes(&[99; 32]);
    let without = clinician.enrolment_with(&clinician.next_key_list(&[&new_device]));
    server.call(Call::new(&new_device, reqwest::Method::POST, path::ACCOUNTS, without)).await.ok(200);
    let taking = patient.next_key_list(&[&patient.device, &clinician.device]);
    server.post(&patient, path::ACCOUNTS, patient.enrolment_with(&taking)).await.ok(200);
    let call = Call::new(&clinician.device, reqwest::Method::GET, path::last(&patient.account()), Vec::new());
    assert_eq!(server.call(call).await.ok(200).json::<Last>(), Last { manifest: None });
}

#[tokio::test]
async fn an_ended_certificate_leaves_it_for_as_long_as_something_may_be_finished() {
    const END: i64 = 1_000;
    let organisation = Organisation::new(1);
    let person = |seed, role| organisation.person_for(seed, role, Validity(-1_000, END));
    let (patient, clinician) = (person(10, Role::Patient), person(11, Role::Clinician));
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician]).await;
    let begun = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.create(&begun).await;
    server.advance(END + FINISHING_SECONDS - 1);
    assert_eq!(newest(&server, &clinician).await, envelope(&begun));
    let of_another = server.get(&clinician, path::last(&patient.account())).await;
    of_another.refused(ProblemCode::NotFound);
    server.advance(1);
    for person in [&patient, &clinician] {
        let answer = server.get(person, path::last(&person.account())).await;
        answer.refused(ProblemCode::CertificateExpired);
    }
}
