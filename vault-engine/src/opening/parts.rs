//! Single parts of a remote recording: fetched, checked, opened (FORMAT.md, "Opening").

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future;
use vault_core::opening::{Opening, PartOpener};
use vault_proto::geometry::{MAX_PART, MAX_PARTS};
use vault_proto::ids::RecordingId;
use vault_proto::recording::{ProvenSegment, Refusal};
use vault_proto::sealed_header::MAX_SEALED_HEADER;
use vault_proto::wire;
use zeroize::Zeroizing;

use crate::effects::Effects;
use crate::error::ClientError;
use crate::server::connection::Connection;

/// A segment whose header and part list were fetched and checked.
pub struct StartedSegment {
    /// Its header, as the server has it.
    pub header: Bytes,
    /// Its part hash list; of a segment that was never sealed it may be longer than what is proved.
    pub hashes: Bytes,
    /// Opens its parts.
    pub opener: PartOpener,
    /// Part 0, still sealed: it was fetched for the payload nonce in it.
    pub first: Vec<u8>,
}

/// Fetches what a segment begins with, and prepares to open its parts.
pub async fn start_segment(
    connection: &Connection,
    opening: &Opening<'_>,
    proven: &ProvenSegment,
) -> Result<StartedSegment, ClientError> {
    let recording = opening.recording().manifest().recording;
    let (header_path, parts_path) =
        (wire::path::header(&recording, proven.index), wire::path::parts(&recording, proven.index));
    let no_header = || format!("the header of segment {}", proven.index);
    let no_list = || format!("the list of parts of segment {}", proven.index);
    // All that a segment begins with is here before a key is touched: the server cannot see which header opens.
    let (header, hashes, first) = future::join3(
        stored(connection, &header_path, MAX_SEALED_HEADER, no_header),
        stored(connection, &parts_path, 32 * MAX_PARTS as usize, no_list),
        fetch_part(connection, &recording, proven, 0),
    )
    .await;
    let (header, hashes, first) = (header?, hashes?, first?);
    let opener = opening.segment(proven, &header, &hashes)?.start(&first)?;
    Ok(StartedSegment { header, hashes, opener, first })
}

/// Fetches a part of a segment, sealed as it is. Whatever comes has to be checked by [`open_part`].
///
/// # Errors
/// [`ClientError::Open`] if the server does not have it, or what the server says.
pub async fn fetch_part(
    connection: &Connection,
    recording: &RecordingId,
    proven: &ProvenSegment,
    part: u32,
) -> Result<Vec<u8>, ClientError> {
    let first = proven.shape.part_offset(part);
    let last = first + proven.shape.part_length(part).saturating_sub(1);
    let path = wire::path::body(recording, proven.index);
    // Whatever comes is checked against the signed hash; only its size is limited here.
    let body = connection.get_stored(&path, Some((first, last)), MAX_PART).await?;
    Ok(body.ok_or_else(|| missing(&format!("segment {}, part {part}", proven.index)))?.into())
}

/// Fetches what a recording whose statements were served must have.
pub async fn stored(
    connection: &Connection,
    path: &str,
    limit: usize,
    what: impl FnOnce() -> String,
) -> Result<Bytes, ClientError> {
    let body = connection.get_stored(path, None, limit).await?;
    body.ok_or_else(|| missing(&what()))
}

/// The statements prove that it was there; a server that hands them out and not this has lost it, or keeps it back.
fn missing(what: &str) -> ClientError {
    Refusal::Damaged(format!("the server does not have {what}")).into()
}

/// Checks a part against what was signed, and opens it on a thread of its own.
///
/// # Errors
/// [`ClientError::Open`] if it is not the part that was sealed.
pub async fn open_part(
    effects: &Effects,
    opener: &Arc<PartOpener>,
    part: u32,
    ciphertext: Vec<u8>,
) -> Result<Zeroizing<Vec<u8>>, ClientError> {
    let opener = Arc::clone(opener);
    Ok(effects.run(move || opener.open(part, ciphertext).map(Zeroizing::new)).await??)
}
