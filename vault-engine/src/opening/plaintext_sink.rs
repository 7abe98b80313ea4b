//! Where checked plaintext goes.

use crate::error::IoFailure;

/// Takes the plaintext of a recording, in order and in pieces as they come: a file, a pipe, memory.
///
/// A write is waited for where it is made, so it should be short next to fetching and opening a part.
pub trait PlaintextSink: Send {
    /// Takes all of `bytes`, or fails.
    fn write(&mut self, bytes: &[u8]) -> Result<(), IoFailure>;

    /// Nothing follows: hands on what was taken and not handed on yet.
    fn flush(&mut self) -> Result<(), IoFailure> {
        Ok(())
    }
}

impl PlaintextSink for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), IoFailure> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Lets go of what it takes: for checking a recording without keeping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discard;

impl PlaintextSink for Discard {
    fn write(&mut self, _: &[u8]) -> Result<(), IoFailure> {
        Ok(())
    }
}
