//! Ciphertext and statements as bytes: the objects of FORMAT.md, "Objects".

mod files;
mod leftovers;
mod listing;

pub use files::FileBlobs;
pub use leftovers::{Day, KEPT_DAYS};

use std::time::SystemTime;

use vault_proto::ids::{Digest, RecordingId};
pub use vault_proto::object::Object;
use vault_proto::problem::ProblemCode;

use crate::authorize::{Access, Permit};
use crate::problem::Problem;

/// The name of an object of a recording that the holder was allowed to reach. Made only from a [`Permit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlobKey {
    recording: RecordingId,
    object: Object,
}

impl BlobKey {
    /// Names `object` of the permit's recording.
    ///
    /// # Errors
    /// [`ProblemCode::Forbidden`] if the permit's action does not reach this kind of object.
    pub fn new(permit: &Permit, object: Object) -> Result<Self, Problem> {
        let recording = permit.recording().ok_or(Problem::from(ProblemCode::Forbidden))?;
        let content = matches!(
            object,
            Object::Key { .. } | Object::Header { .. } | Object::Body { .. } | Object::Details
        );
        let reached = match permit.action().access() {
            Access::Create | Access::Seal => true,
            Access::Statements => !content,
            Access::Content => content,
            Access::Enrolled | Access::LookUp | Access::Own | Access::Named | Access::List => false,
        };
        if reached { Ok(Self { recording, object }) } else { Err(ProblemCode::Forbidden.into()) }
    }

    /// The folder and name under which every store keeps it, `rec/<id>/…`.
    pub fn path(&self) -> String {
        self.object.path(&self.recording)
    }
}

/// One file of a blob store, as a search for leftovers finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its recording.
    pub recording: RecordingId,
    /// The segment in whose folder it lies, if it is one of a segment's.
    pub segment: Option<u32>,
    /// What it is; `None` for one that was put aside and never got its name.
    pub object: Option<Object>,
    /// Bytes that it has.
    pub length: u64,
    /// When it was last written to, by the clock of the store.
    pub modified: SystemTime,
    /// Its name below the root of the store.
    pub name: String,
}

/// One file in the folder of the statements, as a search for leftovers finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredStatement {
    /// The digest under which it lies; `None` for one that was put aside and never got its name.
    pub digest: Option<Digest>,
    /// Bytes that it has.
    pub length: u64,
    /// When it was last written to, by the clock of the store.
    pub modified: SystemTime,
    /// Its name below the root of the store.
    pub name: String,
}

/// Why a blob store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No such object was ever put or created.
    #[error("there is no such object in the blob store")]
    NotFound,
    /// No room or quota left; nothing visible was stored.
    #[error("the blob store is full")]
    Full,
    /// Anything else; nothing visible was stored.
    #[error("the blob store failed: {0}")]
    Failed(#[from] std::io::Error),
}

impl From<BlobError> for Problem {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Full => ProblemCode::StorageFull.into(),
            // Operations ask only for objects that a row names, so an absent one is damage and not a wrong request.
            BlobError::NotFound | BlobError::Failed(_) => Self::internal(&error),
        }
    }
}

/// An open body, for reading.
pub trait BodyReader: Send + Sync {
    /// Reads exactly `length` bytes at `offset`. Blocks.
    ///
    /// # Errors
    /// [`BlobError::Failed`], also if the body is shorter.
    fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>, BlobError>;

    /// Bytes that the body has right now. Blocks.
    ///
    /// # Errors
    /// [`BlobError::Failed`].
    fn length(&self) -> Result<u64, BlobError>;
}

/// A store of objects. All methods block and are called off the async runtime.
///
/// * **Durability**: when a method that writes returns `Ok`, the bytes and their name survive a crash of the machine. A
///   store that cannot know whether bytes reached the disk (a failed `fsync`) stops the process instead of answering:
///   asking again would report success for pages the kernel has already dropped.
/// * **Atomicity**: after [`put`](Self::put) a name holds either what it held before or all of the new bytes, never a
///   mixture. Bodies have no such promise; the metadata says which ranges of a body count.
/// * **Idempotency**: every write may be repeated with the same arguments. `put` replaces: an object without a row is
///   the leftover of a crash, and the caller makes sure that no final statement names it.
/// * **Concurrency**: the caller lets no two writes of one object overlap, except `write_part` of disjoint ranges.
///   Reads may overlap anything.
/// * **Retries** are the caller's: a store tries once.
pub trait BlobStore: Send + Sync {
    /// Whether a part can be stored right now: something is, durably, in a file that may grow to the length of a part,
    /// and removed.
    ///
    /// # Errors
    /// What stands in the way.
    fn check_ready(&self) -> Result<(), BlobError>;

    /// Stores a whole object.
    ///
    /// # Errors
    /// [`BlobError::Full`], [`BlobError::Failed`].
    fn put(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), BlobError>;

    /// Reads a whole object.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::Failed`].
    fn get(&self, key: &BlobKey) -> Result<Vec<u8>, BlobError>;

    /// Creates an empty body; one that is already there stays as it is.
    ///
    /// # Errors
    /// [`BlobError::Full`], [`BlobError::Failed`].
    fn create_body(&self, key: &BlobKey) -> Result<(), BlobError>;

    /// Writes `bytes` at `offset` of a body; a gap before them reads as zeros.
    ///
    /// # Errors
    /// [`BlobError::NotFound`] if the body was never created; [`BlobError::Full`], [`BlobError::Failed`].
    fn write_part(&self, key: &BlobKey, offset: u64, bytes: &[u8]) -> Result<(), BlobError>;

    /// Cuts a body down to `length` bytes. A body that is not longer stays as it is.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::Failed`].
    fn truncate_body(&self, key: &BlobKey, length: u64) -> Result<(), BlobError>;

    /// Opens a body for reading.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::Failed`].
    fn open_body(&self, key: &BlobKey) -> Result<Box<dyn BodyReader>, BlobError>;

    /// Bytes of a whole object.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::Failed`].
    fn size(&self, key: &BlobKey) -> Result<u64, BlobError>;

    /// Stores a statement under its digest.
    ///
    /// # Errors
    /// [`BlobError::Full`], [`BlobError::Failed`].
    fn put_statement(&self, digest: &Digest, envelope: &[u8]) -> Result<(), BlobError>;

    /// Reads a statement.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::Failed`].
    fn statement(&self, digest: &Digest) -> Result<Vec<u8>, BlobError>;

    /// The files in the folder of the statements that this store has made.
    ///
    /// # Errors
    /// [`BlobError::Failed`].
    fn statements(&self) -> Result<Vec<StoredStatement>, BlobError>;

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// [`BlobError::Failed`].
    fn free_bytes(&self) -> Result<u64, BlobError>;

    /// Calls `visit` for each recording of which there may be files, until it returns `false`.
    ///
    /// # Errors
    /// [`BlobError::Failed`].
    fn recordings(&self, visit: &mut dyn FnMut(RecordingId) -> bool) -> Result<(), BlobError>;

    /// The files of a recording that this store has made. What it did not make is not listed.
    ///
    /// # Errors
    /// [`BlobError::Failed`].
    fn files(&self, recording: RecordingId) -> Result<Vec<StoredFile>, BlobError>;

    /// Takes a file, by its name below the root of the store, out of the store and keeps it aside, under the day
    /// `today`. The caller makes sure that no row names it and that nobody writes to it.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::Full`], [`BlobError::Failed`]; then it is where it was, or already aside.
    fn set_aside(&self, name: &str, today: &Day) -> Result<(), BlobError>;

    /// Counts `today` as a day of keeping what was set aside, and unlinks what was kept for [`KEPT_DAYS`]. Gives the
    /// number of files.
    ///
    /// # Errors
    /// [`BlobError::Full`], [`BlobError::Failed`].
    fn unlink_set_aside(&self, today: &Day) -> Result<u64, BlobError>;

    /// Removes the folder of a segment, or of a whole recording, if nothing is left in it. The caller makes sure that
    /// nobody writes into it.
    ///
    /// # Errors
    /// [`BlobError::Failed`].
    fn remove_empty_folder(&self, recording: RecordingId, segment: Option<u32>) -> Result<(), BlobError>;
}
