//! The rules of the protocol, one file per feature. They know neither HTTP nor SQL, and they block: callers run them
//! off the async runtime.

pub mod accounts;
pub mod comparisons;
pub mod details_and_final;
mod known;
pub mod leftovers;
mod locks;
pub mod recordings;
mod room;
pub mod segments;
pub mod statements;

use std::fmt;
use std::sync::Arc;

use vault_proto::envelope::{Envelope, Statement};
use vault_proto::geometry::MAX_PART;
use vault_proto::ids::{OrganisationId, RecordingId};
use vault_proto::problem::ProblemCode;
use vault_proto::recording::{CheckedManifest, Refusal, claimed_manifest};
use vault_proto::statements::Manifest;
use vault_proto::timestamp::Timestamp;
use vault_proto::trust::Known;

use crate::authorize::{Action, Permit, authorize};
use crate::blob::{BlobError, BlobKey, BlobStore, Day, Object};
use crate::event::Caller;
use crate::limits::Limits;
use crate::problem::Problem;
use crate::store::{RecordingRow, Store, StoreError};
use known::KnownIssuers;
use locks::KeyedLocks;
use room::Room;

/// Tells the time; tests set it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the operations work on.
pub struct Vault {
    /// The organisation this server serves.
    pub organisation: OrganisationId,
    /// Metadata.
    pub store: Arc<dyn Store>,
    /// Ciphertext and statements.
    pub blobs: Arc<dyn BlobStore>,
    /// The time.
    pub clock: Clock,
    accounts_lock: KeyedLocks<()>,
    recording_locks: KeyedLocks<RecordingId>,
    segment_locks: KeyedLocks<(RecordingId, u32)>,
    part_locks: KeyedLocks<(RecordingId, u32, u32)>,
    /// Taken last of all.
    statements_lock: KeyedLocks<()>,
    room: Room,
    known_issuers: KnownIssuers,
}

impl Vault {
    /// A vault over these stores, which nothing else may write to, without limits to what it stores.
    pub fn new(
        organisation: OrganisationId,
        store: Arc<dyn Store>,
        blobs: Arc<dyn BlobStore>,
        clock: Clock,
    ) -> Self {
        Self {
            organisation,
            store,
            blobs,
            clock,
            accounts_lock: KeyedLocks::default(),
            recording_locks: KeyedLocks::default(),
            segment_locks: KeyedLocks::default(),
            part_locks: KeyedLocks::default(),
            statements_lock: KeyedLocks::default(),
            room: Room::default(),
            known_issuers: KnownIssuers::default(),
        }
    }

    /// The same vault with limits to what it stores. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn with_room(mut self, limits: &Limits) -> Result<Self, StoreError> {
        self.room = Room::new(limits, self.store.stored_bytes()?);
        Ok(self)
    }

    /// Whether a part could be stored right now: something is written to both stores, durably. Blocks.
    pub fn readiness(&self) -> Readiness {
        let part = u64::try_from(MAX_PART).unwrap_or(u64::MAX);
        let failures = [
            self.store.check_ready().err().map(Problem::from),
            self.blobs.check_ready().err().map(Problem::from),
            self.room.for_new(&*self.blobs, part).err(),
        ];
        let mut readiness = Readiness::Ready;
        for failure in failures.into_iter().flatten() {
            readiness = match failure.code {
                ProblemCode::StorageFull if readiness != Readiness::Failing => {
                    let reads = self.store.remembers_reads_when_full();
                    if reads { Readiness::Full } else { Readiness::FullWithoutReads }
                }
                _ => Readiness::Failing,
            };
        }
        if readiness != Readiness::Ready {
            tracing::warn!(?readiness, "not ready");
        }
        readiness
    }

    /// Refuses a request that may write while there is no room even for what ends something: nothing of it is stored
    /// then, its nonce included.
    ///
    /// # Errors
    /// [`ProblemCode::StorageFull`].
    pub fn check_room_to_write(&self) -> Result<(), Problem> {
        self.room.for_ending(&*self.blobs, 0).map(drop)
    }

    /// Allows `caller` an action on a recording, or refuses it.
    fn permit(&self, caller: &Caller, action: Action, recording: RecordingId) -> Result<Permit, Problem> {
        let parties = self.store.parties(recording)?;
        authorize(&caller.actor, action, parties.as_ref())
    }

    /// Stores an object whose row is still to be written. One of that name that is there already, with other bytes, is
    /// what a crash left, as far as the rows know: it is set aside and not replaced, for the rows may be the older
    /// ones.
    fn put_unnamed(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), Problem> {
        match self.blobs.get(key) {
            Ok(stored) if stored != bytes => {
                let name = key.path();
                tracing::warn!(object = %name, "set aside an object that no row names, to store another");
                self.blobs.set_aside(&name, &Day::of((self.clock)()))?;
            }
            Ok(_) | Err(BlobError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.blobs.put(key, bytes)?)
    }

    /// Checks the stored manifest again; everything sealed later hangs from it. It was judged by what was known when it
    /// came: what was begun is finished.
    fn checked_manifest(&self, permit: &Permit) -> Result<CheckedManifest, Problem> {
        let recording = permit.recording().ok_or(Problem::not_found())?;
        let manifest = self.blobs.get(&BlobKey::new(permit, Object::Manifest)?)?;
        let internal = |refusal: Refusal| Problem::internal(&refusal);
        let claimed = claimed_manifest(recording, self.organisation, &manifest).map_err(internal)?;
        let named = self.stored_statements(claimed.unverified())?;
        CheckedManifest::check(recording, self.organisation, &manifest, &named, &Known::default())
            .map_err(internal)
    }
}

/// What a server can do right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Everything.
    Ready,
    /// Read. There is no room to store a part.
    Full,
    /// Nothing: there is no room, not even for the nonces of reads.
    FullWithoutReads,
    /// Nothing that is to be relied on: index or objects do not work.
    Failing,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("organisation", &self.organisation).finish_non_exhaustive()
    }
}

/// Recipients of a header of a segment and of that of the details: the recording's key.
const RECIPIENTS: usize = 1;

/// Why a statement is refused, in words that hold no part of it.
fn statement_refused(refusal: &Refusal) -> Problem {
    Problem::with_detail(
        ProblemCode::StatementRefused,
        match refusal {
            Refusal::MixUp(_) => "It belongs to another recording or segment.",
            Refusal::NotEntitled(_) => "It is not sealed by anyone who was entitled to at that time.",
            Refusal::Damaged(_) => "It does not fit what it must follow from.",
            Refusal::NewerFormat(_) => "It is of a newer format than this server knows.",
        },
    )
}

/// The manifest of a stored recording.
fn stored_manifest(row: &RecordingRow) -> Result<Envelope<Manifest>, Problem> {
    Envelope::parse(&row.manifest).map_err(|_| Problem::internal(&"a stored manifest is damaged"))
}

fn parse_statement<T: Statement>(bytes: &[u8]) -> Result<Envelope<T>, Problem> {
    Envelope::parse(bytes).map_err(|_| {
        Problem::with_detail(
            ProblemCode::StatementRefused,
            "It is not a signed statement of the expected kind in its canonical form.",
        )
    })
}

/// Bytes of memory that so many bytes of stored statements take until they are encoded: as rows, parsed, as JSON.
fn size_while_encoded(stored: u64) -> usize {
    usize::try_from(stored.saturating_mul(4).saturating_add(16 * 1024)).unwrap_or(usize::MAX)
}
