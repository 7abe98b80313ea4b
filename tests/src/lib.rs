//! The test harness: real binaries, a temporary world, no sleeps and no retries; and the builder of the format's test
//! vectors.
//!
//! A [`world::World`] is an organisation with a registrar, a server process on a free port and accounts with homes of
//! their own. [`command`] runs the command line as a person would and keeps what it said. [`vectors`] builds
//! recordings, whole and broken, from primitives of its own.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

pub mod app;
pub mod attack;
pub mod command;
pub mod faults;
pub mod forging;
pub mod fuzz;
pub mod hostile;
pub mod measured;
pub mod nginx;
pub mod playing;
pub mod pseudo_terminal;
pub mod rollback;
pub mod scene;
pub mod sealing_device;
pub mod server_process;
pub mod small_disk;
pub mod tls_certificates;
pub mod vectors;
pub mod world;
