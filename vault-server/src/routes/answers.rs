//! The outermost layer: gives each request its id and its place in the log, and each refusal its problem document.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use tokio::time::Instant;
use tracing::Instrument as _;
use vault_proto::problem::{PROBLEM_JSON, Problem as Document, ProblemCode};

use crate::problem::Problem;
use crate::request_log::{IsKnown, RequestLog};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, drawn by the server.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(String);

impl RequestId {
    fn new() -> Self {
        let mut bytes = [0; 16];
        // Without random bytes no request can be found in the log, and none is less safe for it.
        let _ = getrandom::fill(&mut bytes);
        Self(HEXLOWER.encode(&bytes))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Marks an answer that says by itself why it is a refusal.
#[derive(Clone)]
struct AsItIs;

/// Sends a refusal as it is, and not as a problem document.
pub(super) fn as_it_is(mut response: Response) -> Response {
    response.extensions_mut().insert(AsItIs);
    response
}

impl IntoResponse for Problem {
    /// Carries the problem to `answer`, which knows the request's id.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

pub(crate) async fn answer(State(log): State<Arc<RequestLog>>, mut request: Request, next: Next) -> Response {
    let (id, known, since) = (RequestId::new(), IsKnown::default(), Instant::now());
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(known.clone());
    // What the log knows of a request: ids, and never its query or headers.
    let (method, path) = (request.method(), request.uri().path());
    let span = tracing::info_span!("request", id = id.as_str(), %method, path);
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, mut code) = (response.status(), None);
    let own_words = response.extensions().get::<AsItIs>().is_some();
    if !own_words && (status.is_client_error() || status.is_server_error()) {
        let problem =
            response.extensions_mut().remove::<Problem>().unwrap_or_else(|| of_status(status).into());
        code = Some(problem.code);
        response = document(problem, &id, response.headers());
    }
    log.answered(&span, &known, status, code, since);
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// The code for a refusal of the libraries underneath.
fn of_status(status: StatusCode) -> ProblemCode {
    match status {
        StatusCode::NOT_FOUND => ProblemCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ProblemCode::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => ProblemCode::Timeout,
        StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::TooLarge,
        StatusCode::SERVICE_UNAVAILABLE => ProblemCode::Busy,
        _ if status.is_client_error() => ProblemCode::BadRequest,
        _ => ProblemCode::Internal,
    }
}

fn document(problem: Problem, id: &RequestId, headers: &HeaderMap) -> Response {
    let detail = problem.detail.map(std::borrow::Cow::into_owned);
    let document = Document::new(problem.code, detail, Some(id.as_str().to_owned()));
    let status = StatusCode::from_u16(document.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(&document).unwrap_or_default();
    let mut response = (status, body).into_response();
    let answered = response.headers_mut();
    answered.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    answered.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    for kept in [ALLOW, CONTENT_RANGE] {
        if let Some(value) = headers.get(&kept) {
            answered.insert(kept, value.clone());
        }
    }
    response
}
