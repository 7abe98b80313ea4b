//! `/v1/recordings/{recording}/details` and `/final`.

use axum::extract::{Path, State};
use axum::response::Response;
use vault_proto::wire::{MAX_DETAILS, MAX_SEAL};

use super::signed::{Signed, SignedGet};
use super::{App, as_bytes, id, stored};
use crate::event::Caller;
use crate::ops::{Vault, details_and_final};
use crate::problem::Problem;

pub(crate) async fn store_details(
    State(app): State<App>,
    Path(recording): Path<String>,
    request: Signed<MAX_DETAILS>,
) -> Result<Response, Problem> {
    let recording = id(&recording)?;
    app.run(request.account(), move |vault| {
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
    let operation =
        move |vault: &Vault, caller: &Caller| details_and_final::details(vault, caller, recording);
    app.answer(request, MAX_DETAILS, operation, as_bytes).await
}

pub(crate) async fn store_final_seal(
    State(app): State<App>,
    Path(recording): Path<String>,
    request: Signed<MAX_SEAL>,
) -> Result<Response, Problem> {
    let recording = id(&recording)?;
    app.run(request.account(), move |vault| {
        details_and_final::store_final_seal(vault, &request.caller, recording, request.body.as_ref())
    })
    .await
    .map(stored)
}
