use vault_proto::geometry::full_part_length;
use vault_proto::http_signature::Nonce;
use vault_proto::ids::{AccountId, Digest, KeyId, RecordingId};
use vault_proto::statements::Role;
use vault_server::authorize::{Action, Actor, Parties, Permit, Standing, authorize};
use vault_server::event::{Caller, Event};
use vault_server::store::{
    DetailsRow, Enrolment, FinalRow, HexPrefix, ListQuery, NONCE_RETENTION_SECONDS, Named, NamedSegment,
    NewPart, NewRecording, NewSeal, NewSegment, NonceUse, PartRow, Store, StoreError, Stored,
};

use crate::support::{Draft, NOW, Organisation, Person, Validity, at, open_store};

/// What every store must do. `reopen` gives the store anew, as after a restart.
fn conforms(reopen: impl Fn() -> Box<dyn Store>) {
    let organisation = Organisation::new(1);
    let (patient, clinician, recorder) = (
        organisation.person(10, Role::Patient),
        organisation.person(11, Role::Clinician),
        organisation.person(12, Role::Recorder),
    );
    nonces(&reopen);
    nonces_of_a_clock_that_jumps(&*reopen());
    accounts(&reopen, &organisation, &patient, &clinician);
    let first = Draft::new(&organisation, 1, &patient, &clinician, &recorder);
    let second = Draft::new(&organisation, 2, &patient, &clinician, &recorder);
    recordings(&reopen, &[&first, &second], &patient);
    segments(&reopen, &first);
    endings(&reopen, &first);
    races(&*reopen(), &second);
}

fn caller(person: &Person, role: Role) -> Caller {
    Caller {
        actor: Actor {
            account: person.account(),
            key_id: person.device_id(),
            role,
            standing: Standing::InForce,
        },
        device: person.device_key(),
        request_id: "00".repeat(16),
        at: at(NOW),
    }
}

fn sealing(draft: &Draft<'_>, action: Action) -> (Permit, Event) {
    let caller = caller(draft.sealer, Role::Recorder);
    let parties = Parties::of(draft.manifest.unverified());
    let permit = authorize(&caller.actor, action, Some(&parties)).unwrap();
    let event = Event::permitted(&permit, &caller);
    (permit, event)
}

fn nonces(reopen: &impl Fn() -> Box<dyn Store>) {
    let (one, two) = (KeyId::from_bytes([1; 32]), KeyId::from_bytes([2; 32]));
    let nonce = Nonce::from_bytes([1; 16]);
    let store = reopen();
    assert_eq!(store.use_nonce(one, nonce, NOW, NOW).unwrap(), NonceUse::Fresh);
    assert_eq!(store.use_nonce(two, nonce, NOW, NOW).unwrap(), NonceUse::Fresh);
    assert_eq!(store.use_nonce(one, nonce, NOW, NOW).unwrap(), NonceUse::Repeated);
    let store = reopen();
    let later = NOW + NONCE_RETENTION_SECONDS;
    assert_eq!(store.use_nonce(one, nonce, NOW, later).unwrap(), NonceUse::Repeated);
    let far = NOW + 10 * NONCE_RETENTION_SECONDS;
    assert_eq!(store.use_nonce(one, nonce, NOW, far).unwrap(), NonceUse::Forgotten);
    assert_eq!(store.use_nonce(one, nonce, NOW, NOW).unwrap(), NonceUse::Forgotten);
    assert_eq!(store.use_nonce(one, nonce, far, far).unwrap(), NonceUse::Fresh);
}

/// A clock that runs ahead by a year for a while: nothing counts twice, then or ever, and nobody is locked out
/// afterwards.
fn nonces_of_a_clock_that_jumps(store: &dyn Store) {
    const YEAR: i64 = 365 * 24 * 60 * 60;
    let key = KeyId::from_bytes([3; 32]);
    let at_once = |number: u8, created, now| {
        store.use_nonce(key, Nonce::from_bytes([number; 16]), created, now).unwrap()
    };
    let start = NOW + 100_000;
    let ahead = start + YEAR;
    assert_eq!(at_once(1, start, start), NonceUse::Fresh);
    assert_eq!(at_once(2, ahead, ahead), NonceUse::Fresh);
    assert_eq!(at_once(3, ahead + 5000, ahead + 5000), NonceUse::Fresh);
    assert_eq!(at_once(2, ahead, ahead + 5000), NonceUse::Repeated);
    // Set right again.
    assert_eq!(at_once(4, start + 10, start + 10), NonceUse::Fresh);
    assert_ne!(at_once(1, start, start + 10), NonceUse::Fresh);
    // Set back, by too much, and right again.
    assert_ne!(at_once(1, start, start - 5000), NonceUse::Fresh);
    assert_eq!(at_once(5, start + 20, start + 20), NonceUse::Fresh);
    assert_eq!(at_once(4, start + 10, start + 20), NonceUse::Repeated);
    // The future comes.
    assert_eq!(at_once(2, ahead, ahead), NonceUse::Repeated);
    assert_eq!(at_once(3, ahead + 5000, ahead + 5000), NonceUse::Repeated);
}

fn accounts(reopen: &impl Fn() -> Box<dyn Store>, organisation: &Organisation, one: &Person, two: &Person) {
    let store = reopen();
    let event = Event::enrolment(&caller(one, Role::Patient));
    let enrolment = |person: &Person, replaces| Enrolment {
        account: person.account(),
        chain: person.chain.clone(),
        key_list: person.key_list.clone(),
        replaces,
    };
    assert!(store.member_of_device(one.device_id()).unwrap().is_none());
    assert!(store.directory_entry(one.account()).unwrap().is_none());
    let stored = (one.chain.certificate.digest(), one.key_list.digest());
    let premature = enrolment(one, Some(stored));
    assert!(matches!(store.enrol(&event, &premature), Err(StoreError::Conflict)));
    store.enrol(&event, &enrolment(one, None)).unwrap();
    assert!(matches!(store.enrol(&event, &enrolment(one, None)), Err(StoreError::Conflict)));
    store.enrol(&event, &enrolment(two, None)).unwrap();
    let mut taking = enrolment(two, Some((two.chain.certificate.digest(), two.key_list.digest())));
    taking.key_list = two.next_key_list(&[&one.device]);
    assert!(matches!(store.enrol(&event, &taking), Err(StoreError::Conflict)));
    let mut moved = enrolment(one, Some(stored));
    let new_device = ed25519_dalek::SigningKey::from_bytes(&[99; 32]);
    moved.key_list = one.next_key_list(&[&new_device]);
    store.enrol(&event, &moved).unwrap();

    let store = reopen();
    assert!(store.member_of_device(one.device_id()).unwrap().is_none());
    let new_id = moved.key_list.unverified().devices[0].key_id();
    let (account, member) = store.member_of_device(new_id).unwrap().unwrap();
    assert_eq!((account, &member.key_list), (one.account(), &moved.key_list));
    let (account, member) = store.member_of_device(two.device_id()).unwrap().unwrap();
    assert_eq!((account, member), (two.account(), two.member()));
    let entry = store.directory_entry(one.account()).unwrap().unwrap().entry;
    assert_eq!(entry.key_lists, [one.key_list.clone(), moved.key_list]);
    let permit = authorize(&caller(two, Role::Clinician).actor, Action::FindAccounts, None).unwrap();
    let find = |text: &str, limit| {
        let prefix = HexPrefix::parse(text, AccountId::BYTES).unwrap();
        store.accounts_by_prefix(&permit, &prefix, limit).unwrap()
    };
    let id = one.account().to_string();
    assert_eq!(find(&id[..9], 10), [one.account()]);
    assert_eq!(find(&id, 10), [one.account()]);
    assert!(store.is_enrolled(one.account()).unwrap());
    assert!(!store.is_enrolled(AccountId::from_bytes([0; 32])).unwrap());
    let statements = [one.chain.issuer.bytes(), one.chain.certificate.bytes(), one.key_list.bytes()];
    let size = store.directory_size(one.account()).unwrap();
    assert!(size > statements.concat().len() as u64, "both lists count");
    assert_eq!(store.directory_size(AccountId::from_bytes([0; 32])).unwrap(), 0);
    assert_eq!(find(&id[..9], 0), []);

    let renewed = organisation.certify(two.account(), Role::Clinician, Validity(-500, 40_000));
    let replace = |store: &dyn Store, replaces| {
        store.replace_certificate(&permit, &event, two.account(), &renewed, replaces)
    };
    let wrong = renewed.certificate.digest();
    assert!(matches!(replace(&*store, wrong), Err(StoreError::Conflict)));
    replace(&*store, two.chain.certificate.digest()).unwrap();
    let store = reopen();
    assert_eq!(store.directory_entry(two.account()).unwrap().unwrap().entry.chain(), renewed);
    assert!(matches!(replace(&*store, two.chain.certificate.digest()), Err(StoreError::Conflict)));
    let nobody = AccountId::from_bytes([0; 32]);
    let of_nobody = store.replace_certificate(&permit, &event, nobody, &renewed, wrong);
    assert!(matches!(of_nobody, Err(StoreError::Conflict)));
}

fn recordings(reopen: &impl Fn() -> Box<dyn Store>, drafts: &[&Draft<'_>], patient: &Person) {
    let store = reopen();
    for draft in drafts {
        let (permit, event) = sealing(draft, Action::CreateRecording);
        let new = NewRecording { manifest: draft.manifest.clone() };
        assert_eq!(store.parties(draft.id()).unwrap(), None);
        assert!(matches!(store.recording(&permit), Err(StoreError::NotFound)));
        assert_eq!(store.would_create(&permit, &new).unwrap(), Stored::New);
        assert_eq!(store.create_recording(&permit, &event, &new).unwrap(), Stored::New);
        assert_eq!(store.create_recording(&permit, &event, &new).unwrap(), Stored::Same);
        assert_eq!(store.would_create(&permit, &new).unwrap(), Stored::Same);
    }
    let store = reopen();
    let parties = Parties::of(drafts[0].manifest.unverified());
    assert_eq!(store.parties(drafts[0].id()).unwrap(), Some(parties));
    let permit = authorize(&caller(patient, Role::Patient).actor, Action::ListRecordings, None).unwrap();
    let list = |after, limit| -> Vec<RecordingId> {
        let query = ListQuery { after, limit, prefix: None };
        let page = store.list(&permit, &query).unwrap();
        page.iter().map(|entry| entry.recording).collect()
    };
    assert_eq!(list(None, 10), [drafts[1].id(), drafts[0].id()]);
    assert_eq!(list(None, 1), [drafts[1].id()]);
    assert_eq!(list(Some(drafts[1].id()), 10), [drafts[0].id()]);
    // One whose certificate has ended is shown what she is the patient of, and nobody else anything.
    let ended = |account| {
        let standing = Standing::Ended { seconds: 1 };
        let actor = Actor { account, role: Role::Patient, standing, ..caller(patient, Role::Patient).actor };
        let permit = authorize(&actor, Action::ListRecordings, None).unwrap();
        store.list(&permit, &ListQuery { after: None, limit: 10, prefix: None }).unwrap().len()
    };
    let Parties { clinician, sealer, .. } = parties;
    assert_eq!([patient.account(), clinician, sealer].map(ended), [2, 0, 0]);
    let met = |one, two| store.has_met(one, two).unwrap();
    assert!(met(patient.account(), clinician) && met(patient.account(), sealer));
    assert!(!met(clinician, patient.account()) && !met(sealer, clinician));
    assert!(!met(patient.account(), AccountId::from_bytes([0; 32])));

    let unknown = ListQuery { after: Some(RecordingId::from_bytes([0; 16])), limit: 1, prefix: None };
    assert!(matches!(store.list(&permit, &unknown), Err(StoreError::NotFound)));
}

fn part(part: u32, length: usize) -> NewPart {
    let row = PartRow { digest: Digest::of(&part.to_be_bytes()), length: u32::try_from(length).unwrap() };
    NewPart { segment: 0, part, row, progress: None }
}

fn segments(reopen: &impl Fn() -> Box<dyn Store>, draft: &Draft<'_>) {
    let store = reopen();
    let (permit, event) = sealing(draft, Action::StorePart);
    let segment = |index| NewSegment { index, track: 0, header: Digest::of(b"header") };
    let open = |new: &NewSegment| store.open_segment(&permit, &event, new);
    assert!(matches!(open(&segment(1)), Err(StoreError::OutOfOrder)));
    assert!(matches!(store.add_part(&permit, &event, &part(0, 100)), Err(StoreError::OutOfOrder)));
    assert_eq!(open(&segment(0)).unwrap(), Stored::New);
    assert_eq!(open(&segment(0)).unwrap(), Stored::Same);
    let other_track = NewSegment { track: 1, ..segment(0) };
    assert!(matches!(open(&other_track), Err(StoreError::Conflict)));
    assert!(matches!(open(&segment(1)), Err(StoreError::OutOfOrder)));

    let add = |new: &NewPart| store.add_part(&permit, &event, new);
    let run = || {
        let row = store.segment(&permit, 0).unwrap();
        assert_eq!(store.parts(&permit, 0).unwrap().len(), row.parts as usize);
        (row.parts, row.bytes)
    };
    let full: u64 = (0..4).map(|k| full_part_length(k) as u64).sum();
    assert_eq!(add(&part(1, full_part_length(1))).unwrap(), Stored::New);
    assert_eq!(run(), (0, 0));
    assert_eq!(add(&part(4, 70_000)).unwrap(), Stored::New);
    assert_eq!(add(&part(5, full_part_length(5))).unwrap(), Stored::New);
    assert_eq!(add(&part(0, full_part_length(0))).unwrap(), Stored::New);
    assert_eq!(run().0, 2);
    assert_eq!(add(&part(3, full_part_length(3))).unwrap(), Stored::New);
    assert_eq!(add(&part(2, full_part_length(2))).unwrap(), Stored::New);
    assert_eq!(run(), (5, full + 70_000), "up to and with the short part");
    assert_eq!(add(&part(2, full_part_length(2))).unwrap(), Stored::Same);
    assert!(matches!(add(&part(2, 100)), Err(StoreError::Conflict)));

    let seal = |parts, body_length| NewSeal {
        segment: 0,
        parts,
        body_length,
        parts_root: Digest::of(b"root"),
        previous: None,
        envelope: b"seal".to_vec(),
    };
    let put = |new: &NewSeal| store.seal_segment(&permit, &event, new);
    assert!(matches!(put(&seal(6, 1)), Err(StoreError::OutOfOrder)));
    let details = DetailsRow { digest: Digest::of(b"details"), length: 7 };
    assert!(matches!(store.set_details(&permit, &event, &details), Err(StoreError::OutOfOrder)));
    let follows_another = NewSeal { previous: Some(Digest::of(b"before")), ..seal(4, full) };
    assert!(matches!(put(&follows_another), Err(StoreError::OutOfOrder)));
    let stored_bytes = full + 70_000 + full_part_length(5) as u64;
    assert_eq!(store.segment_bytes(&permit, 0).unwrap(), stored_bytes, "with the one beyond");
    assert_eq!(store.stored_bytes().unwrap(), stored_bytes);
    assert_eq!(put(&seal(4, full)).unwrap(), Stored::New);
    assert_eq!(put(&seal(4, full)).unwrap(), Stored::Same);
    let other = NewSeal { envelope: b"another".to_vec(), ..seal(4, full) };
    assert!(matches!(put(&other), Err(StoreError::Conflict)));
    assert_eq!(run(), (4, full));
    assert_eq!(store.stored_bytes().unwrap(), full);
    assert_eq!(store.part(&permit, 0, 4).unwrap(), None);
    assert_eq!(store.part(&permit, 0, 3).unwrap(), Some(part(3, full_part_length(3)).row));
    assert_eq!(add(&part(3, full_part_length(3))).unwrap(), Stored::Same);
    assert!(matches!(add(&part(4, 70_000)), Err(StoreError::OutOfOrder)));
    let list = authorize(permit.actor(), Action::ListRecordings, None).unwrap();
    let query = ListQuery { after: None, limit: 10, prefix: None };
    let entry = store.list(&list, &query).unwrap().pop().unwrap();
    assert_eq!((entry.recording, entry.bytes), (draft.id(), full));
    let rows = reopen().segments(&permit).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].seal.as_deref(), Some(&b"seal"[..]));
    assert_eq!(rows[0].parts_root, Some(Digest::of(b"root")));
}

fn endings(reopen: &impl Fn() -> Box<dyn Store>, draft: &Draft<'_>) {
    let store = reopen();
    let (permit, event) = sealing(draft, Action::StoreDetails);
    let details = DetailsRow { digest: Digest::of(b"details"), length: 7 };
    let last = FinalRow {
        details: details.digest,
        segments: 1,
        last_seal: Digest::of(b"seal"),
        envelope: b"final".to_vec(),
    };
    let put = |last: &FinalRow| store.set_final_seal(&permit, &event, last);
    assert!(matches!(put(&last), Err(StoreError::OutOfOrder)));
    assert_eq!(store.set_details(&permit, &event, &details).unwrap(), Stored::New);
    assert_eq!(store.set_details(&permit, &event, &details).unwrap(), Stored::Same);
    let earlier = DetailsRow { digest: Digest::of(b"earlier"), length: 8 };
    assert_eq!(store.set_details(&permit, &event, &earlier).unwrap(), Stored::New);
    assert_eq!(store.set_details(&permit, &event, &details).unwrap(), Stored::New);
    let for_others = FinalRow { details: Digest::of(b"others"), ..last.clone() };
    assert!(matches!(put(&for_others), Err(StoreError::OutOfOrder)));
    // Sealed segments that came between the check and the change.
    let for_more = FinalRow { segments: 2, ..last.clone() };
    assert!(matches!(put(&for_more), Err(StoreError::OutOfOrder)));
    let for_another = FinalRow { last_seal: Digest::of(b"another"), ..last.clone() };
    assert!(matches!(put(&for_another), Err(StoreError::OutOfOrder)));
    let named = || store.named(draft.id(), Some(0)).unwrap().unwrap();
    let segment = Some(NamedSegment { header_generation: 0, sealed: true });
    assert_eq!(named(), Named { details: true, final_seal: false, segment, abandoned: false });
    assert_eq!(put(&last).unwrap(), Stored::New);
    assert_eq!(named(), Named { details: true, final_seal: true, segment, abandoned: false });
    assert_eq!(store.named(draft.id(), Some(1)).unwrap().unwrap().segment, None);
    assert_eq!(store.named(draft.id(), None).unwrap().unwrap().segment, None);
    assert_eq!(store.named(RecordingId::from_bytes([0; 16]), Some(0)).unwrap(), None);
    let sealed = last.envelope.len() + draft.manifest.bytes().len() + b"seal".len();
    assert!(store.statements_size(&permit).unwrap() >= sealed as u64);
    assert_eq!(put(&last).unwrap(), Stored::Same);
    let other = FinalRow { envelope: b"another".to_vec(), ..last.clone() };
    assert!(matches!(put(&other), Err(StoreError::Conflict)));
    assert!(matches!(store.set_details(&permit, &event, &earlier), Err(StoreError::Conflict)));
    let next = NewSegment { index: 1, track: 0, header: Digest::of(b"header") };
    assert!(matches!(store.open_segment(&permit, &event, &next), Err(StoreError::OutOfOrder)));
    store.move_mark().unwrap();
    store.close().unwrap();
    assert!(store.recording(&permit).is_err() && store.set_details(&permit, &event, &details).is_err());
    let row = reopen().recording(&permit).unwrap();
    assert_eq!(row.final_seal, Some(last.envelope));
    assert_eq!(row.details, Some(details));
    assert_eq!(row.last_stored, at(NOW));
}

/// Many at once: each change happens once, whoever else shares its commit.
fn races(store: &dyn Store, draft: &Draft<'_>) {
    let (permit, event) = sealing(draft, Action::StorePart);
    let new = NewSegment { index: 0, track: 0, header: Digest::of(b"header") };
    store.open_segment(&permit, &event, &new).unwrap();
    let new = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let (permit, event, new) = (&permit, &event, &new);
            scope.spawn(move || {
                for number in 0..40 {
                    // Every other one also tries what is refused, in the same batches.
                    if thread % 2 == 0 {
                        let wrong = NewPart { segment: 7, ..part(number, 100) };
                        assert!(matches!(store.add_part(permit, event, &wrong), Err(StoreError::OutOfOrder)));
                    }
                    let added = part(number, full_part_length(number));
                    if store.add_part(permit, event, &added).unwrap() == Stored::New {
                        new.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(new.into_inner(), 40);
    assert_eq!(store.segment(&permit, 0).unwrap().parts, 40);
}

#[test]
fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conforms(|| Box::new(open_store(folder.path())));
}
