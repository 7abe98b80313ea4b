//! `/healthz`, `/readyz`, `/v1/server`: unsigned.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Mutex;
use tokio::time::Instant;
use vault_proto::wire::ServerInfo;

use super::{App, answers, json};
use crate::ops::Readiness;
use crate::turns::Who;

pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Time for which what was found is answered to whoever asks: nobody can have the disk written to more often.
const KEPT: Duration = Duration::from_secs(1);

/// What the last look found, and when.
pub(crate) type LastLook = Mutex<Option<(Instant, Readiness)>>;

pub(crate) async fn ready(State(app): State<App>) -> Response {
    // One looks, the others wait for what it finds.
    let mut last = app.last_look.lock().await;
    let readiness = match *last {
        Some((at, found)) if at.elapsed() < KEPT => found,
        _ => {
            let look = async {
                let thread = app.shares.probe().await?;
                app.run_on(thread, Who::Stranger(None), |vault| Ok(vault.readiness())).await
            };
            let found = look.await.unwrap_or(Readiness::Failing);
            *last = Some((Instant::now(), found));
            found
        }
    };
    drop(last);
    let line = match readiness {
        Readiness::Ready => return "ready\n".into_response(),
        Readiness::Full => "storage-full: reads are served, recordings are not stored\n",
        Readiness::FullWithoutReads => "storage-full: nothing is served and nothing is stored\n",
        Readiness::Failing => "internal: the index or the objects do not work, see the log\n",
    };
    answers::as_it_is((StatusCode::SERVICE_UNAVAILABLE, line).into_response())
}

pub(crate) async fn server(State(app): State<App>) -> Response {
    json(&ServerInfo {
        organisation: app.vault.organisation,
        time: (app.vault.clock)(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
