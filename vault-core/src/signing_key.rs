//! Ed25519 signing keys.

use data_encoding::HEXLOWER;
use ed25519_dalek::Signer;
use thiserror::Error;
use vault_proto::envelope::{Envelope, Statement, StatementError, Unsigned};
use zeroize::Zeroizing;

use crate::random::RandomError;
use crate::secret_bytes::SecretBytes;
use crate::wiped_stack::on_wiped_stack;

/// The text is not 64 lowercase hexadecimal digits. The message names no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this is not a signing key: 64 lowercase hexadecimal digits were expected")]
pub struct SigningKeyError;

/// An Ed25519 secret key (RFC 8032). Wiped on drop.
pub struct SigningKey {
    secret: SecretBytes<32>,
    public: [u8; 32],
}

impl SigningKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`RandomError`] if the operating system gives no random bytes.
    pub fn generate() -> Result<Self, RandomError> {
        SecretBytes::generate().map(Self::from_secret)
    }

    /// The key whose secret seed is `secret`. The caller wipes its own copy.
    #[must_use]
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        Self::from_secret(SecretBytes::fill(|out| out.copy_from_slice(secret)))
    }

    pub(crate) fn from_secret(secret: SecretBytes<32>) -> Self {
        let public = on_wiped_stack(|| {
            ed25519_dalek::SigningKey::from_bytes(secret.expose()).verifying_key().to_bytes()
        });
        Self { secret, public }
    }

    /// Reads what [`SigningKey::export`] wrote.
    ///
    /// # Errors
    /// [`SigningKeyError`] for everything else.
    pub fn parse(text: &str) -> Result<Self, SigningKeyError> {
        let secret = SecretBytes::try_fill(|out| match HEXLOWER.decode_len(text.len()) {
            Ok(32) => HEXLOWER.decode_mut(text.as_bytes(), out).map(|_| ()).map_err(|_| SigningKeyError),
            _ => Err(SigningKeyError),
        })?;
        Ok(Self::from_secret(secret))
    }

    /// Writes the secret seed in hexadecimal, for the identity file and nothing else. The text is wiped on drop.
    #[must_use]
    pub fn export(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(64));
        HEXLOWER.encode_append(self.secret.expose(), &mut out);
        out
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// Signs `message` (Ed25519, not prehashed).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        // Built for one signature and wiped by its own drop, so that the lasting secret has one place.
        on_wiped_stack(|| {
            ed25519_dalek::SigningKey::from_bytes(self.secret.expose()).sign(message).to_bytes()
        })
    }

    /// Signs a statement that was prepared for this key.
    ///
    /// # Errors
    /// [`StatementError::Signature`] if it was prepared for another.
    pub fn sign_statement<T: Statement>(&self, unsigned: Unsigned<T>) -> Result<Envelope<T>, StatementError> {
        let signature = self.sign(unsigned.to_be_signed());
        unsigned.attach(&signature)
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, VerifyingKey};
    use proptest::prelude::*;

    use super::*;

    static_assertions::assert_not_impl_any!(
        SigningKey: Clone, Copy, std::fmt::Debug, std::fmt::Display, serde::Serialize, PartialEq
    );

    #[test]
    fn rfc_8032_test_2() {
        let key =
            SigningKey::parse("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
        assert_eq!(
            HEXLOWER.encode(&key.public()),
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
        );
        assert_eq!(
            HEXLOWER.encode(&key.sign(&[0x72])),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
    }

    #[test]
    fn what_is_not_an_exported_key_is_refused() {
        let text = SigningKey::generate().unwrap().export();
        for bad in [
            "",
            &text[1..],
            &format!("{}0", *text),
            &format!("{}\n", *text),
            &"G".repeat(64),
            &"A".repeat(64),
        ] {
            assert!(SigningKey::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn signatures_verify_strictly(message in prop::collection::vec(any::<u8>(), 0..200)) {
            let key = SigningKey::generate().unwrap();
            let again = SigningKey::parse(&key.export()).unwrap();
            prop_assert_eq!(again.public(), key.public());
            let public = VerifyingKey::from_bytes(&key.public()).unwrap();
            prop_assert!(public.verify_strict(&message, &Signature::from_bytes(&again.sign(&message))).is_ok());
        }
    }
}
