//! Both columns, row by row.

use ed25519_dalek::Signer as _;

use super::*;
use crate::envelope;
use crate::ids::OrganisationId;
use crate::members::MemberStatements;
use crate::revocation_entries::RevocationEntry;
use crate::signing_fixture::{key, signing_key, time};
use crate::statements::{
    Certificate, Device, DeviceKey, EncryptionKey, EndedIssuer, RemovedDevice, Role, Suite,
};

const CREATED: i64 = 1_000_000;

const ORGANISATION: u8 = 1;
const ISSUER: u8 = 2;
const ACCOUNT: u8 = 3;
const PHONE: u8 = 4;
const TABLET: u8 = 5;

fn organisation() -> OrganisationId {
    OrganisationId::of_root(&key(ORGANISATION))
}

fn account() -> AccountId {
    AccountId::of_root(&key(ACCOUNT))
}

fn id(device: u8) -> KeyId {
    KeyId::of_device(&key(device))
}

fn issuer() -> IssuerCertificate {
    IssuerCertificate {
        organisation: organisation(),
        root: key(ORGANISATION),
        issuer: key(ISSUER),
        not_before: time(0),
        not_after: time(10 * CREATED),
        number: 1,
        ended: Vec::new(),
        revocations: false,
        roles: vec![Role::Clinician, Role::Patient],
    }
}

fn sign_issuer(issuer: &IssuerCertificate) -> Envelope<IssuerCertificate> {
    let root = signing_key(ORGANISATION);
    envelope::sign(issuer, KeyId::of_organisation_root(&issuer.root), |bytes| root.sign(bytes).to_bytes())
        .unwrap()
}

fn verified_issuer(issuer: &IssuerCertificate) -> Verified<IssuerCertificate> {
    crate::members::verify_issuer(&sign_issuer(issuer), organisation()).unwrap()
}

fn certificate() -> Certificate {
    Certificate {
        organisation: organisation(),
        account: account(),
        role: Role::Clinician,
        label: None,
        issued: time(0),
        not_before: time(0),
        not_after: time(2 * CREATED),
        succeeds: None,
        guardians: Vec::new(),
    }
}

fn list() -> KeyList {
    KeyList {
        account: account(),
        root: key(ACCOUNT),
        number: 1,
        previous: None,
        created: time(0),
        epoch: 1,
        encryption: vec![EncryptionKey {
            suite: Suite::X25519,
            recipient: format!("age1{}", "q".repeat(58)),
        }],
        devices: [PHONE, TABLET]
            .map(|device| DeviceKey { key: key(device), roles: vec![DeviceRole::Auth, DeviceRole::Seal] })
            .to_vec(),
        removed: Vec::new(),
        allows: Vec::new(),
    }
}

fn sign_list(list: &KeyList) -> Envelope<KeyList> {
    let root = signing_key(ACCOUNT);
    envelope::sign(list, KeyId::of_account_root(&list.root), |bytes| root.sign(bytes).to_bytes()).unwrap()
}

/// The list after [`list`], which removes the phone behind its statement 7.
fn without_phone() -> KeyList {
    let before = list();
    KeyList {
        number: 2,
        previous: Some(sign_list(&before).digest()),
        created: time(2 * CREATED),
        epoch: 2,
        encryption: vec![EncryptionKey {
            suite: Suite::X25519,
            recipient: format!("age1{}", "p".repeat(58)),
        }],
        devices: before.devices[1..].to_vec(),
        removed: vec![RemovedDevice { key: key(PHONE), sequence: 7, since: None }],
        ..before
    }
}

fn member_of(issuer: &IssuerCertificate, certificate: &Certificate, list: &KeyList) -> SignedMember {
    let signer = signing_key(ISSUER);
    let key_id = KeyId::of_issuer(&key(ISSUER));
    let member = MemberStatements {
        issuer: sign_issuer(issuer),
        certificate: envelope::sign(certificate, key_id, |bytes| signer.sign(bytes).to_bytes()).unwrap(),
        key_list: sign_list(list),
    };
    member.verify_signatures(organisation(), account()).unwrap()
}

fn member() -> SignedMember {
    member_of(&issuer(), &certificate(), &list())
}

fn chain(lists: &[KeyList]) -> KeyListChain {
    let lists: Vec<_> = lists.iter().map(sign_list).collect();
    KeyListChain::check(account(), &lists).unwrap()
}

fn knowing_lists(lists: &[KeyList]) -> Known {
    let mut known = Known::default();
    known.learn_key_lists(account(), chain(lists));
    known
}

fn sealer(device: u8, sequence: u64) -> Option<Signer> {
    Some(Signer { key: id(device), role: DeviceRole::Seal, sequence: Some(sequence) })
}

fn problem<T>(result: Result<T, TrustError>) -> TrustProblem {
    match result {
        Ok(_) => panic!("nothing was refused"),
        Err(error) => {
            assert_eq!(error.account, account());
            error.problem
        }
    }
}

fn revocations(statement: &Revocations, entries: &RevocationEntries) -> CheckedRevocations {
    let signer = signing_key(ISSUER);
    let key_id = KeyId::of_issuer(&key(ISSUER));
    let signed = envelope::sign(statement, key_id, |bytes| signer.sign(bytes).to_bytes()).unwrap();
    CheckedRevocations::check(&verified_issuer(&issuer()), &signed, &entries.to_bytes().unwrap()).unwrap()
}

fn revoking(ended: Option<i64>, key_list: Option<u64>) -> CheckedRevocations {
    let entry = RevocationEntry { account: account(), ended: ended.map(time), key_list };
    let entries = RevocationEntries::of([entry]);
    let statement = Revocations {
        organisation: organisation(),
        number: 1,
        previous: None,
        created: time(CREATED),
        expires: time(CREATED + 3600),
        entries: vec![entries.digest().unwrap()],
    };
    revocations(&statement, &entries)
}

#[test]
fn what_is_in_order_counts_in_both_columns() {
    for known in [Known::default(), knowing_lists(&[list()])] {
        known.check_now(member(), sealer(PHONE, 1), time(CREATED)).unwrap();
        known.check_at(member(), sealer(PHONE, 1), time(CREATED)).unwrap();
    }
}

#[test]
fn certificates_count_within_their_windows() {
    let known = Known::default();
    for at in [2 * CREATED, 3 * CREATED] {
        assert!(matches!(problem(known.check_now(member(), None, time(at))), TrustProblem::Expired { .. }));
        assert!(matches!(problem(known.check_at(member(), None, time(at))), TrustProblem::Expired { .. }));
    }
    let late = KeyList { created: time(CREATED + 121), ..list() };
    let member = || member_of(&issuer(), &certificate(), &late);
    assert!(matches!(
        problem(known.check_at(member(), None, time(CREATED))),
        TrustProblem::NotYetValid { .. }
    ));
    known.check_at(member(), None, time(CREATED + 1)).unwrap();
}

#[test]
fn a_role_that_the_issuer_may_not_certify_is_none() {
    let issuer = IssuerCertificate { roles: vec![Role::Patient], ..issuer() };
    let member = MemberStatements {
        issuer: sign_issuer(&issuer),
        certificate: envelope::sign(&certificate(), KeyId::of_issuer(&key(ISSUER)), |bytes| {
            signing_key(ISSUER).sign(bytes).to_bytes()
        })
        .unwrap(),
        key_list: sign_list(&list()),
    };
    let found = member.verify_signatures(organisation(), account());
    assert_eq!(problem(found), TrustProblem::RoleNotIssued(Role::Clinician));
}

#[test]
fn an_ended_issuer_counts_until_then() {
    let end = |number, from| IssuerCertificate {
        number,
        issuer: key(9),
        ended: vec![EndedIssuer { issuer: key(ISSUER), from: time(from) }],
        ..issuer()
    };
    let mut known = Known::default();
    known.learn_issuer(&verified_issuer(&end(3, CREATED)));
    // One of a lower number changes nothing.
    known.learn_issuer(&verified_issuer(&end(2, 1)));
    for at in [CREATED, CREATED + 1] {
        let from = time(CREATED);
        assert_eq!(problem(known.check_at(member(), None, time(at))), TrustProblem::IssuerEnded { from });
        assert_eq!(problem(known.check_now(member(), None, time(at))), TrustProblem::IssuerEnded { from });
    }
    known.check_at(member(), None, time(CREATED - 1)).unwrap();
    assert_eq!(known.end_of(member().chain()), time(CREATED));
    // The certificate itself may have the higher number.
    let newer = IssuerCertificate { number: 4, ..issuer() };
    known.check_at(member_of(&newer, &certificate(), &list()), None, time(CREATED)).unwrap();
}

#[test]
fn a_removed_device_signed_what_it_had_signed() {
    let known = knowing_lists(&[list(), without_phone()]);
    let at = time(CREATED);
    known.check_at(member(), sealer(PHONE, 7), at).unwrap();
    known.check_at(member(), sealer(TABLET, 70), at).unwrap();
    let removed = problem(known.check_at(member(), sealer(PHONE, 8), at));
    assert_eq!(removed, TrustProblem::DeviceRemoved { key: id(PHONE), number: 2, sequence: 7 });
    let unnumbered = Signer { key: id(PHONE), role: DeviceRole::Auth, sequence: None };
    assert!(matches!(
        problem(known.check_at(member(), Some(unnumbered), at)),
        TrustProblem::DeviceRemoved { .. }
    ));
    // Nobody seals by a list that another has followed.
    let old = problem(known.check_now(member(), sealer(TABLET, 1), at));
    assert_eq!(old, TrustProblem::KeyListRolledBack { served: 1, seen: 2 });
    let current = || {
        member_of(&issuer(), &Certificate { not_after: time(9 * CREATED), ..certificate() }, &without_phone())
    };
    let now = time(2 * CREATED);
    known.check_now(current(), sealer(TABLET, 1), now).unwrap();
    assert_eq!(
        problem(known.check_now(current(), sealer(PHONE, 1), now)),
        TrustProblem::KeyNotListed(id(PHONE))
    );
    // Who does not know the newer list cannot tell.
    knowing_lists(&[list()]).check_at(member(), sealer(PHONE, 8), at).unwrap();
}

#[test]
fn a_list_has_its_place_in_the_chain_that_is_known() {
    let other = KeyList { created: time(1), ..list() };
    let member = || member_of(&issuer(), &certificate(), &other);
    for known in [knowing_lists(&[list()]), knowing_lists(&[list(), without_phone()])] {
        assert_eq!(problem(known.check_at(member(), None, time(CREATED))), TrustProblem::KeyListForked(1));
    }
    let late = Certificate { not_after: time(9 * CREATED), ..certificate() };
    let next = |list: &KeyList| member_of(&issuer(), &late, list);
    let known = knowing_lists(&[list()]);
    known.check_at(next(&without_phone()), None, time(2 * CREATED)).unwrap();
    let astray = KeyList { previous: Some(Digest::of(b"another")), ..without_phone() };
    assert_eq!(
        problem(known.check_at(next(&astray), None, time(2 * CREATED))),
        TrustProblem::KeyListForked(2)
    );
    let forgetful = KeyList { removed: Vec::new(), ..without_phone() };
    assert!(matches!(
        problem(known.check_at(next(&forgetful), None, time(2 * CREATED))),
        TrustProblem::KeyListDoesNotFollow { number: 2, .. }
    ));
}

#[test]
fn lists_make_a_chain_from_the_first_on() {
    let signed = |lists: &[KeyList]| lists.iter().map(sign_list).collect::<Vec<_>>();
    let check =
        |lists: &[KeyList]| KeyListChain::check(account(), &signed(lists)).map(|chain| chain.newest().number);
    assert_eq!(check(&[list(), without_phone()]), Ok(2));
    assert_eq!(problem(check(&[])), TrustProblem::Missing);
    assert_eq!(problem(check(&[without_phone()])), TrustProblem::KeyListForked(2));
    assert_eq!(problem(check(&[list(), list()])), TrustProblem::KeyListForked(1));
    let same_epoch = KeyList { epoch: 1, ..without_phone() };
    assert!(matches!(problem(check(&[list(), same_epoch])), TrustProblem::KeyListDoesNotFollow { .. }));
    let chain = chain(&[list(), without_phone()]);
    assert_eq!(chain.numbered(1).unwrap().number, 1);
    assert_eq!(chain.numbered(2).unwrap().number, 2);
    assert!(chain.numbered(0).is_none() && chain.numbered(3).is_none());
    assert_eq!(
        chain.check_seen(3, Digest::of(b"")),
        Err(TrustProblem::KeyListRolledBack { served: 2, seen: 3 })
    );
}

#[test]
fn what_is_revoked_ends_then_and_hides_no_newer_list() {
    let mut known = Known::default();
    known.learn_revocations(revoking(Some(CREATED), None));
    let ended = time(CREATED);
    assert_eq!(problem(known.check_at(member(), None, ended)), TrustProblem::Revoked { ended });
    known.check_at(member(), None, time(CREATED - 1)).unwrap();
    assert_eq!(known.end_of(member().chain()), ended);

    let mut known = Known::default();
    known.learn_revocations(revoking(None, Some(2)));
    let rolled_back = TrustProblem::KeyListRolledBack { served: 1, seen: 2 };
    assert_eq!(problem(known.check_at(member(), None, time(CREATED))), rolled_back);
    assert_eq!(problem(known.check_now(member(), None, time(CREATED))), rolled_back);
    // With the newer list, what was sealed by the older one is read.
    known.learn_key_lists(account(), chain(&[list(), without_phone()]));
    known.check_at(member(), sealer(PHONE, 7), time(CREATED)).unwrap();
}

#[test]
fn where_revocations_are_needed_sealing_needs_them_in_force_and_reading_does_not() {
    let needed = IssuerCertificate { revocations: true, ..issuer() };
    let member = || member_of(&needed, &certificate(), &list());
    let mut known = Known::default();
    assert_eq!(problem(known.check_now(member(), None, time(CREATED))), TrustProblem::NoRevocations);
    known.check_at(member(), None, time(CREATED)).unwrap();
    known.learn_revocations(revoking(None, None));
    known.check_now(member(), None, time(CREATED - 120)).unwrap();
    known.check_now(member(), None, time(CREATED + 3599)).unwrap();
    for at in [CREATED - 121, CREATED + 3600] {
        let expires = time(CREATED + 3600);
        let problem = problem(known.check_now(member(), None, time(at)));
        assert_eq!(problem, TrustProblem::RevocationsExpired { expires });
    }
    known.check_at(member(), None, time(CREATED + 3600)).unwrap();
}

#[test]
fn revocations_are_their_issuers_word_about_their_entries() {
    let entries = RevocationEntries::default();
    let statement = Revocations {
        organisation: organisation(),
        number: 1,
        previous: None,
        created: time(1),
        expires: time(2),
        entries: vec![entries.digest().unwrap()],
    };
    let sign = |statement: &Revocations, signer: u8| {
        let key_id = KeyId::of_issuer(&key(signer));
        envelope::sign(statement, key_id, |bytes| signing_key(signer).sign(bytes).to_bytes()).unwrap()
    };
    let check = |statement: &Revocations, signer: u8, entries: &[u8]| {
        CheckedRevocations::check(&verified_issuer(&issuer()), &sign(statement, signer), entries).map(|_| ())
    };
    let bytes = entries.to_bytes().unwrap();
    assert_eq!(check(&statement, ISSUER, &bytes), Ok(()));
    assert!(matches!(check(&statement, ACCOUNT, &bytes), Err(TrustProblem::Statement(_))));
    assert_eq!(check(&statement, ISSUER, b"other"), Err(TrustProblem::OtherEntries));
    let elsewhere = OrganisationId::from_bytes([1; 32]);
    let other = Revocations { organisation: elsewhere, ..statement.clone() };
    assert_eq!(check(&other, ISSUER, &bytes), Err(TrustProblem::OtherOrganisation(elsewhere)));
    let odd = Revocations { entries: vec![Digest::of(b"odd")], ..statement };
    assert!(matches!(check(&odd, ISSUER, b"odd"), Err(TrustProblem::Statement(_))));
}

#[test]
fn a_device_adds_another_to_its_list_and_no_more_than_it_may() {
    let statement = |by: u8, roles: &[DeviceRole]| Device {
        account: account(),
        key_list: sign_list(&list()).digest(),
        key: key(9),
        roles: roles.to_vec(),
        by: id(by),
        created: time(1),
    };
    let sign = |device: &Device, signer: u8| {
        envelope::sign(device, id(signer), |bytes| signing_key(signer).sign(bytes).to_bytes()).unwrap()
    };
    let add = |device: &Device, signer: u8| member().with_device(&sign(device, signer));
    let good = statement(PHONE, &[DeviceRole::Seal]);
    let with = add(&good, PHONE).unwrap();
    assert_eq!(with.device(id(9), DeviceRole::Seal), Some(&key(9)));
    assert_eq!(with.device(id(9), DeviceRole::Auth), None);
    Known::default().check_at(with.clone(), sealer(9, 1), time(CREATED)).unwrap();
    Known::default().check_now(with.clone(), sealer(9, 1), time(CREATED)).unwrap();
    // The next list names it or removes it; one that does neither does not know it.
    let known = knowing_lists(&[list(), without_phone()]);
    assert_eq!(problem(known.check_at(with, sealer(9, 1), time(CREATED))), TrustProblem::KeyNotListed(id(9)));

    assert!(matches!(problem(add(&good, TABLET)), TrustProblem::Statement(_)));
    assert_eq!(problem(add(&statement(8, &[DeviceRole::Seal]), 8)), TrustProblem::KeyNotListed(id(8)));
    let known_key = Device { key: key(TABLET), ..good.clone() };
    assert_eq!(problem(add(&known_key, PHONE)), TrustProblem::DeviceKnown(id(TABLET)));
    let elsewhere = Device { key_list: Digest::of(b"other"), ..good.clone() };
    assert_eq!(problem(add(&elsewhere, PHONE)), TrustProblem::DeviceOfAnotherList);
    let another = Device { account: AccountId::from_bytes([1; 32]), ..good };
    assert!(matches!(problem(add(&another, PHONE)), TrustProblem::OtherAccount(_)));
    let mut narrow = list();
    narrow.devices[0].roles = vec![DeviceRole::Auth];
    let more = Device { key_list: sign_list(&narrow).digest(), ..statement(PHONE, &[DeviceRole::Seal]) };
    let found = member_of(&issuer(), &certificate(), &narrow).with_device(&sign(&more, PHONE));
    assert_eq!(problem(found), TrustProblem::DeviceRoles);
}
