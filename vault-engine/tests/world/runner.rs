//! Runs the futures of the world, one effect at a time, in the order that a seed gives.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use vault_proto::statements::Suite;

use crate::closing;
use crate::machine::{Counts, Shared, Stepped, World, lock};
use crate::mistakes::Mistake;
use crate::people::People;
use crate::programs::{Life, live};
use crate::random::Random;

/// Steps after which whoever was told to come to an end has.
const PATIENCE: u64 = 60_000;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Task {
    program: usize,
    future: Pin<Box<dyn Future<Output = ()>>>,
    flag: Arc<Flag>,
}

/// Something that must not be, and how to see it again.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    pub(crate) what: String,
}

struct Runner {
    world: Shared,
    tasks: Vec<Task>,
}

impl Runner {
    fn spawn(&mut self, program: usize, closing: bool) {
        let life =
            Life { world: Arc::clone(&self.world), program, life: lock(&self.world).programs[program].life };
        let future: Pin<Box<dyn Future<Output = ()>>> =
            if closing { Box::pin(closing::close(life)) } else { Box::pin(live(life)) };
        self.tasks.push(Task { program, future, flag: Arc::new(Flag(AtomicBool::new(true))) });
    }

    /// Lets everybody go on who can.
    fn poll(&mut self) {
        let mut at = 0;
        while at < self.tasks.len() {
            let task = &mut self.tasks[at];
            if !task.flag.0.swap(false, Ordering::SeqCst) {
                at += 1;
                continue;
            }
            let waker = Waker::from(Arc::clone(&task.flag));
            match task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(()) => drop(self.tasks.remove(at)),
                // Others may be able to go on by what it did.
                Poll::Pending => at = if task.flag.0.load(Ordering::SeqCst) { at } else { at + 1 },
            }
        }
    }

    fn is_woken(&self) -> bool {
        self.tasks.iter().any(|task| task.flag.0.load(Ordering::SeqCst))
    }

    /// One step; `false` if nobody lives any more.
    fn step(&mut self, closing: bool) -> bool {
        while self.is_woken() {
            self.poll();
        }
        if self.tasks.is_empty() {
            return false;
        }
        let stepped = {
            let mut world = lock(&self.world);
            if !closing {
                world.weather();
            }
            world.step()
        };
        match stepped {
            Stepped::Answered => {}
            Stepped::Crashed(victims) => {
                let (dead, living): (Vec<_>, Vec<_>) = std::mem::take(&mut self.tasks)
                    .into_iter()
                    .partition(|task| victims.contains(&task.program));
                self.tasks = living;
                drop(dead);
                for victim in victims {
                    lock(&self.world).oracle.answering.remove(&victim);
                    self.spawn(victim, closing);
                }
            }
            Stepped::Stuck => lock(&self.world).violation("everybody waits, and for nothing"),
        }
        true
    }

    fn violation(&self) -> Option<String> {
        lock(&self.world).violations.first().cloned()
    }

    /// Steps until everybody has come to an end, or somebody should have.
    fn run_out(&mut self, what: &str) {
        let limit = lock(&self.world).steps + PATIENCE;
        while self.violation().is_none() && self.step(true) {
            let mut world = lock(&self.world);
            if world.steps > limit {
                world.violation(format!("{what} did not come to an end"));
            }
        }
    }
}

/// A world of about `steps` steps, until it ends well or something is wrong.
pub(crate) fn run(seed: u64, steps: u64, mistake: Option<Mistake>) -> (Counts, u64, Option<Failure>) {
    let mut random = Random::of(seed);
    let suite = if random.happens(1, 10) { Suite::Pq } else { Suite::X25519 };
    let people = People::new(&mut random, suite);
    let world = Arc::new(Mutex::new(World::new(random, people, mistake)));
    let mut runner = Runner { world, tasks: Vec::new() };
    let programs = lock(&runner.world).programs.len();
    (0..programs).for_each(|program| runner.spawn(program, false));
    while lock(&runner.world).steps < steps && runner.violation().is_none() {
        runner.step(false);
    }
    {
        let mut world = lock(&runner.world);
        world.calm();
        world.closing = true;
    }
    runner.run_out("a program");
    for program in [1, 0] {
        if runner.violation().is_none() {
            lock(&runner.world).finish_sending();
            runner.spawn(program, true);
            runner.run_out("a last look");
        }
    }
    let what = runner.violation();
    runner.tasks.clear();
    let world = lock(&runner.world);
    let failure = what.map(|what| Failure { seed, step: world.steps, what });
    (world.counts, world.steps, failure)
}
