//! Making a browser's recording seekable (FORMAT.md, "Seek index").
//!
//! What a browser's MediaRecorder hands out tells neither how long it is nor where in it a moment lies. A [`SeekIndexer`] finds both
//! out while the bytes pass by; what it found, a [`SeekIndex`], is sealed with the recording's details; a [`SeekableLayout`] puts
//! a new head in front of the clusters, which stay as they are. Nothing is encoded again.
//!
//! Matroska is specified in RFC 9559, EBML in RFC 8794. Other containers yield no index.

mod ebml;
mod indexer;
mod seek_index;

pub use self::indexer::{Indexed, SeekIndexer};
pub use self::seek_index::{SeekIndex, SeekableLayout};
