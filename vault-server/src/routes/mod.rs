//! From HTTP to operations and back; no rule of the protocol is decided here.

pub(crate) mod accounts;
pub(crate) mod answers;
pub(crate) mod body;
pub(crate) mod comparisons;
pub(crate) mod details_and_final;
mod fair_pool;
pub(crate) mod health;
mod outgoing;
pub(crate) mod recordings;
pub(crate) mod segments;
mod shares;
mod signed;
pub(crate) mod statements;
mod strangers;

use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

use shares::Shares;
use signed::SignedGet;
use vault_proto::ids::AccountId;

use crate::authentication::Authorities;
use crate::connections::Connection;
use crate::event::Caller;
use crate::limits::Limits;
use crate::ops::Vault;
use crate::problem::Problem;
use crate::store::Stored;
use crate::turns::Who;

/// What every route works with.
#[derive(Clone)]
pub(crate) struct App {
    vault: Arc<Vault>,
    authorities: Arc<Authorities>,
    shares: Arc<Shares>,
    limits: Limits,
    last_look: Arc<health::LastLook>,
}

impl App {
    pub(crate) fn new(vault: Arc<Vault>, authorities: Authorities, limits: Limits) -> Self {
        Self {
            vault,
            authorities: Arc::new(authorities),
            shares: Shares::new(),
            limits,
            last_look: Arc::default(),
        }
    }

    /// Runs an operation whose answer is built whole and takes up to `bytes` bytes meanwhile.
    async fn answer<T: Send + 'static>(
        &self,
        request: SignedGet,
        bytes: usize,
        operation: impl FnOnce(&Vault, &Caller) -> Result<T, Problem> + Send + 'static,
        encode: impl FnOnce(T) -> Result<(&'static str, Vec<u8>), Problem> + Send + 'static,
    ) -> Result<Response, Problem> {
        let account = request.caller.actor.account;
        let share = self.shares.answer(account, bytes).await?;
        let connection = request.parts.extensions.get::<Connection>().cloned();
        let (kind, bytes) =
            self.run(account, move |vault| encode(operation(vault, &request.caller)?)).await?;
        let length = bytes.len();
        let body = outgoing::whole(bytes, share, connection, self.limits.stall_time);
        Response::builder()
            .header(CACHE_CONTROL, "private, no-store")
            .header(CONTENT_TYPE, kind)
            .header(CONTENT_LENGTH, length)
            .body(body)
            .map_err(|error| Problem::internal(&error))
    }

    /// Runs an operation for `account` on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        account: AccountId,
        operation: impl FnOnce(&Vault) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let thread = self.shares.thread(account).await?;
        self.run_on(thread, Who::Account(account), operation).await
    }

    /// Runs an operation in a turn of `who`, on the thread that `thread` stands for, which is given back when the
    /// operation is done, whether or not somebody still waits for it.
    async fn run_on<T: Send + 'static>(
        &self,
        thread: impl Send + 'static,
        who: Who,
        operation: impl FnOnce(&Vault) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let vault = Arc::clone(&self.vault);
        let span = tracing::Span::current();
        let work = move || {
            let done = span.in_scope(|| operation(&vault));
            drop(thread);
            done
        };
        self.shares.turns.run(who, work).await.ok_or_else(|| Problem::internal(&"it panicked"))?
    }
}

/// An id in a path. What is no id names nothing.
fn id<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

/// A number in a path: decimal, without sign or leading zeros.
fn number(text: &str) -> Result<u32, Problem> {
    let number: u32 = text.parse().map_err(|_| Problem::not_found())?;
    if number.to_string() == text { Ok(number) } else { Err(Problem::not_found()) }
}

fn stored(stored: Stored) -> Response {
    match stored {
        Stored::New => StatusCode::CREATED,
        Stored::Same => StatusCode::OK,
    }
    .into_response()
}

fn json<T: serde::Serialize>(value: &T) -> Response {
    (PRIVATE, Json(value)).into_response()
}

/// What a caller was answered is for nobody else to keep.
const PRIVATE: [(axum::http::HeaderName, &str); 1] = [(CACHE_CONTROL, "private, no-store")];

fn bytes(bytes: Vec<u8>) -> Response {
    (PRIVATE, bytes).into_response()
}

/// Bytes as [`App::answer`] sends them.
#[expect(clippy::unnecessary_wraps, reason = "a way to encode, of which others fail")]
fn as_bytes(bytes: Vec<u8>) -> Result<(&'static str, Vec<u8>), Problem> {
    Ok(("application/octet-stream", bytes))
}

/// JSON as [`App::answer`] sends it.
fn as_json<T: serde::Serialize>(value: T) -> Result<(&'static str, Vec<u8>), Problem> {
    let bytes = serde_json::to_vec(&value).map_err(|error| Problem::internal(&error))?;
    Ok(("application/json", bytes))
}
