//! `/v1/recordings`, `/v1/recordings/{recording}` and its `/keys/{generation}`.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use vault_proto::key_object::MAX_KEY_OBJECT;
use vault_proto::wire::MAX_JSON_BODY;

use super::signed::{Signed, SignedGet};
use super::{App, as_bytes, as_json, id, json, number, stored};
use crate::event::Caller;
use crate::ops::Vault;
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

pub(crate) async fn key(
    State(app): State<App>,
    Path((recording, generation)): Path<(String, String)>,
    request: SignedGet,
) -> Result<Response, Problem> {
    let (recording, generation) = (id(&recording)?, number(&generation)?);
    let operation =
        move |vault: &Vault, caller: &Caller| recordings::key(vault, caller, recording, generation);
    app.answer(request, MAX_KEY_OBJECT, operation, as_bytes).await
}
