use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use vault_proto::http_signature::{
    CONTENT_DIGEST, CoveredHeader, Nonce, RequestTarget, SIGNATURE, SIGNATURE_INPUT, SignatureInput,
    content_digest_value, signature_value,
};
use vault_proto::ids::{Digest, KeyId};
use vault_proto::problem::{PROBLEM_JSON, Problem, ProblemCode};
use vault_proto::statements::Role;
use vault_proto::wire::path;
use vault_server::data_folder::init;
use vault_server::limits::Limits;
use vault_server::ops::leftovers::Collection;
use vault_server::{Config, ServerError, serve};

use super::people::{at, public};
use super::{Draft, Organisation, Person, SmallDisk};

/// The servers' clock, unless a test turns it: seconds since 1970.
pub(crate) const NOW: i64 = 1_795_000_000;

/// A name that every test server answers to, whatever its port is after a restart.
const NAME: &str = "vault.test";

static NONCES: AtomicU64 = AtomicU64::new(1);

/// A running server on a folder of its own.
pub(crate) struct Server {
    data: tempfile::TempDir,
    pub(crate) clock: Arc<AtomicI64>,
    pub(crate) http: reqwest::Client,
    base: String,
    address: SocketAddr,
    limits: Limits,
    collections: mpsc::UnboundedReceiver<Collection>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), ServerError>>,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A signed request; each field can be bent before it is sent.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    pub(crate) device: &'a SigningKey,
    pub(crate) created: i64,
    pub(crate) nonce: [u8; 16],
    pub(crate) signed_authority: String,
    pub(crate) signed_path: Option<String>,
    pub(crate) signed_body: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, String)>,
    /// The header that is signed too; by default the one that is sent.
    pub(crate) signed_header: Option<Option<(CoveredHeader, String)>>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(
        device: &'a SigningKey,
        method: Method,
        path: impl Into<String>,
        body: Vec<u8>,
    ) -> Self {
        let mut nonce = [0x5a; 16];
        nonce[8..].copy_from_slice(&NONCES.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        Self {
            method,
            path: path.into(),
            body,
            device,
            created: NOW,
            nonce,
            signed_authority: NAME.to_owned(),
            signed_path: None,
            signed_body: None,
            headers: Vec::new(),
            signed_header: None,
        }
    }

    /// The head of the request as it is sent over a bare socket, without the empty line at its end.
    pub(crate) fn head(&self, length: usize) -> String {
        let mut head =
            format!("{} {} HTTP/1.1\r\nhost: {NAME}\r\ncontent-length: {length}\r\n", self.method, self.path);
        for (name, value) in self.signature() {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    /// The three headers of the profile.
    pub(crate) fn signature(&self) -> [(String, String); 3] {
        let sent = || {
            CoveredHeader::ALL.into_iter().find_map(|covered| {
                let mut headers = self.headers.iter();
                Some((covered, headers.find(|(name, _)| *name == covered.name())?.1.clone()))
            })
        };
        let covered = self.signed_header.clone().unwrap_or_else(sent);
        let input = SignatureInput {
            created: self.created,
            nonce: Nonce::from_bytes(self.nonce),
            key_id: KeyId::of_device(&public(self.device)),
            covered: covered.as_ref().map(|(header, _)| *header),
        };
        let whole = self.signed_path.as_ref().unwrap_or(&self.path);
        let (path, query) =
            whole.split_once('?').map_or((whole.as_str(), None), |(path, query)| (path, Some(query)));
        let content_digest = Digest::of(self.signed_body.as_ref().unwrap_or(&self.body));
        let target = RequestTarget {
            method: self.method.as_str(),
            authority: &self.signed_authority,
            path,
            query,
            content_digest,
            covered: covered.as_ref().map(|(header, value)| (*header, value.as_str())),
        };
        let signature = self.device.sign(&target.signature_base(&input)).to_bytes();
        [
            (CONTENT_DIGEST.to_owned(), content_digest_value(&content_digest)),
            (SIGNATURE_INPUT.to_owned(), input.to_string()),
            (SIGNATURE.to_owned(), signature_value(&signature)),
        ]
    }
}

impl Answer {
    /// Checks that this is the problem document of `code`, whole and consistent.
    #[track_caller]
    pub(crate) fn refused(&self, code: ProblemCode) -> Problem {
        let problem = self.problem();
        assert_eq!(problem.known_code(), Some(code), "{problem:?}");
        problem
    }

    #[track_caller]
    pub(crate) fn problem(&self) -> Problem {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(
            self.headers.get("content-type").map(|v| v.to_str().unwrap()),
            Some(PROBLEM_JSON),
            "{} {text}",
            self.status
        );
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        let code = problem.known_code().unwrap();
        assert_eq!((problem.status, self.status), (code.status(), code.status()));
        assert_eq!(problem.problem_type, format!("urn:recording-vault:problem:{}", problem.code));
        assert_eq!(problem.title, code.title());
        let id = self.headers.get("x-request-id").unwrap().to_str().unwrap();
        assert_eq!(problem.request_id.as_deref(), Some(id));
        problem
    }

    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Self {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]);
        assert_eq!(self.status, status, "{text}");
        assert_eq!(self.headers.get("x-request-id").unwrap().len(), 32);
        self
    }

    #[track_caller]
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Server {
    pub(crate) async fn start(organisation: &Organisation) -> Self {
        Self::start_with(organisation, Limits::default()).await
    }

    pub(crate) async fn start_with(organisation: &Organisation, limits: Limits) -> Self {
        let data = tempfile::tempdir().unwrap();
        init(data.path(), organisation.id()).unwrap();
        Self::on(data, Arc::new(AtomicI64::new(NOW)), limits).await
    }

    /// On a disk of its own of so many bytes, which the test can fill; `None` if it may not mount one.
    pub(crate) async fn start_on_small_disk(
        organisation: &Organisation,
        bytes: u64,
        limits: Limits,
    ) -> Option<(Self, SmallDisk)> {
        let data = tempfile::tempdir().unwrap();
        let Some(disk) = SmallDisk::mount(data.path(), bytes) else {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must be able to mount a small disk");
            println!("SKIPPED: only root can mount a small disk");
            return None;
        };
        init(data.path(), organisation.id()).unwrap();
        Some((Self::on(data, Arc::new(AtomicI64::new(NOW)), limits).await, disk))
    }

    async fn on(data: tempfile::TempDir, clock: Arc<AtomicI64>, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let (ready, announced) = oneshot::channel();
        let (found, collections) = mpsc::unbounded_channel();
        let time = Arc::clone(&clock);
        let config = Config {
            authorities: [&NAME.to_uppercase(), &address.to_string()]
                .map(|name| name.parse().unwrap())
                .to_vec(),
            clock: Arc::new(move || at(time.load(Ordering::SeqCst))),
            announce: Box::new(move |_| ready.send(()).unwrap()),
            // Longer than any test: what ends a test's server is not the end of patience.
            grace: Duration::from_secs(3600),
            limits,
            collected: Box::new(move |done| {
                // Nobody asks for it after the server was stopped.
                let _ = found.send(done);
            }),
            ..Config::new(data.path().to_owned())
        };
        let running = tokio::spawn(serve(listener, config, async {
            let _ = stopped.await;
        }));
        announced.await.unwrap();
        Self {
            data,
            clock,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            base: format!("http://{address}"),
            address,
            limits,
            collections,
            stop,
            running,
        }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the next search for leftovers did.
    pub(crate) async fn collected(&mut self) -> Collection {
        self.collections.recv().await.unwrap()
    }

    /// Stops the server; returns once it has ended.
    pub(crate) async fn stop(self) -> tempfile::TempDir {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
        self.data
    }

    /// Stops the server and starts another on the same folder.
    pub(crate) async fn restart(self) -> Self {
        let limits = self.limits;
        self.restart_with(limits).await
    }

    /// The same with other limits.
    pub(crate) async fn restart_with(self, limits: Limits) -> Self {
        let clock = Arc::clone(&self.clock);
        Self::on(self.stop().await, clock, limits).await
    }

    /// The same, with something done to the folder in between.
    pub(crate) async fn restart_after(self, change: impl FnOnce()) -> Self {
        let (clock, limits) = (Arc::clone(&self.clock), self.limits);
        let data = self.stop().await;
        change();
        Self::on(data, clock, limits).await
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Sends a request with these headers and no others of ours.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(String, String)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).header("host", NAME).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    pub(crate) async fn call(&self, call: Call<'_>) -> Answer {
        let mut headers = call.signature().to_vec();
        headers.extend(call.headers.clone());
        self.send(call.method, &call.path, &headers, call.body).await
    }

    pub(crate) async fn get(&self, person: &Person, path: impl Into<String>) -> Answer {
        let mut call = Call::new(&person.device, Method::GET, path, Vec::new());
        call.created = self.now();
        self.call(call).await
    }

    /// The server's time.
    pub(crate) fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub(crate) async fn put(&self, person: &Person, path: impl Into<String>, body: Vec<u8>) -> Answer {
        let mut call = Call::new(&person.device, Method::PUT, path, body);
        call.created = self.now();
        self.call(call).await
    }

    pub(crate) async fn post(&self, person: &Person, path: &str, body: Vec<u8>) -> Answer {
        let mut call = Call::new(&person.device, Method::POST, path, body);
        call.created = self.now();
        self.call(call).await
    }

    pub(crate) async fn enrol(&self, people: &[&Person]) {
        for person in people {
            self.post(person, path::ACCOUNTS, person.enrolment()).await.ok(201);
        }
    }

    pub(crate) async fn create(&self, draft: &Draft<'_>) {
        self.post(draft.sealer, path::RECORDINGS, draft.create()).await.ok(201);
    }

    /// Creates a recording and opens its first segment.
    pub(crate) async fn begin(&self, draft: &Draft<'_>) {
        self.create(draft).await;
        self.open(draft, 0).await.ok(201);
    }

    pub(crate) async fn open(&self, draft: &Draft<'_>, index: u32) -> Answer {
        let place = path::segment(&draft.id(), index);
        self.put(draft.sealer, place, draft.open(index, 0)).await
    }

    pub(crate) async fn part(&self, draft: &Draft<'_>, index: u32, part: u32, bytes: &[u8]) -> Answer {
        let place = path::part(&draft.id(), index, part);
        self.put(draft.sealer, place, bytes.to_vec()).await
    }

    /// Fills and finishes a recording of one segment; returns its body.
    pub(crate) async fn finish(&self, draft: &Draft<'_>, plaintext: u64) -> Vec<u8> {
        self.create(draft).await;
        let parts = draft.parts(0, plaintext);
        self.finish_from(draft, &parts).await;
        parts.concat()
    }

    /// Fills and finishes a recording that exists and has no segment.
    pub(crate) async fn finish_from(&self, draft: &Draft<'_>, parts: &[Vec<u8>]) {
        self.open(draft, 0).await.ok(201);
        for (number, part) in (0..).zip(parts) {
            self.part(draft, 0, number, part).await.ok(201);
        }
        let end = vault_proto::geometry::BodyEnd::Final;
        let seal = draft.sign_seal(&draft.segment_seal(0, parts, end, None));
        let id = draft.id();
        self.put(draft.sealer, path::seal(&id, 0), seal.bytes().to_vec()).await.ok(201);
        let details = draft.details();
        self.put(draft.sealer, path::details(&id), details.clone()).await.ok(201);
        let last = draft.sign_final(&draft.final_seal(&[seal], &details));
        self.put(draft.sealer, path::final_seal(&id), last.bytes().to_vec()).await.ok(201);
    }
}

/// A server at which a patient and a clinician are enrolled.
pub(crate) async fn clinic() -> (Organisation, Person, Person, Server) {
    let organisation = Organisation::new(1);
    let (patient, clinician) =
        (organisation.person(10, Role::Patient), organisation.person(11, Role::Clinician));
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician]).await;
    (organisation, patient, clinician, server)
}
