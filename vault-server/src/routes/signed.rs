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
        let most = announced(&body, LIMIT);
        // What has no body is checked to the end in one go: each time that work goes from one thread to another it may
        // have to wait for a processor.
        let whole = body.is_end_stream().then(|| request_id(&parts));
        let admitted = admit(app, &parts, &head, most.clone().err(), whole).await?;
        let Admitted { place, authenticated, checked } = admitted.ok_or(ProblemCode::UnknownKey)?;
        if let Some((caller, digest)) = checked {
            let body = ReadBody { bytes: Vec::new(), _share: None };
            return Ok(Self { caller, body, digest, parts, _share: place });
        }
        let account = authenticated.account();
        let body = read(app, account, body, most?).await?;
        let id = request_id(&parts);
        let (caller, digest, body) = app
            .run(account, move |vault| {
                let (caller, digest) = head.complete(vault, &authenticated, body.as_ref(), id)?;
                Ok((caller, digest, body))
            })
            .await?;
        Ok(Self { caller, body, digest, parts, _share: place })
    }
}

impl FromRequest<App> for SignedEnrolment {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let head = Arc::new(SignedHead::parse(&parts, &app.authorities)?);
        let id = request_id(&parts);
        let most = announced(&body, MAX_ENROLMENT);
        if let Some(admitted) = admit(app, &parts, &head, most.clone().err(), None).await? {
            let (account, share) = (admitted.authenticated.account(), admitted.place);
            let body = read(app, account, body, most?).await?;
            let checked =
                app.run(account, move |vault| head.authenticate_enrolment(vault, body.as_ref(), true, id));
            let (caller, submission) = checked.await?;
            return Ok(Self { caller, submission, _share: share });
        }
        let most = most?;
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
        Known::of(&parts).make(caller.actor.account);
        let share = app.shares.request(caller.actor.account)?;
        Ok(Self { caller, submission, _share: share })
    }
}

/// A request of somebody known, which is used up: the same cannot be made again.
struct Admitted {
    place: Share,
    authenticated: Authenticated,
    /// Who makes it and the digest of its body, if everything was checked.
    checked: Option<(Caller, Digest)>,
}

/// Checks whose request it is, gives it a place and uses it up, unless it is refused for what is known of it already;
/// if it is `whole`, under this id, also the rest is checked. `None` if nobody has its key. Until its key is found it
/// takes no place of those who are known.
async fn admit(
    app: &App,
    parts: &Parts,
    head: &Arc<SignedHead>,
    refusal: Option<Problem>,
    whole: Option<String>,
) -> Result<Option<Admitted>, Problem> {
    let known = Known::of(parts);
    let in_order = match &known.connection {
        Some(connection) => Some(connection.head().await),
        None => None,
    };
    // Whose request came before by the same connection is believed to make this one too: who has a key of that account
    // has earned a turn of it.
    let account = known.connection.as_ref().and_then(Connection::account);
    let who = account.map_or(Who::Stranger(Some(head.key_id())), Who::Account);
    let (shares, of_head) = (Arc::clone(&app.shares), Arc::clone(head));
    let begun = app.run_on((), who, move |vault| {
        let Some(authenticated) = of_head.identify(vault)? else {
            return Ok(None);
        };
        drop(in_order);
        let account = authenticated.account();
        known.make(account);
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let place = shares.request(account)?;
        // On a thread of the account, if there is one: from here on it waits for the disk.
        let Some(_thread) = shares.thread_now(account) else {
            return Ok(Some((place, authenticated, Err(whole))));
        };
        let checked = use_up(vault, &of_head, &authenticated, whole)?;
        Ok(Some((place, authenticated, Ok(checked))))
    });
    let Some((place, authenticated, begun)) = begun.await? else {
        return Ok(None);
    };
    let (authenticated, checked) = match begun {
        Ok(checked) => (authenticated, checked),
        Err(whole) => {
            let head = Arc::clone(head);
            let work = move |vault: &Vault| {
                let checked = use_up(vault, &head, &authenticated, whole)?;
                Ok((authenticated, checked))
            };
            app.run(place.who(), work).await?
        }
    };
    Ok(Some(Admitted { place, authenticated, checked }))
}

/// Uses a request up, and if it is whole, checks the rest.
fn use_up(
    vault: &Vault,
    head: &SignedHead,
    authenticated: &Authenticated,
    whole: Option<String>,
) -> Result<Option<(Caller, Digest)>, Problem> {
    head.use_nonce(vault, authenticated.account(), authenticated.at())?;
    whole.map(|id| head.complete(vault, authenticated, &[], id)).transpose()
}

/// What learns whose request it is: the log and the table of connections.
struct Known {
    log: Option<IsKnown>,
    connection: Option<Connection>,
}

impl Known {
    fn of(parts: &Parts) -> Self {
        Self { log: parts.extensions.get().cloned(), connection: parts.extensions.get().cloned() }
    }

    fn make(&self, account: AccountId) {
        if let Some(log) = &self.log {
            log.set();
        }
        if let Some(connection) = &self.connection {
            connection.belongs_to(account);
        }
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
