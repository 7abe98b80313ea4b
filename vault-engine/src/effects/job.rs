//! Work for the processor, as something that can be handed to a thread.

use std::any::Any;
use std::fmt;

/// Work that needs nothing but the processor. It may be done on any thread, or at once.
pub struct Job(Box<dyn FnOnce() -> JobDone + Send>);

/// What came of a [`Job`]; only who made the job can look at it.
pub struct JobDone(Box<dyn Any + Send>);

impl Job {
    pub(super) fn new<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self(Box::new(move || JobDone(Box::new(work()))))
    }

    /// Does the work.
    #[must_use]
    pub fn perform(self) -> JobDone {
        (self.0)()
    }
}

impl JobDone {
    /// `None` if it is of another job.
    pub(super) fn result<T: 'static>(self) -> Option<T> {
        self.0.downcast().ok().map(|result| *result)
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

impl fmt::Debug for JobDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobDone")
    }
}
