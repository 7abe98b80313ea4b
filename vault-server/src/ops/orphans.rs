//! Files that no row names: leftovers of crashes between a file and its row, and of removals that failed. They are looked for
//! in peace and removed only when they are old, under the lock under which their row would be written.

use std::time::SystemTime;

use vault_proto::ids::RecordingId;

use super::Vault;
use crate::blob::{BlobError, Object, StoredFile};
use crate::store::{Named, StoreError};

/// What a search for leftovers did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collection {
    /// Recordings that were looked at.
    pub recordings: u64,
    /// Files that were removed.
    pub removed: u64,
    /// Files that no row names and that are too young to be removed.
    pub young: u64,
    /// Recordings whose files could not be looked at or removed; the reasons are in the log.
    pub failed: u64,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Blobs(#[from] BlobError),
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Removes the files that no row names and that were last written to before `before`. `keep_going` is asked before each
/// recording. Blocks.
///
/// # Errors
/// [`BlobError`] if the recordings cannot be listed.
pub fn collect(
    vault: &Vault,
    before: SystemTime,
    keep_going: &dyn Fn() -> bool,
) -> Result<Collection, BlobError> {
    let mut done = Collection::default();
    vault.blobs.recordings(&mut |recording| {
        if !keep_going() {
            return false;
        }
        done.recordings += 1;
        if let Err(error) = collect_one(vault, recording, before, &mut done) {
            done.failed += 1;
            tracing::warn!(%recording, %error, "the files of a recording could not be looked at");
        }
        true
    })?;
    Ok(done)
}

/// Whether a row names a file.
fn is_named(named: Option<&Named>, object: Option<Object>) -> bool {
    let (Some(named), Some(object)) = (named, object) else {
        return false;
    };
    match object {
        Object::Manifest | Object::Credentials => true,
        Object::Details => named.details,
        Object::Final => named.final_seal,
        Object::Header { generation, .. } => {
            named.segment.is_some_and(|segment| generation <= segment.header_generation)
        }
        Object::Body { .. } => named.segment.is_some(),
        // Progress is a row; no store lists a file of it.
        Object::Progress { .. } => false,
        Object::Parts { .. } | Object::Seal { .. } => named.segment.is_some_and(|segment| segment.sealed),
    }
}

impl Vault {
    /// Runs `work` while nobody writes a file into this folder, or the row that names it.
    fn alone_in_folder<T>(
        &self,
        recording: RecordingId,
        segment: Option<u32>,
        work: impl FnOnce() -> T,
    ) -> T {
        match segment {
            Some(segment) => self.segment_locks.exclusive((recording, segment), work),
            None => self.recording_locks.exclusive(recording, work),
        }
    }
}

fn collect_one(
    vault: &Vault,
    recording: RecordingId,
    before: SystemTime,
    done: &mut Collection,
) -> Result<(), Failure> {
    let files = vault.blobs.files(recording)?;
    for file in &files {
        if is_named(vault.store.named(recording, file.segment)?.as_ref(), file.object) {
            continue;
        }
        if file.modified >= before {
            done.young += 1;
        } else if remove(vault, file)? {
            done.removed += 1;
        }
    }
    let mut segments: Vec<u32> = files.iter().filter_map(|file| file.segment).collect();
    segments.dedup();
    for segment in segments {
        remove_folder(vault, recording, Some(segment))?;
    }
    remove_folder(vault, recording, None)
}

/// Removes a file unless a row has come to name it since it was listed.
fn remove(vault: &Vault, file: &StoredFile) -> Result<bool, Failure> {
    vault.alone_in_folder(file.recording, file.segment, || {
        if is_named(vault.store.named(file.recording, file.segment)?.as_ref(), file.object) {
            return Ok(false);
        }
        vault.blobs.remove(file)?;
        tracing::info!(file = %file.name, "removed a file that no row names");
        Ok(true)
    })
}

/// Removes an empty folder of what does not exist. Nobody can be about to write into it: its recording or segment would have
/// to be created first, which takes the same lock.
fn remove_folder(vault: &Vault, recording: RecordingId, segment: Option<u32>) -> Result<(), Failure> {
    vault.alone_in_folder(recording, segment, || {
        let named = vault.store.named(recording, segment)?;
        let exists = match segment {
            None => named.is_some(),
            Some(_) => named.is_some_and(|named| named.segment.is_some()),
        };
        if !exists {
            vault.blobs.remove_empty_folder(recording, segment)?;
        }
        Ok(())
    })
}
