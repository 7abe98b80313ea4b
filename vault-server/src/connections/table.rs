//! Which connections there are, and which gives way when all are taken and another comes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::time::Instant;
use vault_proto::ids::AccountId;

use crate::request_log::{Counted, RequestLog};
use crate::turns::Who;

/// Connections that an account may keep busy whoever else comes, and of which those without a request are closed no
/// sooner than those of others.
const FAIR_EACH: usize = 16;

/// All open connections.
#[derive(Debug)]
pub(super) struct Table {
    most: usize,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
    /// A connection left, or may be closed now.
    changed: Notify,
}

/// A connection's place in the table, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    table: Arc<Table>,
    number: u64,
    open: Open,
}

/// An open connection.
#[derive(Debug, Clone)]
pub(super) struct Open(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    table: Arc<Table>,
    close: Notify,
    heads: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<Use>,
}

/// What a connection is used for.
#[derive(Debug, Clone, Copy)]
struct Use {
    /// Requests in progress.
    requests: usize,
    /// Since when it has had some, or none.
    since: Instant,
    /// Whose key signed the last request that came by it.
    account: Option<AccountId>,
    /// Whether it was told to close.
    leaving: bool,
}

/// The connection that a request came by. As long as a copy lives, the request is in progress.
#[derive(Debug, Clone)]
pub(crate) struct Connection(Arc<InProgress>);

#[derive(Debug)]
struct InProgress(Open);

impl Drop for InProgress {
    fn drop(&mut self) {
        let Open(shared) = &self.0;
        let mut used = shared.used();
        used.requests = used.requests.saturating_sub(1);
        if used.requests == 0 {
            used.since = Instant::now();
            drop(used);
            shared.table.changed.notify_one();
        }
    }
}

impl Connection {
    /// Closes it at once, with everything that is being sent on it.
    pub(crate) fn close(&self) {
        let Open(shared) = &self.0.0;
        shared.close.notify_one();
    }

    /// The request is one of `account`.
    pub(crate) fn belongs_to(&self, account: AccountId) {
        let Open(shared) = &self.0.0;
        shared.used().account = Some(account);
    }

    /// Whose key signed the last request that came by it before.
    pub(crate) fn account(&self) -> Option<AccountId> {
        let Open(shared) = &self.0.0;
        shared.used().account
    }

    /// The right to have a head checked. Of those that come by one connection one is checked after the other, so many
    /// requests on one are not in the way of one on another.
    pub(crate) async fn head(&self) -> OwnedMutexGuard<()> {
        let Open(shared) = &self.0.0;
        Arc::clone(&shared.heads).lock_owned().await
    }
}

impl Shared {
    fn used(&self) -> MutexGuard<'_, Use> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// A request came by it.
    pub(super) fn request(&self) -> Connection {
        let mut used = self.0.used();
        if used.requests == 0 {
            used.since = Instant::now();
        }
        used.requests = used.requests.saturating_add(1);
        drop(used);
        Connection(Arc::new(InProgress(self.clone())))
    }

    /// Completes when it is to be closed at once.
    pub(super) async fn closed(&self) {
        self.0.close.notified().await;
    }

    /// On whose account it is served.
    pub(super) fn who(&self) -> Who {
        self.0.used().account.map_or(Who::Stranger(None), Who::Account)
    }

    /// Whether no request is in progress.
    pub(super) fn is_idle(&self) -> bool {
        self.0.used().requests == 0
    }
}

impl Place {
    pub(super) fn open(&self) -> Open {
        self.open.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.open().remove(&self.number);
        self.table.changed.notify_one();
    }
}

impl Table {
    /// A table for so many connections.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, next: AtomicU64::new(0), open: Mutex::default(), changed: Notify::new() })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection, if need be that of another.
    pub(super) async fn place(self: &Arc<Self>, log: &RequestLog) -> Place {
        loop {
            if let Some(place) = self.take() {
                return place;
            }
            if self.close_one() {
                log.count(Counted::ClosedForAnother);
            }
            self.changed.notified().await;
        }
    }

    fn take(self: &Arc<Self>) -> Option<Place> {
        let mut open = self.open();
        if open.len() >= self.most {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let state = Mutex::new(Use { requests: 0, since: Instant::now(), account: None, leaving: false });
        let shared = Shared { table: Arc::clone(self), close: Notify::new(), heads: Arc::default(), state };
        let connection = Open(Arc::new(shared));
        open.insert(number, connection.clone());
        drop(open);
        Some(Place { table: Arc::clone(self), number, open: connection })
    }

    /// Tells one to close. Strangers' go first: the one that has been without a request longest, and if all have one,
    /// the one whose request takes longest. Only if no stranger has any, it is one of somebody known: one without a
    /// request, of an account that has many before any other; else one of the account that keeps most of them busy.
    /// `false` if nobody has more than a fair number, or one is about to leave already.
    fn close_one(&self) -> bool {
        let open = self.open();
        let uses: Vec<(&Open, Use)> = open.values().map(|open| (open, *open.0.used())).collect();
        if uses.iter().any(|(_, used)| used.leaving) {
            return false;
        }
        let (mut all, mut busy) = (HashMap::new(), HashMap::new());
        for (account, used) in uses.iter().filter_map(|(_, used)| Some((used.account?, used))) {
            *all.entry(account).or_insert(0_usize) += 1;
            *busy.entry(account).or_insert(0_usize) += usize::from(used.requests > 0);
        }
        let most = busy.iter().filter(|(_, number)| **number > FAIR_EACH).max_by_key(|(_, number)| **number);
        let most = most.map(|(account, _)| *account);
        let has_many = |account: AccountId| all.get(&account).is_some_and(|number| *number > FAIR_EACH);
        let rank = |used: &Use| match (used.account, used.requests) {
            (None, 0) => Some(0),
            (None, _) => Some(1),
            (Some(account), 0) if has_many(account) => Some(2),
            (Some(_), 0) => Some(3),
            (account, _) if account == most => Some(4),
            (Some(_), _) => None,
        };
        let chosen = uses
            .iter()
            .filter_map(|(open, used)| Some(((rank(used)?, used.since), *open)))
            .min_by_key(|(order, _)| *order);
        let Some((_, Open(shared))) = chosen else {
            return false;
        };
        shared.used().leaving = true;
        shared.close.notify_one();
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn account(seed: u8) -> AccountId {
        AccountId::from_bytes([seed; 32])
    }

    /// Puts a request of `account` on a connection; as long as it is kept, it is in progress.
    fn request(place: &Place, account: Option<AccountId>) -> Connection {
        let request = place.open.request();
        if let Some(account) = account {
            request.belongs_to(account);
        }
        request
    }

    #[tokio::test]
    async fn strangers_go_first_then_idle_ones_then_who_has_most() {
        let log = RequestLog::new(Duration::from_secs(3600));
        let table = Table::new(27);
        let busy = |account| {
            let place = table.take().unwrap();
            (request(&place, account), place)
        };
        let of_one: Vec<_> = (0..17).map(|_| busy(Some(account(1)))).collect();
        let of_two: Vec<_> = (0..5).map(|_| busy(Some(account(2)))).collect();
        // These have no request in progress, and the one of somebody known for longest.
        let (known, idle, one_of_many) =
            (table.take().unwrap(), table.take().unwrap(), table.take().unwrap());
        drop((request(&known, Some(account(2))), request(&one_of_many, Some(account(1)))));
        let (first, second) = (busy(None), busy(None));
        assert!(table.take().is_none());
        // Whoever comes gets the place of `leaves`, and keeps it with a request.
        let next = async |leaves: Place, newcomer| {
            assert!(table.close_one());
            assert!(leaves.open.0.used().leaving);
            assert!(!table.close_one(), "for one that comes one goes");
            drop(leaves);
            let place = table.place(&log).await;
            (request(&place, Some(newcomer)), place)
        };
        let _third = next(idle, account(3)).await;
        let _fourth = next(first.1, account(4)).await;
        let _fifth = next(second.1, account(5)).await;
        let _sixth = next(one_of_many, account(6)).await;
        let _seventh = next(known, account(7)).await;
        let mut of_one = of_one.into_iter();
        let _eighth = next(of_one.next().unwrap().1, account(8)).await;
        assert!(!table.close_one(), "nobody has more than a fair number, and all are at work");
        drop((of_one, of_two));
    }
}
