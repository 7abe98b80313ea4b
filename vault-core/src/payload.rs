//! The age payload in parts: sealing and opening by index, in any order and on any thread.
//!
//! C2SP `age`, "Payload": a 16-byte nonce, then chunks of 64 KiB sealed with ChaCha20-Poly1305. The nonce of a chunk is
//! its index and a mark on the final one. No function here takes such a nonce: the sealer gives each index out once,
//! and the opener computes it from where the ciphertext stands.

use std::sync::Arc;

use thiserror::Error;
use vault_proto::age_header::Header;
use vault_proto::geometry::{
    BodyEnd, CHUNK_CIPHERTEXT, CHUNK_PLAINTEXT, CHUNK_TAG, MAX_CHUNKS, MAX_PART, PAYLOAD_NONCE, PartChunks,
};
use zeroize::{Zeroize, Zeroizing};

use crate::chunk_aead::{ChunkAead, TAG_LEN};
use crate::file_key::{FileKey, HeaderMacError, PayloadKey};
use crate::random::{self, RandomError};
use crate::wiped_stack::on_wiped_stack;

/// Why a part cannot be sealed. Nothing is sealed and the sealer is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealPartError {
    /// The last part was already given out.
    #[error("this payload is complete: nothing can be added to it")]
    Complete,
    /// A part that is not the last has to be full.
    #[error("a part that is not the last must hold exactly {full} bytes, this one has {len}")]
    NotFull {
        /// Bytes in the part.
        len: usize,
        /// Bytes of a full one.
        full: usize,
    },
    /// A last part holds at most as much as a full one.
    #[error("a part holds at most {full} bytes, this one has {len}")]
    TooLong {
        /// Bytes in the part.
        len: usize,
        /// Bytes of a full one.
        full: usize,
    },
    /// Only a payload that is empty as a whole may end with an empty part: hold a full part back until it is known
    /// whether it is the last.
    #[error("the last part of a payload that is not empty must not be empty")]
    EmptyEnd,
    /// The payload has its [`MAX_CHUNKS`] chunks: this part has to be the last, or has to open the next segment.
    #[error("a payload has at most {MAX_CHUNKS} chunks, so this part must be the last")]
    Full,
    /// The cipher refused its input, which does not happen within these sizes.
    #[error("the cipher refused to seal part {index}")]
    Cipher {
        /// Index of the part.
        index: u32,
    },
}

/// Why a part was not opened. No byte of it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenPartError {
    /// The ciphertext has a length that no part at this place can have.
    #[error("part {index} is damaged: {len} bytes is no possible length for it")]
    Length {
        /// Index of the part.
        index: u32,
        /// Bytes of ciphertext.
        len: usize,
    },
    /// A part beyond [`MAX_CHUNKS`] chunks.
    #[error("part {index} is beyond the {MAX_CHUNKS} chunks that a payload can have")]
    Index {
        /// Index of the part.
        index: u32,
    },
    /// Part 0 starts with another payload nonce than the one the key was derived from.
    #[error("part 0 is damaged: it starts with another nonce")]
    Nonce,
    /// A chunk is not what was sealed at this place: changed, moved, or final where it should not be, or the reverse.
    #[error("chunk {chunk} of part {index} is damaged")]
    Chunk {
        /// Index of the part.
        index: u32,
        /// Index of the chunk in the part.
        chunk: usize,
    },
}

/// Gives out the parts of one payload for sealing. It owns its file key, so no second payload is sealed under it.
#[must_use = "a payload without its last part is cut off"]
pub struct PayloadSealer {
    key: Arc<PayloadKey>,
    nonce: [u8; PAYLOAD_NONCE],
    part_chunks: PartChunks,
    next: u32,
    complete: bool,
}

impl PayloadSealer {
    /// Starts the payload of a file, in parts of so many chunks, under a new random payload nonce.
    ///
    /// # Errors
    /// [`RandomError`] if the operating system gives no random bytes.
    pub fn new(file_key: FileKey, part_chunks: PartChunks) -> Result<Self, RandomError> {
        let mut nonce = [0; PAYLOAD_NONCE];
        random::fill(&mut nonce)?;
        let key = Arc::new(file_key.seal_payload(&nonce));
        Ok(Self { key, nonce, part_chunks, next: 0, complete: false })
    }

    /// How many chunks its parts have.
    #[must_use]
    pub const fn part_chunks(&self) -> PartChunks {
        self.part_chunks
    }

    /// An empty buffer that a part is sealed in without being copied to another. It is wiped wherever it is dropped.
    #[must_use]
    pub fn part_buffer() -> Zeroizing<Vec<u8>> {
        Zeroizing::new(Vec::with_capacity(MAX_PART))
    }

    /// How many parts can still be given out; the last of them only as the last one of the payload.
    #[must_use]
    pub fn parts_left(&self) -> u32 {
        if self.complete { 0 } else { self.part_chunks.max_parts().saturating_sub(self.next) }
    }

    /// Takes the next part of the plaintext: a full one, or one with fewer bytes if it is the `last`. An empty part is
    /// right only for a payload that is empty as a whole.
    ///
    /// # Errors
    /// [`SealPartError`] if the part cannot stand here.
    pub fn next_part(
        &mut self,
        plaintext: impl Into<Zeroizing<Vec<u8>>>,
        last: bool,
    ) -> Result<PartJob, SealPartError> {
        let plaintext = plaintext.into();
        let len = plaintext.len();
        if self.complete {
            return Err(SealPartError::Complete);
        }
        let (most, full) = (self.part_chunks.max_parts(), self.part_chunks.plaintext());
        if self.next >= most || (self.next == most - 1 && !last) {
            return Err(SealPartError::Full);
        }
        match last {
            false if len != full => return Err(SealPartError::NotFull { len, full }),
            true if len == 0 && self.next > 0 => return Err(SealPartError::EmptyEnd),
            true if len > full => return Err(SealPartError::TooLong { len, full }),
            _ => {}
        }
        let index = self.next;
        self.next += 1;
        self.complete = last;
        let prefix = (index == 0).then_some(self.nonce);
        let first_chunk = u64::from(index) * self.part_chunks.chunks() as u64;
        Ok(PartJob { key: Arc::clone(&self.key), index, first_chunk, last, prefix, plaintext })
    }
}

/// One part to seal. It consumes itself, so no index is ever used twice.
#[must_use = "a part that is given out and not sealed leaves a hole in the payload"]
pub struct PartJob {
    key: Arc<PayloadKey>,
    index: u32,
    /// Place of its first chunk in the payload.
    first_chunk: u64,
    last: bool,
    prefix: Option<[u8; PAYLOAD_NONCE]>,
    plaintext: Zeroizing<Vec<u8>>,
}

/// One sealed part, as it stands in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPart {
    /// Place of the part in the body, from 0.
    pub index: u32,
    /// Whether the payload ends with it.
    pub last: bool,
    /// The bytes of the body. Those of part 0 begin with the payload nonce.
    pub ciphertext: Vec<u8>,
}

impl PartJob {
    /// Place of the part in the body, from 0.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// What is sealed.
    #[must_use]
    pub fn plaintext(&self) -> &[u8] {
        &self.plaintext
    }

    /// Seals the part in its buffer. Runs on any thread.
    ///
    /// # Errors
    /// [`SealPartError::Cipher`], which does not happen within these sizes.
    pub fn run(self) -> Result<SealedPart, SealPartError> {
        on_wiped_stack(|| self.seal())
    }

    fn seal(self) -> Result<SealedPart, SealPartError> {
        let failed = SealPartError::Cipher { index: self.index };
        let aead = ChunkAead::new(self.key.expose());
        let len = self.plaintext.len();
        let prefix = self.prefix.as_ref().map_or(0, |nonce| nonce.len());
        let chunks = len.div_ceil(CHUNK_PLAINTEXT).max(1);
        let mut buffer = self.plaintext;
        grow(&mut buffer, prefix + len + chunks * CHUNK_TAG);

        // From the last chunk to the first, each moves to its final place before it is sealed there: what it moves onto
        // has already moved on.
        for chunk in (0..chunks).rev() {
            let from = chunk * CHUNK_PLAINTEXT;
            let size = (len - from).min(CHUNK_PLAINTEXT);
            let to = prefix + chunk * CHUNK_CIPHERTEXT;
            buffer.copy_within(from..from + size, to);
            let place = buffer.get_mut(to..to + size + TAG_LEN).ok_or(failed)?;
            let (body, tag) = place.split_at_mut(size);
            let nonce = stream_nonce(self.first_chunk + chunk as u64, self.last && chunk + 1 == chunks);
            tag.copy_from_slice(&aead.seal(&nonce, body).map_err(|_| failed)?);
        }
        if let Some(nonce) = &self.prefix {
            buffer.get_mut(..prefix).ok_or(failed)?.copy_from_slice(nonce);
        }
        // No plaintext is left in it: it is taken out of what would wipe it.
        Ok(SealedPart { index: self.index, last: self.last, ciphertext: std::mem::take(&mut *buffer) })
    }
}

/// Makes `buffer` `len` bytes long. If it has to move for that, the plaintext is wiped where it was.
fn grow(buffer: &mut Vec<u8>, len: usize) {
    if buffer.capacity() < len {
        let mut larger = Vec::with_capacity(len);
        larger.extend_from_slice(buffer);
        buffer.zeroize();
        *buffer = larger;
    }
    buffer.resize(len, 0);
}

/// Opens the parts of one payload, in any order and on any thread.
pub struct PayloadOpener {
    key: PayloadKey,
    nonce: [u8; PAYLOAD_NONCE],
}

impl PayloadOpener {
    /// Checks the header's MAC and derives the payload key from `nonce`, the first 16 bytes of the body.
    ///
    /// # Errors
    /// [`HeaderMacError`] if the file key does not belong to the header.
    pub fn new(
        file_key: &FileKey,
        header: &Header,
        nonce: &[u8; PAYLOAD_NONCE],
    ) -> Result<Self, HeaderMacError> {
        Ok(Self { key: file_key.open_payload(header, nonce)?, nonce: *nonce })
    }

    /// Opens part `index` of a payload in parts of `part_chunks` in its buffer and gives back its plaintext.
    /// `ends_body` says whether it is the last part of the body that the caller has been told of, and `end` how that
    /// body has to end.
    ///
    /// # Errors
    /// [`OpenPartError`]; nothing is released then, and what was already decrypted is wiped.
    pub fn open_part(
        &self,
        (index, part_chunks): (u32, PartChunks),
        mut ciphertext: Vec<u8>,
        ends_body: bool,
        end: BodyEnd,
    ) -> Result<Vec<u8>, OpenPartError> {
        let is_final = ends_body && end == BodyEnd::Final;
        match on_wiped_stack(|| self.open_in_place(index, part_chunks, &mut ciphertext, is_final)) {
            Ok(()) => Ok(ciphertext),
            Err(error) => {
                ciphertext.zeroize();
                Err(error)
            }
        }
    }

    fn open_in_place(
        &self,
        index: u32,
        part_chunks: PartChunks,
        buffer: &mut Vec<u8>,
        is_final: bool,
    ) -> Result<(), OpenPartError> {
        if index >= part_chunks.max_parts() {
            return Err(OpenPartError::Index { index });
        }
        let len = buffer.len();
        let wrong_length = OpenPartError::Length { index, len };
        let prefix = if index == 0 { PAYLOAD_NONCE } else { 0 };
        let chunked = len.checked_sub(prefix).ok_or(wrong_length)?;
        let chunks = chunked.div_ceil(CHUNK_CIPHERTEXT);
        let full = chunked == part_chunks.ciphertext();
        let first_chunk = u64::from(index) * part_chunks.chunks() as u64;
        if (!is_final && !full) || chunks == 0 || chunks > part_chunks.chunks() {
            return Err(wrong_length);
        }
        if index == 0 && !buffer.starts_with(&self.nonce) {
            return Err(OpenPartError::Nonce);
        }

        let aead = ChunkAead::new(self.key.expose());
        for chunk in 0..chunks {
            let from = prefix + chunk * CHUNK_CIPHERTEXT;
            let end = len.min(from + CHUNK_CIPHERTEXT);
            let ends_payload = is_final && chunk + 1 == chunks;
            let place = buffer.get_mut(from..end).ok_or(wrong_length)?;
            let (body, tag) = place.split_last_chunk_mut::<TAG_LEN>().ok_or(wrong_length)?;
            let size = body.len();
            // The format allows an empty final chunk only as the whole of an empty payload.
            if size == 0 && (index > 0 || chunk > 0) {
                return Err(wrong_length);
            }
            let nonce = stream_nonce(first_chunk + chunk as u64, ends_payload);
            aead.open(&nonce, body, tag).map_err(|_| OpenPartError::Chunk { index, chunk })?;
            buffer.copy_within(from..from + size, chunk * CHUNK_PLAINTEXT);
        }
        let plaintext = chunked - chunks * CHUNK_TAG;
        // What lies behind the plaintext is a shifted copy of its end.
        if let Some(rest) = buffer.get_mut(plaintext..) {
            rest.zeroize();
        }
        buffer.truncate(plaintext);
        Ok(())
    }

    /// Opens one chunk of a payload that is read from its start.
    pub(crate) fn open_chunk(&self, counter: u64, is_final: bool, buffer: &mut Vec<u8>) -> Option<()> {
        on_wiped_stack(|| {
            let (body, tag) = buffer.split_last_chunk_mut::<TAG_LEN>()?;
            let size = body.len();
            ChunkAead::new(self.key.expose()).open(&stream_nonce(counter, is_final), body, tag).ok()?;
            buffer.truncate(size);
            Some(())
        })
    }
}

/// An 11-byte big-endian counter, then 1 for the final chunk and 0 for the others.
fn stream_nonce(counter: u64, is_final: bool) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = counter.to_be_bytes();
    [0, 0, 0, a, b, c, d, e, f, g, h, u8::from(is_final)]
}

#[cfg(test)]
mod tests;
