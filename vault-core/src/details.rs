//! The sealed details of a recording: what only its readers may know about it (FORMAT.md, "Details").

use serde::{Deserialize, Serialize};
use vault_proto::timestamp::Timestamp;

/// Most characters of a title that is sealed; what a person types is longer only by accident.
pub const MAX_TITLE: usize = 10_000;

/// One track of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Number by which its segments name it.
    pub track: u8,
    /// Media type, such as `video/webm`.
    pub media_type: String,
    /// Plaintext bytes.
    pub bytes: u64,
    /// Playing time in milliseconds, where the sealing device knew it.
    pub duration_ms: Option<u64>,
}

/// The details. A reader ignores fields it does not know: they are authenticated, and newer sealers add some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// Title, as its sealer typed it: any characters, so it is made harmless before it is shown or names a file.
    pub title: Option<String>,
    /// When the consultation began, by the sealing device's clock.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Its tracks.
    pub tracks: Vec<Track>,
}
