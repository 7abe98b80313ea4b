//! What is left to an account whose certificate has ended: its own recordings if it is a patient, and for a while to
//! finish what it began.

use reqwest::Method;
use vault_proto::ids::RecordingId;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::{RecordingPage, path};
use vault_server::authorize::FINISHING_SECONDS;

use crate::support::{Answer, Call, Draft, Organisation, Person, Server, Validity};

/// Seconds from now to the end of everybody's certificate.
const END: i64 = 1_000;

struct Scene {
    organisation: Organisation,
    patient: Person,
    clinician: Person,
    recorder: Person,
    other: Person,
    server: Server,
}

impl Scene {
    async fn new() -> Self {
        let organisation = Organisation::new(1);
        let person = |seed, role| organisation.person_for(seed, role, Validity(-1_000, END));
        let (patient, clinician) = (person(10, Role::Patient), person(11, Role::Clinician));
        let (recorder, other) = (person(12, Role::Recorder), person(13, Role::Patient));
        let server = Server::start(&organisation).await;
        server.enrol(&[&patient, &clinician, &recorder, &other]).await;
        Self { organisation, patient, clinician, recorder, other, server }
    }

    fn draft<'a>(&'a self, id: u64, patient: &Person, sealer: &'a Person) -> Draft<'a> {
        Draft::new(&self.organisation, id, patient, &self.clinician, sealer)
    }
}

/// Everything that is read of a recording: statements, then content.
fn readings(id: &RecordingId) -> [String; 6] {
    [
        path::recording(id),
        path::parts(id, 0),
        path::key(id, 0),
        path::header(id, 0),
        path::body(id, 0),
        path::details(id),
    ]
}

#[tokio::test]
async fn a_certificate_ends_with_its_last_second() {
    let scene = Scene::new().await;
    let find =
        async || scene.server.get(&scene.patient, format!("/v1/accounts?prefix={}", "0".repeat(8))).await;
    scene.server.advance(END - 1);
    find().await.ok(200);
    scene.server.advance(1);
    find().await.refused(ProblemCode::CertificateExpired);
}

#[tokio::test]
async fn a_patient_keeps_what_is_hers_and_nobody_else_keeps_anything() {
    let scene = Scene::new().await;
    let Scene { patient, clinician, recorder, other, server, .. } = &scene;
    let (own, others) = (scene.draft(1, patient, recorder), scene.draft(2, other, recorder));
    for draft in [&own, &others] {
        server.finish(draft, 100_000).await;
    }
    server.advance(END + 20 * 365 * 24 * 3600);
    let page: RecordingPage = server.get(patient, path::RECORDINGS).await.ok(200).json();
    assert_eq!(page.recordings.iter().map(|entry| entry.recording).collect::<Vec<_>>(), [own.id()]);
    for (number, place) in (0..).zip(readings(&own.id())) {
        server.get(patient, place.clone()).await.ok(200);
        server.get(clinician, place.clone()).await.refused(ProblemCode::CertificateExpired);
        // Who sealed it never read more than its statements.
        let never = if number < 2 { ProblemCode::CertificateExpired } else { ProblemCode::Forbidden };
        server.get(recorder, place.clone()).await.refused(never);
        server.get(other, place).await.refused(ProblemCode::NotFound);
    }
    for place in readings(&others.id()) {
        server.get(patient, place).await.refused(ProblemCode::NotFound);
    }
    for ended in [clinician, recorder] {
        server.get(ended, path::RECORDINGS).await.refused(ProblemCode::CertificateExpired);
    }
    // Whom she needs to look up to check what she reads, and nobody else; the others themselves alone.
    for (who, whom, allowed) in [
        (patient, patient, true),
        (patient, clinician, true),
        (patient, recorder, true),
        (patient, other, false),
        (clinician, clinician, true),
        (clinician, patient, false),
        (recorder, recorder, true),
        (recorder, clinician, false),
    ] {
        let answer = server.get(who, path::account(&whom.account())).await;
        if allowed {
            answer.ok(200);
        } else {
            answer.refused(ProblemCode::CertificateExpired);
        }
    }
}

/// Every request that is neither reading nor finishing.
async fn everything_else(scene: &Scene, by: &Person, expected: ProblemCode) {
    let Scene { patient, clinician, other, server, .. } = scene;
    let refused = |answer: Answer| answer.refused(expected);
    let whom = if std::ptr::eq(by, other) { patient } else { other };
    refused(server.get(by, format!("/v1/accounts?prefix={}", "0".repeat(8))).await);
    refused(server.put(by, path::commitment(&whom.account()), vec![1; 32]).await);
    refused(server.put(by, path::nonce(&whom.account()), vec![1; 32]).await);
    refused(server.get(by, path::comparison(&whom.account())).await);
    let mut withdraw = Call::new(&by.device, Method::DELETE, path::comparison(&whom.account()), Vec::new());
    withdraw.created = server.now();
    refused(server.call(withdraw).await);
    let chain = serde_json::to_vec(&clinician.chain).unwrap();
    refused(server.put(by, path::certificate(&clinician.account()), chain).await);
    let new = Draft::new(&scene.organisation, 9, patient, clinician, by);
    refused(server.post(by, path::RECORDINGS, new.create()).await);
}

#[tokio::test]
async fn nothing_new_begins() {
    let scene = Scene::new().await;
    scene.server.advance(END);
    for by in [&scene.patient, &scene.clinician, &scene.recorder] {
        everything_else(&scene, by, ProblemCode::CertificateExpired).await;
    }
}

#[tokio::test]
async fn what_was_begun_is_finished_by_the_device_that_began_it() {
    for (after, goes_on) in
        [(END, true), (END + FINISHING_SECONDS - 1, true), (END + FINISHING_SECONDS, false)]
    {
        let scene = Scene::new().await;
        let Scene { patient, clinician, recorder, server, .. } = &scene;
        let (begun, foreign) = (scene.draft(1, patient, clinician), scene.draft(2, patient, recorder));
        let parts = begun.parts(0, 1_900_000);
        for draft in [&begun, &foreign] {
            server.create(draft).await;
            server.open(draft, 0).await.ok(201);
        }
        server.part(&begun, 0, 0, &parts[0]).await.ok(201);
        server.advance(after);
        let id = begun.id();
        if !goes_on {
            server.part(&begun, 0, 1, &parts[1]).await.refused(ProblemCode::CertificateExpired);
            server.get(clinician, path::recording(&id)).await.refused(ProblemCode::CertificateExpired);
            continue;
        }
        // She sees where she is, and reads nothing.
        server.get(clinician, path::recording(&id)).await.ok(200);
        server.get(clinician, path::parts(&id, 0)).await.ok(200);
        server.get(clinician, path::key(&id, 0)).await.refused(ProblemCode::CertificateExpired);
        server.get(clinician, path::header(&id, 0)).await.refused(ProblemCode::CertificateExpired);
        server.get(clinician, path::recording(&foreign.id())).await.refused(ProblemCode::CertificateExpired);
        let bytes = parts[1].clone();
        server.put(clinician, path::part(&foreign.id(), 0, 0), bytes).await.refused(ProblemCode::Forbidden);
        server.part(&begun, 0, 1, &parts[1]).await.ok(201);
        let seal =
            begun.sign_seal(&begun.segment_seal(0, &parts, vault_proto::geometry::BodyEnd::Final, None));
        server.put(clinician, path::seal(&id, 0), seal.bytes().to_vec()).await.ok(201);
        let details = begun.details();
        server.put(clinician, path::details(&id), details.clone()).await.ok(201);
        let last = begun.sign_final(&begun.final_seal(&[seal], &details));
        server.put(clinician, path::final_seal(&id), last.bytes().to_vec()).await.ok(201);
        server.get(patient, path::body(&id, 0)).await.ok(200);
    }
}
