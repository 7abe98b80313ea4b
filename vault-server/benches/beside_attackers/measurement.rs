use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::attacks::ATTACKS;
use crate::scene::{Scene, Times};

/// Rounds of quiet and attack, unless an argument says otherwise.
const ROUNDS: usize = 8;
/// What the account does in one phase, so often, six requests each time: phases are short, so that whatever else the
/// machine does meets quiet and attacked ones alike.
const CYCLES: usize = 15;
/// By how much the attackers' threads come after the server's: attackers bring processors of their own, and take none
/// of the server's but by what they ask of it.
const ATTACKERS_PRIORITY_BELOW: i32 = 10;

/// The smallest time that at least so many of a hundred do not exceed.
fn percentile(times: &mut [Duration], hundredths: usize) -> f64 {
    times.sort();
    let number = (times.len() * hundredths).div_ceil(100).max(1);
    times[number - 1].as_secs_f64() * 1000.0
}

/// Quiet and attacked: milliseconds each, and the second in terms of the first.
fn beside(quiet: &mut [Duration], attacked: &mut [Duration], hundredths: usize) -> String {
    let (quiet, attacked) = (percentile(quiet, hundredths), percentile(attacked, hundredths));
    format!("{quiet:.2} → {attacked:.2} ({:.1} ×)", attacked / quiet)
}

/// The word that has server and account come before everything else on the machine, in the system's real-time class.
const FIRST: &str = "first";

/// Which processor time the threads of a runtime get.
#[derive(Clone, Copy)]
enum Priority {
    AsAnyOther,
    First,
    Below(i32),
}

/// Gives the calling thread its priority. Threads that it starts inherit it.
fn prioritise(priority: Priority) {
    match priority {
        Priority::AsAnyOther => {}
        Priority::Below(by) => {
            rustix::process::nice(by).unwrap();
        }
        Priority::First => {
            // `PID/task/TID`
            let thread = std::fs::read_link("/proc/thread-self").unwrap();
            let thread = thread.file_name().unwrap();
            let chrt = std::process::Command::new("chrt").args(["--rr", "--pid", "1"]).arg(thread).status();
            assert!(chrt.unwrap().success(), "only root can come first");
        }
    }
}

fn runtime(name: &str, threads: usize, priority: Priority) -> Runtime {
    Builder::new_multi_thread()
        .thread_name(name)
        .worker_threads(threads)
        // As many as the program has.
        .max_blocking_threads(32)
        .on_thread_start(move || prioritise(priority))
        .enable_all()
        .build()
        .unwrap()
}

pub(crate) fn run() {
    // Both ends of every connection are here.
    let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    files.current = files.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, files).unwrap();

    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let rounds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(ROUNDS);
    let first = words.iter().any(|word| word == FIRST);
    let is_choice = |word: &String| word.parse::<usize>().is_err() && word != FIRST;
    let words: Vec<String> = words.into_iter().filter(is_choice).collect();
    let ours = if first { Priority::First } else { Priority::AsAnyOther };
    let (servers, accounts) = (runtime("server", 2, ours), runtime("account", 1, ours));
    let theirs = if first { Priority::AsAnyOther } else { Priority::Below(ATTACKERS_PRIORITY_BELOW) };
    let attackers = runtime("attackers", 2, theirs);
    // This thread is the account's.
    prioritise(ours);
    let scene = Arc::new(servers.block_on(servers.spawn(Scene::new())).unwrap());
    println!(
        "| attack | read p50, ms | read p99 | write p50 | write p99 | repeated | done by the attack, per s |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, begin) in ATTACKS {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let (mut quiet, mut attacked) = (Times::default(), Times::default());
        let (mut done, mut lasted) = (0, Duration::ZERO);
        for _ in 0..rounds {
            accounts.block_on(scene.settle());
            accounts.block_on(scene.live(CYCLES, &mut quiet));
            let scene_of_attack = Arc::clone(&scene);
            let attack = attackers.block_on(attackers.spawn(begin(scene_of_attack))).unwrap();
            let before = (scene.done(), std::time::Instant::now());
            accounts.block_on(scene.live(CYCLES, &mut attacked));
            done += scene.done() - before.0;
            lasted += before.1.elapsed();
            attackers.block_on(attack.end());
        }
        println!(
            "| {name} | {} | {} | {} | {} | {} of {} | {:.0} |",
            beside(&mut quiet.reads, &mut attacked.reads, 50),
            beside(&mut quiet.reads, &mut attacked.reads, 99),
            beside(&mut quiet.writes, &mut attacked.writes, 50),
            beside(&mut quiet.writes, &mut attacked.writes, 99),
            attacked.repeated,
            attacked.reads.len() + attacked.writes.len(),
            done as f64 / lasted.as_secs_f64(),
        );
    }
}
