//! A home as a folder: its records are files.
//!
//! Files are replaced whole: written aside, synced, renamed. Lines are appended and synced. Only the owner may read
//! them. Beside the records of [`vault_engine::home`] a registrar's home has
//!
//! ```text
//! registrar.age, issuer.json      the organisation's keys, under a passphrase; the issuer's certificate
//! issued/<account>                when the newest certificate of an account was issued
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;
use vault_engine::effects::{Change, Locking, RecordName, StoreFailure};
use vault_engine::error::ClientError;

use crate::io_failure::{disk, io_failure};

/// A client's folder.
#[derive(Debug, Clone)]
pub struct HomeFolder {
    folder: PathBuf,
}

/// The only process that changes what is locked, until dropped.
#[derive(Debug)]
pub struct HomeLock(#[expect(dead_code, reason = "the lock is held for as long as the file is open")] File);

pub(crate) const REGISTRAR: &str = "registrar.age";
pub(crate) const ISSUER: &str = "issuer.json";
/// What is written aside begins so.
const ASIDE: &str = ".new-";
/// What is locked is a file of this ending.
const LOCK: &str = ".lock";

impl HomeFolder {
    /// Names a folder; nothing is made until something is written.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether something is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Whether other users of this machine may look into the folder. Its files are the owner's alone, but their names
    /// tell whom the account has met, and a copy of them may not keep its permissions.
    pub fn is_open_to_others(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::metadata(&self.folder).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
        }
        #[cfg(not(unix))]
        false
    }

    /// Whether files can be made in the folder, found out by making one and removing it. One that does not exist yet
    /// counts.
    pub fn is_writable(&self) -> bool {
        match tempfile::Builder::new().prefix(ASIDE).tempfile_in(&self.folder) {
            Ok(_) => true,
            Err(error) => !io_failure(&error).is_refusal_to_write(),
        }
    }

    /// Reads a file; `None` if it does not exist.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ClientError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk(path)(error)),
        }
    }

    /// Reads a JSON file; `None` if it does not exist.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ClientError> {
        let Some(bytes) = self.read(name)? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            disk(self.path(name))(io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
        })?;
        Ok(Some(value))
    }

    /// Replaces a file durably.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ClientError> {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.folder);
        make_private_folder(folder).map_err(disk(folder))?;
        write_durably(&path, bytes).map_err(disk(path.clone()))
    }

    /// Replaces a JSON file durably.
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), ClientError> {
        let bytes = serde_json::to_vec_pretty(value).map_err(|error| ClientError::Bug(error.to_string()))?;
        self.write(name, &bytes)
    }

    /// Waits until no other process holds the lock `name` of this home.
    pub fn lock(&self, name: &str) -> Result<HomeLock, ClientError> {
        let path = self.path(&format!("{name}{LOCK}"));
        let lock = self.take_lock(&path, Locking::Wait).map_err(disk(path.clone()))?;
        lock.ok_or_else(|| ClientError::Bug("a lock that was waited for did not come".to_owned()))
    }

    fn take_lock(&self, path: &Path, locking: Locking) -> io::Result<Option<HomeLock>> {
        make_private_folder(path.parent().unwrap_or(&self.folder))?;
        loop {
            let file = private_file().create(true).truncate(false).write(true).open(path)?;
            match locking {
                Locking::Wait => file.lock()?,
                Locking::Try => match file.try_lock() {
                    Ok(()) => {}
                    Err(fs::TryLockError::WouldBlock) => return Ok(None),
                    Err(fs::TryLockError::Error(error)) => return Err(error),
                },
            }
            // Whoever held it may have removed the file: what is locked would be nobody's then.
            if is_still_named(&file, path) {
                return Ok(Some(HomeLock(file)));
            }
        }
    }
}

/// What the engine asks of it. A failure says which file it is about.
impl HomeFolder {
    pub(crate) fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreFailure> {
        let path = self.path(key);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failure(&path, &error)),
        }
    }

    pub(crate) fn list(&self, prefix: &str) -> Result<Vec<RecordName>, StoreFailure> {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut names = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let path = self.path(&folder);
            let listed = match fs::read_dir(&path) {
                Ok(listed) => listed,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failure(&path, &error)),
            };
            for entry in listed {
                let entry = entry.map_err(|error| failure(&path, &error))?;
                let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                    continue;
                };
                let key = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                // Removed between listing and looking: then it is not there.
                let Ok(found) = entry.metadata() else {
                    continue;
                };
                if found.is_dir() {
                    folders.push(key);
                } else if key.starts_with(prefix) && !key.contains(ASIDE) && !key.ends_with(LOCK) {
                    let changed_ms = found.modified().map_or(0, unix_ms);
                    names.push(RecordName { changed_ms, key, length: found.len() });
                }
            }
        }
        Ok(names)
    }

    /// One after the other, each durable before the next: what is appended names what was put before it.
    pub(crate) fn commit(&self, changes: &[Change]) -> Result<(), StoreFailure> {
        changes.iter().try_for_each(|change| self.apply(change))
    }

    fn apply(&self, change: &Change) -> Result<(), StoreFailure> {
        let at = |key: &str, work: &dyn Fn(&Path) -> io::Result<()>| {
            let path = self.path(key);
            work(&path).map_err(|error| failure(&path, &error))
        };
        match change {
            Change::Put(key, bytes) => at(key, &|path| {
                make_private_folder(path.parent().unwrap_or(&self.folder))?;
                write_durably(path, bytes)
            }),
            Change::Append(key, bytes) => at(key, &|path| append(path, bytes)),
            Change::Truncate(key, length) => at(key, &|path| {
                let file = OpenOptions::new().write(true).open(path)?;
                file.set_len(*length)?;
                file.sync_data()
            }),
            Change::Delete(key) => at(key, &|path| match fs::remove_file(path) {
                Ok(()) => {
                    let folder = path.parent().unwrap_or(&self.folder);
                    if folder.extension().is_some_and(|extension| extension == "spool") {
                        // A part that comes back after a loss of power is only sent again.
                        let _ = fs::remove_dir(folder);
                        return Ok(());
                    }
                    if path.extension().is_some_and(|extension| extension == "journal") {
                        remove_if_unfinished(&path.with_extension("spool"));
                    }
                    sync_folder(folder)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            }),
            Change::Touch(key, at_ms) => {
                let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(*at_ms));
                let touched =
                    at.map(|at| OpenOptions::new().append(true).open(self.path(key))?.set_modified(at));
                if let Some(Err(error)) = touched {
                    // It costs only the precision of what is told.
                    tracing::debug!(%error, "the time of a record could not be set");
                }
                Ok(())
            }
        }
    }

    /// `None` if another holds it, and [`Locking::Try`] was said.
    pub(crate) fn hold(&self, name: &str, locking: Locking) -> Result<Option<HomeLock>, StoreFailure> {
        let path = self.path(&format!("{name}{LOCK}"));
        self.take_lock(&path, locking).map_err(|error| failure(&path, &error))
    }

    /// Gives a lock back. That of one recording is not needed any more, and its file goes while it is still held.
    pub(crate) fn let_go(&self, name: &str, lock: HomeLock) {
        if name.contains('/') {
            let _ = fs::remove_file(self.path(&format!("{name}{LOCK}")));
        }
        drop(lock);
    }
}

/// Removes a folder in which there is nothing but what a process that died was writing aside.
fn remove_if_unfinished(folder: &Path) {
    let is_aside = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(ASIDE))
    };
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.all(is_aside)) {
        let _ = fs::remove_dir_all(folder);
    }
}

fn failure(path: &Path, error: &io::Error) -> StoreFailure {
    StoreFailure { place: path.display().to_string(), why: io_failure(error) }
}

/// Milliseconds since 1970; 0 before.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(unix)]
fn is_still_named(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let place = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => place(held) == place(named),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_still_named(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Adds to the end of a file, durably and whole: what could be written of it only in part is cut off again.
fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let is_new = !path.exists();
    if is_new {
        path.parent().map_or(Ok(()), make_private_folder)?;
    }
    let mut file = private_file().append(true).create(true).open(path)?;
    let before = file.metadata()?.len();
    let written = file.write_all(bytes).and_then(|()| file.sync_data());
    if written.is_err() {
        // What stays of it is a torn line, which whoever reads it leaves out.
        let _ = file.set_len(before);
    }
    written?;
    if is_new { path.parent().map_or(Ok(()), sync_folder) } else { Ok(()) }
}

/// How files are made that only their owner may read, from their first moment on and whatever the umask is.
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a folder, and those above it, that only the owner may enter.
pub fn make_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Writes aside, syncs, renames, syncs the folder: after a crash the old or the new bytes are there, never a mixture.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut aside = tempfile::Builder::new().prefix(ASIDE).tempfile_in(folder)?;
    aside.write_all(bytes)?;
    aside.as_file().sync_all()?;
    aside.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Makes a rename within `folder` durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, HomeFolder) {
        let folder = tempfile::tempdir().unwrap();
        let home = HomeFolder::new(folder.path().join("home"));
        (folder, home)
    }

    fn put(key: &str, bytes: &'static [u8]) -> Change {
        Change::Put(key.to_owned(), bytes.into())
    }

    fn names(home: &HomeFolder, prefix: &str) -> Vec<(String, u64)> {
        let mut names: Vec<_> =
            home.list(prefix).unwrap().into_iter().map(|name| (name.key, name.length)).collect();
        names.sort();
        names
    }

    #[test]
    fn records_are_files_by_their_keys() {
        let (_folder, home) = home();
        assert!(names(&home, "uploads/").is_empty(), "nothing is made by looking");
        let line = || Change::Append("uploads/1.journal".to_owned(), b"line\n"[..].into());
        home.commit(&[put("uploads/1.spool/0-0", b"part"), line(), line(), put("sequence.json", b"{}")])
            .unwrap();
        assert_eq!(home.load("uploads/1.journal").unwrap().unwrap(), b"line\nline\n");
        let found = [("uploads/1.journal".to_owned(), 10), ("uploads/1.spool/0-0".to_owned(), 4)];
        assert_eq!(names(&home, "uploads/"), found);
        assert_eq!(names(&home, "uploads/1.spool/"), found[1..]);
        home.commit(&[Change::Truncate("uploads/1.journal".to_owned(), 5)]).unwrap();
        home.commit(&[Change::Touch("uploads/1.journal".to_owned(), 1_000_000)]).unwrap();
        let journal = home.list("uploads/1.j").unwrap();
        assert_eq!((journal[0].length, journal[0].changed_ms), (5, 1_000_000));
        let gone = Change::Delete("uploads/1.spool/0-0".to_owned());
        home.commit(&[gone.clone(), gone]).unwrap();
        assert!(!home.path("uploads/1.spool").exists(), "nothing is left of an empty spool");
        for (aside, is_left) in [("uploads/1.spool/.new-a", false), ("uploads/1.spool/0-1", true)] {
            home.commit(&[put("uploads/1.journal", b""), put(aside, b"")]).unwrap();
            home.commit(&[Change::Delete("uploads/1.journal".to_owned())]).unwrap();
            assert_eq!(home.path("uploads/1.spool").exists(), is_left, "{aside}");
        }
    }

    #[test]
    fn what_fails_names_its_file_and_what_comes_after_it_is_not_there() {
        let (_folder, home) = home();
        home.commit(&[put("pins", b"a file where a folder should be")]).unwrap();
        let failed =
            home.commit(&[put("sequence.json", b"1"), put("pins/a.json", b"2"), put("list.json", b"3")]);
        assert!(failed.unwrap_err().place.contains("pins"));
        assert_eq!(home.load("sequence.json").unwrap().unwrap(), b"1");
        assert_eq!(home.load("list.json").unwrap(), None);
    }

    #[test]
    fn one_holds_a_lock_and_that_of_a_recording_leaves_nothing() {
        let (_folder, home) = home();
        for name in ["chain", "uploads/1"] {
            let lock = home.hold(name, Locking::Try).unwrap().unwrap();
            assert!(home.hold(name, Locking::Try).unwrap().is_none(), "{name} is held");
            home.let_go(name, lock);
            let again = home.hold(name, Locking::Wait).unwrap().unwrap();
            home.let_go(name, again);
        }
        assert!(names(&home, "").is_empty(), "a lock is no record");
        assert!(!home.path("uploads/1.lock").exists());
    }
}
