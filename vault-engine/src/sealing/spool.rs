//! Sealed parts that lie in the home until the server has them.
//!
//! What lies here is ciphertext under a file key that only the recording's readers can unwrap: not even this device can
//! open it once the sealing process is gone. A record is one part: the segment's progress up to it on the first line
//! (empty if it has none), then the ciphertext. Beside the parts there may be a [tail](super::tail).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use vault_proto::ids::{Digest, RecordingId};

use super::settlement::Place;
use crate::effects::Change;
use crate::error::ClientError;
use crate::home::Home;

/// The spool of one recording. Clones count together.
#[derive(Clone)]
pub(super) struct Spool {
    home: Home,
    folder: Arc<str>,
    limit: u64,
    used: Arc<AtomicU64>,
}

/// A part as it is kept.
pub(super) struct KeptPart {
    /// The envelope of the segment's progress up to and with it.
    pub progress: Option<String>,
    /// Its bytes.
    pub ciphertext: Bytes,
}

impl Spool {
    /// The spool of a recording, which may not exist yet, for at most `limit` bytes.
    pub(super) fn of(home: &Home, recording: RecordingId, limit: u64) -> Self {
        let folder = format!("uploads/{recording}.spool/").into();
        Self { home: home.clone(), folder, limit, used: Arc::default() }
    }

    /// Where it lies, for a person.
    pub(super) fn place(&self) -> String {
        self.home.place_of(self.folder.trim_end_matches('/'))
    }

    fn key(&self, (segment, part): Place) -> String {
        format!("{}{segment}-{part}", self.folder)
    }

    /// Key of the tail.
    pub(super) fn tail_key(&self) -> String {
        format!("{}tail", self.folder)
    }

    /// Bytes that this process keeps here.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Whether as many more bytes may be kept.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.used().saturating_add(bytes as u64) <= self.limit
    }

    /// The change that keeps a part.
    pub(super) fn put(&self, place: Place, progress: Option<&str>, ciphertext: &[u8]) -> Change {
        let mut bytes = Vec::with_capacity(ciphertext.len() + 1 + progress.map_or(0, str::len));
        bytes.extend_from_slice(progress.unwrap_or_default().as_bytes());
        bytes.push(b'\n');
        bytes.extend_from_slice(ciphertext);
        Change::Put(self.key(place), bytes.into())
    }

    /// A part of so many bytes is kept.
    pub(super) fn is_kept(&self, bytes: usize) {
        self.used.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    /// The change that removes a part which the server has.
    pub(super) fn remove(&self, place: Place) -> Change {
        Change::Delete(self.key(place))
    }

    /// A part of so many bytes is needed no longer.
    pub(super) fn is_removed(&self, bytes: usize) {
        // What a process that died had kept was never counted by this one.
        let less = |used: u64| Some(used.saturating_sub(bytes as u64));
        let _ = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    /// The parts that lie here, each with the bytes of its record.
    pub(super) async fn lengths(&self) -> Result<BTreeMap<Place, u64>, ClientError> {
        let mut lengths = BTreeMap::new();
        for name in self.home.names(&self.folder).await? {
            let numbers = name.key.strip_prefix(&*self.folder).and_then(|place| place.split_once('-'));
            let place = numbers.and_then(|(segment, part)| Some((segment.parse().ok()?, part.parse().ok()?)));
            lengths.extend(place.map(|place| (place, name.length)));
        }
        Ok(lengths)
    }

    /// A part that is kept here and has this hash.
    pub(super) async fn get(&self, place: Place, hash: &Digest) -> Result<Option<KeptPart>, ClientError> {
        let Some(bytes) = self.home.read(&self.key(place)).await? else {
            return Ok(None);
        };
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            return Ok(None);
        };
        let (progress, ciphertext) = (bytes.slice(..end), bytes.slice(end + 1..));
        // A disk that returns other bytes than were written has lost the part.
        if Digest::of(&ciphertext) != *hash {
            return Ok(None);
        }
        let progress = String::from_utf8(progress.to_vec()).ok().filter(|progress| !progress.is_empty());
        Ok(Some(KeptPart { progress, ciphertext }))
    }

    /// Nothing is needed any more.
    pub(super) async fn clear(&self) -> Result<(), ClientError> {
        let names = self.home.names(&self.folder).await?;
        if names.is_empty() {
            return Ok(());
        }
        self.home.commit(names.into_iter().map(|name| Change::Delete(name.key)).collect()).await
    }
}
