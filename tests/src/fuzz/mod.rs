//! Fuzzing of the parsers: [`parsers`] says what is fuzzed and what must hold, [`seeds`] where it begins.

pub mod parsers;
pub mod seeds;
