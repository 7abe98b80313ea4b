//! Effects: all that a client needs of the machine it runs on, and the only thing its decisions ever wait for.
//!
//! An [`Effect`] is data. Whoever runs the engine, its [`Driver`], carries each one out and answers its [`Reply`], in
//! whatever order, late or never. A decision that is dropped while it waits is what a crash is; nothing here cleans up
//! after it, because nothing could after a real one.

mod driver;
mod effect;
mod handle;
#[cfg(test)]
pub(crate) mod in_memory;
mod job;

pub use driver::{Driver, Reply};
pub use effect::{
    Answer, Change, Effect, Locking, Method, NoAnswer, Now, RecordName, Request, Response, StoreFailure,
};
pub use handle::{Effects, Lock};
pub use job::{Job, JobDone};
