//! What a client of the recording vault decides, without an operating system: whose key, what is noted before what is
//! sent, what counts as kept, what may be released.
//!
//! Everything here is ordinary `async` code, and the only thing it ever waits for is an [effect](effects::Effect):
//! something that only a machine can do. Who runs the engine carries effects out, natively with files and sockets, in a
//! browser with IndexedDB and `fetch`, in a test with a world that is made of numbers. So each of them runs the very
//! same decisions, and a test can crash them at every step.
//!
//! | room | holds | knows |
//! |---|---|---|
//! | [`printable`], [`elapsed`], [`media_type`] | text from elsewhere that steers nothing; lengths of time as they are shown; kinds of media | nobody |
//! | [`error`], [`effects`] | what can go wrong for a person; what is asked of a machine | `printable` |
//! | [`failure`] | what a person is told of it: what happened, what it means, what to do next | `error`, `elapsed` |
//! | [`home`] | what is remembered: account, pins, petnames, the own list, ends | those above |
//! | [`server`] | signed requests, and what is asked of one recording | `effects` |
//! | [`session`] | an account, its home and its server | `home`, `server` |
//! | [`trust`] | whose keys: the directory, fail closed, and two people who compare | `session` |
//! | [`sealing`] | one pipeline of flat memory, and what goes on where a process died | `session`, `trust`, `opening` |
//! | [`opening`] | listing, opening, reading about in a track | `session`, `trust` |
//! | [`commands`] | all of it for who cannot await Rust: commands in, effects out, answers in | all of them |
//!
//! `vault-client` is the engine's driver on an ordinary machine, and the guide for whoever writes a program.
//!
//! # In a language that is not Rust
//!
//! All that a front end in another language needs is data that it owns, in types that belong to no machine:
//! [`commands`] go in, effects and news come out, and of an error that a command ends with
//! [`Failure::from`](failure::Failure) makes a code and three lines to show.

pub mod commands;
pub mod effects;
pub mod elapsed;
pub mod error;
pub mod failure;
pub mod home;
pub mod media_type;
pub mod opening;
pub mod printable;
pub mod sealing;
pub mod server;
pub mod session;
pub mod trust;
pub mod watched;

// What the crate's own tests share with those of a front end names the crate as these do.
#[cfg(test)]
extern crate self as vault_engine;

pub use error::ClientError;
pub use session::Session;
