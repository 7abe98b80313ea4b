//! Why the server does not start or run, in three parts: what happened, what it means for the data, what to do.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::blob::BlobError;
use crate::store::{OpenError, StoreError};

/// A failure of the server as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// `init` on a folder with other things in it.
    #[error(
        "The folder {} is not empty and is not a vault.\nNothing in it was changed.\nGive an empty or a new folder as --data.",
        .0.display()
    )]
    NotEmpty(PathBuf),
    /// `init` on a vault of another organisation.
    #[error(
        "The folder {} is a vault of another organisation.\nNothing in it was changed.\nCheck --organisation, or give \
         another folder as --data: one folder serves one organisation.",
        .0.display()
    )]
    OtherOrganisation(PathBuf),
    /// `serve` on a folder that is no vault.
    #[error(
        "The folder {folder} is not a vault.\nNothing in it was changed.\nCheck --data, or make it one: vault-server init --data \
         {folder} --organisation ROOT-FINGERPRINT",
        folder = .0.display()
    )]
    NotInitialised(PathBuf),
    /// A vault of a format that this program does not know.
    #[error(
        "The file vault.json in {} is damaged or of a newer version of vault-server.\nThe data was not touched.\nRun the \
         version of vault-server that wrote it, or restore vault.json from a backup.",
        .0.display()
    )]
    UnknownFolder(PathBuf),
    /// Another server uses the folder.
    #[error(
        "Another vault-server is using the folder {}.\nThe data was not touched.\nStop the other one, or start this one on \
         its own folder.",
        .0.display()
    )]
    InUse(PathBuf),
    /// The folder cannot be used.
    #[error(
        "The folder {} cannot be used: {error}.\nWhat was stored before is unchanged.\nCheck that it exists, that its \
         owner runs the server, and that the disk has room.",
        path.display()
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The database cannot be opened.
    #[error(
        "The database cannot be opened: {0}.\nNothing was changed.\nIf a newer version of vault-server wrote it, run that \
         version; otherwise restore vault.db from a backup. The recordings themselves are in the blobs folder."
    )]
    Database(#[from] OpenError),
    /// The database cannot be read.
    #[error(
        "The database cannot be read: {0}.\nNothing was changed.\nCheck the disk; restore vault.db from a backup if it is \
         damaged. The recordings themselves are in the blobs folder."
    )]
    Store(#[from] StoreError),
    /// The blob folder cannot be opened.
    #[error(
        "The blob folder cannot be opened: {0}.\nNothing was changed.\nCheck the owner of the folder and the room on the disk."
    )]
    Blobs(#[from] BlobError),
    /// The address cannot be listened on.
    #[error(
        "The server cannot listen on {address}: {error}.\nThe data was not touched.\nStop what uses the address, or choose \
         another with --listen."
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The network or the system failed while serving.
    #[error(
        "The server stopped: {0}.\nEverything that was acknowledged is stored.\nStart it again; if it stops again, look at \
         the log."
    )]
    Stopped(io::Error),
}

impl ServerError {
    pub(crate) fn folder(path: &Path, error: io::Error) -> Self {
        Self::Folder { path: path.to_owned(), error }
    }
}
