//! The one place that calls the AEAD: ChaCha20-Poly1305 in place, without associated data.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Tag};

/// Length of the tag that sealing adds.
pub(crate) const TAG_LEN: usize = 16;

/// The AEAD did not accept its input: wrong key, wrong nonce or changed bytes.
pub(crate) struct Rejected;

/// One key, set up for many calls. The key is wiped on drop.
pub(crate) struct ChunkAead(ChaCha20Poly1305);

impl ChunkAead {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(ChaCha20Poly1305::new(key.into()))
    }

    /// Encrypts `buffer` in place and gives back the tag.
    pub(crate) fn seal(&self, nonce: &[u8; 12], buffer: &mut [u8]) -> Result<[u8; TAG_LEN], Rejected> {
        let tag = self.0.encrypt_inout_detached(nonce.into(), &[], buffer.into()).map_err(|_| Rejected)?;
        Ok(tag.into())
    }

    /// Decrypts `buffer` in place if `tag` is right. A rejected buffer keeps its ciphertext: the tag is checked first.
    pub(crate) fn open(
        &self,
        nonce: &[u8; 12],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Rejected> {
        let tag: &Tag = tag.into();
        self.0.decrypt_inout_detached(nonce.into(), &[], buffer.into(), tag).map_err(|_| Rejected)
    }
}

#[cfg(test)]
mod kit_wycheproof;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_buffer_is_left_as_it_was() {
        let aead = ChunkAead::new(&[7; 32]);
        let mut buffer = *b"sixteen bytes...";
        let Ok(tag) = aead.seal(&[0; 12], &mut buffer) else { panic!("sealing failed") };
        let sealed = buffer;
        assert!(aead.open(&[1; 12], &mut buffer, &tag).is_err());
        assert_eq!(buffer, sealed);
        assert!(aead.open(&[0; 12], &mut buffer, &tag).is_ok());
        assert_eq!(&buffer, b"sixteen bytes...");
    }
}
