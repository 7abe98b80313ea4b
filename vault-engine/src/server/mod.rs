//! What is asked of the server: signed requests, and the statements of one recording.

pub mod connection;
pub(crate) mod recording;
