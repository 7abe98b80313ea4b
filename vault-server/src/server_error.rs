//! Why the server does not start or run, in three lines: what happened, what it means for the data, what to do. What is
//! to be typed stands at the end of the third, after its only colon. Every exit code of the program is decided here.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::blob::BlobError;
use crate::refusal::{Reason, Refusal, typed};
use crate::store::OpenError;

/// A failure of the server as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// `init` on a folder with other things in it.
    #[error(
        "The folder {} is not empty and is not a vault.\nNothing in it was changed.\nGive an empty or a new folder \
         as --data.",
        .0.display()
    )]
    NotEmpty(PathBuf),
    /// `init` on a vault of another organisation.
    #[error(
        "The folder {} is a vault of another organisation.\nNothing in it was changed.\nCheck --organisation, or give \
         another folder as --data; one folder serves one organisation.",
        .0.display()
    )]
    OtherOrganisation(PathBuf),
    /// `serve` on a folder that is no vault.
    #[error(
        "The folder {folder} is not a vault.\nNothing in it was changed.\nCheck --data, and that the disk is \
         mounted; or make it one: vault-server init --data {typed} --organisation ROOT-FINGERPRINT",
        folder = .0.display(),
        typed = typed(.0)
    )]
    NotInitialised(PathBuf),
    /// A vault of a format that this program does not know.
    #[error(
        "The folder {} is a vault of format {found}; this vault-server knows format {known}.\nNothing in it was \
         changed.\nRun the vault-server that made it, or make a new vault in another folder with vault-server init.",
        path.display()
    )]
    OtherFormat {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The one that this program knows.
        known: u32,
    },
    /// Another server uses the folder.
    #[error(
        "Another vault-server is using the folder {}.\nThe data was not touched.\nStop the other one, or start this \
         one on its own folder.",
        .0.display()
    )]
    InUse(PathBuf),
    /// What is in the folder does not belong together.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The folder cannot be used.
    #[error(
        "The folder {} cannot be used: {error}.\nWhat was stored before is unchanged.\nCheck that it exists, that its \
         owner runs the server, and that the disk has room and works; then start it again.",
        path.display()
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The index cannot be opened or read.
    #[error(
        "The index of {} cannot be used: {error}.\nWhat was stored before is unchanged.\nCheck that the disk has \
         room and works, and that the owner of vault.db runs the server; then start it again.",
        path.display()
    )]
    Index {
        /// The folder.
        path: PathBuf,
        /// What the database said.
        error: OpenError,
    },
    /// The index is of a newer version of the program.
    #[error(
        "The index of {} is of a newer version of vault-server: {error}.\nNothing in the folder was changed.\nRun that \
         version.",
        path.display()
    )]
    NewerIndex {
        /// The folder.
        path: PathBuf,
        /// What was found.
        error: OpenError,
    },
    /// It would listen on every address of its machine, and was given no name.
    #[error(
        "The server was to listen on every address of this machine ({address}), and nothing says under which name clients \
         reach it; it would refuse every request.\nThe data was not touched.\nSay the name, as clients type it after \
         https:// or http://, which may be the machine's address and the port: vault-server serve --data {typed} --listen \
         {address} --authority vault.example",
        typed = typed(data)
    )]
    Nameless {
        /// The folder.
        data: PathBuf,
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error(
        "The server cannot listen on {address}: {error}.\nThe data was not touched.\nStop what uses the address, or \
         choose another with --listen."
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The system refused what a server needs, or a part of it panicked.
    #[error(
        "The server stopped: {0}.\nEverything that was acknowledged is stored.\nStart it again; if it stops again, \
         report it with the log."
    )]
    Stopped(io::Error),
}

/// Exit codes of the program; those of `vault-cli` mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Exit {
    Bug = 1,
    Usage = 2,
    Damaged = 11,
    Format = 15,
    Network = 18,
    Disk = 19,
}

impl ServerError {
    pub(crate) fn folder(path: &Path, error: io::Error) -> Self {
        Self::Folder { path: path.to_owned(), error }
    }

    pub(crate) fn blobs(path: &Path, error: BlobError) -> Self {
        Self::folder(
            path,
            match error {
                BlobError::NotFound => io::Error::from(io::ErrorKind::NotFound),
                BlobError::Full => io::Error::from(io::ErrorKind::StorageFull),
                BlobError::Failed(error) => error,
            },
        )
    }

    pub(crate) fn index(path: &Path, error: OpenError) -> Self {
        let path = path.to_owned();
        match error {
            OpenError::Migration(ref failure) if !is_of_sqlite(failure) => Self::NewerIndex { path, error },
            OpenError::Sqlite(ref failure) if is_torn(failure) => {
                let reason = Reason::IndexTorn(format!("damaged page: {failure}"));
                Refusal { data: path, reason }.into()
            }
            error => Self::Index { path, error },
        }
    }

    /// The exit code of the program.
    pub const fn exit_code(&self) -> u8 {
        let exit = match self {
            Self::NotEmpty(_)
            | Self::OtherOrganisation(_)
            | Self::NotInitialised(_)
            | Self::Nameless { .. } => Exit::Usage,
            Self::OtherFormat { .. } | Self::NewerIndex { .. } => Exit::Format,
            Self::InUse(_) | Self::Folder { .. } | Self::Index { .. } => Exit::Disk,
            Self::Refused(_) => Exit::Damaged,
            Self::Listen { .. } => Exit::Network,
            Self::Stopped(_) => Exit::Bug,
        };
        exit as u8
    }
}

/// Whether a migration failed because the database did, and not because its history is another one.
fn is_of_sqlite(failure: &refinery::Error) -> bool {
    matches!(failure.kind(), refinery::error::Kind::Connection(..))
}

fn is_torn(failure: &rusqlite::Error) -> bool {
    matches!(failure.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
