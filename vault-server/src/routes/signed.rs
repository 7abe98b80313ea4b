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
use super::shares::{FIRST_BYTES, Share};
use crate::authentication::{Authenticated, SignedHead};
use crate::connections::Connection;
use crate::event::Caller;
use crate::ops::Vault;
use crate::ops::accounts::Submission;
use crate::problem::Problem;
use crate::request_log::IsKnown;
use crate::turns::Who;

/// Bytes of a body that are taken in one turn, so that who sends without end keeps no processor from others.
const MOST_AT_ONCE: usize = 64 * 1024;

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

impl<const LIMIT: usize> Signed<LIMIT> {
    /// Whose request it is.
    pub(crate) fn account(&self) -> AccountId {
        self.caller.actor.account
    }
}

impl SignedEnrolment {
    /// Whose request it is.
    pub(crate) fn account(&self) -> AccountId {
        self.caller.actor.account
    }
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
        if LIMIT == 0 && !body.is_end_stream() {
            // Before anything is waited for: a body that never comes would keep the request's place.
            return Err(Problem::with_detail(ProblemCode::TooLarge, "This request has no body."));
        }
        let head = Arc::new(SignedHead::parse(&parts, &app.authorities)?);
        let authenticated = identify(app, &parts, &head).await?.ok_or(ProblemCode::UnknownKey)?;
        let account = authenticated.account();
        let id = request_id(&parts);
        if body.is_end_stream() {
            return Self::without_body(app, parts, head, authenticated, id).await;
        }
        let (share, body) = receive(app, &head, &authenticated, body, LIMIT).await?;
        let (caller, digest, body) = app
            .run(account, move |vault| {
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
        let head = Arc::new(SignedHead::parse(&parts, &app.authorities)?);
        let id = request_id(&parts);
        if let Some(authenticated) = identify(app, &parts, &head).await? {
            let account = authenticated.account();
            let (share, body) = receive(app, &head, &authenticated, body, MAX_ENROLMENT).await?;
            let checked =
                app.run(account, move |vault| head.authenticate_enrolment(vault, body.as_ref(), true, id));
            let (caller, submission) = checked.await?;
            return Ok(Self { caller, submission, _share: share });
        }
        let most = announced(&body, MAX_ENROLMENT)?;
        let strangers = &app.shares.strangers;
        let mut place = strangers.enter();
        let arrived = async {
            let body = timeout(app.limits.enrolment_body_time, collect(body, most, most, async || Ok(())));
            let body = body.await.map_err(|_| ProblemCode::Timeout)??;
            Ok::<_, Problem>((body, strangers.turn().await?))
        };
        let (body, turn) = tokio::select! {
            biased;
            arrived = arrived => arrived?,
            () = place.given_away() => return Err(ProblemCode::Busy.into()),
        };
        drop(place);
        let stranger = Who::Stranger(Some(head.key_id()));
        let checked =
            app.run_on(turn, stranger, move |vault| head.authenticate_enrolment(vault, &body, false, id));
        let (caller, submission) = checked.await?;
        make_known(&parts, caller.actor.account);
        let share = app.shares.request(caller.actor.account)?;
        Ok(Self { caller, submission, _share: share })
    }
}

impl<const LIMIT: usize> Signed<LIMIT> {
    /// A request of which everything is here already: it is used up and checked in one go, for each time that work goes
    /// from one thread to another it may have to wait for a processor.
    async fn without_body(
        app: &App,
        parts: Parts,
        head: Arc<SignedHead>,
        authenticated: Authenticated,
        id: String,
    ) -> Result<Self, Problem> {
        let (account, at) = (authenticated.account(), authenticated.at());
        let share = app.shares.request(account)?;
        let check = move |vault: &Vault| {
            head.use_nonce(vault, account, at)?;
            head.complete(vault, &authenticated, &[], id)
        };
        let (caller, digest) = app.run(account, check).await?;
        let body = ReadBody { bytes: Vec::new(), _share: None };
        Ok(Self { caller, body, digest, parts, _share: share })
    }
}

/// Whose request it is; `None` if nobody has its key. Takes no place of those who are known.
async fn identify(
    app: &App,
    parts: &Parts,
    head: &Arc<SignedHead>,
) -> Result<Option<Authenticated>, Problem> {
    let connection = parts.extensions.get::<Connection>();
    let _turn = match connection {
        Some(connection) => Some(connection.head().await),
        None => None,
    };
    // What was known before is believed: a connection's next request is most likely of the same account, and whoever
    // has a key of that has earned its turn.
    let known = connection.and_then(Connection::account);
    let who = known.map_or(Who::Stranger(Some(head.key_id())), Who::Account);
    let head = Arc::clone(head);
    let authenticated = app.run_on((), who, move |vault| head.identify(vault)).await?;
    if let Some(authenticated) = &authenticated {
        make_known(parts, authenticated.account());
    }
    Ok(authenticated)
}

/// Has the log and the table of connections know whose request it is.
fn make_known(parts: &Parts, account: AccountId) {
    if let Some(known) = parts.extensions.get::<IsKnown>() {
        known.set();
    }
    if let Some(connection) = parts.extensions.get::<Connection>() {
        connection.belongs_to(account);
    }
}

/// A place for a request, and its body. The request is used up before its body is awaited.
async fn receive(
    app: &App,
    head: &Arc<SignedHead>,
    authenticated: &Authenticated,
    body: Body,
    limit: usize,
) -> Result<(Share, ReadBody), Problem> {
    let (account, at) = (authenticated.account(), authenticated.at());
    let most = announced(&body, limit)?;
    let share = app.shares.request(account)?;
    let head = Arc::clone(head);
    app.run(account, move |vault| head.use_nonce(vault, account, at)).await?;
    Ok((share, read(app, account, body, most).await?))
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

/// Reads a body of at most `most` bytes that `account` sends. What has not come yet takes no memory but the little that
/// its place covers.
async fn read(app: &App, account: AccountId, body: Body, most: usize) -> Result<ReadBody, Problem> {
    if body.is_end_stream() {
        return Ok(ReadBody { bytes: Vec::new(), _share: None });
    }
    let mut share = None;
    let grow = async || {
        share = Some(app.shares.whole_body(account, most).await?);
        Ok::<_, Problem>(())
    };
    let bytes = timeout(app.limits.body_time, collect(body, most, FIRST_BYTES, grow))
        .await
        .map_err(|_| ProblemCode::Timeout)??;
    Ok(ReadBody { bytes, _share: share })
}

/// Collects a body of at most `limit` bytes; calls `grow` once before it holds more than `first`.
async fn collect(
    mut body: Body,
    limit: usize,
    first: usize,
    grow: impl AsyncFnOnce() -> Result<(), Problem>,
) -> Result<Vec<u8>, Problem> {
    let (mut bytes, mut grow) = (Vec::new(), Some(grow));
    let mut without_pause = 0;
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
        without_pause += data.len();
        if without_pause >= MOST_AT_ONCE {
            without_pause = 0;
            tokio::task::yield_now().await;
        }
    }
    Ok(bytes)
}
