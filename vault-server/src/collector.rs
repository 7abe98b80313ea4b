//! Looks for leftovers of crashes in the background: once at the start, then daily. What contradicts the index stops
//! the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::ops::Vault;
use crate::ops::leftovers::{Collection, Search, SearchError, collect};
use crate::refusal::Reason;

/// Time between two searches.
const PAUSE: Duration = Duration::from_secs(24 * 60 * 60);
/// Rest after each recording, so that a search never keeps a disk busy that somebody else needs.
const REST: Duration = Duration::from_millis(2);
/// Files that a server sets aside without being told: some crashes leave a few each, a lost index thousands.
pub const MOST_LEFTOVERS: u64 = 16;

/// The search, until it is stopped.
pub(crate) struct Collector {
    stopping: Arc<AtomicBool>,
    wake: Arc<Notify>,
    task: JoinHandle<Option<Reason>>,
}

/// The time before which a file without a row is a leftover.
pub(crate) fn before(grace: Duration) -> SystemTime {
    SystemTime::now().checked_sub(grace).unwrap_or(UNIX_EPOCH)
}

/// Begins. `refused` is told once if index and objects contradict each other.
pub(crate) fn start(
    vault: Arc<Vault>,
    grace: Duration,
    collected: Box<dyn Fn(Collection) + Send + Sync>,
    refused: Arc<Notify>,
) -> Collector {
    let (stopping, wake) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let (asked, woken) = (Arc::clone(&stopping), Arc::clone(&wake));
    let task = tokio::spawn(async move {
        loop {
            let (vault, asked) = (Arc::clone(&vault), Arc::clone(&asked));
            let search = tokio::task::spawn_blocking(move || {
                let search = Search { before: before(grace), at_most: MOST_LEFTOVERS, stop_beyond: true };
                collect(&vault, &search, &|| {
                    std::thread::sleep(REST);
                    !asked.load(Ordering::Relaxed)
                })
            });
            match search.await {
                Ok(Ok(done)) => {
                    if done != (Collection { recordings: done.recordings, ..Collection::default() }) {
                        tracing::info!(?done, "looked for leftovers of crashes");
                    }
                    collected(done);
                }
                Ok(Err(SearchError::Refused(reason))) => {
                    refused.notify_one();
                    return Some(reason);
                }
                Ok(Err(error)) => tracing::warn!(%error, "leftovers of crashes could not be looked for"),
                Err(error) => tracing::warn!(%error, "leftovers of crashes could not be looked for"),
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = woken.notified() => return None,
            }
        }
    });
    Collector { stopping, wake, task }
}

impl Collector {
    /// Ends the search after the recording it is at. Gives what the server is to be stopped for.
    pub(crate) async fn stop(self) -> Option<Reason> {
        self.stopping.store(true, Ordering::Relaxed);
        self.wake.notify_one();
        self.task.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the search for leftovers did not end as it should");
            None
        })
    }
}
