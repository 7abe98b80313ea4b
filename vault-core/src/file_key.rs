//! The file key of an age file, and every key that is derived from it.
//!
//! C2SP `age`, "File key", "Header MAC" and "Payload":
//! ```text
//! MAC key     = HKDF-SHA-256(ikm = file key, salt = empty,         info = "header")
//! payload key = HKDF-SHA-256(ikm = file key, salt = payload nonce, info = "payload")
//! ```

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;
use vault_proto::age_header::{self, Header, HeaderError, Stanza};
use vault_proto::geometry::PAYLOAD_NONCE;
use zeroize::Zeroize;

use crate::random::RandomError;
use crate::secret_bytes::SecretBytes;
use crate::wiped_stack::on_wiped_stack;

/// Length of a file key in bytes.
pub const FILE_KEY_LEN: usize = 16;

const HEADER_INFO: &[u8] = b"header";
const PAYLOAD_INFO: &[u8] = b"payload";

/// The header's MAC does not fit its file key: the header was changed by someone who does not know the file key, or is
/// damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the header does not match its own authentication code: it is damaged, or someone changed it")]
pub struct HeaderMacError;

/// The 128-bit key that one age file is encrypted with. Wiped on drop.
pub struct FileKey(SecretBytes<FILE_KEY_LEN>);

/// The key of one payload, derived from a file key and the payload nonce. Wiped on drop.
pub(crate) struct PayloadKey(SecretBytes<32>);

impl FileKey {
    /// A new random file key.
    ///
    /// # Errors
    /// [`RandomError`] if the operating system gives no random bytes.
    pub fn generate() -> Result<Self, RandomError> {
        SecretBytes::generate().map(Self)
    }

    /// A file key whose bytes `fill` writes in place.
    pub(crate) fn try_fill<E>(
        fill: impl FnOnce(&mut [u8; FILE_KEY_LEN]) -> Result<(), E>,
    ) -> Result<Self, E> {
        SecretBytes::try_fill(fill).map(Self)
    }

    pub(crate) fn expose(&self) -> &[u8; FILE_KEY_LEN] {
        self.0.expose()
    }

    /// Puts the MAC of this file key on a header with these stanzas.
    ///
    /// # Errors
    /// [`HeaderError`] if the stanzas do not make a header within the limits of [`age_header`].
    pub fn authenticate(&self, stanzas: Vec<Stanza>) -> Result<Header, HeaderError> {
        let mac = self.header_mac(&age_header::mac_input(&stanzas)?);
        Header::new(stanzas, mac.finalize().into_bytes().into())
    }

    /// Checks, in constant time, that this file key belongs to the header.
    ///
    /// # Errors
    /// [`HeaderMacError`] if it does not.
    pub fn verify(&self, header: &Header) -> Result<(), HeaderMacError> {
        on_wiped_stack(|| {
            self.header_mac(&header.mac_input()).verify_slice(header.mac()).map_err(|_| HeaderMacError)
        })
    }

    /// The payload key for opening. The MAC is checked here, so there is no way to a payload past a changed header.
    pub(crate) fn open_payload(
        &self,
        header: &Header,
        nonce: &[u8; PAYLOAD_NONCE],
    ) -> Result<PayloadKey, HeaderMacError> {
        self.verify(header)?;
        Ok(self.derive_payload_key(nonce))
    }

    /// The payload key for sealing under a nonce that was made for this one payload.
    pub(crate) fn seal_payload(&self, nonce: &[u8; PAYLOAD_NONCE]) -> PayloadKey {
        self.derive_payload_key(nonce)
    }

    fn derive_payload_key(&self, nonce: &[u8; PAYLOAD_NONCE]) -> PayloadKey {
        PayloadKey(derive(Some(nonce), self.0.expose(), &[PAYLOAD_INFO]))
    }

    fn header_mac(&self, input: &[u8]) -> Hmac<Sha256> {
        on_wiped_stack(|| {
            let key = derive(None, self.0.expose(), &[HEADER_INFO]);
            let mut mac = keyed(key.expose());
            mac.update(input);
            mac
        })
    }
}

impl PayloadKey {
    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// HKDF-SHA-256 (RFC 5869) to 32 bytes, written to their final place. `info` is the concatenation of its pieces.
///
/// 32 bytes are one block of HKDF-Expand, which is one HMAC: there is no length that could be wrong, so nothing can
/// fail.
pub(crate) fn derive(salt: Option<&[u8]>, secret: &[u8], info: &[&[u8]]) -> SecretBytes<32> {
    on_wiped_stack(|| {
        let (mut extracted, _) = Hkdf::<Sha256>::extract(salt, secret);
        let mut mac = keyed(&extracted.into());
        extracted.zeroize();
        for piece in info {
            mac.update(piece);
        }
        mac.update(&[1]);
        let mut block = mac.finalize().into_bytes();
        let derived = SecretBytes::fill(|out| out.copy_from_slice(&block));
        block.zeroize();
        derived
    })
}

/// HMAC pads a key with zeros to the 64-byte block, so giving it the padded key is the same and cannot fail.
fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let block = SecretBytes::<64>::fill(|block| {
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
    });
    <Hmac<Sha256> as KeyInit>::new(block.expose().into())
}

#[cfg(test)]
mod kit_wycheproof;

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use vault_proto::age_header::MAC_LEN;

    use super::*;

    static_assertions::assert_not_impl_any!(
        FileKey: Clone, Copy, std::fmt::Debug, std::fmt::Display, serde::Serialize, PartialEq
    );
    static_assertions::assert_not_impl_any!(
        PayloadKey: Clone, Copy, std::fmt::Debug, std::fmt::Display, serde::Serialize, PartialEq
    );

    fn stanzas() -> Vec<Stanza> {
        vec![Stanza::new("a", vec!["b".to_owned()], vec![1, 2, 3]).unwrap()]
    }

    #[test]
    fn derivation_is_hkdf_sha256() {
        // RFC 5869, appendix A.1 and A.3; the first 32 of the 42 bytes.
        let secret = [0x0b; 22];
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let derived = derive(Some(&salt), &secret, &[&info[..4], &info[4..]]);
        assert_eq!(
            HEXLOWER.encode(derived.expose()),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
        );
        let derived = derive(None, &secret, &[]);
        assert_eq!(
            HEXLOWER.encode(derived.expose()),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
        );
    }

    #[test]
    fn a_changed_header_yields_no_payload_key() {
        let key = FileKey::generate().unwrap();
        let header = key.authenticate(stanzas()).unwrap();
        assert!(key.open_payload(&header, &[0; 16]).is_ok());

        let mut changed = stanzas();
        changed.push(Stanza::new("extra", vec![], vec![]).unwrap());
        let changed = Header::new(changed, *header.mac()).unwrap();
        assert!(key.open_payload(&changed, &[0; 16]).is_err());
        for byte in 0..MAC_LEN {
            let mut mac = *header.mac();
            mac[byte] ^= 1;
            let changed = Header::new(stanzas(), mac).unwrap();
            assert_eq!(key.verify(&changed), Err(HeaderMacError), "byte {byte}");
            assert!(key.open_payload(&changed, &[0; 16]).is_err(), "byte {byte}");
        }
        assert!(FileKey::generate().unwrap().open_payload(&header, &[0; 16]).is_err());
    }

    #[test]
    fn payload_keys_differ_by_nonce_and_agree_between_sealing_and_opening() {
        let key = FileKey::generate().unwrap();
        let header = key.authenticate(stanzas()).unwrap();
        let sealing = key.seal_payload(&[1; 16]);
        let opening = key.open_payload(&header, &[1; 16]).unwrap_or_else(|_| panic!("own header refused"));
        assert_eq!(sealing.expose(), opening.expose());
        assert_ne!(sealing.expose(), key.seal_payload(&[2; 16]).expose());
    }
}
