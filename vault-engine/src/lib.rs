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
//! | [`effects`], [`error`], [`media_type`] | what is asked of a machine; what can go wrong for a person; kinds of media | nobody |
//! | [`home`] | what is remembered: account, pins, petnames, the own list, ends | those above |
//! | [`server`] | signed requests, and what is asked of one recording | `effects` |
//! | [`session`] | an account, its home and its server | `home`, `server` |
//! | [`trust`] | whose keys: the directory, fail closed, and two people who compare | `session` |
//! | [`sealing`] | one pipeline of flat memory, and what goes on where a process died | `session`, `trust`, `opening` |
//! | [`opening`] | listing, opening, reading about in a track | `session`, `trust` |
//! | [`commands`] | all of it for who cannot await Rust: commands in, effects out, answers in | all of them |
//!
//! `vault-client` is the engine's driver on an ordinary machine, and the guide for whoever writes a program.

pub mod commands;
pub mod effects;
pub mod error;
pub mod home;
pub mod media_type;
pub mod opening;
pub mod sealing;
pub mod server;
pub mod session;
pub mod trust;
pub mod watched;

pub use error::ClientError;
pub use session::Session;
