//! Listing recordings, opening them, and reading about in them. Nothing is handed on before its own check.

pub mod listing;
pub mod media;
pub mod parts;
pub mod plaintext_sink;
pub mod recording;
pub mod seekable_file;
pub mod track;
