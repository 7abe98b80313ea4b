//! Request signatures: one fixed profile of RFC 9421 (PROTOCOL.md, "Request signatures").
//!
//! Exactly one label, one list of components, one order of parameters; every other spelling is refused. The content
//! digest (RFC 9530) is always present, also of an empty body, so a signature covers the whole request.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;

use crate::base64;
use crate::envelope::{SignatureError, verify_strict};
use crate::ids::{Digest, KeyId, PublicKey};
use crate::labels::REQUEST_TAG;
use crate::wire::SEGMENT_PROGRESS;

/// Name of the header with the signature's parameters.
pub const SIGNATURE_INPUT: &str = "signature-input";
/// Name of the header with the signature.
pub const SIGNATURE: &str = "signature";
/// Name of the header with the body's digest.
pub const CONTENT_DIGEST: &str = "content-digest";
/// Seconds by which `created` may differ from the server's clock, either way.
pub const MAX_SKEW_SECONDS: i64 = 120;

const COMPONENTS: &str = r#""@method" "@authority" "@path" "@query" "content-digest""#;

/// A header that says what is asked for or brings something, so that the signature of a request that has it covers it,
/// in sixth place. No request has both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoveredHeader {
    /// `Range`: which bytes are asked for.
    Range,
    /// `X-Segment-Progress`: what is proved of a segment with a part.
    SegmentProgress,
}

impl CoveredHeader {
    /// All that there are.
    pub const ALL: [Self; 2] = [Self::Range, Self::SegmentProgress];

    /// The header's name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::SegmentProgress => SEGMENT_PROGRESS,
        }
    }
}

/// RFC 9421 section 2.5 signature base: one line for each covered component, then the signature's parameters.
fn signature_base(components: &[(&str, &str)], params: &str) -> Vec<u8> {
    let mut base = String::new();
    for (name, value) in components.iter().chain(&[("@signature-params", params)]) {
        if !base.is_empty() {
            base.push('\n');
        }
        base.extend(["\"", name, "\": ", value]);
    }
    base.into_bytes()
}

/// Sixteen random bytes that make each request of a key unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// Takes sixteen bytes, which a client draws from its system's random source.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Parameters of a request signature, in their one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureInput {
    /// Seconds since 1970 by the caller's clock.
    pub created: i64,
    /// Unique for the key.
    pub nonce: Nonce,
    /// The device key that signs.
    pub key_id: KeyId,
    /// The header that is covered beside the five components of every request.
    pub covered: Option<CoveredHeader>,
}

/// A header that is not of the one accepted spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {0} header is not of the accepted form")]
pub struct SignatureHeaderError(pub &'static str);

/// What a request signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestTarget<'a> {
    /// Method, in capitals.
    pub method: &'a str,
    /// Host and, unless it is the scheme's own, port; in lower case.
    pub authority: &'a str,
    /// Path as sent.
    pub path: &'a str,
    /// Query as sent, without the question mark; `None` and empty are the same.
    pub query: Option<&'a str>,
    /// SHA-256 of the body as sent.
    pub content_digest: Digest,
    /// The header that is covered too, with its value as sent, if the request has one.
    pub covered: Option<(CoveredHeader, &'a str)>,
}

impl SignatureInput {
    /// Serialised inner list and parameters: the value of `@signature-params`.
    fn params(&self) -> String {
        let sixth = self.covered.map(|header| format!(r#" "{}""#, header.name())).unwrap_or_default();
        format!(
            r#"({COMPONENTS}{sixth});created={};nonce="{}";keyid="{}";tag="{REQUEST_TAG}""#,
            self.created,
            BASE64URL_NOPAD.encode(&self.nonce.0),
            self.key_id
        )
    }

    /// Parses the value of a `Signature-Input` header.
    ///
    /// # Errors
    /// [`SignatureHeaderError`] for every spelling but the one [`fmt::Display`] writes.
    pub fn parse(value: &str) -> Result<Self, SignatureHeaderError> {
        let refused = SignatureHeaderError(SIGNATURE_INPUT);
        let parse = || {
            let rest = value.strip_prefix("rv=(")?.strip_prefix(COMPONENTS)?;
            let (sixth, rest) = rest.split_once(");created=")?;
            let covered = match sixth.strip_prefix(" \"") {
                None if sixth.is_empty() => None,
                None => return None,
                Some(name) => {
                    let name = name.strip_suffix('"')?;
                    Some(CoveredHeader::ALL.into_iter().find(|header| header.name() == name)?)
                }
            };
            let (created, rest) = rest.split_once(r#";nonce=""#)?;
            let (nonce, rest) = rest.split_once(r#"";keyid=""#)?;
            let (key_id, _) = rest.split_once('"')?;
            let nonce = BASE64URL_NOPAD.decode(nonce.as_bytes()).ok()?.try_into().ok()?;
            let (created, key_id) = (created.parse().ok()?, key_id.parse().ok()?);
            Some(Self { created, nonce: Nonce(nonce), key_id, covered })
        };
        let input = parse().ok_or(refused)?;
        if input.to_string() == value { Ok(input) } else { Err(refused) }
    }
}

impl fmt::Display for SignatureInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rv={}", self.params())
    }
}

impl RequestTarget<'_> {
    /// The bytes that are signed: the signature base over the profile's components.
    pub fn signature_base(&self, input: &SignatureInput) -> Vec<u8> {
        let query = format!("?{}", self.query.unwrap_or_default());
        let digest = content_digest_value(&self.content_digest);
        let mut components = vec![
            ("@method", self.method),
            ("@authority", self.authority),
            ("@path", self.path),
            ("@query", &query),
            ("content-digest", &digest),
        ];
        components.extend(self.covered.map(|(header, value)| (header.name(), value)));
        signature_base(&components, &input.params())
    }

    /// Checks a signature over this request. One whose input names another header than the request has fits nothing.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(
        &self,
        input: &SignatureInput,
        signature: &[u8; 64],
        key: &PublicKey,
    ) -> Result<(), SignatureError> {
        if input.covered != self.covered.map(|(header, _)| header) {
            return Err(SignatureError);
        }
        verify_strict(key, &self.signature_base(input), signature)
    }
}

/// Value of a `Signature` header.
pub fn signature_value(signature: &[u8; 64]) -> String {
    format!("rv=:{}:", base64::encode(signature))
}

/// Parses the value of a `Signature` header.
///
/// # Errors
/// [`SignatureHeaderError`].
pub fn parse_signature(value: &str) -> Result<[u8; 64], SignatureHeaderError> {
    parse_byte_sequence(value, "rv=:").ok_or(SignatureHeaderError(SIGNATURE))
}

/// Value of a `Content-Digest` header.
pub fn content_digest_value(digest: &Digest) -> String {
    format!("sha-256=:{}:", base64::encode(digest.as_bytes()))
}

/// Parses the value of a `Content-Digest` header.
///
/// # Errors
/// [`SignatureHeaderError`].
pub fn parse_content_digest(value: &str) -> Result<Digest, SignatureHeaderError> {
    parse_byte_sequence(value, "sha-256=:")
        .map(Digest::from_bytes)
        .ok_or(SignatureHeaderError(CONTENT_DIGEST))
}

fn parse_byte_sequence<const N: usize>(value: &str, prefix: &str) -> Option<[u8; N]> {
    let text = value.strip_prefix(prefix)?.strip_suffix(':')?;
    base64::decode(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};
    use proptest::prelude::*;

    fn input() -> SignatureInput {
        SignatureInput {
            created: 1_795_000_000,
            nonce: Nonce::from_bytes([9; 16]),
            key_id: KeyId::from_bytes([3; 32]),
            covered: None,
        }
    }

    #[test]
    fn a_signature_covers_every_part_of_the_request() {
        let key = SigningKey::from_bytes(&[5; 32]);
        let public = PublicKey::from_bytes(key.verifying_key().to_bytes());
        let target = RequestTarget {
            method: "PUT",
            authority: "vault.example:8440",
            path: "/v1/recordings/aa",
            query: Some("a=b"),
            content_digest: Digest::of(b"body"),
            covered: None,
        };
        let signature = key.sign(&target.signature_base(&input())).to_bytes();
        assert!(target.verify(&input(), &signature, &public).is_ok());
        let altered = [
            RequestTarget { method: "GET", ..target },
            RequestTarget { authority: "vault.example", ..target },
            RequestTarget { path: "/v1/recordings/ab", ..target },
            RequestTarget { query: None, ..target },
            RequestTarget { content_digest: Digest::of(b"other"), ..target },
        ];
        for request in altered {
            assert!(request.verify(&input(), &signature, &public).is_err(), "{request:?}");
        }
        for other in [
            SignatureInput { created: 1, ..input() },
            SignatureInput { nonce: Nonce::from_bytes([8; 16]), ..input() },
            SignatureInput { key_id: KeyId::from_bytes([4; 32]), ..input() },
        ] {
            assert!(target.verify(&other, &signature, &public).is_err());
        }
    }

    #[test]
    fn a_header_that_counts_is_covered() {
        let key = SigningKey::from_bytes(&[5; 32]);
        let public = PublicKey::from_bytes(key.verifying_key().to_bytes());
        let plain = RequestTarget {
            method: "GET",
            authority: "vault.example",
            path: "/v1/recordings/aa/segments/0/body",
            query: None,
            content_digest: Digest::of(b""),
            covered: None,
        };
        for covered in CoveredHeader::ALL {
            let input = SignatureInput { covered: Some(covered), ..input() };
            assert_eq!(SignatureInput::parse(&input.to_string()), Ok(input));
            let target = RequestTarget { covered: Some((covered, "bytes=0-9")), ..plain };
            let signature = key.sign(&target.signature_base(&input)).to_bytes();
            assert!(target.verify(&input, &signature, &public).is_ok());
            let text = String::from_utf8(target.signature_base(&input)).unwrap();
            assert!(
                text.contains(&format!("\"{}\": bytes=0-9\n\"@signature-params\"", covered.name())),
                "{text}"
            );
            let [one, two] = CoveredHeader::ALL;
            let other = if covered == one { two } else { one };
            for altered in [Some((covered, "bytes=0-8")), Some((other, "bytes=0-9")), None] {
                assert!(
                    RequestTarget { covered: altered, ..plain }.verify(&input, &signature, &public).is_err()
                );
            }
            for without in [None, Some(other)] {
                let without = SignatureInput { covered: without, ..input };
                assert!(target.verify(&without, &signature, &public).is_err());
            }
        }
        let written = input().to_string();
        for wrong in [
            "\"content-digest\" )",
            "\"content-digest\" \"\")",
            "\"content-digest\" \"host\")",
            "\"content-digest\" \"range\" \"x-segment-progress\")",
            "\"content-digest\"  \"range\")",
            "\"content-digest\" \"Range\")",
        ] {
            let wrong = written.replace("\"content-digest\")", wrong);
            assert_ne!(wrong, written);
            assert!(SignatureInput::parse(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_base_of_the_profile_is_fixed_for_ever() {
        let target = RequestTarget {
            method: "PUT",
            authority: "vault.example:8440",
            path: "/v1/recordings/aa",
            query: None,
            content_digest: Digest::of(b""),
            covered: None,
        };
        let expected = "\"@method\": PUT\n\"@authority\": vault.example:8440\n\"@path\": /v1/recordings/aa\n\"@query\": ?\n\
            \"content-digest\": sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:\n\
            \"@signature-params\": (\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\")\
            ;created=1795000000;nonce=\"CQkJCQkJCQkJCQkJCQkJCQ\"\
            ;keyid=\"0303030303030303030303030303030303030303030303030303030303030303\";tag=\"recording-vault/v1\"";
        assert_eq!(String::from_utf8(target.signature_base(&input())).unwrap(), expected);
    }

    /// RFC 9421, appendix B.2.6: the request of B.2 signed with `test-key-ed25519` of B.1.4.
    #[test]
    fn rfc_9421_b_2_6() {
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap().try_into().unwrap();
        let secret = SigningKey::from_bytes(&decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU"));
        let public = PublicKey::from_bytes(decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"));
        assert_eq!(secret.verifying_key().as_bytes(), public.as_bytes());
        let base = signature_base(
            &[
                ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
                ("@method", "POST"),
                ("@path", "/foo"),
                ("@authority", "example.com"),
                ("content-type", "application/json"),
                ("content-length", "18"),
            ],
            r#"("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
        );
        let published =
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
        let signature: [u8; 64] = base64::decode(published).unwrap().try_into().unwrap();
        assert_eq!(verify_strict(&public, &base, &signature), Ok(()));
        assert_eq!(secret.sign(&base).to_bytes(), signature);
        for at in 0..base.len() {
            let mut altered = base.clone();
            altered[at] ^= 1;
            assert!(verify_strict(&public, &altered, &signature).is_err(), "byte {at}");
        }
    }

    /// RFC 9530, appendices A and B: the bodies of its examples, which end in a line feed.
    #[test]
    fn rfc_9530_content_digests() {
        for (body, value) in [
            ("{\"hello\": \"world\"}\n", "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"),
            ("", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
        ] {
            assert_eq!(content_digest_value(&Digest::of(body.as_bytes())), value);
            assert_eq!(parse_content_digest(value), Ok(Digest::of(body.as_bytes())));
        }
    }

    proptest! {
        #[test]
        fn only_the_written_spelling_is_read(position in 0usize..260, byte in 0x20u8..0x7f) {
            let mut text = input().to_string().into_bytes();
            prop_assert_eq!(SignatureInput::parse(&input().to_string()), Ok(input()));
            if let Some(slot) = text.get_mut(position) {
                *slot = byte;
            }
            let text = String::from_utf8(text).unwrap();
            if let Ok(parsed) = SignatureInput::parse(&text) {
                prop_assert_eq!(parsed.to_string(), text);
            }
        }

        #[test]
        fn digests_and_signatures_round_trip(digest: [u8; 32], half: [u8; 32]) {
            let digest = Digest::from_bytes(digest);
            prop_assert_eq!(parse_content_digest(&content_digest_value(&digest)), Ok(digest));
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(digest.as_bytes());
            signature[32..].copy_from_slice(&half);
            prop_assert_eq!(parse_signature(&signature_value(&signature)), Ok(signature));
        }
    }
}
