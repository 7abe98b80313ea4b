//! Why a machine could not read or write something, as data.

/// Why something of a machine, such as a record, a file or a device, could not be read or written.
///
/// Whoever carries out effects makes one of whatever the machine says: of an error of the operating system, or of a
/// `DOMException`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct IoFailure {
    /// Of what kind it is, which decides what a person is told to do next.
    pub kind: IoFailureKind,
    /// What the machine says, in a few words that begin small and end without a full stop.
    pub reason: String,
}

/// The kinds that a person can do something else about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoFailureKind {
    /// There is no room left, on the disk or in what this user or this site may take of it.
    Full,
    /// There is room, and not for a file as large as this one.
    TooLarge,
    /// This user or this site may not.
    NotPermitted,
    /// Nobody may: it can only be read.
    ReadOnly,
    /// It is there, and is not what was written.
    Damaged,
    /// It is not there.
    NotFound,
    /// Something of that name is there already.
    Exists,
    /// It is a folder, and a file is needed.
    IsFolder,
    /// Whoever read what was written reads no more.
    ReaderGone,
    /// Anything else.
    Other,
}

impl IoFailure {
    /// A failure of a kind, with what the machine says.
    pub fn new(kind: IoFailureKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    /// Whether nothing can be written there as things are: nobody may, or not this user.
    pub const fn is_refusal_to_write(&self) -> bool {
        matches!(self.kind, IoFailureKind::ReadOnly | IoFailureKind::NotPermitted)
    }
}
