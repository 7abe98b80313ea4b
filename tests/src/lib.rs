//! The test harness: real binaries, a temporary world, no sleeps and no retries.
//!
//! A [`world::World`] is an organisation with a registrar, a server process on a free port and accounts with homes of their
//! own. [`command`] runs the command line as a person would and keeps what it said.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

pub mod attack;
pub mod command;
pub mod hostile;
pub mod scene;
pub mod sealing_device;
pub mod server_process;
pub mod world;
