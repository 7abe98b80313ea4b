//! Faults on purpose, around the real programs: kills, cut connections, a disk that fails or loses what was not synced.
//!
//! | file | |
//! |---|---|
//! | [`proxy`] | counts bytes between client and server, and does something at a chosen one |
//! | [`traffic`] | what the proxy saw: each request, and whether it was answered |
//! | [`clinic`] | a world whose client and server only meet in the proxy, and what must hold of its recordings |
//! | [`watched_disk`] | the server's file calls, recorded or made to fail |
//! | [`simulated_disk`] | what a disk may hold after a power loss, by what was recorded |
//!
//! A class of faults is a test of `tests/faults/`, which ends in one [`Tally`]. Where a fault strikes is chosen by
//! [`Chance`] from one seed, over the length that an undisturbed run was measured to have.

pub mod clinic;
pub mod proxy;
pub mod simulated_disk;
pub mod traffic;
pub mod watched_disk;

use std::fs::OpenOptions;
use std::io::Write as _;

/// Environment variable with the seed of every class.
pub const SEED: &str = "FAULT_SEED";
/// Environment variable with the number of faults of each class, or `full`.
pub const FAULTS: &str = "FAULTS";
/// Environment variable that names a file to which each class's line is appended.
pub const REPORT: &str = "FAULT_REPORT";

/// Faults of a class in an ordinary test run.
const FEW: usize = 8;
const DEFAULT_SEED: u64 = 20_200_609;

/// How many faults a class is to make: [`FAULTS`] if it is a number, `full` if it is that word, else a few.
pub fn how_many(full: usize) -> usize {
    match std::env::var(FAULTS) {
        Ok(word) if word == "full" => full,
        Ok(number) => number.parse().expect("FAULTS is a number or `full`"),
        Err(_) => FEW,
    }
}

/// The seed of this run.
pub fn seed() -> u64 {
    std::env::var(SEED).map_or(DEFAULT_SEED, |seed| seed.parse().expect("FAULT_SEED is a number"))
}

/// Choices that depend on nothing but the seed and the class: a xorshift stream.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The choices of a class.
    pub fn of_class(class: &str) -> Self {
        let digest = vault_proto::ids::Digest::of(format!("{}/{class}", seed()).as_bytes());
        let (first, _) = digest.as_bytes().split_first_chunk().expect("32 bytes");
        Self(u64::from_le_bytes(*first) | 1)
    }

    /// A number below `limit`, which must not be 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// What came of a class of faults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Faults that struck.
    pub tried: usize,
    /// What the server acknowledged: parts, or objects where a class says so.
    pub acknowledged: usize,
    /// Of these, what both readers got with the right bytes.
    pub opened: usize,
    /// Parts that were sent again, as the same or under another key.
    pub sent_twice: usize,
}

impl Tally {
    /// What was acknowledged and is not there. Always 0 in a build that is right.
    pub const fn lost(&self) -> usize {
        self.acknowledged.saturating_sub(self.opened)
    }

    /// Writes the line of a class: to the report that `tests/run faults` asks for, and to the test's own output. Fails
    /// the test if something was lost.
    pub fn report(&self, class: &str) {
        let Self { tried, acknowledged, opened, sent_twice } = self;
        let lost = self.lost();
        let seed = seed();
        let line =
            format!("FAULT\t{class}\t{seed}\t{tried}\t{acknowledged}\t{opened}\t{lost}\t{sent_twice}\n");
        #[expect(clippy::print_stdout, reason = "the line belongs to the test's own output")]
        {
            print!("{line}");
        }
        if let Some(path) = std::env::var_os(REPORT) {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the report can be written");
        }
        assert_eq!(lost, 0, "{class}: acknowledged and lost (FAULT_SEED={seed})");
    }
}
