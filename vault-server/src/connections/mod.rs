//! Accepting connections: only so many at a time, none that stands still, all of them finished or dropped at a
//! shutdown.

mod watched;

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::ServiceExt as _;

use crate::limits::Limits;
use watched::Watched;

/// Requests at the same time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;
/// Bytes of a request's head.
const MAX_HEAD: u32 = 32 * 1024;
/// Time for the last bytes to leave a connection that is to end and has no request in progress.
const LAST_BYTES: Duration = Duration::from_secs(2);
/// Pause after the system refused to accept, for instance because there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The connection that a request came by. As long as a copy lives, the request is in progress.
#[derive(Debug, Clone)]
pub(crate) struct Connection(Arc<Notify>);

impl Connection {
    /// Closes it at once, with everything that is being sent on it.
    pub(crate) fn close(&self) {
        self.0.notify_one();
    }

    /// Whether a request is in progress, if the connection itself has so many copies.
    fn is_busy(&self, own: usize) -> bool {
        Arc::strong_count(&self.0) > own
    }
}

/// A body of an answer, whose request is in progress for as long as it lives.
struct InProgress {
    body: Body,
    _connection: Connection,
}

impl HttpBody for InProgress {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The router, as the requests of one connection see it.
#[derive(Clone)]
struct Routed {
    router: Router,
    connection: Connection,
}

impl Service<Request<Incoming>> for Routed {
    type Response = Response<InProgress>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (router, connection) = (self.router.clone(), self.connection.clone());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connection.clone());
        Box::pin(async move {
            let response = router.oneshot(request).await?;
            Ok(response.map(|body| InProgress { body, _connection: connection }))
        })
    }
}

/// What all connections are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Stay as long as you like.
    Stay,
    /// Others are waiting: whoever is idle goes, whoever is not finishes the request and goes. Counts how often.
    MakeRoom(u64),
    /// The server stops.
    Finish,
}

/// Serves `router` until `shutdown` completes, then lets running requests finish for at most `grace`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    grace: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let (wishes, _) = watch::channel(Wish::Stay);
    let mut running = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        while running.try_join_next().is_some() {}
        let next = async {
            let place = place(&places, &wishes).await;
            (place, accept(&listener).await)
        };
        let (place, stream) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            (place, stream) = next => (place, stream),
        };
        running.spawn(connection(stream, router.clone(), limits, wishes.subscribe(), place));
    }
    drop(listener);
    tracing::info!("stopping");
    wishes.send_replace(Wish::Finish);
    let finished = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, finished).await.is_err() {
        tracing::warn!("some requests did not finish in time");
        running.shutdown().await;
    }
}

/// A place for one more connection. If all are taken, the connections in them are asked to make room.
async fn place(places: &Arc<Semaphore>, wishes: &watch::Sender<Wish>) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        return Some(place);
    }
    tracing::warn!("all connections are taken; idle ones are closed");
    wishes.send_modify(|wish| {
        *wish = match *wish {
            Wish::MakeRoom(times) => Wish::MakeRoom(times.wrapping_add(1)),
            Wish::Stay | Wish::Finish => Wish::MakeRoom(0),
        };
    });
    Arc::clone(places).acquire_owned().await.ok()
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // Of the one that came: it is gone again, and the next is not affected.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::error!(%error, "no connection could be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    limits: Limits,
    mut wishes: watch::Receiver<Wish>,
    place: Option<OwnedSemaphorePermit>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small packets may be delayed");
    }
    let connection = Connection(Arc::default());
    let service = Routed { router, connection: connection.clone() };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(usize::try_from(MAX_HEAD).unwrap_or(usize::MAX))
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .keep_alive_interval(limits.header_time)
        .keep_alive_timeout(limits.header_time);
    let io = TokioIo::new(Watched::new(stream, limits));
    let mut serving = pin!(builder.serve_connection(io, service));
    // Before the first request: one here, one in what serves.
    let own = Arc::strong_count(&connection.0);
    let mut leaving = false;
    loop {
        tokio::select! {
            result = serving.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                }
                break;
            }
            () = connection.0.notified() => {
                tracing::debug!("a connection was closed: its reader stood still");
                break;
            }
            Ok(()) = wishes.changed() => {
                leaving = true;
                serving.as_mut().graceful_shutdown();
            }
            // HTTP/2 waits for the other side to agree, and a silent one never does.
            () = sleep(LAST_BYTES), if leaving => {
                if !connection.is_busy(own) {
                    break;
                }
            }
        }
    }
    drop(place);
}
