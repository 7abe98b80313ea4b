//! A file that is sealed: what it was when its reading began, whether it still is, and reading it on from where an
//! upload was interrupted.
//!
//! A file is sealed as complete only if nothing shows that it changed while it was read: its open descriptor has the
//! same length and the same time of change of its bytes before the first byte, after each piece and at the end, and it
//! gave as many bytes as it has. The time of change of its attributes moves with a permission, a link or a name that it
//! gets or loses, which changes none of its bytes, and with a write whose time was set back, which does: then all of it
//! is read again at the end, and has to be what was sealed. Its name may lead elsewhere by then: what was opened is
//! what is sealed. What none of this shows is not seen: writes through memory that was mapped and already written to
//! before the reading began, on a file system that keeps no times or keeps them elsewhere (a network share shows a
//! change only once it is told of it), or by whoever sets the clock back.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use vault_core::webm::SeekIndexer;
use vault_proto::geometry::MAX_PART_PLAINTEXT;
use vault_proto::ids::Digest;
use zeroize::Zeroizing;

use super::path_text::{path_of_text, text_of_path};
use crate::io_failure::{io_failure, source_failed};
use vault_engine::error::{ClientError, IoFailure, SourceChange};
use vault_engine::sealing::SourceFile;

/// A clock tick of a system that keeps times in nanoseconds, with room to spare: two writes within one look the same.
const TICK: Duration = Duration::from_millis(20);
/// The same of a file system that keeps whole seconds, or every second one.
const COARSE_TICK: Duration = Duration::from_secs(2);

/// A file, or something by a file's name that is none.
pub(super) struct Source {
    file: File,
    facts: Option<SourceFile>,
    watch: Option<Watch>,
    /// Of all that was read.
    hash: Sha256,
}

/// A file that must not change while it is read.
struct Watch {
    before: Look,
    /// Bytes before the first one that is read.
    from: u64,
    /// Bytes before the next one.
    read: u64,
}

/// The name by which a file was opened.
pub(super) struct OpenedName {
    path: PathBuf,
    inode: (u64, u64),
}

impl OpenedName {
    /// Whether the name leads to another file by now. One that leads nowhere misleads nobody.
    pub(super) fn leads_elsewhere(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| inode(&found) != self.inode)
    }
}

/// Device and inode.
#[cfg(unix)]
fn inode(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
const fn inode(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// What a file looks like at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    length: u64,
    /// Seconds and nanoseconds of the last change of its bytes.
    written: (i64, i64),
    /// The same of its bytes or anything else about it; no program can set it.
    changed: (i64, i64),
}

impl Look {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        Ok(Self {
            length: metadata.len(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    #[cfg(not(unix))]
    fn of(metadata: &Metadata) -> io::Result<Self> {
        let since = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let written = (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), i64::from(since.subsec_nanos()));
        Ok(Self { length: metadata.len(), written, changed: written })
    }

    /// Looks at an open file once its last change is so long ago that every further one gives it another time.
    fn settled(file: &File) -> io::Result<Self> {
        let look = Self::of(&file.metadata()?)?;
        let (seconds, nanoseconds) = look.changed;
        let tick = if nanoseconds == 0 { COARSE_TICK } else { TICK };
        let since =
            Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanoseconds).unwrap_or(0));
        // Of a file that says it was changed in the future nothing is known but that.
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + since).unwrap_or_default();
        if age >= tick {
            return Ok(look);
        }
        std::thread::sleep(tick.saturating_sub(age));
        Self::of(&file.metadata()?)
    }

    /// How a later look at the same descriptor shows that its bytes are others.
    fn change_to(&self, now: &Self) -> Option<SourceChange> {
        if now.length != self.length {
            return Some(SourceChange::Length { before: self.length, now: now.length });
        }
        (now.written != self.written).then_some(SourceChange::Written)
    }
}

impl Watch {
    /// Looks whether a file changed since its reading began.
    fn look(&self, file: &File) -> io::Result<Look> {
        let now = Look::of(&file.metadata()?)?;
        match self.before.change_to(&now) {
            Some(change) => Err(io::Error::other(change)),
            None => Ok(now),
        }
    }

    /// Takes note of `read` more bytes; of none, the end was reached, and `hash` is of all that was read.
    fn see(&mut self, file: &mut File, read: usize, hash: &Sha256) -> io::Result<()> {
        self.read += read as u64;
        let now = self.look(file)?;
        if read > 0 {
            return Ok(());
        }
        if self.read != self.before.length {
            let change = SourceChange::Length { before: self.before.length, now: self.read };
            return Err(io::Error::other(change));
        }
        if now.changed != self.before.changed && !self.gives_again(file, hash)? {
            return Err(io::Error::other(SourceChange::Written));
        }
        Ok(())
    }

    /// Reads all of it once more, and says whether it is the same.
    fn gives_again(&self, file: &mut File, hash: &Sha256) -> io::Result<bool> {
        let mut again = Sha256::new();
        let mut buffer = Zeroizing::new(vec![0; MAX_PART_PLAINTEXT]);
        file.seek(SeekFrom::Start(self.from))?;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => again.update(buffer.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.look(file)?;
        Ok(again.finalize() == hash.clone().finalize())
    }
}

impl Source {
    /// Opens a file by its name. Blocks: on a named pipe until somebody writes to it.
    fn open_now(path: &Path) -> Result<Self, ClientError> {
        let open = || {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a folder"));
            }
            if !metadata.is_file() {
                return Ok(Self { file, facts: None, watch: None, hash: Sha256::new() });
            }
            let path = path.canonicalize()?;
            let before = Look::settled(&file)?;
            let modified = file.metadata()?.modified()?;
            let modified = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let path = text_of_path(&path).ok_or(io::ErrorKind::InvalidFilename)?;
            let facts = SourceFile {
                path,
                length: before.length,
                modified: (modified.as_secs(), modified.subsec_nanos()),
            };
            let watch = Watch { before, from: 0, read: 0 };
            Ok(Self { file, facts: Some(facts), watch: Some(watch), hash: Sha256::new() })
        };
        open().map_err(|error: io::Error| {
            let IoFailure { kind, reason } = io_failure(&error);
            ClientError::Source(IoFailure::new(kind, format!("{}: {reason}", path.display())))
        })
    }

    /// Opens a file by its name.
    pub(super) async fn open(path: &Path) -> Result<Self, ClientError> {
        let path = path.to_owned();
        let opened = spawn_blocking(move || Self::open_now(&path)).await;
        opened.map_err(|error| ClientError::Bug(error.to_string()))?
    }

    /// What is open already, without a name: standard input, for example. If it is a file, it must not change either.
    pub(super) fn opened(mut file: File) -> Result<Self, ClientError> {
        let watch = |file: &mut File| {
            if !file.metadata()?.is_file() {
                return Ok(None);
            }
            // Others may have read the beginning.
            let read = file.stream_position()?;
            Ok(Some(Watch { before: Look::settled(file)?, from: read, read }))
        };
        let watch = watch(&mut file).map_err(source_failed)?;
        Ok(Self { file, facts: None, watch, hash: Sha256::new() })
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
    pub(super) fn skip(&mut self, bytes: u64, indexer: &mut SeekIndexer) -> io::Result<Digest> {
        let mut buffer = Zeroizing::new(vec![0; MAX_PART_PLAINTEXT]);
        let mut left = bytes;
        while left > 0 {
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let Some(place) = buffer.get_mut(..wanted) else {
                break;
            };
            let read = match self.read(place) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let piece = place.get(..read).unwrap_or_default();
            indexer.push(piece);
            left -= read as u64;
        }
        Ok(Digest::from_bytes(self.hash.clone().finalize().into()))
    }

    /// The name by which it was opened, if it is a file.
    pub(super) fn name(&self) -> io::Result<Option<OpenedName>> {
        let Some(path) = self.facts.as_ref().and_then(|file| path_of_text(&file.path)) else {
            return Ok(None);
        };
        let inode = inode(&self.file.metadata()?);
        Ok(Some(OpenedName { path, inode }))
    }

    /// What the hash of the whole goes on from, after [`Self::skip`].
    pub(super) fn hash(&self) -> Sha256 {
        self.hash.clone()
    }
}

/// The change of a file that a read error stands for.
pub(super) fn change_in(error: &io::Error) -> Option<SourceChange> {
    error.get_ref().and_then(|error| error.downcast_ref::<SourceChange>()).copied()
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(out)?;
        if let Some(watch) = &mut self.watch {
            self.hash.update(out.get(..read).unwrap_or_default());
            watch.see(&mut self.file, read, &self.hash)?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
