//! The client's folder: secrets under a passphrase, certificates, pins, uploads that were interrupted.
//!
//! ```text
//! identity.age      the device's secrets              certificate.json  from the registrar
//! key-list.json     the account's own key list        server.json       where it is enrolled, under which organisation
//! pins/<account>    what was seen of each account      names.json        what the holder calls accounts
//! list.json         the account's own signed list of recordings
//! exports/<id>/     what was opened for exports, so that their files vouch for nothing themselves
//! chain.json        the device's chain of manifests   uploads/          journals and spools of unfinished uploads
//! endings/<id>      final seals that this device made
//! registrar.age, issuer.json                          only in a registrar's home
//! issued/<account>  there, when the newest certificate of an account was issued
//! ```
//! Files are replaced whole: written aside, synced, renamed. Only the owner may read them.

pub mod account;
pub mod endings;
pub mod names;
pub mod own_list;
pub mod pins;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vault_proto::ids::{AccountId, OrganisationId};

use crate::error::{ClientError, Missing};

/// A client's folder.
#[derive(Debug, Clone)]
pub struct Home {
    folder: PathBuf,
}

/// Where an account is enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The server's address.
    pub server: String,
    /// The pinned organisation root.
    pub organisation: OrganisationId,
}

/// The only process that changes what is locked, until dropped.
#[derive(Debug)]
pub struct HomeLock(#[expect(dead_code, reason = "the lock is held for as long as the file is open")] File);

pub(crate) const IDENTITY: &str = "identity.age";
pub(crate) const REGISTRAR: &str = "registrar.age";
pub(crate) const ISSUER: &str = "issuer.json";
pub(crate) const CERTIFICATE: &str = "certificate.json";
pub(crate) const KEY_LIST: &str = "key-list.json";
const ENROLMENT: &str = "server.json";

impl Home {
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
        match tempfile::Builder::new().prefix(".new-").tempfile_in(&self.folder) {
            Ok(_) => true,
            Err(error) => !is_refused(&error),
        }
    }

    /// Reads a file; `None` if it does not exist.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ClientError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ClientError::disk(path)(error)),
        }
    }

    /// Reads a JSON file; `None` if it does not exist.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ClientError> {
        let Some(bytes) = self.read(name)? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            ClientError::disk(self.path(name))(io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
        })?;
        Ok(Some(value))
    }

    /// Replaces a file durably.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ClientError> {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.folder);
        make_private_folder(folder).map_err(ClientError::disk(folder))?;
        write_durably(&path, bytes).map_err(ClientError::disk(path.clone()))
    }

    /// Replaces a JSON file durably.
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), ClientError> {
        let bytes = serde_json::to_vec_pretty(value).map_err(|error| ClientError::Bug(error.to_string()))?;
        self.write(name, &bytes)
    }

    /// Waits until no other process holds the lock `name` of this home.
    pub fn lock(&self, name: &str) -> Result<HomeLock, ClientError> {
        make_private_folder(&self.folder).map_err(ClientError::disk(&self.folder))?;
        let path = self.path(name);
        let lock = || {
            let file = private_file().create(true).truncate(false).write(true).open(&path)?;
            file.lock()?;
            Ok(HomeLock(file))
        };
        lock().map_err(ClientError::disk(path.clone()))
    }

    /// As [`Self::lock`]; `None` where the folder cannot be written to. Nobody can change then what is only read.
    pub(crate) fn lock_if_writable(&self, name: &str) -> Result<Option<HomeLock>, ClientError> {
        match self.lock(name) {
            Err(ClientError::Disk { source, .. }) if is_refused(&source) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Where the account is enrolled.
    ///
    /// # Errors
    /// [`ClientError::NotSetUp`] if it is not.
    pub fn enrolment(&self) -> Result<Enrolment, ClientError> {
        self.read_json(ENROLMENT)?
            .ok_or_else(|| ClientError::NotSetUp(Missing::Enrolment(self.folder.clone())))
    }

    /// Remembers where the account is enrolled.
    pub(crate) fn set_enrolment(&self, enrolment: &Enrolment) -> Result<(), ClientError> {
        self.write_json(ENROLMENT, enrolment)
    }

    /// Name of the pin file of an account.
    pub(crate) fn pin_name(account: &AccountId) -> String {
        format!("pins/{account}.json")
    }

    /// Accounts that were met before.
    pub(crate) fn pinned_accounts(&self) -> Result<Vec<AccountId>, ClientError> {
        let folder = self.path("pins");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ClientError::disk(folder)(error)),
        };
        let mut accounts = Vec::new();
        for entry in entries {
            let name = entry.map_err(ClientError::disk(&folder))?.file_name();
            let id: Option<AccountId> =
                name.to_str().and_then(|name| name.strip_suffix(".json")).and_then(|id| id.parse().ok());
            accounts.extend(id);
        }
        accounts.sort_unstable();
        Ok(accounts)
    }
}

/// Whether the file system lets nobody write there, or not this user.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
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
    let mut aside = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    aside.write_all(bytes)?;
    aside.as_file().sync_all()?;
    aside.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Makes a rename within `folder` durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
