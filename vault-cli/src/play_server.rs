//! A server on this machine's own address that a player can seek in. What it hands out was checked part by part, and is
//! in memory only.
//!
//! Whoever can guess the address could watch, so it holds 128 random bits and is never an argument of a program. A page
//! of another site that makes the browser ask here (DNS rebinding) names another host, and gets nothing.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST,
    RANGE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use futures_util::stream;
use maud::{DOCTYPE, html};
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use vault_client::ClientError;
use vault_engine::media_type::{file_extension, playable};
use vault_engine::opening::track::RemoteTrack;
use vault_proto::byte_ranges::{Requested, requested};

use crate::failure::{self, Failure};
use crate::printable::printable;

/// Most bytes that are handed to the connection at once.
const PIECE: usize = 128 * 1024;
/// Bytes that the system buffers for a player that does not take them: what is sent ahead is fetched and opened.
const SEND_BUFFER: u32 = 128 * 1024;
/// Connections that wait to be taken.
const BACKLOG: u32 = 32;
/// Header by which browsers say what they fetch something for; other players do not send it.
const FETCH_DESTINATION: &str = "sec-fetch-dest";
/// What the page may do: show the media beside it.
const POLICY: &str = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color-scheme:light dark}\
                     video{width:100%;max-height:80vh;background:#000}audio{width:100%}";

/// A track to play.
pub(crate) struct Playing {
    /// Number of the track.
    pub(crate) track: u8,
    /// Its media type: any text.
    pub(crate) media_type: String,
    /// Its bytes.
    pub(crate) view: RemoteTrack,
    /// Second at which to start.
    pub(crate) start: u64,
}

impl Playing {
    fn name(&self) -> String {
        format!("track-{}.{}", self.track, file_extension(&self.media_type))
    }
}

struct Served {
    secret: String,
    host: String,
    title: String,
    playing: Vec<Playing>,
    failures: mpsc::UnboundedSender<ClientError>,
}

/// A server that is bound and not yet serving.
pub(crate) struct PlayServer {
    listener: TcpListener,
    served: Arc<Served>,
    failures: mpsc::UnboundedReceiver<ClientError>,
}

impl PlayServer {
    /// Binds a free port of the loopback address.
    pub(crate) fn bind(title: String, playing: Vec<Playing>) -> Result<Self, Failure> {
        let bind = || {
            let socket = TcpSocket::new_v4()?;
            socket.set_send_buffer_size(SEND_BUFFER)?;
            socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
            let listener = socket.listen(BACKLOG)?;
            let port = listener.local_addr()?.port();
            Ok((listener, port))
        };
        let (listener, port) = bind().map_err(|error: std::io::Error| {
            failure::disk("The loopback address, for the player to fetch from,", &error)
        })?;
        let mut secret = [0; 16];
        getrandom::fill(&mut secret)
            .map_err(|_| Failure::bug("the operating system gave no random bytes"))?;
        let (told, failures) = mpsc::unbounded_channel();
        let served = Served {
            secret: data_encoding::HEXLOWER.encode(&secret),
            host: format!("127.0.0.1:{port}"),
            title,
            playing,
            failures: told,
        };
        Ok(Self { listener, served: Arc::new(served), failures })
    }

    /// Address of a page that plays all of it in a browser.
    pub(crate) fn page(&self) -> String {
        format!("http://{}/{}/", self.served.host, self.served.secret)
    }

    /// Number and address of each track, in order.
    pub(crate) fn tracks(&self) -> Vec<(u8, String)> {
        let address = |playing: &Playing| (playing.track, format!("{}{}", self.page(), playing.name()));
        self.served.playing.iter().map(address).collect()
    }

    /// Serves until dropped, or until something that was asked for could not be opened; gives what failed.
    pub(crate) async fn serve(mut self) -> Failure {
        let router = Router::new()
            .route("/{secret}/", get(page))
            .route("/{secret}/{name}", get(medium))
            .layer(middleware::from_fn_with_state(Arc::clone(&self.served), guard))
            .with_state(self.served);
        let serving = axum::serve(self.listener, router).into_future();
        tokio::select! {
            Some(error) = self.failures.recv() => error.into(),
            ended = serving => Failure::bug(format!("the player's server ended: {ended:?}")),
        }
    }
}

/// Lets only those in who know the address and mean it, and keeps what they get out of caches and other pages.
async fn guard(State(served): State<Arc<Served>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).is_some_and(|host| host.as_bytes() == served.host.as_bytes());
    let secret = request.uri().path().split('/').nth(1).unwrap_or_default();
    let known: bool = secret.as_bytes().ct_eq(served.secret.as_bytes()).into();
    let mut response =
        if host && known { next.run(request).await } else { StatusCode::NOT_FOUND.into_response() };
    let headers = response.headers_mut();
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (axum::http::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, axum::http::HeaderValue::from_static(value));
    }
    response
}

async fn page(State(served): State<Arc<Served>>) -> Html<String> {
    let title = printable(&served.title);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { bdi { (title) } }
                    @for playing in &served.playing {
                        @let source = format!("{}#t={}", playing.name(), playing.start);
                        @let label = format!("Track {}", playing.track);
                        @if playable(&playing.media_type).starts_with("audio/") {
                            audio controls preload="metadata" src=(source) aria-label=(label) {}
                        } @else {
                            video controls preload="metadata" src=(source) aria-label=(label) {}
                        }
                    }
                    p { "Played from this machine, for as long as vault-cli runs. Nothing of it is stored." }
                }
            }
        }
    };
    Html(page.into_string())
}

/// Whether whoever asks goes on asking after an answer to only the beginning of a range (RFC 9110, section 15.3.7).
/// Browsers do, and close a longer answer when they jump: by then the system has taken megabytes of it that nobody
/// watches, each of which was fetched and opened. Other players take a short answer for a broken connection.
fn asks_for_more(headers: &HeaderMap) -> bool {
    headers.contains_key(FETCH_DESTINATION)
}

async fn medium(
    State(served): State<Arc<Served>>,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let Some(playing) = served.playing.iter().find(|playing| playing.name() == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let length = playing.view.length();
    let mut ranges = headers.get_all(RANGE).iter();
    let range = ranges.next().filter(|_| ranges.next().is_none()).and_then(|range| range.to_str().ok());
    let (status, range) = match requested(range, length) {
        Requested::Whole => (StatusCode::OK, 0..length),
        Requested::Part(range) if asks_for_more(&headers) => {
            (StatusCode::PARTIAL_CONTENT, range.start..range.end.min(playing.view.piece_end(range.start)))
        }
        Requested::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Requested::Unsatisfiable => {
            let range = [(CONTENT_RANGE, format!("bytes */{length}"))];
            return (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response();
        }
    };
    let mut head = vec![
        (CONTENT_TYPE, playable(&playing.media_type).to_owned()),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (CONTENT_LENGTH, (range.end - range.start).to_string()),
    ];
    if status == StatusCode::PARTIAL_CONTENT {
        head.push((CONTENT_RANGE, format!("bytes {}-{}/{length}", range.start, range.end - 1)));
    }
    let reader = playing.view.clone().reader(range.start);
    let failures = served.failures.clone();
    let state = (reader, range.end - range.start, failures);
    let pieces = stream::try_unfold(state, async |(mut reader, left, failures)| {
        if left == 0 {
            return Ok(None);
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
        match reader.next(most).await {
            Ok(bytes) if bytes.is_empty() => Err(std::io::Error::other("the recording ended early")),
            Ok(bytes) => {
                let left = left.saturating_sub(bytes.len() as u64);
                Ok(Some((bytes, (reader, left, failures))))
            }
            Err(error) => {
                // The player only learns that the connection broke; the person learns why.
                let _ = failures.send(error);
                Err(std::io::Error::other("the recording could not be read"))
            }
        }
    });
    let mut response = (status, Body::from_stream(pieces)).into_response();
    for (name, value) in head {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
