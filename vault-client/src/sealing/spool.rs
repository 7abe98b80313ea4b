//! Sealed parts that wait on this machine's disk until the server can be reached again.
//!
//! What lies here is ciphertext under a file key that only the recording's readers can unwrap: not even this device can
//! open it once the sealing process is gone. A file is one part: the segment's progress up to it on the first line
//! (empty if it has none), then the ciphertext.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use vault_proto::ids::{Digest, RecordingId};

use crate::home_folder::{HomeFolder, make_private_folder, sync_folder, write_durably};
use vault_engine::error::ClientError;

/// The spool of one recording.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    limit: u64,
    used: AtomicU64,
    /// Whether the folder's own name is durable.
    stands: AtomicBool,
}

/// A part as it is kept.
pub(crate) struct KeptPart {
    /// The envelope of the segment's progress up to and with it.
    pub(crate) progress: Option<String>,
    /// Its bytes.
    pub(crate) ciphertext: Bytes,
}

impl Spool {
    /// The spool of a recording, which may not exist yet, for at most `limit` bytes.
    pub(crate) fn of(home: &HomeFolder, recording: RecordingId, limit: u64) -> Self {
        let folder = home.path(&format!("uploads/{recording}.spool"));
        Self { folder, limit, used: AtomicU64::new(0), stands: AtomicBool::new(false) }
    }

    /// Where it lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, segment: u32, part: u32) -> PathBuf {
        self.folder.join(format!("{segment}-{part}"))
    }

    /// Bytes that this process keeps here.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Whether as many more bytes may be kept.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.used().saturating_add(bytes as u64) <= self.limit
    }

    /// Makes the folder, and its name in the folder above it durable: it may have been made by a process that died
    /// before that.
    fn stand(&self) -> io::Result<()> {
        if !self.stands.load(Ordering::Acquire) {
            make_private_folder(&self.folder)?;
            self.folder.parent().map_or(Ok(()), sync_folder)?;
            self.stands.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Keeps a part durably.
    pub(crate) fn put(
        &self,
        segment: u32,
        part: u32,
        progress: Option<&str>,
        ciphertext: &[u8],
    ) -> io::Result<()> {
        self.stand()?;
        let mut bytes = progress.unwrap_or_default().as_bytes().to_vec();
        bytes.push(b'\n');
        bytes.extend_from_slice(ciphertext);
        write_durably(&self.path(segment, part), &bytes)?;
        self.used.fetch_add(ciphertext.len() as u64, Ordering::AcqRel);
        Ok(())
    }

    /// Whether a part of so many ciphertext bytes lies here in full.
    pub(crate) fn holds(&self, segment: u32, part: u32, length: usize) -> bool {
        let found = fs::metadata(self.path(segment, part));
        // Beside the ciphertext there is at least the end of the first line.
        found.is_ok_and(|found| found.is_file() && found.len() > length as u64)
    }

    /// A part that is kept here and has this hash.
    pub(crate) fn get(
        &self,
        segment: u32,
        part: u32,
        hash: &Digest,
    ) -> Result<Option<KeptPart>, ClientError> {
        let path = self.path(segment, part);
        let bytes = match fs::read(&path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ClientError::disk(path)(error)),
        };
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            return Ok(None);
        };
        let (progress, ciphertext) = (bytes.slice(..end), bytes.slice(end + 1..));
        // A disk that returns other bytes than were written has lost the part.
        if Digest::of(&ciphertext) != *hash {
            return Ok(None);
        }
        let progress = String::from_utf8(progress.to_vec()).ok().filter(|progress| !progress.is_empty());
        Ok(Some(KeptPart { progress, ciphertext }))
    }

    /// A part that the server has need not be kept. One that cannot be removed is only sent again.
    pub(crate) fn remove(&self, segment: u32, part: u32, bytes: usize) {
        match fs::remove_file(self.path(segment, part)) {
            Ok(()) => {
                // What a process that died had kept was never counted by this one.
                let _ = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                    Some(used.saturating_sub(bytes as u64))
                });
            }
            Err(error) => tracing::debug!(%error, "a part stays in the spool"),
        }
    }

    /// Nothing is needed any more.
    pub(crate) fn clear(&self) -> Result<(), ClientError> {
        match fs::remove_dir_all(&self.folder) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(ClientError::disk(&self.folder)(error)),
        }
    }
}
