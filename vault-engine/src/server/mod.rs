//! What is asked of the server: signed requests, the statements of one recording, and those that many recordings name.

pub mod connection;
pub(crate) mod recording;
pub(crate) mod statements;
