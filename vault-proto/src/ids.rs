//! Identifiers: newtypes without conversions between them, written as lowercase hexadecimal (FORMAT.md, "Encodings").

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// Fewest characters by which a person may shorten an id.
pub const MIN_PREFIX: usize = 8;

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {what}: {expected} lowercase hexadecimal characters are needed")]
pub struct IdError {
    what: &'static str,
    expected: usize,
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Length in bytes; the text is twice as long.
            pub const BYTES: usize = $bytes;

            /// Takes the raw bytes.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// The first characters, enough to tell ids apart for a person.
            pub fn short(&self) -> String {
                self.to_string().chars().take(12).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError { what: $what, expected: $bytes * 2 };
                let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| error.clone())?;
                bytes.try_into().map(Self).map_err(|_| error)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_id!(
    /// One recording: 128 bits of the labelled hash of its sealer's device key and a salt, so that it is no other
    /// device's to begin.
    RecordingId, 16, "a recording id"
);
hex_id!(
    /// What tells the recordings of one device key apart: 128 random bits, chosen by the sealing device.
    RecordingSalt, 16, "the salt of a recording id"
);
hex_id!(
    /// One vault, the data folder of a server: 128 random bits, drawn when it is initialised.
    VaultId, 16, "vault id"
);
hex_id!(
    /// One account: the labelled hash of its root public key, so that it certifies itself.
    AccountId, 32, "an account id"
);
hex_id!(
    /// One organisation, also called its root fingerprint: the labelled hash of its root public key.
    OrganisationId, 32, "an organisation root fingerprint"
);
hex_id!(
    /// One public key: the labelled hash of it. The label says which kind of key.
    KeyId, 32, "a key id"
);
hex_id!(
    /// A SHA-256 hash.
    Digest, 32, "a SHA-256 hash"
);
hex_id!(
    /// The nonce of one side of a comparison: 256 random bits, used once, secret until it is revealed.
    ComparisonNonce, 32, "a nonce of a comparison"
);
hex_id!(
    /// An Ed25519 public key.
    PublicKey, 32, "an Ed25519 public key"
);

impl Digest {
    /// SHA-256 of `data`.
    pub fn of(data: &[u8]) -> Self {
        Self(Sha256::digest(data).into())
    }
}

/// Name of a consultation as the organisation's own systems know it: 1 to 128 characters of `A-Z a-z 0-9 . _ : -`.
///
/// It is public to the server; nothing that names a person or an illness belongs in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct ConsultationId(String);

/// A text that cannot be a consultation id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a consultation id: 1 to 128 characters of A-Z a-z 0-9 . _ : - are needed")]
pub struct ConsultationIdError;

impl ConsultationId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConsultationId {
    type Err = ConsultationIdError;

    fn from_str(text: &str) -> Result<Self, ConsultationIdError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
        if (1..=128).contains(&text.len()) && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ConsultationIdError)
        }
    }
}

impl fmt::Display for ConsultationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for ConsultationId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_have_exactly_one_text(bytes: [u8; 32]) {
            let id = AccountId::from_bytes(bytes);
            let text = id.to_string();
            prop_assert_eq!(text.parse::<AccountId>(), Ok(id));
            if text != text.to_uppercase() {
                prop_assert!(text.to_uppercase().parse::<AccountId>().is_err());
            }
            prop_assert!(text[1..].parse::<AccountId>().is_err());
            let longer = text + "0";
            prop_assert!(longer.parse::<AccountId>().is_err());
        }

        #[test]
        fn any_text_is_parsed_without_panic(text in ".{0,140}") {
            let _ = text.parse::<RecordingId>();
            if let Ok(id) = text.parse::<ConsultationId>() {
                prop_assert_eq!(id.as_str(), text);
            }
        }
    }

    #[test]
    fn a_key_has_another_id_in_each_role() {
        let key = PublicKey::from_bytes([7; 32]);
        let ids = [
            KeyId::of_device(&key),
            KeyId::of_issuer(&key),
            KeyId::of_account_root(&key),
            KeyId::of_organisation_root(&key),
        ];
        for (i, a) in ids.iter().enumerate() {
            assert!(ids[i + 1..].iter().all(|b| a != b), "two roles share a key id");
        }
    }
}
