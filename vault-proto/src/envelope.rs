//! Signed statements: DSSE envelopes with exactly one Ed25519 signature (FORMAT.md, "Signed statements").
//!
//! An [`Envelope`] keeps the bytes as they came. Its statement is readable only as [`Envelope::unverified`], for
//! finding the key that must have signed it; [`Envelope::verify`] is the only way to a [`Verified`] statement.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use ed25519_dalek::{Signature, VerifyingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base64;
use crate::ids::{Digest, KeyId, PublicKey};

/// Most bytes of a payload; the largest statement is a key list with 256 removed devices.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// Most bytes of an envelope: base64 of the largest payload and the fields around it.
pub const MAX_ENVELOPE: usize = MAX_PAYLOAD / 3 * 4 + 1024;

/// A kind of statement, told apart by the payload type under the signature.
pub trait Statement: Serialize + DeserializeOwned {
    /// DSSE payload type.
    const PAYLOAD_TYPE: &'static str;
    /// What a person calls it.
    const NAME: &'static str;

    /// Checks what the types alone cannot: bounds, orders, agreement between fields.
    fn check(&self) -> Result<(), &'static str>;

    /// If a payload that is refused is of a suite or has a word that this version does not know: which. A reader then
    /// says "newer format" instead of "damaged".
    fn unknown_choice(_payload: &serde_json::Value) -> Option<String> {
        None
    }
}

/// Why an envelope is not the signed statement it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not the canonical spelling of an envelope.
    #[error("the {0} is damaged: it is not a signed statement in its canonical form")]
    Envelope(&'static str),
    /// A statement of another kind, or of a newer version of the format.
    #[error("a {expected} was expected, and this is a statement of type {found:?}")]
    Type {
        /// The kind asked for.
        expected: &'static str,
        /// The payload type found.
        found: String,
    },
    /// The payload breaks the grammar of its kind.
    #[error("the {name} is malformed: {reason}")]
    Payload {
        /// The kind.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A statement that only a newer version of the format can hold.
    #[error("the {name} is of a newer format than this program knows ({what})")]
    Newer {
        /// The kind.
        name: &'static str,
        /// What is not known.
        what: String,
    },
    /// A statement that another one names by its digest is not there.
    #[error("the {0} that belongs to it is missing")]
    NotThere(&'static str),
    /// What lies under a digest that another statement names does not have it.
    #[error("the {0} is not the one that belongs to it")]
    OtherDigest(&'static str),
    /// Signed by another key than the one that must have signed it, or altered.
    #[error("the {0} does not carry a valid signature of the key that must have signed it")]
    Signature(&'static str),
}

/// A statement that carries a signature nobody has checked yet, with its bytes as they came.
pub struct Envelope<T> {
    bytes: Vec<u8>,
    payload: Vec<u8>,
    statement: T,
    key_id: KeyId,
    signature: [u8; 64],
}

/// A statement whose signature has been checked with [`PublicKey`] `signer`.
#[derive(Clone)]
pub struct Verified<T> {
    statement: T,
    digest: Digest,
    signer: PublicKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeText {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: [SignatureText; 1],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureText {
    keyid: KeyId,
    sig: String,
}

/// DSSE pre-authentication encoding: the bytes that are signed.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Most characters of a payload type that a message repeats.
const MAX_SHOWN: usize = 100;

/// Whether `found` is the kind of statement `known` in a later version: a number of few digits, from 2 on, without
/// leading zeros.
fn is_later_version(known: &str, found: &str) -> bool {
    let version = || found.strip_prefix(known.strip_suffix("1+json")?)?.strip_suffix("+json");
    version().is_some_and(|version| {
        (1..=9).contains(&version.len())
            && version.bytes().all(|byte| byte.is_ascii_digit())
            && !version.starts_with('0')
            && version != "1"
    })
}

/// Where a text stops being what it should be. The parser's own words repeat names that whoever made the text has
/// chosen, and these end in front of a person.
pub(crate) fn place(error: &serde_json::Error) -> String {
    format!("it is not of the form it should have, at line {}, column {}", error.line(), error.column())
}

/// Integers of the format are exact in every JSON parser.
const MAX_INTEGER: u64 = 1 << 53;

/// Whether a payload says what `statement` says in the one form of the format. Derived parsers also take an array for
/// an object and a missing field for `null`: two programs could then read one signed payload differently.
fn has_one_reading<T: Statement>(payload: &[u8], statement: &T) -> bool {
    let found = serde_json::from_slice::<serde_json::Value>(payload).ok();
    found.is_some()
        && found == serde_json::to_value(statement).ok()
        && found.is_some_and(|v| has_small_integers(&v))
}

fn has_small_integers(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Number(number) => number.as_u64().is_some_and(|number| number < MAX_INTEGER),
        serde_json::Value::Array(values) => values.iter().all(has_small_integers),
        serde_json::Value::Object(fields) => fields.values().all(has_small_integers),
        _ => true,
    }
}

/// A statement that is complete but for its signature. The key may live where it cannot be taken from: what holds it is
/// handed [`Self::to_be_signed`], and [`Self::attach`] takes what comes back.
pub struct Unsigned<T> {
    payload: Vec<u8>,
    to_be_signed: Vec<u8>,
    key_id: KeyId,
    signer: PublicKey,
    kind: PhantomData<fn() -> T>,
}

impl<T: Statement> Unsigned<T> {
    /// Spells `statement` for the signature of `signer`, whom readers know in this role as `key_id`.
    ///
    /// # Errors
    /// [`StatementError::Payload`] if the statement breaks its own rules.
    pub fn prepare(statement: &T, key_id: KeyId, signer: PublicKey) -> Result<Self, StatementError> {
        let payload = spell(statement)?;
        let to_be_signed = pre_authentication_encoding(T::PAYLOAD_TYPE, &payload);
        Ok(Self { payload, to_be_signed, key_id, signer, kind: PhantomData })
    }

    /// The bytes that are signed with Ed25519, not hashed before.
    pub fn to_be_signed(&self) -> &[u8] {
        &self.to_be_signed
    }

    /// The statement with its signature, which is checked first: what holds the key may be wrong or lie.
    ///
    /// # Errors
    /// [`StatementError::Signature`] if it is not the signer's signature of these bytes; [`StatementError::Envelope`]
    /// if the statement is too large.
    pub fn attach(self, signature: &[u8; 64]) -> Result<Envelope<T>, StatementError> {
        verify_strict(&self.signer, &self.to_be_signed, signature)
            .map_err(|SignatureError| StatementError::Signature(T::NAME))?;
        enclose(&self.payload, self.key_id, signature)
    }
}

impl<T: Statement> fmt::Debug for Unsigned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsigned")
            .field("kind", &T::NAME)
            .field("signer", &self.signer)
            .finish_non_exhaustive()
    }
}

/// Signs with a key that is at hand: `sign` is handed the pre-authentication encoding and returns the Ed25519 signature
/// over it.
///
/// # Errors
/// [`StatementError::Payload`] if the statement breaks its own rules, [`StatementError::Envelope`] if it is too large.
pub fn sign<T: Statement>(
    statement: &T,
    key_id: KeyId,
    sign: impl FnOnce(&[u8]) -> [u8; 64],
) -> Result<Envelope<T>, StatementError> {
    let payload = spell(statement)?;
    enclose(&payload, key_id, &sign(&pre_authentication_encoding(T::PAYLOAD_TYPE, &payload)))
}

/// The statement of a payload, if it is of the one form of its kind.
fn read_payload<T: Statement>(payload: &[u8]) -> Result<T, StatementError> {
    let read = || {
        let statement: T = serde_json::from_slice(payload).map_err(|error| place(&error))?;
        if !has_one_reading(payload, &statement) {
            return Err("its fields are not spelt as the format has them".to_owned());
        }
        statement.check()?;
        Ok(statement)
    };
    read().map_err(|reason| {
        let value = serde_json::from_slice::<serde_json::Value>(payload).ok();
        match value.as_ref().and_then(T::unknown_choice) {
            Some(what) => StatementError::Newer { name: T::NAME, what },
            None => StatementError::Payload { name: T::NAME, reason },
        }
    })
}

fn spell<T: Statement>(statement: &T) -> Result<Vec<u8>, StatementError> {
    let malformed = |reason: String| StatementError::Payload { name: T::NAME, reason };
    statement.check().map_err(|reason| malformed(reason.to_owned()))?;
    serde_json::to_vec(statement).map_err(|error| malformed(error.to_string()))
}

fn enclose<T: Statement>(
    payload: &[u8],
    key_id: KeyId,
    signature: &[u8; 64],
) -> Result<Envelope<T>, StatementError> {
    let text = EnvelopeText {
        payload_type: T::PAYLOAD_TYPE.to_owned(),
        payload: base64::encode(payload),
        signatures: [SignatureText { keyid: key_id, sig: base64::encode(signature) }],
    };
    let bytes = serde_json::to_vec(&text)
        .map_err(|error| StatementError::Payload { name: T::NAME, reason: error.to_string() })?;
    Envelope::parse(&bytes)
}

impl<T: Statement> Envelope<T> {
    /// Parses strictly: canonical spelling, the payload type of `T`, one signature, no unknown or repeated field.
    ///
    /// # Errors
    /// Every [`StatementError`] but `Signature`.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        let damaged = || StatementError::Envelope(T::NAME);
        if bytes.len() > MAX_ENVELOPE {
            return Err(damaged());
        }
        let text: EnvelopeText = serde_json::from_slice(bytes).map_err(|_| damaged())?;
        // One statement has one spelling, so that two stores of it can be compared byte by byte.
        if serde_json::to_vec(&text).ok().as_deref() != Some(bytes) {
            return Err(damaged());
        }
        if text.payload_type != T::PAYLOAD_TYPE {
            return Err(if is_later_version(T::PAYLOAD_TYPE, &text.payload_type) {
                StatementError::Newer { name: T::NAME, what: text.payload_type }
            } else {
                let found = text.payload_type.chars().take(MAX_SHOWN).collect();
                StatementError::Type { expected: T::NAME, found }
            });
        }
        let payload = base64::decode(&text.payload).ok_or_else(damaged)?;
        if payload.len() > MAX_PAYLOAD {
            return Err(damaged());
        }
        let [SignatureText { keyid, sig }] = text.signatures;
        let signature = base64::decode(&sig).and_then(|sig| sig.try_into().ok()).ok_or_else(damaged)?;
        let statement = read_payload(&payload)?;
        Ok(Self { bytes: bytes.to_vec(), payload, statement, key_id: keyid, signature })
    }

    /// The envelope as it came, to be stored and forwarded verbatim.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the payload: what other statements refer to.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.payload)
    }

    /// The key the envelope says it is signed with. Only a hint until [`Self::verify`] succeeds.
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The statement before any check of its signature: good for finding the signer's key, for nothing else.
    pub const fn unverified(&self) -> &T {
        &self.statement
    }

    /// Checks that `key`, known in this role as `key_id`, signed these very bytes as this kind of statement.
    ///
    /// # Errors
    /// [`StatementError::Signature`].
    pub fn verify(&self, key_id: KeyId, key: &PublicKey) -> Result<Verified<T>, StatementError>
    where
        T: Clone,
    {
        let refused = || StatementError::Signature(T::NAME);
        if self.key_id != key_id {
            return Err(refused());
        }
        verify_strict(key, &pre_authentication_encoding(T::PAYLOAD_TYPE, &self.payload), &self.signature)
            .map_err(|SignatureError| refused())?;
        Ok(Verified { statement: self.statement.clone(), digest: self.digest(), signer: *key })
    }
}

/// SHA-256 of the payload of an envelope, of whatever kind and version; `None` if it is not the canonical spelling of
/// one.
pub fn payload_digest(bytes: &[u8]) -> Option<Digest> {
    if bytes.len() > MAX_ENVELOPE {
        return None;
    }
    let text: EnvelopeText = serde_json::from_slice(bytes).ok()?;
    let is_canonical = serde_json::to_vec(&text).ok().as_deref() == Some(bytes);
    is_canonical.then(|| base64::decode(&text.payload).map(|payload| Digest::of(&payload))).flatten()
}

/// A signature that does not verify, or a key that is no valid Ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureError;

/// The least value that no canonical encoding of a coordinate has: 2^255 - 19, little-endian.
const FIELD_PRIME: [u8; 32] = {
    let mut prime = [0xff; 32];
    prime[0] = 0xed;
    prime[31] = 0x7f;
    prime
};

impl PublicKey {
    /// Whether it is a canonical encoding of a point that is not of small order: no signature at all can be checked
    /// with another, or anybody's.
    pub fn is_usable(&self) -> bool {
        let mut coordinate = *self.as_bytes();
        let [.., last] = &mut coordinate;
        *last &= 0x7f;
        let is_canonical = coordinate.iter().rev().lt(FIELD_PRIME.iter().rev());
        is_canonical && VerifyingKey::from_bytes(self.as_bytes()).is_ok_and(|key| !key.is_weak())
    }
}

/// Ed25519 verification that refuses small-order keys and non-canonical points (`verify_strict`).
pub(crate) fn verify_strict(
    key: &PublicKey,
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), SignatureError> {
    let key = VerifyingKey::from_bytes(key.as_bytes()).map_err(|_| SignatureError)?;
    key.verify_strict(message, &Signature::from_bytes(signature)).map_err(|_| SignatureError)
}

impl<T> Verified<T> {
    /// SHA-256 of the payload: what other statements refer to.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The key that signed it.
    pub const fn signer(&self) -> &PublicKey {
        &self.signer
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.statement
    }
}

impl<T: fmt::Debug> fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verified").field(&self.statement).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Envelope<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Envelope").field(&self.statement).finish()
    }
}

impl<T: Statement> Clone for Envelope<T>
where
    T: Clone,
{
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            payload: self.payload.clone(),
            statement: self.statement.clone(),
            key_id: self.key_id,
            signature: self.signature,
        }
    }
}

impl<T> PartialEq for Envelope<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T> Eq for Envelope<T> {}

/// In wire types and files an envelope stands as one JSON string that holds its bytes.
impl<T> Serialize for Envelope<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(&self.bytes).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(text)
    }
}

impl<'de, T: Statement> Deserialize<'de> for Envelope<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);
        impl<T: Statement> serde::de::Visitor<'_> for Text<T> {
            type Value = Envelope<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a {} envelope as a string", T::NAME)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Envelope::parse(text.as_bytes()).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text(PhantomData))
    }
}

#[cfg(test)]
mod kit_ed25519;
#[cfg(test)]
mod tests;
