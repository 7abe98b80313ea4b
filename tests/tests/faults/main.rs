//! Faults on purpose, through the real programs: one or more tests for each class, each of which prints one line.
//! `./tests/run faults` prints the table; in the ordinary run each class makes a few faults only.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

mod client_disk;
mod clock;
mod connections;
mod cuts;
mod disk;
mod index;
mod kills;
mod low_bit_rates;
mod power_loss;
