//! Leaving no copies of secrets on the stack.
//!
//! Lasting secrets have one place on the heap. The libraries that compute with them still move keys and key schedules
//! through their own frames, and what a frame leaves behind stays until something else is written there: on a thread
//! that goes idle, for as long as the process lives.

use std::hint::black_box;

/// Bytes below the caller's frame that are overwritten. ML-KEM needs the most, some tens of KiB.
const DEPTH: usize = 128 * 1024;

/// Runs `work`, then overwrites the part of the stack that it ran on.
pub(crate) fn on_wiped_stack<T>(work: impl FnOnce() -> T) -> T {
    let result = apart(work);
    overwrite();
    result
}

/// A frame of its own, so that nothing of `work` is inlined into a frame that stays.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Takes the place that [`apart`] had and fills it with zeros, which the compiler cannot leave out: somebody could
/// look.
#[inline(never)]
fn overwrite() {
    let mut area = [0u8; DEPTH];
    black_box(&mut area);
}
