use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::TestRunner;
use reqwest::Method;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::path;

use crate::support::{Call, Draft, Organisation, Server, clinic};

/// Every route, every body: refused as what it is, never a failure of the server.
#[tokio::test]
async fn no_body_breaks_the_server() {
    let organisation = Organisation::new(1);
    let (patient, recorder) =
        (organisation.person(10, Role::Patient), organisation.person(12, Role::Recorder));
    let clinician = organisation.person(11, Role::Clinician);
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician, &recorder]).await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &recorder);
    server.begin(&draft).await;
    let id = draft.id();
    let routes = [
        (Method::POST, path::ACCOUNTS.to_owned()),
        (Method::POST, path::RECORDINGS.to_owned()),
        (Method::PUT, path::segment(&id, 1)),
        (Method::PUT, path::part(&id, 0, 0)),
        (Method::PUT, path::seal(&id, 0)),
        (Method::PUT, path::details(&id)),
        (Method::PUT, path::final_seal(&id)),
    ];
    let mut runner = TestRunner::deterministic();
    let noise = proptest::collection::vec(proptest::num::u8::ANY, 0..600);
    let valid = [
        draft.create(),
        draft.open(1, 0),
        patient.enrolment(),
        draft.manifest.bytes().to_vec(),
        draft.details(),
        draft.header(0, 0),
    ];
    let mut bodies = vec![
        Vec::new(),
        b"{}".to_vec(),
        b"null".to_vec(),
        b"[".repeat(5000),
        b"{\"manifest\":\"\",\"key\":\"\",\"statements\":[]}".to_vec(),
        b"{\"track\":256,\"header\":\"\"}".to_vec(),
        b"{\"track\":0,\"track\":0,\"header\":\"\"}".to_vec(),
        vec![0xff; 1000],
    ];
    for round in 0..24 {
        bodies.push(noise.new_tree(&mut runner).unwrap().current());
        let mut damaged = valid[round % valid.len()].clone();
        let place = (0..damaged.len()).new_tree(&mut runner).unwrap().current();
        damaged[place] ^= 1 << (round % 8);
        bodies.push(damaged.clone());
        damaged.truncate(place);
        bodies.push(damaged);
    }
    bodies.extend(valid.iter().skip(3).cloned());
    for (method, place) in &routes {
        for body in &bodies {
            let call = Call::new(&recorder.device, method.clone(), place.clone(), body.clone());
            let answer = server.call(call).await;
            // A part is any bytes of a possible length; everything else has a form that noise does not have.
            let may_fit = *place == path::part(&id, 0, 0);
            let status = answer.status;
            if may_fit && status < 300 {
                continue;
            }
            assert!((400..500).contains(&status), "{method} {place}: {status}");
            answer.problem();
            // Unsigned, the same body gets no further than the headers.
            server
                .send(method.clone(), place, &[], body.clone())
                .await
                .refused(ProblemCode::SignatureMissing);
        }
    }
}

#[tokio::test]
async fn bodies_have_their_limits() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let id = draft.id();
    let limits = [
        (Method::POST, path::ACCOUNTS.to_owned(), 300 << 10),
        (Method::POST, path::RECORDINGS.to_owned(), 2 << 20),
        (Method::PUT, path::segment(&id, 0), 2 << 20),
        (Method::PUT, path::part(&id, 0, 0), 983_296),
        (Method::PUT, path::seal(&id, 0), 8 << 10),
        (Method::PUT, path::details(&id), 4 << 20),
        (Method::PUT, path::final_seal(&id), 8 << 10),
        (Method::GET, path::RECORDINGS.to_owned(), 0),
    ];
    for (method, place, limit) in limits {
        let too_large = Call::new(&clinician.device, method.clone(), place.clone(), vec![b' '; limit + 1]);
        server.call(too_large).await.refused(ProblemCode::TooLarge);
        // Without a length up front, the limit is found out on the way; a GET is sent without such a body.
        if method != Method::GET {
            let call = Call::new(&clinician.device, method.clone(), place.clone(), vec![b' '; limit + 1]);
            let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
                call.body.chunks(100_000).map(|piece| Ok(piece.to_vec())).collect();
            let request = server.http.request(method.clone(), format!("{}{place}", server.base()));
            let request = call
                .signature()
                .iter()
                .fold(request.header("host", "vault.test"), |request, (name, value)| {
                    request.header(name, value)
                });
            let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
            // The server may answer and close before everything was sent.
            if let Ok(answer) = request.body(stream).send().await {
                assert_eq!(answer.status().as_u16(), 413, "{method} {place}");
            }
        }
        let fits = Call::new(&clinician.device, method, place, vec![b' '; limit]);
        assert_ne!(server.call(fits).await.status, 413);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let organisation = Organisation::new(1);
    let server = Server::start(&organisation).await;
    for place in ["/", "/v2/server", "/v1/recordings/", "/v1/recordings/x/y", "/v1/%ff"] {
        server.send(Method::GET, place, &[], Vec::new()).await.refused(ProblemCode::NotFound);
    }
    for (method, place) in [
        (Method::DELETE, "/v1/recordings"),
        (Method::POST, "/v1/server"),
        (Method::PATCH, "/v1/recordings/x/details"),
        (Method::PUT, "/healthz"),
    ] {
        let answer = server.send(method, place, &[], Vec::new()).await;
        answer.refused(ProblemCode::MethodNotAllowed);
        assert!(answer.headers.contains_key("allow"));
    }
    let forged = [("x-request-id".to_owned(), "mine".to_owned())];
    let answer = server.send(Method::GET, "/healthz", &forged, Vec::new()).await.ok(200);
    assert_ne!(answer.headers["x-request-id"], "mine");
}
