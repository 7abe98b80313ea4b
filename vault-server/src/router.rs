//! Every route on one screen.

use std::time::Duration;

use axum::error_handling::HandleErrorLayer;
use axum::http::{Request, StatusCode};
use axum::middleware::from_fn;
use axum::routing::{get, post, put};
use axum::{BoxError, Router};
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::{DefaultOnResponse, TraceLayer};
use vault_proto::problem::ProblemCode;

use crate::problem::Problem;
use crate::routes::answers::{RequestId, answer};
use crate::routes::{App, accounts, body, comparisons, details_and_final, health, recordings, segments};

/// Requests that are worked on at the same time; more are told to come again.
pub(crate) const MAX_REQUESTS: usize = 256;
/// Time from a request's head to the head of its answer.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(120);
/// The same for an enrolment.
const MAX_ENROLMENT_TIME: Duration = Duration::from_secs(60);

pub(crate) fn router(app: App) -> Router {
    let one = "/v1/recordings/{recording}";
    let segment = "/v1/recordings/{recording}/segments/{segment}";
    let limits = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(|_: BoxError| async { Problem::from(ProblemCode::Busy) }))
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::new(MAX_REQUESTS))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, MAX_REQUEST_TIME));
    // Apart from the requests of those who are known: strangers take no place from them.
    let enrolment = Router::new()
        .route("/v1/accounts", post(accounts::enrol))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, MAX_ENROLMENT_TIME));
    Router::new()
        .route("/v1/server", get(health::server))
        .route("/v1/accounts", get(accounts::find))
        .route("/v1/accounts/{account}", get(accounts::look_up))
        .route("/v1/accounts/{account}/certificate", put(accounts::replace_certificate))
        .route("/v1/comparisons/{account}", get(comparisons::state).delete(comparisons::withdraw))
        .route("/v1/comparisons/{account}/commitment", put(comparisons::commit))
        .route("/v1/comparisons/{account}/nonce", put(comparisons::reveal))
        .route("/v1/recordings", post(recordings::create).get(recordings::list))
        .route(one, get(recordings::record))
        .route(
            &format!("{one}/details"),
            put(details_and_final::store_details).get(details_and_final::details),
        )
        .route(&format!("{one}/final"), put(details_and_final::store_final_seal))
        .route(segment, put(segments::open).delete(segments::abandon))
        .route(&format!("{segment}/parts"), get(segments::part_hashes))
        .route(&format!("{segment}/parts/{{part}}"), put(segments::store_part))
        .route(&format!("{segment}/seal"), put(segments::seal))
        .route(&format!("{segment}/header"), get(segments::header))
        .route(&format!("{segment}/body"), get(body::body))
        .layer(limits)
        .merge(enrolment)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(app)
        .layer(CatchPanicLayer::new())
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_response(DefaultOnResponse::new().level(tracing::Level::INFO)),
        )
        .layer(from_fn(answer))
}

/// What the log knows of a request: ids, and never its query or headers.
fn span<B>(request: &Request<B>) -> tracing::Span {
    let id = request.extensions().get::<RequestId>().map(RequestId::as_str);
    tracing::info_span!("request", id, method = %request.method(), path = request.uri().path())
}
