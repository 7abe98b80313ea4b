//! Where a folder was when it was opened: what is opened by its path later must not come from another folder that has
//! taken that path.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Folders and which ones they were, each by its device and inode.
#[derive(Debug, Clone)]
pub(crate) struct Place(Vec<(PathBuf, (u64, u64))>);

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

impl Place {
    /// A folder that is open.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn of_open(path: &Path, folder: &File) -> io::Result<Self> {
        Ok(Self(vec![(path.to_owned(), identity(&folder.metadata()?))]))
    }

    /// A folder and the one above it, as they are now.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        // The folder above a bare name is the working one.
        let above =
            folder.parent().map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
        let mut places = Vec::new();
        for path in above.into_iter().chain([folder]) {
            places.push((path.to_owned(), identity(&path.metadata()?)));
        }
        Ok(Self(places))
    }

    /// Whether each still lies where it was.
    ///
    /// # Errors
    /// Which does not.
    pub(crate) fn check(&self) -> io::Result<()> {
        for (path, opened) in &self.0 {
            if !path.metadata().is_ok_and(|found| identity(&found) == *opened) {
                return Err(io::Error::other(format!(
                    "the folder {} is not the one that this server works on: it was moved or replaced; put it back, or stop \
                     this server",
                    path.display()
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_moved_replaced_or_put_back_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("data/blobs")).unwrap();
        let place = Place::of(&path("data/blobs")).unwrap();
        let opened = Place::of_open(&path("data"), &File::open(path("data")).unwrap()).unwrap();
        place.check().unwrap();
        let moves = |from: &str, to: &str| std::fs::rename(path(from), path(to)).unwrap();
        moves("data", "moved");
        assert!(place.check().is_err() && opened.check().is_err());
        std::fs::create_dir_all(path("data/blobs")).unwrap();
        let said = place.check().unwrap_err().to_string();
        assert!(said.contains(&path("data").display().to_string()), "{said}");
        assert!(opened.check().is_err());
        moves("data", "other");
        moves("moved", "data");
        place.check().unwrap();
        opened.check().unwrap();
        // The objects alone.
        moves("data/blobs", "aside");
        std::fs::create_dir(path("data/blobs")).unwrap();
        let said = place.check().unwrap_err().to_string();
        assert!(said.contains("data/blobs"), "{said}");
        opened.check().unwrap();
    }
}
