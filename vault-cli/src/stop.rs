//! Asking a command that records to come to its end.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

const DEAF: u8 = 0;
const LISTENING: u8 = 1;
const ASKED: u8 = 2;

/// A request to stop, for a command that listens for it.
#[derive(Default)]
pub(crate) struct Stop {
    state: AtomicU8,
    asked: Notify,
}

impl Stop {
    /// Asks the command to stop. `false` if it does not listen, or was asked before.
    pub(crate) fn ask(&self) -> bool {
        let listening =
            self.state.compare_exchange(LISTENING, ASKED, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if listening {
            self.asked.notify_one();
        }
        listening
    }

    /// Listens from now on, and waits until it is asked.
    pub(crate) async fn asked(&self) {
        let _ = self.state.compare_exchange(DEAF, LISTENING, Ordering::AcqRel, Ordering::Acquire);
        self.asked.notified().await;
    }
}
