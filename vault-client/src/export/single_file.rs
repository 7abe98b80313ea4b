//! Reading, hashing and making single files, and finding them.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::home_folder::private_file;
use crate::io_failure::disk;
use sha2::{Digest as _, Sha256};
use vault_engine::error::ClientError;
use vault_proto::ids::Digest;

/// Makes a new file that only its owner may read.
pub(crate) fn create(path: &Path) -> Result<File, ClientError> {
    private_file().create_new(true).write(true).open(path).map_err(disk(path))
}

/// A file of at most `limit` bytes; `None` if it is not there. One that is longer is cut behind the limit, and fits no
/// digest.
pub(crate) fn small_file(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no file"));
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// All files below a folder; links are not followed.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>, ClientError> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(disk(&folder))? {
            let entry = entry.map_err(disk(&folder))?;
            let kind = entry.file_type().map_err(disk(&folder))?;
            if kind.is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    Ok(files)
}

/// SHA-256 of a file and its length; `None` if it is not there.
pub(crate) fn digest_of(path: &Path) -> Result<Option<(Digest, u64)>, ClientError> {
    // Anything else could keep its reader waiting.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Ok(None);
    }
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(disk(path)(error)),
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
            Err(error) => return Err(disk(path)(error)),
        }
    }
}
