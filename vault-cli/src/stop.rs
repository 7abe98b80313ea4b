//! Ctrl-C, and what asks a program to end as politely: a command that ends by itself when it is asked gets the chance
//! to, any other is dropped, and whoever asks twice waits for nothing.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// How long a command that is dropped may take to let go. One that is in the middle of something that cannot be
/// dropped, as a write to a reader that has stalled, is left behind then; what it writes aside has no name yet.
pub(crate) const GRACE: Duration = Duration::from_millis(500);

const DEAF: u8 = 0;
const LISTENING: u8 = 1;
const ASKED: u8 = 2;

/// A request to stop.
#[derive(Default)]
pub(crate) struct Stop {
    state: AtomicU8,
    asked: Notify,
    dropped: Notify,
}

impl Stop {
    /// Asks the command to stop. `false` if it does not listen, or was asked before: then it is dropped.
    pub(crate) fn ask(&self) -> bool {
        let listening =
            self.state.compare_exchange(LISTENING, ASKED, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if listening {
            self.asked.notify_one();
        } else {
            self.dropped.notify_one();
        }
        listening
    }

    /// Listens from now on, and waits until it is asked.
    pub(crate) async fn asked(&self) {
        let _ = self.state.compare_exchange(DEAF, LISTENING, Ordering::AcqRel, Ordering::Acquire);
        self.asked.notified().await;
    }

    /// Waits until the command is to be dropped.
    pub(crate) async fn dropped(&self) {
        self.dropped.notified().await;
    }
}

/// Signals that ask for an end, from the moment this is made: none that comes later is missed.
pub(crate) struct Signals {
    #[cfg(unix)]
    signals: Vec<tokio::signal::unix::Signal>,
}

impl Signals {
    /// Listens for Ctrl-C, a terminal that is closed, and a polite request to stop.
    #[cfg(unix)]
    pub(crate) fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        // A file that may not grow (`ulimit -f`) is a full disk to whoever writes it, and not the end of the program.
        let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        // What cannot be listened for ends the program as it does any other.
        Self { signals: kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect() }
    }

    /// Waits for the next one.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) {
        let next = std::future::poll_fn(|context| {
            let any = self.signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if any { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        });
        next.await;
    }

    /// Listens for Ctrl-C.
    #[cfg(not(unix))]
    pub(crate) fn listen() -> Self {
        Self {}
    }

    /// Waits for the next one.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
