//! The listener: truth from the real server, lies from [`super::answers`] and [`super::directory`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use vault_client::home_folder::HomeFolder;
use vault_engine::home::account;
use vault_proto::http_signature::{SIGNATURE_INPUT, SignatureInput};
use vault_proto::ids::{AccountId, Digest, OrganisationId, RecordingId};
use vault_proto::timestamp::Timestamp;
use vault_proto::wire::{self, RecordingEntry, RecordingPage};

use super::answers::{self, Accomplice};
use super::directory::OwnKeys;
use super::fault::{Fault, FaultKind};
use super::objects::Objects;
use super::store_view::StoreView;

/// Most bytes of a request that are passed on.
const MAX_REQUEST: usize = 8 * 1024 * 1024;

/// One request that came in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// Bytes of the body.
    pub body: usize,
}

struct Front {
    view: StoreView,
    organisation: OrganisationId,
    inner: String,
    client: reqwest::Client,
    own: OwnKeys,
    accomplice: Mutex<Option<Accomplice>>,
    faults: Mutex<Vec<Fault>>,
    /// Objects that stand in for a recording, whoever asks and whatever is stored.
    stand_ins: Mutex<BTreeMap<(String, Option<AccountId>), Objects>>,
    /// What was handed out once is handed out again: a lie that is drawn anew for each request would not fit together.
    told: Mutex<BTreeMap<(String, Option<AccountId>), Objects>>,
    traffic: Mutex<Vec<Seen>>,
    /// Answers in place of all others, by path and query.
    canned: Mutex<BTreeMap<String, Canned>>,
}

/// An answer that stands whatever is asked and whoever asks.
#[derive(Debug, Clone)]
pub enum Canned {
    /// Status and body.
    Says(u16, Vec<u8>),
    /// No answer at all to a request for bytes that begin behind this one.
    SilentBehind(u64),
}

/// A running hostile server; stopped when dropped.
pub struct HostileServer {
    front: Arc<Front>,
    address: SocketAddr,
    stop: Option<(oneshot::Sender<()>, oneshot::Sender<()>)>,
    runtime: Option<Runtime>,
    inner: Option<tokio::task::JoinHandle<()>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
    Timestamp::EPOCH.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// The organisation of a data folder.
fn organisation_of(data: &Path) -> OrganisationId {
    let text = std::fs::read(data.join("vault.json")).expect("the data folder of a server");
    let description: serde_json::Value = serde_json::from_slice(&text).expect("vault.json is JSON");
    let organisation = description.get("organisation").and_then(|value| value.as_str());
    organisation.expect("an organisation").parse().expect("an organisation")
}

impl HostileServer {
    /// Serves a data folder that the real server made on a free port, truthfully until a fault is switched on.
    pub fn start(data: &Path) -> Self {
        Self::start_on(data, "127.0.0.1:0")
    }

    /// Serves it on an address.
    pub fn start_on(data: &Path, listen: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let listeners = runtime.block_on(async {
            Ok::<_, std::io::Error>((
                TcpListener::bind(listen).await?,
                TcpListener::bind("127.0.0.1:0").await?,
            ))
        });
        let (outer, inner) = listeners.expect("the addresses are free");
        let address = outer.local_addr().expect("an address");
        let inner_address = inner.local_addr().expect("an address");
        let front = Arc::new(Front {
            view: StoreView { data: data.to_owned() },
            organisation: organisation_of(data),
            inner: format!("http://{inner_address}"),
            client: reqwest::Client::builder().no_proxy().build().expect("an HTTP client"),
            own: OwnKeys::generate(organisation_of(data)),
            accomplice: Mutex::default(),
            faults: Mutex::default(),
            stand_ins: Mutex::default(),
            told: Mutex::default(),
            traffic: Mutex::default(),
            canned: Mutex::default(),
        });
        let (stop_inner, inner_stopped) = oneshot::channel::<()>();
        let (stop_outer, outer_stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        // Requests are signed for the address that clients know.
        let config = vault_server::Config {
            authorities: vec![address.to_string().parse().expect("a name")],
            announce: Box::new(move |_| {
                let _ = ready.send(());
            }),
            grace: Duration::ZERO,
            // Whoever edits the index does not look for what contradicts it.
            searches: false,
            ..vault_server::Config::new(data.to_owned())
        };
        let serving = runtime.spawn(async move {
            let served = vault_server::serve(inner, config, async {
                let _ = inner_stopped.await;
            });
            served.await.expect("the real server runs");
        });
        is_ready.recv().expect("the real server starts");
        let router = Router::new().fallback(answer).with_state(Arc::clone(&front));
        runtime.spawn(async move {
            tokio::select! {
                _ = axum::serve(outer, router) => {}
                _ = outer_stopped => {}
            }
        });
        Self {
            front,
            address,
            stop: Some((stop_outer, stop_inner)),
            runtime: Some(runtime),
            inner: Some(serving),
        }
    }

    /// Its address, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Switches a fault on, beside those that are on already.
    pub fn inject(&self, fault: Fault) {
        locked(&self.front.told).clear();
        locked(&self.front.faults).push(fault);
    }

    /// Hands `objects` out as the recording `recording`, to one caller or to everyone.
    pub fn stand_in(&self, recording: &str, objects: Objects, only_for: Option<AccountId>) {
        locked(&self.front.told).clear();
        locked(&self.front.stand_ins).insert((recording.to_owned(), only_for), objects);
    }

    /// Answers every GET of `path`, with its query, so.
    pub fn answer(&self, path: &str, answer: Canned) {
        locked(&self.front.canned).insert(path.to_owned(), answer);
    }

    /// Tells the truth again.
    pub fn clear(&self) {
        locked(&self.front.canned).clear();
        locked(&self.front.told).clear();
        locked(&self.front.faults).clear();
        locked(&self.front.stand_ins).clear();
    }

    /// A reader who helps: the account of `home`.
    pub fn collude_with(&self, home: &Path, passphrase: &str) {
        let (home, passphrase) = (HomeFolder::new(home).home(), secrecy::SecretString::from(passphrase));
        let runtime = self.runtime.as_ref().expect("the server runs");
        let unlocked = runtime.block_on(account::unlock(&home, &passphrase));
        let account::Unlocked { account, device } = unlocked.expect("the accomplice's identity opens");
        let accomplice = Accomplice { identity: account.identity, device };
        *locked(&self.front.accomplice) = Some(accomplice);
    }

    /// The objects of a recording as they are stored.
    pub fn stored(&self, recording: &str) -> Objects {
        self.front.view.objects(recording).expect("the recording is stored")
    }

    /// All stored recordings.
    pub fn recordings(&self) -> Vec<String> {
        self.front.view.recordings()
    }

    /// Id of the recording that [`FaultKind::PlantRecording`] serves.
    pub fn planted(&self) -> RecordingId {
        self.front.own.recording()
    }

    /// Takes what came in since the last call.
    pub fn take_traffic(&self) -> Vec<Seen> {
        std::mem::take(&mut locked(&self.front.traffic))
    }

    /// Stops it; then its stored files can be changed or served again.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        if let Some((outer, inner)) = self.stop.take() {
            let _ = outer.send(());
            let _ = inner.send(());
        }
        if let (Some(runtime), Some(inner)) = (self.runtime.take(), self.inner.take()) {
            let _ = runtime.block_on(inner);
            runtime.shutdown_timeout(Duration::from_secs(5));
            self.await_closed_database();
        }
    }

    /// The database's own thread closes it, and removes its write-ahead log, after the server has ended: who copies or
    /// replaces the files before that gets something in between. One whose folder is gone is left as it is, for ever.
    fn await_closed_database(&self) {
        let database = self.front.view.data.join("vault.db");
        let is_open = || {
            let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
            open.filter_map(|entry| std::fs::read_link(entry.path()).ok())
                .any(|path| path.to_string_lossy().starts_with(&*database.to_string_lossy()))
        };
        while database.exists() && is_open() {
            std::thread::yield_now();
        }
    }
}

impl Drop for HostileServer {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// What a GET asks for.
enum Asked<'a> {
    List,
    Account(&'a str),
    Statements,
    Record(&'a str),
    Key(&'a str),
    Details(&'a str),
    Header(&'a str, usize),
    Parts(&'a str, usize),
    Body(&'a str, usize),
    Other,
}

impl<'a> Asked<'a> {
    fn of(path: &'a str) -> Self {
        let pieces: Vec<&str> = path.split('/').skip(1).collect();
        let segment = |text: &str| text.parse().unwrap_or(usize::MAX);
        match pieces.as_slice() {
            ["v1", "recordings"] => Self::List,
            ["v1", "accounts", account] => Self::Account(account),
            ["v1", "statements"] => Self::Statements,
            ["v1", "recordings", id] => Self::Record(id),
            ["v1", "recordings", id, "keys", "0"] => Self::Key(id),
            ["v1", "recordings", id, "details"] => Self::Details(id),
            ["v1", "recordings", id, "segments", i, "header"] => Self::Header(id, segment(i)),
            ["v1", "recordings", id, "segments", i, "parts"] => Self::Parts(id, segment(i)),
            ["v1", "recordings", id, "segments", i, "body"] => Self::Body(id, segment(i)),
            _ => Self::Other,
        }
    }

    const fn recording(&self) -> Option<&'a str> {
        match self {
            Self::Record(id)
            | Self::Key(id)
            | Self::Details(id)
            | Self::Header(id, _)
            | Self::Parts(id, _)
            | Self::Body(id, _) => Some(id),
            _ => None,
        }
    }
}

async fn answer(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_REQUEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let text = |name| parts.headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let caller = text(header::HeaderName::from_static(SIGNATURE_INPUT))
        .and_then(|value| SignatureInput::parse(value).ok())
        .and_then(|input| front.view.account_of(input.key_id));
    let range = text(header::RANGE).map(str::to_owned);
    locked(&front.traffic).push(Seen {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        range: range.clone(),
        body: body.len(),
    });
    if parts.method == Method::GET {
        let asked = Asked::of(parts.uri.path());
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let canned = locked(&front.canned).get(path).cloned();
        match canned {
            Some(Canned::Says(status, body)) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return (status, body).into_response();
            }
            Some(Canned::SilentBehind(byte)) if first_byte(range.as_deref()) > byte => {
                return std::future::pending().await;
            }
            _ => {}
        }
        let query = parts.uri.query();
        if let Some(lie) = front.lie(&asked, caller, range.as_deref(), query) {
            return lie;
        }
    }
    front
        .truth(
            parts.method,
            parts.uri.path_and_query().map_or("/", |path| path.as_str()),
            parts.headers,
            body,
        )
        .await
}

impl Front {
    async fn truth(&self, method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Response {
        let url = format!("{}{path}", self.inner);
        // The headers go on as they came, `Host` too: the signature covers it.
        let sent = self.client.request(method, url).headers(headers).body(body).send().await;
        let Ok(answer) = sent else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut response = (status, answer.bytes().await.unwrap_or_default()).into_response();
        *response.headers_mut() = headers;
        response
    }

    fn faults(&self, target: &str, caller: Option<AccountId>) -> Vec<Fault> {
        let faults = locked(&self.faults);
        faults.iter().filter(|fault| fault.concerns(target, caller)).cloned().collect()
    }

    /// The lie for a GET, if there is one.
    fn lie(
        &self,
        asked: &Asked<'_>,
        caller: Option<AccountId>,
        range: Option<&str>,
        query: Option<&str>,
    ) -> Option<Response> {
        match asked {
            Asked::List => self.list(caller),
            Asked::Account(account) => self.account(account, caller),
            Asked::Statements => self.statements(query, caller),
            Asked::Other => None,
            _ => {
                let recording = asked.recording()?;
                let faults = self.faults(recording, caller);
                if let Some(lie) = transport_lie(&faults, asked) {
                    return Some(lie);
                }
                let key = (recording.to_owned(), caller);
                let told = locked(&self.told).get(&key).cloned();
                let objects = match told {
                    Some(objects) => objects,
                    None => {
                        let objects = self.objects(recording, caller, &faults)?;
                        locked(&self.told).insert(key, objects.clone());
                        objects
                    }
                };
                Some(hand_out(&objects, asked, &faults, range))
            }
        }
    }

    /// The statements that were asked for, if a recording that this caller was shown lies about one of them.
    fn statements(&self, query: Option<&str>, caller: Option<AccountId>) -> Option<Response> {
        let digests: Vec<Digest> = query
            .unwrap_or_default()
            .split('&')
            .filter_map(|field| field.strip_prefix("digest=")?.parse().ok())
            .collect();
        let told = locked(&self.told);
        let shown: Vec<(BTreeSet<Digest>, &Objects)> = told
            .iter()
            .filter(|((_, of), _)| *of == caller)
            .filter_map(|(_, objects)| Some((objects.manifest()?.named_statements(), objects)))
            .collect();
        let shown_of = |digest: &Digest| shown.iter().find(|(named, _)| named.contains(digest));
        if !digests.iter().any(|digest| shown_of(digest).is_some()) {
            return None;
        }
        let mut statements = Vec::new();
        for digest in &digests {
            let envelope = match shown_of(digest) {
                Some((_, objects)) => objects.statements.get(digest).cloned(),
                None => self.view.statement(digest),
            };
            match envelope {
                Some(envelope) => statements.push(envelope),
                None => return Some(not_found()),
            }
        }
        if self.faults("", caller).iter().any(|fault| fault.kind == FaultKind::FewerStatements) {
            statements.pop();
        }
        Some(axum::Json(wire::Statements { statements }).into_response())
    }

    fn list(&self, caller: Option<AccountId>) -> Option<Response> {
        let faults = self.faults("", caller);
        let has = |kind| faults.iter().any(|fault| fault.kind == kind);
        let hidden: Vec<String> = locked(&self.faults)
            .iter()
            .filter(|fault| fault.kind == FaultKind::HideRecording)
            .filter(|fault| fault.only_for.is_none() || fault.only_for == caller)
            .filter_map(|fault| fault.target.clone())
            .collect();
        let mut page = RecordingPage { recordings: Vec::new(), next: None };
        if has(FaultKind::CrossList) {
            page = self.view.page();
        } else if has(FaultKind::PlantRecording) || has(FaultKind::EndlessList) || !hidden.is_empty() {
            page.recordings =
                self.view.page().recordings.into_iter().filter(|entry| self.is_of(entry, caller)).collect();
        } else {
            return None;
        }
        if has(FaultKind::PlantRecording) {
            page.recordings.push(RecordingEntry {
                recording: self.own.recording(),
                finished: true,
                bytes: 55,
            });
        }
        if has(FaultKind::EndlessList) {
            page.recordings.clear();
            let seen = locked(&self.traffic).len();
            page.next = Some(format!("page-{seen}"));
        }
        page.recordings.retain(|entry| !hidden.contains(&entry.recording.to_string()));
        Some(axum::Json(page).into_response())
    }

    fn is_of(&self, entry: &RecordingEntry, caller: Option<AccountId>) -> bool {
        let manifest = self.view.objects(&entry.recording.to_string()).and_then(|objects| objects.manifest());
        manifest.is_some_and(|manifest| {
            [manifest.patient, manifest.clinician, manifest.sealer].map(Some).contains(&caller)
        })
    }

    fn account(&self, account: &str, caller: Option<AccountId>) -> Option<Response> {
        let faults = self.faults(account, caller);
        let mut entry = None;
        for fault in &faults {
            let concerns_accounts = matches!(
                fault.kind,
                FaultKind::SwapKeyList
                    | FaultKind::OwnKeyList
                    | FaultKind::OldKeyList
                    | FaultKind::EditKeyList
                    | FaultKind::OtherTenantCertificate
            );
            if !concerns_accounts {
                continue;
            }
            let other = fault.with.clone().or_else(|| self.view.another_account(account));
            let other = other.and_then(|other| self.view.directory_entry(&other));
            let truth = entry.or_else(|| self.view.directory_entry(account))?;
            entry = Some(self.own.lie(fault.kind, account.parse().ok()?, truth, other, now()));
        }
        entry.map(|entry| axum::Json(entry).into_response())
    }

    /// The objects to hand out as `recording`; `None` if the real server is to answer.
    fn objects(&self, recording: &str, caller: Option<AccountId>, faults: &[Fault]) -> Option<Objects> {
        let stand_in = {
            let stand_ins = locked(&self.stand_ins);
            let found = stand_ins.get(&(recording.to_owned(), caller));
            found.or_else(|| stand_ins.get(&(recording.to_owned(), None))).cloned()
        };
        if stand_in.is_none() && faults.is_empty() {
            return None;
        }
        if faults.iter().any(|fault| fault.kind == FaultKind::HideRecording) {
            return Some(Objects::default());
        }
        let planted = faults.iter().any(|fault| fault.kind == FaultKind::PlantRecording)
            && recording == self.own.recording().to_string();
        let mut objects = if planted {
            let entry = self.view.directory_entry(&caller?.to_string())?;
            let entry: wire::DirectoryEntry = serde_json::from_value(entry).ok()?;
            self.own.plant_recording(self.organisation, &entry, now())?
        } else {
            stand_in.or_else(|| self.view.objects(recording))?
        };
        let patient = objects.manifest().map(|manifest| manifest.patient);
        for fault in faults {
            let same_patient = fault.kind == FaultKind::SwapRecordingSamePatient;
            let fits = |other: &Objects| {
                !same_patient || other.manifest().map(|manifest| manifest.patient) == patient
            };
            let other = match &fault.with {
                Some(with) => self.view.objects(with),
                None => self.view.another(recording, fits),
            };
            let accomplice = locked(&self.accomplice);
            answers::lie(fault.kind, &mut objects, other.as_ref(), &self.own, accomplice.as_ref());
        }
        Some(objects)
    }
}

fn first_byte(range: Option<&str>) -> u64 {
    let first = range.and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok());
    first.unwrap_or_default()
}

fn transport_lie(faults: &[Fault], asked: &Asked<'_>) -> Option<Response> {
    let has = |kind| faults.iter().any(|fault| fault.kind == kind);
    if has(FaultKind::EndlessAnswer) {
        let endless =
            futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 65_536])));
        return Some(Body::from_stream(endless).into_response());
    }
    if has(FaultKind::Redirect) && matches!(asked, Asked::Body(..)) {
        let elsewhere = [(header::LOCATION, "http://127.0.0.1:9/elsewhere")];
        return Some((StatusCode::TEMPORARY_REDIRECT, elsewhere).into_response());
    }
    None
}

fn not_found() -> Response {
    let problem = vault_proto::problem::Problem::new(vault_proto::problem::ProblemCode::NotFound, None, None);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, vault_proto::problem::PROBLEM_JSON)], body)
        .into_response()
}

fn hand_out(objects: &Objects, asked: &Asked<'_>, faults: &[Fault], range: Option<&str>) -> Response {
    if objects.manifest.is_empty() {
        return not_found();
    }
    let of_segment = |index: usize| objects.segments.get(index);
    match asked {
        Asked::Record(_) => axum::Json(objects.record(now())).into_response(),
        Asked::Key(_) if objects.key.is_empty() => not_found(),
        Asked::Key(_) => objects.key.clone().into_response(),
        Asked::Details(_) => objects.details.clone().into_response(),
        Asked::Header(_, index) => {
            of_segment(*index).map_or_else(not_found, |segment| segment.header.clone().into_response())
        }
        Asked::Parts(_, index) => {
            of_segment(*index).map_or_else(not_found, |segment| segment.parts.clone().into_response())
        }
        Asked::Body(_, index) => {
            of_segment(*index).map_or_else(not_found, |segment| body(&segment.body, faults, range))
        }
        _ => not_found(),
    }
}

fn body(body: &[u8], faults: &[Fault], range: Option<&str>) -> Response {
    let has = |kind| faults.iter().any(|fault| fault.kind == kind);
    let bounds = range
        .and_then(|range| range.strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'))
        .and_then(|(first, last)| Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?)));
    let Some((mut first, mut last)) = bounds.filter(|_| !has(FaultKind::IgnoreRange)) else {
        return body.to_vec().into_response();
    };
    if has(FaultKind::LieAboutRange) {
        (first, last) = (first + 1, last + 1);
    }
    let end = (last + 1).min(body.len());
    match body.get(first..end).filter(|piece| !piece.is_empty()) {
        Some(piece) => {
            let range = [(header::CONTENT_RANGE, format!("bytes {first}-{}/{}", end - 1, body.len()))];
            (StatusCode::PARTIAL_CONTENT, range, piece.to_vec()).into_response()
        }
        None => StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
    }
}
