use std::time::Duration;

use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vault_proto::statements::Role;
use vault_proto::wire::path;
use vault_server::limits::Limits;

use crate::support::{Call, Draft, Organisation, Server, clinic};

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3600);

/// Beginnings of a connection that never go on.
const HALVES: [&[u8]; 5] = [
    b"",
    b"PRI * HTT",
    b"GET /heal",
    b"GET /healthz HTTP/1.1\r\nhost: vault.test\r\nx-slow: ",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

async fn begun(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Reads until the server closes; that it was closed with something unread is one of the ways.
async fn until_closed(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

/// A connection on which one request was answered, and which stays open.
async fn idle(server: &Server) -> TcpStream {
    let mut stream = begun(server, b"GET /healthz HTTP/1.1\r\nhost: vault.test\r\n\r\n").await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        answer.push(byte[0]);
    }
    stream
}

#[tokio::test]
async fn who_does_not_go_on_is_closed() {
    let limits = Limits { header_time: SHORT, ..Limits::default() };
    let server = Server::start_with(&Organisation::new(1), limits).await;
    for half in HALVES {
        let stream = begun(&server, half).await;
        let answer = until_closed(stream).await;
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(half));
    }
    assert!(until_closed(idle(&server).await).await.is_empty());
    server.send(Method::GET, path::HEALTHZ, &[], Vec::new()).await.ok(200);
}

/// As many connections as there may be, all of them silent, half-open or idle: whoever comes is served, and the one
/// that has been without a request longest goes.
#[tokio::test]
async fn connections_without_a_request_make_room() {
    let limits = Limits { connections: 6, header_time: LONG, ..Limits::default() };
    let server = Server::start_with(&Organisation::new(1), limits).await;
    let mut kept = vec![idle(&server).await];
    for half in HALVES {
        kept.push(begun(&server, half).await);
    }
    let mut newcomers = Vec::new();
    for stream in kept {
        newcomers.push(idle(&server).await);
        until_closed(stream).await;
    }
    // None of those that came later was closed for them.
    for mut stream in newcomers {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: vault.test\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
}

/// Half-open connections, and a patience of an hour: the server ends without either.
#[tokio::test]
async fn half_open_connections_do_not_hold_up_the_end() {
    let limits = Limits { header_time: LONG, ..Limits::default() };
    let server = Server::start_with(&Organisation::new(1), limits).await;
    let mut kept = vec![idle(&server).await];
    for half in HALVES {
        kept.push(begun(&server, half).await);
    }
    server.stop().await;
    for stream in kept {
        until_closed(stream).await;
    }
}

/// A request that is being answered at the shutdown is finished.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_request_is_finished_at_the_end() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.create(&draft).await;
    let place = path::segment(&draft.id(), 0);
    let body = draft.open(0, 0);
    let call = Call::new(&clinician.device, Method::PUT, place, body.clone());
    // The server asks for the body once it has checked the head.
    let head = format!("{}expect: 100-continue\r\n\r\n", call.head(body.len()));
    let mut stream = begun(&server, head.as_bytes()).await;
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    let stopped = tokio::spawn(server.stop());
    stream.write_all(&body).await.unwrap();
    let answer = until_closed(stream).await;
    assert!(answer.starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&answer));
    stopped.await.unwrap();
}

/// A reader who takes nothing loses the connection: writing into it fails once the server has closed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_takes_nothing_is_closed() {
    let organisation = Organisation::new(1);
    let (patient, clinician) =
        (organisation.person(10, Role::Patient), organisation.person(11, Role::Clinician));
    let limits = Limits { stall_time: SHORT, ..Limits::default() };
    let server = Server::start_with(&organisation, limits).await;
    server.enrol(&[&patient, &clinician]).await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.finish(&draft, 24_000_000).await;
    let place = path::body(&draft.id(), 0);
    let call = Call::new(&patient.device, Method::GET, place.clone(), Vec::new());
    let mut stream = begun(&server, format!("{}\r\n", call.head(0)).as_bytes()).await;
    while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}

    // On HTTP/2 the connection itself goes on taking bytes: what stands still is one stream. A request whose body never
    // ends waits on the same connection for its end.
    let http = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .http2_initial_stream_window_size(65_535)
        .build()
        .unwrap();
    let request = |call: &Call<'_>| {
        let request = http.request(call.method.clone(), format!("{}{}", server.base(), call.path));
        call.signature().iter().fold(request, |request, (name, value)| request.header(name, value))
    };
    let own_name = server.address().to_string();
    let mut get = Call::new(&patient.device, Method::GET, place, Vec::new());
    get.signed_authority = own_name.clone();
    let answer = request(&get).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.status(), 200);
    let mut never = Call::new(&clinician.device, Method::PUT, path::details(&draft.id()), Vec::new());
    never.signed_authority = own_name;
    let endless = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let ended = request(&never).body(reqwest::Body::wrap_stream(endless)).send().await;
    assert!(ended.is_err(), "{ended:?}");
}
