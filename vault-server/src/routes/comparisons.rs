//! `/v1/comparisons/{account}`.

use axum::extract::{Path, State};
use axum::response::Response;

use super::signed::{Signed, SignedGet};
use super::{App, id, json, stored};
use crate::ops::comparisons;
use crate::problem::Problem;

/// Bytes of a commitment and of a nonce.
const VALUE: usize = 32;

pub(crate) async fn commit(
    State(app): State<App>,
    Path(other): Path<String>,
    request: Signed<VALUE>,
) -> Result<Response, Problem> {
    let other = id(&other)?;
    app.run(request.account(), move |vault| {
        comparisons::commit(vault, &request.caller, other, request.body.as_ref())
    })
    .await
    .map(stored)
}

pub(crate) async fn reveal(
    State(app): State<App>,
    Path(other): Path<String>,
    request: Signed<VALUE>,
) -> Result<Response, Problem> {
    let other = id(&other)?;
    app.run(request.account(), move |vault| {
        comparisons::reveal(vault, &request.caller, other, request.body.as_ref())
    })
    .await
    .map(stored)
}

pub(crate) async fn state(
    State(app): State<App>,
    Path(other): Path<String>,
    request: SignedGet,
) -> Result<Response, Problem> {
    let other = id(&other)?;
    app.run(request.account(), move |vault| comparisons::state(vault, &request.caller, other))
        .await
        .map(|state| json(&state))
}

pub(crate) async fn withdraw(
    State(app): State<App>,
    Path(other): Path<String>,
    request: SignedGet,
) -> Result<Response, Problem> {
    let other = id(&other)?;
    app.run(request.account(), move |vault| comparisons::withdraw(vault, &request.caller, other))
        .await
        .map(stored)
}
