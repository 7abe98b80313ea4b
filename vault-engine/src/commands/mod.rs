//! The engine for whoever cannot wait for Rust's futures: a browser, a phone, another language. Commands in, effects
//! out, answers in.
//!
//! An [`Engine`] is moved by its owner alone, on any one thread: [`start`](Engine::start) begins a command,
//! [`say`](Engine::say) says something of a recording, [`take`](Engine::take) gives what is to be done or told next,
//! [`answer`](Engine::answer) brings what came of it. When nothing can be taken, it waits for an answer. Nothing of it
//! runs by itself, so that dropping it at any moment is what a crash is.
//!
//! ```no_run
//! use vault_engine::commands::{Command, Engine, Key, Outgoing};
//! use vault_engine::effects::{Answer, Effect, Now};
//!
//! # fn clocks() -> Now { Now::default() }
//! # fn carry_out(_: Effect) -> Answer { Answer::Done }
//! # fn show(_: impl std::fmt::Debug) {}
//! # fn ask_for_the_passphrase() -> secrecy::SecretString { String::new().into() }
//! let mut engine = Engine::new("the home of this app");
//! let key = Key::Passphrase(ask_for_the_passphrase());
//! engine.start(Command::Unlock { key, server: None, retry_for: None });
//! while let Some(outgoing) = engine.take(clocks()) {
//!     match outgoing {
//!         // An app does many at the same time, and answers each when it is done.
//!         Outgoing::Effect(id, effect) => engine.answer(id, carry_out(effect)),
//!         Outgoing::Event(event) => show(event),
//!         Outgoing::Done(task, result) => show((task, result)),
//!     }
//! }
//! ```
//!
//! What a command does is the same code that a program in Rust awaits: [`Session`], [`sealing`](crate::sealing),
//! [`opening`](crate::opening).

mod command;
mod queue;
mod recording;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use async_lock::OnceCell;
use futures_util::future::BoxFuture;
use vault_proto::ids::RecordingId;

pub use self::command::{Command, Event, Handle, Key, Outcome, Said};
use self::queue::Queue;
use self::recording::Recordings;
use crate::effects::{Answer, Effect, Effects, Now};
use crate::error::ClientError;
use crate::home::account::{self, Account};
use crate::home::{Enrolment, Home};
use crate::opening::listing;
use crate::opening::media::{Medium, media};
use crate::opening::recording::{RemoteRecording, resolve_recording};
use crate::opening::track::RemoteTrack;
use crate::sealing::{GiveUp, Recorder, resume_all};
use crate::session::Session;

/// A command that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task(pub u64);

/// An effect that was taken and is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EffectId(pub u64);

/// What comes out of an engine.
#[derive(Debug)]
pub enum Outgoing {
    /// To be carried out, and answered with its id; nobody waits for an answer to [`Effect::Unlock`].
    Effect(EffectId, Effect),
    /// News.
    Event(Event),
    /// A command is done. What an error means to a person, a [`Failure`](crate::failure::Failure) says.
    Done(Task, Box<Result<Outcome, ClientError>>),
}

/// The decisions of one home, and whatever is going on in it.
pub struct Engine {
    queue: Arc<Queue>,
    desk: Desk,
    running: Vec<Running>,
    next: u64,
}

/// What commands share.
#[derive(Clone)]
struct Desk {
    home: Home,
    session: Arc<Mutex<Option<Session>>>,
    opened: Arc<Mutex<Shelf>>,
    /// How often the account was locked: what began before does not undo it.
    locked: Arc<AtomicU64>,
    recordings: Recordings,
}

/// What is open.
#[derive(Default)]
struct Shelf {
    next: u64,
    opened: BTreeMap<Handle, Arc<Opened>>,
}

struct Opened {
    session: Session,
    remote: RemoteRecording,
    tracks: Vec<(Medium, OnceCell<RemoteTrack>)>,
}

struct Running {
    /// `None` for what goes on behind the command that began it.
    task: Option<Task>,
    future: BoxFuture<'static, ()>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Engine {
    /// An engine of the home that its owner calls `place` before people.
    pub fn new(place: &str) -> Self {
        let queue = Arc::new(Queue::default());
        let driver: Arc<Queue> = Arc::clone(&queue);
        let desk = Desk {
            home: Home::new(Effects::new(driver), place),
            session: Arc::default(),
            opened: Arc::default(),
            locked: Arc::default(),
            recordings: Recordings::default(),
        };
        Self { queue, desk, running: Vec::new(), next: 0 }
    }

    /// Begins a command. What comes of it is [`Outgoing::Done`], once.
    pub fn start(&mut self, command: Command) -> Task {
        let task = self.next_task();
        let (desk, queue) = (self.desk.clone(), Arc::clone(&self.queue));
        let future = async move {
            let before = desk.locked.load(Ordering::SeqCst);
            let outcome = desk.carry_out(&queue, command, before).await;
            queue.done(task, outcome);
        };
        self.run(Some(task), Box::pin(future));
        task
    }

    /// Says something of a recording that is under way. What is said of one is done in the order in which it was said,
    /// and cannot be [cancelled](Self::cancel). What comes of it is [`Outgoing::Done`], once.
    pub fn say(&mut self, recording: RecordingId, said: Said) -> Task {
        let task = self.next_task();
        self.desk.recordings.say(&self.queue, task, recording, said);
        task
    }

    /// Has the end of a recording wait less for its server; counts at once, whatever was said of it before. Gives
    /// whether it is under way.
    pub fn give_up(&self, recording: RecordingId, give_up: GiveUp) -> bool {
        self.desk.recordings.give_up(recording, give_up)
    }

    fn next_task(&mut self) -> Task {
        let task = Task(self.next);
        self.next += 1;
        task
    }

    /// Drops a command where it is, as a crash would. One that is done already may still be told.
    pub fn cancel(&mut self, task: Task) {
        self.running.retain(|running| running.task != Some(task));
    }

    /// What is to be done or told next; `None` if everything waits for answers. `now` is what the clocks show.
    pub fn take(&mut self, now: Now) -> Option<Outgoing> {
        self.queue.set_now(now);
        self.go_on();
        self.queue.pop()
    }

    /// Brings the answer to an effect that was taken; it counts at the next [`Self::take`].
    pub fn answer(&mut self, id: EffectId, answer: Answer) {
        self.queue.answer(id, answer);
    }

    /// Whether somebody still waits for the answer to an effect that was taken: a request or a pause can be cut short
    /// if not. It is answered all the same, with anything that says so.
    pub fn is_awaited(&self, id: EffectId) -> bool {
        self.queue.is_awaited(id)
    }

    fn run(&mut self, task: Option<Task>, future: BoxFuture<'static, ()>) {
        self.running.push(Running { task, future, woken: Arc::new(Woken(AtomicBool::new(true))) });
    }

    /// Lets everything go on that can.
    fn go_on(&mut self) {
        loop {
            for future in self.queue.spawned() {
                self.run(None, future);
            }
            let mut went_on = false;
            self.running.retain_mut(|running| {
                if !running.woken.0.swap(false, Ordering::SeqCst) {
                    return true;
                }
                went_on = true;
                let waker = Waker::from(Arc::clone(&running.woken));
                running.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
            });
            if !went_on {
                return;
            }
        }
    }
}

impl Desk {
    /// `before` is how often the account had been locked when the command began.
    async fn carry_out(
        &self,
        queue: &Arc<Queue>,
        command: Command,
        before: u64,
    ) -> Result<Outcome, ClientError> {
        match command {
            Command::Enrol { key, server, organisation, certificate } => {
                let account = self.account(key).await?;
                let chain = account::parse_certificate_file(&certificate)?;
                let enrolment = Enrolment { server, organisation };
                let session = Session::new(self.home.clone(), enrolment, account, None)?;
                session.enrol(chain).await?;
                self.unlocked(session, before)
            }
            Command::Unlock { key, server, retry_for } => {
                let mut enrolment = self.home.enrolment().await?;
                if let Some(server) = server {
                    enrolment.server = server;
                }
                let account = self.account(key).await?;
                self.unlocked(Session::new(self.home.clone(), enrolment, account, retry_for)?, before)
            }
            Command::Lock => {
                self.locked.fetch_add(1, Ordering::SeqCst);
                *held(&self.session) = None;
                held(&self.opened).opened.clear();
                Ok(Outcome::Done)
            }
            Command::List => {
                let listing = listing::list(&self.session()?).await?;
                self.still(before)?;
                Ok(Outcome::Listing(listing))
            }
            Command::Open { recording } => self.open(&recording, before).await,
            Command::Read { opened, track, offset, most } => {
                let bytes = self.opened(opened)?.read(track, offset, most).await?;
                self.still(before)?;
                Ok(Outcome::Bytes(bytes))
            }
            Command::Close { opened } => {
                held(&self.opened).opened.remove(&opened);
                Ok(Outcome::Done)
            }
            Command::Begin { request, options } => {
                let (recorder, work) = Recorder::begin(&self.session()?, &request, options).await?;
                Ok(Outcome::Begun(self.recordings.attend(queue, recorder, work)))
            }
            Command::Resume => Ok(Outcome::Resumed(resume_all(&self.session()?).await?)),
        }
    }

    async fn account(&self, key: Key) -> Result<Account, ClientError> {
        match key {
            Key::Account(account) => Ok(account),
            // The device key signs where the machine keeps it; the copy in the identity file is not needed here.
            Key::Passphrase(passphrase) => Ok(account::unlock(&self.home, &passphrase).await?.account),
        }
    }

    fn unlocked(&self, session: Session, before: u64) -> Result<Outcome, ClientError> {
        self.still(before)?;
        let account = session.account().id;
        *held(&self.session) = Some(session);
        Ok(Outcome::Unlocked(account))
    }

    /// Refuses what was found for an account that was locked meanwhile.
    fn still(&self, before: u64) -> Result<(), ClientError> {
        if self.locked.load(Ordering::SeqCst) == before { Ok(()) } else { Err(locked()) }
    }

    fn session(&self) -> Result<Session, ClientError> {
        let session = held(&self.session).clone();
        session.ok_or_else(locked)
    }

    async fn open(&self, recording: &str, before: u64) -> Result<Outcome, ClientError> {
        let session = self.session()?;
        let recording = resolve_recording(&session, recording).await?;
        let remote = RemoteRecording::fetch(&session, recording).await?;
        let about = Box::new(listing::describe(&session, &remote).await?);
        let media = media(&session, &remote).await?;
        let cut_off = remote.cut_off(&self.home).await?.map(Box::new);
        let tracks = media.iter().map(|medium| (medium.clone(), OnceCell::new())).collect();
        self.still(before)?;
        let mut shelf = held(&self.opened);
        let opened = Handle(shelf.next);
        shelf.next += 1;
        shelf.opened.insert(opened, Arc::new(Opened { session, remote, tracks }));
        Ok(Outcome::Opened { opened, about, media, cut_off })
    }

    fn opened(&self, opened: Handle) -> Result<Arc<Opened>, ClientError> {
        let found = held(&self.opened).opened.get(&opened).map(Arc::clone);
        found.ok_or_else(|| ClientError::Usage("that is not open any more".to_owned()))
    }
}

impl Opened {
    async fn read(&self, track: u8, offset: u64, most: usize) -> Result<bytes::Bytes, ClientError> {
        let known = self.tracks.iter().find(|(medium, _)| medium.track == track);
        let (medium, view) =
            known.ok_or_else(|| ClientError::Usage(format!("this recording has no track {track}")))?;
        let open = || RemoteTrack::open(&self.session, &self.remote, track, medium.layout());
        view.get_or_try_init(open).await?.read_at(offset, most).await
    }
}

fn locked() -> ClientError {
    ClientError::Usage("the account is locked".to_owned())
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whole at every moment, whoever panicked.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
