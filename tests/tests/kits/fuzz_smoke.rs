//! A million changed inputs, through every parser of bytes that somebody else wrote.
//!
//! `tests/run fuzz` searches for more with libFuzzer. What it finds goes into `tests/src/fuzz/found/PARSER/` and is
//! tried here ever after.

#![expect(clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use vault_tests::fuzz::parsers::PARSERS;
use vault_tests::fuzz::seeds::{found, seeds};

/// Of all parsers together a million.
const CASES: u32 = 1_000_000 / PARSERS.len() as u32 + 1;

#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// A piece of the input again, somewhere else.
    Repeat(Index, Index, usize),
    /// From here on as another seed goes on.
    Splice(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let telling: Vec<&[u8]> = vec![
        b"0",
        b"-1",
        b"18446744073709551615",
        b"1e999",
        b"null",
        b"\"",
        b"{",
        b"[",
        b"\\u0000",
        b"\n",
        b" ",
        b"\xff",
    ];
    let inserted = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..12),
        prop::sample::select(telling).prop_map(<[u8]>::to_vec)
    ];
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, bits)| Change::Flip(at, bits)),
        1 => any::<Index>().prop_map(Change::Cut),
        2 => (any::<Index>(), inserted).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (any::<Index>(), 1usize..40).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => (any::<Index>(), any::<Index>(), 1usize..80).prop_map(|(from, to, length)| Change::Repeat(from, to, length)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(at, seed)| Change::Splice(at, seed)),
    ]
}

fn changed(seeds: &[Vec<u8>], seed: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for change in changes {
        let place = |at: &Index| at.index(bytes.len() + 1);
        match change {
            Change::Flip(at, bits) => {
                let at = place(at);
                bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= bits);
            }
            Change::Cut(at) => bytes.truncate(place(at)),
            Change::Insert(at, more) => {
                let at = place(at);
                bytes.splice(at..at, more.iter().copied());
            }
            Change::Remove(at, length) => {
                let at = place(at);
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Change::Repeat(from, to, length) => {
                let (from, to) = (place(from), place(to));
                let piece = bytes.iter().skip(from).take(*length).copied().collect::<Vec<_>>();
                bytes.splice(to..to, piece);
            }
            Change::Splice(at, seed) => {
                let (at, other) = (place(at), seed.get(seeds));
                bytes.truncate(at);
                bytes.extend(other.iter().skip(at));
            }
        }
    }
    bytes
}

fn smoke(name: &str) {
    let (_, parser) = PARSERS.iter().find(|(known, _)| *known == name).expect("a parser of this name");
    let seeds = seeds(name);
    // Among the test vectors are some that are refused. If most were, the search would begin at the wrong end.
    let accepted = seeds.iter().filter(|seed| parser(seed)).count();
    assert!(2 * accepted > seeds.len(), "{name} accepts {accepted} of {} seeds", seeds.len());
    for trouble in found(name) {
        parser(&trouble);
    }
    let inputs = (any::<Index>(), prop::collection::vec(change(), 1..6));
    let outcome =
        TestRunner::new(Config { cases: CASES, ..Config::default() }).run(&inputs, |(seed, changes)| {
            let start: &Vec<u8> = seed.get(&seeds);
            let input = changed(&seeds, start, &changes);
            catch_unwind(AssertUnwindSafe(|| parser(&input)))
                .map(|_| ())
                .map_err(|_| TestCaseError::fail(format!("{:?}", String::from_utf8_lossy(&input))))
        });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, _)) => panic!("{name} failed at {why}"),
        Err(other) => panic!("{name}: {other}"),
    }
}

macro_rules! smoke {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            smoke(stringify!($name));
        })*

        #[test]
        fn each_parser_has_its_test() {
            let names = PARSERS.map(|(name, _)| name);
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

smoke!(webm details envelope statement object header request answer text);
