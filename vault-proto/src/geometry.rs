//! Where the bytes of a segment lie: chunks, parts and bodies (FORMAT.md, "Geometry").
//!
//! A body is a 16-byte payload nonce followed by age's STREAM chunks. A part is the unit of upload, hash and retry: the
//! ciphertext of as many chunks as its segment says; part 0 also carries the nonce.

/// Plaintext bytes in every chunk but a segment's last.
pub const CHUNK_PLAINTEXT: usize = 64 * 1024;
/// Bytes of authentication tag that each chunk adds.
pub const CHUNK_TAG: usize = 16;
/// Ciphertext bytes of a full chunk.
pub const CHUNK_CIPHERTEXT: usize = CHUNK_PLAINTEXT + CHUNK_TAG;
/// Bytes of payload nonce at the start of a body.
pub const PAYLOAD_NONCE: usize = 16;
/// Most chunks of one segment. Each number of chunks that a part can have divides it.
pub const MAX_CHUNKS: u32 = 1_020;
/// Most parts of one segment: parts of one chunk.
pub const MAX_PARTS: u32 = MAX_CHUNKS;
/// Plaintext bytes of the largest part.
pub const MAX_PART_PLAINTEXT: usize = PartChunks::FIFTEEN.plaintext();
/// Most bytes that one part can have (part 0, full). Reverse proxies let 1 MiB pass by default.
pub const MAX_PART: usize = PAYLOAD_NONCE + PartChunks::FIFTEEN.ciphertext();
/// Most segments of one recording.
pub const MAX_SEGMENTS: u32 = 10_000;

/// How many chunks every part of a segment has but its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct PartChunks(u8);

/// A number of chunks that no part has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("parts have 1, 3, 5 or 15 chunks, not {0}")]
pub struct PartChunksError(pub u8);

impl TryFrom<u8> for PartChunks {
    type Error = PartChunksError;

    fn try_from(chunks: u8) -> Result<Self, PartChunksError> {
        Self::ALL.into_iter().find(|known| known.0 == chunks).ok_or(PartChunksError(chunks))
    }
}

impl From<PartChunks> for u8 {
    fn from(chunks: PartChunks) -> Self {
        chunks.0
    }
}

impl PartChunks {
    /// Parts of one chunk, for the lowest bit rates.
    pub const ONE: Self = Self(1);
    /// Parts of three chunks.
    pub const THREE: Self = Self(3);
    /// Parts of five chunks.
    pub const FIVE: Self = Self(5);
    /// The largest parts, for files and for what comes fast.
    pub const FIFTEEN: Self = Self(15);
    /// All that there are, ascending.
    pub const ALL: [Self; 4] = [Self::ONE, Self::THREE, Self::FIVE, Self::FIFTEEN];

    /// The largest that is filled by so many plaintext bytes; the smallest if none is.
    pub fn filled_by(plaintext: usize) -> Self {
        let filled = Self::ALL.into_iter().rev().find(|chunks| chunks.plaintext() <= plaintext);
        filled.unwrap_or(Self::ONE)
    }

    /// The number.
    pub const fn chunks(self) -> usize {
        self.0 as usize
    }

    /// Plaintext bytes of a full part.
    pub const fn plaintext(self) -> usize {
        CHUNK_PLAINTEXT * self.chunks()
    }

    /// Ciphertext bytes of a full part other than part 0.
    pub const fn ciphertext(self) -> usize {
        CHUNK_CIPHERTEXT * self.chunks()
    }

    /// Most parts of a segment.
    pub const fn max_parts(self) -> u32 {
        MAX_CHUNKS / self.0 as u32
    }

    /// Offset in a body at which part `index` starts.
    pub const fn offset(self, index: u32) -> u64 {
        if index == 0 { 0 } else { PAYLOAD_NONCE as u64 + index as u64 * self.ciphertext() as u64 }
    }

    /// Bytes of a full part `index`.
    pub const fn full_length(self, index: u32) -> usize {
        if index == 0 { PAYLOAD_NONCE + self.ciphertext() } else { self.ciphertext() }
    }

    /// Whether `length` can be the ciphertext length of part `index`: a full part, or a last one that ends in a final
    /// chunk.
    pub fn is_possible_length(self, index: u32, length: usize) -> bool {
        let nonce = if index == 0 { PAYLOAD_NONCE } else { 0 };
        let Some(chunks) = length.checked_sub(nonce) else {
            return false;
        };
        if index >= self.max_parts() || chunks > self.ciphertext() {
            return false;
        }
        match chunks % CHUNK_CIPHERTEXT {
            0 => chunks > 0,
            // An empty final chunk exists only as the single chunk of an empty segment.
            CHUNK_TAG => index == 0 && chunks == CHUNK_TAG,
            rest => rest > CHUNK_TAG,
        }
    }
}

/// How a segment's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyEnd {
    /// With age's final chunk: the whole is a valid age payload.
    Final,
    /// At a part boundary, because the sealing process died or was cut off: whole parts, no final chunk.
    Cut,
}

/// A length that no body can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes is not a possible length of a sealed body")]
pub struct BodyLengthError(pub u64);

/// The shape of one body, known from its length and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyShape {
    length: u64,
    end: BodyEnd,
    part_chunks: PartChunks,
    parts: u32,
}

impl BodyShape {
    /// Derives the shape; refuses every length that no sealer can have produced.
    pub fn new(length: u64, end: BodyEnd, part_chunks: PartChunks) -> Result<Self, BodyLengthError> {
        let error = BodyLengthError(length);
        let stream = length.checked_sub(PAYLOAD_NONCE as u64).ok_or(error)?;
        let part = part_chunks.ciphertext() as u64;
        let parts = u32::try_from(stream.div_ceil(part)).map_err(|_| error)?;
        if parts == 0 || parts > part_chunks.max_parts() {
            return Err(error);
        }
        let shape = Self { length, end, part_chunks, parts };
        let last = usize::try_from(length - shape.part_offset(parts - 1)).map_err(|_| error)?;
        let possible = match end {
            BodyEnd::Final => part_chunks.is_possible_length(parts - 1, last),
            BodyEnd::Cut => last == part_chunks.full_length(parts - 1),
        };
        if possible { Ok(shape) } else { Err(error) }
    }

    /// The shape of the first `parts` parts of a segment, all of them full.
    pub fn cut(parts: u32, part_chunks: PartChunks) -> Result<Self, BodyLengthError> {
        Self::new(part_chunks.offset(parts), BodyEnd::Cut, part_chunks)
    }

    /// Bytes of the body.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// How it ends.
    pub const fn end(&self) -> BodyEnd {
        self.end
    }

    /// How many chunks its parts have.
    pub const fn part_chunks(&self) -> PartChunks {
        self.part_chunks
    }

    /// Offset in the body at which part `index` starts.
    pub const fn part_offset(&self, index: u32) -> u64 {
        self.part_chunks.offset(index)
    }

    /// Part that holds plaintext byte `offset`, and the offset within that part's plaintext.
    pub const fn locate(&self, offset: u64) -> (u64, usize) {
        let part = self.part_chunks.plaintext() as u64;
        // The remainder is below the plaintext of a part, which fits every usize.
        (offset / part, (offset % part) as usize)
    }

    /// Number of parts.
    pub const fn parts(&self) -> u32 {
        self.parts
    }

    /// Ciphertext bytes of part `index`; 0 past the last part.
    pub fn part_length(&self, index: u32) -> u64 {
        if index >= self.parts {
            0
        } else if index + 1 == self.parts {
            self.length - self.part_offset(index)
        } else {
            self.part_chunks.full_length(index) as u64
        }
    }

    /// Plaintext bytes of the segment.
    pub fn plaintext_length(&self) -> u64 {
        let stream = self.length - PAYLOAD_NONCE as u64;
        stream - stream.div_ceil(CHUNK_CIPHERTEXT as u64) * CHUNK_TAG as u64
    }

    /// Whether part `index` holds the final chunk.
    pub fn is_final_part(&self, index: u32) -> bool {
        self.end == BodyEnd::Final && index + 1 == self.parts
    }
}

/// Bytes of a body that seals `plaintext` bytes and ends with a final chunk.
pub fn body_length(plaintext: u64) -> u64 {
    let chunks = plaintext.div_ceil(CHUNK_PLAINTEXT as u64).max(1);
    PAYLOAD_NONCE as u64 + plaintext + chunks * CHUNK_TAG as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part_chunks() -> impl Strategy<Value = PartChunks> {
        prop::sample::select(PartChunks::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn lengths_agree_both_ways(chunks in part_chunks(), plaintext in 0u64..66_846_720) {
            let shape = BodyShape::new(body_length(plaintext), BodyEnd::Final, chunks).unwrap();
            prop_assert_eq!(shape.plaintext_length(), plaintext);
            let sum: u64 = (0..shape.parts()).map(|k| shape.part_length(k)).sum();
            prop_assert_eq!(sum, shape.length());
            for k in 0..shape.parts() {
                prop_assert!(chunks.is_possible_length(k, shape.part_length(k) as usize));
            }
        }

        #[test]
        fn a_length_is_possible_only_if_some_plaintext_has_it(chunks in part_chunks(), length in 0u64..5_000_000) {
            if let Ok(shape) = BodyShape::new(length, BodyEnd::Final, chunks) {
                prop_assert_eq!(body_length(shape.plaintext_length()), length);
            }
        }

        #[test]
        fn whole_parts_can_be_cut_off(chunks in part_chunks(), parts in 1u32..70) {
            prop_assume!(parts <= chunks.max_parts());
            let shape = BodyShape::cut(parts, chunks).unwrap();
            prop_assert_eq!(shape.plaintext_length(), u64::from(parts) * chunks.plaintext() as u64);
            prop_assert_eq!(shape.locate(shape.plaintext_length() - 1), (u64::from(parts) - 1, chunks.plaintext() - 1));
        }

        #[test]
        fn the_largest_part_that_is_filled(plaintext in 0usize..2_000_000) {
            let chunks = PartChunks::filled_by(plaintext);
            prop_assert!(chunks == PartChunks::ONE || chunks.plaintext() <= plaintext);
            prop_assert!(PartChunks::ALL.iter().all(|more| *more <= chunks || more.plaintext() > plaintext));
        }
    }

    #[test]
    fn edges() {
        let final_shape = |length| BodyShape::new(length, BodyEnd::Final, PartChunks::FIFTEEN);
        assert_eq!(final_shape(32).unwrap().plaintext_length(), 0);
        for impossible in
            [0, 15, 16, 17, 31, 16 + CHUNK_CIPHERTEXT as u64 + 16, 16 + CHUNK_CIPHERTEXT as u64 + 1]
        {
            assert!(final_shape(impossible).is_err(), "{impossible}");
        }
        assert_eq!((MAX_PART, MAX_PART_PLAINTEXT), (983_296, 983_040));
        for chunks in PartChunks::ALL {
            assert_eq!(MAX_CHUNKS as usize % chunks.chunks(), 0);
            let full = chunks.full_length(0) as u64;
            assert!(BodyShape::new(full, BodyEnd::Cut, chunks).is_ok());
            assert!(BodyShape::new(full - 1, BodyEnd::Cut, chunks).is_err());
            let most = chunks.offset(chunks.max_parts());
            let shape = BodyShape::new(most, BodyEnd::Final, chunks).unwrap();
            assert_eq!(shape.plaintext_length(), 1_020 << 16);
            assert!(BodyShape::new(most + 17, BodyEnd::Final, chunks).is_err());
        }
        for chunks in 0..=u8::MAX {
            assert_eq!(PartChunks::try_from(chunks).is_ok(), [1, 3, 5, 15].contains(&chunks));
        }
    }
}
