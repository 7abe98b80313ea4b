//! `/v1/recordings/{recording}/segments/{segment}` and what lies under it, but for the body.

use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::response::Response;
use vault_proto::geometry::MAX_PART;
use vault_proto::wire::{MAX_JSON_BODY, MAX_SEAL, SEGMENT_PROGRESS};

use super::signed::{Signed, SignedGet};
use super::{App, as_bytes, bytes, id, number, stored};
use crate::event::Caller;
use crate::ops::{Vault, segments};
use crate::problem::Problem;

type SegmentPath = Path<(String, String)>;

pub(crate) async fn open(
    State(app): State<App>,
    Path((recording, segment)): SegmentPath,
    request: Signed<MAX_JSON_BODY>,
) -> Result<Response, Problem> {
    let (recording, segment) = (id(&recording)?, number(&segment)?);
    app.run(request.account(), move |vault| {
        segments::open(vault, &request.caller, recording, segment, request.body.as_ref())
    })
    .await
    .map(stored)
}

pub(crate) async fn abandon(
    State(app): State<App>,
    Path((recording, segment)): SegmentPath,
    request: SignedGet,
) -> Result<Response, Problem> {
    let (recording, segment) = (id(&recording)?, number(&segment)?);
    app.run(request.account(), move |vault| segments::abandon(vault, &request.caller, recording, segment))
        .await
        .map(stored)
}

pub(crate) async fn store_part(
    State(app): State<App>,
    Path((recording, segment, part)): Path<(String, String, String)>,
    request: Signed<MAX_PART>,
) -> Result<Response, Problem> {
    let (recording, place) = (id(&recording)?, (number(&segment)?, number(&part)?));
    app.run(request.account(), move |vault| {
        let body = request.body.as_ref();
        let progress = request.parts.headers.get(SEGMENT_PROGRESS).map(HeaderValue::as_bytes);
        segments::store_part(vault, &request.caller, recording, place, body, request.digest, progress)
    })
    .await
    .map(stored)
}

pub(crate) async fn seal(
    State(app): State<App>,
    Path((recording, segment)): SegmentPath,
    request: Signed<MAX_SEAL>,
) -> Result<Response, Problem> {
    let (recording, segment) = (id(&recording)?, number(&segment)?);
    app.run(request.account(), move |vault| {
        segments::seal(vault, &request.caller, recording, segment, request.body.as_ref())
    })
    .await
    .map(stored)
}

pub(crate) async fn part_hashes(
    State(app): State<App>,
    Path((recording, segment)): SegmentPath,
    request: SignedGet,
) -> Result<Response, Problem> {
    let (recording, segment) = (id(&recording)?, number(&segment)?);
    let (account, caller) = (request.account(), request.caller.clone());
    let size =
        app.run(account, move |vault| segments::part_hashes_size(vault, &caller, recording, segment)).await?;
    let operation =
        move |vault: &Vault, caller: &Caller| segments::part_hashes(vault, caller, recording, segment);
    app.answer(request, size, operation, as_bytes).await
}

pub(crate) async fn header(
    State(app): State<App>,
    Path((recording, segment)): SegmentPath,
    request: SignedGet,
) -> Result<Response, Problem> {
    let (recording, segment) = (id(&recording)?, number(&segment)?);
    app.run(request.account(), move |vault| segments::header(vault, &request.caller, recording, segment))
        .await
        .map(bytes)
}
