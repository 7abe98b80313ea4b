//! From HTTP to operations and back; no rule of the protocol is decided here.

pub(crate) mod accounts;
pub(crate) mod answers;
pub(crate) mod body;
pub(crate) mod comparisons;
pub(crate) mod details_and_final;
pub(crate) mod health;
pub(crate) mod recordings;
pub(crate) mod segments;
mod signed;

use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;

use crate::authentication::Authorities;
use crate::ops::Vault;
use crate::problem::Problem;
use crate::store::Stored;

/// Memory that request bodies may take together, in KiB.
const BODY_BUDGET_KIB: usize = 20 * 1024;
/// Bodies of recordings that are sent at the same time.
const MAX_STREAMS: usize = 64;

/// What every route works with.
#[derive(Clone)]
pub(crate) struct App {
    vault: Arc<Vault>,
    authorities: Arc<Authorities>,
    body_budget: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(vault: Vault, authorities: Authorities) -> Self {
        Self {
            vault: Arc::new(vault),
            authorities: Arc::new(authorities),
            body_budget: Arc::new(Semaphore::new(BODY_BUDGET_KIB)),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        }
    }

    /// Runs an operation on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Vault) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let vault = Arc::clone(&self.vault);
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || span.in_scope(|| operation(&vault)))
            .await
            .map_err(|error| Problem::internal(&error))?
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
const PRIVATE: [(axum::http::HeaderName, &str); 1] =
    [(axum::http::header::CACHE_CONTROL, "private, no-store")];

fn bytes(bytes: Vec<u8>) -> Response {
    (PRIVATE, bytes).into_response()
}
