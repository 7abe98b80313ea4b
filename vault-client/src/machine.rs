//! An ordinary machine as the engine's driver: a folder, a key in memory, sockets, threads, clocks.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use tokio::runtime::Handle;
use vault_core::signing_key::SigningKey;
use vault_engine::effects::{Answer, Driver, Effect, Effects, NoAnswer, Now, Reply, Request, StoreFailure};
use vault_engine::error::{IoFailure, IoFailureKind};
use vault_engine::home::Home;

use crate::home_folder::{HomeFolder, HomeLock, unix_ms};
use crate::http::HttpClient;

/// A machine.
///
/// What waits is spawned on the runtime in whose context it is asked for; outside of any, files are read and written in
/// place, and there is no network.
pub(crate) struct Machine {
    folder: HomeFolder,
    device: Option<SigningKey>,
    http: Option<HttpClient>,
    locks: Arc<Mutex<HashMap<String, HomeLock>>>,
    commits: Arc<Commits>,
    began: Instant,
}

/// The commits under way: a lock goes back behind them.
#[derive(Default)]
struct Commits {
    under_way: Mutex<usize>,
    done: Condvar,
}

/// A commit, until this is dropped.
struct CommitUnderWay(Arc<Commits>);

impl Drop for CommitUnderWay {
    fn drop(&mut self) {
        *self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.done.notify_all();
    }
}

impl Commits {
    fn begin(self: &Arc<Self>) -> CommitUnderWay {
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        CommitUnderWay(Arc::clone(self))
    }

    fn is_none(&self) -> bool {
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) == 0
    }

    /// Blocks until there was a moment without any.
    fn wait(&self) {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.done.wait_while(under_way, |under_way| *under_way > 0));
    }
}

impl Machine {
    /// One that knows a folder only.
    pub(crate) fn of_folder(folder: HomeFolder) -> Self {
        let (locks, commits) = (Arc::default(), Arc::default());
        Self { folder, device: None, http: None, locks, commits, began: Instant::now() }
    }

    /// One that also signs with `device`, and asks servers.
    pub(crate) fn of_session(folder: HomeFolder, device: SigningKey, http: HttpClient) -> Self {
        Self { device: Some(device), http: Some(http), ..Self::of_folder(folder) }
    }

    fn fetch(&self, request: Request, mut reply: Reply) {
        let (Some(http), Ok(runtime)) = (self.http.clone(), Handle::try_current()) else {
            let reason = "this program has no network here".to_owned();
            reply.answer(Answer::NoAnswer(NoAnswer::Lost(reason)));
            return;
        };
        runtime.spawn(async move {
            tokio::select! {
                biased;
                () = reply.abandoned() => {}
                answer = http.fetch(request) => {
                    reply.answer(answer);
                }
            }
        });
    }

    /// Calls `work`, which may wait, where it keeps nobody else from going on.
    fn aside(work: impl FnOnce() + Send + 'static) {
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(work)),
            Err(_) => work(),
        }
    }
}

impl HomeFolder {
    /// The home in it, as the engine knows it: without a key to sign with, and without a server.
    pub fn home(&self) -> Home {
        self.home_of(Machine::of_folder(self.clone()))
    }

    /// The home in it, on a machine that can do more.
    pub(crate) fn home_of(&self, machine: Machine) -> Home {
        Home::new(Effects::new(Arc::new(machine)), &self.folder().display().to_string())
    }
}

impl Driver for Machine {
    fn perform(&self, effect: Effect, mut reply: Reply) {
        let folder = self.folder.clone();
        match effect {
            Effect::Sign(bytes) => {
                let signature = self.device.as_ref().map(|device| device.sign(&bytes));
                reply.answer(signature.map_or(Answer::Gone, Answer::Signature));
            }
            Effect::Fetch(request) => self.fetch(request, reply),
            Effect::Load(keys) => {
                let load = |key: &String| Ok(folder.load(key)?.map(Into::into));
                reply.answer(
                    keys.iter()
                        .map(load)
                        .collect::<Result<_, _>>()
                        .map_or_else(Answer::Failed, Answer::Records),
                );
            }
            Effect::List(prefix) => {
                reply.answer(folder.list(&prefix).map_or_else(Answer::Failed, Answer::Names));
            }
            Effect::Commit(changes) => {
                let under_way = self.commits.begin();
                Self::aside(move || {
                    let answer = folder.commit(&changes).map_or_else(Answer::Failed, |()| Answer::Done);
                    drop(under_way);
                    reply.answer(answer);
                });
            }
            Effect::Lock { name, locking } => {
                let locks = Arc::clone(&self.locks);
                Self::aside(move || {
                    let lock = match folder.hold(&name, locking) {
                        Ok(Some(lock)) => lock,
                        Ok(None) => {
                            reply.answer(Answer::Locked(false));
                            return;
                        }
                        Err(failure) => {
                            reply.answer(Answer::Failed(failure));
                            return;
                        }
                    };
                    held(&locks).insert(name.clone(), lock);
                    // Nobody may have waited so long.
                    if !reply.answer(Answer::Locked(true))
                        && let Some(lock) = held(&locks).remove(&name)
                    {
                        folder.let_go(&name, lock);
                    }
                });
            }
            Effect::Unlock(name) => {
                let Some(lock) = held(&self.locks).remove(&name) else {
                    return;
                };
                if self.commits.is_none() {
                    folder.let_go(&name, lock);
                } else {
                    // One of a decision that was dropped: nobody else may hold the lock before it is durable.
                    let commits = Arc::clone(&self.commits);
                    Self::aside(move || {
                        commits.wait();
                        folder.let_go(&name, lock);
                    });
                }
            }
            Effect::Run(job) => Self::aside(move || {
                if reply.is_abandoned() {
                    return;
                }
                let done = catch_unwind(AssertUnwindSafe(|| job.perform()));
                reply.answer(done.map_or_else(|_| Answer::Failed(panicked()), Answer::Ran));
            }),
            Effect::Sleep(time) => {
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(async move {
                        tokio::select! {
                            biased;
                            () = reply.abandoned() => {}
                            () = tokio::time::sleep(time) => {
                                reply.answer(Answer::Done);
                            }
                        }
                    });
                } else {
                    std::thread::sleep(time);
                    reply.answer(Answer::Done);
                }
            }
        }
    }

    fn now(&self) -> Now {
        Now { unix_ms: unix_ms(SystemTime::now()), running: self.began.elapsed() }
    }
}

fn held(locks: &Mutex<HashMap<String, HomeLock>>) -> std::sync::MutexGuard<'_, HashMap<String, HomeLock>> {
    locks.lock().unwrap_or_else(PoisonError::into_inner)
}

fn panicked() -> StoreFailure {
    let reason = "work on a thread of its own panicked";
    StoreFailure { place: String::new(), why: IoFailure::new(IoFailureKind::Other, reason) }
}
