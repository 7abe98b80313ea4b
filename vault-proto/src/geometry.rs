//! Where the bytes of a segment lie: chunks, parts and bodies (FORMAT.md, "Geometry").
//!
//! A body is a 16-byte payload nonce followed by age's STREAM chunks. A part is the unit of upload, hash and retry: the
//! ciphertext of sixteen chunks; part 0 also carries the nonce.

/// Plaintext bytes in every chunk but a segment's last.
pub const CHUNK_PLAINTEXT: usize = 64 * 1024;
/// Bytes of authentication tag that each chunk adds.
pub const CHUNK_TAG: usize = 16;
/// Ciphertext bytes of a full chunk.
pub const CHUNK_CIPHERTEXT: usize = CHUNK_PLAINTEXT + CHUNK_TAG;
/// Chunks in every part but a segment's last.
pub const CHUNKS_PER_PART: usize = 16;
/// Plaintext bytes of a full part.
pub const PART_PLAINTEXT: usize = CHUNK_PLAINTEXT * CHUNKS_PER_PART;
/// Ciphertext bytes of a full part other than part 0.
pub const PART_CIPHERTEXT: usize = CHUNK_CIPHERTEXT * CHUNKS_PER_PART;
/// Bytes of payload nonce at the start of a body.
pub const PAYLOAD_NONCE: usize = 16;
/// Most bytes that one part can have (part 0, full).
pub const MAX_PART: usize = PAYLOAD_NONCE + PART_CIPHERTEXT;
/// Most parts of one segment: 64 GiB of plaintext.
pub const MAX_PARTS: u32 = 65_536;
/// Most segments of one recording.
pub const MAX_SEGMENTS: u32 = 10_000;

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
    parts: u32,
}

/// Offset in a body at which part `index` starts.
pub const fn part_offset(index: u32) -> u64 {
    if index == 0 { 0 } else { PAYLOAD_NONCE as u64 + index as u64 * PART_CIPHERTEXT as u64 }
}

/// Bytes of a full part `index`.
pub const fn full_part_length(index: u32) -> usize {
    if index == 0 { MAX_PART } else { PART_CIPHERTEXT }
}

/// Whether `length` can be the ciphertext length of part `index`: a full part, or a last one that ends in a final
/// chunk.
pub fn is_possible_part_length(index: u32, length: usize) -> bool {
    let nonce = if index == 0 { PAYLOAD_NONCE } else { 0 };
    let Some(chunks) = length.checked_sub(nonce) else {
        return false;
    };
    if index >= MAX_PARTS || chunks > PART_CIPHERTEXT {
        return false;
    }
    match chunks % CHUNK_CIPHERTEXT {
        0 => chunks > 0,
        // An empty final chunk exists only as the single chunk of an empty segment.
        CHUNK_TAG => index == 0 && chunks == CHUNK_TAG,
        rest => rest > CHUNK_TAG,
    }
}

impl BodyShape {
    /// Derives the shape; refuses every length that no sealer can have produced.
    pub fn new(length: u64, end: BodyEnd) -> Result<Self, BodyLengthError> {
        let error = BodyLengthError(length);
        let stream = length.checked_sub(PAYLOAD_NONCE as u64).ok_or(error)?;
        let part = PART_CIPHERTEXT as u64;
        let parts = u32::try_from(stream.div_ceil(part)).map_err(|_| error)?;
        if parts == 0 || parts > MAX_PARTS {
            return Err(error);
        }
        let shape = Self { length, end, parts };
        let last = usize::try_from(length - part_offset(parts - 1)).map_err(|_| error)?;
        let possible = match end {
            BodyEnd::Final => is_possible_part_length(parts - 1, last),
            BodyEnd::Cut => last == full_part_length(parts - 1),
        };
        if possible { Ok(shape) } else { Err(error) }
    }

    /// Bytes of the body.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// How it ends.
    pub const fn end(&self) -> BodyEnd {
        self.end
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
            self.length - part_offset(index)
        } else {
            full_part_length(index) as u64
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

/// Part of a segment that holds plaintext byte `offset`, and the offset within that part's plaintext.
pub fn locate(offset: u64) -> (u64, usize) {
    let part = PART_PLAINTEXT as u64;
    // The remainder is below PART_PLAINTEXT, which fits every usize.
    (offset / part, (offset % part) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lengths_agree_both_ways(plaintext in 0u64..200_000_000) {
            let shape = BodyShape::new(body_length(plaintext), BodyEnd::Final).unwrap();
            prop_assert_eq!(shape.plaintext_length(), plaintext);
            let sum: u64 = (0..shape.parts()).map(|k| shape.part_length(k)).sum();
            prop_assert_eq!(sum, shape.length());
            for k in 0..shape.parts() {
                prop_assert!(is_possible_part_length(k, shape.part_length(k) as usize));
            }
        }

        #[test]
        fn a_length_is_possible_only_if_some_plaintext_has_it(length in 0u64..5_000_000) {
            if let Ok(shape) = BodyShape::new(length, BodyEnd::Final) {
                prop_assert_eq!(body_length(shape.plaintext_length()), length);
            }
        }
    }

    #[test]
    fn edges() {
        assert_eq!(BodyShape::new(32, BodyEnd::Final).unwrap().plaintext_length(), 0);
        for impossible in
            [0, 15, 16, 17, 31, 16 + CHUNK_CIPHERTEXT as u64 + 16, 16 + CHUNK_CIPHERTEXT as u64 + 1]
        {
            assert!(BodyShape::new(impossible, BodyEnd::Final).is_err(), "{impossible}");
        }
        assert!(BodyShape::new(MAX_PART as u64, BodyEnd::Cut).is_ok());
        assert!(BodyShape::new(MAX_PART as u64 - 1, BodyEnd::Cut).is_err());
        let most = part_offset(MAX_PARTS);
        assert_eq!(BodyShape::new(most, BodyEnd::Final).unwrap().plaintext_length(), 64 << 30);
        assert!(BodyShape::new(most + 17, BodyEnd::Final).is_err());
    }
}
