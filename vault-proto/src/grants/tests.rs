//! The table of FORMAT.md, "Grants", row by row, and what makes a grant void or a chain damaged.

use ed25519_dalek::Signer as _;
use proptest::prelude::*;

use super::*;
use crate::envelope;
use crate::ids::{KeyId, OrganisationId, RecordingId, RecordingSalt};
use crate::members::MemberStatements;
use crate::signing_fixture::{key, signing_key, time};
use crate::statements::{
    Allowance, Certificate, DeviceKey, EncryptionKey, Guardian, IssuerCertificate, KeyList, NotYet,
    ReaderRole, Role, Suite,
};

const CREATED: i64 = 1_000_000;
const DAY: i64 = 24 * 3600;
const ORGANISATION: u8 = 1;
const ISSUER: u8 = 2;

const MOTHER: u8 = 10;
const DOCTOR: u8 = 11;
const COLLEAGUE: u8 = 12;
const FRIEND: u8 = 13;
const AUNT: u8 = 14;
const GROWN: u8 = 15;
const STRANGER: u8 = 16;
const EVERYBODY: [u8; 7] = [MOTHER, DOCTOR, COLLEAGUE, FRIEND, AUNT, GROWN, STRANGER];

fn organisation() -> OrganisationId {
    OrganisationId::of_root(&key(ORGANISATION))
}

fn account(person: u8) -> AccountId {
    AccountId::of_root(&key(person))
}

fn device(person: u8) -> u8 {
    person + 100
}

fn device_id(person: u8) -> KeyId {
    KeyId::of_device(&key(device(person)))
}

fn recipient(person: u8, epoch: u32) -> String {
    let letters = ["q", "p", "z", "r", "y", "9", "x"];
    let letter = letters[usize::from(person - MOTHER)];
    format!("age1{}{}", letter.repeat(57), letters[epoch as usize])
}

/// What can be said of a person.
#[derive(Clone, Copy)]
struct Said {
    person: u8,
    role: Role,
    not_after: i64,
    succeeds: Option<u8>,
    guardian: Option<(u8, i64)>,
    epoch: u32,
}

fn of(person: u8) -> Said {
    let role = if matches!(person, DOCTOR | COLLEAGUE) { Role::Clinician } else { Role::Patient };
    let succeeds = (person == GROWN).then_some(MOTHER);
    let guardian = (person == MOTHER).then_some((AUNT, CREATED + 100 * DAY));
    Said { person, role, not_after: CREATED + 1000 * DAY, succeeds, guardian, epoch: 1 }
}

fn issuer() -> IssuerCertificate {
    IssuerCertificate {
        organisation: organisation(),
        root: key(ORGANISATION),
        issuer: key(ISSUER),
        not_before: time(0),
        not_after: time(CREATED + 9000 * DAY),
        number: 1,
        ended: Vec::new(),
        revocations: false,
        roles: vec![Role::Clinician, Role::Patient],
    }
}

fn signed<T: envelope::Statement>(statement: &T, id: KeyId, by: u8) -> Envelope<T> {
    let key = signing_key(by);
    envelope::sign(statement, id, |bytes| key.sign(bytes).to_bytes()).unwrap()
}

impl Said {
    fn key_list(self) -> Envelope<KeyList> {
        let mut before = None;
        loop {
            let number = before.as_ref().map_or(1, |list: &Envelope<KeyList>| list.unverified().number + 1);
            let epoch = u32::try_from(number).unwrap();
            let roles = vec![DeviceRole::Auth, DeviceRole::Seal];
            let list = KeyList {
                account: account(self.person),
                root: key(self.person),
                number,
                previous: before.as_ref().map(Envelope::digest),
                created: time(0),
                epoch,
                encryption: vec![EncryptionKey {
                    suite: Suite::X25519,
                    recipient: recipient(self.person, epoch),
                }],
                devices: vec![DeviceKey { key: key(device(self.person)), roles }],
                removed: Vec::new(),
                allows: Vec::new(),
            };
            let list = signed(&list, KeyId::of_account_root(&list.root), self.person);
            if epoch == self.epoch {
                return list;
            }
            before = Some(list);
        }
    }

    fn statements(self) -> MemberStatements {
        let issuer = issuer();
        let certificate = Certificate {
            organisation: organisation(),
            account: account(self.person),
            role: self.role,
            label: None,
            issued: time(0),
            not_before: time(0),
            not_after: time(self.not_after),
            succeeds: self.succeeds.map(account),
            guardians: self
                .guardian
                .map(|(of, until)| Guardian { account: account(of), until: time(until) })
                .into_iter()
                .collect(),
        };
        MemberStatements {
            certificate: signed(&certificate, KeyId::of_issuer(&issuer.issuer), ISSUER),
            issuer: signed(&issuer, KeyId::of_organisation_root(&issuer.root), ORGANISATION),
            key_list: self.key_list(),
        }
    }

    fn as_a(self, role: ReaderRole) -> Reader {
        let key = KeyId::of_recipient(&recipient(self.person, self.epoch));
        Reader { account: account(self.person), key, role, until: None }
    }
}

fn until(reader: Reader, days: i64) -> Reader {
    Reader { until: Some(time(CREATED + days * DAY)), ..reader }
}

fn mother() -> Reader {
    of(MOTHER).as_a(ReaderRole::Patient)
}

fn doctor() -> Reader {
    of(DOCTOR).as_a(ReaderRole::Clinician)
}

fn friend() -> Reader {
    of(FRIEND).as_a(ReaderRole::Reader)
}

fn colleague() -> Reader {
    of(COLLEAGUE).as_a(ReaderRole::Reader)
}

fn aunt() -> Reader {
    until(of(AUNT).as_a(ReaderRole::Guardian), 100)
}

fn grown() -> Reader {
    of(GROWN).as_a(ReaderRole::Patient)
}

/// A recording and its grants.
struct Desk {
    manifest: CheckedManifest,
    named: NamedStatements,
    grants: Vec<Envelope<Grant>>,
}

impl Desk {
    fn new(policy: &[Allowance]) -> Self {
        let mut named = NamedStatements::default();
        let mut patient = of(MOTHER).statements();
        let list = KeyList { allows: policy.to_vec(), ..patient.key_list.unverified().clone() };
        patient.key_list = signed(&list, KeyId::of_account_root(&list.root), MOTHER);
        let doctors = of(DOCTOR).statements();
        let mut members = vec![patient.member(account(MOTHER)), doctors.member(account(DOCTOR))];
        members.sort_by_key(|member| member.account);
        patient.put_into(&mut named);
        doctors.put_into(&mut named);
        let salt = RecordingSalt::from_bytes([4; 16]);
        let manifest = Manifest {
            suite: Suite::X25519,
            recording: RecordingId::of(&device_id(DOCTOR), &salt),
            salt,
            tenant: organisation(),
            consultation: "c-1".parse().unwrap(),
            patient: account(MOTHER),
            clinician: account(DOCTOR),
            key: KeyId::from_bytes([7; 32]),
            key_object: Digest::of(b"key object 0"),
            readers: vec![mother(), doctor()],
            sealer: account(DOCTOR),
            sealer_key: device_id(DOCTOR),
            sequence: 1,
            members,
            directory_checkpoint: None,
            created: time(CREATED),
            policy: policy.to_vec(),
            replaces: NotYet,
        };
        let envelope = signed(&manifest, device_id(DOCTOR), device(DOCTOR));
        let known = Known::default();
        let manifest =
            CheckedManifest::check(manifest.recording, organisation(), envelope.bytes(), &named, &known)
                .unwrap();
        Self { manifest, named, grants: Vec::new() }
    }

    /// What `by` would sign, with the statements of `with` beside its own.
    fn grant(&mut self, by: Said, readers: &[Reader], with: &[Said]) -> Grant {
        let mut members = Vec::new();
        for said in [&[by], with].concat() {
            let statements = said.statements();
            statements.put_into(&mut self.named);
            members.push(statements.member(account(said.person)));
        }
        members.sort_by_key(|member| member.account);
        let mut readers = readers.to_vec();
        readers.sort_by_key(|reader| (reader.role, reader.account));
        let number = self.grants.len() as u64 + 1;
        Grant {
            manifest: self.manifest.manifest().digest(),
            number,
            previous: self.grants.last().map(Envelope::digest),
            readers,
            key_object: Digest::of(&number.to_be_bytes()),
            grantor: account(by.person),
            grantor_key: device_id(by.person),
            sequence: number + 1,
            members,
            created: time(CREATED + DAY * i64::try_from(number).unwrap()),
        }
    }

    fn put(&mut self, by: u8, grant: &Grant) {
        self.grants.push(signed(grant, grant.grantor_key, device(by)));
    }

    fn grants(&self) -> Vec<Vec<u8>> {
        self.grants.iter().map(|grant| grant.bytes().to_vec()).collect()
    }

    fn check(&self) -> Result<CheckedGrants, Refusal> {
        CheckedGrants::check(&self.manifest, &self.grants(), &self.named, &Known::default())
    }

    /// Adds a grant, and says why it does not count.
    fn say(&mut self, by: Said, readers: &[Reader], with: &[Said]) -> Option<Void> {
        let grant = self.grant(by, readers, with);
        self.put(by.person, &grant);
        self.newest().void
    }

    fn newest(&self) -> JudgedGrant {
        self.check().unwrap().grants().last().unwrap().clone()
    }

    fn counts(&mut self, by: u8, readers: &[Reader], with: &[u8]) {
        let with: Vec<Said> = with.iter().map(|person| of(*person)).collect();
        assert_eq!(self.say(of(by), readers, &with), None);
    }

    fn forbids(&mut self, by: u8, readers: &[Reader], with: &[u8], what: &str) {
        let with: Vec<Said> = with.iter().map(|person| of(*person)).collect();
        match self.say(of(by), readers, &with) {
            Some(Void::NotAllowed { what: found, grantor, .. }) => {
                assert_eq!((found, grantor), (what, account(by)));
            }
            other => panic!("{what}: {other:?}"),
        }
    }
}

/// Number and digest of the newest key object that counts.
fn generation(checked: &CheckedGrants) -> (u64, Digest) {
    let newest = checked.generations().next().unwrap();
    let readers: Vec<Reader> = checked.readers().iter().map(|proven| proven.reader).collect();
    assert_eq!(newest.readers, readers);
    (newest.number, newest.object)
}

#[test]
fn without_grants_the_manifest_says_who_reads() {
    let checked = Desk::new(&[]).check().unwrap();
    let readers: Vec<Reader> = checked.readers().iter().map(|proven| proven.reader).collect();
    assert_eq!(readers, [mother(), doctor()]);
    assert_eq!(generation(&checked), (0, Digest::of(b"key object 0")));
}

#[test]
fn a_patient_adds_dates_and_drops_readers() {
    let mut desk = Desk::new(&[]);
    desk.counts(MOTHER, &[mother(), doctor(), friend()], &[FRIEND]);
    desk.counts(MOTHER, &[mother(), doctor(), until(friend(), 30)], &[]);
    let checked = desk.check().unwrap();
    assert_eq!(generation(&checked), (2, Digest::of(&2_u64.to_be_bytes())));
    let before = time(CREATED + 30 * DAY - 1);
    assert_eq!(checked.reader(account(FRIEND), before), Some(&until(friend(), 30)));
    assert_eq!(checked.reader(account(FRIEND), time(CREATED + 30 * DAY)), None);
    desk.counts(MOTHER, &[mother(), doctor()], &[]);
}

#[test]
fn a_clinician_adds_nobody_unless_the_patient_allowed_it() {
    let mut desk = Desk::new(&[]);
    desk.forbids(DOCTOR, &[mother(), doctor(), colleague()], &[COLLEAGUE], "add");
    let mut desk = Desk::new(&[Allowance::ClinicianShares]);
    desk.forbids(DOCTOR, &[mother(), doctor(), friend()], &[FRIEND], "add");
    desk.counts(DOCTOR, &[mother(), doctor(), colleague()], &[COLLEAGUE]);
    desk.counts(MOTHER, &[mother(), doctor(), colleague(), friend()], &[FRIEND]);
    desk.forbids(DOCTOR, &[mother(), doctor(), colleague()], &[], "drop");
    desk.counts(DOCTOR, &[mother(), doctor(), friend()], &[]);
    desk.forbids(DOCTOR, &[mother(), doctor(), until(friend(), 50)], &[], "change the time of");
}

#[test]
fn a_reader_drops_itself_and_nobody_else() {
    let mut desk = Desk::new(&[]);
    desk.counts(MOTHER, &[mother(), doctor(), friend(), colleague()], &[FRIEND, COLLEAGUE]);
    desk.forbids(FRIEND, &[mother(), doctor(), friend()], &[], "drop");
    desk.forbids(
        FRIEND,
        &[mother(), doctor(), friend(), colleague(), aunt()],
        &[AUNT, MOTHER],
        "add as a guardian",
    );
    desk.counts(FRIEND, &[mother(), doctor(), colleague()], &[]);
    assert_eq!(desk.say(of(FRIEND), &[mother(), doctor()], &[]), Some(Void::NoReader(account(FRIEND))));
}

#[test]
fn whose_time_is_over_is_dropped_by_anybody_and_grants_nothing() {
    let mut desk = Desk::new(&[]);
    desk.counts(MOTHER, &[mother(), doctor(), until(friend(), 3)], &[FRIEND]);
    desk.counts(MOTHER, &[mother(), doctor(), until(friend(), 3), colleague()], &[COLLEAGUE]);
    let readers = [mother(), doctor(), colleague()];
    let mut late = desk.grant(of(FRIEND), &readers, &[]);
    late.created = time(CREATED + 3 * DAY);
    desk.put(FRIEND, &late);
    assert_eq!(desk.newest().void, Some(Void::NoReader(account(FRIEND))));
    assert_eq!(
        desk.say(of(MOTHER), &[mother(), doctor(), until(friend(), 3), colleague()], &[]),
        Some(Void::Over(account(FRIEND)))
    );
    desk.counts(COLLEAGUE, &readers, &[]);
}

#[test]
fn a_clinician_in_force_stays_and_one_whose_certificate_ended_goes() {
    let mut desk = Desk::new(&[]);
    desk.counts(MOTHER, &[mother(), doctor(), of(COLLEAGUE).as_a(ReaderRole::Clinician)], &[COLLEAGUE]);
    let without = [mother(), of(COLLEAGUE).as_a(ReaderRole::Clinician)];
    desk.forbids(MOTHER, &without, &[DOCTOR], "drop");
    assert_eq!(desk.say(of(MOTHER), &without, &[]), Some(Void::Members));
    desk.forbids(COLLEAGUE, &[mother(), of(COLLEAGUE).as_a(ReaderRole::Clinician)], &[DOCTOR], "drop");
    let ended = Said { not_after: CREATED + 2 * DAY, ..of(DOCTOR) };
    assert_eq!(desk.say(of(MOTHER), &without, &[ended]), None);
}

#[test]
fn a_clinician_drops_itself() {
    let mut desk = Desk::new(&[]);
    desk.counts(DOCTOR, &[mother()], &[]);
}

#[test]
fn only_who_is_certified_as_one_is_added_as_a_clinician() {
    let mut desk = Desk::new(&[]);
    let wrong =
        desk.say(of(MOTHER), &[mother(), doctor(), of(FRIEND).as_a(ReaderRole::Clinician)], &[of(FRIEND)]);
    assert!(matches!(wrong, Some(Void::Trust(TrustError { problem: TrustProblem::Role { .. }, .. }))));
    let mut desk = Desk::new(&[Allowance::ClinicianShares]);
    let colleague = of(COLLEAGUE).as_a(ReaderRole::Clinician);
    desk.forbids(DOCTOR, &[mother(), doctor(), colleague], &[COLLEAGUE], "add as a clinician");
}

#[test]
fn a_guardian_is_one_of_the_patients_certificate_until_that_time() {
    let mut desk = Desk::new(&[]);
    desk.forbids(MOTHER, &[mother(), doctor(), until(aunt(), 101)], &[AUNT], "add as a guardian");
    let stranger = until(of(STRANGER).as_a(ReaderRole::Guardian), 100);
    desk.forbids(MOTHER, &[mother(), doctor(), stranger], &[STRANGER], "add as a guardian");
    desk.counts(MOTHER, &[mother(), doctor(), aunt()], &[AUNT]);
    // She acts for the patient, and is hers to drop alone.
    desk.counts(AUNT, &[mother(), doctor(), aunt(), friend()], &[FRIEND]);
    desk.forbids(DOCTOR, &[mother(), doctor(), friend()], &[], "drop");
    desk.counts(MOTHER, &[mother(), doctor(), friend()], &[]);
    assert_eq!(desk.say(of(AUNT), &[mother(), doctor()], &[]), Some(Void::NoReader(account(AUNT))));
}

#[test]
fn a_patient_is_followed_by_who_succeeds_her() {
    let with_both = [mother(), grown(), doctor()];
    let mut desk = Desk::new(&[]);
    let stranger = of(STRANGER).as_a(ReaderRole::Patient);
    desk.forbids(MOTHER, &[mother(), stranger, doctor()], &[STRANGER], "add as a patient");
    desk.forbids(DOCTOR, &with_both, &[GROWN], "add as a patient");
    assert_eq!(desk.say(of(MOTHER), &[doctor()], &[]), Some(Void::NoPatient));
    desk.counts(MOTHER, &with_both, &[GROWN]);
    desk.forbids(GROWN, &[stranger, doctor()], &[STRANGER], "add as a patient");
    desk.forbids(DOCTOR, &[grown(), doctor()], &[], "drop");
    // Nobody whom she succeeds is dropped for the other's sake.
    desk.forbids(MOTHER, &[mother(), doctor()], &[], "drop");
    desk.counts(GROWN, &[grown(), doctor()], &[]);
}

#[test]
fn a_clinician_lets_a_patient_in_again_if_she_allowed_it() {
    let mut desk = Desk::new(&[Allowance::ClinicianReadmits]);
    desk.counts(DOCTOR, &[mother(), grown(), doctor()], &[GROWN]);
}

#[test]
fn a_key_follows_a_higher_key_list() {
    let renewed = |person, role| Said { epoch: 2, ..of(person) }.as_a(role);
    let newer = |person| Said { epoch: 2, ..of(person) };
    let mut desk = Desk::new(&[]);
    let mother_anew = renewed(MOTHER, ReaderRole::Patient);
    assert_eq!(desk.say(newer(MOTHER), &[mother_anew, doctor()], &[]), None);
    let back = desk.say(of(MOTHER), &[mother(), doctor()], &[]);
    assert!(matches!(
        back,
        Some(Void::Trust(TrustError { problem: TrustProblem::KeyListRolledBack { served: 1, seen: 2 }, .. }))
    ));
    // A clinician looks after others' keys, too, a reader after its own.
    desk.counts(MOTHER, &[mother_anew, doctor(), friend()], &[FRIEND]);
    let doctor_anew = renewed(DOCTOR, ReaderRole::Clinician);
    let by_a_reader = desk.say(of(FRIEND), &[mother_anew, doctor_anew, friend()], &[newer(DOCTOR)]);
    assert!(matches!(by_a_reader, Some(Void::NotAllowed { what: "change the key of", .. })));
    let friend_anew = renewed(FRIEND, ReaderRole::Reader);
    assert_eq!(desk.say(newer(FRIEND), &[mother_anew, doctor(), friend_anew], &[]), None);
    assert_eq!(desk.say(newer(DOCTOR), &[mother_anew, doctor_anew, friend_anew], &[]), None);
    let third = Said { epoch: 3, ..of(FRIEND) };
    assert_eq!(
        desk.say(of(DOCTOR), &[mother_anew, doctor_anew, third.as_a(ReaderRole::Reader)], &[third]),
        None
    );
    let elsewhere = Reader { key: KeyId::from_bytes([9; 32]), ..mother_anew };
    let unlisted = desk.say(newer(MOTHER), &[elsewhere, doctor_anew, third.as_a(ReaderRole::Reader)], &[]);
    assert!(matches!(unlisted, Some(Void::Trust(TrustError { problem: TrustProblem::KeyNotListed(_), .. }))));
}

#[test]
fn no_role_changes() {
    let mut desk = Desk::new(&[]);
    desk.counts(MOTHER, &[mother(), doctor(), colleague()], &[COLLEAGUE]);
    let promoted = of(COLLEAGUE).as_a(ReaderRole::Clinician);
    let void = desk.say(of(MOTHER), &[mother(), doctor(), promoted], &[of(COLLEAGUE)]);
    assert_eq!(void, Some(Void::Role(account(COLLEAGUE))));
}

#[test]
fn a_void_grant_changes_nothing_and_the_chain_goes_on() {
    let mut desk = Desk::new(&[]);
    desk.counts(MOTHER, &[mother(), doctor(), friend()], &[FRIEND]);
    let before = desk.check().unwrap();
    desk.forbids(DOCTOR, &[mother(), doctor()], &[], "drop");
    let after = desk.check().unwrap();
    assert_eq!(after.readers(), before.readers());
    assert_eq!(generation(&after), generation(&before));
    desk.counts(MOTHER, &[mother(), doctor()], &[]);
    assert_eq!(generation(&desk.check().unwrap()).0, 3);
}

#[test]
fn what_a_grant_is_dated_and_signed_with_is_looked_at() {
    let readers = [mother(), doctor(), friend()];
    let mut desk = Desk::new(&[]);
    let early = Grant { created: time(CREATED - 1), ..desk.grant(of(MOTHER), &readers, &[of(FRIEND)]) };
    desk.put(MOTHER, &early);
    assert_eq!(desk.newest().void, Some(Void::Dated(time(CREATED))));
    let forged = desk.grant(of(MOTHER), &readers, &[of(FRIEND)]);
    desk.put(DOCTOR, &forged);
    assert_eq!(desk.newest().void, Some(Void::Signature));
    let borrowed =
        Grant { grantor_key: device_id(DOCTOR), ..desk.grant(of(MOTHER), &readers, &[of(FRIEND)]) };
    desk.put(DOCTOR, &borrowed);
    assert!(matches!(
        desk.newest().void,
        Some(Void::Trust(TrustError { problem: TrustProblem::KeyNotListed(_), .. }))
    ));
    // Its own certificate has to count: granting is no reading.
    let ended = Said { not_after: CREATED + DAY, ..of(MOTHER) };
    assert!(matches!(desk.say(ended, &readers, &[of(FRIEND)]), Some(Void::Trust(_))));
    let ended = Said { not_after: CREATED + DAY, ..of(FRIEND) };
    assert!(matches!(desk.say(of(MOTHER), &readers, &[ended]), Some(Void::Trust(_))));
    assert_eq!(desk.say(of(MOTHER), &readers, &[]), Some(Void::Members));
    assert_eq!(desk.say(of(MOTHER), &readers, &[of(FRIEND), of(STRANGER)]), Some(Void::Members));
    desk.counts(MOTHER, &readers, &[FRIEND]);
}

#[test]
fn a_removed_device_grants_nothing_behind_its_last_statement() {
    let mut desk = Desk::new(&[]);
    let grant = desk.grant(of(MOTHER), &[mother(), doctor(), friend()], &[of(FRIEND)]);
    desk.put(MOTHER, &grant);
    let first = of(MOTHER).key_list();
    let removing = |sequence| {
        let removed = crate::statements::RemovedDevice { key: key(device(MOTHER)), sequence, since: None };
        let list = KeyList {
            number: 2,
            previous: Some(first.digest()),
            devices: vec![DeviceKey { key: key(200), roles: vec![DeviceRole::Auth] }],
            removed: vec![removed],
            ..first.unverified().clone()
        };
        let second = signed(&list, KeyId::of_account_root(&list.root), MOTHER);
        let lists = [of(MOTHER).key_list(), second];
        let mut known = Known::default();
        known.learn_key_lists(
            account(MOTHER),
            crate::key_chain::KeyListChain::check(account(MOTHER), &lists).unwrap(),
        );
        known
    };
    let void = |sequence| {
        let checked =
            CheckedGrants::check(&desk.manifest, &desk.grants(), &desk.named, &removing(sequence)).unwrap();
        checked.grants()[0].void.clone()
    };
    assert_eq!(void(grant.sequence), None);
    assert!(matches!(
        void(grant.sequence - 1),
        Some(Void::Trust(TrustError { problem: TrustProblem::DeviceRemoved { .. }, .. }))
    ));
}

#[test]
fn a_chain_with_a_hole_is_damaged_and_one_of_elsewhere_a_mix_up() {
    let readers = [mother(), doctor(), friend()];
    let mut desk = Desk::new(&[]);
    desk.counts(MOTHER, &readers, &[FRIEND]);
    desk.counts(MOTHER, &[mother(), doctor()], &[]);
    let grants = desk.grants();
    let second =
        Grant { previous: Some(Digest::of(b"another")), ..desk.grant(of(MOTHER), &readers, &[of(FRIEND)]) };
    let second = signed(&second, device_id(MOTHER), device(MOTHER)).bytes().to_vec();
    let check = |grants: &[Vec<u8>], named: &NamedStatements| {
        CheckedGrants::check(&desk.manifest, grants, named, &Known::default()).map(|_| ())
    };
    let is_damaged = |result| matches!(result, Err(Refusal::Damaged(_)));
    assert!(is_damaged(check(&grants[1..], &desk.named)));
    assert!(is_damaged(check(&[grants[1].clone(), grants[0].clone()], &desk.named)));
    assert!(is_damaged(check(&[grants[0].clone(), grants[0].clone()], &desk.named)));
    assert!(is_damaged(check(&[b"{}".to_vec()], &desk.named)));
    assert!(is_damaged(check(&grants, &NamedStatements::default())));
    let other = Desk::new(&[Allowance::ClinicianShares]);
    let elsewhere = CheckedGrants::check(&other.manifest, &grants, &desk.named, &Known::default());
    assert!(matches!(elsewhere, Err(Refusal::Damaged(_) | Refusal::MixUp(_))));
    let mut named = desk.named.clone();
    of(MOTHER).statements().put_into(&mut named);
    let mut both = other.named.clone();
    for (digest, bytes) in named.iter() {
        both.insert(*digest, bytes.clone());
    }
    let elsewhere = CheckedGrants::check(&other.manifest, &grants, &both, &Known::default());
    assert!(matches!(elsewhere, Err(Refusal::MixUp(_))));
    assert!(is_damaged(check(&[grants[0].clone(), grants[1].clone(), second], &desk.named)));
}

fn any_reader() -> impl Strategy<Value = Reader> {
    let role = prop_oneof![
        Just(ReaderRole::Patient),
        Just(ReaderRole::Clinician),
        Just(ReaderRole::Guardian),
        Just(ReaderRole::Reader)
    ];
    (prop::sample::select(&EVERYBODY[..]), role, 1_u32..3, 1_i64..120).prop_map(
        |(person, role, epoch, days)| {
            let reader = Said { epoch, ..of(person) }.as_a(role);
            if role == ReaderRole::Guardian { until(reader, days) } else { reader }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is granted: there is a patient, nobody twice, nobody in two roles, and what is void changed nothing.
    #[test]
    fn the_list_of_readers_stays_one(
        steps in prop::collection::vec(
            (prop::sample::select(&EVERYBODY[..]), prop::collection::vec(any_reader(), 0..4), any::<u8>(), 1_u32..3),
            1..6,
        ),
        shares in any::<bool>(),
    ) {
        let mut desk = Desk::new(if shares { &[Allowance::ClinicianReadmits, Allowance::ClinicianShares] } else { &[] });
        let mut before = desk.check().unwrap();
        for (by, more, kept, epoch) in steps {
            let mut readers: Vec<Reader> = before.readers().iter().map(|proven| proven.reader).collect();
            let mut bits = kept;
            readers.retain(|_| { bits = bits.rotate_right(1); bits & 0x30 != 0 });
            for reader in more {
                if readers.iter().all(|old| old.account != reader.account) {
                    readers.push(reader);
                }
            }
            if readers.is_empty() {
                continue;
            }
            let said = Said { epoch, ..of(by) };
            let old = |reader: &&Reader| before.readers().iter().any(|proven| proven.reader == **reader);
            let with: Vec<Said> = EVERYBODY
                .into_iter()
                .filter(|person| *person != by && readers.iter().filter(|reader| !old(reader)).any(|reader| reader.account == account(*person)))
                .map(|person| {
                    let two = readers.iter().any(|reader| *reader == Reader { until: reader.until, ..Said { epoch: 2, ..of(person) }.as_a(reader.role) });
                    Said { epoch: if two { 2 } else { 1 }, ..of(person) }
                })
                .collect();
            let void = desk.say(said, &readers, &with);
            let after = desk.check().unwrap();
            if void.is_some() {
                prop_assert_eq!(after.readers(), before.readers());
                prop_assert_eq!(generation(&after), generation(&before));
            } else {
                let grantor = account(by);
                prop_assert!(before.readers().iter().any(|proven| proven.reader.account == grantor));
            }
            prop_assert!(after.readers().iter().any(|proven| proven.reader.role == ReaderRole::Patient));
            let mut accounts: Vec<_> = after.readers().iter().map(|proven| proven.reader.account).collect();
            accounts.sort_unstable();
            accounts.dedup();
            prop_assert_eq!(accounts.len(), after.readers().len());
            before = after;
        }
    }
}
