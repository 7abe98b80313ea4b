//! `/v1/recordings/{recording}/segments/{segment}/body`: ranges of ciphertext, streamed.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use vault_proto::byte_ranges::{Requested, requested};
use vault_proto::problem::ProblemCode;

use super::outgoing::in_pieces;
use super::signed::SignedGet;
use super::{App, id, number};
use crate::connections::Connection;

use crate::ops::segments;
use crate::problem::Problem;

pub(crate) async fn body(
    State(app): State<App>,
    Path((recording, segment)): Path<(String, String)>,
    request: SignedGet,
) -> Result<Response, Problem> {
    let (recording, segment) = (id(&recording)?, number(&segment)?);
    let (account, headers) = (request.account(), request.parts.headers.clone());
    let connection = request.parts.extensions.get::<Connection>().cloned();
    let body =
        app.run(account, move |vault| segments::body(vault, &request.caller, recording, segment)).await?;
    let tag = body.parts_root.map(|root| format!("\"{root}\""));
    let length = body.length;
    let (status, range) = match requested(range_header(&headers), length) {
        Requested::Whole => (StatusCode::OK, 0..length),
        Requested::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Requested::Unsatisfiable => {
            let head = [(CONTENT_RANGE, format!("bytes */{length}"))];
            let problem = Problem::from(ProblemCode::RangeNotSatisfiable);
            return Ok((head, problem).into_response());
        }
    };
    let share = app.shares.stream(account)?;
    let shares = Arc::clone(&app.shares);
    let thread = move || {
        let shares = Arc::clone(&shares);
        async move { shares.piece(account).await }
    };
    let mut response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, range.end - range.start)
        .header(ACCEPT_RANGES, "bytes")
        .header(CACHE_CONTROL, "private, no-store");
    if let Some(tag) = tag {
        response = response.header(ETAG, tag);
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let last = range.end - 1;
        response = response.header(CONTENT_RANGE, format!("bytes {}-{last}/{length}", range.start));
    }
    let body = in_pieces(body.reader, range, share, thread, connection, app.limits.stall_time);
    response.body(body).map_err(|error| Problem::internal(&error))
}

/// The `Range` header, which the request's signature covers; so there is one at most.
fn range_header(headers: &HeaderMap) -> Option<&str> {
    headers.get(RANGE)?.to_str().ok()
}
