use ed25519_dalek::SigningKey;
use reqwest::Method;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::{AccountMatches, DirectoryEntry, Enrol, path};

use crate::support::{Call, Organisation, Person, Server, Validity};

fn with_list(
    person: &Person,
    key_list: &vault_proto::envelope::Envelope<vault_proto::statements::KeyList>,
) -> Vec<u8> {
    serde_json::to_vec(&Enrol { chain: person.chain.clone(), key_list: key_list.clone() }).unwrap()
}

async fn enrol(server: &Server, device: &SigningKey, body: Vec<u8>) -> crate::support::Answer {
    server.call(Call::new(device, Method::POST, path::ACCOUNTS, body)).await
}

#[tokio::test]
async fn key_lists_follow_on_one_another_and_a_removed_device_is_out() {
    let organisation = Organisation::new(1);
    let person = organisation.person(10, Role::Patient);
    let server = Server::start(&organisation).await;
    let new_device = SigningKey::from_bytes(&[77; 32]);
    let second = person.next_key_list(&[&new_device]);
    enrol(&server, &new_device, with_list(&person, &second)).await.refused(ProblemCode::CredentialsRefused);
    server.enrol(&[&person]).await;
    let other = person.other_first_key_list(&[&new_device]);
    enrol(&server, &new_device, with_list(&person, &other)).await.refused(ProblemCode::Conflict);
    // The old device alone cannot hand in a list that does not name it.
    enrol(&server, &person.device, with_list(&person, &second)).await.refused(ProblemCode::UnknownKey);
    enrol(&server, &new_device, with_list(&person, &second)).await.ok(200);
    server.get(&person, path::RECORDINGS).await.refused(ProblemCode::UnknownKey);
    // Nor can the removed device bring the old list back.
    enrol(&server, &person.device, person.enrolment()).await.refused(ProblemCode::CredentialsRefused);
    let place = path::account(&person.account());
    let entry: DirectoryEntry =
        server.call(Call::new(&new_device, Method::GET, place, Vec::new())).await.ok(200).json();
    assert_eq!(entry.key_lists, [person.key_list.clone(), second]);
}

#[tokio::test]
async fn a_device_belongs_to_one_account() {
    let organisation = Organisation::new(1);
    let (one, two) = (organisation.person(10, Role::Patient), organisation.person(11, Role::Patient));
    let server = Server::start(&organisation).await;
    server.enrol(&[&one, &two]).await;
    let both = two.next_key_list(&[&two.device, &one.device]);
    enrol(&server, &two.device, with_list(&two, &both)).await.refused(ProblemCode::Conflict);
    server.get(&one, path::RECORDINGS).await.ok(200);
    let entry: DirectoryEntry = server.get(&two, path::account(&two.account())).await.ok(200).json();
    assert_eq!(entry.key_lists.len(), 1, "nothing of the refused list was stored");
}

#[tokio::test]
async fn only_this_organisation_certifies_and_only_at_this_time() {
    let organisation = Organisation::new(1);
    let server = Server::start(&organisation).await;
    let foreign = Organisation::new(50).person(10, Role::Patient);
    let expired = organisation.person_for(11, Role::Patient, Validity(-1000, 0));
    let early = organisation.person_for(12, Role::Patient, Validity(500, 1000));
    let mut borrowed = organisation.person(13, Role::Patient);
    borrowed.chain = organisation.person(14, Role::Patient).chain;
    for person in [&foreign, &expired, &early, &borrowed] {
        enrol(&server, &person.device, person.enrolment()).await.refused(ProblemCode::CredentialsRefused);
    }
    let good = organisation.person(15, Role::Patient);
    let text = String::from_utf8(good.enrolment()).unwrap();
    for (from, to) in [("\"chain\"", "\"chains\""), ("{", "{\"more\":1,"), ("\"key_list\"", "\"key_lists\"")]
    {
        enrol(&server, &good.device, text.replacen(from, to, 1).into_bytes())
            .await
            .refused(ProblemCode::BadRequest);
    }
    let damaged = text.replacen("payloadType", "payloadTypes", 1);
    enrol(&server, &good.device, damaged.into_bytes()).await.refused(ProblemCode::CredentialsRefused);
}

#[tokio::test]
async fn a_certificate_is_replaced_by_one_that_is_not_older() {
    let organisation = Organisation::new(1);
    let mut person = organisation.person(10, Role::Patient);
    let server = Server::start(&organisation).await;
    server.enrol(&[&person]).await;
    let renewed = organisation.certify(person.account(), Role::Clinician, Validity(-500, 40_000_000));
    let older = std::mem::replace(&mut person.chain, renewed);
    enrol(&server, &person.device, person.enrolment()).await.ok(200);
    let renewed = std::mem::replace(&mut person.chain, older);
    enrol(&server, &person.device, person.enrolment()).await.refused(ProblemCode::CredentialsRefused);
    let entry: DirectoryEntry = server.get(&person, path::account(&person.account())).await.ok(200).json();
    assert_eq!(entry.certificate, renewed.certificate);
}

#[tokio::test]
async fn accounts_are_found_by_the_beginning_of_their_id() {
    let organisation = Organisation::new(1);
    let people: Vec<Person> = (10..14).map(|seed| organisation.person(seed, Role::Patient)).collect();
    let server = Server::start(&organisation).await;
    server.enrol(&people.iter().collect::<Vec<_>>()).await;
    for person in &people {
        let id = person.account().to_string();
        for length in [8, 9, 63, 64] {
            let found: AccountMatches =
                server.get(&people[0], format!("/v1/accounts?prefix={}", &id[..length])).await.ok(200).json();
            assert_eq!(found.accounts, [person.account()]);
        }
        for bad in [id[..7].to_owned(), id.to_uppercase(), format!("{id}0"), String::new()] {
            server
                .get(&people[0], format!("/v1/accounts?prefix={bad}"))
                .await
                .refused(ProblemCode::BadRequest);
        }
    }
    let nobody: AccountMatches =
        server.get(&people[0], "/v1/accounts?prefix=0000000000").await.ok(200).json();
    assert_eq!(nobody.accounts, []);
    for query in ["", "?prefix=00000000&prefix=00000000", "?prefix=00000000&x=1"] {
        server.get(&people[0], format!("/v1/accounts{query}")).await.refused(ProblemCode::BadRequest);
    }
    server.get(&people[0], format!("/v1/accounts/{}", "0".repeat(64))).await.refused(ProblemCode::NotFound);
}
