//! Bodies of answers, whose memory and places are given back when their last byte has left, and whose connection is
//! closed when nobody takes them.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::shares::Share;
use crate::blob::{BlobError, BodyReader};
use crate::connections::Connection;
use crate::problem::Problem;

/// Bytes that are read ahead of a reader's network. Few, so that whoever asks for something small does not wait long
/// behind the pieces of those who read much; a single reader is not slower by it (docs/BENCHMARKS.md).
const PIECE: u64 = 64 * 1024;

/// An answer that is being sent: what it holds, and the watch over its reader.
struct Outgoing {
    progress: Arc<Notify>,
    watch: AbortHandle,
    /// The request is in progress until the last byte has left.
    _connection: Option<Connection>,
    _share: Share,
}

impl Outgoing {
    fn new(share: Share, connection: Option<Connection>, stall_time: Duration) -> Arc<Self> {
        let progress = Arc::new(Notify::new());
        let (watched, closing) = (Arc::clone(&progress), connection.clone());
        // Apart from the body: nobody asks a body for more while its reader stands still.
        let watch = tokio::spawn(async move {
            while timeout(stall_time, watched.notified()).await.is_ok() {}
            if let Some(connection) = closing {
                connection.close();
            }
        });
        Arc::new(Self { progress, watch: watch.abort_handle(), _connection: connection, _share: share })
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Bytes on their way out: as long as they take memory, their answer counts.
struct Piece {
    bytes: Vec<u8>,
    outgoing: Arc<Outgoing>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.outgoing.progress.notify_one();
    }
}

/// Sends bytes that are in memory as a whole.
pub(crate) fn whole(
    bytes: Vec<u8>,
    share: Share,
    connection: Option<Connection>,
    stall_time: Duration,
) -> Body {
    let outgoing = Outgoing::new(share, connection, stall_time);
    let rest = Bytes::from_owner(Piece { bytes, outgoing: Arc::clone(&outgoing) });
    Body::from_stream(try_unfold((rest, outgoing), |(mut rest, outgoing)| async move {
        outgoing.progress.notify_one();
        let length = rest.len().min(usize::try_from(PIECE).unwrap_or(usize::MAX));
        if length == 0 {
            return Ok::<_, BoxError>(None);
        }
        let piece = rest.split_to(length);
        Ok(Some((piece, (rest, outgoing))))
    }))
}

/// Sends a range of a stored body; reads the next piece, on a thread that `threads` gives, only when the one before was
/// taken.
pub(crate) fn in_pieces<T, H>(
    reader: Box<dyn BodyReader>,
    range: Range<u64>,
    share: Share,
    threads: impl Fn() -> T + Send + 'static,
    connection: Option<Connection>,
    stall_time: Duration,
) -> Body
where
    T: Future<Output = Result<H, Problem>> + Send,
    H: Send + 'static,
{
    let outgoing = Outgoing::new(share, connection, stall_time);
    let state = (reader, range, outgoing, threads);
    Body::from_stream(try_unfold(state, |(reader, range, outgoing, threads)| async move {
        outgoing.progress.notify_one();
        let length = PIECE.min(range.end - range.start);
        if length == 0 {
            return Ok(None);
        }
        let at = range.start;
        let thread = threads().await.map_err(|_| io::Error::from(io::ErrorKind::ResourceBusy))?;
        let (reader, bytes) = tokio::task::spawn_blocking(move || {
            let bytes = usize::try_from(length)
                .map_err(|_| BlobError::NotFound)
                .and_then(|length| reader.read_at(at, length));
            drop(thread);
            (reader, bytes)
        })
        .await?;
        let bytes = bytes.inspect_err(|error| tracing::error!(%error, "a body could not be read"))?;
        let piece = Bytes::from_owner(Piece { bytes, outgoing: Arc::clone(&outgoing) });
        Ok::<_, BoxError>(Some((piece, (reader, at + length..range.end, outgoing, threads))))
    }))
}
