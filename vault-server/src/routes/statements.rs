//! `/v1/statements`.

use axum::extract::State;
use axum::response::Response;

use super::signed::SignedGet;
use super::{App, as_json};
use crate::ops::statements;
use crate::problem::Problem;

pub(crate) async fn fetch(State(app): State<App>, request: SignedGet) -> Result<Response, Problem> {
    let digests = statements::asked(request.parts.uri.query())?;
    let of_sizes = digests.clone();
    let size = app.run(request.account(), move |vault| statements::size(vault, &of_sizes)).await?;
    app.answer(request, size, move |vault, caller| statements::fetch(vault, caller, &digests), as_json).await
}
