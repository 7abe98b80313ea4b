//! What only endpoints hold: keys, sealing, opening and seeking.
//!
//! Everything here is synchronous, opens no sockets and builds for `wasm32-unknown-unknown`. The layers, each in
//! modules of its own:
//!
//! * secrets: [`seed`] → [`signing_key`], [`identity`]; at rest [`identity_file`] over [`passphrase_file`];
//! * age v1: [`recipient`], [`file_key`], [`payload`] by part, [`payload_reader`] by stream, [`age_file`] for small
//!   files;
//! * recordings: [`recording_key`], [`sealing`], [`opening`], [`seeking`], and the [`details`] that only readers see;
//!   [`padded_size`] hides lengths, and [`track_release`] keeps the padding back.
//!
//! The bytes are specified in `docs/FORMAT.md`.

pub mod age_file;
mod bech32_key;
mod chunk_aead;
pub mod details;
pub mod file_key;
pub mod identity;
pub mod identity_file;
mod open_error;
pub mod opening;
pub mod padded_size;
pub mod passphrase_file;
pub mod payload;
pub mod payload_reader;
pub mod random;
pub mod recipient;
#[cfg(test)]
mod recording_fixture;
pub mod recording_key;
pub mod sealing;
mod secret_bytes;
pub mod seed;
pub mod seeking;
pub mod signing_key;
pub mod track_release;
pub mod webm;
mod wiped_stack;
