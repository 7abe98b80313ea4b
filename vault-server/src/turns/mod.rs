//! Whose work is done next: processor time, shared out between callers.
//!
//! There are as many turns as there are processors, for what connections do and for what threads do. Whoever has work
//! to do takes one and gives it back soon. When none is free, those who wait are served in rotation: one turn of each
//! account after the other, and all strangers together are one. So however much one of them asks for, another waits for
//! one turn of it, and not for all that it has asked for.
//!
//! Nobody keeps a turn while waiting for a network, a lock or a disk.

mod futures;
mod lines;
mod threads;

pub(crate) use futures::{FutureTurns, InTurns};
pub(crate) use lines::Who;
pub(crate) use threads::{Threads, give_up};

use std::num::NonZeroUsize;

/// How many turns there are.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
