//! Where a recording's plaintext comes from: a file, or a stream of unknown length.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use vault_core::payload::PayloadSealer;
use vault_proto::geometry::PART_PLAINTEXT;
use vault_proto::ids::Digest;
use zeroize::Zeroizing;

use super::journal::SourceFile;
use crate::error::ClientError;
use crate::media_type::PROBE;

/// A source that is read part by part, hashed on the way.
pub(crate) struct Input {
    reader: Box<dyn Read + Send>,
    file: Option<SourceFile>,
    hash: Sha256,
    start: Vec<u8>,
    /// A part that was read ahead, to know whether the one before it was the last.
    ahead: Option<Vec<u8>>,
}

impl Input {
    /// Opens a file, or standard input.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, ClientError> {
        let Some(path) = path else {
            return Ok(Self::new(Box::new(io::stdin()), None));
        };
        let open = || {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a folder"));
            }
            let modified = metadata
                .modified()?
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            let source = metadata.is_file().then_some(SourceFile {
                path: path.canonicalize()?,
                length: metadata.len(),
                modified: (modified.as_secs(), modified.subsec_nanos()),
            });
            Ok(Self::new(Box::new(file), source))
        };
        open().map_err(|error: io::Error| {
            ClientError::Source(io::Error::new(
                error.kind(),
                format!("{}: {error}", path.display()),
            ))
        })
    }

    pub(crate) fn new(reader: Box<dyn Read + Send>, file: Option<SourceFile>) -> Self {
        Self {
            reader,
            file,
            hash: Sha256::new(),
            start: Vec::new(),
            ahead: None,
        }
    }

    /// The file, unless it is a stream.
    pub(crate) const fn file(&self) -> Option<&SourceFile> {
        self.file.as_ref()
    }

    /// Bytes of the file.
    pub(crate) fn length(&self) -> Option<u64> {
        self.file.as_ref().map(|file| file.length)
    }

    /// First bytes that were read, at most [`PROBE`].
    pub(crate) fn start(&self) -> &[u8] {
        &self.start
    }

    /// SHA-256 of all that was handed out.
    pub(crate) fn sha256(&self) -> Digest {
        Digest::from_bytes(self.hash.clone().finalize().into())
    }

    /// Whether nothing more will come.
    pub(crate) fn at_end(&mut self) -> Result<bool, ClientError> {
        if self.ahead.is_none() {
            self.ahead = Some(self.read_part()?);
        }
        Ok(self.ahead.as_ref().is_none_or(Vec::is_empty))
    }

    /// The next part, and whether the source ends with it. A part is short only if it does.
    pub(crate) fn next_part(&mut self) -> Result<(Vec<u8>, bool), ClientError> {
        let part = match self.ahead.take() {
            Some(part) => part,
            None => self.read_part()?,
        };
        let last = part.len() < PART_PLAINTEXT || {
            let next = self.read_part()?;
            let ends = next.is_empty();
            self.ahead = Some(next);
            ends
        };
        self.take(&part);
        Ok((part, last))
    }

    /// Reads past the first `bytes` without handing them out, and gives their SHA-256.
    pub(crate) fn skip(&mut self, bytes: u64) -> Result<Digest, ClientError> {
        let mut buffer = Zeroizing::new(vec![0; PART_PLAINTEXT]);
        let mut left = bytes;
        while left > 0 {
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let Some(place) = buffer.get_mut(..wanted) else {
                break;
            };
            let read = self.reader.read(place).map_err(ClientError::Source)?;
            if read == 0 {
                break;
            }
            let taken = place.get(..read).unwrap_or_default().to_vec();
            self.take(&taken);
            left -= read as u64;
        }
        Ok(self.sha256())
    }

    fn take(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        if self.start.len() < PROBE {
            self.start.extend(bytes.iter().take(PROBE - self.start.len()));
        }
    }

    /// Fills one part as far as the source gives, into a buffer that it can be sealed in.
    fn read_part(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut part = PayloadSealer::part_buffer();
        let limit = PART_PLAINTEXT as u64;
        self.reader
            .by_ref()
            .take(limit)
            .read_to_end(&mut part)
            .map_err(ClientError::Source)?;
        Ok(part)
    }
}
