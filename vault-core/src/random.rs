//! Random bytes, always straight from the operating system.

use thiserror::Error;

/// The operating system gave no random bytes. Nothing was sealed: without them no key can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the operating system gave no random bytes, so no key could be made and nothing was sealed")]
pub struct RandomError;

/// Fills `out` with random bytes.
pub(crate) fn fill(out: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(out).map_err(|_| RandomError)
}
