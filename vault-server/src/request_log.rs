//! What the log says of requests: a line for each of somebody known, and of everything that a flood could fill a disk
//! with a sum, at most two lines a minute for each kind.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vault_proto::problem::ProblemCode;

/// Something that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    /// A request of somebody whom nobody knows, and what it was refused with, if it was.
    Unknown(Option<ProblemCode>),
    /// A request of somebody known that found the server without room or time.
    NoRoom(ProblemCode),
    /// A connection that was closed because all were taken.
    ClosedForAnother,
    /// A connection that the system refused.
    NotAccepted,
}

#[derive(Debug)]
struct Tally {
    number: u64,
    written: Instant,
}

/// The log of one server.
#[derive(Debug)]
pub(crate) struct RequestLog {
    /// The shortest time from one sum to the next.
    every: Duration,
    tallies: Mutex<HashMap<Counted, Tally>>,
}

/// Whether the caller of a request turned out to be somebody known. Copies are of the same request.
#[derive(Debug, Clone, Default)]
pub(crate) struct IsKnown(Arc<AtomicBool>);

impl IsKnown {
    /// The request is signed by a key of an enrolled account.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Writes sums regularly, until it is dropped.
pub(crate) struct Sums(JoinHandle<()>);

impl Drop for Sums {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RequestLog {
    pub(crate) fn new(every: Duration) -> Arc<Self> {
        Arc::new(Self { every, tallies: Mutex::default() })
    }

    /// Begins to write what was counted since the last line of its kind.
    pub(crate) fn start(self: &Arc<Self>) -> Sums {
        let log = Arc::clone(self);
        Sums(tokio::spawn(async move {
            loop {
                tokio::time::sleep(log.every).await;
                log.write(false);
            }
        }))
    }

    /// Writes whatever was counted and is in no line yet.
    pub(crate) fn finish(&self) {
        self.write(true);
    }

    fn write(&self, all: bool) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        for (counted, tally) in &mut *tallies {
            if tally.number > 0 && (all || tally.written.elapsed() >= self.every) {
                tally.write(*counted);
            }
        }
    }

    /// Counts something. The first for a while is in the log at once.
    pub(crate) fn count(&self, counted: Counted) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_first = false;
        let tally = tallies.entry(counted).or_insert_with(|| {
            is_first = true;
            Tally { number: 0, written: Instant::now() }
        });
        tally.number = tally.number.saturating_add(1);
        if is_first || tally.written.elapsed() >= self.every {
            tally.write(counted);
        }
    }

    /// Puts into the log how a request ended. What failed inside the server is there already, with its reason.
    pub(crate) fn answered(
        &self,
        span: &tracing::Span,
        known: &IsKnown,
        status: StatusCode,
        problem: Option<ProblemCode>,
        since: Instant,
    ) {
        match problem {
            problem if !known.get() => self.count(Counted::Unknown(problem)),
            Some(problem @ (ProblemCode::Busy | ProblemCode::StorageFull)) => {
                self.count(Counted::NoRoom(problem));
            }
            problem => span.in_scope(|| {
                let (code, latency_ms) = (problem.map(|code| code.code()), since.elapsed().as_millis());
                tracing::info!(status = status.as_u16(), code, latency_ms, "answered");
            }),
        }
    }
}

impl Tally {
    fn write(&mut self, counted: Counted) {
        let (number, seconds) = (self.number, self.written.elapsed().as_secs());
        match counted {
            Counted::Unknown(problem) => {
                let code = problem.map(|code| code.code());
                tracing::info!(number, seconds, code, "requests of unknown callers");
            }
            Counted::NoRoom(problem) => {
                tracing::warn!(
                    number,
                    seconds,
                    code = problem.code(),
                    "requests were refused for want of room"
                );
            }
            Counted::ClosedForAnother => {
                tracing::warn!(number, seconds, "all connections were taken; some were closed for others");
            }
            Counted::NotAccepted => {
                tracing::error!(number, seconds, "connections could not be accepted");
            }
        }
        *self = Self { number: 0, written: Instant::now() };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Lines that were written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_flood_is_refused_with_is_summed_up() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let log = RequestLog::new(Duration::from_secs(3600));
            let (stranger, known) = (IsKnown::default(), IsKnown::default());
            known.set();
            let answered = |known: &IsKnown, status, problem| {
                log.answered(&tracing::Span::none(), known, status, problem, Instant::now());
            };
            for _ in 0..1000 {
                answered(&stranger, StatusCode::UNAUTHORIZED, Some(ProblemCode::UnknownKey));
                answered(&known, StatusCode::SERVICE_UNAVAILABLE, Some(ProblemCode::Busy));
                answered(&known, StatusCode::INSUFFICIENT_STORAGE, Some(ProblemCode::StorageFull));
            }
            answered(&known, StatusCode::OK, None);
            answered(&known, StatusCode::NOT_FOUND, Some(ProblemCode::NotFound));
            log.write(false);
            log.finish();
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let with =
            |words: &[&str]| text.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
        assert_eq!(text.lines().count(), 8, "{text}");
        for number in ["number=1 ", "number=999 "] {
            assert_eq!(with(&["INFO", number, "unknown callers", "unknown-key"]), 1, "{text}");
            assert_eq!(with(&["WARN", number, "want of room", "busy"]), 1, "{text}");
            assert_eq!(with(&["WARN", number, "want of room", "storage-full"]), 1, "{text}");
        }
        assert_eq!((with(&["INFO", "status=200"]), with(&["INFO", "status=404"])), (1, 1), "{text}");
    }
}
