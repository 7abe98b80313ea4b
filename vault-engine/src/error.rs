//! What can go wrong for a person, one class for each thing they can do about it.

mod io_failure;
mod next_step;

use vault_core::opening::OpenError;
use vault_proto::ids::{AccountId, Digest, RecordingId};
use vault_proto::members::TrustError;
use vault_proto::problem::{Problem, ProblemCode};
use vault_proto::recording::Refusal;
use vault_proto::timestamp::Timestamp;

pub use self::io_failure::{IoFailure, IoFailureKind};
pub use self::next_step::{Next, NextStep, Piece};

/// A failure of a client operation.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// What was asked for cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is understood, and cannot be done as things are.
    #[error("{what}")]
    Declined {
        /// What stands against it.
        what: String,
        /// What to do about it.
        next: Next,
    },
    /// A recording was refused or could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The recording is cut off.
    #[error("the recording is cut off: its end is not there")]
    CutOff(Box<CutOff>),
    /// Somebody's keys cannot be trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A comparison of keys failed.
    #[error("the comparison with account {} failed: {problem}", .account.short())]
    Compare {
        /// The other account.
        account: AccountId,
        /// Why.
        problem: CompareProblem,
    },
    /// Nothing of that name, or not for this account to know.
    #[error("{0} was not found")]
    NotFound(String),
    /// A recording that the account's own list names and the server does not list any more.
    #[error("the server has listed it before, and does not any more")]
    NoLongerListed,
    /// A recording of which less is shown than was taken home before.
    #[error("the server shows less of it than it did when it was taken home")]
    ShownLess,
    /// A shortened id that fits several.
    #[error("{prefix:?} is the beginning of several: {}", .matches.join(", "))]
    Ambiguous {
        /// What was typed.
        prefix: String,
        /// What it could mean.
        matches: Vec<String>,
    },
    /// No answer from the server.
    #[error("the server at {server} cannot be reached: {reason}")]
    Unreachable {
        /// The server's address.
        server: String,
        /// Why.
        reason: String,
    },
    /// An answer that no server of this protocol gives.
    #[error("the server at {server} gave an answer that is not of the protocol: {reason}")]
    Protocol {
        /// The server's address.
        server: String,
        /// What was wrong.
        reason: String,
    },
    /// Something in front of the server takes no request with a body of that size: its operator has to let it through.
    #[error("what stands in front of the server at {server} takes no request of {bytes} bytes")]
    TooLargeForProxy {
        /// The server's address.
        server: String,
        /// Bytes of the body.
        bytes: usize,
    },
    /// The server refused.
    #[error("the server refused: {} ({})", .0.title, .0.code)]
    Refused(Box<Problem>),
    /// A recording that is not on the server to its end; says what is where.
    #[error("recording {} is not on the server to its end: {}", .0.recording, .0.reason)]
    Kept(Box<KeptRecording>),
    /// A sealed part that was kept on this machine and is not there any more, or not as it was.
    #[error("part {part} of segment {segment}, which was kept on this machine, is gone or damaged")]
    KeptPartGone {
        /// The segment.
        segment: u32,
        /// The part.
        part: u32,
    },
    /// Somebody stopped it before it was done.
    #[error("it was interrupted")]
    Interrupted,
    /// A file, a folder or a record of this machine.
    #[error("{place}: {why}")]
    Disk {
        /// Which, for a person: a path, if there are paths.
        place: String,
        /// Why.
        why: IoFailure,
    },
    /// What was opened could not be written to where the caller wants it.
    #[error("what was opened could not be written: {0}")]
    Output(IoFailure),
    /// The source of a recording could not be read; what was begun of it is not ended, and goes on when it can be read.
    #[error("the recording's source could not be read: {0}")]
    Source(IoFailure),
    /// The source of a recording failed or changed under its reader. What had been read was sealed, is on the server,
    /// and is shown as cut off: it is never called complete.
    #[error("recording {recording} was cut off after {bytes} bytes: {why}")]
    CutShort {
        /// The recording.
        recording: RecordingId,
        /// Plaintext bytes that were sealed.
        bytes: u64,
        /// What happened to its source.
        why: SourceFailure,
    },
    /// The home has no identity, certificate, server or organisation root yet.
    #[error(transparent)]
    NotSetUp(Missing),
    /// The identity file does not open.
    #[error(transparent)]
    Unlock(#[from] vault_core::identity_file::IdentityFileError),
    /// The key that signs for this device cannot be used any more.
    #[error("the key of this device is not to be had any more")]
    DeviceKeyGone,
    /// Our own mistake.
    #[error("{0}")]
    Bug(String),
}

/// What a home does not hold yet, and where that home is, for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// An account's identity.
    #[error("there is no identity in {0}")]
    Identity(String),
    /// Where the account is enrolled.
    #[error("the account in {0} is not enrolled at a server yet")]
    Enrolment(String),
    /// The account's certificate.
    #[error("this account has no certificate yet")]
    Certificate,
    /// An organisation's root.
    #[error("there is no organisation root in {0}")]
    OrganisationRoot(String),
}

/// A stretch of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// Plaintext bytes.
    pub bytes: u64,
    /// Recorded time, without pauses.
    pub recorded: std::time::Duration,
}

/// How far the end of a recording has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingEnd {
    /// It is not sealed. `resume_all` ends the recording where what is there ends, and it
    /// is shown as cut off.
    Unsealed,
    /// It is sealed, and waits on this machine for `resume_all`.
    SealedHere,
    /// The server has it; only this machine's note of it could not be written.
    OnServer,
}

/// A recording that is not on the server to its end, or whose end could not be noted on this machine.
///
/// The three stretches follow on one another and together are all that was written.
#[derive(Debug)]
pub struct KeptRecording {
    /// The recording.
    pub recording: RecordingId,
    /// How far its end has come.
    pub end: RecordingEnd,
    /// Acknowledged by the server: it opens for its readers, whatever becomes of this machine.
    pub on_server: Extent,
    /// Follows on it, and needs the home of this machine: sealed parts that lie whole and synced in the spool, and at
    /// most one that the server has and that only a seal kept here proves.
    pub kept: Extent,
    /// Neither: it could be sent to nobody and written nowhere, or follows on something that could not.
    pub lost: Extent,
    /// Why not all of it was sent or, if that is not what failed, why it could not go on.
    pub reason: ClientError,
    /// Why what was not sent could not be kept either, or why the end could not be sealed.
    pub not_kept: Option<ClientError>,
    /// What happened to its source, if that is why it ends where it does: its end says that it is cut off.
    pub cut_short: Option<SourceFailure>,
}

/// What can happen to a source while it is read.
#[derive(Debug, thiserror::Error)]
pub enum SourceFailure {
    /// It is a file, and was not left alone.
    #[error("the file changed while it was read: {0}")]
    Changed(SourceChange),
    /// It cannot be read again, and failed.
    #[error("the source could not be read to its end: {0}")]
    Unreadable(IoFailure),
}

/// How a file shows that it is not what it was when its reading began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SourceChange {
    /// Another number of bytes.
    #[error("it had {before} bytes, and {now} later")]
    Length {
        /// Bytes when its reading began.
        before: u64,
        /// Bytes that it had, or gave, later.
        now: u64,
    },
    /// It was written to: the time of its last change is another, or its bytes are although that was set back.
    #[error("it was written to")]
    Written,
    /// It does not begin with what was sealed of it before.
    #[error("it does not begin with what was sealed of it before")]
    OtherBytes,
    /// An earlier process found it changed or gone, and ended what it had sealed of it.
    #[error("that was found when it was sealed before")]
    Earlier,
}

/// Where a recording is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutOff {
    /// When it began, by the sealing device's clock.
    pub created: Timestamp,
    /// Until when it was recorded, by the same clock; `None` if no signed statement says so.
    pub until: Option<Timestamp>,
    /// When the server last stored a part of it, as the server says.
    pub last_stored: Timestamp,
    /// Plaintext bytes that can be opened.
    pub bytes: u64,
    /// Why.
    pub why: CutOffReason,
}

impl CutOff {
    /// Whether nothing of it was ever there: no bytes, and no end that this account knows of.
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0 && matches!(self.why, CutOffReason::NoEnd | CutOffReason::RestLost)
    }
}

/// Why a recording is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutOffReason {
    /// There is no end, or none that the server shows.
    NoEnd,
    /// Its sealer said that the rest was lost.
    RestLost,
    /// This very device sealed its end, the server acknowledged it, and does not show it any more.
    EndHidden {
        /// When it ended.
        ended: Timestamp,
        /// Digest of the final seal, which lies in the home.
        final_seal: Digest,
    },
    /// The server has shown its end to this account before, and does not any more.
    EndForgotten {
        /// Digest of the final seal, as the account's own list names it.
        final_seal: Digest,
    },
}

/// Why a comparison came to no result that can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompareProblem {
    /// The digits differ.
    #[error("the digits differ")]
    Unequal,
    /// This side's own values came back as the other side's.
    #[error("this side's own values were handed back as the other side's")]
    Reflected,
    /// The other side's commitment changed after this side's nonce was given out.
    #[error("the other side's commitment was replaced after this side had revealed its own value")]
    Replaced,
    /// The other side's nonce is not the one it was committed to.
    #[error("the other side's value is not the one it was committed to")]
    DoesNotOpen,
    /// The server dropped the comparison after this side's nonce was given out.
    #[error("it was begun again by the other side before it came to its end")]
    BegunAgain,
    /// Another process of this account compares with the same account.
    #[error("this account began another comparison with the same account meanwhile")]
    Elsewhere,
    /// The other side did not come, or went away.
    #[error("the other side did not answer in time")]
    TimedOut,
}

/// Whether a refusal may be gone in a moment.
pub const fn is_passing(code: ProblemCode) -> bool {
    matches!(
        code,
        ProblemCode::Internal | ProblemCode::Busy | ProblemCode::Timeout | ProblemCode::DigestMismatch
    )
}

impl ClientError {
    /// Whether what failed may go well later, without anybody changing anything here: the network, or a server that is
    /// busy, full or failing.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Protocol { .. } | Self::TooLargeForProxy { .. } => true,
            Self::Refused(problem) => match problem.known_code() {
                Some(code) => is_passing(code) || code == ProblemCode::StorageFull,
                None => problem.status >= 500,
            },
            _ => false,
        }
    }
}

impl From<Refusal> for ClientError {
    fn from(refusal: Refusal) -> Self {
        Self::Open(refusal.into())
    }
}

impl From<vault_proto::envelope::StatementError> for ClientError {
    fn from(error: vault_proto::envelope::StatementError) -> Self {
        Self::Bug(format!("a statement could not be made: {error}"))
    }
}

impl From<vault_core::sealing::SealError> for ClientError {
    fn from(error: vault_core::sealing::SealError) -> Self {
        match error {
            vault_core::sealing::SealError::OtherDevice | vault_core::sealing::SealError::Title => {
                Self::Usage(error.to_string())
            }
            other => Self::Bug(other.to_string()),
        }
    }
}
