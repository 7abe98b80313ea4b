//! Why a request is refused, inside the server; `routes::answers` turns it into a problem document.

use std::borrow::Cow;

use vault_proto::problem::ProblemCode;

/// A refusal: a code of the one table in `vault_proto::problem`, and what happened this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The code.
    pub code: ProblemCode,
    /// What happened this time; never holds keys, content, or names but the server's own.
    pub detail: Option<Cow<'static, str>>,
}

impl Problem {
    /// A refusal with a sentence about this occurrence.
    pub fn with_detail(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: Some(detail.into()) }
    }

    /// `bad-request` with what is malformed.
    pub fn bad_request(detail: &'static str) -> Self {
        Self::with_detail(ProblemCode::BadRequest, detail)
    }

    /// The one `not-found`. It carries no detail: the answer for what does not exist and for what the caller may not
    /// know must be the same.
    pub const fn not_found() -> Self {
        Self { code: ProblemCode::NotFound, detail: None }
    }

    /// `internal`: the reason goes to the log, the caller learns a request id and nothing else.
    pub fn internal(reason: &dyn std::fmt::Display) -> Self {
        tracing::error!(%reason, "request failed");
        ProblemCode::Internal.into()
    }
}

impl From<ProblemCode> for Problem {
    fn from(code: ProblemCode) -> Self {
        Self { code, detail: None }
    }
}
