use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::path;

use crate::support::{Call, NOW, Organisation, Person, Server};

async fn server_with_one() -> (Organisation, Person, Server) {
    let organisation = Organisation::new(1);
    let person = organisation.person(10, Role::Patient);
    let server = Server::start(&organisation).await;
    server.enrol(&[&person]).await;
    (organisation, person, server)
}

fn list(person: &Person) -> Call<'_> {
    Call::new(&person.device, Method::GET, path::RECORDINGS, Vec::new())
}

#[tokio::test]
async fn every_spelling_but_one_is_refused() {
    let (_, person, server) = server_with_one().await;
    let good = list(&person).signature();
    let refused = async |headers: Vec<(String, String)>, what: &str| {
        let answer = server.send(Method::GET, path::RECORDINGS, &headers, Vec::new()).await;
        let problem = answer.refused(ProblemCode::SignatureMissing);
        assert_eq!(problem.detail, None, "{what}");
    };
    refused(Vec::new(), "no header").await;
    for left_out in 0..3 {
        let mut headers = good.to_vec();
        headers.remove(left_out);
        refused(headers, "a header is missing").await;
    }
    for doubled in 0..3 {
        let mut headers = good.to_vec();
        headers.push(good[doubled].clone());
        refused(headers, "a header twice").await;
    }
    let changes = [
        (0, "sha-256=", "sha-512="),
        (0, ":", ""),
        (1, "rv=(", "sig1=("),
        (1, "\"@method\" ", ""),
        (1, ";tag=\"recording-vault/v1\"", ""),
        (1, ";tag=", ";alg=\"ed25519\";tag="),
        (1, "created=", "created=+"),
        (2, "rv=:", "rv=::"),
    ];
    for (header, from, to) in changes {
        let mut headers = good.to_vec();
        assert!(headers[header].1.contains(from));
        headers[header].1 = headers[header].1.replacen(from, to, 1);
        refused(headers, to).await;
    }
    server.send(Method::GET, path::RECORDINGS, &good, Vec::new()).await.ok(200);
}

#[tokio::test]
async fn a_signature_is_worth_one_request_on_one_server() {
    let (_, person, server) = server_with_one().await;
    let bent: [fn(&mut Call<'_>); 6] = [
        |call| call.signed_path = Some("/v1/recordings?limit=1".to_owned()),
        |call| {
            call.signed_path = Some(path::RECORDINGS.to_owned());
            call.path = "/v1/recordings?limit=2".to_owned();
        },
        |call| call.signed_path = Some(path::ACCOUNTS.to_owned()),
        |call| call.signed_authority = "vault.example".to_owned(),
        |call| call.signed_authority = "vault.test:8440".to_owned(),
        |call| call.signed_authority = "VAULT.test".to_owned(),
    ];
    for bend in bent {
        let mut call = list(&person);
        bend(&mut call);
        server.call(call).await.refused(ProblemCode::SignatureInvalid);
    }
    let mut other_method = list(&person);
    let headers = other_method.signature();
    other_method.method = Method::HEAD;
    let answer = server.send(Method::HEAD, path::RECORDINGS, &headers, Vec::new()).await;
    assert_eq!(answer.status, 401);
    // Signed for another name, and sent under it: still not this server's.
    let mut elsewhere = list(&person);
    elsewhere.signed_authority = "vault.example".to_owned();
    let mut headers = elsewhere.signature().to_vec();
    headers.push(("host".to_owned(), "vault.example".to_owned()));
    let answer =
        server.http.get(format!("{}{}", server.base(), path::RECORDINGS)).header("host", "vault.example");
    let answer = headers[..3]
        .iter()
        .fold(answer, |answer, (name, value)| answer.header(name, value))
        .send()
        .await
        .unwrap();
    let problem: vault_proto::problem::Problem =
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(problem.known_code(), Some(ProblemCode::SignatureInvalid));
}

/// A proxy may put any name into `Host`, or speak HTTP/1.0 without one: what counts is for whom a request was signed.
#[tokio::test]
async fn the_name_that_a_request_comes_under_decides_nothing() {
    let (_, person, server) = server_with_one().await;
    let send = async |call: &Call<'_>, version: &str, hosts: &[&str]| {
        let mut head = format!("GET {} HTTP/{version}\r\nconnection: close\r\n", call.path);
        for host in hosts {
            head.push_str(&format!("host: {host}\r\n"));
        }
        for (name, value) in call.signature() {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    for (version, hosts) in [
        ("1.1", ["vault.test"].as_slice()),
        ("1.1", &["127.0.0.1:8440"]),
        ("1.1", &["somebody.else"]),
        ("1.1", &["a", "b"]),
        ("1.0", &[]),
        ("1.0", &["upstream"]),
    ] {
        let answer = send(&list(&person), version, hosts).await;
        assert!(answer.split(' ').nth(1) == Some("200"), "{version} {hosts:?}: {answer}");
        let mut elsewhere = list(&person);
        elsewhere.signed_authority = "vault.example".to_owned();
        let answer = send(&elsewhere, version, hosts).await;
        assert!(answer.split(' ').nth(1) == Some("401"), "{version} {hosts:?}: {answer}");
        let names = format!("This server is reached as vault.test, {}.", server.address());
        assert!(answer.contains("signature-invalid") && answer.contains(&names), "{answer}");
    }
    let mut elsewhere = list(&person);
    elsewhere.signed_authority = "vault.example".to_owned();
    let answer = send(&elsewhere, "1.1", &["vault.example"]).await;
    assert!(answer.contains("signature-invalid"), "signed for another and sent under it: {answer}");
}

#[tokio::test]
async fn a_body_must_have_the_signed_digest_and_the_attempt_counts() {
    let (_, person, server) = server_with_one().await;
    let mut call = Call::new(&person.device, Method::POST, path::RECORDINGS, b"{\"other\":1}".to_vec());
    call.signed_body = Some(b"{}".to_vec());
    let headers = call.signature();
    server.call(call).await.refused(ProblemCode::DigestMismatch);
    server
        .send(Method::POST, path::RECORDINGS, &headers, b"{}".to_vec())
        .await
        .refused(ProblemCode::SignatureReplayed);
}

#[tokio::test]
async fn a_request_counts_once_also_after_a_restart() {
    let (_, person, server) = server_with_one().await;
    let headers = list(&person).signature();
    let again =
        async |server: &Server| server.send(Method::GET, path::RECORDINGS, &headers, Vec::new()).await;
    again(&server).await.ok(200);
    again(&server).await.refused(ProblemCode::SignatureReplayed);
    let server = server.restart().await;
    again(&server).await.refused(ProblemCode::SignatureReplayed);
    // Long after, the nonce is forgotten; the request stays refused, also if the clock is then set back.
    server.advance(100_000);
    server.get(&person, path::RECORDINGS).await.ok(200);
    again(&server).await.refused(ProblemCode::SignatureStale);
    server.advance(-100_000);
    again(&server).await.refused(ProblemCode::SignatureStale);
}

#[tokio::test]
async fn a_request_is_fresh_for_two_minutes_either_way() {
    let (_, person, server) = server_with_one().await;
    for (skew, fresh) in [(-121, false), (-120, true), (120, true), (121, false)] {
        let mut call = list(&person);
        call.created = NOW + skew;
        let answer = server.call(call).await;
        if fresh {
            answer.ok(200);
        } else {
            let problem = answer.refused(ProblemCode::SignatureStale);
            assert!(problem.detail.unwrap().contains("2026-11-18T"));
        }
    }
    for extreme in [i64::MIN, i64::MAX, 0] {
        let mut call = list(&person);
        call.created = extreme;
        server.call(call).await.refused(ProblemCode::SignatureStale);
    }
}

#[tokio::test]
async fn keys_that_are_not_enrolled_or_were_removed_are_unknown() {
    let (organisation, person, server) = server_with_one().await;
    let stranger = organisation.person(20, Role::Patient);
    server.get(&stranger, path::RECORDINGS).await.refused(ProblemCode::UnknownKey);
    let mut forged = list(&person);
    let theirs = forged.signature();
    forged.device = &stranger.device;
    let mut headers = forged.signature().to_vec();
    // The stranger's signature under the person's key id.
    headers[1] = theirs[1].clone();
    server
        .send(Method::GET, path::RECORDINGS, &headers, Vec::new())
        .await
        .refused(ProblemCode::SignatureInvalid);
    // The refused attempt used up no nonce of the person's.
    server.send(Method::GET, path::RECORDINGS, &theirs, Vec::new()).await.ok(200);
}
