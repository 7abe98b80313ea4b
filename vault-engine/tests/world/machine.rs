//! The machines of the world: a driver that only queues what it is asked, and the state in which everything happens.

use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use vault_engine::effects::{Answer, Change, Driver, Effect, Locking, Method, Now, Reply, Request};
use vault_engine::error::IoFailureKind;
use vault_proto::timestamp::Timestamp;

use crate::disk::{Disk, Health, failure};
use crate::files::File;
use crate::hostile::Hostile;
use crate::mistakes::{Mistake, Planted};
use crate::oracle::Oracle;
use crate::people::{BEGINNING, People, Person, TrueRecording, time};
use crate::random::Random;
use crate::server::{ADDRESS, Server};

/// Longest for which something that is due may be passed over for others.
const PATIENCE: Duration = Duration::from_millis(60);

/// All there is.
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) people: Arc<People>,
    pub(crate) server: Server,
    pub(crate) hostile: Hostile,
    pub(crate) homes: [Disk; 2],
    pub(crate) programs: Vec<Program>,
    pub(crate) truth: Vec<TrueRecording>,
    pub(crate) files: Vec<File>,
    pub(crate) oracle: Oracle,
    pub(crate) temper: Temper,
    pub(crate) mistake: Option<Mistake>,
    pub(crate) planted: Planted,
    pub(crate) violations: Vec<String>,
    pub(crate) counts: Counts,
    pending: Vec<Pending>,
    /// Effects that nobody will ever answer, by the program that waits.
    limbo: Vec<(usize, Pending)>,
    running: Duration,
    pub(crate) wall_ms: [i64; 2],
    /// When each disk last did anything but what it should.
    pub(crate) trouble: [Duration; 2],
    timers: Vec<(Duration, Waker)>,
    /// Why something could not be resumed, the last time.
    pub(crate) last_refusal: String,
    /// Whether everything that happens is said.
    says: bool,
    pub(crate) steps: u64,
    /// How often the network brought a request twice.
    pub(crate) brought_twice: u64,
    /// When two people meant to compare their keys, and which home was first.
    pub(crate) meeting: Option<(usize, Duration)>,
    /// Whether programs are to come to an end.
    pub(crate) closing: bool,
}

/// What may go wrong here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Temper {
    pub(crate) crashes: bool,
    pub(crate) network: bool,
    pub(crate) hostile: bool,
    pub(crate) disks: bool,
    pub(crate) clocks: bool,
    /// Whether lies are told to who seals, too: nobody can promise her anything then.
    pub(crate) lied_to_sealer: bool,
    /// Whether what programs seal is padded.
    pub(crate) pads: bool,
}

/// What happened, so that a world in which nothing does is noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) crashes: u64,
    pub(crate) lies: u64,
    pub(crate) failed: u64,
    pub(crate) listed: u64,
    pub(crate) opened: u64,
    pub(crate) refused: u64,
    pub(crate) compared: u64,
    pub(crate) released: u64,
    pub(crate) begun: u64,
    pub(crate) sealed: u64,
    pub(crate) kept: u64,
    pub(crate) resumed: u64,
    pub(crate) outlived: u64,
    pub(crate) commanded: u64,
    /// A number that is the same for the same order of everything.
    pub(crate) order: u64,
}

impl AddAssign for Counts {
    /// Orders are added too, so that the same worlds have the same sum whoever ran which of them.
    fn add_assign(&mut self, other: Self) {
        self.crashes += other.crashes;
        self.lies += other.lies;
        self.failed += other.failed;
        self.listed += other.listed;
        self.opened += other.opened;
        self.refused += other.refused;
        self.compared += other.compared;
        self.released += other.released;
        self.begun += other.begun;
        self.sealed += other.sealed;
        self.kept += other.kept;
        self.resumed += other.resumed;
        self.outlived += other.outlived;
        self.commanded += other.commanded;
        self.order = self.order.wrapping_add(other.order);
    }
}

/// A process on a device.
pub(crate) struct Program {
    pub(crate) home: usize,
    pub(crate) life: u64,
}

struct Pending {
    program: usize,
    work: Work,
    reply: Reply,
    asked_at: Duration,
    ready_at: Duration,
}

enum Work {
    Effect(Effect),
    /// It is done, and its answer is on the way.
    Deliver(Answer),
}

/// What came of one step.
pub(crate) enum Stepped {
    Answered,
    /// These programs died.
    Crashed(Vec<usize>),
    /// Nobody waits for anything that can come.
    Stuck,
}

pub(crate) type Shared = Arc<Mutex<World>>;

pub(crate) fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One life of a program, as the engine sees the machine it runs on.
pub(crate) struct Machine {
    pub(crate) world: Shared,
    pub(crate) program: usize,
    pub(crate) life: u64,
}

impl Driver for Machine {
    fn perform(&self, effect: Effect, reply: Reply) {
        let mut world = lock(&self.world);
        // What a dead program still wants is of no interest.
        if world.programs[self.program].life == self.life {
            world.ask(self.program, effect, reply);
        }
    }

    fn now(&self) -> Now {
        lock(&self.world).now(self.program)
    }
}

impl World {
    pub(crate) fn new(mut random: Random, people: People, mistake: Option<Mistake>) -> Self {
        let temper = Temper {
            crashes: random.happens(3, 4),
            network: random.happens(3, 4),
            hostile: random.happens(1, 2),
            disks: random.happens(1, 2),
            clocks: random.happens(1, 2),
            lied_to_sealer: random.happens(1, 4),
            pads: random.happens(1, 3),
        };
        let temper = Temper { lied_to_sealer: temper.lied_to_sealer && temper.hostile, ..temper };
        let server = Server::new(people.organisation);
        let mut world = Self {
            random,
            server,
            hostile: Hostile::default(),
            homes: [Disk::default(), Disk::default()],
            programs: [0, 1, 1].map(|home| Program { home, life: 0 }).into(),
            truth: Vec::new(),
            files: Vec::new(),
            oracle: Oracle::default(),
            temper,
            mistake,
            planted: Planted::default(),
            violations: Vec::new(),
            counts: Counts::default(),
            pending: Vec::new(),
            limbo: Vec::new(),
            running: Duration::from_secs(1000),
            wall_ms: [0; 2],
            trouble: [Duration::ZERO; 2],
            timers: Vec::new(),
            last_refusal: String::new(),
            says: std::env::var_os("WORLD_SAYS").is_some(),
            steps: 0,
            brought_twice: 0,
            meeting: None,
            closing: false,
            people: Arc::new(people),
        };
        world.make_files();
        for home in 0..2 {
            let list = world.person_of_home(home).key_lists[0].bytes().to_vec();
            world.homes[home].apply(&Change::Put("key-list.json".to_owned(), list.into()), 0);
        }
        world
    }

    pub(crate) fn person_of_home(&self, home: usize) -> &Person {
        if home == 0 { &self.people.anna } else { &self.people.dora }
    }

    pub(crate) fn person(&self, program: usize) -> &Person {
        self.person_of_home(self.programs[program].home)
    }

    pub(crate) fn home_of(&self, program: usize) -> &Disk {
        &self.homes[self.programs[program].home]
    }

    pub(crate) const fn running(&self) -> Duration {
        self.running
    }

    pub(crate) fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    /// The time, as nobody can set it.
    fn true_ms(&self) -> u64 {
        BEGINNING.unsigned_abs() * 1000 + u64::try_from(self.running.as_millis()).unwrap_or(0)
    }

    fn home_ms(&self, home: usize) -> u64 {
        self.true_ms().saturating_add_signed(self.wall_ms[home])
    }

    pub(crate) fn server_time(&self) -> Timestamp {
        time(i64::try_from(self.running.as_secs()).unwrap_or(0))
    }

    fn now(&mut self, program: usize) -> Now {
        let home = self.programs[program].home;
        let running = self.mistaken_running(self.running);
        Now { unix_ms: self.home_ms(home), running }
    }

    fn ask(&mut self, program: usize, effect: Effect, reply: Reply) {
        let delay = match &effect {
            Effect::Sleep(time) => *time,
            Effect::Fetch(_) if self.random.happens(1, 4) => self.random.milliseconds(2_000),
            Effect::Commit(_) | Effect::Load(_) if self.random.happens(1, 8) => self.random.milliseconds(60),
            _ => Duration::ZERO,
        };
        let ready_at = self.running.saturating_add(delay);
        let asked_at = self.running;
        self.pending.push(Pending { program, work: Work::Effect(effect), reply, asked_at, ready_at });
    }

    /// Wakes somebody at a moment.
    pub(crate) fn wake_at(&mut self, at: Duration, waker: Waker) {
        self.timers.push((at, waker));
    }

    /// Wakes everybody whose moment has come. Gives whether there was somebody.
    fn ring(&mut self) -> bool {
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.timers).into_iter().partition(|(at, _)| *at <= self.running);
        self.timers = later;
        due.iter().for_each(|(_, waker)| waker.wake_by_ref());
        !due.is_empty()
    }

    /// Whether it can be answered now.
    fn is_ready(&self, pending: &Pending) -> bool {
        if pending.ready_at > self.running {
            return false;
        }
        match &pending.work {
            Work::Effect(Effect::Lock { name, locking: Locking::Wait }) => {
                pending.reply.is_abandoned() || !self.is_held(pending.program, name)
            }
            _ => true,
        }
    }

    fn is_held(&self, program: usize, name: &str) -> bool {
        self.home_of(program).locks.contains_key(name)
    }

    /// Picks what happens next, and lets it happen.
    pub(crate) fn step(&mut self) -> Stepped {
        loop {
            if self.random.happens(1, 16) {
                self.running += self.random.milliseconds(40);
            }
            if self.ring() {
                return Stepped::Answered;
            }
            let ready: Vec<usize> =
                (0..self.pending.len()).filter(|at| self.is_ready(&self.pending[*at])).collect();
            if ready.is_empty() {
                let waits = |at: &Duration| *at > self.running;
                let answers = self.pending.iter().map(|pending| pending.ready_at);
                let timers = self.timers.iter().map(|(at, _)| *at);
                let Some(next) = answers.chain(timers).filter(waits).min() else {
                    return self.stuck();
                };
                self.running = next;
                continue;
            }
            self.running += self.random.milliseconds(3);
            let oldest = ready.iter().copied().min_by_key(|at| self.pending[*at].ready_at);
            let overdue = oldest.filter(|at| self.pending[*at].ready_at + PATIENCE < self.running);
            let at = overdue.unwrap_or_else(|| ready[self.random.below(ready.len())]);
            self.steps += 1;
            return self.happen(at);
        }
    }

    fn stuck(&mut self) -> Stepped {
        if self.limbo.is_empty() {
            return Stepped::Stuck;
        }
        // A program that hangs is killed by its owner.
        let program = self.limbo[0].0;
        self.crash(vec![program])
    }

    fn happen(&mut self, at: usize) -> Stepped {
        let program = self.pending[at].program;
        // What consists of several changes is where most can go wrong.
        let ends_tail = |change: &Change| matches!(change, Change::Delete(key) if key.ends_with("/tail"));
        let one_in = match &self.pending[at].work {
            Work::Effect(Effect::Commit(changes)) if self.reverses() && changes.iter().any(ends_tail) => 2,
            Work::Effect(Effect::Commit(changes)) if changes.len() > 1 => 30,
            _ => 250,
        };
        if self.temper.crashes && self.random.happens(1, one_in) {
            let home = self.programs[program].home;
            let device = self.random.happens(1, 3);
            let dies = |other: &usize| *other == program || (device && self.programs[*other].home == home);
            let victims = (0..self.programs.len()).filter(dies).collect();
            return self.crash(victims);
        }
        if self.temper.crashes
            && self.random.happens(1, 150)
            && let Some(victim) = self.somebody_who_records()
        {
            return self.crash(vec![victim]);
        }
        if self.temper.crashes && self.random.happens(1, 2000) {
            // Nobody ever answers, until somebody loses patience with the program.
            let lost = self.pending.swap_remove(at);
            self.note(program, &lost.work, 7);
            self.trouble = [self.running; 2];
            self.limbo.push((program, lost));
            return Stepped::Answered;
        }
        if !self.limbo.is_empty() && self.random.happens(1, 60) {
            return self.stuck();
        }
        let Pending { program, work, reply, asked_at, .. } = self.pending.swap_remove(at);
        self.note(program, &work, 0);
        match work {
            Work::Deliver(answer) => drop(reply.answer(answer)),
            Work::Effect(Effect::Fetch(request)) => {
                let (answer, late) = self.fetch(program, &request);
                self.say(|| match &answer {
                    Answer::Response(response) => {
                        format!("   {} {} bytes", response.status, response.body.len())
                    }
                    other => format!("   {other:?}"),
                });
                let (answer, late) =
                    if self.repeats_fetches() { self.fetch(program, &request) } else { (answer, late) };
                if late.is_zero() {
                    reply.answer(answer);
                } else {
                    let ready_at = self.running + late;
                    let work = Work::Deliver(answer);
                    self.pending.push(Pending { program, work, reply, asked_at, ready_at });
                }
            }
            Work::Effect(effect) => self.carry_out(program, effect, reply),
        }
        Stepped::Answered
    }

    /// Says what happens, to whoever looks for the cause of something.
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.says {
            println!("{:>6} {:>10.3} {}", self.steps, self.running.as_secs_f64(), what());
        }
    }

    /// Mixes what happened into the number that stands for the order of everything.
    fn note(&mut self, program: usize, work: &Work, what: u64) {
        self.say(|| {
            let how = match what {
                0 => "",
                5 => " died in",
                _ => " will never be answered",
            };
            match work {
                Work::Effect(Effect::Sign(_)) => format!("{program}{how} Sign"),
                Work::Effect(effect) => format!("{program}{how} {effect:?}"),
                Work::Deliver(answer) => {
                    format!("{program}{how} an answer comes late: {answer:?}").chars().take(300).collect()
                }
            }
        });
        let kind = match work {
            Work::Deliver(_) => 1,
            Work::Effect(Effect::Sign(_)) => 2,
            Work::Effect(Effect::Fetch(request)) => 3 + request.body.len() as u64 * 16,
            Work::Effect(Effect::Load(_)) => 4,
            Work::Effect(Effect::List(_)) => 5,
            Work::Effect(Effect::Commit(changes)) => 6 + Disk::growth(changes) as u64 * 16,
            Work::Effect(Effect::Lock { .. }) => 7,
            Work::Effect(Effect::Unlock(_)) => 8,
            Work::Effect(Effect::Run(_)) => 9,
            Work::Effect(Effect::Sleep(_)) => 10,
        };
        let mixed = self.counts.order ^ (kind * 8 + program as u64 * 4096 + what);
        self.counts.order = mixed.wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5);
    }

    fn carry_out(&mut self, program: usize, effect: Effect, reply: Reply) {
        let home = self.programs[program].home;
        let health = self.homes[home].health;
        let failing = match health {
            Health::Failing => self.random.happens(1, 6),
            _ => false,
        };
        match effect {
            Effect::Fetch(_) => {}
            Effect::Sign(bytes) => {
                self.look_at_signed(home, &bytes);
                let key = Arc::clone(&self.person(program).device);
                let signature = self.mistaken_signature(&bytes).unwrap_or_else(|| key.sign(&bytes));
                reply.answer(Answer::Signature(signature));
            }
            Effect::Load(_) | Effect::List(_) if failing => {
                self.counts.failed += 1;
                self.trouble[home] = self.running;
                reply.answer(Answer::Failed(failure(IoFailureKind::Other)));
            }
            Effect::Load(keys) => {
                let records = self.mistaken_load(home, &keys);
                let records = records.unwrap_or_else(|| self.homes[home].load(&keys));
                reply.answer(Answer::Records(records));
            }
            Effect::List(prefix) => drop(reply.answer(Answer::Names(self.homes[home].list(&prefix)))),
            Effect::Commit(changes) => {
                let answer = self.commit(home, &changes, failing);
                reply.answer(answer);
            }
            Effect::Lock { .. } if health == Health::ReadOnly => {
                reply.answer(Answer::Failed(failure(IoFailureKind::ReadOnly)));
            }
            Effect::Lock { name, .. } => {
                let held = self.is_held(program, &name) && !self.gives_locks_twice();
                if reply.answer(Answer::Locked(!held)) && !held {
                    let life = self.programs[program].life;
                    self.homes[home].locks.insert(name, (program, life));
                }
            }
            Effect::Unlock(name) => {
                let disk = &mut self.homes[home];
                if disk.locks.get(&name).is_some_and(|(holder, _)| *holder == program) {
                    disk.locks.remove(&name);
                }
            }
            Effect::Run(job) => {
                let mut done = job.perform();
                if self.swaps_jobs() {
                    let is_job = |other: &Pending| matches!(other.work, Work::Effect(Effect::Run(_)));
                    if let Some(other) = self.pending.iter_mut().find(|other| is_job(other))
                        && let Work::Effect(Effect::Run(job)) =
                            std::mem::replace(&mut other.work, Work::Deliver(Answer::Done))
                    {
                        other.work = Work::Deliver(Answer::Ran(std::mem::replace(&mut done, job.perform())));
                    }
                }
                reply.answer(Answer::Ran(done));
            }
            Effect::Sleep(_) => drop(reply.answer(Answer::Done)),
        }
    }

    fn commit(&mut self, home: usize, changes: &[Change], failing: bool) -> Answer {
        let now_ms = self.home_ms(home);
        let kind = match self.homes[home].health {
            Health::ReadOnly => Some(IoFailureKind::ReadOnly),
            Health::Full if Disk::growth(changes) > 0 => Some(IoFailureKind::Full),
            _ if failing => Some(IoFailureKind::Other),
            _ => None,
        };
        if let Some(kind) = kind {
            self.counts.failed += 1;
            self.trouble[home] = self.running;
            self.say(|| format!("   {kind:?}"));
            if kind != IoFailureKind::ReadOnly {
                self.leave_some(home, changes, now_ms);
            }
            return Answer::Failed(failure(kind));
        }
        if !self.mistaken_commit(home, changes, now_ms) {
            for change in changes {
                self.homes[home].apply(change, now_ms);
            }
        }
        self.look_at_home(home, changes);
        Answer::Done
    }

    /// Makes some of the changes that nobody is told are made.
    fn leave_some(&mut self, home: usize, changes: &[Change], now_ms: u64) {
        let reversed: Vec<Change> = changes.iter().rev().cloned().collect();
        let changes = if self.reverses() { &reversed } else { changes };
        self.homes[home].apply_some(changes, now_ms, &mut self.random);
        self.look_at_home(home, changes);
    }

    /// Kills programs. What they had asked for and not been answered happened, or not, or in part.
    pub(crate) fn crash(&mut self, victims: Vec<usize>) -> Stepped {
        self.counts.crashes += 1;
        self.say(|| format!("{victims:?} die"));
        let (dying, staying): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|asked| victims.contains(&asked.program));
        self.pending = staying;
        let limbo = std::mem::take(&mut self.limbo);
        let (lost, staying): (Vec<_>, Vec<_>) =
            limbo.into_iter().partition(|(program, _)| victims.contains(program));
        self.limbo = staying;
        for victim in &victims {
            self.programs[*victim].life += 1;
            let home = self.programs[*victim].home;
            if lost.iter().any(|(program, _)| program == victim) {
                self.trouble[home] = self.running;
            }
            self.recorders_die(*victim);
            self.close_files(*victim);
            self.homes[home].free_locks(*victim);
        }
        self.undo_before_durable(&victims);
        for Pending { program, work, .. } in dying.into_iter().chain(lost.into_iter().map(|(_, lost)| lost)) {
            self.note(program, &work, 5);
            let home = self.programs[program].home;
            match work {
                Work::Effect(Effect::Commit(changes)) if self.homes[home].health == Health::Well => {
                    let now_ms = self.home_ms(home);
                    self.leave_some(home, &changes, now_ms);
                }
                Work::Effect(Effect::Fetch(request)) if self.random.happens(1, 2) => {
                    drop(self.fetch(program, &request));
                }
                _ => {}
            }
        }
        Stepped::Crashed(victims)
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn calm(&mut self) {
        self.say(|| "from now on all is well".to_owned());
        let Temper { lied_to_sealer, pads, .. } = self.temper;
        self.temper = Temper { lied_to_sealer, pads, ..Temper::default() };
        self.hostile = Hostile::default();
        self.wall_ms = [0; 2];
        for disk in &mut self.homes {
            disk.health = Health::Well;
        }
    }

    /// Whether a request is to the server at all.
    pub(crate) fn is_put(request: &Request) -> bool {
        request.method == Method::Put && request.url.starts_with(ADDRESS)
    }
}
