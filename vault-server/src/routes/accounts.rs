//! `/v1/accounts`, and what is below it.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use vault_proto::wire::MAX_ENROLMENT;

use super::signed::{Signed, SignedEnrolment, SignedGet};
use super::{App, as_json, id, json, stored};
use crate::ops::{accounts, recordings};
use crate::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Find {
    prefix: String,
}

pub(crate) async fn enrol(State(app): State<App>, request: SignedEnrolment) -> Result<Response, Problem> {
    app.run(request.account(), move |vault| accounts::enrol(vault, &request.caller, &request.submission))
        .await
        .map(stored)
}

pub(crate) async fn find(State(app): State<App>, request: SignedGet) -> Result<Response, Problem> {
    let Query(query) = Query::<Find>::try_from_uri(&request.parts.uri)
        .map_err(|_| Problem::bad_request("The query must be one prefix."))?;
    app.run(request.account(), move |vault| accounts::find(vault, &request.caller, &query.prefix))
        .await
        .map(|matches| json(&matches))
}

pub(crate) async fn replace_certificate(
    State(app): State<App>,
    Path(account): Path<String>,
    request: Signed<MAX_ENROLMENT>,
) -> Result<Response, Problem> {
    let account = id(&account)?;
    app.run(request.account(), move |vault| {
        accounts::replace_certificate(vault, &request.caller, account, request.body.as_ref())
    })
    .await
    .map(stored)
}

pub(crate) async fn look_up(
    State(app): State<App>,
    Path(account): Path<String>,
    request: SignedGet,
) -> Result<Response, Problem> {
    let account = id(&account)?;
    let size = app.run(request.account(), move |vault| accounts::entry_size(vault, account)).await?;
    app.answer(request, size, move |vault, caller| accounts::look_up(vault, caller, account), as_json).await
}

pub(crate) async fn last(
    State(app): State<App>,
    Path(account): Path<String>,
    request: SignedGet,
) -> Result<Response, Problem> {
    let account = id(&account)?;
    let size = recordings::last_size();
    app.answer(request, size, move |vault, caller| recordings::last(vault, caller, account), as_json).await
}
