//! The folder of an export: one process at a time writes in it, files appear in it whole, and what is in it is known by
//! digest.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use vault_proto::ids::Digest;
use vault_proto::object;

use super::single_file::{create, digest_of, files_below, small_file};
use crate::home_folder::{make_private_folder, private_file, sync_folder};
use crate::io_failure::disk;
use vault_engine::error::ClientError;
use vault_export::Form;
use vault_export::layout::{INCOMPLETE, LOCK, RECORDINGS};
use vault_export::sums::Sums;

/// Folders of an export. A link in the place of one would lead what is written out of it.
const FOLDERS: [&str; 6] = [INCOMPLETE, object::RECORDINGS, object::STATEMENTS, RECORDINGS, "proof", "fhir"];

/// What stands in the lock file, by which a folder is known as an export's, and of which form.
const fn mark(form: Form) -> &'static str {
    match form {
        Form::Opened => "recording-vault export, opened\n",
        Form::Sealed => "recording-vault export, sealed\n",
    }
}

/// An export that this process is the only one to write in.
pub(crate) struct ExportFolder {
    root: PathBuf,
    _lock: File,
}

impl Drop for ExportFolder {
    /// What is not whole is of no use to anybody; after a kill the next run removes it.
    fn drop(&mut self) {
        let _ = remove_all(&self.path(INCOMPLETE));
    }
}

impl ExportFolder {
    /// Takes a folder for an export of `form`; it is made if it is not there. What an earlier run left half-written is
    /// removed.
    ///
    /// # Errors
    /// [`ClientError::Usage`] while another process writes in it, or if it holds other things than such an export: what
    /// is opened must not lie where what is sealed may. [`ClientError::Disk`].
    pub(crate) fn take(root: &Path, form: Form) -> Result<Self, ClientError> {
        make_private_folder(root).map_err(disk(root))?;
        let path = root.join(LOCK);
        let found = small_file(&path, mark(form).len()).map_err(disk(path.clone()))?;
        if found.as_deref() != Some(mark(form).as_bytes()) {
            let other = [Form::Opened, Form::Sealed].map(|form| Some(mark(form).as_bytes()));
            if other.contains(&found.as_deref()) {
                return Err(ClientError::Usage(format!(
                    "the folder {} holds an export of the other form, and opened recordings do not lie beside sealed ones; name another folder",
                    root.display()
                )));
            }
            // A process that died at once leaves an empty one.
            let begun = found.as_ref().is_some_and(|found| found.is_empty());
            let mut entries = fs::read_dir(root).map_err(disk(root))?;
            if entries.nth(usize::from(begun)).is_some() {
                return Err(ClientError::Usage(format!(
                    "the folder {} is not empty and holds no export of ours; name a new or empty folder",
                    root.display()
                )));
            }
        }
        let open = private_file().create(true).truncate(false).write(true).open(&path);
        let mut lock = open.map_err(disk(path.clone()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ClientError::Usage(format!(
                    "another export into {} is running; wait for it, or choose another folder",
                    root.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(disk(path)(error)),
        }
        if found.is_none_or(|found| found.is_empty()) {
            lock.write_all(mark(form).as_bytes()).map_err(disk(path))?;
        }
        for name in FOLDERS {
            let path = root.join(name);
            if path.is_symlink() {
                return Err(ClientError::Usage(format!(
                    "the path {} is a link: nothing is written through it; remove it, or name another folder",
                    path.display()
                )));
            }
        }
        let folder = Self { root: root.to_owned(), _lock: lock };
        remove_all(&folder.path(INCOMPLETE))?;
        Ok(folder)
    }

    /// Path of something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A new empty folder apart from the export, for something that is to appear in it as a whole.
    pub(crate) fn apart(&self, name: &str) -> Result<PathBuf, ClientError> {
        let path = self.path(INCOMPLETE).join(name);
        remove_all(&path)?;
        make_private_folder(&path).map_err(disk(path.clone()))?;
        Ok(path)
    }

    /// Puts what was written apart in its place, durably, instead of what is there, and gives the files that it is.
    pub(crate) fn appear(&self, apart: &Path, name: &str) -> Result<Sums, ClientError> {
        let place = self.path(name);
        for path in files_below(apart)? {
            File::open(&path).and_then(|file| file.sync_all()).map_err(disk(path.clone()))?;
        }
        let above = place.parent().unwrap_or(&self.root).to_owned();
        make_private_folder(&above).map_err(disk(&above))?;
        let old = self.path(INCOMPLETE).join(format!("{}-replaced", name.replace('/', "-")));
        remove_all(&old)?;
        let replaces = place.symlink_metadata().is_ok();
        if replaces {
            fs::rename(&place, &old).map_err(disk(place.clone()))?;
        }
        if let Err(error) = fs::rename(apart, &place) {
            if replaces {
                fs::rename(&old, &place).map_err(disk(place.clone()))?;
            }
            return Err(disk(place)(error));
        }
        sync_folder(&above).map_err(disk(above))?;
        // A link in its place was moved itself, and not what it leads to.
        if old.is_symlink() {
            fs::remove_file(&old).map_err(disk(old))?
        } else {
            remove_all(&old)?
        }
        let mut sums = Sums::new();
        for name in self.files_below(name)? {
            if let Some((digest, _)) = digest_of(&self.path(&name))? {
                sums.insert(name, digest);
            }
        }
        Ok(sums)
    }

    /// Begins to write files that appear together; two that are written at the same time have different names.
    pub(crate) fn batch(&self, name: &str) -> Result<Batch<'_>, ClientError> {
        Ok(Batch { folder: self, apart: self.apart(&format!("{name}-batch"))?, files: Vec::new() })
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
            Err(error) => return Err(disk(path)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(disk(&path))?;
            names.extend(entry.file_name().into_string().ok());
        }
        Ok(names)
    }
}

/// Files that are written apart first, all of them, and then appear one right after the other: a disk that is full, or
/// a process that dies while they are written, leaves what was there before.
pub(crate) struct Batch<'a> {
    folder: &'a ExportFolder,
    apart: PathBuf,
    files: Vec<(PathBuf, String)>,
}

impl Batch<'_> {
    /// Writes a file, unless it is in its place already as it should be.
    pub(crate) fn put(&mut self, sums: &mut Sums, name: &str, bytes: &[u8]) -> Result<(), ClientError> {
        let present = small_file(&self.folder.path(name), bytes.len()).ok().flatten();
        if present.as_deref() != Some(bytes) {
            let path = self.apart.join(self.files.len().to_string());
            let mut file = create(&path)?;
            file.write_all(bytes).and_then(|()| file.sync_all()).map_err(disk(&path))?;
            self.files.push((path, name.to_owned()));
        }
        sums.insert(name.to_owned(), Digest::of(bytes));
        Ok(())
    }

    /// Lets the files appear, in the order in which they were written.
    pub(crate) fn finish(self) -> Result<(), ClientError> {
        let mut folders = BTreeSet::new();
        for (path, name) in self.files {
            let place = self.folder.path(&name);
            let above = place.parent().unwrap_or(&self.folder.root).to_owned();
            make_private_folder(&above).map_err(disk(&above))?;
            fs::rename(&path, &place).map_err(disk(place))?;
            folders.insert(above);
        }
        for folder in folders {
            sync_folder(&folder).map_err(disk(folder))?;
        }
        Ok(())
    }
}

fn remove_all(path: &Path) -> Result<(), ClientError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_and_never_in_a_folder_of_other_things() {
        let folder = tempfile::tempdir().unwrap();
        let export = folder.path().join("export");
        let first = ExportFolder::take(&export, Form::Opened).unwrap();
        assert!(matches!(ExportFolder::take(&export, Form::Opened), Err(ClientError::Usage(_))));
        let apart = first.apart("1").unwrap();
        fs::write(apart.join("half"), b"x").unwrap();
        drop(first);
        let second = ExportFolder::take(&export, Form::Opened).unwrap();
        assert!(!apart.exists());
        let whole = second.apart("1").unwrap();
        fs::write(whole.join("file"), b"new").unwrap();
        second.appear(&whole, "recordings/one").unwrap();
        let whole = second.apart("1").unwrap();
        fs::write(whole.join("file"), b"newer").unwrap();
        second.appear(&whole, "recordings/one").unwrap();
        assert_eq!(fs::read(export.join("recordings/one/file")).unwrap(), b"newer");
        assert_eq!(digest_of(&export.join("recordings/one/file")).unwrap(), Some((Digest::of(b"newer"), 5)));
        drop(second);
        assert!(matches!(ExportFolder::take(&export, Form::Sealed), Err(ClientError::Usage(_))));
        let other = folder.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("diary"), b"mine").unwrap();
        assert!(matches!(ExportFolder::take(&other, Form::Opened), Err(ClientError::Usage(_))));
    }
}
