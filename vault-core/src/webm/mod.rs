//! Making a browser's recording seekable (FORMAT.md, "Seek index").
//!
//! What a browser's MediaRecorder hands out tells neither how long it is nor where in it a moment lies. A
//! [`SeekIndexer`] finds both out while the bytes pass by; what it found, a [`SeekIndex`], is sealed with the
//! recording's details; a [`SeekableLayout`] puts a new head in front of the clusters, which stay as they are. Nothing
//! is encoded again.
//!
//! Recordings are met as they come: with a slice missing, zeros at the end, a clock that jumped, two recorders' output
//! end to end. What is not understood is passed over up to the next cluster (`beginnings.rs`), and stays where it is.
//! `parser.rs` follows the elements, `timeline.rs` the times of their blocks, `head.rs` what stands before them.
//!
//! Matroska is specified in RFC 9559, EBML in RFC 8794. Other containers yield no index.

mod beginnings;
mod ebml;
mod head;
mod indexer;
mod parser;
mod seek_index;
mod timeline;

pub use self::indexer::{Indexed, SeekIndexer};
pub use self::seek_index::{SeekIndex, SeekableLayout};
