//! Sizes of the age payload: chunks, parts and segments. All sizes are in bytes.

/// Plaintext of one full chunk, the unit of age's STREAM encryption.
pub const CHUNK_PLAINTEXT: usize = 65_536;

/// The authentication tag that each chunk carries.
pub const CHUNK_TAG: usize = 16;

/// Ciphertext of one full chunk.
pub const CHUNK_CIPHERTEXT: usize = CHUNK_PLAINTEXT + CHUNK_TAG;

/// Chunks in one full part, the unit of upload and of hashing.
pub const CHUNKS_PER_PART: usize = 16;

/// Plaintext of one full part.
pub const PART_PLAINTEXT: usize = CHUNK_PLAINTEXT * CHUNKS_PER_PART;

/// The nonce at the start of an age payload, which the payload key is derived from.
pub const PAYLOAD_NONCE: usize = 16;

/// The most parts one body may have: 64 GiB of plaintext.
pub const MAX_PARTS: u32 = 65_536;
