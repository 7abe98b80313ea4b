//! Every route on one screen.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use crate::request_log::RequestLog;
use crate::routes::answers::answer;
use crate::routes::{
    App, accounts, body, comparisons, details_and_final, health, recordings, segments, statements,
};

/// Time from a request's head to the head of its answer.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(120);

/// How many requests there may be at a time is not decided here, where nobody knows whose they are: `routes::signed`
/// gives a place to those who are known.
pub(crate) fn router(app: App, log: Arc<RequestLog>) -> Router {
    let one = "/v1/recordings/{recording}";
    let segment = "/v1/recordings/{recording}/segments/{segment}";
    Router::new()
        .route("/v1/server", get(health::server))
        .route("/v1/accounts", post(accounts::enrol).get(accounts::find))
        .route("/v1/accounts/{account}", get(accounts::look_up))
        .route("/v1/accounts/{account}/last", get(accounts::last))
        .route("/v1/accounts/{account}/certificate", put(accounts::replace_certificate))
        .route("/v1/comparisons/{account}", get(comparisons::state).delete(comparisons::withdraw))
        .route("/v1/comparisons/{account}/commitment", put(comparisons::commit))
        .route("/v1/comparisons/{account}/nonce", put(comparisons::reveal))
        .route("/v1/statements", get(statements::fetch))
        .route("/v1/recordings", post(recordings::create).get(recordings::list))
        .route(one, get(recordings::record))
        .route(&format!("{one}/keys/{{generation}}"), get(recordings::key))
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
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(app)
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, MAX_REQUEST_TIME))
        .layer(CatchPanicLayer::new())
        .layer(from_fn(spelt_once))
        .layer(from_fn_with_state(log, answer))
}

/// A path has one spelling: no id and no number in it needs an escape, and what is signed is what was typed.
async fn spelt_once(request: Request, next: Next) -> Response {
    if request.uri().path().contains('%') {
        return StatusCode::NOT_FOUND.into_response();
    }
    next.run(request).await
}
