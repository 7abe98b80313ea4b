//! Moves the mark in the background: regularly, if anything was committed meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::store::Store;

/// The mover, until it is stopped.
pub(crate) struct MarkMover(JoinHandle<()>);

pub(crate) fn start(store: Arc<dyn Store>, every: Duration) -> MarkMover {
    MarkMover(tokio::spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            let store = Arc::clone(&store);
            match tokio::task::spawn_blocking(move || store.move_mark()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the mark could not be moved; what was acknowledged is stored")
                }
                Err(error) => {
                    tracing::warn!(%error, "the mark could not be moved; what was acknowledged is stored")
                }
            }
        }
    }))
}

impl MarkMover {
    /// Ends it; a move that has begun is finished by the store.
    pub(crate) fn stop(self) {
        self.0.abort();
    }
}
