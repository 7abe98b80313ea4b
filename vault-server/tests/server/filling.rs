use data_encoding::BASE64;
use ed25519_dalek::Signer as _;
use reqwest::Method;
use vault_proto::envelope::Statement as _;
use vault_proto::geometry::{BodyEnd, MAX_PART, PartChunks};
use vault_proto::http_signature::CoveredHeader;
use vault_proto::ids::{Digest, KeyId};
use vault_proto::key_object::MAX_KEY_OBJECT;
use vault_proto::labels::{context, details_context, key_context};
use vault_proto::problem::ProblemCode;
use vault_proto::statements::{Manifest, Role, SegmentProgress, SegmentSeal};
use vault_proto::wire::{RecordingRecord, path};

use crate::support::{Call, Draft, NOW, Organisation, Person, Server, Validity, at, header, key_object};

struct Scene {
    organisation: Organisation,
    patient: Person,
    clinician: Person,
    recorder: Person,
    server: Server,
}

async fn scene() -> Scene {
    let organisation = Organisation::new(1);
    let (patient, clinician, recorder) = (
        organisation.person(10, Role::Patient),
        organisation.person(11, Role::Clinician),
        organisation.person(12, Role::Recorder),
    );
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician, &recorder]).await;
    Scene { organisation, patient, clinician, recorder, server }
}

impl Scene {
    fn draft(&self, id: u64) -> Draft<'_> {
        Draft::new(&self.organisation, id, &self.patient, &self.clinician, &self.recorder)
    }
}

/// It may have begun while the server was away, and not in the future.
#[tokio::test]
async fn a_manifest_is_taken_for_30_days() {
    const DAYS: i64 = 24 * 3600;
    let organisation = Organisation::new(1);
    let person = |seed, role| organisation.person_for(seed, role, Validity(-40 * DAYS, 40 * DAYS));
    let (patient, clinician) = (person(10, Role::Patient), person(11, Role::Clinician));
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician]).await;
    let edges = [
        (-30 * DAYS - 3600, false),
        (-30 * DAYS - 1, false),
        (-30 * DAYS, true),
        (-30 * DAYS + 60, true),
        (120, true),
        (121, false),
        (DAYS / 2, false),
    ];
    for (id, (off, taken)) in (1..).zip(edges) {
        let draft = Draft::dated(organisation.id(), id, NOW + off, &patient, &clinician, &clinician);
        let answer = server.post(&clinician, path::RECORDINGS, draft.create()).await;
        if !taken {
            let problem = answer.refused(ProblemCode::StatementRefused);
            assert!(problem.detail.unwrap().contains(&at(NOW).to_string()), "{off}");
            server.get(&clinician, path::recording(&draft.id())).await.refused(ProblemCode::NotFound);
            continue;
        }
        answer.ok(201);
        // Once it is stored it is as old as it gets, and finished like any other.
        server.advance(60);
        server.post(&clinician, path::RECORDINGS, draft.create()).await.ok(200);
        server.finish_from(&draft, &draft.parts(0, 1000)).await;
        server.advance(-60);
    }
}

#[tokio::test]
async fn a_manifest_is_checked_before_it_is_stored() {
    let scene = scene().await;
    let Scene { organisation, patient, clinician, recorder, server } = &scene;
    let create = async |by: &Person, draft: &Draft<'_>, code| {
        server.post(by, path::RECORDINGS, draft.create()).await.refused(code);
    };
    let other_tenant = Draft::dated(Organisation::new(50).id(), 1, NOW, patient, clinician, recorder);
    create(recorder, &other_tenant, ProblemCode::StatementRefused).await;
    create(patient, &scene.draft(1), ProblemCode::Forbidden).await;
    // A clinician may seal a consultation of her own, and nobody else's.
    let second = organisation.person(13, Role::Clinician);
    server.enrol(&[&second]).await;
    let own = Draft::new(organisation, 7, patient, &second, &second);
    server.create(&own).await;
    let foreign = Draft::new(organisation, 8, patient, clinician, &second);
    create(&second, &foreign, ProblemCode::Forbidden).await;
    // A clinician whom another organisation certified.
    let impostor = Organisation::new(50).person(11, Role::Clinician);
    let uncertified = Draft::new(organisation, 9, patient, &impostor, recorder);
    create(recorder, &uncertified, ProblemCode::StatementRefused).await;

    server.create(&scene.draft(1)).await;
    let other_under_id = Draft::new(organisation, 1, patient, &second, recorder);
    create(recorder, &other_under_id, ProblemCode::Conflict).await;
    // Stored once, it stays the same for good, however old.
    server.advance(100);
    server.post(recorder, path::RECORDINGS, scene.draft(1).create()).await.ok(200);
}

/// As far as that needs no key: what readers could not open, or would open as that of another recording, is not begun.
#[tokio::test]
async fn a_key_object_is_checked_before_anything_is_stored() {
    let scene = scene().await;
    let (server, recorder) = (&scene.server, &scene.recorder);
    let draft = || scene.draft(1);
    let (right, context) = (draft().key_object, draft().key_context());
    let Manifest { tenant, recording, key, .. } = *draft().manifest.unverified();
    let of_length = |length: usize| {
        let mut object = right.clone();
        object.resize(length, 0);
        object
    };
    let elsewhere = [
        scene.draft(2).key_object,
        key_object(&key_context(&Organisation::new(50).id(), &recording, &key), 2),
        key_object(&key_context(&tenant, &recording, &KeyId::from_bytes([0xce; 32])), 2),
        draft().header(0, 0),
    ];
    let for_others = [
        key_object(&context, 0),
        key_object(&context, 1),
        key_object(&context, 3),
        right[1..].to_vec(),
        Vec::new(),
        // A header, and behind it less than a nonce and a tag.
        header(&context, 2),
        of_length(header(&context, 2).len() + 31),
    ];
    let mut altered = right.clone();
    *altered.last_mut().unwrap() ^= 1;
    let shorter = right[..right.len() - 1].to_vec();
    let not_signed = [altered, shorter, of_length(right.len() + 1)]
        .map(|key_object| Draft { key_object, ..draft() })
        .into_iter()
        .chain([draft().with_key_object(of_length(MAX_KEY_OBJECT + 1))]);
    let signed = |objects: Vec<Vec<u8>>, detail| {
        objects.into_iter().map(move |object| (draft().with_key_object(object), detail))
    };
    let refused = signed(elsewhere.to_vec(), "It belongs to another recording or segment.")
        .chain(signed(for_others.to_vec(), "It is not sealed by anyone who was entitled to at that time."))
        .chain(not_signed.map(|draft| (draft, "It does not fit what it must follow from.")));
    let nothing_is_stored = async || {
        assert!(!server.data().join(format!("blobs/rec/{recording}")).exists());
        server.get(recorder, path::recording(&recording)).await.refused(ProblemCode::NotFound);
    };
    for (number, (draft, detail)) in refused.enumerate() {
        let answer = server.post(recorder, path::RECORDINGS, draft.create()).await;
        let problem = answer.refused(ProblemCode::StatementRefused);
        assert_eq!(problem.detail.as_deref(), Some(detail), "{number}");
        nothing_is_stored().await;
    }
    let body = String::from_utf8(draft().create()).unwrap();
    let spelt = BASE64.encode(&right);
    assert!(spelt.ends_with('='));
    for wrong in [spelt.trim_end_matches('='), &format!("{spelt}\\n"), &format!("{spelt}AAAA"), "*", "null"] {
        let body = match wrong {
            "null" => body.replace(&format!("\"{spelt}\""), "null"),
            wrong => body.replace(&spelt, wrong),
        };
        let answer = server.post(recorder, path::RECORDINGS, body.into_bytes()).await;
        answer.refused(ProblemCode::BadRequest);
        nothing_is_stored().await;
    }
    let without = body.replace(&format!("\"key\":\"{spelt}\","), "");
    assert!(without.len() < body.len() - spelt.len());
    server.post(recorder, path::RECORDINGS, without.into_bytes()).await.refused(ProblemCode::BadRequest);
    nothing_is_stored().await;

    let longest = draft().with_key_object(of_length(MAX_KEY_OBJECT));
    server.create(&longest).await;
    let fetched = server.get(&scene.patient, path::key(&longest.id(), 0)).await.ok(200).body;
    assert!(fetched == longest.key_object);
    // Another key is another manifest.
    server.post(recorder, path::RECORDINGS, draft().create()).await.refused(ProblemCode::Conflict);
    server.post(recorder, path::RECORDINGS, longest.create()).await.ok(200);
}

#[tokio::test]
async fn segments_open_in_order_with_their_own_header() {
    let scene = scene().await;
    let (server, recorder) = (&scene.server, &scene.recorder);
    let draft = scene.draft(1);
    server.open(&draft, 0).await.refused(ProblemCode::NotFound);
    server.create(&draft).await;
    server.open(&draft, 1).await.refused(ProblemCode::OutOfOrder);
    server.part(&draft, 0, 0, &[0; 100]).await.refused(ProblemCode::OutOfOrder);
    let place = path::segment(&draft.id(), 0);
    let manifest = draft.manifest.digest();
    let mut trailing = draft.header(0, 0);
    trailing.push(b'\n');
    let wrong = [
        draft.header(1, 0),
        draft.header(0, 1),
        scene.draft(2).header(0, 0),
        header(&context(&manifest, 0, 0), 0),
        header(&context(&manifest, 0, 0), 2),
        header(&draft.key_context(), 1),
        trailing,
        b"age-encryption.org/v1\n".to_vec(),
        Vec::new(),
    ];
    for header in wrong {
        server
            .put(recorder, place.clone(), Draft::open_with(0, &header))
            .await
            .refused(ProblemCode::StatementRefused);
    }
    server
        .put(recorder, place.clone(), b"{\"track\":0,\"header\":\"*\"}".to_vec())
        .await
        .refused(ProblemCode::BadRequest);
    server.open(&draft, 0).await.ok(201);
    server.put(recorder, place, draft.open(0, 1)).await.refused(ProblemCode::Conflict);
    server.open(&draft, 1).await.refused(ProblemCode::OutOfOrder);
    for (number, code) in [
        ("01", ProblemCode::NotFound),
        ("+1", ProblemCode::NotFound),
        ("4294967296", ProblemCode::NotFound),
        ("10000", ProblemCode::StatementRefused),
    ] {
        let place = format!("/v1/recordings/{}/segments/{number}", draft.id());
        server.put(recorder, place, draft.open(0, 0)).await.refused(code);
    }
}

#[tokio::test]
async fn a_part_is_stored_once() {
    let scene = scene().await;
    let server = &scene.server;
    let draft = scene.draft(1);
    server.begin(&draft).await;
    let parts = draft.parts(0, 2_000_000);
    server.part(&draft, 0, 0, &parts[0]).await.ok(201);
    let mut other = parts[0].clone();
    other[5000] ^= 1;
    server.part(&draft, 0, 0, &other).await.refused(ProblemCode::Conflict);
    for impossible in [0, 1, 16, 65_552 + 16, MAX_PART - 1 - 65_551] {
        server.part(&draft, 0, 1, &vec![1; impossible]).await.refused(ProblemCode::BadRequest);
    }
    server.part(&draft, 0, 1, &vec![1; MAX_PART + 1]).await.refused(ProblemCode::TooLarge);
    server.part(&draft, 0, 65_536, &parts[1]).await.refused(ProblemCode::BadRequest);
    let place = path::body(&draft.id(), 0);
    assert!(server.get(&scene.patient, place).await.ok(200).body == parts[0]);
}

#[tokio::test]
async fn parts_are_as_large_as_their_segment_says() {
    let scene = scene().await;
    let server = &scene.server;
    for (number, part_chunks) in (1u64..).zip(PartChunks::ALL) {
        let draft = scene.draft(number);
        server.create(&draft).await;
        let recorder = &draft.sealer;
        let place = path::segment(&draft.id(), 0);
        let header = draft.header(0, 0);
        server.put(recorder, &place, Draft::open_in(0, part_chunks, &header)).await.ok(201);
        server.put(recorder, &place, Draft::open_in(0, part_chunks, &header)).await.ok(200);
        let other = if part_chunks == PartChunks::ONE { PartChunks::THREE } else { PartChunks::ONE };
        server.put(recorder, &place, Draft::open_in(0, other, &header)).await.refused(ProblemCode::Conflict);
        // As long as a full part may be, and not a chunk or a byte longer.
        let full = |part| part_chunks.full_length(part);
        for too_long in [full(1) + 1, full(1) + 17, full(1) + 65_552] {
            let code = if too_long > MAX_PART { ProblemCode::TooLarge } else { ProblemCode::BadRequest };
            server.part(&draft, 0, 1, &vec![1; too_long]).await.refused(code);
        }
        let parts = [vec![1u8; full(0)], vec![2u8; full(1)], vec![3u8; 40]];
        for (part, bytes) in (0u32..).zip(&parts) {
            server.part(&draft, 0, part, bytes).await.ok(201);
        }
        server.part(&draft, 0, part_chunks.max_parts(), &parts[2]).await.refused(ProblemCode::BadRequest);
        let seal = draft.segment_seal(0, &parts, BodyEnd::Final, None);
        let wrong = SegmentSeal { part_chunks: other, body_length: other.offset(2) + 40, ..seal.clone() };
        let right = SegmentSeal { part_chunks, ..seal };
        let place = path::seal(&draft.id(), 0);
        let put = async |seal: &SegmentSeal| {
            server.put(recorder, &place, draft.sign_seal(seal).bytes().to_vec()).await
        };
        put(&wrong).await.refused(ProblemCode::StatementRefused);
        put(&right).await.ok(201);
        let body = server.get(&scene.patient, path::body(&draft.id(), 0)).await.ok(200).body;
        assert!(body == parts.concat());
    }
    let unknown = scene.draft(9);
    server.create(&unknown).await;
    let text = String::from_utf8(unknown.open(0, 0)).unwrap();
    for chunks in ["0", "2", "4", "16", "255", "256", "-1", "1.0", "\"15\"", "null"] {
        let body = text.replace("\"part_chunks\":15", &format!("\"part_chunks\":{chunks}"));
        assert_ne!(body, text);
        server
            .put(unknown.sealer, path::segment(&unknown.id(), 0), body.into_bytes())
            .await
            .refused(ProblemCode::BadRequest);
    }
}

/// Sixteen requests at once for the same part with two contents: one content wins, and stays whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_race_never_mix() {
    let scene = scene().await;
    let server = &scene.server;
    let draft = scene.draft(1);
    server.begin(&draft).await;
    let contents = [vec![1u8; MAX_PART], vec![2u8; MAX_PART]];
    let puts = (0..16).map(|i| server.part(&draft, 0, 0, &contents[i % 2]));
    let answers = futures_util::future::join_all(puts).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(200), count(409)), (1, 7, 8));
    let winner = answers.iter().position(|answer| answer.status == 201).unwrap();
    let body = server.get(&scene.patient, path::body(&draft.id(), 0)).await.ok(200).body;
    assert!(body == contents[winner % 2]);
}

#[tokio::test]
async fn a_seal_must_fit_what_is_stored() {
    let scene = scene().await;
    let (server, recorder) = (&scene.server, &scene.recorder);
    let draft = scene.draft(1);
    server.begin(&draft).await;
    let parts = draft.parts(0, 1_900_000);
    let place = path::seal(&draft.id(), 0);
    let seal = draft.segment_seal(0, &parts, BodyEnd::Final, None);
    let put = async |seal: &SegmentSeal| {
        server.put(recorder, place.clone(), draft.sign_seal(seal).bytes().to_vec()).await
    };
    put(&seal).await.refused(ProblemCode::OutOfOrder);
    server.part(&draft, 0, 1, &parts[1]).await.ok(201);
    put(&seal).await.refused(ProblemCode::OutOfOrder);
    server.part(&draft, 0, 0, &parts[0]).await.ok(201);
    let shorter = seal.body_length - 1;
    let wrong = [
        SegmentSeal { parts_root: Digest::of(b"another root"), ..seal.clone() },
        SegmentSeal { body_length: shorter, ..seal.clone() },
        SegmentSeal { track: 1, ..seal.clone() },
        SegmentSeal { header: Digest::of(b"another header"), ..seal.clone() },
        SegmentSeal { manifest: Digest::of(b"another manifest"), ..seal.clone() },
        SegmentSeal { index: 1, previous: Some(Digest::of(b"x")), ..seal.clone() },
    ];
    for wrong in &wrong {
        put(wrong).await.refused(ProblemCode::StatementRefused);
    }
    let other_signer = Draft { sealer: &scene.patient, ..scene.draft(1) };
    let forged = other_signer.sign_seal(&seal);
    server.put(recorder, place.clone(), forged.bytes().to_vec()).await.refused(ProblemCode::StatementRefused);
    server
        .put(recorder, place.clone(), draft.manifest.bytes().to_vec())
        .await
        .refused(ProblemCode::StatementRefused);
    put(&seal).await.ok(201);
    let later = SegmentSeal { header: Digest::of(b"another header"), ..seal.clone() };
    put(&later).await.refused(ProblemCode::Conflict);
    // Sealed: the same part is still the same, and nothing is added.
    server.part(&draft, 0, 0, &parts[0]).await.ok(200);
    server.part(&draft, 0, 2, &parts[0][16..]).await.refused(ProblemCode::OutOfOrder);
}

/// A part whose progress is another's is not stored either.
#[tokio::test]
async fn progress_must_be_that_of_its_part() {
    let scene = scene().await;
    let (server, recorder) = (&scene.server, &scene.recorder);
    let draft = scene.draft(1);
    server.begin(&draft).await;
    let parts = draft.parts(0, 2_500_000);
    let put = async |part: u32, envelope: &[u8]| {
        let bytes = parts[part as usize].clone();
        let mut call = Call::new(&recorder.device, Method::PUT, path::part(&draft.id(), 0, part), bytes);
        let value = String::from_utf8(envelope.to_vec()).unwrap();
        call.headers = vec![(CoveredHeader::SegmentProgress.name().to_owned(), value)];
        server.call(call).await
    };
    let stored = async || -> (u32, Option<String>) {
        let record: RecordingRecord = server.get(recorder, path::recording(&draft.id())).await.ok(200).json();
        (record.segments[0].parts, record.segments[0].progress.clone())
    };
    let right = draft.segment_progress(&parts[..1]);
    let wrong = [
        SegmentProgress { header: Digest::of(b"another header"), ..right.clone() },
        SegmentProgress { header: Digest::of(&draft.key_object), ..right.clone() },
        SegmentProgress { manifest: Digest::of(b"another manifest"), ..right.clone() },
        SegmentProgress { track: 1, ..right.clone() },
        SegmentProgress { index: 1, previous: Some(Digest::of(b"x")), ..right.clone() },
        SegmentProgress { part_chunks: PartChunks::FIVE, ..right.clone() },
        SegmentProgress { parts: 2, ..right.clone() },
    ];
    for wrong in &wrong {
        put(0, draft.sign_progress(wrong).bytes()).await.refused(ProblemCode::StatementRefused);
    }
    let other_signer = Draft { sealer: &scene.patient, ..scene.draft(1) };
    put(0, other_signer.sign_progress(&right).bytes()).await.refused(ProblemCode::StatementRefused);
    put(0, draft.manifest.bytes()).await.refused(ProblemCode::StatementRefused);
    assert_eq!(stored().await, (0, None));
    for number in 0..2u32 {
        let progress = draft.sign_progress(&draft.segment_progress(&parts[..=number as usize]));
        put(number, progress.bytes()).await.ok(201);
        let envelope = String::from_utf8(progress.bytes().to_vec()).unwrap();
        assert_eq!(stored().await, (number + 1, Some(envelope)));
    }
}

#[tokio::test]
async fn a_recording_ends_once_and_in_order() {
    let scene = scene().await;
    let (server, recorder) = (&scene.server, &scene.recorder);
    let draft = scene.draft(1);
    let id = draft.id();
    server.create(&draft).await;
    let details = draft.details();
    let put_details = async |bytes: &[u8]| server.put(recorder, path::details(&id), bytes.to_vec()).await;
    put_details(&details).await.refused(ProblemCode::OutOfOrder);
    server.open(&draft, 0).await.ok(201);
    put_details(&details).await.refused(ProblemCode::OutOfOrder);
    let parts = draft.parts(0, 100_000);
    server.part(&draft, 0, 0, &parts[0]).await.ok(201);
    let seal = draft.sign_seal(&draft.segment_seal(0, &parts, BodyEnd::Final, None));
    server.put(recorder, path::seal(&id, 0), seal.bytes().to_vec()).await.ok(201);
    let last = draft.final_seal(std::slice::from_ref(&seal), &details);
    let put_final = async |seal: &vault_proto::statements::FinalSeal| {
        server.put(recorder, path::final_seal(&id), draft.sign_final(seal).bytes().to_vec()).await
    };
    put_final(&last).await.refused(ProblemCode::OutOfOrder);
    server.get(&scene.patient, path::details(&id)).await.refused(ProblemCode::NotFound);
    let header_length = details.len() - 500;
    for wrong in [&details[..header_length + 31], &details[1..], draft.header(0, 0).as_slice(), &[]] {
        put_details(wrong).await.refused(ProblemCode::StatementRefused);
    }
    for recipients in [0, 2] {
        let mut wrong = header(&details_context(&draft.manifest.digest()), recipients);
        wrong.extend(&details[header_length..]);
        put_details(&wrong).await.refused(ProblemCode::StatementRefused);
    }
    let mut other = details.clone();
    *other.last_mut().unwrap() ^= 1;
    put_details(&other).await.ok(201);
    // A sealer that died here makes new details; the old ones would not fit its final seal.
    put_final(&last).await.refused(ProblemCode::StatementRefused);
    put_details(&details).await.ok(201);
    // A crash between object and row left other bytes under the right row.
    let object = server.data().join(format!("blobs/rec/{id}/details"));
    std::fs::write(&object, &other).unwrap();
    put_final(&last).await.refused(ProblemCode::StatementRefused);
    put_details(&details).await.ok(200);
    let wrong = [
        vault_proto::statements::FinalSeal { details: Digest::of(b"others"), ..last.clone() },
        vault_proto::statements::FinalSeal { segments: 2, ..last.clone() },
        vault_proto::statements::FinalSeal { total_length: 1, ..last.clone() },
        vault_proto::statements::FinalSeal { last_seal: Digest::of(b"x"), ..last.clone() },
    ];
    for wrong in &wrong {
        put_final(wrong).await.refused(ProblemCode::StatementRefused);
    }
    put_final(&last).await.ok(201);
    put_details(&details).await.ok(200);
    put_details(&other).await.refused(ProblemCode::Conflict);
    server.open(&draft, 1).await.refused(ProblemCode::OutOfOrder);
    let again = vault_proto::statements::FinalSeal {
        status: vault_proto::statements::RecordingStatus::Recovered,
        ..last
    };
    put_final(&again).await.refused(ProblemCode::Conflict);
    let record: RecordingRecord = server.get(recorder, path::recording(&id)).await.ok(200).json();
    assert_eq!(record.segments.len(), 1);
    assert!(record.final_seal.is_some());
}

/// A manifest signed by `person` whose payload says what no client of theirs would sign.
fn forged(person: &Person, manifest: &Manifest) -> String {
    let kind = Manifest::PAYLOAD_TYPE;
    let payload = serde_json::to_string(manifest).unwrap();
    let signed = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
    let signature = person.device.sign(signed.as_bytes()).to_bytes();
    format!(
        r#"{{"payloadType":"{kind}","payload":"{}","signatures":[{{"keyid":"{}","sig":"{}"}}]}}"#,
        BASE64.encode(payload.as_bytes()),
        person.device_id(),
        BASE64.encode(&signature),
    )
}

/// Whoever learns a recording's id cannot find out by creating it whether it is there, nor be first with it.
#[tokio::test]
async fn an_id_is_its_devices_alone_to_begin() {
    let scene = scene().await;
    let stranger = scene.organisation.person(13, Role::Recorder);
    scene.server.enrol(&[&stranger]).await;
    let there = scene.draft(1);
    scene.server.post(&scene.recorder, path::RECORDINGS, there.create()).await.ok(201);
    let nowhere = scene.draft(2);

    let post = async |draft: &Draft<'_>, manifest: &Manifest| {
        let body = serde_json::json!({
            "manifest": forged(draft.sealer, manifest),
            "key": BASE64.encode(&draft.key_object),
            "statements": draft.statements,
        });
        scene.server.post(draft.sealer, path::RECORDINGS, body.to_string().into_bytes()).await
    };
    let mut answers = Vec::new();
    for (number, wanted) in (1..).zip([&there, &nowhere]) {
        let own = Draft::new(&scene.organisation, number, &scene.patient, &scene.clinician, &stranger);
        let (wanted, honest) = (wanted.manifest.unverified(), own.manifest.unverified());
        for salt in [wanted.salt, honest.salt] {
            let manifest = Manifest { recording: wanted.recording, salt, ..honest.clone() };
            let mut problem = post(&own, &manifest).await.refused(ProblemCode::StatementRefused);
            problem.request_id = None;
            answers.push(serde_json::to_string(&problem).unwrap());
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    // The device itself begins what it may begin, and is told of its own conflicts.
    scene.server.post(&scene.recorder, path::RECORDINGS, nowhere.create()).await.ok(201);
    let other = Manifest { consultation: "other".parse().unwrap(), ..there.manifest.unverified().clone() };
    post(&there, &other).await.refused(ProblemCode::Conflict);
}
