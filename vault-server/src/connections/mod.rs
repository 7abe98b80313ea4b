//! Accepting connections: only so many at a time, none that stands still, all of them finished or dropped at a
//! shutdown.

mod table;
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
use hyper::rt::Executor;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::ServiceExt as _;

use crate::limits::Limits;
use crate::request_log::{Counted, RequestLog};
use crate::turns::{FutureTurns, InTurns, Who};
pub(crate) use table::Connection;
use table::{Open, Place, Table};
use watched::Watched;

/// Requests at the same time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 32;
/// Bytes of a request's head.
const MAX_HEAD: u32 = 32 * 1024;
/// Time for the last bytes to leave a connection that is to end and has no request in progress.
const LAST_BYTES: Duration = Duration::from_secs(2);
/// Pause after the system refused to accept, for instance because there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A body of an answer, whose request is in progress for as long as it lives.
struct InProgress {
    body: Body,
    _request: Connection,
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
    open: Open,
}

impl Service<Request<Incoming>> for Routed {
    type Response = Response<InProgress>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (router, connection) = (self.router.clone(), self.open.request());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connection.clone());
        Box::pin(async move {
            let response = router.oneshot(request).await?;
            Ok(response.map(|body| InProgress { body, _request: connection }))
        })
    }
}

/// Runs what a connection of HTTP/2 does for each of its requests, in turns like the connection itself.
#[derive(Clone)]
struct StreamsInTurns {
    turns: Arc<FutureTurns>,
    open: Open,
}

impl<F> Executor<F> for StreamsInTurns
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let open = self.open.clone();
        tokio::spawn(InTurns::new(Arc::clone(&self.turns), move || open.who(), stream));
    }
}

/// Serves `router` until `shutdown` completes, then lets running requests finish for at most `grace`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    log: Arc<RequestLog>,
    grace: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let (table, turns) = (Table::new(limits.connections), FutureTurns::new());
    let (finish, _) = watch::channel(());
    let mut running = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        while running.try_join_next().is_some() {}
        let next = async {
            let stream = accept(&listener, &log).await;
            let place = table.place(&log).await;
            // Ever more beginnings are the work of strangers, and come after what others have asked for.
            turns.pass(Who::Stranger(None)).await;
            (stream, place)
        };
        let (stream, place) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            next = next => next,
        };
        let (open, streams) =
            (place.open(), StreamsInTurns { turns: Arc::clone(&turns), open: place.open() });
        let connection = connection(stream, router.clone(), limits, finish.subscribe(), place, streams);
        running.spawn(InTurns::new(Arc::clone(&turns), move || open.who(), connection));
    }
    drop(listener);
    tracing::info!("stopping");
    finish.send_replace(());
    let finished = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, finished).await.is_err() {
        tracing::warn!("some requests did not finish in time");
        running.shutdown().await;
    }
}

async fn accept(listener: &TcpListener, log: &RequestLog) -> TcpStream {
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
                tracing::debug!(%error, "a connection could not be accepted");
                log.count(Counted::NotAccepted);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    limits: Limits,
    mut finish: watch::Receiver<()>,
    place: Place,
    streams: StreamsInTurns,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small packets may be delayed");
    }
    let open = place.open();
    let service = Routed { router, open: open.clone() };
    let mut builder = auto::Builder::new(streams);
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
    let mut leaving = false;
    loop {
        tokio::select! {
            result = serving.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                }
                break;
            }
            () = open.closed() => {
                tracing::debug!("a connection was closed: its reader stood still, or another needed its place");
                break;
            }
            Ok(()) = finish.changed() => {
                leaving = true;
                serving.as_mut().graceful_shutdown();
            }
            // HTTP/2 waits for the other side to agree, and a silent one never does.
            () = sleep(LAST_BYTES), if leaving => {
                if open.is_idle() {
                    break;
                }
            }
        }
    }
}
