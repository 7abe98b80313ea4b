//! `/healthz`, `/readyz`, `/v1/server`: unsigned.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use vault_proto::wire::ServerInfo;

use super::{App, json};

pub(crate) async fn alive() -> &'static str {
    "ok"
}

pub(crate) async fn ready(State(app): State<App>) -> Result<&'static str, StatusCode> {
    let ready = async { app.run_on(app.shares.probe().await?, |vault| Ok(vault.is_ready())).await };
    match ready.await {
        Ok(true) => Ok("ready"),
        Ok(false) | Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

pub(crate) async fn server(State(app): State<App>) -> Response {
    json(&ServerInfo {
        organisation: app.vault.organisation,
        time: (app.vault.clock)(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
