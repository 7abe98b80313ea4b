//! The server's data folder: `vault.json` says whose it is, `lock` keeps a second server out, `vault.db` and `blobs/` hold the
//! data.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vault_proto::ids::OrganisationId;

use crate::durable::{create_folders, sync_folder, sync_name, write_whole_file};
use crate::server_error::ServerError;

const DESCRIPTION: &str = "vault.json";
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    organisation: OrganisationId,
}

/// What `init` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initialised {
    /// The folder is a vault now.
    New,
    /// It already was a vault of this organisation; nothing changed.
    Already,
}

/// An initialised data folder that no other process uses while this value lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    organisation: OrganisationId,
    _lock: File,
}

fn describe(path: &Path) -> Result<Option<Description>, ServerError> {
    let bytes = match std::fs::read(path.join(DESCRIPTION)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ServerError::folder(path, error)),
    };
    let description: Description =
        serde_json::from_slice(&bytes).map_err(|_| ServerError::UnknownFolder(path.to_owned()))?;
    if description.format == FORMAT {
        Ok(Some(description))
    } else {
        Err(ServerError::UnknownFolder(path.to_owned()))
    }
}

/// Makes `path` the data folder of a server for `organisation`.
///
/// # Errors
/// [`ServerError::NotEmpty`] if something else is in it, [`ServerError::OtherOrganisation`] if it is another organisation's.
pub fn init(path: &Path, organisation: OrganisationId) -> Result<Initialised, ServerError> {
    let failed = |error| ServerError::folder(path, error);
    if let Some(description) = describe(path)? {
        return if description.organisation == organisation {
            Ok(Initialised::Already)
        } else {
            Err(ServerError::OtherOrganisation(path.to_owned()))
        };
    }
    create_folders(path).map_err(failed)?;
    if std::fs::read_dir(path).map_err(failed)?.next().is_some() {
        return Err(ServerError::NotEmpty(path.to_owned()));
    }
    let description = Description { format: FORMAT, organisation };
    let bytes = serde_json::to_vec(&description).map_err(|error| failed(error.into()))?;
    write_whole_file(&path.join(DESCRIPTION), &bytes).and_then(|()| sync_name(path)).map_err(failed)?;
    Ok(Initialised::New)
}

impl DataFolder {
    /// Takes an initialised folder for this process.
    ///
    /// # Errors
    /// [`ServerError::NotInitialised`], [`ServerError::InUse`], [`ServerError::Folder`].
    pub fn open(path: &Path) -> Result<Self, ServerError> {
        let failed = |error| ServerError::folder(path, error);
        let description = describe(path)?.ok_or_else(|| ServerError::NotInitialised(path.to_owned()))?;
        // Everything that will be acknowledged hangs from these names, and `init` may have died before it synced them.
        sync_folder(path).and_then(|()| sync_name(path)).map_err(failed)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), organisation: description.organisation, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(ServerError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The organisation it was initialised for.
    pub const fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// The metadata.
    pub fn database(&self) -> PathBuf {
        self.path.join("vault.db")
    }

    /// Makes the names in the folder durable; called once everything in it is there.
    ///
    /// # Errors
    /// [`ServerError::Folder`].
    pub fn sync(&self) -> Result<(), ServerError> {
        sync_folder(&self.path).map_err(|error| ServerError::folder(&self.path, error))
    }

    /// Ciphertext and statements.
    pub fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }
}
