//! Whatever one does, or a handful, everybody else goes on: lists, reads, uploads, replaces keys and enrols.

use futures_util::future::join_all;
use futures_util::stream::pending;
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use vault_proto::ids::RecordingId;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::{Enrol, MAX_DETAILS, path};
use vault_server::limits::Limits;

use crate::support::{Call, Draft, Organisation, PATIENT, Person, Server, who_takes_nothing};

struct Scene {
    organisation: Organisation,
    server: Server,
    patient: Person,
    clinician: Person,
    hostile: Vec<Person>,
}

impl Scene {
    async fn new(hostile: u8) -> Self {
        Self::with(hostile, PATIENT).await
    }

    async fn with(hostile: u8, limits: Limits) -> Self {
        let organisation = Organisation::new(1);
        let patient = organisation.person(10, Role::Patient);
        let clinician = organisation.person(11, Role::Clinician);
        // Pairs that can have recordings of their own.
        let role = |number| if number % 2 == 0 { Role::Patient } else { Role::Clinician };
        let hostile: Vec<Person> =
            (0..hostile).map(|number| organisation.person(20 + number, role(number))).collect();
        let server = Server::start_with(&organisation, limits).await;
        server.enrol(&[&patient, &clinician]).await;
        server.enrol(&hostile.iter().collect::<Vec<_>>()).await;
        Self { organisation, server, patient, clinician, hostile }
    }

    /// What people do who have nothing to do with the attack.
    async fn everybody_else_goes_on(&mut self) {
        let Self { organisation, server, patient, clinician, .. } = self;
        server.get(patient, path::RECORDINGS).await.ok(200);
        let draft = Draft::new(organisation, 1, patient, clinician, clinician);
        let body = server.finish(&draft, 3_000_000).await;
        server.get(patient, path::recording(&draft.id())).await.ok(200);
        assert!(server.get(patient, path::body(&draft.id(), 0)).await.ok(200).body == body);
        server.get(patient, path::details(&draft.id())).await.ok(200);
        server.get(patient, path::account(&clinician.account())).await.ok(200);
        let device = patient.device.clone();
        patient.key_list = patient.next_key_list(&[&device]);
        server.post(patient, path::ACCOUNTS, patient.enrolment()).await.ok(200);
        server.enrol(&[&organisation.person(40, Role::Patient)]).await;
    }

    fn address(&self) -> std::net::SocketAddr {
        self.server.address()
    }
}

/// The first bytes of what a server says: version and status.
async fn status(stream: &mut TcpStream) -> String {
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

/// Begins a request whose body the server waits for, and sends `first` of it; `Err` with the status if it does not
/// wait.
async fn begun(scene: &Scene, call: &Call<'_>, length: usize, first: &[u8]) -> Result<TcpStream, String> {
    let head = format!("{}expect: 100-continue\r\n\r\n", call.head(length));
    let mut stream = TcpStream::connect(scene.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = status(&mut stream).await;
    if answer != "HTTP/1.1 100" {
        return Err(answer);
    }
    let mut rest = [0; 13];
    stream.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b" Continue\r\n\r\n");
    stream.write_all(first).await.unwrap();
    Ok(stream)
}

/// As many of these as the server takes, but no more than `most`.
async fn as_many_as_possible<'a>(
    scene: &Scene,
    most: usize,
    call: impl Fn() -> Call<'a>,
    length: usize,
    first: &[u8],
) -> Vec<TcpStream> {
    let mut held = Vec::new();
    while held.len() < most {
        match begun(scene, &call(), length, first).await {
            Ok(stream) => held.push(stream),
            Err(refused) => {
                assert_eq!(refused, "HTTP/1.1 503");
                break;
            }
        }
    }
    held
}

#[tokio::test]
async fn strangers_who_say_nothing_keep_nobody_out() {
    let mut scene = Scene::new(0).await;
    let stranger = scene.organisation.person(50, Role::Patient);
    let body = stranger.enrolment();
    let enrolment = || Call::new(&stranger.device, Method::POST, path::ACCOUNTS, body.clone());
    // Somebody known, whose body is under way: no stranger takes that place.
    let device = scene.patient.device.clone();
    let list = scene.patient.next_key_list(&[&device]);
    let renewal = Enrol { chain: scene.patient.chain.clone(), key_list: list.clone() };
    let renewal = serde_json::to_vec(&renewal).unwrap();
    let call = Call::new(&device, Method::POST, path::ACCOUNTS, renewal.clone());
    let mut known = begun(&scene, &call, renewal.len(), &renewal[..10]).await.unwrap();
    let silent = as_many_as_possible(&scene, 100, enrolment, body.len(), b"{\"chain\":").await;
    assert_eq!(silent.len(), 100, "each newcomer has a place");
    known.write_all(&renewal[10..]).await.unwrap();
    assert_eq!(status(&mut known).await, "HTTP/1.1 200");
    scene.patient.key_list = list;
    scene.everybody_else_goes_on().await;

    // The one that has been silent longest gave way; the last one sends the rest, and is enrolled.
    let (mut first, mut last) = {
        let mut silent = silent.into_iter();
        (silent.next().unwrap(), silent.next_back().unwrap())
    };
    assert_eq!(status(&mut first).await, "HTTP/1.1 503");
    last.write_all(&body[b"{\"chain\":".len()..]).await.unwrap();
    assert_eq!(status(&mut last).await, "HTTP/1.1 201");
}

/// A known device's submission is checked like any other request of its account before its body is awaited.
#[tokio::test]
async fn a_known_key_is_checked_before_its_submission_is_awaited() {
    let scene = Scene::new(0).await;
    let patient = &scene.patient;
    let body = patient.enrolment();
    let call = || Call::new(&patient.device, Method::POST, path::ACCOUNTS, body.clone());
    let mut other = call();
    other.signed_path = Some("/v1/account".to_owned());
    assert_eq!(begun(&scene, &other, body.len(), b"").await.unwrap_err(), "HTTP/1.1 401");
    let (mut first, mut repeated) = (call(), call());
    (first.nonce, repeated.nonce) = ([9; 16], [9; 16]);
    let mut waiting = begun(&scene, &first, body.len(), b"{").await.unwrap();
    scene.server.call(repeated).await.refused(ProblemCode::SignatureReplayed);
    let held = as_many_as_possible(&scene, 100, call, body.len(), b"{").await;
    assert_eq!(held.len(), 31, "they are requests of the account");
    waiting.write_all(&body[1..]).await.unwrap();
    assert_eq!(status(&mut waiting).await, "HTTP/1.1 200");
    begun(&scene, &call(), body.len(), b"{").await.unwrap();
}

/// Where no body belongs none is awaited, however it is announced.
#[tokio::test]
async fn a_body_where_none_belongs_is_refused_at_once() {
    let mut scene = Scene::new(4).await;
    let mut held = Vec::new();
    for person in &scene.hostile {
        let other = scene.patient.account();
        for (method, place) in
            [(Method::GET, path::RECORDINGS.to_owned()), (Method::DELETE, path::comparison(&other))]
        {
            for announced in ["transfer-encoding: chunked", "content-length: 5"] {
                for _ in 0..16 {
                    let call = Call::new(&person.device, method.clone(), place.clone(), Vec::new());
                    let head = call.head(0).replace("content-length: 0", announced);
                    let mut stream = TcpStream::connect(scene.address()).await.unwrap();
                    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
                    assert_eq!(status(&mut stream).await, "HTTP/1.1 413");
                    held.push(stream);
                }
            }
        }
    }
    let person = &scene.hostile[0];
    let http = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let mut call = Call::new(&person.device, Method::GET, path::RECORDINGS, Vec::new());
    call.signed_authority = scene.address().to_string();
    let request = http.get(format!("{}{}", scene.server.base(), call.path));
    let request = call.signature().iter().fold(request, |request, (name, value)| request.header(name, value));
    let endless = pending::<Result<Vec<u8>, std::io::Error>>();
    let answer = request.body(reqwest::Body::wrap_stream(endless)).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    // The length of nothing may be said.
    scene.server.send(Method::GET, path::HEALTHZ, &[], Vec::new()).await.ok(200);
    let call = Call::new(&person.device, Method::GET, path::RECORDINGS, Vec::new());
    let mut stream = TcpStream::connect(scene.address()).await.unwrap();
    stream.write_all(format!("{}\r\n", call.head(0)).as_bytes()).await.unwrap();
    assert_eq!(status(&mut stream).await, "HTTP/1.1 200");
    scene.everybody_else_goes_on().await;
}

#[tokio::test]
async fn bodies_that_do_not_come_keep_nobody_out() {
    let mut scene = Scene::new(8).await;
    let mut held = Vec::new();
    for person in &scene.hostile {
        let place = path::details(&RecordingId::from_bytes([9; 16]));
        let call = || Call::new(&person.device, Method::PUT, place.clone(), Vec::new());
        held.push(as_many_as_possible(&scene, 64, call, 1000, b"x").await);
    }
    let numbers: Vec<usize> = held.iter().map(Vec::len).collect();
    assert_eq!(numbers, [32, 32, 32, 32, 32, 32, 32, 16]);
    scene.everybody_else_goes_on().await;
}

#[tokio::test]
async fn large_bodies_that_do_not_end_keep_nobody_out() {
    let mut scene = Scene::new(8).await;
    let most = vec![b'x'; MAX_DETAILS - 1000];
    let mut held = Vec::new();
    for person in &scene.hostile {
        let place = path::details(&RecordingId::from_bytes([9; 16]));
        let call = Call::new(&person.device, Method::PUT, place, Vec::new());
        let mut stream = begun(&scene, &call, MAX_DETAILS, &most[..100_000]).await.unwrap();
        // All that is taken; of the last the server takes no more than the beginning.
        held.push(tokio::spawn({
            let rest = most[100_000..].to_vec();
            async move {
                let _ = stream.write_all(&rest).await;
                stream
            }
        }));
    }
    scene.everybody_else_goes_on().await;
    for one in held {
        one.abort();
    }
}

/// A reader whose socket holds little, so that what is sent to it stands still.
async fn stalled(scene: &Scene, call: &Call<'_>) -> (String, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(scene.address()).await.unwrap();
    stream.write_all(format!("{}\r\n", call.head(0)).as_bytes()).await.unwrap();
    (status(&mut stream).await, stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_who_take_nothing_keep_nobody_out() {
    let mut scene = Scene::new(4).await;
    let mut held = Vec::new();
    for pair in scene.hostile.chunks(2) {
        let draft = Draft::new(&scene.organisation, held.len() as u64 + 2, &pair[0], &pair[1], &pair[1]);
        scene.server.finish(&draft, 12_000_000).await;
        for person in pair {
            let place = path::body(&draft.id(), 0);
            for number in 0.. {
                let call = Call::new(&person.device, Method::GET, place.clone(), Vec::new());
                let (answer, stream) = stalled(&scene, &call).await;
                if answer != "HTTP/1.1 200" {
                    assert_eq!((answer.as_str(), number), ("HTTP/1.1 503", 16));
                    break;
                }
                held.push(stream);
            }
        }
    }
    scene.everybody_else_goes_on().await;
}

/// Threads that wait for one account's things are few: here for a disk that does not answer, and for the lock of a
/// recording behind it.
#[test]
fn work_that_does_not_end_keeps_nobody_out() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(32).build().unwrap();
    runtime.block_on(async {
        let mut scene = Scene::new(2).await;
        let draft =
            Draft::new(&scene.organisation, 7, &scene.hostile[0], &scene.hostile[1], &scene.hostile[1]);
        scene.server.finish(&draft, 1000).await;
        let file = scene.server.data().join(format!("blobs/rec/{}/details", draft.id()));
        std::fs::remove_file(&file).unwrap();
        let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
        rustix::fs::mknodat(rustix::fs::CWD, &file, fifo, mode, 0).unwrap();
        let mut held = Vec::new();
        for person in &scene.hostile {
            for _ in 0..32 {
                let call = Call::new(&person.device, Method::GET, path::details(&draft.id()), Vec::new());
                let mut stream = TcpStream::connect(scene.address()).await.unwrap();
                stream.write_all(format!("{}\r\n", call.head(0)).as_bytes()).await.unwrap();
                held.push(stream);
            }
        }
        scene.everybody_else_goes_on().await;
        // Who waited for the disk is answered once it says something.
        let says = std::fs::OpenOptions::new().read(true).write(true).open(&file).unwrap();
        std::fs::rename(scene.server.data().join("vault.json"), &file).unwrap();
        drop(says);
        let answers = join_all(held.iter_mut().map(status)).await;
        assert_eq!(answers, vec!["HTTP/1.1 500"; 64]);
    });
}

/// While strangers keep all the connections that they can get busy, that of somebody known stays open between two
/// requests, however long ago the last one was.
#[tokio::test]
async fn busy_strangers_close_no_connection_of_somebody_known() {
    let scene = Scene::with(0, Limits { connections: 8, ..PATIENT }).await;
    let mut known = TcpStream::connect(scene.address()).await.unwrap();
    let mut get = async |number: usize| {
        let call = Call::new(&scene.patient.device, Method::GET, path::RECORDINGS, Vec::new());
        known.write_all(format!("{}\r\n", call.head(0)).as_bytes()).await.unwrap();
        assert_eq!(status(&mut known).await, "HTTP/1.1 200", "after {number} strangers");
        // The rest of the answer, which ends with a page without recordings.
        let mut rest = Vec::new();
        while !rest.ends_with(b"}") {
            let mut byte = [0];
            known.read_exact(&mut byte).await.unwrap();
            rest.extend(byte);
        }
    };
    get(0).await;
    let stranger = scene.organisation.person(50, Role::Patient);
    let body = stranger.enrolment();
    let mut held = Vec::new();
    for number in 1..=24 {
        let call = Call::new(&stranger.device, Method::POST, path::ACCOUNTS, body.clone());
        held.push(begun(&scene, &call, body.len(), b"{").await.unwrap());
        if number % 8 == 0 {
            get(number).await;
        }
    }
}

/// Connections whose answers are never taken, by whomever, are no better than idle ones.
#[tokio::test]
async fn answers_that_nobody_takes_keep_nobody_out() {
    let mut scene = Scene::with(0, Limits { connections: 8, ..PATIENT }).await;
    let url = format!("{}{}", scene.server.base(), path::HEALTHZ);
    let mut held = Vec::new();
    for _ in 0..8 {
        let http = who_takes_nothing();
        let answer = http.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        held.push((http, answer));
    }
    scene.everybody_else_goes_on().await;
}
