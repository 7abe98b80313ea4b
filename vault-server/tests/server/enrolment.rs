use ed25519_dalek::SigningKey;
use reqwest::Method;
use vault_proto::members::CertificateChain;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::{AccountMatches, DirectoryEntry, Enrol, path};

use crate::support::{Call, Organisation, Person, Server, Validity, YEAR, clinic};

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
async fn a_certificate_is_replaced_by_one_that_is_newer() {
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

async fn bring(
    server: &Server,
    by: &Person,
    whose: &Person,
    chain: &CertificateChain,
) -> crate::support::Answer {
    let body = serde_json::to_vec(chain).unwrap();
    server.put(by, path::certificate(&whose.account()), body).await
}

async fn stored(server: &Server, by: &Person, whose: &Person) -> CertificateChain {
    let entry: DirectoryEntry = server.get(by, path::account(&whose.account())).await.ok(200).json();
    entry.chain()
}

#[tokio::test]
async fn anybody_enrolled_brings_a_newer_certificate() {
    let (organisation, patient, clinician, server) = clinic().await;
    let newer = |validity, issued| {
        organisation.certify_as_of(clinician.account(), Role::Clinician, validity, (issued, 1_000_000_000))
    };
    let renewed = newer(Validity(-10, 40_000_000), -100);
    bring(&server, &patient, &clinician, &renewed).await.ok(201);
    bring(&server, &patient, &clinician, &renewed).await.ok(200);
    assert_eq!(stored(&server, &patient, &clinician).await, renewed);
    server.get(&clinician, path::RECORDINGS).await.ok(200);
    // What ends her is for a time before what is stored, and newer all the same.
    let ended = newer(Validity(-900, -800), -50);
    bring(&server, &patient, &clinician, &ended).await.ok(201);
    server.get(&clinician, path::RECORDINGS).await.refused(ProblemCode::CertificateExpired);
    // Neither she nor anybody else undoes it with what was issued before.
    for older in [&clinician.chain, &renewed] {
        bring(&server, &patient, &clinician, older).await.refused(ProblemCode::CredentialsRefused);
        let body = serde_json::to_vec(&Enrol { chain: older.clone(), key_list: clinician.key_list.clone() });
        enrol(&server, &clinician.device, body.unwrap()).await.refused(ProblemCode::CredentialsRefused);
        bring(&server, &clinician, &clinician, older).await.refused(ProblemCode::CertificateExpired);
    }
    assert_eq!(stored(&server, &patient, &clinician).await, ended);
    bring(&server, &patient, &clinician, &newer(YEAR, -40)).await.ok(201);
    server.get(&clinician, path::RECORDINGS).await.ok(200);
}

#[tokio::test]
async fn what_is_not_the_issuers_newest_word_for_the_account_is_refused() {
    let (organisation, patient, clinician, server) = clinic().await;
    let before = stored(&server, &patient, &clinician).await;
    let certify = |by: &Organisation, whose: &Person, role, validity, issued, issuer_end| {
        by.certify_as_of(whose.account(), role, validity, (issued, issuer_end))
    };
    let (ends, far) = (Validity(-900, -800), 1_000_000_000);
    let elsewhere = Organisation::new(50);
    let mut self_made = certify(&elsewhere, &clinician, Role::Clinician, ends, -50, far);
    self_made.issuer = before.issuer.clone();
    let mut other_issuer = certify(&organisation, &clinician, Role::Clinician, ends, -50, far);
    other_issuer.issuer = certify(&elsewhere, &clinician, Role::Clinician, ends, -50, far).issuer;
    for (chain, what) in [
        (certify(&organisation, &patient, Role::Clinician, ends, -50, far), "somebody else's"),
        (certify(&elsewhere, &clinician, Role::Clinician, ends, -50, far), "another organisation's"),
        (self_made, "signed by another issuer"),
        (other_issuer, "under another issuer's certificate"),
        (certify(&organisation, &clinician, Role::Patient, ends, -50, far), "for another role"),
        (
            certify(&organisation, &clinician, Role::Clinician, ends, -1_001, far),
            "issued before the stored one",
        ),
        (certify(&organisation, &clinician, Role::Clinician, ends, 121, far), "issued in a time to come"),
        (
            certify(&organisation, &clinician, Role::Clinician, Validity(121, 500), -50, far),
            "not counting yet",
        ),
        (certify(&organisation, &clinician, Role::Clinician, ends, -50, 0), "of an issuer that has ended"),
    ] {
        let answer = bring(&server, &patient, &clinician, &chain).await;
        let problem = answer.refused(ProblemCode::CredentialsRefused);
        assert!(problem.detail.is_some(), "{what}");
        assert_eq!(stored(&server, &patient, &clinician).await, before, "{what}");
    }
    let text = serde_json::to_string(&clinician.chain).unwrap();
    for body in
        [text.replacen("{", "{\"more\":1,", 1), text.replacen("\"issuer\"", "\"issuers\"", 1), String::new()]
    {
        let place = path::certificate(&clinician.account());
        server.put(&patient, place, body.into_bytes()).await.refused(ProblemCode::BadRequest);
    }
    let stranger = organisation.person(12, Role::Patient);
    bring(&server, &patient, &stranger, &stranger.chain).await.refused(ProblemCode::NotFound);
    bring(&server, &stranger, &clinician, &clinician.chain).await.refused(ProblemCode::UnknownKey);
}

/// Two certificates of one second, handed in by turns: one of them wins for good.
#[tokio::test]
async fn no_two_certificates_replace_each_other_in_turn() {
    let organisation = Organisation::new(1);
    let (one, two) = (organisation.person(10, Role::Patient), organisation.person(11, Role::Patient));
    let server = Server::start(&organisation).await;
    server.enrol(&[&one, &two]).await;
    let of = |end| {
        organisation.certify_as_of(two.account(), Role::Patient, Validity(-100, end), (-50, end + 9_000))
    };
    let pair = [of(5_000), of(6_000)];
    let newest = &pair[usize::from(pair[1].certificate.digest() > pair[0].certificate.digest())];
    for chain in pair.iter().chain(&pair).chain(&pair) {
        let before = stored(&server, &one, &two).await;
        let answer = bring(&server, &one, &two, chain).await;
        if before == *newest && chain != newest {
            answer.refused(ProblemCode::CredentialsRefused);
        }
    }
    assert_eq!(stored(&server, &one, &two).await, *newest);
    // The same certificate under an issuer's that counts for longer, and never back.
    let until =
        |issuer_end| organisation.certify_as_of(two.account(), Role::Patient, YEAR, (-40, issuer_end));
    let (short, long) = (until(50_000), until(60_000));
    assert_eq!(short.certificate, long.certificate);
    bring(&server, &one, &two, &short).await.ok(201);
    bring(&server, &one, &two, &long).await.ok(201);
    bring(&server, &one, &two, &short).await.refused(ProblemCode::CredentialsRefused);
    assert_eq!(stored(&server, &one, &two).await, long);
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
