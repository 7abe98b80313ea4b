//! Signed requests to one server (PROTOCOL.md, "Request signatures").

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vault_core::signing_key::SigningKey;
use vault_proto::http_signature::{
    CONTENT_DIGEST, Nonce, RequestTarget, SIGNATURE, SIGNATURE_INPUT, SignatureInput, content_digest_value,
    signature_value,
};
use vault_proto::ids::{Digest, KeyId, PublicKey};
use vault_proto::problem::Problem;
use vault_proto::wire::SEGMENT_PROGRESS;

use crate::clock::unix_seconds;
use crate::error::{ClientError, is_passing};

/// Pause before the second try; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence of the server within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of a problem document that are read.
const MAX_PROBLEM: usize = 16 * 1024;

/// A server, and the device key that signs what is asked of it. Cheap to clone.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
    retry_for: Option<Duration>,
}

struct Inner {
    base: reqwest::Url,
    authority: String,
    client: reqwest::Client,
    device: Arc<SigningKey>,
    key_id: KeyId,
}

/// An answer within its limits.
pub struct Answer {
    /// Status, always a success.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// The pauses between the tries of one request.
struct Pauses {
    next: Duration,
    left: Duration,
}

impl Pauses {
    const fn of(retry_for: Duration) -> Self {
        Self { next: FIRST_PAUSE, left: retry_for }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next.min(self.left);
        self.left -= pause;
        self.next = LONGEST_PAUSE.min(self.next * 2);
        (!pause.is_zero()).then_some(pause)
    }
}

/// One request, before it is signed.
struct Request<'a> {
    method: Method,
    path: &'a str,
    query: Option<&'a str>,
    body: Bytes,
    digest: Digest,
    content_type: Option<&'static str>,
    range: Option<(u64, u64)>,
    progress: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A request without a body.
    fn bare(method: Method, path: &'a str) -> Self {
        Self {
            method,
            path,
            query: None,
            body: Bytes::new(),
            digest: Digest::of(b""),
            content_type: None,
            range: None,
            progress: None,
        }
    }
}

/// Whether another try may go better.
enum Failure {
    Passing(ClientError),
    Lasting(ClientError),
    /// The server says that there is no such thing, or not so much of it.
    Absent(ClientError),
}

impl From<Failure> for ClientError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Passing(error) | Failure::Lasting(error) | Failure::Absent(error) => error,
        }
    }
}

impl Connection {
    /// For how long a request is tried again unless [`Self::with_retry_for`] says otherwise: six tries.
    const RETRY_FOR: Duration = Duration::from_secs(6);

    /// Prepares requests to `server` (`https://host[:port]`; `http` is for one machine or a proxy's side), signed by
    /// `device`. Connects only when something is asked.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if `server` is no such address.
    pub fn new(server: &str, device: Arc<SigningKey>) -> Result<Self, ClientError> {
        Self::with_client(server, device, reqwest::Client::builder())
    }

    /// As [`Self::new`], to a server whose TLS certificate one of the authorities in `pem` vouches for, and no other.
    ///
    /// # Errors
    /// [`ClientError::Usage`] also if `pem` holds no certificate.
    pub fn vouched_for_by(server: &str, device: Arc<SigningKey>, pem: &[u8]) -> Result<Self, ClientError> {
        let certificates = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
        if certificates.is_empty() {
            let what = "the file of the server's authority holds no certificate in PEM (-----BEGIN CERTIFICATE-----)";
            return Err(ClientError::Usage(what.to_owned()));
        }
        Self::with_client(server, device, reqwest::Client::builder().tls_certs_only(certificates))
    }

    fn with_client(
        server: &str,
        device: Arc<SigningKey>,
        client: reqwest::ClientBuilder,
    ) -> Result<Self, ClientError> {
        let (base, host) = address(server)?;
        // `Url::port` is `None` for the scheme's own port, as `@authority` wants it.
        let authority = base.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let client = client
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(concat!("recording-vault/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ClientError::Bug(format!("the HTTP client could not be set up: {error}")))?;
        let key_id = KeyId::of_device(&PublicKey::from_bytes(device.public()));
        Ok(Self { inner: Arc::new(Inner { base, authority, client, device, key_id }), retry_for: None })
    }

    /// The same connection, where a request that got no answer or a passing refusal (busy, an object that the server
    /// finds damaged) is tried again for this long, which every write of the protocol allows. What counts is the pauses
    /// between the tries, 0.2 s and doubling up to 5 s, and not the tries themselves; with zero, a request is tried
    /// once. Unless it is set, that is 6 s.
    ///
    /// The end of a stream ([`seal_stream`](crate::sealing::seal_stream)) waits as long for a server that is away, and
    /// 60 s unless it is set.
    #[must_use]
    pub fn with_retry_for(&self, retry_for: Duration) -> Self {
        Self { inner: Arc::clone(&self.inner), retry_for: Some(retry_for) }
    }

    /// What [`Self::with_retry_for`] was told.
    pub(crate) const fn retry_for(&self) -> Option<Duration> {
        self.retry_for
    }

    /// The server's address.
    pub fn server(&self) -> &str {
        self.inner.base.as_str().trim_end_matches('/')
    }

    /// The device key.
    pub fn device(&self) -> &SigningKey {
        &self.inner.device
    }

    /// Fetches a JSON document of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Option<&str>,
        limit: usize,
    ) -> Result<T, ClientError> {
        let answer = self.get(path, query, None, limit).await?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            // The parser's own words repeat what the server wrote.
            self.off_protocol(format!(
                "its answer is not of the form it should have, at line {}, column {}",
                error.line(),
                error.column()
            ))
        })
    }

    /// Fetches at most `limit` bytes; with `range`, the bytes from its first to its last, both included.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Protocol`] if more bytes come.
    pub async fn get(
        &self,
        path: &str,
        query: Option<&str>,
        range: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Answer, ClientError> {
        Ok(self.send(Request { query, range, ..Request::bare(Method::GET, path) }, limit).await?)
    }

    /// As [`Self::get`], of something that must be there: `None` if the server answers 404 or 416, with whatever body.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_stored(
        &self,
        path: &str,
        range: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Option<Bytes>, ClientError> {
        match self.send(Request { range, ..Request::bare(Method::GET, path) }, limit).await {
            Ok(answer) => Ok(Some(answer.body)),
            Err(Failure::Absent(_)) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Deletes a resource.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(Request::bare(Method::DELETE, path), MAX_PROBLEM).await?;
        Ok(())
    }

    /// Sends JSON.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send_json<T: Serialize>(
        &self,
        method: Method,
        path: &str,
        value: &T,
    ) -> Result<Answer, ClientError> {
        let body = serde_json::to_vec(value).map_err(|error| ClientError::Bug(error.to_string()))?;
        self.send_bytes(method, path, body.into(), "application/json").await
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send_bytes(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        content_type: &'static str,
    ) -> Result<Answer, ClientError> {
        let digest = Digest::of(&body);
        let request =
            Request { body, digest, content_type: Some(content_type), ..Request::bare(method, path) };
        Ok(self.send(request, MAX_PROBLEM).await?)
    }

    /// Stores a part whose digest is known already, with its segment's signed progress.
    pub(crate) async fn put_part(
        &self,
        path: &str,
        body: Bytes,
        digest: Digest,
        progress: Option<&str>,
    ) -> Result<Answer, ClientError> {
        let request = Request {
            body,
            digest,
            content_type: Some("application/octet-stream"),
            progress,
            ..Request::bare(Method::PUT, path)
        };
        Ok(self.send(request, MAX_PROBLEM).await?)
    }

    async fn send(&self, request: Request<'_>, limit: usize) -> Result<Answer, Failure> {
        let mut pauses = Pauses::of(self.retry_for.unwrap_or(Self::RETRY_FOR));
        loop {
            let (error, pause) = match self.try_once(&request, limit).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Passing(error)) => match pauses.next() {
                    Some(pause) => (error, pause),
                    None => return Err(Failure::Passing(error)),
                },
                Err(failure) => return Err(failure),
            };
            tracing::debug!(path = request.path, %error, ?pause, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn try_once(&self, request: &Request<'_>, limit: usize) -> Result<Answer, Failure> {
        let signed = self.sign(request).map_err(Failure::Lasting)?;
        let mut response =
            self.inner.client.execute(signed).await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let limit = if status.is_success() { limit } else { MAX_PROBLEM };
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + piece.len() > limit {
                return Err(Failure::Lasting(
                    self.off_protocol(format!("an answer of more than {limit} bytes")),
                ));
            }
            body.extend_from_slice(&piece);
        }
        if status.is_success() {
            return Ok(Answer { status, headers: response.headers().clone(), body: body.freeze() });
        }
        Err(self.refusal(request, status, &body))
    }

    fn sign(&self, request: &Request<'_>) -> Result<reqwest::Request, ClientError> {
        let inner = &self.inner;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)
            .map_err(|_| ClientError::Bug("the operating system gave no random bytes".to_owned()))?;
        let input =
            SignatureInput { created: unix_seconds(), nonce: Nonce::from_bytes(nonce), key_id: inner.key_id };
        let target = RequestTarget {
            method: request.method.as_str(),
            authority: &inner.authority,
            path: request.path,
            query: request.query,
            content_digest: request.digest,
        };
        let signature = inner.device.sign(&target.signature_base(&input));
        let mut url = inner.base.clone();
        url.set_path(request.path);
        url.set_query(request.query);
        let mut builder = inner
            .client
            .request(request.method.clone(), url)
            .header(CONTENT_DIGEST, content_digest_value(&request.digest))
            .header(SIGNATURE_INPUT, input.to_string())
            .header(SIGNATURE, signature_value(&signature));
        if let Some(content_type) = request.content_type {
            builder = builder.header(http::header::CONTENT_TYPE, content_type).body(request.body.clone());
        }
        if let Some(progress) = request.progress {
            builder = builder.header(SEGMENT_PROGRESS, progress);
        }
        if let Some((first, last)) = request.range {
            builder = builder.header(http::header::RANGE, format!("bytes={first}-{last}"));
        }
        builder.build().map_err(|error| ClientError::Bug(format!("a request could not be made: {error}")))
    }

    fn refusal(&self, request: &Request<'_>, status: StatusCode, body: &[u8]) -> Failure {
        let absent = matches!(status, StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE);
        let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
            // Without a problem document it is no answer of the storage server, but one of a proxy in front of it.
            let error = self.off_protocol(format!("status {status} without a problem document"));
            return match status {
                _ if absent => Failure::Absent(error),
                StatusCode::PAYLOAD_TOO_LARGE => Failure::Lasting(ClientError::TooLargeForProxy {
                    server: self.server().to_owned(),
                    bytes: request.body.len(),
                }),
                StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                    Failure::Passing(ClientError::Unreachable {
                        server: self.server().to_owned(),
                        reason: format!("a proxy in front of it says {status}"),
                    })
                }
                _ if status.is_server_error() => Failure::Passing(error),
                _ => Failure::Lasting(error),
            };
        };
        let passing = match problem.known_code() {
            Some(code) => is_passing(code),
            None => status.is_server_error(),
        };
        let error = ClientError::Refused(Box::new(problem));
        match passing {
            _ if absent => Failure::Absent(error),
            true => Failure::Passing(error),
            false => Failure::Lasting(error),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        // The innermost cause says most ("connection refused"); the outer ones repeat the address.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let reason = cause.to_string();
        Failure::Passing(ClientError::Unreachable { server: self.server().to_owned(), reason })
    }

    /// An answer that breaks the protocol.
    pub(crate) fn off_protocol(&self, reason: String) -> ClientError {
        ClientError::Protocol { server: self.server().to_owned(), reason }
    }
}

/// Whether a text is the address of a server. Asks nobody.
///
/// # Errors
/// [`ClientError::Usage`].
pub fn require_address(server: &str) -> Result<(), ClientError> {
    address(server).map(drop)
}

/// An address and its host, in small letters.
fn address(server: &str) -> Result<(reqwest::Url, String), ClientError> {
    let usage =
        || ClientError::Usage(format!("{server:?} is not a server address such as https://vault.example"));
    let base = reqwest::Url::parse(server).map_err(|_| usage())?;
    let plain = base.path() == "/" && base.query().is_none() && base.fragment().is_none();
    let anonymous = base.username().is_empty() && base.password().is_none();
    if !matches!(base.scheme(), "http" | "https") || !plain || !anonymous {
        return Err(usage());
    }
    let host = base.host_str().ok_or_else(usage)?.to_ascii_lowercase();
    Ok((base, host))
}

/// Whether what is sent to `server` can be read by others on its way: plain `http` to another machine.
pub fn is_exposed(server: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(server) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    // An IPv4 address in the clothes of IPv6 leads where it does by itself, and a name's last dot only ends it.
    let here = host.strip_suffix('.').unwrap_or(host) == "localhost"
        || address.is_ok_and(|address| address.to_canonical().is_loopback());
    url.scheme() == "http" && !here
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_exposed_beyond_this_machine() {
        for server in [
            "http://127.0.0.1:8440",
            "http://localhost",
            "http://[::1]:8440",
            "http://[::ffff:127.0.0.1]",
            "http://localhost.:8440",
            "https://vault.example",
            "no address",
        ] {
            assert!(!is_exposed(server), "{server}");
        }
        for server in [
            "http://vault.example",
            "http://192.168.0.7:8440",
            "http://[::ffff:192.168.0.7]:8440",
            "http://localhost.example",
            "HTTP://[fe80::1]",
        ] {
            assert!(is_exposed(server), "{server}");
        }
    }

    #[test]
    fn pauses_double_and_are_together_as_long_as_was_asked_for() {
        let milliseconds = |retry_for: Duration| -> Vec<u128> {
            Pauses::of(retry_for).map(|pause| pause.as_millis()).collect()
        };
        assert_eq!(milliseconds(Connection::RETRY_FOR), [200, 400, 800, 1600, 3000]);
        assert_eq!(milliseconds(Duration::from_millis(100)), [100]);
        assert_eq!(milliseconds(Duration::from_secs(20)), [200, 400, 800, 1600, 3200, 5000, 5000, 3800]);
        assert!(milliseconds(Duration::ZERO).is_empty());
        assert_eq!(
            Pauses::of(Duration::from_secs(24 * 3600)).sum::<Duration>(),
            Duration::from_secs(24 * 3600)
        );
    }
}
