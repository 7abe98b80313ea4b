//! The extractors of signed requests: head first, then a body within its limit, then a caller.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use vault_proto::ids::Digest;
use vault_proto::problem::ProblemCode;
use vault_proto::wire::MAX_JSON_BODY;

use super::App;
use super::answers::RequestId;
use crate::authentication::SignedHead;
use crate::event::Caller;
use crate::ops::accounts::Submission;
use crate::problem::Problem;

/// How long a request waits for its share of memory.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// How long a caller may take to send a body.
const MAX_BODY_TIME: Duration = Duration::from_secs(60);

/// A request by a known caller, with a body of at most `LIMIT` bytes that has the signed digest.
pub(crate) struct Signed<const LIMIT: usize> {
    pub(crate) caller: Caller,
    pub(crate) body: ReadBody,
    pub(crate) digest: Digest,
    pub(crate) parts: Parts,
}

/// A request without a body.
pub(crate) type SignedGet = Signed<0>;

/// An enrolment, authenticated by what is in it.
pub(crate) struct SignedEnrolment {
    pub(crate) caller: Caller,
    pub(crate) submission: Submission,
}

/// A whole body, and the memory it is allowed to take.
pub(crate) struct ReadBody {
    bytes: Vec<u8>,
    _share: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for ReadBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<const LIMIT: usize> FromRequest<App> for Signed<LIMIT> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let head = Arc::new(SignedHead::parse(&parts, &app.authorities)?);
        let checked_head = Arc::clone(&head);
        let authenticated = app.run(move |vault| checked_head.authenticate(vault)).await?;
        let body = read(app, body, LIMIT).await?;
        let id = request_id(&parts);
        let (caller, digest, body) = app
            .run(move |vault| {
                let (caller, digest) = head.complete(vault, &authenticated, body.as_ref(), id)?;
                Ok((caller, digest, body))
            })
            .await?;
        Ok(Self { caller, body, digest, parts })
    }
}

impl FromRequest<App> for SignedEnrolment {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let head = SignedHead::parse(&parts, &app.authorities)?;
        head.check_fresh((app.vault.clock)())?;
        let body = read(app, body, MAX_JSON_BODY).await?;
        let id = request_id(&parts);
        app.run(move |vault| {
            let (caller, submission) = head.authenticate_enrolment(vault, body.as_ref(), id)?;
            Ok(Self { caller, submission })
        })
        .await
    }
}

fn request_id(parts: &Parts) -> String {
    let id = parts.extensions.get::<RequestId>();
    id.map(|id| id.as_str().to_owned()).unwrap_or_default()
}

async fn read(app: &App, body: Body, limit: usize) -> Result<ReadBody, Problem> {
    let announced = body.size_hint().exact();
    let announced = announced.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if announced.is_some_and(|length| length > limit) {
        return Err(ProblemCode::TooLarge.into());
    }
    let most = announced.unwrap_or(limit);
    let kib = u32::try_from(most.div_ceil(1024)).unwrap_or(u32::MAX);
    let share = if kib == 0 {
        None
    } else {
        let share = Arc::clone(&app.body_budget).acquire_many_owned(kib);
        let share = timeout(MAX_WAIT, share).await;
        Some(share.map_err(|_| ProblemCode::Busy)?.map_err(|error| Problem::internal(&error))?)
    };
    let bytes =
        timeout(MAX_BODY_TIME, collect(body, limit, most)).await.map_err(|_| ProblemCode::Timeout)??;
    Ok(ReadBody { bytes, _share: share })
}

async fn collect(mut body: Body, limit: usize, expected: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::with_capacity(expected);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::bad_request("The body did not arrive whole."))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > limit - bytes.len() {
            return Err(ProblemCode::TooLarge.into());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}
