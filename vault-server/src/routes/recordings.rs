//! `/v1/recordings` and `/v1/recordings/{recording}`.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use vault_proto::wire::MAX_JSON_BODY;

use super::signed::{Signed, SignedGet};
use super::{App, as_json, id, json, stored};
use crate::ops::recordings::{self, ListRequest};
use crate::problem::Problem;

pub(crate) async fn create(
    State(app): State<App>,
    request: Signed<MAX_JSON_BODY>,
) -> Result<Response, Problem> {
    app.run(request.account(), move |vault| recordings::create(vault, &request.caller, request.body.as_ref()))
        .await
        .map(stored)
}

pub(crate) async fn list(State(app): State<App>, request: SignedGet) -> Result<Response, Problem> {
    let Query(query) = Query::<ListRequest>::try_from_uri(&request.parts.uri)
        .map_err(|_| Problem::bad_request("The query is not that of a list."))?;
    app.run(request.account(), move |vault| recordings::list(vault, &request.caller, &query))
        .await
        .map(|page| json(&page))
}

pub(crate) async fn record(
    State(app): State<App>,
    Path(recording): Path<String>,
    request: SignedGet,
) -> Result<Response, Problem> {
    let recording = id(&recording)?;
    let caller = request.caller.clone();
    let size =
        app.run(request.account(), move |vault| recordings::record_size(vault, &caller, recording)).await?;
    app.answer(request, size, move |vault, caller| recordings::record(vault, caller, recording), as_json)
        .await
}
