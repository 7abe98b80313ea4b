//! The age payload in parts: sealing and opening by index, in any order and on any thread.
//!
//! C2SP `age`, "Payload": a 16-byte nonce, then chunks of 64 KiB sealed with ChaCha20-Poly1305. The nonce of a chunk is its
//! index and a mark on the final one. No function here takes such a nonce: the sealer gives each index out once, and the
//! opener computes it from where the ciphertext stands.

use std::sync::Arc;

use thiserror::Error;
use vault_proto::age_header::Header;
use vault_proto::geometry::{
    CHUNK_CIPHERTEXT, CHUNK_PLAINTEXT, CHUNK_TAG, CHUNKS_PER_PART, MAX_PARTS, PART_PLAINTEXT, PAYLOAD_NONCE,
};
use zeroize::Zeroize;

use crate::chunk_aead::{ChunkAead, TAG_LEN};
use crate::file_key::{FileKey, HeaderMacError, PayloadKey};
use crate::random::{self, RandomError};

/// The most ciphertext that one part can have: the first part carries the payload nonce in front.
const MAX_PART_CIPHERTEXT: usize = PAYLOAD_NONCE + CHUNKS_PER_PART * CHUNK_CIPHERTEXT;

/// Why a part cannot be sealed. Nothing is sealed and the sealer is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealPartError {
    /// The last part was already given out.
    #[error("this payload is complete: nothing can be added to it")]
    Complete,
    /// A part that is not the last has to hold exactly [`PART_PLAINTEXT`] bytes.
    #[error("a part that is not the last must hold exactly {PART_PLAINTEXT} bytes, this one has {len}")]
    NotFull {
        /// Bytes in the part.
        len: usize,
    },
    /// A last part holds at most [`PART_PLAINTEXT`] bytes.
    #[error("a part holds at most {PART_PLAINTEXT} bytes, this one has {len}")]
    TooLong {
        /// Bytes in the part.
        len: usize,
    },
    /// Only a payload that is empty as a whole may end with an empty part: hold a full part back until it is known whether
    /// it is the last.
    #[error("the last part of a payload that is not empty must not be empty")]
    EmptyEnd,
    /// The payload has its [`MAX_PARTS`] parts: this one has to be the last, or has to open the next segment.
    #[error("a payload has at most {MAX_PARTS} parts, so this one must be the last")]
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
    /// A part index of [`MAX_PARTS`] or above.
    #[error("part {index} is beyond the {MAX_PARTS} parts that a payload can have")]
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

/// How a body is expected to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// With age's final chunk: the payload is whole.
    Final,
    /// After a whole part without one: the payload was cut off, and the caller knows and says so.
    Cut,
}

/// Gives out the parts of one payload for sealing. It owns its file key, so no second payload is sealed under it.
#[must_use = "a payload without its last part is cut off"]
pub struct PayloadSealer {
    key: Arc<PayloadKey>,
    nonce: [u8; PAYLOAD_NONCE],
    next: u32,
    complete: bool,
}

impl PayloadSealer {
    /// Starts the payload of a file, under a new random payload nonce.
    ///
    /// # Errors
    /// [`RandomError`] if the operating system gives no random bytes.
    pub fn new(file_key: FileKey) -> Result<Self, RandomError> {
        let mut nonce = [0; PAYLOAD_NONCE];
        random::fill(&mut nonce)?;
        Ok(Self {
            key: Arc::new(file_key.seal_payload(&nonce)),
            nonce,
            next: 0,
            complete: false,
        })
    }

    /// An empty buffer that a part is sealed in without being copied to another.
    #[must_use]
    pub fn part_buffer() -> Vec<u8> {
        Vec::with_capacity(MAX_PART_CIPHERTEXT)
    }

    /// How many parts can still be given out; the last of them only as the last one of the payload.
    #[must_use]
    pub fn parts_left(&self) -> u32 {
        if self.complete {
            0
        } else {
            MAX_PARTS.saturating_sub(self.next)
        }
    }

    /// Takes the next part of the plaintext: exactly [`PART_PLAINTEXT`] bytes, or fewer if it is the `last`. An empty part
    /// is right only for a payload that is empty as a whole.
    ///
    /// # Errors
    /// [`SealPartError`] if the part cannot stand here.
    pub fn next_part(&mut self, plaintext: Vec<u8>, last: bool) -> Result<PartJob, SealPartError> {
        let len = plaintext.len();
        if self.complete {
            return Err(SealPartError::Complete);
        }
        if self.next >= MAX_PARTS || (self.next == MAX_PARTS - 1 && !last) {
            return Err(SealPartError::Full);
        }
        match (last, len) {
            (false, PART_PLAINTEXT) => {}
            (false, _) => return Err(SealPartError::NotFull { len }),
            (true, 0) if self.next > 0 => return Err(SealPartError::EmptyEnd),
            (true, 0..=PART_PLAINTEXT) => {}
            (true, _) => return Err(SealPartError::TooLong { len }),
        }
        let index = self.next;
        self.next += 1;
        self.complete = last;
        let prefix = (index == 0).then_some(self.nonce);
        Ok(PartJob {
            key: Arc::clone(&self.key),
            index,
            last,
            prefix,
            plaintext,
        })
    }
}

/// One part to seal. It consumes itself, so no index is ever used twice.
#[must_use = "a part that is given out and not sealed leaves a hole in the payload"]
pub struct PartJob {
    key: Arc<PayloadKey>,
    index: u32,
    last: bool,
    prefix: Option<[u8; PAYLOAD_NONCE]>,
    plaintext: Vec<u8>,
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

    /// Seals the part in its buffer. Runs on any thread.
    ///
    /// # Errors
    /// [`SealPartError::Cipher`], which does not happen within these sizes.
    pub fn run(mut self) -> Result<SealedPart, SealPartError> {
        let failed = SealPartError::Cipher { index: self.index };
        let aead = ChunkAead::new(self.key.expose());
        let len = self.plaintext.len();
        let prefix = self.prefix.as_ref().map_or(0, |nonce| nonce.len());
        let chunks = len.div_ceil(CHUNK_PLAINTEXT).max(1);
        let mut buffer = std::mem::take(&mut self.plaintext);
        grow(&mut buffer, prefix + len + chunks * CHUNK_TAG);

        // From the last chunk to the first, each moves to its final place before it is sealed there: what it moves onto has
        // already moved on.
        for chunk in (0..chunks).rev() {
            let from = chunk * CHUNK_PLAINTEXT;
            let size = (len - from).min(CHUNK_PLAINTEXT);
            let to = prefix + chunk * CHUNK_CIPHERTEXT;
            buffer.copy_within(from..from + size, to);
            let place = buffer.get_mut(to..to + size + TAG_LEN).ok_or(failed)?;
            let (body, tag) = place.split_at_mut(size);
            let nonce = chunk_nonce(self.index, chunk, self.last && chunk + 1 == chunks);
            tag.copy_from_slice(&aead.seal(&nonce, body).map_err(|_| failed)?);
        }
        if let Some(nonce) = &self.prefix {
            buffer.get_mut(..prefix).ok_or(failed)?.copy_from_slice(nonce);
        }
        Ok(SealedPart {
            index: self.index,
            last: self.last,
            ciphertext: buffer,
        })
    }
}

impl Drop for PartJob {
    fn drop(&mut self) {
        self.plaintext.zeroize();
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
        Ok(Self {
            key: file_key.open_payload(header, nonce)?,
            nonce: *nonce,
        })
    }

    /// Opens part `index` in its buffer and gives back its plaintext. `ends_body` says whether it is the last part of the
    /// body that the caller has been told of, and `end` how that body has to end.
    ///
    /// # Errors
    /// [`OpenPartError`]; nothing is released then, and what was already decrypted is wiped.
    pub fn open_part(
        &self,
        index: u32,
        mut ciphertext: Vec<u8>,
        ends_body: bool,
        end: BodyEnd,
    ) -> Result<Vec<u8>, OpenPartError> {
        match self.open_in_place(index, &mut ciphertext, ends_body && end == BodyEnd::Final) {
            Ok(()) => Ok(ciphertext),
            Err(error) => {
                ciphertext.zeroize();
                Err(error)
            }
        }
    }

    fn open_in_place(&self, index: u32, buffer: &mut Vec<u8>, is_final: bool) -> Result<(), OpenPartError> {
        if index >= MAX_PARTS {
            return Err(OpenPartError::Index { index });
        }
        let len = buffer.len();
        let wrong_length = OpenPartError::Length { index, len };
        let prefix = if index == 0 { PAYLOAD_NONCE } else { 0 };
        let chunked = len.checked_sub(prefix).ok_or(wrong_length)?;
        let chunks = chunked.div_ceil(CHUNK_CIPHERTEXT);
        let full = chunked == CHUNKS_PER_PART * CHUNK_CIPHERTEXT;
        if (!is_final && !full) || chunks == 0 || chunks > CHUNKS_PER_PART {
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
            let nonce = chunk_nonce(index, chunk, ends_payload);
            aead.open(&nonce, body, tag)
                .map_err(|_| OpenPartError::Chunk { index, chunk })?;
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
        let (body, tag) = buffer.split_last_chunk_mut::<TAG_LEN>()?;
        let size = body.len();
        ChunkAead::new(self.key.expose())
            .open(&stream_nonce(counter, is_final), body, tag)
            .ok()?;
        buffer.truncate(size);
        Some(())
    }
}

/// The nonce of a chunk of a part.
fn chunk_nonce(part: u32, chunk: usize, is_final: bool) -> [u8; 12] {
    stream_nonce(u64::from(part) * CHUNKS_PER_PART as u64 + chunk as u64, is_final)
}

/// An 11-byte big-endian counter, then 1 for the final chunk and 0 for the others.
fn stream_nonce(counter: u64, is_final: bool) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = counter.to_be_bytes();
    [0, 0, 0, a, b, c, d, e, f, g, h, u8::from(is_final)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vault_proto::age_header::Stanza;

    use super::*;

    static_assertions::assert_impl_all!(PartJob: Send);
    static_assertions::assert_impl_all!(PayloadOpener: Send, Sync);
    static_assertions::assert_not_impl_any!(PayloadSealer: Clone, std::fmt::Debug, serde::Serialize);
    static_assertions::assert_not_impl_any!(PartJob: Clone, std::fmt::Debug, serde::Serialize);
    static_assertions::assert_not_impl_any!(PayloadOpener: Clone, std::fmt::Debug, serde::Serialize);

    struct Sealed {
        opener: PayloadOpener,
        parts: Vec<Vec<u8>>,
    }

    /// Seals `plaintext`; without its last part's mark if `cut`.
    fn seal(plaintext: &[u8], cut: bool) -> Sealed {
        let key = FileKey::generate().unwrap();
        let header = key
            .authenticate(vec![Stanza::new("a", vec![], vec![]).unwrap()])
            .unwrap();
        let copy = FileKey::try_fill(|out| {
            out.copy_from_slice(key.expose());
            Ok::<(), ()>(())
        })
        .unwrap_or_else(|()| panic!("copying a key"));
        let mut sealer = PayloadSealer::new(key).unwrap();
        let mut pieces: Vec<&[u8]> = plaintext.chunks(PART_PLAINTEXT).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        let count = pieces.len();
        let mut parts = Vec::new();
        for (at, piece) in pieces.into_iter().enumerate() {
            let sealed = sealer
                .next_part(piece.to_vec(), !cut && at + 1 == count)
                .unwrap()
                .run()
                .unwrap();
            assert_eq!(sealed.index as usize, at);
            parts.push(sealed.ciphertext);
        }
        let nonce: [u8; 16] = parts[0][..16].try_into().unwrap();
        let opener = PayloadOpener::new(&copy, &header, &nonce).unwrap_or_else(|_| panic!("own header"));
        Sealed { opener, parts }
    }

    fn media(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn parts_open_alone_and_in_any_order() {
        for len in [
            0,
            1,
            CHUNK_PLAINTEXT - 1,
            CHUNK_PLAINTEXT,
            CHUNK_PLAINTEXT + 1,
            PART_PLAINTEXT - 1,
            PART_PLAINTEXT,
            PART_PLAINTEXT + 1,
            2 * PART_PLAINTEXT,
            2 * PART_PLAINTEXT + 3 * CHUNK_PLAINTEXT + 5,
        ] {
            let plaintext = media(len);
            let sealed = seal(&plaintext, false);
            let count = sealed.parts.len();
            for at in (0..count).rev() {
                let part = sealed.parts[at].clone();
                let opened = sealed
                    .opener
                    .open_part(at as u32, part, at + 1 == count, BodyEnd::Final)
                    .unwrap();
                let from = at * PART_PLAINTEXT;
                assert_eq!(
                    opened,
                    plaintext[from..len.min(from + PART_PLAINTEXT)],
                    "{len} bytes, part {at}"
                );
            }
        }
    }

    #[test]
    fn a_cut_body_opens_only_as_a_cut_body() {
        let plaintext = media(2 * PART_PLAINTEXT);
        let sealed = seal(&plaintext, true);
        let open = |at: u32, end| {
            sealed
                .opener
                .open_part(at, sealed.parts[at as usize].clone(), at == 1, end)
        };
        assert_eq!(open(0, BodyEnd::Cut).unwrap(), plaintext[..PART_PLAINTEXT]);
        assert_eq!(open(1, BodyEnd::Cut).unwrap(), plaintext[PART_PLAINTEXT..]);
        assert_eq!(
            open(1, BodyEnd::Final),
            Err(OpenPartError::Chunk { index: 1, chunk: 15 })
        );

        let whole = seal(&plaintext, false);
        let open = |end| whole.opener.open_part(1, whole.parts[1].clone(), true, end);
        assert_eq!(
            open(BodyEnd::Cut),
            Err(OpenPartError::Chunk { index: 1, chunk: 15 })
        );
        assert!(open(BodyEnd::Final).is_ok());
        let short = seal(&media(100), false);
        let len = short.parts[0].len();
        assert_eq!(
            short
                .opener
                .open_part(0, short.parts[0].clone(), true, BodyEnd::Cut),
            Err(OpenPartError::Length { index: 0, len })
        );
    }

    #[test]
    fn moved_dropped_and_lengthened_parts_are_refused() {
        let sealed = seal(&media(2 * PART_PLAINTEXT + 70_000), false);
        let open =
            |index: u32, part: Vec<u8>, ends| sealed.opener.open_part(index, part, ends, BodyEnd::Final);
        let [first, second, last] = [0, 1, 2].map(|at| sealed.parts[at].clone());
        assert_eq!(
            open(2, second.clone(), false),
            Err(OpenPartError::Chunk { index: 2, chunk: 0 })
        );
        assert_eq!(
            open(0, second.clone(), false),
            Err(OpenPartError::Length {
                index: 0,
                len: second.len()
            })
        );
        assert_eq!(
            open(0, [&first[..16], &second].concat(), false),
            Err(OpenPartError::Chunk { index: 0, chunk: 0 })
        );
        assert_eq!(
            open(1, first.clone(), false),
            Err(OpenPartError::Length {
                index: 1,
                len: first.len()
            })
        );
        assert_eq!(
            open(1, second.clone(), true),
            Err(OpenPartError::Chunk { index: 1, chunk: 15 })
        );
        assert_eq!(
            open(2, last.clone(), false),
            Err(OpenPartError::Length {
                index: 2,
                len: last.len()
            })
        );
        assert_eq!(
            open(1, last.clone(), true),
            Err(OpenPartError::Chunk { index: 1, chunk: 0 })
        );
        assert_eq!(
            open(MAX_PARTS, last.clone(), true),
            Err(OpenPartError::Index { index: MAX_PARTS })
        );

        let mut wrong_nonce = first.clone();
        wrong_nonce[0] ^= 1;
        assert_eq!(open(0, wrong_nonce, false), Err(OpenPartError::Nonce));
        for len in [
            0,
            1,
            15,
            CHUNK_CIPHERTEXT,
            CHUNK_CIPHERTEXT + 15,
            CHUNK_CIPHERTEXT + 16,
            last.len() - 1,
        ] {
            assert!(open(2, last[..len].to_vec(), true).is_err(), "{len}");
        }
        assert!(open(2, [&last[..], &[0]].concat(), true).is_err());
        assert_eq!(
            open(2, vec![0; 16], true),
            Err(OpenPartError::Length { index: 2, len: 16 })
        );
    }

    #[test]
    fn an_empty_final_chunk_is_refused_even_when_it_is_authentic() {
        let sealed = seal(&media(PART_PLAINTEXT), true);
        let key = ChunkAead::new(sealed.opener.key.expose());
        let Ok(tag) = key.seal(&chunk_nonce(1, 0, true), &mut []) else {
            panic!("sealing nothing")
        };
        assert_eq!(
            sealed.opener.open_part(1, tag.to_vec(), true, BodyEnd::Final),
            Err(OpenPartError::Length { index: 1, len: 16 })
        );
        let one = seal(&media(CHUNK_PLAINTEXT), false);
        let key = ChunkAead::new(one.opener.key.expose());
        let mut body = one.parts[0][..16].to_vec();
        let mut chunk = media(CHUNK_PLAINTEXT);
        let Ok(tag) = key.seal(&chunk_nonce(0, 0, false), &mut chunk) else {
            panic!("sealing")
        };
        body.extend_from_slice(&chunk);
        body.extend_from_slice(&tag);
        let Ok(tag) = key.seal(&chunk_nonce(0, 1, true), &mut []) else {
            panic!("sealing nothing")
        };
        body.extend_from_slice(&tag);
        let len = body.len();
        assert_eq!(
            one.opener.open_part(0, body, true, BodyEnd::Final),
            Err(OpenPartError::Length { index: 0, len })
        );
    }

    #[test]
    fn the_sealer_refuses_what_cannot_stand() {
        let sealer = || PayloadSealer::new(FileKey::generate().unwrap()).unwrap();
        let mut one = sealer();
        assert_eq!(
            one.next_part(vec![0; 5], false).err(),
            Some(SealPartError::NotFull { len: 5 })
        );
        let over = PART_PLAINTEXT + 1;
        assert_eq!(
            one.next_part(vec![0; over], false).err(),
            Some(SealPartError::NotFull { len: over })
        );
        assert_eq!(
            one.next_part(vec![0; over], true).err(),
            Some(SealPartError::TooLong { len: over })
        );
        assert_eq!(one.parts_left(), MAX_PARTS);
        assert_eq!(one.next_part(vec![0; PART_PLAINTEXT], false).unwrap().index(), 0);
        assert_eq!(one.next_part(vec![], true).err(), Some(SealPartError::EmptyEnd));
        assert_eq!(one.next_part(vec![1], true).unwrap().index(), 1);
        assert_eq!(one.parts_left(), 0);
        assert_eq!(one.next_part(vec![1], true).err(), Some(SealPartError::Complete));
        assert_eq!(
            one.next_part(vec![0; PART_PLAINTEXT], false).err(),
            Some(SealPartError::Complete)
        );

        let mut full = sealer();
        full.next = MAX_PARTS - 1;
        assert_eq!(
            full.next_part(vec![0; PART_PLAINTEXT], false).err(),
            Some(SealPartError::Full)
        );
        let job = full.next_part(vec![0; PART_PLAINTEXT], true).unwrap();
        assert_eq!(job.index(), MAX_PARTS - 1);
        assert_eq!(full.next_part(vec![], true).err(), Some(SealPartError::Complete));
    }

    #[test]
    fn a_reserved_buffer_is_sealed_where_it_lies() {
        let mut sealer = PayloadSealer::new(FileKey::generate().unwrap()).unwrap();
        let mut buffer = PayloadSealer::part_buffer();
        buffer.resize(PART_PLAINTEXT, 7);
        let place = buffer.as_ptr();
        let sealed = sealer.next_part(buffer, false).unwrap().run().unwrap();
        assert_eq!(sealed.ciphertext.as_ptr(), place);
        assert_eq!(sealed.ciphertext.len(), MAX_PART_CIPHERTEXT);
    }

    #[test]
    fn no_two_chunks_share_a_nonce() {
        let mut seen = std::collections::HashSet::new();
        for part in [0, 1, 15, 16, 255, 256, MAX_PARTS - 1] {
            for chunk in 0..CHUNKS_PER_PART {
                for is_final in [false, true] {
                    assert!(seen.insert(chunk_nonce(part, chunk, is_final)));
                }
            }
        }
        assert_eq!(
            chunk_nonce(MAX_PARTS - 1, 15, true),
            [0, 0, 0, 0, 0, 0, 0, 0, 0x0f, 0xff, 0xff, 1]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn one_flipped_bit_is_refused(len in 0..3 * CHUNK_PLAINTEXT, at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let sealed = seal(&media(len), false);
            let mut part = sealed.parts[0].clone();
            let at = at.index(part.len());
            part[at] ^= 1 << bit;
            prop_assert!(sealed.opener.open_part(0, part, true, BodyEnd::Final).is_err());
        }

        #[test]
        fn every_cut_is_refused(len in 1..3 * CHUNK_PLAINTEXT, at in any::<prop::sample::Index>()) {
            let sealed = seal(&media(len), false);
            let mut part = sealed.parts[0].clone();
            part.truncate(at.index(part.len()));
            prop_assert!(sealed.opener.open_part(0, part, true, BodyEnd::Final).is_err());
        }
    }
}
