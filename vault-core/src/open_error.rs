//! Why something of a recording is not opened (FORMAT.md, "Opening").

use vault_proto::recording::Refusal;

/// Why a recording, or a piece of it, was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Refused by a check that needs no key, or by one that does, of the same class.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The account is not a reader, or its identity not the one that the manifest names.
    #[error("this account is not a reader of this recording")]
    NotAReader,
    /// The recording's suite is not the identity's.
    #[error("the recording is sealed with suite {recording}, and this account's identity is of suite {own}")]
    OtherSuite {
        /// Suite of the recording.
        recording: &'static str,
        /// Suite of the identity.
        own: &'static str,
    },
}
