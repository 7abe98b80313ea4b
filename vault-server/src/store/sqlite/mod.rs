//! Metadata in one SQLite database: one writer thread, a few readers, write-ahead log, every commit on disk.

mod accounts;
mod comparisons;
mod inspection;
mod marks;
mod named;
mod nonces;
mod recordings;
mod rows;
mod segments;
mod sizes;
mod writer;

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use vault_proto::credentials::Member;
use vault_proto::http_signature::Nonce;
use vault_proto::ids::{AccountId, ComparisonNonce, Digest, KeyId, OrganisationId, RecordingId};
use vault_proto::timestamp::Timestamp;
use vault_proto::wire::ComparisonState;

use super::{
    DetailsRow, DirectoryRow, Enrolment, FinalRow, HexPrefix, ListQuery, ListedRecording, Named,
    NamedRecording, NamedSegment, NewPart, NewRecording, NewSeal, NewSegment, NonceUse, PartRow,
    RecordingRow, SegmentRow, Store, StoreError, Stored,
};
use crate::authorize::{Parties, Permit};
use crate::durable::private_file;
use crate::event::Event;
use crate::mark::{Mark, MarkFile};
pub use inspection::InspectionError;
pub(crate) use inspection::{inspect, is_fresh};
use marks::Marks;
use nonces::NonceMemory;
use rows::classified;
use writer::Writer;

mod migrations {
    refinery::embed_migrations!("migrations");
}

/// Connections that read at the same time.
const READERS: usize = 4;

/// A [`Store`] in a SQLite database. Nobody else may write to the file.
pub struct SqliteStore {
    writer: Writer,
    readers: Mutex<Readers>,
    returned: Condvar,
    nonces: Arc<NonceMemory>,
}

/// The connections that read.
struct Readers {
    idle: Vec<Connection>,
    /// Whether the store is closed: what comes back is closed too.
    closed: bool,
}

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite refuses.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A migration did not succeed, or the database is of a newer version of the program.
    #[error("{0}")]
    Migration(#[from] refinery::Error),
    /// It cannot be read or written.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The system refuses a file or a thread.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// The connection that writes, to a database of this version.
fn connect_writer(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // The log comes into the file only together with a mark.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

/// All in one transaction, each with its line in the history: a crash between a change and its line would leave a
/// database that no later start could bring forward.
fn migrate(connection: &mut Connection) -> Result<(), refinery::Error> {
    migrations::migrations::runner().set_grouped(true).run(connection).map(drop)
}

impl SqliteStore {
    /// Makes a new database at `path`, where there is none: the index of an organisation's vault without anything in
    /// it. A call that dies on the way leaves no file of that name.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn create(path: &Path, organisation: OrganisationId, mark: Mark) -> Result<(), OpenError> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".new");
        let aside = Path::new(&aside);
        // A database that a crash cut off was never anybody's, and what is beside it would be taken for its own.
        for end in ["", "-journal", "-wal", "-shm"] {
            let mut name = aside.as_os_str().to_owned();
            name.push(end);
            match std::fs::remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        // SQLite gives its other files the mode of this one.
        let file = private_file().create_new(true).open(aside)?;
        let mut connection = connect(aside, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "synchronous", "full")?;
        migrate(&mut connection)?;
        rows::write(
            &connection,
            "INSERT INTO vault (only_row, vault, organisation, generation, mark, commits) VALUES (1, ?1, ?2, ?3, ?4, 0)",
            (
                mark.vault.as_bytes(),
                organisation.as_bytes(),
                rows::number(mark.generation)?,
                rows::number(mark.mark)?,
            ),
        )?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.close().map_err(|(_, error)| error)?;
        crate::durable::name_whole_file(&file, aside, path)?;
        Ok(())
    }

    /// Opens the database at `path`, which goes with the objects of `marks`, brings it to the current version and
    /// moves the mark.
    ///
    /// # Errors
    /// [`OpenError`]; what was stored is as it was.
    pub fn open(path: &Path, marks: MarkFile) -> Result<Self, OpenError> {
        let mut connection = connect_writer(path)?;
        migrate(&mut connection)?;
        let mut marks = Marks::new(path, &connection, marks)?;
        marks.advance(&connection)?;
        let idle = (0..READERS)
            .map(|_| connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY))
            .collect::<Result<_, _>>()?;
        let nonces = Arc::new(NonceMemory::open(&connection)?);
        Ok(Self {
            nonces,
            writer: Writer::start(path, connection, marks)?,
            readers: Mutex::new(Readers { idle, closed: false }),
            returned: Condvar::new(),
        })
    }

    /// Runs `work` on one of the reading connections.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        // A poisoned lock only means that another reader panicked; connections are whole between two calls.
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = loop {
            if readers.closed {
                return Err(closed());
            }
            match readers.idle.pop() {
                Some(connection) => break connection,
                None => readers = self.returned.wait(readers).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(readers);
        let lent = Lent { store: self, connection: Some(connection) };
        lent.connection.as_ref().map_or_else(|| Err(closed()), work)
    }
}

/// A reading connection while it is in use. It goes back also if its reader panics, whose statements are reset by then:
/// a connection that did not come back would be missing until the server starts again.
struct Lent<'a> {
    store: &'a SqliteStore,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut readers = self.store.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if !readers.closed {
            readers.idle.extend(self.connection.take());
        }
        drop(readers);
        self.store.returned.notify_one();
    }
}

fn closed() -> StoreError {
    StoreError::Failed("it is closed".to_owned())
}

impl Store for SqliteStore {
    fn check_ready(&self) -> Result<(), StoreError> {
        self.read(|db| {
            rows::first(db, "SELECT created FROM nonce_floor", (), |row| row.get::<_, i64>(0)).map(drop)
        })?;
        self.writer.run(|_| Ok(()))
    }

    fn use_nonce(&self, key: KeyId, nonce: Nonce, created: i64, now: i64) -> Result<NonceUse, StoreError> {
        let memory = Arc::clone(&self.nonces);
        self.writer.run(move |db| memory.use_nonce(db, key, nonce, created, now))
    }

    fn member_of_device(&self, key: KeyId) -> Result<Option<(AccountId, Member)>, StoreError> {
        self.read(|db| accounts::member_of_device(db, key))
    }

    fn directory_entry(&self, account: AccountId) -> Result<Option<DirectoryRow>, StoreError> {
        self.read(|db| accounts::directory_entry(db, account))
    }

    fn is_enrolled(&self, account: AccountId) -> Result<bool, StoreError> {
        self.read(|db| sizes::is_enrolled(db, account))
    }

    fn directory_size(&self, account: AccountId) -> Result<u64, StoreError> {
        self.read(|db| sizes::directory(db, account))
    }

    fn accounts_by_prefix(
        &self,
        _permit: &Permit,
        prefix: &HexPrefix,
        limit: u32,
    ) -> Result<Vec<AccountId>, StoreError> {
        self.read(|db| accounts::by_prefix(db, prefix, limit))
    }

    fn enrol(&self, event: &Event, enrolment: &Enrolment) -> Result<(), StoreError> {
        let (event, enrolment) = (event.clone(), enrolment.clone());
        self.writer.run(move |db| {
            accounts::enrol(db, &enrolment)?;
            rows::add_event(db, &event)
        })
    }

    fn commit_comparison(
        &self,
        permit: &Permit,
        event: &Event,
        other: AccountId,
        commitment: Digest,
    ) -> Result<Stored, StoreError> {
        let own = permit.actor().account;
        self.change(event, move |db, event| comparisons::commit(db, own, other, commitment, event.at))
    }

    fn reveal_comparison(
        &self,
        permit: &Permit,
        event: &Event,
        other: AccountId,
        nonce: ComparisonNonce,
    ) -> Result<Stored, StoreError> {
        let own = permit.actor().account;
        self.change(event, move |db, event| comparisons::reveal(db, own, other, nonce, event.at))
    }

    fn comparison(
        &self,
        permit: &Permit,
        other: AccountId,
        at: Timestamp,
    ) -> Result<ComparisonState, StoreError> {
        let own = permit.actor().account;
        self.read(|db| comparisons::state(db, own, other, at))
    }

    fn withdraw_comparison(
        &self,
        permit: &Permit,
        event: &Event,
        other: AccountId,
    ) -> Result<Stored, StoreError> {
        let own = permit.actor().account;
        self.change(event, move |db, _| comparisons::withdraw(db, own, other))
    }

    fn parties(&self, recording: RecordingId) -> Result<Option<Parties>, StoreError> {
        self.read(|db| recordings::parties(db, recording))
    }

    fn would_create(&self, _permit: &Permit, recording: &NewRecording) -> Result<Stored, StoreError> {
        self.read(|db| recordings::would_create(db, recording))
    }

    fn create_recording(
        &self,
        _permit: &Permit,
        event: &Event,
        recording: &NewRecording,
    ) -> Result<Stored, StoreError> {
        let recording = recording.clone();
        self.change(event, move |db, event| recordings::create(db, &recording, event.at))
    }

    fn recording(&self, permit: &Permit) -> Result<RecordingRow, StoreError> {
        let recording = named(permit)?;
        self.read(|db| recordings::recording(db, recording))
    }

    fn statements_size(&self, permit: &Permit) -> Result<u64, StoreError> {
        let recording = named(permit)?;
        self.read(|db| sizes::statements(db, recording))
    }

    fn stored_bytes(&self) -> Result<u64, StoreError> {
        self.read(sizes::stored)
    }

    fn segment_bytes(&self, permit: &Permit, segment: u32) -> Result<u64, StoreError> {
        let recording = named(permit)?;
        self.read(|db| sizes::segment(db, recording, segment))
    }

    fn named(&self, recording: RecordingId, segment: Option<u32>) -> Result<Option<Named>, StoreError> {
        self.read(|db| named::named(db, recording, segment))
    }

    fn named_recordings(&self, after: u64) -> Result<Vec<NamedRecording>, StoreError> {
        self.read(|db| named::recordings(db, after))
    }

    fn list(&self, permit: &Permit, query: &ListQuery) -> Result<Vec<ListedRecording>, StoreError> {
        self.read(|db| recordings::list(db, permit.actor().account, query))
    }

    fn segments(&self, permit: &Permit) -> Result<Vec<SegmentRow>, StoreError> {
        let recording = named(permit)?;
        self.read(|db| segments::segments(db, recording))
    }

    fn segment(&self, permit: &Permit, index: u32) -> Result<SegmentRow, StoreError> {
        let recording = named(permit)?;
        self.read(|db| segments::segment(db, recording, index))
    }

    fn open_segment(
        &self,
        permit: &Permit,
        event: &Event,
        segment: &NewSegment,
    ) -> Result<Stored, StoreError> {
        let (recording, segment) = (named(permit)?, *segment);
        self.change(event, move |db, event| segments::open(db, recording, &segment, event.at))
    }

    fn part(&self, permit: &Permit, segment: u32, part: u32) -> Result<Option<PartRow>, StoreError> {
        let recording = named(permit)?;
        self.read(|db| segments::part(db, recording, segment, part))
    }

    fn add_part(&self, permit: &Permit, event: &Event, part: &NewPart) -> Result<Stored, StoreError> {
        let (recording, part) = (named(permit)?, part.clone());
        self.change(event, move |db, event| segments::add_part(db, recording, &part, event.at))
    }

    fn parts(&self, permit: &Permit, segment: u32) -> Result<Vec<PartRow>, StoreError> {
        let recording = named(permit)?;
        self.read(|db| segments::parts(db, recording, segment))
    }

    fn abandon_segment(&self, permit: &Permit, event: &Event, segment: u32) -> Result<Stored, StoreError> {
        let recording = named(permit)?;
        self.change(event, move |db, event| segments::abandon(db, recording, segment, event.at))
    }

    fn seal_segment(&self, permit: &Permit, event: &Event, seal: &NewSeal) -> Result<Stored, StoreError> {
        let (recording, seal) = (named(permit)?, seal.clone());
        self.change(event, move |db, event| segments::seal(db, recording, &seal, event.at))
    }

    fn set_details(
        &self,
        permit: &Permit,
        event: &Event,
        details: &DetailsRow,
    ) -> Result<Stored, StoreError> {
        let (recording, details) = (named(permit)?, *details);
        self.change(event, move |db, event| recordings::set_details(db, recording, &details, event.at))
    }

    fn set_final_seal(
        &self,
        permit: &Permit,
        event: &Event,
        final_seal: &FinalRow,
    ) -> Result<Stored, StoreError> {
        let (recording, final_seal) = (named(permit)?, final_seal.clone());
        self.change(event, move |db, event| recordings::set_final_seal(db, recording, &final_seal, event.at))
    }

    fn move_mark(&self) -> Result<(), StoreError> {
        self.writer.move_mark()
    }

    fn close(&self) -> Result<(), StoreError> {
        // The last connection to be closed brings the log into the file, and those that only read cannot.
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.closed = true;
        readers.idle.clear();
        drop(readers);
        self.returned.notify_all();
        self.writer.close()
    }
}

impl SqliteStore {
    /// Runs a change and adds its event in the same transaction, unless nothing changed.
    fn change(
        &self,
        event: &Event,
        work: impl FnOnce(&Connection, &Event) -> Result<Stored, StoreError> + Send + 'static,
    ) -> Result<Stored, StoreError> {
        let event = event.clone();
        self.writer.run(move |db| {
            let stored = work(db, &event)?;
            if stored == Stored::New {
                rows::add_event(db, &event)?;
            }
            Ok(stored)
        })
    }
}

fn named(permit: &Permit) -> Result<RecordingId, StoreError> {
    permit.recording().ok_or(StoreError::NotFound)
}

/// Whether a database error means that a write may not have reached the disk.
fn is_failed_sync(error: &rusqlite::Error) -> bool {
    // SQLITE_IOERR_FSYNC and SQLITE_IOERR_DIR_FSYNC.
    matches!(error, rusqlite::Error::SqliteFailure(failure, _) if matches!(failure.extended_code, 1034 | 1290))
}

fn failed(error: rusqlite::Error) -> StoreError {
    if is_failed_sync(&error) {
        crate::durable::stop_unless_durable(Err(std::io::Error::other(
            "the database could not be synchronised",
        )));
    }
    classified(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database that may not grow says so, keeps what it had, and takes the same again once there is room.
    #[test]
    fn a_full_database_is_storage_full_and_recovers() {
        let folder = tempfile::tempdir().unwrap();
        let mark = Mark { vault: vault_proto::ids::VaultId::from_bytes([1; 16]), generation: 1, mark: 1 };
        let path = folder.path().join("vault.db");
        SqliteStore::create(&path, OrganisationId::from_bytes([1; 32]), mark).unwrap();
        let store = SqliteStore::open(&path, MarkFile::create(folder.path(), mark).unwrap()).unwrap();
        let key = KeyId::from_bytes([1; 32]);
        let most_pages = |pages: u32| {
            let set = move |db: &Connection| db.pragma_update(None, "max_page_count", pages).map_err(failed);
            store.writer.run(set).unwrap();
        };
        let use_nonce = |number: u16| {
            let mut nonce = [0; 16];
            nonce[..2].copy_from_slice(&number.to_be_bytes());
            store.use_nonce(key, Nonce::from_bytes(nonce), 1000, 1000)
        };
        // No fewer than there are already.
        most_pages(1);
        let (stored, error) =
            (0..10_000).find_map(|number| use_nonce(number).err().map(|error| (number, error))).unwrap();
        assert!(matches!(error, StoreError::Full), "{error:?}");
        assert!(stored > 0);
        assert_eq!(use_nonce(0).unwrap(), NonceUse::Repeated);
        most_pages(1_000_000);
        assert_eq!(use_nonce(stored).unwrap(), NonceUse::Fresh);
    }

    /// As many readers as there are connections panic, and one more reads.
    #[test]
    fn a_reader_that_panics_gives_its_connection_back() {
        let folder = tempfile::tempdir().unwrap();
        let mark = Mark { vault: vault_proto::ids::VaultId::from_bytes([1; 16]), generation: 1, mark: 1 };
        let path = folder.path().join("vault.db");
        SqliteStore::create(&path, OrganisationId::from_bytes([1; 32]), mark).unwrap();
        let store = SqliteStore::open(&path, MarkFile::create(folder.path(), mark).unwrap()).unwrap();
        let read = |panics: bool| {
            let sql = "SELECT created FROM nonce_floor";
            store.read(|db| {
                rows::first(db, sql, (), |row| {
                    assert!(!panics, "on purpose");
                    row.get::<_, i64>(0)
                })
            })
        };
        for _ in 0..=READERS {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(true))).unwrap_err();
        }
        assert_eq!(store.readers.lock().unwrap().idle.len(), READERS);
        assert_eq!(read(false).unwrap(), Some(0));
        store.close().unwrap();
    }
}
