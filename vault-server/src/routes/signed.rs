//! The extractors of signed requests: head first, then a body within its limit, then a caller.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use vault_proto::ids::{AccountId, Digest};
use vault_proto::problem::ProblemCode;
use vault_proto::wire::MAX_ENROLMENT;

use super::App;
use super::answers::RequestId;
use super::shares::{Share, Shares};
use crate::authentication::SignedHead;
use crate::event::Caller;
use crate::ops::accounts::Submission;
use crate::problem::Problem;

/// A request by a known caller, with a body of at most `LIMIT` bytes that has the signed digest.
pub(crate) struct Signed<const LIMIT: usize> {
    pub(crate) caller: Caller,
    pub(crate) body: ReadBody,
    pub(crate) digest: Digest,
    pub(crate) parts: Parts,
    _share: Share,
}

/// A request without a body.
pub(crate) type SignedGet = Signed<0>;

/// An enrolment, authenticated by what is in it.
pub(crate) struct SignedEnrolment {
    pub(crate) caller: Caller,
    pub(crate) submission: Submission,
    _share: Share,
}

/// A whole body, and the memory it is allowed to take.
pub(crate) struct ReadBody {
    bytes: Vec<u8>,
    _share: Option<Share>,
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
        let share = app.shares.request(authenticated.account())?;
        let body = read(app, authenticated.account(), body, LIMIT).await?;
        let id = request_id(&parts);
        let (caller, digest, body) = app
            .run(move |vault| {
                let (caller, digest) = head.complete(vault, &authenticated, body.as_ref(), id)?;
                Ok((caller, digest, body))
            })
            .await?;
        Ok(Self { caller, body, digest, parts, _share: share })
    }
}

impl FromRequest<App> for SignedEnrolment {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let head = SignedHead::parse(&parts, &app.authorities)?;
        head.check_fresh((app.vault.clock)())?;
        // Whoever this is, the place is theirs only for as long as a small body takes.
        let share = app.shares.enrolment()?;
        let most = announced(&body, MAX_ENROLMENT)?;
        let body = timeout(app.limits.enrolment_body_time, collect(body, most, most, async || Ok(())));
        let body = body.await.map_err(|_| ProblemCode::Timeout)??;
        let id = request_id(&parts);
        app.run(move |vault| {
            let (caller, submission) = head.authenticate_enrolment(vault, &body, id)?;
            Ok(Self { caller, submission, _share: share })
        })
        .await
    }
}

fn request_id(parts: &Parts) -> String {
    let id = parts.extensions.get::<RequestId>();
    id.map(|id| id.as_str().to_owned()).unwrap_or_default()
}

/// How many bytes a body will have at most.
fn announced(body: &Body, limit: usize) -> Result<usize, Problem> {
    let announced = body.size_hint().exact();
    let announced = announced.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if announced.is_some_and(|length| length > limit) {
        return Err(ProblemCode::TooLarge.into());
    }
    Ok(announced.unwrap_or(limit))
}

/// Reads a body that `account` sends. What has not come yet takes no memory, and of the memory for everybody only a
/// little is kept for it.
async fn read(app: &App, account: AccountId, body: Body, limit: usize) -> Result<ReadBody, Problem> {
    let most = announced(&body, limit)?;
    if most == 0 {
        let bytes = timeout(app.limits.body_time, collect(body, 0, 0, async || Ok(())))
            .await
            .map_err(|_| ProblemCode::Timeout)??;
        return Ok(ReadBody { bytes, _share: None });
    }
    let mut share = app.shares.body(account, most).await?;
    let grow = async || app.shares.whole_body(&mut share, most).await;
    let bytes = timeout(app.limits.body_time, collect(body, most, Shares::first_bytes(), grow))
        .await
        .map_err(|_| ProblemCode::Timeout)??;
    Ok(ReadBody { bytes, _share: Some(share) })
}

/// Collects a body of at most `limit` bytes; calls `grow` once before it holds more than `first`.
async fn collect(
    mut body: Body,
    limit: usize,
    first: usize,
    grow: impl AsyncFnOnce() -> Result<(), Problem>,
) -> Result<Vec<u8>, Problem> {
    let (mut bytes, mut grow) = (Vec::new(), Some(grow));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::bad_request("The body did not arrive whole."))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let length = bytes.len().saturating_add(data.len());
        if length > limit {
            return Err(ProblemCode::TooLarge.into());
        }
        if length > first
            && let Some(grow) = grow.take()
        {
            grow().await?;
            bytes.reserve_exact(limit - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}
