//! A track as [`Read`] and [`Seek`], for what knows nothing else.

use std::io::{self, Read, Seek, SeekFrom};

use tokio::runtime::Handle;
use vault_engine::ClientError;
use vault_engine::opening::track::{RemoteTrack, TrackReader};

/// A track as [`Read`] and [`Seek`], for threads that may wait: each read blocks until the part is there. Must not be
/// used on a thread that runs asynchronous tasks.
pub struct BlockingReader {
    reader: TrackReader,
    runtime: Handle,
}

impl BlockingReader {
    /// Reads `track` from its start; `runtime` does the fetching.
    pub fn new(track: RemoteTrack, runtime: Handle) -> Self {
        Self { reader: track.reader(0), runtime }
    }
}

/// A failure as an I/O error, so that it passes through [`Read`]; its source is the [`ClientError`].
fn failed(error: ClientError) -> io::Error {
    let kind = match &error {
        ClientError::Open(_) => io::ErrorKind::InvalidData,
        ClientError::Unreachable { .. } => io::ErrorKind::NotConnected,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl Read for BlockingReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let _runtime = self.runtime.enter();
        let bytes = self.runtime.block_on(self.reader.next(out.len())).map_err(failed)?;
        let taken = bytes.len().min(out.len());
        let (Some(from), Some(to)) = (bytes.get(..taken), out.get_mut(..taken)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        Ok(taken)
    }
}

impl Seek for BlockingReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.reader.track().length().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.reader.position().checked_add_signed(offset),
        };
        let position = target.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a position before the start of the recording")
        })?;
        self.reader.seek(position);
        Ok(position)
    }
}
