//! Metadata: accounts, recordings, what is stored of them, and what happened. An index: the blobs alone are enough to
//! open every recording.

mod rows;
mod sqlite;

pub use rows::{
    DetailsRow, DirectoryRow, Enrolment, FinalRow, HexPrefix, ListQuery, ListedRecording, Named,
    NamedRecording, NamedSegment, NewNonce, NewPart, NewRecording, NewSeal, NewSegment, PartRow,
    RecordingRow, SegmentRow, is_too_far_ahead,
};
pub use sqlite::{InspectionError, OpenError, SqliteStore};
pub(crate) use sqlite::{READ_NONCES, inspect, is_fresh};

use vault_proto::envelope::Envelope;
use vault_proto::ids::{AccountId, ComparisonNonce, Digest, KeyId, RecordingId};
use vault_proto::members::{CertificateChain, MemberStatements};
use vault_proto::problem::ProblemCode;
use vault_proto::statements::IssuerCertificate;
use vault_proto::timestamp::Timestamp;
use vault_proto::wire::ComparisonState;

use crate::authorize::{Parties, Permit};
use crate::event::Event;
use crate::problem::Problem;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It was stored now.
    New,
    /// The very same was stored before; nothing changed, and no event was added.
    Same,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Whether anything changed.
    pub stored: Stored,
    /// How many bytes more are stored for good than before, of objects and statements; negative if they are fewer.
    pub bytes: i64,
}

/// What became of a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceUse {
    /// Never used by this key; used now.
    Fresh,
    /// The key has used it before.
    Repeated,
    /// So old that the store no longer knows.
    Forgotten,
    /// The account has used as many as are kept of one account.
    TooMany,
}

/// Why a store did not do what it was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Something else is stored under the same name.
    #[error("something else is stored under this name")]
    Conflict,
    /// The recording is not in a state for this change.
    #[error("the recording is not in a state for this change")]
    OutOfOrder,
    /// The permit's recording, or what was asked for in it, is not there.
    #[error("there is no such row")]
    NotFound,
    /// The account has as many of these at this time as one account may have.
    #[error("the account has as many of these as an account may have at a time")]
    Busy,
    /// The account has as many of these as one account may have.
    #[error("the account has as many of these as an account may have")]
    AccountFull,
    /// No room or quota left.
    #[error("the database is full")]
    Full,
    /// Anything else.
    #[error("the database failed: {0}")]
    Failed(String),
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => ProblemCode::Conflict.into(),
            StoreError::OutOfOrder => ProblemCode::OutOfOrder.into(),
            StoreError::NotFound => Self::not_found(),
            StoreError::Busy => Self::with_detail(
                ProblemCode::Busy,
                "This account has as many of these as an account may have at a time.",
            ),
            StoreError::AccountFull => Self::with_detail(
                ProblemCode::StorageFull,
                "This account has begun as many recordings as an account may have that nothing is stored of.",
            ),
            StoreError::Full => ProblemCode::StorageFull.into(),
            StoreError::Failed(_) => Self::internal(&error),
        }
    }
}

/// A store of metadata. All methods block and are called off the async runtime.
///
/// * **Durability**: when a method that changes something returns `Ok`, the change survives a crash of the machine.
///   When it returns `Err`, nothing changed. A store whose disk did not confirm a write stops the process.
/// * **Atomicity**: a change and its [`Event`] are stored together or not at all. A `Same` adds no event.
/// * **Growth**: what is done again and again to the same thing leaves no more behind than what is done once: of its
///   events the last one is kept. Nonces and comparisons have none: nothing stays of them.
/// * **Idempotency**: every change may be repeated; the second time it is [`Stored::Same`].
/// * **Order**: the caller stores blobs before the row that names them. A store never looks at blobs.
/// * **Checks**: a store guards what other rows say (state, uniqueness), in the same transaction as the change.
///   Signatures and sizes are the caller's.
/// * **Permits**: methods about a recording are about the permit's. `NotFound` means that the permit names no recording
///   that is stored.
/// * **Retries** are the caller's: a store tries once.
pub trait Store: Send + Sync {
    /// Whether the store can read and write right now: it does both, durably.
    ///
    /// # Errors
    /// What stands in the way. [`StoreError::Full`] if it can still be read.
    fn check_ready(&self) -> Result<(), StoreError>;

    /// Whether requests that only read can be told from their repetitions while there is no room for another row.
    fn remembers_reads_when_full(&self) -> bool;

    /// Marks a nonce as used. At `now` the store may forget nonces of requests older than
    /// [`NONCE_RETENTION_SECONDS`]; from then on requests not younger than the youngest forgotten one are
    /// [`NonceUse::Forgotten`], whatever later clocks say. How far it forgets is limited by the time that has passed
    /// since it was opened, so that a clock that ran ahead for a while does not make what is true again later count as
    /// old.
    ///
    /// Without room for another row, that of a request that only reads is kept in room set aside for it, as durably.
    ///
    /// The change has no event: it records the request itself, before anyone knows what it will do.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Failed`].
    fn use_nonce(&self, nonce: &NewNonce) -> Result<NonceUse, StoreError>;

    /// The account whose current key list names `key`, with its current statements. For authentication: the one look-up
    /// that comes before any permit.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn member_of_device(&self, key: KeyId) -> Result<Option<(AccountId, MemberStatements)>, StoreError>;

    /// What the directory says of an account that is enrolling or looked up.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn directory_entry(&self, account: AccountId) -> Result<Option<DirectoryRow>, StoreError>;

    /// The issuer certificates that the accounts' certificates stand under, each once.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn issuers(&self) -> Result<Vec<Envelope<IssuerCertificate>>, StoreError>;

    /// Whether an account is enrolled.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn is_enrolled(&self, account: AccountId) -> Result<bool, StoreError>;

    /// Bytes of the statements that [`Self::directory_entry`] would give; 0 without any.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn directory_size(&self, account: AccountId) -> Result<u64, StoreError>;

    /// Accounts whose id begins with `prefix`, ascending, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn accounts_by_prefix(
        &self,
        permit: &Permit,
        prefix: &HexPrefix,
        limit: u32,
    ) -> Result<Vec<AccountId>, StoreError>;

    /// Stores an account's certificate and key list in place of those of `replaces`, which stay as statements. Gives
    /// how many bytes more are stored than before. The event is that of a key list: a certificate that only replaces
    /// another says itself when and by whom it was made.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if what is stored is not what `replaces` says, or another account lists one of its
    /// device keys.
    fn enrol(&self, event: &Event, enrolment: &Enrolment) -> Result<i64, StoreError>;

    /// Stores the certificate of an account in place of the one with the digest `replaces`. Says how many bytes more
    /// are stored than before.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if another one is stored, or none.
    fn replace_certificate(
        &self,
        permit: &Permit,
        event: &Event,
        account: AccountId,
        chain: &CertificateChain,
        replaces: Digest,
    ) -> Result<i64, StoreError>;

    /// Whether there is a recording of which `patient` is the patient and `other` the clinician or the sealer. For
    /// [`crate::authorize::authorize_look_up`], before any permit.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn has_met(&self, patient: AccountId, other: AccountId) -> Result<bool, StoreError>;

    /// Stores the commitment of the permit's actor towards `other`, as the later of the two. What the actor stored
    /// before is dropped; if either of the two had revealed a nonce, so is what `other` stored: that comparison is
    /// over. Comparisons older than [`vault_proto::wire::COMPARISON_LIFETIME`] at the time `at` are gone, here and
    /// below.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if the actor has a side in [`vault_proto::wire::MAX_COMPARISONS`] others.
    fn commit_comparison(
        &self,
        permit: &Permit,
        other: AccountId,
        commitment: Digest,
        at: Timestamp,
    ) -> Result<Stored, StoreError>;

    /// Stores the nonce of the permit's actor towards `other`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without the actor's commitment; [`StoreError::OutOfOrder`] without that of `other`, or
    /// if that one was there first and its nonce is not; [`StoreError::Conflict`] if another nonce is stored.
    fn reveal_comparison(
        &self,
        permit: &Permit,
        other: AccountId,
        nonce: ComparisonNonce,
        at: Timestamp,
    ) -> Result<Stored, StoreError>;

    /// What the permit's actor and `other` have stored for each other.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without the actor's commitment.
    fn comparison(
        &self,
        permit: &Permit,
        other: AccountId,
        at: Timestamp,
    ) -> Result<ComparisonState, StoreError>;

    /// Drops what the permit's actor stored towards `other`. [`Stored::Same`] if there is nothing.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn withdraw_comparison(&self, permit: &Permit, other: AccountId) -> Result<Stored, StoreError>;

    /// The envelope of the statement with this digest, of whoever it is; `None` if there is none. Who knows a digest
    /// has seen what names it.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn statement(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Bytes of the envelope of the statement with this digest; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn statement_size(&self, digest: &Digest) -> Result<Option<u64>, StoreError>;

    /// Some statements above `after`, ascending by digest, each with the bytes of its envelope; none if there are no
    /// more. For the search for leftovers, which acts for nobody.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn statements_after(&self, after: Option<&Digest>) -> Result<Vec<(Digest, u64)>, StoreError>;

    /// Whose a recording is; `None` if it does not exist. For [`crate::authorize::authorize`], before any permit.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn parties(&self, recording: RecordingId) -> Result<Option<Parties>, StoreError>;

    /// Whether a manifest could be stored now, without storing it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the recording, or the pair (sealer key, sequence), exists with another manifest;
    /// [`StoreError::AccountFull`] if its sealer has begun [`vault_proto::wire::MAX_EMPTY_RECORDINGS`] and stored no
    /// part of them.
    fn would_create(&self, permit: &Permit, recording: &NewRecording) -> Result<Stored, StoreError>;

    /// Of the manifests that the permit's actor has signed with this very device, for this very account, the one with
    /// the highest sequence number; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn newest_manifest(&self, permit: &Permit) -> Result<Option<Vec<u8>>, StoreError>;

    /// Stores a manifest with the statements that came with it, those of them that are not there.
    ///
    /// # Errors
    /// As [`Self::would_create`].
    fn create_recording(
        &self,
        permit: &Permit,
        event: &Event,
        recording: &NewRecording,
    ) -> Result<Change, StoreError>;

    /// The recording's own row.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    fn recording(&self, permit: &Permit) -> Result<RecordingRow, StoreError>;

    /// Bytes of the statements of the permit's recording and its segments; 0 without any.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn statements_size(&self, permit: &Permit) -> Result<u64, StoreError>;

    /// Bytes of all that is stored for good: objects of recordings and statements that are named by their digests, each
    /// once.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn stored_bytes(&self) -> Result<u64, StoreError>;

    /// Which objects of a recording and of one segment of it rows name; `None` if the recording does not exist. For the
    /// search for leftovers, which acts for nobody.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn named(&self, recording: RecordingId, segment: Option<u32>) -> Result<Option<Named>, StoreError>;

    /// Some recordings with what their rows name, in the order of their numbers, of those above `after`; none if there
    /// are no more. For the search for leftovers, which acts for nobody.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn named_recordings(&self, after: u64) -> Result<Vec<NamedRecording>, StoreError>;

    /// A page of the recordings of which the permit's actor is patient, clinician or sealer, newest first; of those of
    /// which it is the patient if its certificate has ended.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if `after` is no recording of the actor's.
    fn list(&self, permit: &Permit, query: &ListQuery) -> Result<Vec<ListedRecording>, StoreError>;

    /// All segments, from index 0.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn segments(&self, permit: &Permit) -> Result<Vec<SegmentRow>, StoreError>;

    /// One segment.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    fn segment(&self, permit: &Permit, index: u32) -> Result<SegmentRow, StoreError>;

    /// Opens a segment.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] unless it is the next one, the one before is sealed and there is no final seal;
    /// [`StoreError::Conflict`] if it exists with another track or header.
    fn open_segment(
        &self,
        permit: &Permit,
        event: &Event,
        segment: &NewSegment,
    ) -> Result<Change, StoreError>;

    /// Drops a segment that is not sealed, with its parts. [`Stored::Same`] if there is no such segment.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] if it is sealed.
    fn abandon_segment(&self, permit: &Permit, event: &Event, segment: u32) -> Result<Change, StoreError>;

    /// One part; `None` if it is not stored.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn part(&self, permit: &Permit, segment: u32, part: u32) -> Result<Option<PartRow>, StoreError>;

    /// Stores that a part's bytes are in the body.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] if the segment is not open, or if it [`is_too_far_ahead`]; [`StoreError::Conflict`]
    /// if other bytes are stored under its number.
    fn add_part(&self, permit: &Permit, event: &Event, part: &NewPart) -> Result<Change, StoreError>;

    /// The parts from part 0 to the first gap or the first part that is not full, that one included.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such segment.
    fn parts(&self, permit: &Permit, segment: u32) -> Result<Vec<PartRow>, StoreError>;

    /// Seals a segment and drops the parts beyond.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] if it is not open, a part is missing or the segment before has another seal than it
    /// was checked against; [`StoreError::Conflict`] if it has another seal.
    fn seal_segment(&self, permit: &Permit, event: &Event, seal: &NewSeal) -> Result<Change, StoreError>;

    /// Stores that the details object is in the blob store, in place of the one before.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] unless there are segments and all are sealed; [`StoreError::Conflict`] if there is a
    /// final seal and it is for others.
    fn set_details(&self, permit: &Permit, event: &Event, details: &DetailsRow)
    -> Result<Change, StoreError>;

    /// Stores the final seal.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] without these details, with an open segment, or with other segments than it was
    /// checked against; [`StoreError::Conflict`] if there is another.
    fn set_final_seal(
        &self,
        permit: &Permit,
        event: &Event,
        final_seal: &FinalRow,
    ) -> Result<Change, StoreError>;

    /// Moves the mark by which index and objects know each other ([`crate::mark`]), if anything was changed since it
    /// was moved last.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Failed`]; nothing is lost, and it is moved the next time.
    fn move_mark(&self) -> Result<(), StoreError>;

    /// Moves the mark, and leaves everything in the main database file. Every later call fails.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Failed`]; nothing is lost.
    fn close(&self) -> Result<(), StoreError>;
}

/// How long a store remembers a nonce, in seconds: well over the time for which a request can be fresh.
pub const NONCE_RETENTION_SECONDS: i64 = 300;

/// Nonces of one account that are kept at a time, of requests that are not of the future: more than one that makes 300
/// requests a second can have.
pub const MAX_NONCES: u32 = 200_000;
