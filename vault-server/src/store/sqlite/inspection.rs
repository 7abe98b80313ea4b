//! What a database is, before anything is done to it. Nothing here changes a byte of it or of its log.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};
use vault_proto::ids::{OrganisationId, VaultId};

use super::connections::{LogIndex, connect};
use super::rows::classified;
use super::{OpenError, StoreError};
use crate::mark::{IndexMarks, Mark};

/// Why a file is not the index of a vault that can be opened.
#[derive(Debug, thiserror::Error)]
pub enum InspectionError {
    /// There is no such file.
    #[error("there is no index")]
    Missing,
    /// It is something else; says what.
    #[error("{0}")]
    NotAnIndex(&'static str),
    /// It is damaged; says how.
    #[error("the index has a {0}")]
    Torn(String),
    /// It cannot be read.
    #[error("{0}")]
    Failed(OpenError),
}

impl From<rusqlite::Error> for InspectionError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
        let code = error.sqlite_error_code();
        match (&error, code) {
            (_, Some(ErrorCode::NotADatabase)) => Self::NotAnIndex("it is no database"),
            (_, Some(ErrorCode::DatabaseCorrupt)) => Self::Torn(format!("damaged page: {error}")),
            // No such table, or no such column.
            (_, Some(ErrorCode::Unknown)) | (rusqlite::Error::SqlInputError { .. }, _) => {
                Self::NotAnIndex("it is a database without the tables of a vault")
            }
            (rusqlite::Error::QueryReturnedNoRows, _) => Self::NotAnIndex("it does not say of which vault"),
            (FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..), _) => {
                Self::Torn(format!("damaged row: {error}"))
            }
            _ => Self::Failed(error.into()),
        }
    }
}

/// The log beside a database.
fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn length(path: &Path) -> Result<Option<u64>, InspectionError> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(InspectionError::Failed(error.into())),
    }
}

/// The database file by itself: SQLite looks neither for a log nor for another process.
fn open_file_alone(path: &Path) -> Result<Connection, rusqlite::Error> {
    let mut uri = b"file:".to_vec();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend(format!("%{byte:02x}").bytes()),
            other => uri.push(*other),
        }
    }
    uri.extend(b"?immutable=1");
    connect(
        Path::new(&OsString::from_vec(uri)),
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
        LogIndex::Shared,
    )
}

/// The database with its log, which stays as it is.
fn open_with_log(path: &Path) -> Result<Connection, rusqlite::Error> {
    let open = |flags, index| {
        let connection = connect(path, flags, index)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.pragma_update(None, "query_only", true)?;
        // Whether there is room for the index of the log shows when the database is read.
        vault_row(&connection).map(|_| connection)
    };
    match open(OpenFlags::SQLITE_OPEN_READ_ONLY, LogIndex::Shared) {
        // Only who could write keeps it in memory.
        Err(error) if matches!(classified(&error), StoreError::Full) => {
            open(OpenFlags::SQLITE_OPEN_READ_WRITE, LogIndex::InMemory)
        }
        opened => opened,
    }
}

fn only_row<T>(
    db: &Connection,
    sql: &str,
    read: impl FnOnce(&Row<'_>) -> Result<T, rusqlite::Error>,
) -> Result<T, rusqlite::Error> {
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query(())?;
    rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows).and_then(read)
}

/// What the one row about the vault says.
struct VaultRow {
    mark: Mark,
    organisation: OrganisationId,
    commits: u64,
}

fn vault_row(db: &Connection) -> Result<VaultRow, rusqlite::Error> {
    only_row(db, "SELECT vault, generation, mark, commits, organisation FROM vault", |row| {
        let number = |column| -> Result<u64, rusqlite::Error> {
            let value: i64 = row.get(column)?;
            u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
        };
        Ok(VaultRow {
            mark: Mark { vault: VaultId::from_bytes(row.get(0)?), generation: number(1)?, mark: number(2)? },
            commits: number(3)?,
            organisation: OrganisationId::from_bytes(row.get(4)?),
        })
    })
}

/// Refuses a file that ends inside a page: SQLite would read zeros for the rest, and find them a page.
fn check_length(path: &Path) -> Result<(), InspectionError> {
    let mut head = [0; 18];
    let read = || -> io::Result<u64> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.read_exact(&mut head)?;
        Ok(length)
    };
    let mut read = read;
    let length = match read() {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(InspectionError::NotAnIndex("it is no database"));
        }
        length => length.map_err(|error| InspectionError::Failed(error.into()))?,
    };
    let [.., high, low] = head;
    // 65536 does not fit, and is written as 1.
    let page = match u16::from_be_bytes([high, low]) {
        1 => 65_536,
        other => u64::from(other),
    };
    if head.starts_with(b"SQLite format 3\0") && length.checked_rem(page) != Some(0) {
        return Err(InspectionError::Torn("length that is no whole number of pages".to_owned()));
    }
    Ok(())
}

/// Reads the whole of a database: whose index it is, and that every page is one.
///
/// # Errors
/// [`InspectionError`].
pub(crate) fn inspect(path: &Path) -> Result<IndexMarks, InspectionError> {
    match length(path)? {
        None => return Err(InspectionError::Missing),
        Some(0) => return Err(InspectionError::NotAnIndex("it is empty")),
        Some(_) => {}
    }
    let has_log = length(&log_of(path))?.is_some_and(|length| length > 0);
    let alone = || -> Result<(VaultRow, Connection), InspectionError> {
        check_length(path)?;
        let db = open_file_alone(path)?;
        Ok((vault_row(&db)?, db))
    };
    let (file, whole, db) = match alone() {
        Ok((row, db)) if !has_log => (Some(row.mark), row, db),
        Err(error) if !has_log || matches!(error, InspectionError::Failed(_)) => return Err(error),
        file => {
            let db = open_with_log(path)?;
            (file.ok().map(|(row, _)| row.mark), vault_row(&db)?, db)
        }
    };
    // Of the wrong index nobody needs to know whether it is sound.
    let begun = std::time::Instant::now();
    let found: String = only_row(&db, "PRAGMA quick_check(1)", |row| row.get(0))?;
    tracing::debug!(seconds = begun.elapsed().as_secs_f64(), "the index was read");
    if found != "ok" {
        let line = found.lines().next().unwrap_or_default();
        return Err(InspectionError::Torn(format!("damaged page: {line}")));
    }
    let VaultRow { mark, organisation, commits } = whole;
    Ok(IndexMarks { file, whole: mark, organisation, commits, has_log })
}

/// Whether a file is the index of a vault in which nothing was ever stored.
pub(crate) fn is_fresh(path: &Path) -> bool {
    let nothing_stored = || -> Result<bool, InspectionError> {
        inspect(path)?;
        if length(&log_of(path))?.is_some_and(|length| length > 0) {
            return Ok(false);
        }
        let sql = "SELECT (SELECT count(*) FROM accounts) + (SELECT count(*) FROM recordings)
                        + (SELECT count(*) FROM events) + (SELECT count(*) FROM nonces) = 0";
        Ok(only_row(&open_file_alone(path)?, sql, |row| row.get(0))?)
    };
    nothing_stored().unwrap_or(false)
}
