//! A file that is sealed: what it was when it was opened, and reading it on from where an upload was interrupted.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use vault_core::webm::SeekIndexer;
use vault_proto::geometry::PART_PLAINTEXT;
use vault_proto::ids::Digest;
use zeroize::Zeroizing;

use super::journal::SourceFile;
use crate::error::ClientError;

/// A file, or something by a file's name that is none.
pub(super) struct Source {
    file: File,
    facts: Option<SourceFile>,
    hash: Sha256,
}

impl Source {
    /// Opens a file by its name.
    pub(super) fn open(path: &Path) -> Result<Self, ClientError> {
        let open = || {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a folder"));
            }
            let modified = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let facts = metadata.is_file().then_some(SourceFile {
                path: path.canonicalize()?,
                length: metadata.len(),
                modified: (modified.as_secs(), modified.subsec_nanos()),
            });
            Ok(Self { file, facts, hash: Sha256::new() })
        };
        open().map_err(|error: io::Error| {
            ClientError::Source(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        })
    }

    /// What it was; `None` if it is a pipe or a device.
    pub(super) const fn file(&self) -> Option<&SourceFile> {
        self.facts.as_ref()
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> Option<u64> {
        self.facts.as_ref().map(|file| file.length)
    }

    /// Reads past the first `bytes`, which `indexer` sees too, and gives their SHA-256.
    pub(super) fn skip(&mut self, bytes: u64, indexer: &mut SeekIndexer) -> Result<Digest, ClientError> {
        let mut buffer = Zeroizing::new(vec![0; PART_PLAINTEXT]);
        let mut left = bytes;
        while left > 0 {
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let Some(place) = buffer.get_mut(..wanted) else {
                break;
            };
            let read = self.file.read(place).map_err(ClientError::Source)?;
            if read == 0 {
                break;
            }
            let piece = place.get(..read).unwrap_or_default();
            self.hash.update(piece);
            indexer.push(piece);
            left -= read as u64;
        }
        Ok(Digest::from_bytes(self.hash.clone().finalize().into()))
    }

    /// What the hash of the whole goes on from, after [`Self::skip`].
    pub(super) fn hash(&self) -> Sha256 {
        self.hash.clone()
    }
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.file.read(out)
    }
}
