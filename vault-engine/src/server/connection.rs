//! Signed requests to one server (PROTOCOL.md, "Request signatures").

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;
use vault_proto::http_signature::{
    CONTENT_DIGEST, CoveredHeader, Nonce, RequestTarget, SIGNATURE, SIGNATURE_INPUT, SignatureInput,
    content_digest_value, signature_value,
};
use vault_proto::ids::{Digest, KeyId, PublicKey};
use vault_proto::problem::Problem;
use vault_proto::recording::Refusal;

use crate::effects::{self, Effects, Method, NoAnswer};
use crate::error::{ClientError, is_passing};

/// Pause before the second try; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Most bytes of a problem document that are read.
const MAX_PROBLEM: usize = 16 * 1024;

/// A server, and the device key that signs what is asked of it. Cheap to clone.
#[derive(Clone)]
pub struct Connection {
    effects: Effects,
    inner: Arc<Inner>,
    retry_for: Option<Duration>,
}

struct Inner {
    base: Url,
    authority: String,
    key_id: KeyId,
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
    /// The answer is longer than what was asked for can be.
    TooLong(ClientError),
}

impl From<Failure> for ClientError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Passing(error)
            | Failure::Lasting(error)
            | Failure::Absent(error)
            | Failure::TooLong(error) => error,
        }
    }
}

impl Connection {
    /// For how long a request is tried again unless [`Self::with_retry_for`] says otherwise: six tries.
    const RETRY_FOR: Duration = Duration::from_secs(6);

    /// Prepares requests to `server` (`https://host[:port]`; `http` is for one machine or a proxy's side), signed by
    /// the device key of `effects`, whose public half is `device`. Connects only when something is asked.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if `server` is no such address.
    pub(crate) fn new(server: &str, effects: Effects, device: &PublicKey) -> Result<Self, ClientError> {
        let (base, host) = address(server)?;
        // `Url::port` is `None` for the scheme's own port, as `@authority` wants it.
        let authority = base.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let inner = Inner { base, authority, key_id: KeyId::of_device(device) };
        Ok(Self { effects, inner: Arc::new(inner), retry_for: None })
    }

    /// The same connection, where a request that got no answer or a passing refusal (busy, an object that the server
    /// finds damaged) is tried again for this long, which every write of the protocol allows. What counts is the pauses
    /// between the tries, 0.2 s and doubling up to 5 s, and not the tries themselves; with zero, a request is tried
    /// once. Unless it is set, that is 6 s.
    ///
    /// The end of a stream (`seal_stream` of vault-client) waits as long for a server that is away, and
    /// 60 s unless it is set.
    #[must_use]
    pub fn with_retry_for(&self, retry_for: Duration) -> Self {
        Self { retry_for: Some(retry_for), ..self.clone() }
    }

    /// What [`Self::with_retry_for`] was told.
    pub const fn retry_for(&self) -> Option<Duration> {
        self.retry_for
    }

    /// The server's address.
    pub fn server(&self) -> &str {
        self.inner.base.as_str().trim_end_matches('/')
    }

    /// The machine that does what is asked.
    pub(crate) const fn effects(&self) -> &Effects {
        &self.effects
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
        let body = self.get(path, query, None, limit).await?;
        serde_json::from_slice(&body).map_err(|error| {
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
    ) -> Result<Bytes, ClientError> {
        Ok(self.send(&Request { query, range, ..Request::bare(Method::Get, path) }, limit).await?)
    }

    /// As [`Self::get`], of something that was sealed and must be there: `None` if the server answers 404 or 416, with
    /// whatever body.
    ///
    /// # Errors
    /// [`ClientError`]; [`Refusal::Damaged`] for more than `limit` bytes: what was sealed has fewer.
    pub async fn get_stored(
        &self,
        path: &str,
        range: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Option<Bytes>, ClientError> {
        match self.send(&Request { range, ..Request::bare(Method::Get, path) }, limit).await {
            Ok(body) => Ok(Some(body)),
            Err(Failure::Absent(_)) => Ok(None),
            Err(Failure::TooLong(_)) => {
                let what = format!("the server hands out more than {limit} bytes where there can be no more");
                Err(Refusal::Damaged(what).into())
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Deletes a resource.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(&Request::bare(Method::Delete, path), MAX_PROBLEM).await?;
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
    ) -> Result<Bytes, ClientError> {
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
    ) -> Result<Bytes, ClientError> {
        let digest = Digest::of(&body);
        let request =
            Request { body, digest, content_type: Some(content_type), ..Request::bare(method, path) };
        Ok(self.send(&request, MAX_PROBLEM).await?)
    }

    /// Stores a part whose digest is known already, with its segment's signed progress.
    pub(crate) async fn put_part(
        &self,
        path: &str,
        body: Bytes,
        digest: Digest,
        progress: Option<&str>,
    ) -> Result<Bytes, ClientError> {
        let request = Request {
            body,
            digest,
            content_type: Some("application/octet-stream"),
            progress,
            ..Request::bare(Method::Put, path)
        };
        Ok(self.send(&request, MAX_PROBLEM).await?)
    }

    async fn send(&self, request: &Request<'_>, limit: usize) -> Result<Bytes, Failure> {
        let mut pauses = Pauses::of(self.retry_for.unwrap_or(Self::RETRY_FOR));
        loop {
            let (error, pause) = match self.try_once(request, limit).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Passing(error)) => match pauses.next() {
                    Some(pause) => (error, pause),
                    None => return Err(Failure::Passing(error)),
                },
                Err(failure) => return Err(failure),
            };
            tracing::debug!(path = request.path, %error, ?pause, "trying again");
            self.effects.sleep(pause).await;
        }
    }

    async fn try_once(&self, request: &Request<'_>, limit: usize) -> Result<Bytes, Failure> {
        let signed = self.sign(request, limit).await.map_err(Failure::Lasting)?;
        let effects::Response { status, body } = match self.effects.fetch(signed).await {
            Ok(response) => response,
            Err(NoAnswer::Lost(reason)) => {
                let server = self.server().to_owned();
                return Err(Failure::Passing(ClientError::Unreachable { server, reason }));
            }
            Err(NoAnswer::TooLong(status)) if !(200..300).contains(&status) => {
                return Err(self.refusal(request, status, b""));
            }
            Err(NoAnswer::TooLong(_)) => return Err(self.too_long(limit)),
        };
        if (200..300).contains(&status) {
            // Who carries out a fetch keeps to its limit; nothing here rests on that.
            if body.len() > limit {
                return Err(self.too_long(limit));
            }
            return Ok(body);
        }
        Err(self.refusal(request, status, &body))
    }

    fn too_long(&self, limit: usize) -> Failure {
        Failure::TooLong(self.off_protocol(format!("an answer of more than {limit} bytes")))
    }

    async fn sign(&self, request: &Request<'_>, limit: usize) -> Result<effects::Request, ClientError> {
        let inner = &self.inner;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)
            .map_err(|_| ClientError::Bug("the operating system gave no random bytes".to_owned()))?;
        let created = i64::try_from(self.effects.now().unix_ms / 1000).unwrap_or(i64::MAX);
        let range = request.range.map(|(first, last)| format!("bytes={first}-{last}"));
        let covered = match (&range, request.progress) {
            (Some(range), _) => Some((CoveredHeader::Range, range.as_str())),
            (None, progress) => progress.map(|progress| (CoveredHeader::SegmentProgress, progress)),
        };
        let input = SignatureInput {
            created,
            nonce: Nonce::from_bytes(nonce),
            key_id: inner.key_id,
            covered: covered.map(|(header, _)| header),
        };
        let target = RequestTarget {
            method: request.method.as_str(),
            authority: &inner.authority,
            path: request.path,
            query: request.query,
            content_digest: request.digest,
            covered,
        };
        let signature = self.effects.sign(&target.signature_base(&input)).await?;
        let mut url = inner.base.clone();
        url.set_path(request.path);
        url.set_query(request.query);
        let mut headers = vec![
            (CONTENT_DIGEST, content_digest_value(&request.digest)),
            (SIGNATURE_INPUT, input.to_string()),
            (SIGNATURE, signature_value(&signature)),
        ];
        headers.extend(request.content_type.map(|kind| ("content-type", kind.to_owned())));
        headers.extend(covered.map(|(header, value)| (header.name(), value.to_owned())));
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (method, body) = (request.method, request.body.clone());
        // A refusal may be longer than what was asked for.
        Ok(effects::Request { method, url: url.into(), headers, body, limit: limit.max(MAX_PROBLEM) })
    }

    fn refusal(&self, request: &Request<'_>, status: u16, body: &[u8]) -> Failure {
        let absent = matches!(status, 404 | 416);
        let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
            // Without a problem document it is no answer of the storage server, but one of a proxy in front of it.
            let error = self.off_protocol(format!("status {} without a problem document", named(status)));
            return match status {
                _ if absent => Failure::Absent(error),
                413 => Failure::Lasting(ClientError::TooLargeForProxy {
                    server: self.server().to_owned(),
                    bytes: request.body.len(),
                }),
                502..=504 => Failure::Passing(ClientError::Unreachable {
                    server: self.server().to_owned(),
                    reason: format!("a proxy in front of it says {}", named(status)),
                }),
                500..=599 => Failure::Passing(error),
                _ => Failure::Lasting(error),
            };
        };
        let passing = match problem.known_code() {
            Some(code) => is_passing(code),
            None => (500..600).contains(&status),
        };
        let error = ClientError::Refused(Box::new(problem));
        match passing {
            _ if absent => Failure::Absent(error),
            true => Failure::Passing(error),
            false => Failure::Lasting(error),
        }
    }

    /// An answer that breaks the protocol.
    pub(crate) fn off_protocol(&self, reason: String) -> ClientError {
        ClientError::Protocol { server: self.server().to_owned(), reason }
    }
}

/// A status with its usual name, as a person finds it explained.
fn named(status: u16) -> String {
    http::StatusCode::from_u16(status).map_or_else(|_| status.to_string(), |status| status.to_string())
}

/// Whether a text is the address of a server. Asks nobody.
///
/// # Errors
/// [`ClientError::Usage`].
pub fn require_address(server: &str) -> Result<(), ClientError> {
    address(server).map(drop)
}

/// An address and its host, in small letters.
fn address(server: &str) -> Result<(Url, String), ClientError> {
    let usage =
        || ClientError::Usage(format!("{server:?} is not a server address such as https://vault.example"));
    let base = Url::parse(server).map_err(|_| usage())?;
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
    let Ok(url) = Url::parse(server) else {
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
