//! The server's data folder (docs/OPERATING.md): `vault.json` says whose it is, `vault.db` is the index, `read-nonces`
//! its reserve for a full disk, `blobs/` holds the objects, `leftovers/` what crashes left of them.
//!
//! [`init`] alone creates an index or a folder of objects; [`DataFolder::open`] takes what is there or refuses it.
//! Whichever process works on it holds a lock on the folder itself.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vault_proto::ids::{OrganisationId, VaultId};

use crate::blob::FileBlobs;
use crate::durable::{create_folders, sync_folder, sync_name, write_whole_file};
use crate::mark::{self, Mark, MarkFile};
use crate::place::Place;
use crate::refusal::{Reason, Refusal, typed};
use crate::server_error::ServerError;
use crate::store::{InspectionError, READ_NONCES, SqliteStore, inspect, is_fresh};

const DESCRIPTION: &str = "vault.json";
const DATABASE: &str = "vault.db";
const LOG: &str = "vault.db-wal";
const BLOBS: &str = "blobs";
const LEFTOVERS: &str = "leftovers";
const FORMAT: u32 = 3;

/// `vault.json`. Written last, by `init`: where it is, the rest has been there.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    vault: VaultId,
    organisation: OrganisationId,
    generation: u64,
}

/// What every format of it has.
#[derive(Deserialize)]
struct AnyDescription {
    format: u32,
}

/// What `init` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initialised {
    /// The folder is a vault now.
    New,
    /// It already was a vault of this organisation; nothing changed.
    Already,
}

/// A vault's data folder that no other process uses while this value lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    organisation: OrganisationId,
    mark: MarkFile,
    lock: Lock,
}

/// Keeps other processes out of a data folder. Locked is the folder: a file in it could be removed by somebody who
/// tidies up, and the next process would lock another one of its name.
#[derive(Debug)]
pub struct Lock {
    folder: File,
    place: Place,
}

impl Lock {
    /// Where the locked folder is.
    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing it would not do while a child of this process that has not begun its own program has it open, too.
        // Nobody holds it any more in either case.
        let _ = self.folder.unlock();
    }
}

fn refused(path: &Path, reason: Reason) -> ServerError {
    Refusal { data: path.to_owned(), reason }.into()
}

fn describe(path: &Path) -> Result<Option<Description>, ServerError> {
    let bytes = match std::fs::read(path.join(DESCRIPTION)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ServerError::folder(path, error)),
    };
    let damaged = |_| refused(path, Reason::DescriptionDamaged);
    let AnyDescription { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if format != FORMAT {
        return Err(ServerError::OtherFormat { path: path.to_owned(), found: format, known: FORMAT });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Whether a folder is empty or holds only what an `init` that died may have left: then nothing was ever stored in it.
fn is_unused(path: &Path) -> Result<bool, ServerError> {
    let failed = |error| ServerError::folder(path, error);
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        let unused = match &*name {
            BLOBS => FileBlobs::is_unused(&path.join(BLOBS)).map_err(failed)?,
            DATABASE => is_fresh(&path.join(DATABASE)),
            READ_NONCES => true,
            // Put aside and never given its name: of the database, or of a small file.
            name => name.starts_with("vault.db.new") || (name.starts_with('.') && name.ends_with(".new")),
        };
        if !unused {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lock(path: &Path) -> Result<Lock, ServerError> {
    let failed = |error| ServerError::folder(path, error);
    let folder = File::open(path).map_err(failed)?;
    match folder.try_lock() {
        Ok(()) => {
            let place = Place::of_open(path, &folder).map_err(failed)?;
            Ok(Lock { folder, place })
        }
        Err(TryLockError::WouldBlock) => Err(ServerError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// What of a data folder other users of the machine can look into. Whoever runs the server may want that for a backup,
/// so it is told and not changed.
fn open_to_others(path: &Path) -> Vec<&'static str> {
    let is_open =
        |path: &Path| path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    // Nobody gets through a folder that is closed to all others.
    if !is_open(path) {
        return Vec::new();
    }
    let names = [DESCRIPTION, DATABASE, LOG, BLOBS, LEFTOVERS];
    names.into_iter().filter(|name| is_open(&path.join(name))).collect()
}

/// Makes `path` the data folder of a server for `organisation`. What a call leaves that dies on the way, the next one
/// finishes.
///
/// # Errors
/// [`ServerError::NotEmpty`] if something else is in it, [`ServerError::OtherOrganisation`] if it is another
/// organisation's,
/// [`ServerError::Refused`] if it holds a vault whose `vault.json` is gone or damaged. Then nothing in it was changed.
pub fn init(path: &Path, organisation: OrganisationId) -> Result<Initialised, ServerError> {
    let failed = |error| ServerError::folder(path, error);
    if let Some(description) = describe(path)? {
        return if description.organisation == organisation {
            Ok(Initialised::Already)
        } else {
            Err(ServerError::OtherOrganisation(path.to_owned()))
        };
    }
    if !is_unused(path)? {
        return Err(not_described(path));
    }
    create_folders(path).and_then(|()| sync_name(path)).map_err(failed)?;
    let _lock = lock(path)?;
    // Another `init` may have been at work until it let go of the lock.
    if describe(path)?.is_some() {
        return init_again(path, organisation);
    }
    let database = path.join(DATABASE);
    let mark = match inspect(&database) {
        // A call that died had got so far.
        Ok(index) if index.organisation == organisation => index.whole,
        Ok(_) => return Err(ServerError::OtherOrganisation(path.to_owned())),
        Err(InspectionError::Missing) => {
            let mut vault = [0; VaultId::BYTES];
            getrandom::fill(&mut vault).map_err(|error| failed(io::Error::other(error)))?;
            let mark = Mark { vault: VaultId::from_bytes(vault), generation: 1, mark: 1 };
            SqliteStore::create(&database, organisation, mark)
                .map_err(|error| ServerError::index(path, error))?;
            mark
        }
        Err(error) => return Err(inspection_failed(path, error)),
    };
    sync_folder(path).map_err(failed)?;
    let blobs = path.join(BLOBS);
    FileBlobs::create(&blobs).map_err(|error| ServerError::blobs(path, error))?;
    MarkFile::create(&blobs, mark).map_err(failed)?;
    let Mark { vault, generation, .. } = mark;
    let description = Description { format: FORMAT, vault, organisation, generation };
    let bytes = serde_json::to_vec(&description).map_err(|error| failed(error.into()))?;
    write_whole_file(&path.join(DESCRIPTION), &bytes).map_err(failed)?;
    Ok(Initialised::New)
}

fn init_again(path: &Path, organisation: OrganisationId) -> Result<Initialised, ServerError> {
    match describe(path)? {
        Some(description) if description.organisation == organisation => Ok(Initialised::Already),
        _ => Err(ServerError::OtherOrganisation(path.to_owned())),
    }
}

/// A folder without `vault.json` in which there is something.
fn not_described(path: &Path) -> ServerError {
    // An index or objects are a vault's; everything else is somebody else's.
    if path.join(DATABASE).exists() || path.join(BLOBS).exists() {
        refused(path, Reason::DescriptionMissing)
    } else {
        ServerError::NotEmpty(path.to_owned())
    }
}

fn inspection_failed(path: &Path, error: InspectionError) -> ServerError {
    match error {
        InspectionError::Missing => refused(path, Reason::IndexMissing),
        InspectionError::NotAnIndex(found) => refused(path, Reason::NotAnIndex(found)),
        InspectionError::Torn(found) => refused(path, Reason::IndexTorn(found)),
        InspectionError::Failed(error) => ServerError::index(path, error),
    }
}

impl DataFolder {
    /// Takes an initialised folder for this process, once its index and its objects are known to belong together.
    /// Reads the whole index.
    ///
    /// # Errors
    /// [`ServerError::NotInitialised`], [`ServerError::OtherFormat`], [`ServerError::InUse`], [`ServerError::Refused`],
    /// [`ServerError::Folder`]. Then nothing in it was changed.
    pub fn open(path: &Path) -> Result<Self, ServerError> {
        let failed = |error| ServerError::folder(path, error);
        let Some(description) = describe(path)? else {
            return Err(if is_unused(path)? {
                ServerError::NotInitialised(path.to_owned())
            } else {
                match not_described(path) {
                    ServerError::NotEmpty(path) => ServerError::NotInitialised(path),
                    other => other,
                }
            });
        };
        let lock = lock(path)?;
        let index = inspect(&path.join(DATABASE)).map_err(|error| inspection_failed(path, error))?;
        let mark = match MarkFile::open(&path.join(BLOBS)) {
            Ok(Some(mark)) => mark,
            Ok(None) => return Err(refused(path, Reason::MarkMissing)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(refused(path, Reason::MarkDamaged));
            }
            Err(error) => return Err(failed(error)),
        };
        mark::check((description.vault, description.generation), &index, mark.mark(), mark.commits())
            .map_err(|reason| refused(path, reason))?;
        if index.organisation != description.organisation {
            let (described, index) = (description.organisation, index.organisation);
            return Err(refused(path, Reason::OtherOrganisation { described, index }));
        }
        let open = open_to_others(path);
        if !open.is_empty() {
            tracing::warn!(
                "other users of this machine can look into {} of the data folder, which tells who met whom and when; to \
                 keep them out: chmod -R go= {}",
                open.join(", "),
                typed(path)
            );
        }
        // Everything that will be acknowledged hangs from these names, and `init` may have died before it synced them.
        sync_folder(path).and_then(|()| sync_name(path)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), organisation: description.organisation, mark, lock })
    }

    /// The organisation it was initialised for.
    pub const fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens index and objects, and moves the mark. The lock stays with the caller, for as long as either is in use.
    ///
    /// # Errors
    /// [`ServerError::Index`], [`ServerError::Folder`].
    pub fn into_stores(self) -> Result<(Lock, SqliteStore, FileBlobs), ServerError> {
        let Self { path, mark, lock, .. } = self;
        let blobs = FileBlobs::open(path.join(BLOBS), path.join(LEFTOVERS))
            .map_err(|error| ServerError::blobs(&path, error))?;
        // What was opened by its path is of the folder that is locked, and not of one that took its place meanwhile.
        let store = lock.place.check().map_err(|error| ServerError::folder(&path, error)).and_then(|()| {
            SqliteStore::open(&path.join(DATABASE), mark).map_err(|error| ServerError::index(&path, error))
        })?;
        Ok((lock, store, blobs))
    }
}
