//! The engine in a simulated world: two people, three programs, homes, a server, clocks, all of them numbers, and one
//! seed that decides in which order everything happens, what is lost, what is answered wrongly and where a program
//! dies.
//!
//! `WORLD_STEPS` is the number of steps (100,000), `WORLD_SEED` the seed of the first world, which is printed. One step
//! is one effect that is answered, lost or died on. A world that goes wrong names its own seed: with that as
//! `WORLD_SEED` everything happens again in the same order, whatever the random bytes in keys are, on any machine.
//! `WORLD_MISTAKE` is one of `mistakes.rs`, to plant in every world and see that it goes wrong.

#![cfg(test)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "whoever runs the world is an ordinary program; what is run in it is the engine"
)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]
#![allow(clippy::type_complexity, reason = "a table of what is counted")]

mod acquaintances;
mod apps;
mod closing;
mod comparisons;
mod disk;
mod events;
mod files;
mod hostile;
mod machine;
mod mistakes;
mod oracle;
mod people;
mod programs;
mod random;
mod recorders;
mod runner;
mod seen;
mod server;
mod shown;
mod stored;

use machine::Counts;
use mistakes::Mistake;
use runner::run;

/// Steps of one world, before it comes to its end.
const WORLD: u64 = 4_000;

type Of = fn(&Counts) -> u64;

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"))
}

/// The mistake that was asked for.
fn planted() -> Option<Mistake> {
    let name = std::env::var("WORLD_MISTAKE").ok()?;
    let found = Mistake::ALL.into_iter().find(|mistake| format!("{mistake:?}") == name);
    Some(found.unwrap_or_else(|| panic!("WORLD_MISTAKE={name} is none of {:?}", Mistake::ALL)))
}

#[test]
fn nothing_promised_is_lost_and_nothing_unchecked_is_released() {
    let (wanted, first) = (setting("WORLD_STEPS", 100_000), setting("WORLD_SEED", 20_200_609));
    println!("WORLD_SEED={first} WORLD_STEPS={wanted}");
    let mistake = planted();
    let worlds = wanted.div_ceil(WORLD);
    // Whoever says everything says it in one order; wasm32 has no second thread.
    let alone = cfg!(target_arch = "wasm32") || std::env::var_os("WORLD_SAYS").is_some();
    let threads = if alone { 1 } else { 2 };
    let began = std::time::Instant::now();
    let run_some = |thread: usize| {
        let (mut steps, mut total) = (0, Counts::default());
        for world in (0..worlds).skip(thread).step_by(threads) {
            let (counts, took, failure) = run(first + world, WORLD.min(wanted), mistake);
            if let Some(failure) = failure {
                panic!("WORLD_SEED={}, step {}: {}", failure.seed, failure.step, failure.what);
            }
            steps += took;
            total += counts;
        }
        (steps, total)
    };
    let totals: Vec<(u64, Counts)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || run_some(thread))).collect();
        let own = run_some(0);
        others.into_iter().map(|other| other.join().expect("worlds that end well")).chain([own]).collect()
    });
    let (mut steps, mut total) = (0, Counts::default());
    for (took, counts) in totals {
        steps += took;
        total += counts;
    }
    println!("{steps} steps in {worlds} worlds: {total:?}");
    println!("{:?}", began.elapsed());
    // A world in which nothing happens proves nothing.
    let happened: [(&str, Of); 14] = [
        ("crashes", |counts| counts.crashes),
        ("lies", |counts| counts.lies),
        ("failing disks", |counts| counts.failed),
        ("lists", |counts| counts.listed),
        ("opened recordings", |counts| counts.opened),
        ("refusals", |counts| counts.refused),
        ("comparisons", |counts| counts.compared),
        ("releases", |counts| counts.released),
        ("recordings begun", |counts| counts.begun),
        ("recordings sealed", |counts| counts.sealed),
        ("recordings kept", |counts| counts.kept),
        ("recordings resumed", |counts| counts.resumed),
        ("crashes with something that must outlive them", |counts| counts.outlived),
        ("reads by command", |counts| counts.commanded),
    ];
    for (what, of) in happened {
        assert!(wanted < 100_000 || of(&total) > wanted / 50_000, "there were only {} {what}", of(&total));
    }
}

#[test]
fn a_seed_is_a_world() {
    for seed in 1..4 {
        let (first, again) = (run(seed, 2_000, None), run(seed, 2_000, None));
        assert_eq!((first.0, first.1), (again.0, again.1), "seed {seed}");
    }
}

/// Left out of `tests/run quick`.
mod planted_slow {
    use super::*;

    #[test]
    fn each_planted_mistake_is_noticed() {
        for mistake in Mistake::ALL {
            let mut steps = 0;
            let found = (1..).find_map(|seed| {
                assert!(steps < 1_000_000, "{mistake:?} was not noticed in {steps} steps");
                let (_, took, failure) = run(seed, WORLD, Some(mistake));
                steps += took;
                failure
            });
            let failure = found.expect("a failure");
            println!("{mistake:?} after {steps} steps: {}", failure.what);
        }
    }
}
