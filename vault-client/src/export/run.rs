//! One run of an export: what all its steps share, and what they hand on.

use std::sync::{Mutex, PoisonError};

use vault_engine::Session;
use vault_proto::recording_list::Shown;

use super::folder::ExportFolder;
use vault_export::ExportedRecording;
use vault_export::sums::Sums;

/// How far an export has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportEvent {
    /// What there is, and what of it has to be fetched.
    Listed {
        /// Recordings of the export.
        recordings: usize,
        /// How many of these are there already.
        kept: usize,
        /// Bytes of the others.
        bytes: u64,
    },
    /// More bytes were fetched, checked and written.
    Fetched {
        /// How many.
        bytes: u64,
    },
}

/// One run.
pub(super) struct Run<'a> {
    pub(super) session: &'a Session,
    pub(super) folder: ExportFolder,
    pub(super) progress: Mutex<&'a mut (dyn FnMut(ExportEvent) + Send)>,
}

impl Run<'_> {
    /// Tells that more was fetched.
    pub(super) fn advance(&self, bytes: u64) {
        self.tell(ExportEvent::Fetched { bytes });
    }

    pub(super) fn tell(&self, event: ExportEvent) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        (**progress)(event);
    }
}

/// A recording that is in the export.
pub(super) struct Present {
    /// Its files, by their path in the export.
    pub(super) sums: Sums,
    /// What a person is told of it; only of what was opened.
    pub(super) described: Option<ExportedRecording>,
    /// Whether it was begun and nothing was recorded.
    pub(super) empty: bool,
    /// What the server showed of it, if it was fetched just now.
    pub(super) shown: Option<Shown>,
}
