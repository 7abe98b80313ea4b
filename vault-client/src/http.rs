//! Requests on sockets.

use std::time::Duration;

use bytes::BytesMut;
use vault_engine::effects::{Answer, Method, NoAnswer, Request, Response};
use vault_engine::error::ClientError;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence of the server within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections to servers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HttpClient(reqwest::Client);

impl HttpClient {
    /// `authorities` are certificates in PEM of those that may vouch for a server, and no others may; without it, those
    /// of this machine may.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if `authorities` hold no certificate.
    pub(crate) fn new(authorities: Option<&[u8]>) -> Result<Self, ClientError> {
        let mut client = reqwest::Client::builder();
        if let Some(pem) = authorities {
            let certificates = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
            if certificates.is_empty() {
                let what = "the file of the server's authority holds no certificate in PEM (-----BEGIN CERTIFICATE-----)";
                return Err(ClientError::Usage(what.to_owned()));
            }
            client = client.tls_certs_only(certificates);
        }
        let client = client
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(concat!("recording-vault/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ClientError::Bug(format!("the HTTP client could not be set up: {error}")))?;
        Ok(Self(client))
    }

    /// One try.
    pub(crate) async fn fetch(&self, request: Request) -> Answer {
        match self.try_once(request).await {
            Ok(answer) => answer,
            Err(error) => Answer::NoAnswer(NoAnswer::Lost(innermost(&error))),
        }
    }

    async fn try_once(&self, request: Request) -> Result<Answer, reqwest::Error> {
        let Request { method, url, headers, body, limit } = request;
        let method = match method {
            Method::Get => reqwest::Method::GET,
            Method::Put => reqwest::Method::PUT,
            Method::Post => reqwest::Method::POST,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = self.0.request(method, url);
        let mut has_body = false;
        for (name, value) in headers {
            has_body |= name == "content-type";
            builder = builder.header(name, value);
        }
        if has_body {
            builder = builder.body(body);
        }
        let mut response = builder.send().await?;
        let status = response.status().as_u16();
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await? {
            if body.len() + piece.len() > limit {
                return Ok(Answer::NoAnswer(NoAnswer::TooLong(status)));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer::Response(Response { status, body: body.freeze() }))
    }
}

/// The innermost cause says most ("connection refused"); the outer ones repeat the address.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
