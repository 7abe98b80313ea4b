//! How much of the server one account may take at a time, so that none keeps the others out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vault_proto::ids::AccountId;
use vault_proto::problem::ProblemCode;

use super::fair_pool::{self, FairPool};
use super::strangers::Strangers;
use crate::problem::Problem;
use crate::turns::Threads;

/// Requests of known callers at the same time.
const REQUESTS: usize = 256;
/// Of them, by one account.
const REQUESTS_EACH: usize = 32;
/// Memory that bodies of known callers may take together beyond their first bytes, in KiB.
const BODIES_KIB: usize = 32 * 1024;
/// Of it, by one account: the largest body, or as many parts as a client sends at a time.
const BODIES_KIB_EACH: usize = 4 * 1024;
/// Bytes of a body that its request's place covers.
pub(super) const FIRST_BYTES: usize = 32 * 1024;
/// Memory that answers which are built whole may take together, in KiB.
const ANSWERS_KIB: usize = 64 * 1024;
/// Of it, by one account.
const ANSWERS_KIB_EACH: usize = 16 * 1024;
/// Bodies of recordings that are sent at the same time.
const STREAMS: usize = 96;
/// Of them, to one account.
const STREAMS_EACH: usize = 16;
/// Threads that work for known callers at the same time. Fewer than the program's blocking threads, so that heads are
/// checked whatever these wait for.
const THREADS: usize = 24;
/// Of them, for one account: who makes them wait for one another makes nobody else wait.
const THREADS_EACH: usize = 4;
/// Of them, for reading bodies that are sent to one account: what is read ahead is in memory most of the time, and then
/// reading is nothing but work.
const PIECES_EACH: usize = 1;
/// Strangers whose bodies are awaited at the same time, and of whom so many are looked at.
const STRANGERS: usize = 32;
const STRANGERS_THREADS: usize = 2;
/// How long a request waits for its share of memory or its thread.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// A share of an account, given back when it is dropped.
pub(crate) type Share = fair_pool::Share<AccountId>;

/// What is shared out.
#[derive(Debug)]
pub(crate) struct Shares {
    requests: Arc<FairPool<AccountId>>,
    bodies: Arc<FairPool<AccountId>>,
    answers: Arc<FairPool<AccountId>>,
    streams: Arc<FairPool<AccountId>>,
    threads: Arc<FairPool<AccountId>>,
    pieces: Arc<FairPool<AccountId>>,
    /// Of all threads, as many as there are processors work at the same time; the others wait for something.
    pub(super) turns: Arc<Threads>,
    /// What asks how the server is, one at a time.
    probes: Arc<Semaphore>,
    pub(super) strangers: Arc<Strangers>,
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

async fn wait_for(pool: &Arc<FairPool<AccountId>>, who: AccountId, number: usize) -> Result<Share, Problem> {
    pool.wait_for(who, number, MAX_WAIT).await.ok_or(ProblemCode::Busy.into())
}

async fn turn(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(places).acquire_owned().await.map_err(|error| Problem::internal(&error))
}

impl Shares {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            requests: FairPool::new(REQUESTS, REQUESTS_EACH),
            bodies: FairPool::new(BODIES_KIB, BODIES_KIB_EACH),
            answers: FairPool::new(ANSWERS_KIB, ANSWERS_KIB_EACH),
            streams: FairPool::new(STREAMS, STREAMS_EACH),
            threads: FairPool::new(THREADS, THREADS_EACH),
            pieces: FairPool::new(THREADS, PIECES_EACH),
            turns: Threads::new(),
            probes: Arc::new(Semaphore::new(1)),
            strangers: Strangers::new(STRANGERS, STRANGERS_THREADS),
        })
    }

    /// A place for one request of `account`.
    ///
    /// # Errors
    /// [`ProblemCode::Busy`] at once if the account has too many.
    pub(crate) fn request(&self, account: AccountId) -> Result<Share, Problem> {
        self.requests.take(account, 1).ok_or(ProblemCode::Busy.into())
    }

    /// Memory for the whole of a body of at most `bytes` bytes. Whoever has it needs nothing more to come to an end, so
    /// bodies never wait for one another in a circle.
    ///
    /// # Errors
    /// [`ProblemCode::Busy`] after a while.
    pub(crate) async fn whole_body(&self, account: AccountId, bytes: usize) -> Result<Share, Problem> {
        wait_for(&self.bodies, account, kib(bytes)).await
    }

    /// Memory for an answer that takes `bytes` bytes while it is built. One that is larger than what an account may
    /// take has all of it.
    ///
    /// # Errors
    /// [`ProblemCode::Busy`] after a while.
    pub(crate) async fn answer(&self, account: AccountId, bytes: usize) -> Result<Share, Problem> {
        wait_for(&self.answers, account, kib(bytes).min(self.answers.most_each())).await
    }

    /// A place for one body that is sent to `account`.
    ///
    /// # Errors
    /// [`ProblemCode::Busy`] at once if there is none.
    pub(crate) fn stream(&self, account: AccountId) -> Result<Share, Problem> {
        self.streams.take(account, 1).ok_or(ProblemCode::Busy.into())
    }

    /// A thread that works for `account` and may block.
    ///
    /// # Errors
    /// [`ProblemCode::Busy`] after a while.
    pub(crate) async fn thread(&self, account: AccountId) -> Result<Share, Problem> {
        wait_for(&self.threads, account, 1).await
    }

    /// A thread that works for `account` and may block, if there is one right now.
    pub(crate) fn thread_now(&self, account: AccountId) -> Option<Share> {
        self.threads.take(account, 1)
    }

    /// A thread that reads the next piece of a body that is sent to `account`.
    ///
    /// # Errors
    /// [`ProblemCode::Busy`] after a while.
    pub(crate) async fn piece(&self, account: AccountId) -> Result<(Share, Share), Problem> {
        let piece = wait_for(&self.pieces, account, 1).await?;
        Ok((piece, self.thread(account).await?))
    }

    /// A thread that finds out how the server is.
    ///
    /// # Errors
    /// Never, as long as the server runs.
    pub(crate) async fn probe(&self) -> Result<OwnedSemaphorePermit, Problem> {
        turn(&self.probes).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shares_are_given_back() {
        let shares = Shares::new();
        let (one, two) = (AccountId::from_bytes([1; 32]), AccountId::from_bytes([2; 32]));
        let held: Vec<Share> = (0..STREAMS_EACH).map(|_| shares.stream(one).unwrap()).collect();
        assert_eq!(shares.stream(one).unwrap_err().code, ProblemCode::Busy);
        let others = (shares.stream(two).unwrap(), shares.request(two).unwrap());
        let body = shares.whole_body(two, 4 * 1024 * 1024).await.unwrap();
        let answer = shares.answer(two, usize::MAX).await.unwrap();
        drop((held, others, body, answer));
        assert!(shares.streams.is_untouched(STREAMS) && shares.requests.is_untouched(REQUESTS));
        assert!(shares.bodies.is_untouched(BODIES_KIB) && shares.answers.is_untouched(ANSWERS_KIB));
    }

    /// What is in progress cannot take all connections: there is always one to close for whoever comes.
    #[test]
    fn there_are_more_connections_than_what_can_be_in_progress_on_them() {
        let in_progress = REQUESTS + STREAMS + STRANGERS;
        assert!(in_progress < crate::limits::Limits::default().connections);
    }

    /// However many of the largest bodies one account sends, one has room.
    #[test]
    fn the_largest_body_has_room() {
        assert!(kib(vault_proto::wire::MAX_DETAILS) <= BODIES_KIB_EACH);
        assert!(kib(vault_proto::wire::MAX_JSON_BODY) <= BODIES_KIB_EACH);
    }
}
