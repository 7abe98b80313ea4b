//! What goes out of an engine: effects that wait to be taken, news, results.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;

use super::command::{Event, Outcome};
use super::{EffectId, Outgoing, Task};
use crate::effects::{Answer, Driver, Effect, Now, Reply};
use crate::error::ClientError;

/// A driver that carries nothing out itself: whoever runs the engine takes it from here.
#[derive(Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    now: Now,
    next: u64,
    going_out: VecDeque<Going>,
    /// Where answers go, and of what.
    answers: BTreeMap<EffectId, (Reply, Taken)>,
    /// What began beside the command that began it.
    spawned: Vec<BoxFuture<'static, ()>>,
}

/// An effect that was taken, as far as its answer matters to others.
enum Taken {
    Lock(String),
    Commit,
    Other,
}

enum Going {
    Effect(EffectId, Effect, Reply),
    Event(Event),
    Done(Task, Box<Result<Outcome, ClientError>>),
}

impl Driver for Queue {
    fn perform(&self, effect: Effect, reply: Reply) {
        let mut waiting = self.lock();
        waiting.push(effect, reply);
    }

    fn now(&self) -> Now {
        self.lock().now
    }
}

impl Waiting {
    fn push(&mut self, effect: Effect, reply: Reply) {
        let id = EffectId(self.next);
        self.next += 1;
        self.going_out.push_back(Going::Effect(id, effect, reply));
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Whole at every moment, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_now(&self, now: Now) {
        self.lock().now = now;
    }

    /// What goes out next. Effects that nobody waits for any more stay here: they were cancelled before they began.
    pub(super) fn pop(&self) -> Option<Outgoing> {
        let mut waiting = self.lock();
        // What a dropped decision was committing may still come to be durable: who holds the lock next has to see it.
        let commits =
            waiting.answers.values().any(|(reply, of)| matches!(of, Taken::Commit) && reply.is_abandoned());
        loop {
            let stays = |going: &Going| commits && matches!(going, Going::Effect(_, Effect::Unlock(_), _));
            let at = waiting.going_out.iter().position(|going| !stays(going))?;
            match waiting.going_out.remove(at)? {
                Going::Effect(id, effect @ Effect::Unlock(_), _) => {
                    return Some(Outgoing::Effect(id, effect));
                }
                Going::Effect(_, _, reply) if reply.is_abandoned() => {}
                Going::Effect(id, effect, reply) => {
                    let of = match &effect {
                        Effect::Lock { name, .. } => Taken::Lock(name.clone()),
                        Effect::Commit(_) => Taken::Commit,
                        _ => Taken::Other,
                    };
                    waiting.answers.insert(id, (reply, of));
                    return Some(Outgoing::Effect(id, effect));
                }
                Going::Event(event) => return Some(Outgoing::Event(event)),
                Going::Done(task, result) => return Some(Outgoing::Done(task, result)),
            }
        }
    }

    /// Answers an effect that was taken. An id that was answered before, or never given, is passed over.
    pub(super) fn answer(&self, id: EffectId, answer: Answer) {
        let Some((reply, of)) = self.lock().answers.remove(&id) else {
            return;
        };
        let is_locked = matches!(answer, Answer::Locked(true));
        // Whoever is woken by the answer may ask for more.
        let is_taken = reply.answer(answer);
        if let (false, true, Taken::Lock(name)) = (is_taken, is_locked, of) {
            let (nobody, _) = Reply::pair();
            self.lock().push(Effect::Unlock(name), nobody);
        }
    }

    pub(super) fn is_awaited(&self, id: EffectId) -> bool {
        self.lock().answers.get(&id).is_some_and(|(reply, _)| !reply.is_abandoned())
    }

    pub(super) fn done(&self, task: Task, result: Result<Outcome, ClientError>) {
        self.lock().going_out.push_back(Going::Done(task, Box::new(result)));
    }

    pub(super) fn tell(&self, event: Event) {
        let mut waiting = self.lock();
        let Event::Progress { recording: of, .. } = event;
        let same = waiting.going_out.iter_mut().find_map(|going| match going {
            Going::Event(before) => {
                let Event::Progress { recording, .. } = *before;
                (recording == of).then_some(before)
            }
            _ => None,
        });
        match same {
            Some(before) => *before = event,
            None => waiting.going_out.push_back(Going::Event(event)),
        }
    }

    pub(super) fn spawn(self: &Arc<Self>, future: BoxFuture<'static, ()>) {
        self.lock().spawned.push(future);
    }

    pub(super) fn spawned(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut self.lock().spawned)
    }
}
