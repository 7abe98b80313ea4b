//! `/v1/recordings/{recording}/segments/{segment}/body`: ranges of ciphertext, streamed.

use std::ops::Range;
use std::sync::Arc;

use axum::BoxError;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::try_unfold;
use tokio::sync::OwnedSemaphorePermit;
use vault_proto::problem::ProblemCode;

use super::signed::SignedGet;
use super::{App, id, number};
use crate::blob::BodyReader;
use crate::ops::body_ranges::{Requested, requested};
use crate::ops::segments;
use crate::problem::Problem;

/// Bytes that are read ahead of a reader's network.
const PIECE: u64 = 256 * 1024;

pub(crate) async fn body(
    State(app): State<App>,
    Path((recording, segment)): Path<(String, String)>,
    request: SignedGet,
) -> Result<Response, Problem> {
    let (recording, segment) = (id(&recording)?, number(&segment)?);
    let body = app.run(move |vault| segments::body(vault, &request.caller, recording, segment)).await?;
    let tag = body.parts_root.map(|root| format!("\"{root}\""));
    let length = body.length;
    let (status, range) = match requested(range_header(&request.parts.headers, tag.as_deref()), length) {
        Requested::Whole => (StatusCode::OK, 0..length),
        Requested::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Requested::Unsatisfiable => {
            let head = [(CONTENT_RANGE, format!("bytes */{length}"))];
            let problem = Problem::from(ProblemCode::RangeNotSatisfiable);
            return Ok((head, problem).into_response());
        }
    };
    let stream =
        Arc::clone(&app.streams).try_acquire_owned().map_err(|_| Problem::from(ProblemCode::Busy))?;
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
    response.body(in_pieces(body.reader, range, stream)).map_err(|error| Problem::internal(&error))
}

/// The one `Range` header, unless `If-Range` makes it void because it names another body.
fn range_header<'a>(headers: &'a HeaderMap, tag: Option<&str>) -> Option<&'a str> {
    let condition = headers.get(IF_RANGE).map(|value| value.to_str().ok());
    if condition.is_some_and(|condition| condition.is_none() || condition != tag) {
        return None;
    }
    let mut ranges = headers.get_all(RANGE).iter();
    let range = ranges.next()?.to_str().ok()?;
    ranges.next().is_none().then_some(range)
}

/// Reads the next piece only when the one before was taken.
fn in_pieces(reader: Box<dyn BodyReader>, range: Range<u64>, share: OwnedSemaphorePermit) -> Body {
    Body::from_stream(try_unfold((reader, range, share), |(reader, range, share)| async move {
        let length = PIECE.min(range.end - range.start);
        if length == 0 {
            return Ok(None);
        }
        let at = range.start;
        let (reader, piece) = tokio::task::spawn_blocking(move || {
            let piece = usize::try_from(length)
                .map_err(|_| crate::blob::BlobError::NotFound)
                .and_then(|length| reader.read_at(at, length));
            (reader, piece)
        })
        .await?;
        let piece =
            Bytes::from(piece.inspect_err(|error| tracing::error!(%error, "a body could not be read"))?);
        Ok::<_, BoxError>(Some((piece, (reader, at + length..range.end, share))))
    }))
}
