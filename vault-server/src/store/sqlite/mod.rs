//! Metadata in one SQLite database: one writer thread, a few readers, write-ahead log, every commit on disk.

mod accounts;
mod comparisons;
mod connections;
mod inspection;
mod marks;
mod named;
mod nonce_reserve;
mod nonces;
mod readers;
mod recordings;
mod rows;
mod segments;
mod sizes;
mod statements;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use vault_proto::envelope::Envelope;
use vault_proto::ids::{AccountId, ComparisonNonce, Digest, KeyId, OrganisationId, RecordingId};
use vault_proto::members::{CertificateChain, MemberStatements};
use vault_proto::statements::IssuerCertificate;
use vault_proto::timestamp::Timestamp;
use vault_proto::wire::ComparisonState;

use super::{
    Change, DetailsRow, DirectoryRow, Enrolment, FinalRow, HexPrefix, ListQuery, ListedRecording, Named,
    NamedRecording, NamedSegment, NewNonce, NewPart, NewRecording, NewSeal, NewSegment, NonceUse, PartRow,
    RecordingRow, SegmentRow, Store, StoreError, Stored, is_too_far_ahead,
};
use crate::authorize::{Parties, Permit};
use crate::durable::private_file;
use crate::event::Event;
use crate::mark::{Mark, MarkFile};
use connections::{Connections, LogIndex, connect};
pub use inspection::InspectionError;
pub(crate) use inspection::{inspect, is_fresh};
use marks::Marks;
use nonce_reserve::NonceReserve;
use nonces::NonceMemory;
use readers::Readers;
use rows::classified;
use writer::Writer;

mod migrations {
    refinery::embed_migrations!("migrations");
}

/// A [`Store`] in a SQLite database. Nobody else may write to the file.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    nonces: Arc<NonceMemory>,
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
        let mut connection = connect(aside, OpenFlags::SQLITE_OPEN_READ_WRITE, LogIndex::Shared)?;
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
        NonceReserve::create(&reserve_of(path))?;
        crate::durable::name_whole_file(&file, aside, path)?;
        Ok(())
    }

    /// Opens the database at `path`, which goes with the objects of `marks`, brings it to the current version and
    /// moves the mark.
    ///
    /// # Errors
    /// [`OpenError`]; what was stored is as it was.
    pub fn open(path: &Path, marks: MarkFile) -> Result<Self, OpenError> {
        let Connections { index, writer: mut connection, readers } = Connections::open(path)?;
        migrate(&mut connection)?;
        let mut marks = Marks::new(&mut connection, marks)?;
        match marks.advance(&connection) {
            // Reads go on. Everything is as the last server left it, and the mark is moved once there is room.
            Err(StoreError::Full) => tracing::warn!("the disk is full: the mark is moved later"),
            moved => moved?,
        }
        let nonces =
            Arc::new(NonceMemory::open(&connection, NonceReserve::open_or_create(&reserve_of(path)))?);
        Ok(Self {
            nonces,
            writer: Writer::start((path, index), connection, marks)?,
            readers: Readers::new(readers),
        })
    }

    /// The same, with another number of nonces kept of one account than [`MAX_NONCES`](super::MAX_NONCES).
    #[must_use]
    pub fn with_nonces(self, most: u32) -> Self {
        self.nonces.limit(most);
        self
    }

    /// Runs `work` on one of the reading connections.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.readers.read(work)
    }
}

/// Name of the file of nonces beside a database.
pub(crate) const READ_NONCES: &str = "read-nonces";

fn reserve_of(database: &Path) -> PathBuf {
    database.with_file_name(READ_NONCES)
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

    fn remembers_reads_when_full(&self) -> bool {
        self.nonces.has_reserve()
    }

    fn use_nonce(&self, nonce: &NewNonce) -> Result<NonceUse, StoreError> {
        let (memory, nonce) = (Arc::clone(&self.nonces), *nonce);
        let used = match self.writer.run(move |db| memory.use_nonce(db, &nonce)) {
            // On the same thread: what it finds in the table is all that was ever committed.
            Err(StoreError::Full) if nonce.reads => {
                let memory = Arc::clone(&self.nonces);
                self.writer.run_outside(move |db| memory.use_reserve(db, &nonce))
            }
            used => used,
        }?;
        if used == NonceUse::Fresh {
            self.nonces.count(&nonce);
        }
        Ok(used)
    }

    fn member_of_device(&self, key: KeyId) -> Result<Option<(AccountId, MemberStatements)>, StoreError> {
        self.read(|db| accounts::member_of_device(db, key))
    }

    fn directory_entry(&self, account: AccountId) -> Result<Option<DirectoryRow>, StoreError> {
        self.read(|db| accounts::directory_entry(db, account))
    }

    fn issuers(&self) -> Result<Vec<Envelope<IssuerCertificate>>, StoreError> {
        self.read(accounts::issuers)
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

    fn enrol(&self, event: &Event, enrolment: &Enrolment) -> Result<i64, StoreError> {
        let (event, enrolment) = (event.clone(), enrolment.clone());
        self.writer.run(move |db| {
            let enrolled = accounts::enrol(db, &enrolment)?;
            if enrolled.key_list {
                rows::add_event(db, &event)?;
            }
            Ok(enrolled.bytes)
        })
    }

    fn replace_certificate(
        &self,
        _permit: &Permit,
        event: &Event,
        account: AccountId,
        chain: &CertificateChain,
        replaces: Digest,
    ) -> Result<i64, StoreError> {
        let (event, chain) = (event.clone(), chain.clone());
        self.writer.run(move |db| {
            let bytes = accounts::replace_certificate(db, account, &chain, replaces)?;
            rows::add_event(db, &event)?;
            Ok(bytes)
        })
    }

    fn has_met(&self, patient: AccountId, other: AccountId) -> Result<bool, StoreError> {
        self.read(|db| accounts::has_met(db, patient, other))
    }

    fn commit_comparison(
        &self,
        permit: &Permit,
        other: AccountId,
        commitment: Digest,
        at: Timestamp,
    ) -> Result<Stored, StoreError> {
        let own = permit.actor().account;
        self.writer.run(move |db| comparisons::commit(db, own, other, commitment, at))
    }

    fn reveal_comparison(
        &self,
        permit: &Permit,
        other: AccountId,
        nonce: ComparisonNonce,
        at: Timestamp,
    ) -> Result<Stored, StoreError> {
        let own = permit.actor().account;
        self.writer.run(move |db| comparisons::reveal(db, own, other, nonce, at))
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

    fn withdraw_comparison(&self, permit: &Permit, other: AccountId) -> Result<Stored, StoreError> {
        let own = permit.actor().account;
        self.writer.run(move |db| comparisons::withdraw(db, own, other))
    }

    fn statement(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|db| statements::envelope(db, digest))
    }

    fn statement_size(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        self.read(|db| statements::size(db, digest))
    }

    fn statements_after(&self, after: Option<&Digest>) -> Result<Vec<(Digest, u64)>, StoreError> {
        self.read(|db| statements::page(db, after))
    }

    fn parties(&self, recording: RecordingId) -> Result<Option<Parties>, StoreError> {
        self.read(|db| recordings::parties(db, recording))
    }

    fn would_create(&self, _permit: &Permit, recording: &NewRecording) -> Result<Stored, StoreError> {
        self.read(|db| recordings::would_create(db, recording))
    }

    fn newest_manifest(&self, permit: &Permit) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|db| recordings::newest_manifest(db, permit.actor()))
    }

    fn create_recording(
        &self,
        _permit: &Permit,
        event: &Event,
        recording: &NewRecording,
    ) -> Result<Change, StoreError> {
        let (id, event, recording) =
            (recording.manifest.unverified().recording, event.clone(), recording.clone());
        self.writer.run(move |db| {
            if recordings::create(db, &recording, event.at)? == Stored::Same {
                return Ok(Change { stored: Stored::Same, bytes: 0 });
            }
            let mut bytes = recordings::stored(db, id)?;
            for (digest, envelope) in &recording.statements {
                bytes = bytes.saturating_add(statements::add(db, digest, envelope)?);
            }
            rows::add_event(db, &event)?;
            Ok(Change { stored: Stored::New, bytes })
        })
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

    fn named(&self, recording: RecordingId, segment: Option<u32>) -> Result<Option<Named>, StoreError> {
        self.read(|db| named::named(db, recording, segment))
    }

    fn named_recordings(&self, after: u64) -> Result<Vec<NamedRecording>, StoreError> {
        self.read(|db| named::recordings(db, after))
    }

    fn list(&self, permit: &Permit, query: &ListQuery) -> Result<Vec<ListedRecording>, StoreError> {
        self.read(|db| recordings::list(db, permit.actor(), query))
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
    ) -> Result<Change, StoreError> {
        let (recording, segment) = (named(permit)?, *segment);
        self.change(recording, event, move |db, event| segments::open(db, recording, &segment, event.at))
    }

    fn part(&self, permit: &Permit, segment: u32, part: u32) -> Result<Option<PartRow>, StoreError> {
        let recording = named(permit)?;
        self.read(|db| segments::part(db, recording, segment, part))
    }

    fn add_part(&self, permit: &Permit, event: &Event, part: &NewPart) -> Result<Change, StoreError> {
        let (recording, part) = (named(permit)?, part.clone());
        self.change(recording, event, move |db, event| segments::add_part(db, recording, &part, event.at))
    }

    fn parts(&self, permit: &Permit, segment: u32) -> Result<Vec<PartRow>, StoreError> {
        let recording = named(permit)?;
        self.read(|db| segments::parts(db, recording, segment))
    }

    fn abandon_segment(&self, permit: &Permit, event: &Event, segment: u32) -> Result<Change, StoreError> {
        let recording = named(permit)?;
        self.change(recording, event, move |db, event| segments::abandon(db, recording, segment, event.at))
    }

    fn seal_segment(&self, permit: &Permit, event: &Event, seal: &NewSeal) -> Result<Change, StoreError> {
        let (recording, seal) = (named(permit)?, seal.clone());
        self.change(recording, event, move |db, event| segments::seal(db, recording, &seal, event.at))
    }

    fn set_details(
        &self,
        permit: &Permit,
        event: &Event,
        details: &DetailsRow,
    ) -> Result<Change, StoreError> {
        let (recording, details) = (named(permit)?, *details);
        self.change(recording, event, move |db, event| {
            recordings::set_details(db, recording, &details, event.at)
        })
    }

    fn set_final_seal(
        &self,
        permit: &Permit,
        event: &Event,
        final_seal: &FinalRow,
    ) -> Result<Change, StoreError> {
        let (recording, final_seal) = (named(permit)?, final_seal.clone());
        self.change(recording, event, move |db, event| {
            recordings::set_final_seal(db, recording, &final_seal, event.at)
        })
    }

    fn move_mark(&self) -> Result<(), StoreError> {
        self.writer.move_mark()
    }

    fn close(&self) -> Result<(), StoreError> {
        // The last connection to be closed brings the log into the file, and those that only read cannot.
        self.readers.close();
        self.writer.close()
    }
}

impl SqliteStore {
    /// Runs a change of a recording and adds its event in the same transaction, unless nothing changed.
    fn change(
        &self,
        recording: RecordingId,
        event: &Event,
        work: impl FnOnce(&Connection, &Event) -> Result<Stored, StoreError> + Send + 'static,
    ) -> Result<Change, StoreError> {
        let event = event.clone();
        self.writer.run(move |db| {
            let before = recordings::stored(db, recording)?;
            let stored = work(db, &event)?;
            if stored == Stored::New {
                rows::add_event(db, &event)?;
            }
            let bytes = recordings::stored(db, recording)?.saturating_sub(before);
            Ok(Change { stored, bytes })
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
            store.use_nonce(&NewNonce {
                account: AccountId::from_bytes([1; 32]),
                key,
                nonce: vault_proto::http_signature::Nonce::from_bytes(nonce),
                created: 1000,
                now: 1000,
                reads: false,
            })
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
}
