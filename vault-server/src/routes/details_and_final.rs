//! `/v1/recordings/{recording}/details` and `/final`.

use axum::extract::{Path, State};
use axum::response::Response;
use vault_proto::envelope::MAX_ENVELOPE;
use vault_proto::wire::MAX_DETAILS;

use super::signed::{Signed, SignedGet};
use super::{App, bytes, id, stored};
use crate::ops::details_and_final;
use crate::problem::Problem;

pub(crate) async fn store_details(
    State(app): State<App>,
    Path(recording): Path<String>,
    request: Signed<MAX_DETAILS>,
) -> Result<Response, Problem> {
    let recording = id(&recording)?;
    app.run(move |vault| {
        details_and_final::store_details(vault, &request.caller, recording, request.body.as_ref())
    })
    .await
    .map(stored)
}

pub(crate) async fn details(
    State(app): State<App>,
    Path(recording): Path<String>,
    request: SignedGet,
) -> Result<Response, Problem> {
    let recording = id(&recording)?;
    app.run(move |vault| details_and_final::details(vault, &request.caller, recording)).await.map(bytes)
}

pub(crate) async fn store_final_seal(
    State(app): State<App>,
    Path(recording): Path<String>,
    request: Signed<MAX_ENVELOPE>,
) -> Result<Response, Problem> {
    let recording = id(&recording)?;
    app.run(move |vault| {
        details_and_final::store_final_seal(vault, &request.caller, recording, request.body.as_ref())
    })
    .await
    .map(stored)
}
