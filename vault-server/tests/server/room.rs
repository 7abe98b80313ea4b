use std::path::Path;

use reqwest::Method;
use vault_proto::geometry::PartChunks;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::{RecordingRecord, path};
use vault_server::limits::Limits;

use crate::support::{Call, Draft, Organisation, Person, Server, Validity, number_in, statements};

fn people() -> (Organisation, Person, Person) {
    let organisation = Organisation::new(1);
    let (patient, clinician) =
        (organisation.person(10, Role::Patient), organisation.person(11, Role::Clinician));
    (organisation, patient, clinician)
}

/// Bytes that are stored of people's own statements, each once.
fn bytes_of(people: &[&Person]) -> u64 {
    statements(people).concat().len() as u64
}

/// Bytes that are stored of a recording that has begun.
fn begun(draft: &Draft<'_>) -> u64 {
    (draft.manifest.bytes().len() + draft.key_object.len()) as u64
}

/// Room for three parts and many that come at once: three are stored, the others leave nothing, and there is room again
/// when something goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_bytes_are_stored() {
    let (organisation, patient, clinician) = people();
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let parts = draft.parts(0, 8_000_000);
    let full = parts[1].len() as u64;
    let others = bytes_of(&[&patient, &clinician]) + begun(&draft) + draft.header(0, 0).len() as u64;
    let limits = Limits { max_bytes: Some(others + 3 * full + 10), ..Limits::default() };
    let server = Server::start_with(&organisation, limits).await;
    server.enrol(&[&patient, &clinician]).await;
    server.begin(&draft).await;
    let put = async |server: &Server, numbers: std::ops::Range<u32>| {
        let puts = numbers.map(|number| server.part(&draft, 0, number, &parts[number as usize]));
        let answers = futures_util::future::join_all(puts).await;
        for answer in &answers {
            if answer.status != 201 {
                answer.refused(ProblemCode::StorageFull);
            }
        }
        answers.iter().filter(|answer| answer.status == 201).count()
    };
    assert_eq!(put(&server, 1..7).await, 3);
    let stored = async |server: &Server| {
        let page: vault_proto::wire::RecordingPage =
            server.get(&patient, path::RECORDINGS).await.ok(200).json();
        page.recordings[0].bytes
    };
    assert_eq!(stored(&server).await, 3 * full);
    let details = draft.details();
    assert!(details.len() > 10);

    // It counts what was stored before it was started, and once it may store more, what was refused comes again.
    let server = server.restart().await;
    server.part(&draft, 0, 0, &parts[0]).await.refused(ProblemCode::StorageFull);
    let abandon = Call::new(&clinician.device, Method::DELETE, path::segment(&draft.id(), 0), Vec::new());
    server.call(abandon).await.ok(201);
    server.open(&draft, 0).await.ok(201);
    assert_eq!(put(&server, 1..4).await, 3);
    server.part(&draft, 0, 0, &parts[0]).await.refused(ProblemCode::StorageFull);
    let server =
        server.restart_with(Limits { max_bytes: Some(others + 9 * full), ..Limits::default() }).await;
    server.part(&draft, 0, 1, &parts[1]).await.ok(200);
    assert_eq!(put(&server, 4..5).await, 1);
    server.part(&draft, 0, 0, &parts[0]).await.ok(201);
    let body = server.get(&patient, path::body(&draft.id(), 0)).await.ok(200).body;
    assert!(body == parts[..5].concat());
}

/// Parts beyond a seal, and details that others replace, are room again.
#[tokio::test]
async fn what_is_dropped_is_room_again() {
    let (organisation, patient, clinician) = people();
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let parts = draft.parts(0, 3_000_000);
    let details = draft.details();
    let end = vault_proto::geometry::BodyEnd::Cut;
    let seal = draft.sign_seal(&draft.segment_seal(0, &parts[..1], end, None));
    let others = draft.header(0, 0).len() + seal.bytes().len() + 32;
    let most = parts[0].len() + parts[1].len() + details.len() + others;
    let most = bytes_of(&[&patient, &clinician]) + begun(&draft) + most as u64;
    let limits = Limits { max_bytes: Some(most), ..Limits::default() };
    let server = Server::start_with(&organisation, limits).await;
    server.enrol(&[&patient, &clinician]).await;
    server.begin(&draft).await;
    server.part(&draft, 0, 0, &parts[0]).await.ok(201);
    server.part(&draft, 0, 1, &parts[1]).await.ok(201);
    server.put(&clinician, path::seal(&draft.id(), 0), seal.bytes().to_vec()).await.ok(201);
    let place = path::details(&draft.id());
    server.put(&clinician, place.clone(), details.clone()).await.ok(201);
    let mut other = details.clone();
    other.extend(vec![1; parts[1].len()]);
    let put = async |bytes: &[u8]| server.put(&clinician, place.clone(), bytes.to_vec()).await;
    // While they are replaced, both take room.
    put(&other).await.refused(ProblemCode::StorageFull);
    assert!(server.get(&patient, place.clone()).await.ok(200).body == details);
    other.truncate(other.len() - details.len());
    put(&other).await.ok(201);
    put(&details).await.ok(201);
    put(&other).await.ok(201);
}

/// On a disk that is nearly full nothing new begins, and what is there can be sealed and read; then only read.
#[tokio::test]
async fn some_of_the_disk_stays_free() {
    let (organisation, patient, clinician) = people();
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician]).await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.begin(&draft).await;
    let parts = draft.parts(0, 1_000_000);
    server.part(&draft, 0, 0, &parts[0]).await.ok(201);

    let disk = rustix::fs::statvfs(server.data()).unwrap();
    let free = disk.f_bavail * disk.f_frsize;
    // Half of it is less than what is free.
    let server = server.restart_with(Limits { min_free: free + free / 2, ..Limits::default() }).await;
    let next = Draft::new(&organisation, 2, &patient, &clinician, &clinician);
    server.post(&clinician, path::RECORDINGS, next.create()).await.refused(ProblemCode::StorageFull);
    assert!(!server.data().join(format!("blobs/rec/{}", next.id())).exists());
    server.part(&draft, 0, 1, &draft.parts(0, 2_000_000)[1]).await.refused(ProblemCode::StorageFull);
    server.part(&draft, 0, 0, &parts[0]).await.ok(200);
    let stranger = organisation.person(13, Role::Recorder);
    server.post(&stranger, path::ACCOUNTS, stranger.enrolment()).await.refused(ProblemCode::StorageFull);
    let side = path::commitment(&patient.account());
    server.put(&clinician, side, vec![1; 32]).await.refused(ProblemCode::StorageFull);
    assert!(server.get(&patient, path::body(&draft.id(), 0)).await.ok(200).body == parts[0]);
    let seal =
        draft.sign_seal(&draft.segment_seal(0, &parts[..1], vault_proto::geometry::BodyEnd::Final, None));
    let sealed = async |server: &Server| {
        server.put(&clinician, path::seal(&draft.id(), 0), seal.bytes().to_vec()).await
    };
    sealed(&server).await.ok(201);
    server.open(&draft, 1).await.refused(ProblemCode::StorageFull);
    let details = draft.details();
    let put_details =
        async |server: &Server| server.put(&clinician, path::details(&draft.id()), details.clone()).await;
    put_details(&server).await.refused(ProblemCode::StorageFull);

    // With nothing left for seals either, not even the nonces of writes are stored.
    let server = server.restart_with(Limits { min_free: u64::MAX, ..Limits::default() }).await;
    let before = rows(&server, "nonces");
    sealed(&server).await.refused(ProblemCode::StorageFull);
    server.part(&draft, 0, 0, &[1; 17]).await.refused(ProblemCode::StorageFull);
    assert_eq!(rows(&server, "nonces"), before);
    assert!(server.get(&patient, path::body(&draft.id(), 0)).await.ok(200).body == parts[0]);
    let drop = Call::new(&clinician.device, Method::DELETE, path::segment(&draft.id(), 1), Vec::new());
    server.call(drop).await.ok(200);

    let server = server.restart_with(Limits::default()).await;
    server.create(&next).await;
    put_details(&server).await.ok(201);
    let last = draft.sign_final(&draft.final_seal(std::slice::from_ref(&seal), &details));
    server.put(&clinician, path::final_seal(&draft.id()), last.bytes().to_vec()).await.ok(201);
    let record: RecordingRecord = server.get(&patient, path::recording(&draft.id())).await.ok(200).json();
    assert!(record.final_seal.is_some());
}

fn rows(server: &Server, table: &str) -> u32 {
    number_in(server.data(), &format!("SELECT count(*) FROM {table}"))
}

/// Files below a folder, and their bytes.
fn files(folder: &Path) -> (usize, u64) {
    let Ok(entries) = std::fs::read_dir(folder) else { return (0, 0) };
    entries.map(Result::unwrap).fold((0, 0), |(number, bytes), entry| {
        let metadata = entry.metadata().unwrap();
        let (more, length) = if metadata.is_dir() { files(&entry.path()) } else { (1, metadata.len()) };
        (number + more, bytes + length)
    })
}

/// The limit is on all that is stored for good: exactly the objects, and the statements of accounts.
#[tokio::test]
async fn everything_that_stays_is_counted() {
    let (organisation, patient, clinician) = people();
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician]).await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.finish(&draft, 1_500_000).await;
    let second = Draft::new(&organisation, 2, &patient, &clinician, &clinician);
    server.begin(&second).await;
    let part = second.parts(0, 10_000).remove(0);
    server.part(&second, 0, 0, &part).await.ok(201);
    let (_, objects) = files(&server.data().join("blobs/rec"));
    let stored = objects + bytes_of(&[&patient, &clinician]);
    let third = Draft::new(&organisation, 3, &patient, &clinician, &clinician);
    let needed = begun(&third);
    let limited = |max_bytes| Limits { max_bytes: Some(max_bytes), ..Limits::default() };
    let server = server.restart_with(limited(stored + needed - 1)).await;
    server.post(&clinician, path::RECORDINGS, third.create()).await.refused(ProblemCode::StorageFull);
    let server = server.restart_with(limited(stored + needed)).await;
    server.create(&third).await;
    // What comes and goes while it runs is counted as what was found at its start.
    server.open(&third, 0).await.refused(ProblemCode::StorageFull);
    let drop = Call::new(&clinician.device, Method::DELETE, path::segment(&second.id(), 0), Vec::new());
    server.call(drop).await.ok(201);
    server.open(&third, 0).await.ok(201);
    server.open(&second, 0).await.ok(201);
    // The limit holds for what is new; what is there is sealed all the same.
    let part = second.parts(0, 9_000).remove(0);
    server.part(&second, 0, 0, &part).await.ok(201);
    let end = vault_proto::geometry::BodyEnd::Final;
    let seal = second.sign_seal(&second.segment_seal(0, &[part], end, None));
    server.put(&clinician, path::seal(&second.id(), 0), seal.bytes().to_vec()).await.ok(201);
}

/// What is done again and again leaves no more behind than what was done a few times: no row, no file.
#[tokio::test]
async fn keeping_on_leaves_nothing_behind() {
    let (organisation, patient, clinician) = people();
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician]).await;
    let sealed = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.begin(&sealed).await;
    let parts = sealed.parts(0, 10_000);
    server.part(&sealed, 0, 0, &parts[0]).await.ok(201);
    let end = vault_proto::geometry::BodyEnd::Final;
    let seal = sealed.sign_seal(&sealed.segment_seal(0, &parts, end, None));
    server.put(&clinician, path::seal(&sealed.id(), 0), seal.bytes().to_vec()).await.ok(201);
    let growing = Draft::new(&organisation, 2, &patient, &clinician, &clinician);
    server.create(&growing).await;
    let certificates: Vec<Vec<u8>> = (0..2)
        .map(|more| {
            let validity = Validity(-1000, 30_000_000 + more);
            let chain = organisation.certify(patient.account(), Role::Patient, validity);
            let key_list = patient.key_list.clone();
            serde_json::to_vec(&vault_proto::wire::Enrol { chain, key_list }).unwrap()
        })
        .collect();
    let round = async |number: u8| {
        let segment = path::segment(&growing.id(), 0);
        // Another track each time, so another header.
        server.put(&clinician, segment.clone(), growing.open(0, number)).await.ok(201);
        for part in 1..4 {
            server.part(&growing, 0, part, &[number; 17]).await.ok(201);
        }
        server.part(&growing, 0, 0, &growing.parts(0, 5000)[0]).await.ok(201);
        let drop = Call::new(&clinician.device, Method::DELETE, segment, Vec::new());
        server.call(drop).await.ok(201);
        let mut details = sealed.details();
        details.push(number);
        server.put(&clinician, path::details(&sealed.id()), details).await.ok(201);
        // One of them is the newer: it is taken, again and again, and the other never after it.
        for certificate in &certificates {
            let answer = server.post(&patient, path::ACCOUNTS, certificate.clone()).await;
            assert!([200, 422].contains(&answer.status), "{}", answer.status);
        }
        let side = path::comparison(&clinician.account());
        server.put(&patient, format!("{side}/commitment"), vec![number; 32]).await.ok(201);
        let drop = Call::new(&patient.device, Method::DELETE, side, Vec::new());
        server.call(drop).await.ok(201);
    };
    let kept = || {
        let tables = ["events", "accounts", "key_lists", "devices", "recordings", "participants", "segments"];
        let rows: Vec<u32> = tables
            .iter()
            .chain(&["parts", "comparisons", "progress"])
            .map(|table| rows(&server, table))
            .collect();
        (rows, files(&server.data().join("blobs")).0, files(&server.data().join("leftovers")))
    };
    round(1).await;
    let once = kept();
    for number in 2..12 {
        round(number).await;
    }
    assert_eq!(kept(), once);
}

/// 5,000 commitments leave the database no larger than 100 do, once their nonces are forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comparisons_leave_nothing_behind() {
    let (organisation, patient, clinician) = people();
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician]).await;
    let place = path::commitment(&clinician.account());
    let used = async |from: u32, to: u32| {
        for numbers in (from..to).collect::<Vec<_>>().chunks(32) {
            let puts = numbers.iter().map(|number| {
                let mut value = vec![0; 32];
                value[..4].copy_from_slice(&number.to_be_bytes());
                let mut call = Call::new(&patient.device, Method::PUT, place.clone(), value);
                call.created = server.clock.load(std::sync::atomic::Ordering::SeqCst);
                server.call(call)
            });
            for answer in futures_util::future::join_all(puts).await {
                answer.ok(201);
            }
        }
        // Two requests later all of that is old, and forgotten.
        for _ in 0..2 {
            server.advance(1000);
            server.get(&patient, path::RECORDINGS).await.ok(200);
        }
        assert!(rows(&server, "nonces") < 5);
        let pages = |what: &str| number_in(server.data(), &format!("PRAGMA {what}"));
        pages("page_count") - pages("freelist_count")
    };
    let after_hundred = used(0, 100).await;
    assert!(used(100, 5_100).await <= after_hundred);
    assert_eq!(rows(&server, "events"), 2, "that two people enrolled");
}

/// One account has only so many requests remembered at a time: it waits, and nobody else does.
#[tokio::test]
async fn an_account_is_remembered_so_many_requests_of() {
    let (organisation, patient, clinician) = people();
    let server = Server::start_with(&organisation, Limits { nonces: 20, ..Limits::default() }).await;
    server.enrol(&[&patient, &clinician]).await;
    for _ in 0..19 {
        server.get(&patient, path::RECORDINGS).await.ok(200);
    }
    server.get(&patient, path::RECORDINGS).await.refused(ProblemCode::Busy);
    server.get(&clinician, path::RECORDINGS).await.ok(200);
    // What is not remembered was not done either.
    let side = path::commitment(&clinician.account());
    server.put(&patient, side, vec![1; 32]).await.refused(ProblemCode::Busy);
    assert_eq!(rows(&server, "comparisons"), 0);
    server.advance(1000);
    server.get(&patient, path::RECORDINGS).await.ok(200);
}

/// With a recording come the statements that it names: nobody stores other people's with it.
#[tokio::test]
async fn a_recording_brings_no_statement_that_it_does_not_name() {
    let (organisation, patient, clinician) = people();
    let recorder = organisation.person(12, Role::Recorder);
    let server = Server::start(&organisation).await;
    server.enrol(&[&recorder]).await;
    let draft = |id| Draft::new(&organisation, id, &patient, &clinician, &recorder);
    let own = statements(&[&patient, &clinician]);
    let other = statements(&[&organisation.person(13, Role::Patient)]);
    let with = |more: &[String]| own.iter().chain(more).cloned().collect::<Vec<_>>();
    let seal = draft(50).manifest;
    let wrong = [
        with(&other),
        with(&[String::from_utf8(seal.bytes().to_vec()).unwrap()]),
        with(&["{}".to_owned()]),
        with(&[String::new()]),
        with(&vec![own[0].clone(); 68]),
        // Too few: the server knows its recorder alone.
        own[1..].to_vec(),
        vec![],
    ];
    for (id, statements) in (1..).zip(wrong) {
        let draft = draft(id).with_statements(statements);
        let refused = server.post(&recorder, path::RECORDINGS, draft.create()).await;
        let problem = refused.refused(ProblemCode::StatementRefused);
        assert!(problem.detail.unwrap().to_lowercase().contains("statement"), "{id}");
        assert!(!server.data().join(format!("blobs/rec/{}", draft.id())).exists());
    }
    let stored = rows(&server, "statements");
    assert_eq!(names(&server), stored, "what was refused left nothing");
    server.create(&draft(100).with_statements(own)).await;
    assert_eq!(rows(&server, "statements"), stored + 4, "two certificates and two key lists");
    assert_eq!(names(&server), stored + 4);
    // From now on they are known, and come once.
    server.create(&draft(101).with_statements(vec![])).await;
    server.create(&draft(102)).await;
    assert_eq!(rows(&server, "statements"), stored + 4);
}

/// How many files lie in the folder of the statements.
fn names(server: &Server) -> u32 {
    let folder = std::fs::read_dir(server.data().join("blobs/statements")).unwrap();
    u32::try_from(folder.count()).unwrap()
}

/// A part far beyond what is stored would make a body with a hole of gigabytes.
#[tokio::test]
async fn parts_do_not_run_far_ahead() {
    let (organisation, patient, clinician) = people();
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician]).await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.create(&draft).await;
    // The smallest parts: of these a segment has the most.
    let opened = Draft::open_in(0, PartChunks::ONE, &draft.header(0, 0));
    server.put(&clinician, path::segment(&draft.id(), 0), opened).await.ok(201);
    let first = vec![1; PartChunks::ONE.full_length(0)];
    let put = async |number: u32, bytes: &[u8]| server.part(&draft, 0, number, bytes).await;
    let length = || {
        let body = server.data().join(format!("blobs/rec/{}/seg/0/body", draft.id()));
        std::fs::metadata(body).unwrap().len()
    };
    for number in [1019, 1000, 65] {
        put(number, &[1; 17]).await.refused(ProblemCode::OutOfOrder);
    }
    assert_eq!(length(), 0);
    put(64, &[1; 17]).await.ok(201);
    // The first gap is what counts, and not how many there are.
    put(2, &[1; 17]).await.ok(201);
    put(65, &[1; 17]).await.refused(ProblemCode::OutOfOrder);
    put(0, &first).await.ok(201);
    put(65, &[1; 17]).await.ok(201);
    put(66, &[1; 17]).await.refused(ProblemCode::OutOfOrder);
    put(65, &[1; 17]).await.ok(200);
}

/// Who fills a store can be ended, and who reads in it renewed; nobody new is taken.
#[tokio::test]
async fn a_full_store_still_ends_and_renews_accounts() {
    let (organisation, patient, clinician) = people();
    let limits = Limits { max_bytes: Some(bytes_of(&[&patient, &clinician])), ..Limits::default() };
    let server = Server::start_with(&organisation, limits).await;
    server.enrol(&[&patient, &clinician]).await;
    let stranger = organisation.person(12, Role::Patient);
    server.post(&stranger, path::ACCOUNTS, stranger.enrolment()).await.refused(ProblemCode::StorageFull);
    let chain = |validity, issued| {
        let account = clinician.account();
        organisation.certify_as_of(account, Role::Clinician, validity, (issued, 1_000_000_000))
    };
    let bring = async |chain| {
        let body = serde_json::to_vec(&chain).unwrap();
        server.put(&patient, path::certificate(&clinician.account()), body).await.ok(201);
    };
    bring(chain(Validity(-900, -800), -100)).await;
    server.get(&clinician, path::RECORDINGS).await.refused(ProblemCode::CertificateExpired);
    bring(chain(Validity(-10, 40_000_000), -50)).await;
    server.get(&clinician, path::RECORDINGS).await.ok(200);
}
