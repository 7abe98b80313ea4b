//! Looks for leftovers of crashes in the background: once at the start, then daily.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::ops::Vault;
use crate::ops::orphans::{Collection, collect};

/// Time between two searches.
const PAUSE: Duration = Duration::from_secs(24 * 60 * 60);
/// Rest after each recording, so that a search never keeps a disk busy that somebody else needs.
const REST: Duration = Duration::from_millis(2);

/// The search, until it is stopped.
pub(crate) struct Collector {
    stopping: Arc<AtomicBool>,
    wake: Arc<Notify>,
    task: JoinHandle<()>,
}

/// The time before which a file without a row is a leftover.
pub(crate) fn before(grace: Duration) -> SystemTime {
    SystemTime::now().checked_sub(grace).unwrap_or(UNIX_EPOCH)
}

pub(crate) fn start(
    vault: Arc<Vault>,
    grace: Duration,
    collected: Box<dyn Fn(Collection) + Send + Sync>,
) -> Collector {
    let (stopping, wake) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let (asked, woken) = (Arc::clone(&stopping), Arc::clone(&wake));
    let task = tokio::spawn(async move {
        loop {
            let (vault, asked) = (Arc::clone(&vault), Arc::clone(&asked));
            let search = tokio::task::spawn_blocking(move || {
                collect(&vault, before(grace), &|| {
                    std::thread::sleep(REST);
                    !asked.load(Ordering::Relaxed)
                })
            });
            match search.await {
                Ok(Ok(done)) => {
                    if done.removed > 0 || done.failed > 0 {
                        tracing::info!(?done, "looked for leftovers of crashes");
                    }
                    collected(done);
                }
                Ok(Err(error)) => tracing::warn!(%error, "leftovers of crashes could not be looked for"),
                Err(error) => tracing::warn!(%error, "leftovers of crashes could not be looked for"),
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = woken.notified() => break,
            }
        }
    });
    Collector { stopping, wake, task }
}

impl Collector {
    /// Ends the search after the recording it is at.
    pub(crate) async fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.wake.notify_one();
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the search for leftovers did not end as it should");
        }
    }
}
