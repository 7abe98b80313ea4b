//! placeholder
pub mod age_file;
mod bech32_key;
mod chunk_aead;
pub mod file_key;
pub mod identity;
pub mod passphrase_file;
pub mod payload;
pub mod payload_reader;
pub mod random;
pub mod recipient;
mod secret_bytes;
pub mod seed;
pub mod signing_key;
