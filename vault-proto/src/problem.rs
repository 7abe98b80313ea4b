//! The one table of problem codes: what a server answers when it refuses (PROTOCOL.md, "Problems"; RFC 9457).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident $code:literal $status:literal $title:literal;)*) => {
        /// A reason for refusing a request. Codes are a contract: they are only ever added to.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ProblemCode {
            $($(#[$doc])* #[serde(rename = $code)] $name,)*
        }

        impl ProblemCode {
            /// All codes, in the order of the table in PROTOCOL.md.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as it stands in a problem document.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// HTTP status it is answered with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }

            /// What it means, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }
        }
    };
}

problems! {
    /// A path, query, header or body that breaks the grammar of the protocol.
    BadRequest "bad-request" 400 "The request is malformed.";
    /// A signature header is missing or not of the accepted form.
    SignatureMissing "signature-missing" 401 "The request is not signed in the accepted form.";
    /// The signature does not verify over this request.
    SignatureInvalid "signature-invalid" 401 "The request's signature does not fit the request.";
    /// `created` is too far from the server's clock.
    SignatureStale "signature-stale" 401 "The request's time differs too much from the server's clock.";
    /// The key has used this nonce before.
    SignatureReplayed "signature-replayed" 401 "This very request was made before.";
    /// No device with this key id is enrolled, or it was removed.
    UnknownKey "unknown-key" 401 "The signing key belongs to no enrolled device.";
    /// The caller's certificate or key list does not count at this time.
    CertificateExpired "certificate-expired" 403 "The caller's certificate does not count at this time.";
    /// The caller may see the thing, but not do this to it.
    Forbidden "forbidden" 403 "The caller's role does not allow this.";
    /// Not there, or not for the caller to know.
    NotFound "not-found" 404 "There is no such thing here, or it is not the caller's.";
    /// The path exists, the method does not.
    MethodNotAllowed "method-not-allowed" 405 "The path does not have this method.";
    /// The caller took too long to send the request.
    Timeout "timeout" 408 "The request did not arrive in time.";
    /// Something else is already stored under this name.
    Conflict "conflict" 409 "Something else is already stored there.";
    /// The step does not fit the state of the recording.
    OutOfOrder "out-of-order" 409 "The recording is not in a state for this step.";
    /// The body is larger than this request may have.
    TooLarge "too-large" 413 "The body is too large.";
    /// The range lies outside the body.
    RangeNotSatisfiable "range-not-satisfiable" 416 "The range lies outside the body.";
    /// The body is not what its digest says.
    DigestMismatch "digest-mismatch" 422 "The body does not have the digest that was signed; send it again.";
    /// A statement, header or object that does not check.
    StatementRefused "statement-refused" 422 "A signed statement or sealed object was refused.";
    /// The certificate chain or key list does not check under the organisation.
    CredentialsRefused "credentials-refused" 422 "The certificate or key list was refused.";
    /// The server broke.
    Internal "internal" 500 "The server failed; nothing was stored.";
    /// Too many requests at once.
    Busy "busy" 503 "The server is busy; try again shortly.";
    /// The store has no room.
    StorageFull "storage-full" 507 "The store is full; nothing was stored.";
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:recording-vault:problem:` and the code.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// What the code means.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// The code. A client that does not know it goes by the status.
    pub code: String,
    /// What happened this time; never holds names, keys or content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Id by which the operator finds the request in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// The document for one occurrence of `code`.
    pub fn new(code: ProblemCode, detail: Option<String>, request_id: Option<String>) -> Self {
        Self {
            problem_type: format!("urn:recording-vault:problem:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            code: code.code().to_owned(),
            detail,
            request_id,
        }
    }

    /// The code, if this version knows it.
    pub fn known_code(&self) -> Option<ProblemCode> {
        ProblemCode::ALL.iter().copied().find(|code| code.code() == self.code)
    }
}
