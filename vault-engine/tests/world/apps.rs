//! An app that is not written in Rust: it knows commands, effects and answers, and no future. Everything that holds of
//! the other programs holds of it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{self, BoxFuture, Either};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use vault_engine::ClientError;
use vault_engine::commands::{Command, EffectId, Engine, Event, Handle, Key, Outcome, Outgoing, Said, Task};
use vault_engine::effects::{Answer, Driver as _, Reply};
use vault_engine::error::CutOffReason;
use vault_engine::sealing::{GiveUp, RecorderOptions, SealRequest};
use vault_engine::watched::Watched;
use vault_proto::ids::RecordingId;
use vault_proto::recording_list::ListEntry;
use zeroize::Zeroizing;

use crate::machine::Machine;
use crate::programs::{Life, any_recording};
use crate::recorders::{self, claimed, goes_on, has_sealed, looked_at_resumed, wait};
use crate::server::ADDRESS;
use crate::shown::{Before, Out, check_listing, released};

type Result<T> = std::result::Result<T, ClientError>;

/// An engine, and what came out of it.
struct App {
    life: Life,
    engine: Mutex<Engine>,
    done: Watched<BTreeMap<Task, Result<Outcome>>>,
    /// The most that each recording is said to have on the server.
    acknowledged: Mutex<BTreeMap<RecordingId, u64>>,
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl App {
    fn engine(&self) -> MutexGuard<'_, Engine> {
        held(&self.engine)
    }

    async fn call(&self, command: Command) -> Result<Outcome> {
        let task = self.engine().start(command);
        self.outcome(task).await
    }

    async fn say(&self, recording: RecordingId, said: Said) -> Result<Outcome> {
        let task = self.engine().say(recording, said);
        self.outcome(task).await
    }

    async fn outcome(&self, task: Task) -> Result<Outcome> {
        self.done.wait_for(|done| done.remove(&task)).await
    }

    /// Carries effects to the machine and answers back, for as long as it is polled.
    async fn carry(&self, machine: &Machine) {
        let mut asked: FuturesUnordered<BoxFuture<'static, (EffectId, Option<Answer>)>> =
            FuturesUnordered::new();
        future::poll_fn(|context| {
            loop {
                loop {
                    let Some(outgoing) = self.engine().take(machine.now()) else {
                        break;
                    };
                    match outgoing {
                        Outgoing::Effect(id, effect) => {
                            let (reply, answered) = Reply::pair();
                            machine.perform(effect, reply);
                            asked.push(Box::pin(async move { (id, answered.await.ok()) }));
                        }
                        Outgoing::Event(Event::Progress { recording, progress }) => {
                            held(&self.acknowledged).insert(recording, progress.acknowledged_bytes);
                        }
                        Outgoing::Done(task, result) => {
                            self.done.change(|done| done.insert(task, *result));
                        }
                    }
                }
                match asked.poll_next_unpin(context) {
                    Poll::Ready(Some((id, Some(answer)))) => self.engine().answer(id, answer),
                    // Nobody will ever answer.
                    Poll::Ready(Some((_, None))) => {}
                    Poll::Ready(None) | Poll::Pending => return Poll::<()>::Pending,
                }
            }
        })
        .await;
    }
}

/// Does what [`programs::live`](crate::programs::live) does, by commands.
pub(crate) async fn live(life: &Life) {
    let machine = Machine { world: Arc::clone(&life.world), program: life.program, life: life.life };
    let app = App {
        life: life.clone(),
        engine: Mutex::new(Engine::new("home")),
        done: Watched::new(BTreeMap::new()),
        acknowledged: Mutex::default(),
    };
    let work = async {
        if !app.unlock().await {
            return;
        }
        if life.home_index() == 1 {
            app.resume().await;
        }
        future::join(app.act(), app.act()).await;
    };
    // Work first: what it starts is carried at once.
    match future::select(pin!(work), pin!(app.carry(&machine))).await {
        Either::Left(_) | Either::Right(_) => {}
    }
}

impl App {
    /// Whether it could: nobody begins anything in a world that closes.
    async fn unlock(&self) -> bool {
        let life = &self.life;
        let (account, organisation, certificate) = life.look(|world| {
            let person = world.person(life.program);
            let certificate = serde_json::to_vec(&person.chains[0]).unwrap_or_default();
            (person.account(), world.people.organisation, certificate)
        });
        loop {
            if life.look(|world| world.closing) {
                return false;
            }
            let retry_for = match life.below(3) {
                0 => None,
                1 => Some(Duration::ZERO),
                _ => Some(Duration::from_secs(2)),
            };
            let key = || Key::Account(account.clone());
            match self.call(Command::Unlock { key: key(), server: None, retry_for }).await {
                Ok(Outcome::Unlocked(unlocked)) if unlocked == account.id => return true,
                Err(ClientError::NotSetUp(_)) => {
                    let (server, certificate) = (ADDRESS.to_owned(), certificate.clone().into());
                    let enrol = Command::Enrol { key: key(), server, organisation, certificate };
                    match self.call(enrol).await {
                        Ok(Outcome::Unlocked(_)) => {}
                        Ok(other) => self.strange(&other),
                        Err(error) => life.is_stated("enrolling by command", &error),
                    }
                }
                Ok(other) => self.strange(&other),
                Err(error) => life.is_stated("unlocking", &error),
            }
        }
    }

    fn strange(&self, outcome: &Outcome) {
        self.life.wrong(format!("this came of another command: {outcome:?}"));
    }

    async fn act(&self) {
        let life = &self.life;
        while !life.look(|world| world.closing) {
            match life.below(12) {
                0..=1 => self.list().await,
                2 if life.home_index() == 1 => self.resume().await,
                3..=5 if life.home_index() == 1 => self.record().await,
                6 => self.drop_something().await,
                7 => {
                    // What is being recorded goes on; what was open is not any more.
                    drop(self.call(Command::Lock).await);
                    match self.call(Command::List).await {
                        Err(ClientError::Usage(_)) | Ok(_) => {}
                        Err(error) => life.is_stated("listing by command", &error),
                    }
                    self.unlock().await;
                }
                _ => self.read().await,
            }
        }
    }

    /// Cancels something that was just begun.
    async fn drop_something(&self) {
        let command = match any_recording(&self.life) {
            Some(recording) if self.life.below(2) == 0 => Command::Open { recording: recording.to_string() },
            _ => Command::List,
        };
        let task = self.engine().start(command);
        let pause = self.life.look(|world| world.random.milliseconds(500));
        wait(&self.life, pause).await;
        self.engine().cancel(task);
        self.done.change(|done| done.remove(&task));
    }

    async fn list(&self) {
        let life = &self.life;
        let before = Before::of(life);
        match self.call(Command::List).await {
            Ok(Outcome::Listing(listing)) => {
                check_listing(life, &before, &listing);
                life.look(|world| world.counts.listed += 1);
            }
            Ok(other) => self.strange(&other),
            Err(ClientError::Usage(_)) => {}
            Err(error) => life.is_stated("listing by command", &error),
        }
    }

    async fn resume(&self) {
        match self.call(Command::Resume).await {
            Ok(Outcome::Resumed(resumed)) => drop(looked_at_resumed(&self.life, resumed)),
            Ok(other) => self.strange(&other),
            Err(ClientError::Usage(_)) => {}
            Err(error) => self.life.is_stated("resuming by command", &error),
        }
    }

    async fn read(&self) {
        let life = &self.life;
        let Some(recording) = any_recording(life) else {
            // Somebody may begin one.
            return wait(life, Duration::from_millis(300)).await;
        };
        let before = Before::of(life);
        let (opened, about, media, cut_off) =
            match self.call(Command::Open { recording: recording.to_string() }).await {
                Ok(Outcome::Opened { opened, about, media, cut_off }) => (opened, about, media, cut_off),
                Ok(other) => return self.strange(&other),
                Err(ClientError::Usage(_)) => return,
                Err(error) => return life.is_stated("opening by command", &error),
            };
        let entry = about.entry();
        if entry.recording != recording || !life.look(|world| world.is_true(&entry)) {
            life.wrong(format!("{recording} was taken for what it never was"));
        }
        let known = before.of_recording(recording);
        if known.is_some_and(|known| known.agrees_with(about.shown()).is_err()) {
            life.wrong(format!("{recording} was taken with another end than the known one"));
        }
        let known_end = known.is_some_and(|known| known.final_seal.is_some());
        match cut_off {
            Some(cut_off) => {
                let says_so = !matches!(cut_off.why, CutOffReason::NoEnd | CutOffReason::RestLost);
                if entry.final_seal.is_none() && known_end && !says_so {
                    life.wrong(format!("the known end of {recording} is hidden, and nobody says so"));
                }
            }
            None if entry.final_seal.is_none() => life.wrong(format!("{recording} is whole without an end")),
            None => {}
        }
        for medium in media {
            self.read_track(&before, entry, opened, medium.track, medium.length()).await;
        }
        drop(self.call(Command::Close { opened }).await);
        match self.call(Command::Read { opened, track: 0, offset: 0, most: 1 }).await {
            Err(ClientError::Usage(_)) => {}
            other => life.wrong(format!("what was closed can be read: {other:?}")),
        }
    }

    async fn read_track(&self, before: &Before, entry: ListEntry, opened: Handle, track: u8, length: u64) {
        let life = &self.life;
        let recorded = Out::new(life, Before::of(life), entry, Some(track)).rest;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        for _ in 0..3 {
            let (offset, most) = (life.below(length + 10), 1 + life.below(5000));
            let read = Command::Read { opened, track, offset: offset as u64, most };
            match self.call(read).await {
                Ok(Outcome::Bytes(bytes)) if bytes.is_empty() => {
                    if offset < length {
                        life.wrong(format!("{} ended before its end", entry.recording));
                    }
                }
                Ok(Outcome::Bytes(bytes)) => {
                    if recorded.get(offset..offset + bytes.len()) != Some(&bytes[..]) {
                        life.wrong(format!(
                            "other bytes than those recorded in {} were read",
                            entry.recording
                        ));
                    }
                    released(life, before, entry);
                    life.look(|world| world.counts.commanded += 1);
                }
                Ok(other) => self.strange(&other),
                // Another of its tasks has locked the account.
                Err(ClientError::Usage(_)) => return,
                Err(error) => return life.is_stated("reading by command", &error),
            }
        }
    }

    async fn record(&self) {
        let life = &self.life;
        if life.look(|world| world.truth.len() >= recorders::MOST) {
            return wait(life, Duration::from_millis(300)).await;
        }
        let request = life.look(|world| SealRequest {
            patient: world.people.anna.account,
            clinician: world.people.dora.account,
            consultation: None,
            title: Some(format!("app {}", world.steps)),
            media_type: Some("audio/webm".to_owned()),
            pad: world.temper.pads,
        });
        let title = request.title.clone();
        let recording = match self.call(Command::Begin { request, options: RecorderOptions::default() }).await
        {
            Ok(Outcome::Begun(recording)) => recording,
            Ok(other) => return self.strange(&other),
            Err(ClientError::Usage(_)) => return,
            Err(error) => return life.is_stated("beginning a recording by command", &error),
        };
        life.look(|world| world.live_begins(recording, life.program, title));
        self.write(recording).await;
        life.look(|world| world.live_ends(recording));
    }

    async fn write(&self, recording: RecordingId) {
        let life = &self.life;
        for _ in 0..life.below(20) {
            let mut written = Vec::new();
            let mut lengths = Vec::new();
            // Several at once are done one after the other.
            for _ in 0..=life.below(2) {
                let said = if life.below(8) == 0 {
                    life.look(|world| world.live_switches(recording));
                    lengths.push(0);
                    Said::Switch(Some("video/webm".to_owned()))
                } else {
                    let length = if life.below(8) == 0 { life.below(200_000) } else { 1 + life.below(3000) };
                    let bytes = life.look(|world| {
                        let bytes = world.random.bytes(length);
                        world.live_writes(recording, &bytes);
                        bytes
                    });
                    lengths.push(length);
                    Said::Write(Zeroizing::new(bytes))
                };
                written.push(self.say(recording, said));
            }
            let mut ended = None;
            for (done, length) in future::join_all(written).await.into_iter().zip(lengths) {
                match (done, &ended) {
                    (Ok(Outcome::Done), None) => {}
                    (Ok(other), _) => self.strange(&other),
                    // What stood behind its end was not taken.
                    (Err(ClientError::Usage(_)), Some(_)) => {
                        life.look(|world| world.live_was_not_taken(recording, length));
                    }
                    (Err(error), _) => ended = Some(error),
                }
            }
            if let Some(error) = ended {
                return claimed(life, recording, &error);
            }
            let acknowledged = held(&self.acknowledged).get(&recording).copied().unwrap_or(0);
            life.look(|world| world.acknowledged(recording, acknowledged));
            if !goes_on(life).await {
                break;
            }
        }
        if life.below(10) == 0 {
            life.look(|world| world.live_ends(recording));
            return drop(self.say(recording, Said::Leave).await);
        }
        if life.below(10) == 0 {
            self.engine().give_up(recording, GiveUp::AfterOneMoreTry);
        }
        let patience = life.look(|world| world.random.milliseconds(8_000));
        let complete = life.below(4) != 0;
        match self.say(recording, Said::Finish { complete, patience }).await {
            Ok(Outcome::Sealed(sealed)) => has_sealed(life, recording, &sealed),
            Ok(other) => self.strange(&other),
            Err(error) => claimed(life, recording, &error),
        }
    }
}
