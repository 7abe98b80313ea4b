//! How much of the server one account may take at a time, so that none keeps the others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::timeout;
use vault_proto::ids::AccountId;
use vault_proto::problem::ProblemCode;

use crate::problem::Problem;

/// Memory that request bodies may take together, in KiB.
const BODIES_KIB: usize = 20 * 1024;
/// Of it, by one account.
const BODIES_KIB_EACH: usize = 8 * 1024;
/// What a body holds before its first bytes have come, in KiB. With every request holding so much, there is still room
/// for the whole of the largest body, so bodies never wait for one another in a circle.
const FIRST_KIB: u32 = 64;
/// Memory that answers which are built whole may take together, in KiB.
const ANSWERS_KIB: usize = 48 * 1024;
/// Of it, by one account.
const ANSWERS_KIB_EACH: usize = 24 * 1024;
/// Bodies of recordings that are sent at the same time.
const STREAMS: usize = 64;
/// Of them, to one account.
const STREAMS_EACH: usize = 16;
/// Requests of one account at the same time.
const REQUESTS_EACH: usize = 64;
/// Enrolments at the same time, by whomever.
const ENROLMENTS: usize = 4;
/// How long a request waits for its share of memory.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// The semaphores of one account; all of one kind for everyone together.
#[derive(Debug)]
struct Places {
    requests: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Places {
    fn new(requests: usize, bodies: usize, answers: usize, streams: usize) -> Self {
        let places = |number| Arc::new(Semaphore::new(number));
        Self {
            requests: places(requests),
            bodies: places(bodies),
            answers: places(answers),
            streams: places(streams),
        }
    }
}

/// What is shared out.
#[derive(Debug)]
pub(crate) struct Shares {
    all: Places,
    enrolments: Arc<Semaphore>,
    /// Accounts with a request in progress. An account leaves when the last of its shares is given back.
    each: Mutex<HashMap<AccountId, Arc<Places>>>,
}

/// A share, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    permits: Vec<OwnedSemaphorePermit>,
    account: Option<(Arc<Shares>, AccountId, Arc<Places>)>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.permits.clear();
        let Some((shares, account, places)) = self.account.take() else {
            return;
        };
        let mut each = shares.each.lock().unwrap_or_else(PoisonError::into_inner);
        drop(places);
        // Counted under the map's lock: with one owner left, the map itself, the account has no other share.
        if each.get(&account).is_some_and(|places| Arc::strong_count(places) == 1) {
            each.remove(&account);
        }
    }
}

fn busy(_: TryAcquireError) -> Problem {
    ProblemCode::Busy.into()
}

fn closed(error: AcquireError) -> Problem {
    Problem::internal(&error)
}

/// Waits for a place, but not for ever.
async fn wait(places: &Arc<Semaphore>, number: u32) -> Result<OwnedSemaphorePermit, Problem> {
    let place = Arc::clone(places).acquire_many_owned(number);
    timeout(MAX_WAIT, place).await.map_err(|_| ProblemCode::Busy)?.map_err(closed)
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

impl Shares {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            all: Places::new(Semaphore::MAX_PERMITS, BODIES_KIB, ANSWERS_KIB, STREAMS),
            enrolments: Arc::new(Semaphore::new(ENROLMENTS)),
            each: Mutex::default(),
        })
    }

    fn share(self: &Arc<Self>, account: AccountId) -> (Share, Arc<Places>) {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        let places = each
            .entry(account)
            .or_insert_with(|| {
                Arc::new(Places::new(REQUESTS_EACH, BODIES_KIB_EACH, ANSWERS_KIB_EACH, STREAMS_EACH))
            })
            .clone();
        let account = Some((Arc::clone(self), account, Arc::clone(&places)));
        (Share { permits: Vec::new(), account }, places)
    }

    /// A place for one enrolment.
    ///
    /// # Errors
    /// [`ProblemCode::Busy`] at once if there is none.
    pub(crate) fn enrolment(&self) -> Result<Share, Problem> {
        let place = Arc::clone(&self.enrolments).try_acquire_owned().map_err(busy)?;
        Ok(Share { permits: vec![place], account: None })
    }

    /// A place for one request of `account`.
    ///
    /// # Errors
    /// [`ProblemCode::Busy`] at once if the account has too many.
    pub(crate) fn request(self: &Arc<Self>, account: AccountId) -> Result<Share, Problem> {
        let (mut share, places) = self.share(account);
        share.permits.push(Arc::clone(&places.requests).try_acquire_owned().map_err(busy)?);
        Ok(share)
    }

    /// Memory for the beginning of a body of at most `bytes` bytes; [`Self::whole_body`] adds the rest.
    ///
    /// # Errors
    /// [`ProblemCode::Busy`] after a while.
    pub(crate) async fn body(self: &Arc<Self>, account: AccountId, bytes: usize) -> Result<Share, Problem> {
        let (mut share, places) = self.share(account);
        share.permits.push(wait(&places.bodies, kib(bytes)).await?);
        share.permits.push(wait(&self.all.bodies, kib(bytes).min(FIRST_KIB)).await?);
        Ok(share)
    }

    /// Bytes that [`Self::body`] covers.
    pub(crate) fn first_bytes() -> usize {
        usize::try_from(FIRST_KIB).unwrap_or(usize::MAX).saturating_mul(1024)
    }

    /// Memory for the rest of a body of at most `bytes` bytes.
    ///
    /// # Errors
    /// [`ProblemCode::Busy`] after a while.
    pub(crate) async fn whole_body(&self, share: &mut Share, bytes: usize) -> Result<(), Problem> {
        share.permits.push(wait(&self.all.bodies, kib(bytes).saturating_sub(FIRST_KIB)).await?);
        Ok(())
    }

    /// Memory for an answer that takes `bytes` bytes while it is built. One that is larger than what an account may
    /// take has all of it.
    ///
    /// # Errors
    /// [`ProblemCode::Busy`] after a while.
    pub(crate) async fn answer(self: &Arc<Self>, account: AccountId, bytes: usize) -> Result<Share, Problem> {
        let number = kib(bytes).min(u32::try_from(ANSWERS_KIB_EACH).unwrap_or(u32::MAX));
        let (mut share, places) = self.share(account);
        share.permits.push(wait(&places.answers, number).await?);
        share.permits.push(wait(&self.all.answers, number).await?);
        Ok(share)
    }

    /// A place for one body that is sent to `account`.
    ///
    /// # Errors
    /// [`ProblemCode::Busy`] at once if there is none.
    pub(crate) fn stream(self: &Arc<Self>, account: AccountId) -> Result<Share, Problem> {
        let (mut share, places) = self.share(account);
        share.permits.push(Arc::clone(&places.streams).try_acquire_owned().map_err(busy)?);
        share.permits.push(Arc::clone(&self.all.streams).try_acquire_owned().map_err(busy)?);
        Ok(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shares_are_given_back_and_accounts_forgotten() {
        let shares = Shares::new();
        let (one, two) = (AccountId::from_bytes([1; 32]), AccountId::from_bytes([2; 32]));
        let held: Vec<Share> = (0..STREAMS_EACH).map(|_| shares.stream(one).unwrap()).collect();
        assert_eq!(shares.stream(one).unwrap_err().code, ProblemCode::Busy);
        let other = shares.stream(two).unwrap();
        let mut body = shares.body(two, 4 * 1024 * 1024).await.unwrap();
        assert_eq!(shares.all.bodies.available_permits(), BODIES_KIB - 64);
        shares.whole_body(&mut body, 4 * 1024 * 1024).await.unwrap();
        assert_eq!(shares.all.bodies.available_permits(), BODIES_KIB - 4 * 1024);
        drop(held);
        assert_eq!(shares.each.lock().unwrap().keys().collect::<Vec<_>>(), [&two]);
        drop((other, body));
        assert!(shares.each.lock().unwrap().is_empty());
        assert_eq!(shares.all.streams.available_permits(), STREAMS);
        assert_eq!(shares.all.bodies.available_permits(), BODIES_KIB);
    }

    /// However many bodies have begun, the largest one can still be received whole.
    #[test]
    fn begun_bodies_leave_room_for_a_whole_one() {
        let begun = crate::router::MAX_REQUESTS * usize::try_from(FIRST_KIB).unwrap();
        assert!(begun + vault_proto::wire::MAX_DETAILS / 1024 <= BODIES_KIB);
    }
}
