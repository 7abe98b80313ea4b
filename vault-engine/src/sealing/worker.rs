//! Seals what is recorded, part by part and in order: every signature of an upload is asked for here, and every line of
//! its journal is made here, before what it names is sent.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::future;
use futures_util::sink::SinkExt as _;
use futures_util::stream::StreamExt as _;
use sha2::{Digest as _, Sha256};
use vault_core::details::{Details, Track};
use vault_core::payload::PayloadSealer;
use vault_core::sealing::{RecordingSealer, SegmentFacts, SegmentSealer};
use vault_core::webm::{Indexed, SeekIndexer};
use vault_proto::base64;
use vault_proto::envelope::Envelope;
use vault_proto::geometry::{BodyEnd, PartChunks};
use vault_proto::ids::Digest;
use vault_proto::statements::{FinalSeal, RecordingStatus};
use vault_proto::timestamp::Timestamp;
use vault_proto::tree::TreeBuilder;
use vault_proto::wire::MAX_DETAILS;
use zeroize::Zeroizing;

use super::committer::{HOME_PATIENCE, PAUSE, Staged};
use super::journal::{EndLine, Journal, Line, PartLine, SegmentLine, TrackLine};
use super::progress::Mark;
use super::sender::{GiveUp, Item, Patience, Shared};
use super::settlement::AllSafe;
use super::tail::TailLine;
use super::taken::Taken;
use crate::error::ClientError;
use crate::media_type;
use crate::opening::media::Medium;
use crate::session::Session;

/// Most bytes of the seek indexes of all tracks together, in the details.
const MAX_INDEXES: usize = MAX_DETAILS / 2;

/// What the worker is told.
pub(super) enum Command {
    /// A new track, numbered in the order of these commands from 0.
    Track { media_type: Option<String>, from: Duration },
    /// A part of the newest track.
    Part(Part),
    /// A copy of what is not yet a part of it: all that follows on the first `from` plaintext bytes. `of` is told if it
    /// has to be asked for again.
    Tail { from: u64, tail: Part, of: Weak<Mutex<Taken>> },
    /// The end.
    Finish { ended: Timestamp, status: RecordingStatus },
}

/// A part to seal.
pub(super) struct Part {
    pub(super) plaintext: Zeroizing<Vec<u8>>,
    /// How many of its last bytes are padding.
    pub(super) padding: usize,
    /// How many chunks each part of its segment has but the last.
    pub(super) part_chunks: PartChunks,
    /// Whether its segment ends with it.
    pub(super) last: bool,
    /// Recorded time up to its end.
    pub(super) until: Duration,
    /// When its last byte was recorded, in milliseconds since 1970.
    pub(super) at_ms: u64,
}

/// A track as far as it was sealed.
pub(super) struct SealedTrack {
    pub(super) track: u8,
    pub(super) media_type: Option<String>,
    /// Plaintext bytes, without padding.
    pub(super) bytes: u64,
    pub(super) padding: u64,
    /// SHA-256 of these bytes, where all of them were seen.
    pub(super) sha256: Option<Digest>,
    pub(super) from: Duration,
    pub(super) until: Duration,
    /// Has seen every byte so far; `None` where a process that died has seen them.
    pub(super) indexer: Option<SeekIndexer>,
}

impl SealedTrack {
    /// One of which nothing is sealed yet.
    pub(super) const fn beginning(
        track: u8,
        media_type: Option<String>,
        from: Duration,
        indexer: Option<SeekIndexer>,
    ) -> Self {
        Self { track, media_type, bytes: 0, padding: 0, sha256: None, from, until: from, indexer }
    }

    /// What the details say of it.
    pub(super) fn details(self, real_time: bool) -> Track {
        let length = self.until.saturating_sub(self.from);
        let Indexed { duration_ms, index } = self.indexer.map(SeekIndexer::finish).unwrap_or_default();
        // What the media say themselves is better than how long it took to write them.
        let duration_ms = duration_ms.or_else(|| real_time.then(|| milliseconds(length)));
        Track {
            track: self.track,
            media_type: self.media_type.unwrap_or_else(|| media_type::UNKNOWN.to_owned()),
            bytes: self.bytes,
            duration_ms,
            sha256: self.sha256,
            seek: index,
        }
    }
}

/// Drops the indexes that would make the details of a recording of very many tracks too large.
fn limit_indexes(tracks: &mut [Track]) {
    let mut room = MAX_INDEXES;
    for track in tracks {
        let length =
            track.seek.as_ref().and_then(|seek| serde_json::to_vec(seek).ok()).map_or(0, |seek| seek.len());
        match room.checked_sub(length) {
            Some(left) => room = left,
            None => track.seek = None,
        }
    }
}

/// What was sealed.
pub(super) struct WorkDone {
    pub(super) journal: Arc<Journal>,
    pub(super) segments: u32,
    pub(super) bytes: u64,
    pub(super) sha256: Digest,
    pub(super) final_seal: Envelope<FinalSeal>,
    pub(super) media: Vec<Medium>,
}

/// A segment that grows.
pub(super) struct Growing {
    segment: SegmentSealer,
    hashes: Vec<Digest>,
    tree: TreeBuilder,
}

/// Seals one recording.
pub(super) struct Worker {
    pub(super) session: Session,
    pub(super) sealer: RecordingSealer,
    pub(super) journal: Arc<Journal>,
    pub(super) title: Option<String>,
    pub(super) real_time: bool,
    pub(super) staged: mpsc::Sender<Staged>,
    pub(super) items: mpsc::UnboundedSender<Item>,
    pub(super) patience: Patience,
    pub(super) shared: Shared,
    /// The hash of all plaintext, and so of the first track while that is the only one.
    pub(super) hash: Sha256,
    /// The hash of a later track.
    pub(super) track_hash: Option<Sha256>,
    pub(super) tracks: Vec<SealedTrack>,
    pub(super) growing: Option<Growing>,
    /// Whether a tail lies in the home.
    pub(super) has_tail: bool,
}

/// The sender ended before the source; its own error says why.
fn stopped() -> ClientError {
    ClientError::Bug("the upload stopped before its source".to_owned())
}

impl Worker {
    /// Seals until the end; `None` if nothing more comes, and no end.
    ///
    /// # Errors
    /// [`ClientError`]; the journal stays for a later process.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
    ) -> Result<Option<WorkDone>, ClientError> {
        while let Some(command) = commands.next().await {
            // What follows on a part that was lost could not be opened: there is nothing to go on with.
            if let Some(loss) = self.shared.settlement.take_loss() {
                return Err(loss);
            }
            if self.shared.settlement.is_closed() {
                return Err(stopped());
            }
            match command {
                Command::Track { media_type, from } => self.begin_track(media_type, from)?,
                Command::Part(part) => self.seal_part(part).await?,
                Command::Tail { from, tail, of } => {
                    if !self.seal_tail(from, tail).await? {
                        Taken::try_tail_again(&of);
                    }
                }
                Command::Finish { ended, status } => return self.finish(ended, status).await.map(Some),
            }
        }
        Ok(None)
    }

    fn begin_track(&mut self, media_type: Option<String>, from: Duration) -> Result<(), ClientError> {
        // A track that got nothing leaves its number to the next one.
        if self.tracks.last().is_some_and(|track| track.until == track.from && track.bytes == 0) {
            self.tracks.pop();
        } else {
            self.end_track();
        }
        let track = u8::try_from(self.tracks.len()).ok().filter(|&track| track < u8::MAX);
        let track =
            track.ok_or_else(|| ClientError::Usage("a recording has at most 255 tracks".to_owned()))?;
        self.track_hash = (track > 0).then(Sha256::new);
        self.tracks.push(SealedTrack::beginning(track, media_type, from, Some(SeekIndexer::new())));
        Ok(())
    }

    /// Notes what the newest track was, all of which was seen here.
    fn end_track(&mut self) {
        if let Some(track) = self.tracks.last_mut() {
            let hash = self.track_hash.take().unwrap_or_else(|| self.hash.clone());
            track.sha256 = Some(Digest::from_bytes(hash.finalize().into()));
        }
    }

    /// The line of the newest track, if nothing of it was sealed yet.
    fn track_line(&mut self, start: &[u8]) -> Result<Option<TrackLine>, ClientError> {
        let track = self.tracks.last_mut().ok_or_else(stopped)?;
        if track.bytes > 0 {
            return Ok(None);
        }
        let media_type = track.media_type.get_or_insert_with(|| media_type::sniff(start).to_owned());
        let from_ms = milliseconds(track.from);
        Ok(Some(TrackLine { track: track.track, media_type: media_type.clone(), from_ms }))
    }

    /// Begins a segment. Gives what the journal says of that, and what the server is asked for.
    fn begin_segment(&mut self, part: &Part) -> Result<(Vec<Line>, Item), ClientError> {
        let track = self.track_line(&part.plaintext)?;
        let number = self.tracks.last().map_or(0, |track| track.track);
        let segment = self.sealer.begin_segment(number, part.part_chunks)?;
        let line = segment_line(&segment);
        let body = line.to_open();
        let open = Item::Open { segment: line.index, body };
        let lines = track.map(Line::Track).into_iter().chain([Line::Segment(Box::new(line))]).collect();
        self.growing = Some(Growing { segment, hashes: Vec::new(), tree: TreeBuilder::new() });
        Ok((lines, open))
    }

    async fn seal_part(&mut self, part: Part) -> Result<(), ClientError> {
        let (mut lines, before) = match self.growing {
            Some(_) => (Vec::new(), None),
            None => {
                let (lines, open) = self.begin_segment(&part)?;
                (lines, Some(open))
            }
        };
        let Part { plaintext, padding, last, until, at_ms, .. } = part;
        let recorded = plaintext.len().saturating_sub(padding);
        let growing = self.growing.as_mut().ok_or_else(stopped)?;
        let track = self.tracks.last_mut().ok_or_else(stopped)?;
        track.bytes += recorded as u64;
        track.padding += padding as u64;
        track.until = until;
        let (mut hash, mut track_hash) = (self.hash.clone(), self.track_hash.take());
        let mut indexer = track.indexer.take();
        let job = growing.segment.next_part(plaintext, last)?;
        let work = move || {
            let recorded = job.plaintext().get(..recorded).unwrap_or_default();
            hash.update(recorded);
            if let Some(hash) = &mut track_hash {
                hash.update(recorded);
            }
            if let Some(indexer) = &mut indexer {
                indexer.push(recorded);
            }
            let source_hash = Digest::from_bytes(hash.clone().finalize().into());
            let sealed = job.run().map(|sealed| (Digest::of(&sealed.ciphertext), sealed));
            (hash, track_hash, source_hash, indexer, sealed)
        };
        let (hash, track_hash, source_hash, indexer, sealed) = self.session.effects().run(work).await?;
        (self.hash, self.track_hash) = (hash, track_hash);
        track.indexer = indexer;
        let (hash, sealed) = sealed.map_err(|error| ClientError::Bug(error.to_string()))?;
        growing.hashes.push(hash);
        growing.tree.push(hash.as_bytes());
        let start = growing.segment.start();
        // A segment's last part is proved by the seal, which follows at once.
        let progress = if last {
            None
        } else {
            let recorded = timestamp_of_ms(at_ms);
            let progress = self.sealer.prepare_progress(&start, &growing.tree, recorded)?;
            let progress = self.session.sign(progress).await?;
            Some(String::from_utf8_lossy(progress.bytes()).into_owned())
        };
        let place = (start.index, sealed.index);
        let (length, bytes) = (sealed.ciphertext.len(), self.bytes());
        lines.push(Line::Part(PartLine {
            segment: place.0,
            part: place.1,
            hash,
            length,
            until_bytes: bytes,
            padding: padding as u64,
            source_hash,
            end: last.then_some(BodyEnd::Final),
            until_ms: milliseconds(until),
            at_ms,
        }));
        let mark = Mark { recorded: until, bytes };
        self.shared.settlement.note(place, length, mark);
        let staged = Staged {
            place,
            lines,
            before,
            hash,
            ciphertext: Bytes::from(sealed.ciphertext),
            progress,
            mark: (!last).then_some(mark),
            ends_tail: std::mem::take(&mut self.has_tail),
        };
        self.staged.send(staged).await.map_err(|_| stopped())?;
        if last { self.seal_segment(length, mark).await } else { Ok(()) }
    }

    /// Seals a copy of what is not yet a part into the home, in place of the one before. `false` if it could not be
    /// yet: it follows on parts that are safe, and one may be on its way to the disk; what it holds has to be taken
    /// again.
    async fn seal_tail(&mut self, from: u64, tail: Part) -> Result<bool, ClientError> {
        let Patience::Keep(spool) = self.patience.clone() else {
            return Ok(true);
        };
        // What it holds may have come to be a part meanwhile: it would be there twice after a crash.
        if from != self.bytes() || !self.shared.settlement.is_all_safe() {
            return Ok(false);
        }
        let track = self.track_line(&tail.plaintext)?;
        let number = self.tracks.last().map_or(0, |track| track.track);
        let index = self.sealer.segments() + u32::from(self.growing.is_some());
        let mut segment = self.sealer.begin_tail(index, number)?;
        let Part { plaintext, until, at_ms, .. } = tail;
        let (from_bytes, length) = (self.bytes(), plaintext.len() as u64);
        let mut hash = self.hash.clone();
        let job = segment.next_part(plaintext, true)?;
        let work = move || {
            hash.update(job.plaintext());
            let source_hash = Digest::from_bytes(hash.finalize().into());
            job.run().map(|sealed| (Digest::of(&sealed.ciphertext), source_hash, sealed.ciphertext))
        };
        let sealed = self.session.effects().run(work).await?;
        let (hash, source_hash, ciphertext) = sealed.map_err(|error| ClientError::Bug(error.to_string()))?;
        let part = PartLine {
            segment: index,
            part: 0,
            hash,
            length: ciphertext.len(),
            until_bytes: from_bytes + length,
            padding: 0,
            source_hash,
            end: Some(BodyEnd::Final),
            until_ms: milliseconds(until),
            at_ms,
        };
        let line = TailLine { from_bytes, track, segment: segment_line(&segment), part };
        match self.journal.append(vec![line.put(&spool, &ciphertext)?], &[], Vec::new()).await {
            Ok(()) => self.has_tail = true,
            // It costs only what a crash would cost now.
            Err(error) => tracing::debug!(%error, "a tail could not be kept"),
        }
        Ok(true)
    }

    fn bytes(&self) -> u64 {
        self.tracks.iter().map(|track| track.bytes).sum()
    }

    /// Waits until each part is acknowledged or synced in the home.
    async fn all_safe(&self) -> Result<AllSafe, ClientError> {
        self.shared.settlement.all_safe().await
    }

    /// Seals the segment that grows. Its parts are on the server or in the home by then: a seal that was signed always
    /// has its parts somewhere.
    async fn seal_segment(&mut self, last_part_length: usize, mark: Mark) -> Result<(), ClientError> {
        let Some(Growing { segment, hashes, .. }) = self.growing.take() else {
            return Err(stopped());
        };
        let safe = self.all_safe().await?;
        let facts = segment.finish(hashes, last_part_length);
        self.sign_seal(&facts, mark, &safe).await
    }

    async fn sign_seal(&mut self, facts: &SegmentFacts, mark: Mark, _: &AllSafe) -> Result<(), ClientError> {
        let seal = self.session.sign(self.sealer.prepare_seal(facts)?).await?;
        self.sealer.continue_after(&seal)?;
        self.note(Line::Seal(Box::new(seal.clone()))).await?;
        self.send(Item::Seal(seal, mark))
    }

    /// Writes a line. What is recorded once waits a while for a home that takes none.
    async fn note(&self, line: Line) -> Result<(), ClientError> {
        let line = [line];
        let began = self.session.effects().now().running;
        loop {
            let Err(error) = self.journal.append(Vec::new(), &line, Vec::new()).await else {
                return Ok(());
            };
            let may_wait =
                matches!(self.patience, Patience::Keep(_)) && matches!(error, ClientError::Disk { .. });
            let waited = self.session.effects().now().running.saturating_sub(began);
            if !may_wait || waited >= HOME_PATIENCE || self.shared.give_up.get() != GiveUp::No {
                return Err(error);
            }
            let told = self.shared.give_up.wait_for(|told| (*told != GiveUp::No).then_some(()));
            let pause = self.session.effects().sleep(PAUSE);
            future::select(std::pin::pin!(told), std::pin::pin!(pause)).await;
        }
    }

    /// Seals and queues the end. It is noted first: another that is ever signed in its place has to name it.
    async fn finish(mut self, ended: Timestamp, status: RecordingStatus) -> Result<WorkDone, ClientError> {
        if self.sealer.segments() == 0 {
            let until = self.tracks.last().map_or(Duration::ZERO, |track| track.until);
            let plaintext = PayloadSealer::part_buffer();
            let at_ms = self.session.effects().now().unix_ms;
            let part_chunks = PartChunks::FIFTEEN;
            self.seal_part(Part { plaintext, padding: 0, part_chunks, last: true, until, at_ms }).await?;
        }
        self.end_track();
        let started = self.sealer.manifest().created;
        let bytes = self.bytes();
        let tracks = std::mem::take(&mut self.tracks);
        let recorded = |track: &SealedTrack| track.bytes > 0 || track.track == 0;
        let tracks = tracks.into_iter().filter(recorded).map(|track| track.details(self.real_time));
        let mut tracks: Vec<Track> = tracks.collect();
        limit_indexes(&mut tracks);
        let media = tracks.iter().map(|track| Medium::known(track, track.bytes)).collect();
        let details = Details { title: self.title.take(), started, ended, tracks };
        let safe = self.all_safe().await?;
        let final_seal = self.sign_end(&details, status, &safe).await?;
        let sha256 = Digest::from_bytes(self.hash.finalize().into());
        let segments = self.sealer.segments();
        Ok(WorkDone { journal: self.journal, segments, bytes, sha256, final_seal, media })
    }

    async fn sign_end(
        &mut self,
        details: &Details,
        status: RecordingStatus,
        _: &AllSafe,
    ) -> Result<Envelope<FinalSeal>, ClientError> {
        let (object, unsigned) = self.sealer.prepare_final(details, status, details.ended)?;
        let final_seal = self.session.sign(unsigned).await?;
        let end = EndLine { details: base64::encode(&object), final_seal: final_seal.clone() };
        self.note(Line::End(Box::new(end.clone()))).await?;
        self.send(Item::End(Box::new(end)))?;
        Ok(final_seal)
    }

    fn send(&self, item: Item) -> Result<(), ClientError> {
        self.items.unbounded_send(item).map_err(|_| stopped())
    }
}

fn segment_line(segment: &SegmentSealer) -> SegmentLine {
    let start = segment.start();
    SegmentLine {
        index: start.index,
        track: start.track,
        part_chunks: start.part_chunks,
        header: base64::encode(segment.header()),
        header_digest: start.header,
    }
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A clock outside the range of timestamps is shown as the start of it; no statement of a device depends on more.
pub(super) fn timestamp_of_ms(unix_ms: u64) -> Timestamp {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(0);
    Timestamp::from_unix_seconds(seconds).unwrap_or(Timestamp::EPOCH)
}
