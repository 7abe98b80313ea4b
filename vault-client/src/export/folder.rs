//! The folder of an export: one process at a time writes in it, files appear in it whole, and what is in it is known by digest.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use vault_proto::ids::Digest;

use crate::error::ClientError;
use crate::home::{make_private_folder, write_durably};

/// File that names every other file of the export, as `sha256sum` writes it.
pub(crate) const SUMS: &str = "SHA256SUMS";
/// Folder in which what is not whole yet is kept apart.
const INCOMPLETE: &str = ".incomplete";
const LOCK: &str = ".lock";

/// An export that this process is the only one to write in.
pub(crate) struct ExportFolder {
    root: PathBuf,
    _lock: File,
}

impl Drop for ExportFolder {
    /// What is not whole is of no use to anybody; after a kill the next run removes it.
    fn drop(&mut self) {
        let _ = self.remove(INCOMPLETE);
    }
}

/// The files that belong to an export, by their path in it.
pub(crate) type Sums = BTreeMap<String, Digest>;

impl ExportFolder {
    /// Takes a folder, which is made if it is not there. What an earlier run left half-written is removed.
    ///
    /// # Errors
    /// [`ClientError::Usage`] while another process writes in it, or if it holds other things than an export;
    /// [`ClientError::Disk`].
    pub(crate) fn take(root: &Path) -> Result<Self, ClientError> {
        make_private_folder(root).map_err(ClientError::disk(root))?;
        let path = root.join(LOCK);
        if !path.exists() {
            let mut entries = fs::read_dir(root).map_err(ClientError::disk(root))?;
            if entries.next().is_some() {
                return Err(ClientError::Usage(format!(
                    "{} is not empty and holds no export of ours; name a new or empty folder",
                    root.display()
                )));
            }
        }
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = open.map_err(ClientError::disk(path.clone()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ClientError::Usage(format!(
                    "another export into {} is running; wait for it, or choose another folder",
                    root.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(ClientError::disk(path)(error)),
        }
        let folder = Self { root: root.to_owned(), _lock: lock };
        folder.remove(INCOMPLETE)?;
        Ok(folder)
    }

    /// Path of something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file unless it is there already as it should be; it appears whole.
    pub(crate) fn put(&self, sums: &mut Sums, name: &str, bytes: &[u8]) -> Result<(), ClientError> {
        let path = self.path(name);
        let same = fs::read(&path).is_ok_and(|present| present == bytes);
        if !same {
            if let Some(folder) = path.parent() {
                make_private_folder(folder).map_err(ClientError::disk(folder))?;
            }
            write_durably(&path, bytes).map_err(ClientError::disk(path.clone()))?;
        }
        sums.insert(name.to_owned(), Digest::of(bytes));
        Ok(())
    }

    /// A new empty folder apart from the export, for something that is to appear in it as a whole.
    pub(crate) fn apart(&self, name: &str) -> Result<PathBuf, ClientError> {
        let path = self.path(INCOMPLETE).join(name);
        remove_all(&path)?;
        make_private_folder(&path).map_err(ClientError::disk(path.clone()))?;
        Ok(path)
    }

    /// Puts what was written apart in its place, durably, instead of what is there.
    pub(crate) fn appear(&self, apart: &Path, name: &str) -> Result<(), ClientError> {
        let place = self.path(name);
        for path in files_below(apart)? {
            File::open(&path).and_then(|file| file.sync_all()).map_err(ClientError::disk(path.clone()))?;
        }
        let above = place.parent().unwrap_or(&self.root).to_owned();
        make_private_folder(&above).map_err(ClientError::disk(&above))?;
        if place.exists() {
            let old = self.path(INCOMPLETE).join("replaced");
            remove_all(&old)?;
            fs::rename(&place, &old).map_err(ClientError::disk(place.clone()))?;
            fs::rename(apart, &place).map_err(ClientError::disk(place.clone()))?;
            remove_all(&old)?;
        } else {
            fs::rename(apart, &place).map_err(ClientError::disk(place.clone()))?;
        }
        crate::home::sync_folder(&above).map_err(ClientError::disk(above))
    }

    /// Removes something of an export.
    pub(crate) fn remove(&self, name: &str) -> Result<(), ClientError> {
        remove_all(&self.path(name))
    }

    /// Names of all files below a folder of the export, relative to the export.
    pub(crate) fn files_below(&self, name: &str) -> Result<Vec<String>, ClientError> {
        let paths = files_below(&self.path(name))?;
        let relative = |path: &PathBuf| Some(path.strip_prefix(&self.root).ok()?.to_str()?.to_owned());
        Ok(paths.iter().filter_map(relative).collect())
    }

    /// Names of what is in a folder of the export; none if it is not there.
    pub(crate) fn names(&self, name: &str) -> Result<Vec<String>, ClientError> {
        let path = self.path(name);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ClientError::disk(path)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(ClientError::disk(&path))?;
            names.extend(entry.file_name().into_string().ok());
        }
        Ok(names)
    }
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>, ClientError> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(ClientError::disk(&folder))? {
            let entry = entry.map_err(ClientError::disk(&folder))?;
            let kind = entry.file_type().map_err(ClientError::disk(&folder))?;
            if kind.is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    Ok(files)
}

fn remove_all(path: &Path) -> Result<(), ClientError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ClientError::disk(path)(error)),
        _ => Ok(()),
    }
}

/// SHA-256 of a file and its length; `None` if it is not there.
pub(crate) fn digest_of(path: &Path) -> Result<Option<(Digest, u64)>, ClientError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ClientError::disk(path)(error)),
    };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut length = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some((Digest::from_bytes(hash.finalize().into()), length))),
            Ok(read) => {
                hash.update(buffer.get(..read).unwrap_or_default());
                length += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A folder in place of a file, too.
            Err(error) => return Err(ClientError::disk(path)(error)),
        }
    }
}

/// Writes sums as `sha256sum` does. Names hold no line feeds and no backslashes: they are made here.
pub(crate) fn write_sums(sums: &Sums) -> String {
    sums.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect()
}

/// Reads what [`write_sums`] writes; `None` for anything else, also a name that leads out of the export.
pub(crate) fn read_sums(text: &str) -> Option<Sums> {
    let mut sums = Sums::new();
    for line in text.split_terminator('\n') {
        let (digest, name) = line.split_once("  ")?;
        let inside = name.split('/').all(|piece| !matches!(piece, "" | "." | ".."));
        let plain = inside && !name.contains(['\\', '\0']);
        let new = sums.insert(name.to_owned(), digest.parse().ok().filter(|_| plain)?).is_none();
        if !new {
            return None;
        }
    }
    Some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_as_they_are_written_and_lead_nowhere_else() {
        let mut sums = Sums::new();
        sums.insert("recordings/2026 a  b (1)/x.webm".to_owned(), Digest::of(b"x"));
        sums.insert("index.html".to_owned(), Digest::of(b"y"));
        let text = write_sums(&sums);
        assert_eq!(read_sums(&text), Some(sums));
        let digest = Digest::of(b"z");
        for name in ["../x", "/etc/passwd", "a//b", "a/./b", "a/..", "", "a\\b"] {
            assert_eq!(read_sums(&format!("{digest}  {name}\n")), None, "{name}");
        }
        assert_eq!(read_sums(&format!("{text}{text}")), None);
        assert_eq!(read_sums("nothing\n"), None);
    }

    #[test]
    fn one_process_at_a_time_and_never_in_a_folder_of_other_things() {
        let folder = tempfile::tempdir().unwrap();
        let export = folder.path().join("export");
        let first = ExportFolder::take(&export).unwrap();
        assert!(matches!(ExportFolder::take(&export), Err(ClientError::Usage(_))));
        let apart = first.apart("1").unwrap();
        fs::write(apart.join("half"), b"x").unwrap();
        drop(first);
        let second = ExportFolder::take(&export).unwrap();
        assert!(!apart.exists());
        let whole = second.apart("1").unwrap();
        fs::write(whole.join("file"), b"new").unwrap();
        second.appear(&whole, "recordings/one").unwrap();
        let whole = second.apart("1").unwrap();
        fs::write(whole.join("file"), b"newer").unwrap();
        second.appear(&whole, "recordings/one").unwrap();
        assert_eq!(fs::read(export.join("recordings/one/file")).unwrap(), b"newer");
        assert_eq!(digest_of(&export.join("recordings/one/file")).unwrap(), Some((Digest::of(b"newer"), 5)));
        let other = folder.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("diary"), b"mine").unwrap();
        assert!(matches!(ExportFolder::take(&other), Err(ClientError::Usage(_))));
    }
}
