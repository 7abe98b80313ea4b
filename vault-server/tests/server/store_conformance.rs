use vault_proto::envelope::payload_digest;
use vault_proto::geometry::PartChunks;
use vault_proto::http_signature::Nonce;
use vault_proto::ids::{AccountId, Digest, KeyId, RecordingId};
use vault_proto::object::Object;
use vault_proto::statements::{Participants, Role};
use vault_proto::wire::{COMPARISON_LIFETIME, MAX_COMPARISONS, MAX_EMPTY_RECORDINGS};
use vault_server::authorize::{
    Action, Actor, Parties, Permit, Standing, authorize, authorize_newest_manifest,
};
use vault_server::event::{Caller, Event};
use vault_server::store::{
    Change, DetailsRow, Enrolment, FinalRow, HexPrefix, ListQuery, NONCE_RETENTION_SECONDS, Named,
    NamedSegment, NewNonce, NewPart, NewRecording, NewSeal, NewSegment, NonceUse, PartRow, Store, StoreError,
    Stored,
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
    let store = reopen();
    races(&*store, &second);
    growth(&*store, &patient, &clinician);
    newest_manifests(&*store, &organisation, &patient, &clinician);
    empty_recordings(&*store, &organisation, &patient, &clinician);
    comparisons(&*store, &organisation, &patient);
}

fn caller(person: &Person, role: Role) -> Caller {
    Caller {
        actor: Actor {
            has_auth: true,
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

fn use_nonce(
    store: &dyn Store,
    key: KeyId,
    nonce: Nonce,
    created: i64,
    now: i64,
) -> Result<NonceUse, StoreError> {
    let account = AccountId::from_bytes([1; 32]);
    store.use_nonce(&NewNonce { account, key, nonce, created, now, reads: false })
}

fn nonces(reopen: &impl Fn() -> Box<dyn Store>) {
    let (one, two) = (KeyId::from_bytes([1; 32]), KeyId::from_bytes([2; 32]));
    let nonce = Nonce::from_bytes([1; 16]);
    let store = reopen();
    assert_eq!(use_nonce(&*store, one, nonce, NOW, NOW).unwrap(), NonceUse::Fresh);
    assert_eq!(use_nonce(&*store, two, nonce, NOW, NOW).unwrap(), NonceUse::Fresh);
    assert_eq!(use_nonce(&*store, one, nonce, NOW, NOW).unwrap(), NonceUse::Repeated);
    let store = reopen();
    let later = NOW + NONCE_RETENTION_SECONDS;
    assert_eq!(use_nonce(&*store, one, nonce, NOW, later).unwrap(), NonceUse::Repeated);
    let far = NOW + 10 * NONCE_RETENTION_SECONDS;
    assert_eq!(use_nonce(&*store, one, nonce, NOW, far).unwrap(), NonceUse::Forgotten);
    assert_eq!(use_nonce(&*store, one, nonce, NOW, NOW).unwrap(), NonceUse::Forgotten);
    assert_eq!(use_nonce(&*store, one, nonce, far, far).unwrap(), NonceUse::Fresh);
}

/// A clock that runs ahead by a year for a while: nothing counts twice, then or ever, and nobody is locked out
/// afterwards.
fn nonces_of_a_clock_that_jumps(store: &dyn Store) {
    const YEAR: i64 = 365 * 24 * 60 * 60;
    let key = KeyId::from_bytes([3; 32]);
    let at_once = |number: u8, created, now| {
        use_nonce(store, key, Nonce::from_bytes([number; 16]), created, now).unwrap()
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
    assert_eq!((account, member), (two.account(), two.statements()));
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

fn new_statements(draft: &Draft<'_>) -> Vec<(Digest, Vec<u8>)> {
    let digest = |envelope: &String| payload_digest(envelope.as_bytes()).unwrap();
    draft.statements.iter().map(|envelope| (digest(envelope), envelope.clone().into_bytes())).collect()
}

fn new_recording(draft: &Draft<'_>) -> NewRecording {
    NewRecording {
        manifest: draft.manifest.clone(),
        key_length: u32::try_from(draft.key_object.len()).unwrap(),
        statements: new_statements(draft),
    }
}

fn recordings(reopen: &impl Fn() -> Box<dyn Store>, drafts: &[&Draft<'_>], patient: &Person) {
    let store = reopen();
    for draft in drafts {
        let (permit, event) = sealing(draft, Action::CreateRecording);
        let new = new_recording(draft);
        assert_eq!(store.parties(draft.id()).unwrap(), None);
        assert!(matches!(store.recording(&permit), Err(StoreError::NotFound)));
        assert_eq!(store.would_create(&permit, &new).unwrap(), Stored::New);
        assert_eq!(store.create_recording(&permit, &event, &new).unwrap().stored, Stored::New);
        assert_eq!(store.create_recording(&permit, &event, &new).unwrap().stored, Stored::Same);
        assert_eq!(store.would_create(&permit, &new).unwrap(), Stored::Same);
    }
    let store = reopen();
    let parties = Parties::of(drafts[0].manifest.unverified());
    assert_eq!(store.parties(drafts[0].id()).unwrap(), Some(parties));
    let named = store.named_recordings(0).unwrap();
    assert_eq!(named.len(), 2);
    for (named, draft) in named.iter().zip(drafts) {
        let key = (Object::Key { generation: 0 }, draft.key_object.len() as u64);
        assert_eq!(named.recording, draft.id());
        assert_eq!(named.objects, [(Object::Manifest, 1), key]);
    }
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
    let Participants { clinician, sealer, .. } = parties.people;
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
    let segment = |index| NewSegment {
        index,
        track: 0,
        part_chunks: PartChunks::FIFTEEN,
        header: Digest::of(b"header"),
        header_length: 6,
    };
    let open = |new: &NewSegment| store.open_segment(&permit, &event, new);
    assert!(matches!(open(&segment(1)), Err(StoreError::OutOfOrder)));
    assert!(matches!(store.add_part(&permit, &event, &part(0, 100)), Err(StoreError::OutOfOrder)));
    assert_eq!(open(&segment(0)).unwrap().stored, Stored::New);
    assert_eq!(open(&segment(0)).unwrap().stored, Stored::Same);
    let other_track = NewSegment { track: 1, ..segment(0) };
    assert!(matches!(open(&other_track), Err(StoreError::Conflict)));
    let other_parts = NewSegment { part_chunks: PartChunks::ONE, ..segment(0) };
    assert!(matches!(open(&other_parts), Err(StoreError::Conflict)));
    assert!(matches!(open(&segment(1)), Err(StoreError::OutOfOrder)));

    let add = |new: &NewPart| store.add_part(&permit, &event, new);
    let run = || {
        let row = store.segment(&permit, 0).unwrap();
        assert_eq!(store.parts(&permit, 0).unwrap().len(), row.parts as usize);
        (row.parts, row.bytes)
    };
    let full: u64 = (0..4).map(|k| PartChunks::FIFTEEN.full_length(k) as u64).sum();
    assert_eq!(add(&part(1, PartChunks::FIFTEEN.full_length(1))).unwrap().stored, Stored::New);
    assert_eq!(run(), (0, 0));
    assert_eq!(add(&part(4, 70_000)).unwrap().stored, Stored::New);
    assert_eq!(add(&part(5, PartChunks::FIFTEEN.full_length(5))).unwrap().stored, Stored::New);
    assert_eq!(add(&part(0, PartChunks::FIFTEEN.full_length(0))).unwrap().stored, Stored::New);
    assert_eq!(run().0, 2);
    assert_eq!(add(&part(3, PartChunks::FIFTEEN.full_length(3))).unwrap().stored, Stored::New);
    assert_eq!(add(&part(2, PartChunks::FIFTEEN.full_length(2))).unwrap().stored, Stored::New);
    assert_eq!(run(), (5, full + 70_000), "up to and with the short part");
    assert_eq!(add(&part(2, PartChunks::FIFTEEN.full_length(2))).unwrap().stored, Stored::Same);
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
    let before = store.stored_bytes().unwrap();
    let dropped = 70_000 + PartChunks::FIFTEEN.full_length(5) as u64;
    let sealed = put(&seal(4, full)).unwrap();
    // The seal and its list of four hashes come, the parts beyond go.
    assert_eq!((sealed.stored, sealed.bytes), (Stored::New, 4 + 4 * 32 - dropped as i64));
    assert_eq!(put(&seal(4, full)).unwrap().stored, Stored::Same);
    let other = NewSeal { envelope: b"another".to_vec(), ..seal(4, full) };
    assert!(matches!(put(&other), Err(StoreError::Conflict)));
    assert_eq!(run(), (4, full));
    assert_eq!(store.stored_bytes().unwrap(), before + 4 + 4 * 32 - dropped);
    assert_eq!(store.part(&permit, 0, 4).unwrap(), None);
    assert_eq!(store.part(&permit, 0, 3).unwrap(), Some(part(3, PartChunks::FIFTEEN.full_length(3)).row));
    assert_eq!(add(&part(3, PartChunks::FIFTEEN.full_length(3))).unwrap().stored, Stored::Same);
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
    assert_eq!(store.set_details(&permit, &event, &details).unwrap().stored, Stored::New);
    assert_eq!(store.set_details(&permit, &event, &details).unwrap().stored, Stored::Same);
    let earlier = DetailsRow { digest: Digest::of(b"earlier"), length: 8 };
    assert_eq!(store.set_details(&permit, &event, &earlier).unwrap().stored, Stored::New);
    assert_eq!(store.set_details(&permit, &event, &details).unwrap().stored, Stored::New);
    let for_others = FinalRow { details: Digest::of(b"others"), ..last.clone() };
    assert!(matches!(put(&for_others), Err(StoreError::OutOfOrder)));
    // Sealed segments that came between the check and the change.
    let for_more = FinalRow { segments: 2, ..last.clone() };
    assert!(matches!(put(&for_more), Err(StoreError::OutOfOrder)));
    let for_another = FinalRow { last_seal: Digest::of(b"another"), ..last.clone() };
    assert!(matches!(put(&for_another), Err(StoreError::OutOfOrder)));
    let named = || store.named(draft.id(), Some(0)).unwrap().unwrap();
    let segment = Some(NamedSegment { sealed: true });
    assert_eq!(named(), Named { details: true, final_seal: false, segment, abandoned: false });
    assert_eq!(put(&last).unwrap().stored, Stored::New);
    assert_eq!(named(), Named { details: true, final_seal: true, segment, abandoned: false });
    assert_eq!(store.named(draft.id(), Some(1)).unwrap().unwrap().segment, None);
    assert_eq!(store.named(draft.id(), None).unwrap().unwrap().segment, None);
    assert_eq!(store.named(RecordingId::from_bytes([0; 16]), Some(0)).unwrap(), None);
    let sealed = last.envelope.len() + draft.manifest.bytes().len() + b"seal".len();
    assert!(store.statements_size(&permit).unwrap() >= sealed as u64);
    assert_eq!(put(&last).unwrap().stored, Stored::Same);
    let other = FinalRow { envelope: b"another".to_vec(), ..last.clone() };
    assert!(matches!(put(&other), Err(StoreError::Conflict)));
    assert!(matches!(store.set_details(&permit, &event, &earlier), Err(StoreError::Conflict)));
    let next = NewSegment {
        index: 1,
        track: 0,
        part_chunks: PartChunks::FIFTEEN,
        header: Digest::of(b"header"),
        header_length: 6,
    };
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
    let new = NewSegment {
        index: 0,
        track: 0,
        part_chunks: PartChunks::FIFTEEN,
        header: Digest::of(b"header"),
        header_length: 6,
    };
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
                    let added = part(number, PartChunks::FIFTEEN.full_length(number));
                    if store.add_part(permit, event, &added).unwrap().stored == Stored::New {
                        new.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(new.into_inner(), 40);
    assert_eq!(store.segment(&permit, 0).unwrap().parts, 40);
}

/// What is done to the same thing again and again counts once, and what goes is counted no longer.
fn growth(store: &dyn Store, patient: &Person, clinician: &Person) {
    let organisation = Organisation::new(1);
    let draft = Draft::new(&organisation, 3, patient, clinician, clinician);
    let (permit, event) = sealing(&draft, Action::CreateRecording);
    let mut counted = store.stored_bytes().unwrap();
    let mut changed = |change: Change, expected: usize| {
        assert_eq!((change.stored, change.bytes), (Stored::New, i64::try_from(expected).unwrap()));
        counted = counted.checked_add_signed(change.bytes).unwrap();
        assert_eq!(store.stored_bytes().unwrap(), counted);
    };
    let objects = draft.manifest.bytes().len() + draft.key_object.len();
    changed(store.create_recording(&permit, &event, &new_recording(&draft)).unwrap(), objects);
    let segment = NewSegment {
        index: 0,
        track: 0,
        part_chunks: PartChunks::FIFTEEN,
        header: Digest::of(b"header"),
        header_length: 1000,
    };
    changed(store.open_segment(&permit, &event, &segment).unwrap(), 1000);
    let with_progress = |number: u32, bytes| NewPart {
        progress: Some(vec![1; bytes]),
        ..part(number, PartChunks::FIFTEEN.full_length(number))
    };
    let mut add = |new: &NewPart, expected| changed(store.add_part(&permit, &event, new).unwrap(), expected);
    add(&with_progress(1, 500), PartChunks::FIFTEEN.full_length(1) + 500);
    add(&with_progress(2, 300), PartChunks::FIFTEEN.full_length(2) + 300);
    // The newest that is covered stays.
    add(&with_progress(0, 100), PartChunks::FIFTEEN.full_length(0) + 100 - 600);
    add(&part(64, 70_000), 70_000);
    for too_far in [68, 65_535] {
        let refused = store.add_part(&permit, &event, &part(too_far, 70_000));
        assert!(matches!(refused, Err(StoreError::OutOfOrder)), "{too_far}");
    }
    let all = PartChunks::FIFTEEN.full_length(0)
        + PartChunks::FIFTEEN.full_length(1)
        + PartChunks::FIFTEEN.full_length(2)
        + 300
        + 70_000
        + 1000;
    let abandoned = store.abandon_segment(&permit, &event, 0).unwrap();
    assert_eq!((abandoned.stored, abandoned.bytes), (Stored::New, -(all as i64)));
    assert_eq!(store.abandon_segment(&permit, &event, 0).unwrap().bytes, 0);
}

/// The newest manifest of a device is that with the highest number, whenever it came, and nobody else's.
fn newest_manifests(store: &dyn Store, organisation: &Organisation, patient: &Person, clinician: &Person) {
    let (one, other) = (organisation.person(22, Role::Recorder), organisation.person(23, Role::Recorder));
    let newest = |account: AccountId, key_id| {
        let actor =
            Actor { account, key_id, has_auth: true, role: Role::Recorder, standing: Standing::InForce };
        store.newest_manifest(&authorize_newest_manifest(&actor, account).unwrap()).unwrap()
    };
    assert_eq!(newest(one.account(), one.device_id()), None);
    for (sealer, id, expected) in [(&one, 31, 31), (&one, 33, 33), (&one, 32, 33), (&other, 34, 34)] {
        let draft = |id| Draft::new(organisation, id, patient, clinician, sealer);
        let (permit, event) = sealing(&draft(id), Action::CreateRecording);
        store.create_recording(&permit, &event, &new_recording(&draft(id))).unwrap();
        let expected = draft(expected).manifest.bytes().to_vec();
        assert_eq!(newest(sealer.account(), sealer.device_id()), Some(expected));
    }
    // Not what one device signed for another account, nor what another device signed for this one.
    assert_eq!(newest(other.account(), one.device_id()), None);
    assert_eq!(newest(one.account(), other.device_id()), None);
}

/// An account begins only so many recordings of which nothing is stored; one that holds something makes room.
fn empty_recordings(store: &dyn Store, organisation: &Organisation, patient: &Person, clinician: &Person) {
    let recorder = organisation.person(20, Role::Recorder);
    let draft = |id: u32| Draft::new(organisation, 1000 + u64::from(id), patient, clinician, &recorder);
    let create = |draft: &Draft<'_>| {
        let (permit, event) = sealing(draft, Action::CreateRecording);
        store.create_recording(&permit, &event, &new_recording(draft))
    };
    // Many at once, for they share their commits.
    std::thread::scope(|scope| {
        for first in 0..32 {
            let (draft, create) = (&draft, &create);
            scope.spawn(move || {
                for id in (first..MAX_EMPTY_RECORDINGS).step_by(32) {
                    create(&draft(id)).unwrap();
                }
            });
        }
    });
    let next = draft(MAX_EMPTY_RECORDINGS);
    assert!(matches!(create(&next), Err(StoreError::AccountFull)));
    let (permit, event) = sealing(&next, Action::CreateRecording);
    let would = store.would_create(&permit, &new_recording(&next));
    assert!(matches!(would, Err(StoreError::AccountFull)));
    assert_eq!(create(&draft(0)).unwrap().stored, Stored::Same);
    let (permit, _) = sealing(&draft(0), Action::StorePart);
    let segment = NewSegment {
        index: 0,
        track: 0,
        part_chunks: PartChunks::FIFTEEN,
        header: Digest::of(b"header"),
        header_length: 6,
    };
    store.open_segment(&permit, &event, &segment).unwrap();
    store.add_part(&permit, &event, &part(0, 100)).unwrap();
    create(&next).unwrap();
}

/// An account has a side in only so many comparisons; a new commitment in one of them is none more.
fn comparisons(store: &dyn Store, organisation: &Organisation, person: &Person) {
    let permit = authorize(&caller(person, Role::Patient).actor, Action::CommitComparison, None).unwrap();
    let commit = |other: u8, at_second| {
        let other = AccountId::from_bytes([other; 32]);
        store.commit_comparison(&permit, other, Digest::from_bytes([7; 32]), at(at_second))
    };
    for other in 1..=MAX_COMPARISONS {
        assert_eq!(commit(u8::try_from(other).unwrap(), NOW).unwrap(), Stored::New);
    }
    assert!(matches!(commit(200, NOW), Err(StoreError::Busy)));
    assert_eq!(commit(1, NOW + 1).unwrap(), Stored::Same);
    let another = organisation.person(21, Role::Patient);
    let others = authorize(&caller(&another, Role::Patient).actor, Action::CommitComparison, None).unwrap();
    let commitment = Digest::from_bytes([8; 32]);
    store.commit_comparison(&others, person.account(), commitment, at(NOW)).unwrap();
    assert_eq!(store.withdraw_comparison(&permit, AccountId::from_bytes([1; 32])).unwrap(), Stored::New);
    commit(200, NOW).unwrap();
    assert!(matches!(commit(201, NOW + COMPARISON_LIFETIME - 1), Err(StoreError::Busy)));
    commit(201, NOW + COMPARISON_LIFETIME).unwrap();
}

#[test]
fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conforms(|| Box::new(open_store(folder.path())));
}
