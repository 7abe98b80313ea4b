//! Random access to a track of a remote recording: a view over all its segments that fetches only the parts that hold
//! the bytes asked for. Each part is checked before a byte of it is handed out (FORMAT.md, "Opening").
//!
//! [`RemoteTrack`] is the view; it may be read from several places at the same time. [`TrackReader`] reads on from one
//! place and, once it has read from one part into the next, has a few parts fetched ahead.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_lock::OnceCell;
use bytes::Bytes;
use futures_util::future::{self, BoxFuture, Either};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use vault_core::opening::{Opening, PartOpener};
use vault_core::recording_key::RecordingKey;
use vault_core::webm::SeekableLayout;
use vault_proto::recording::{CheckedRecording, ProvenSegment};
use zeroize::Zeroizing;

use super::parts::{fetch_part, open_part, start_segment};
use super::recording::RemoteRecording;
use crate::error::ClientError;
use crate::home::own_list;
use crate::server::connection::Connection;
use crate::session::Session;

/// Chunks of the opened parts that are kept: 7.5 MiB.
const CACHE: usize = 120;
/// Chunks that are fetched ahead of a reader that reads on and on: two of the largest parts, or more smaller ones.
const READ_AHEAD: usize = 30;

/// A part's plaintext, wiped when nobody reads it any more.
type Plaintext = Arc<Zeroizing<Vec<u8>>>;
/// Numbers of a segment in the track, and of a part in it.
type PartKey = (usize, u32);
/// A part that is there, or being fetched by whoever asked first.
type Slot = Arc<OnceCell<Plaintext>>;

/// A track of a remote recording, readable from anywhere. Clones are views of the same parts in memory: at most 8
/// opened ones are kept beside those being read.
#[derive(Clone)]
pub struct RemoteTrack {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    checked: CheckedRecording,
    key: RecordingKey,
    segments: Vec<Segment>,
    /// What stands in front of the track's own bytes, and how many of these it replaces.
    head: Bytes,
    body_from: u64,
    length: u64,
    /// The parts used last, the newest at the end.
    cache: Mutex<Vec<(PartKey, Slot)>>,
}

/// A segment of the track; its header and part list are fetched when its first part is asked for.
struct Segment {
    proven: ProvenSegment,
    start: u64,
    opener: OnceCell<Arc<PartOpener>>,
}

/// A byte of the track: which part holds it, where in its plaintext, and how many bytes of the track there are from it
/// on. What follows on these is padding, also where it lies in the same part.
#[derive(Clone, Copy)]
struct Place {
    key: PartKey,
    offset: usize,
    left: usize,
}

/// A piece of a part that stays in memory for as long as somebody holds it.
struct Piece {
    part: Plaintext,
    range: Range<usize>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.part.get(self.range.clone()).unwrap_or_default()
    }
}

impl Shared {
    /// How many chunks a part has, or would have if it were full.
    fn chunks(&self, (segment, _): PartKey) -> usize {
        self.segments.get(segment).map_or(0, |segment| segment.proven.shape.part_chunks().chunks())
    }
}

impl RemoteTrack {
    /// A view of the track `track` of `remote`, as it was sealed and without padding, or with `layout` as a seekable
    /// file. Fetches nothing yet but the details, which must be those that were sealed. From now on the account's own
    /// list names the recording as it was shown.
    ///
    /// # Errors
    /// [`ClientError::Open`] if the account is not a reader, or for a check that fails; [`ClientError::Usage`] if there
    /// is no such track.
    pub async fn open(
        session: &Session,
        remote: &RemoteRecording,
        track: u8,
        layout: Option<SeekableLayout>,
    ) -> Result<Self, ClientError> {
        let length = remote.tracks(session).await?.get(&track).copied();
        let key = remote.key(session).await?;
        let checked = remote.checked().clone();
        own_list::know(&session.home, &session.account, remote.shown()).await?;
        let length =
            length.ok_or_else(|| ClientError::Usage(format!("this recording has no track {track}")))?;
        let mut segments = Vec::new();
        let mut held = 0;
        for proven in checked.segments().into_iter().filter(|proven| proven.track == track) {
            let bytes = proven.shape.plaintext_length();
            segments.push(Segment { proven, start: held, opener: OnceCell::new() });
            held += bytes;
        }
        let layout = layout.unwrap_or(SeekableLayout { head: Vec::new(), body_from: 0 });
        let shared = Shared {
            connection: session.connection.clone(),
            checked,
            key,
            segments,
            body_from: layout.body_from.min(length),
            head: layout.head.into(),
            length,
            cache: Mutex::new(Vec::new()),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Bytes of the view.
    pub fn length(&self) -> u64 {
        self.shared.head.len() as u64 + (self.shared.length - self.shared.body_from)
    }

    /// Where the bytes end that are fetched together with the one at `offset`: those of one part, or of the head.
    pub fn piece_end(&self, offset: u64) -> u64 {
        let head = self.shared.head.len() as u64;
        let Some(place) = self.locate(offset) else {
            return head.max(offset);
        };
        let Some(segment) = self.shared.segments.get(place.key.0) else {
            return offset;
        };
        let shape = &segment.proven.shape;
        let within = shape.part_chunks().plaintext().saturating_sub(place.offset);
        let segment_end = (segment.start + shape.plaintext_length()).min(self.shared.length);
        let segment_end = head + segment_end.saturating_sub(self.shared.body_from);
        offset.saturating_add(u64::try_from(within).unwrap_or(u64::MAX)).min(segment_end)
    }

    /// Some bytes from `offset` on, at most `most`: those that lie together in memory. None at the end and beyond.
    ///
    /// # Errors
    /// [`ClientError`]; nothing of a part that fails is handed out, and a part that could not be fetched is asked for
    /// again the next time.
    pub async fn read_at(&self, offset: u64, most: usize) -> Result<Bytes, ClientError> {
        let head = &self.shared.head;
        if let Some(rest) = usize::try_from(offset).ok().filter(|&start| start < head.len()) {
            let end = head.len().min(rest.saturating_add(most));
            return Ok(head.slice(rest..end));
        }
        let Some(place) = self.locate(offset) else {
            return Ok(Bytes::new());
        };
        let most = most.min(place.left);
        let part = self.part(place.key).await?;
        let end = part.len().min(place.offset.saturating_add(most));
        let range = place.offset.min(end)..end;
        Ok(Bytes::from_owner(Piece { part, range }))
    }

    /// A reader that starts at `offset`.
    pub fn reader(self, offset: u64) -> TrackReader {
        TrackReader { track: self, position: offset, last: None, ahead: FuturesUnordered::new() }
    }

    /// The part that holds the byte `offset` of the view; `None` in the head and beyond the end.
    fn locate(&self, offset: u64) -> Option<Place> {
        let shared = &self.shared;
        let position = offset.checked_sub(shared.head.len() as u64)?.checked_add(shared.body_from)?;
        if position >= shared.length {
            return None;
        }
        // Of several segments with one start, the empty ones come first: the last one holds the byte.
        let index = shared.segments.partition_point(|segment| segment.start <= position).checked_sub(1)?;
        let segment = shared.segments.get(index)?;
        let (part, offset) = segment.proven.shape.locate(position - segment.start);
        let left = usize::try_from(shared.length - position).unwrap_or(usize::MAX);
        Some(Place { key: (index, u32::try_from(part).ok()?), offset, left })
    }

    /// The part after `key`, over the segments, if there is anything of the track in it.
    fn after(&self, (index, part): PartKey) -> Option<PartKey> {
        let here = self.shared.segments.get(index)?;
        if part + 1 < here.proven.shape.parts() {
            let start = here.start + u64::from(part + 1) * here.proven.shape.part_chunks().plaintext() as u64;
            return (start < self.shared.length).then_some((index, part + 1));
        }
        let mut later = self.shared.segments.iter().enumerate().skip(index + 1);
        let holds = |segment: &Segment| segment.proven.shape.plaintext_length() > 0;
        let (at, next) = later.find(|(_, segment)| holds(segment))?;
        (next.start < self.shared.length).then_some((at, 0))
    }

    /// Fetches a part while others are read. Whoever reads it learns of a failure, by trying again.
    async fn fetch_ahead(self, key: PartKey) {
        let _ = self.part(key).await;
    }

    async fn part(&self, key: PartKey) -> Result<Plaintext, ClientError> {
        let slot = self.slot(key);
        // Of several that ask for a part at once, one fetches it.
        slot.get_or_try_init(async || self.fetch(key).await).await.cloned()
    }

    /// Marks a part as used just now.
    fn slot(&self, key: PartKey) -> Slot {
        let mut cache = self.shared.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match cache.iter().position(|(cached, _)| *cached == key) {
            Some(at) => cache.remove(at).1,
            None => Slot::default(),
        };
        cache.push((key, Arc::clone(&slot)));
        let chunks = |cache: &[(PartKey, Slot)]| -> usize {
            cache.iter().map(|(cached, _)| self.shared.chunks(*cached)).sum()
        };
        while chunks(&cache) > CACHE {
            cache.remove(0);
        }
        slot
    }

    async fn fetch(&self, (index, part): PartKey) -> Result<Plaintext, ClientError> {
        let shared = &self.shared;
        let outside = || ClientError::Bug("a position outside the recording".to_owned());
        let segment = shared.segments.get(index).ok_or_else(outside)?;
        let mut first = None;
        let opener = segment.opener.get_or_try_init(async || {
            let opening = Opening::new(&shared.checked, &shared.key);
            let started = start_segment(&shared.connection, &opening, &segment.proven).await?;
            first = Some(started.first);
            Ok::<_, ClientError>(Arc::new(started.opener))
        });
        let opener = opener.await?;
        if let Some(ciphertext) = first {
            let first = Arc::new(open_part(shared.connection.effects(), opener, 0, ciphertext).await?);
            if part == 0 {
                return Ok(first);
            }
            // It was fetched for what stands in it; a reader that comes to it need not fetch it again.
            let _ = self.slot((index, 0)).set(first).await;
        }
        let recording = &shared.checked.manifest().recording;
        let ciphertext = fetch_part(&shared.connection, recording, &segment.proven, part).await?;
        Ok(Arc::new(open_part(shared.connection.effects(), opener, part, ciphertext).await?))
    }
}

/// Reads a track from one place on.
pub struct TrackReader {
    track: RemoteTrack,
    position: u64,
    last: Option<PartKey>,
    /// Parts on their way that nobody asked for yet.
    ahead: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl TrackReader {
    /// The next bytes, at most `most`; none at the end. Reading from one part into the next has the parts after it
    /// fetched meanwhile; a jump fetches nothing ahead.
    ///
    /// # Errors
    /// As [`RemoteTrack::read_at`]; the reader stays where it is.
    pub async fn next(&mut self, most: usize) -> Result<Bytes, ClientError> {
        if let Some(place) = self.track.locate(self.position) {
            let goes_on = self.last.is_some_and(|last| self.track.after(last) == Some(place.key));
            if goes_on {
                let (mut ahead, mut chunks) = (place.key, 0);
                while chunks < READ_AHEAD
                    && let Some(next) = self.track.after(ahead)
                {
                    chunks += self.track.shared.chunks(next);
                    self.ahead.push(Box::pin(self.track.clone().fetch_ahead(next)));
                    ahead = next;
                }
            }
            self.last = Some(place.key);
        }
        let bytes = self.read(most).await?;
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    /// Reads at the position, while what is fetched ahead comes further.
    async fn read(&mut self, most: usize) -> Result<Bytes, ClientError> {
        let mut read = std::pin::pin!(self.track.read_at(self.position, most));
        loop {
            if self.ahead.is_empty() {
                return read.await;
            }
            // What is ahead comes first: a request that was never begun fetches nothing.
            match future::select(self.ahead.next(), read).await {
                Either::Left((_, later)) => read = later,
                Either::Right((bytes, _)) => return bytes,
            }
        }
    }

    /// Goes to `position`, also beyond the end.
    pub fn seek(&mut self, position: u64) {
        self.position = position;
        self.ahead.clear();
    }

    /// Where the next byte comes from.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// What it reads.
    pub const fn track(&self) -> &RemoteTrack {
        &self.track
    }
}
