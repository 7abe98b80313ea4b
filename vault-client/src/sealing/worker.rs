//! Seals what is recorded, part by part and in order, on a thread of its own: every line of the journal and every
//! signature of an upload is written here, before what it names is sent.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use vault_core::details::{Details, Track};
use vault_core::payload::PayloadSealer;
use vault_core::sealing::{RecordingSealer, SegmentFacts, SegmentSealer};
use vault_core::webm::{Indexed, SeekIndexer};
use vault_engine::Session;
use vault_proto::base64;
use vault_proto::envelope::Envelope;
use vault_proto::geometry::BodyEnd;
use vault_proto::ids::Digest;
use vault_proto::statements::{FinalSeal, RecordingStatus};
use vault_proto::timestamp::Timestamp;
use vault_proto::tree::TreeBuilder;
use vault_proto::wire::{self, MAX_DETAILS};
use zeroize::Zeroizing;

use super::held_parts::HeldPart;
use super::journal::{EndLine, Journal, PartLine, SegmentLine, TrackLine, unix_ms};
use super::progress::{Mark, Objection, ServerState};
use super::sender::{GiveUp, Item, OutgoingPart, Patience, Payload, Shared};
use super::settlement::{AllSafe, Place};
use super::spool::Spool;
use vault_engine::error::ClientError;
use vault_engine::media_type;
use vault_engine::opening::media::Medium;

/// How long a sealed part waits for the network before it is kept on the disk.
const PATIENCE: Duration = Duration::from_secs(1);

/// Most bytes of the seek indexes of all tracks together, in the details.
const MAX_INDEXES: usize = MAX_DETAILS / 2;

/// What the worker is told.
pub(super) enum Command {
    /// A new track, numbered in the order of these commands from 0.
    Track { media_type: Option<String>, from: Duration },
    /// A part of the newest track.
    Part(Part),
    /// The end.
    Finish { ended: Timestamp, status: RecordingStatus },
}

/// A part to seal.
pub(super) struct Part {
    pub(super) plaintext: Zeroizing<Vec<u8>>,
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
    pub(super) bytes: u64,
    pub(super) from: Duration,
    pub(super) until: Duration,
    /// Has seen every byte so far; `None` where a process that died has seen them.
    pub(super) indexer: Option<SeekIndexer>,
}

impl SealedTrack {
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
    pub(super) journal: Journal,
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
    pub(super) runtime: Handle,
    pub(super) sealer: RecordingSealer,
    pub(super) session: Session,
    pub(super) journal: Journal,
    pub(super) title: Option<String>,
    pub(super) real_time: bool,
    pub(super) items: mpsc::UnboundedSender<Item>,
    pub(super) patience: Patience,
    pub(super) shared: Shared,
    pub(super) hash: Sha256,
    pub(super) tracks: Vec<SealedTrack>,
    pub(super) growing: Option<Growing>,
}

/// The sender ended before the source; its own error says why.
fn stopped() -> ClientError {
    ClientError::Bug("the upload stopped before its source".to_owned())
}

impl Worker {
    /// Seals until the end; `None` if nothing more comes, and no end. Blocks.
    ///
    /// # Errors
    /// [`ClientError`]; the journal stays for a later process.
    pub(super) fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
    ) -> Result<Option<WorkDone>, ClientError> {
        while let Some(command) = commands.blocking_recv() {
            // What follows on a part that was lost could not be opened: there is nothing to go on with.
            if let Some(loss) = self.shared.settlement.take_loss() {
                return Err(loss);
            }
            match command {
                Command::Track { media_type, from } => self.begin_track(media_type, from)?,
                Command::Part(part) => self.seal_part(part)?,
                Command::Finish { ended, status } => return self.finish(ended, status).map(Some),
            }
        }
        Ok(None)
    }

    fn begin_track(&mut self, media_type: Option<String>, from: Duration) -> Result<(), ClientError> {
        // A track that got nothing leaves its number to the next one.
        if self.tracks.last().is_some_and(|track| track.until == track.from && track.bytes == 0) {
            self.tracks.pop();
        }
        let track = u8::try_from(self.tracks.len()).ok().filter(|&track| track < u8::MAX);
        let track =
            track.ok_or_else(|| ClientError::Usage("a recording has at most 255 tracks".to_owned()))?;
        let indexer = Some(SeekIndexer::new());
        self.tracks.push(SealedTrack { track, media_type, bytes: 0, from, until: from, indexer });
        Ok(())
    }

    fn begin_segment(&mut self, start: &[u8]) -> Result<(), ClientError> {
        let track = self.tracks.last_mut().ok_or_else(stopped)?;
        if track.bytes == 0 {
            let media_type = track.media_type.get_or_insert_with(|| media_type::sniff(start).to_owned());
            let line = TrackLine {
                track: track.track,
                media_type: media_type.clone(),
                from_ms: milliseconds(track.from),
            };
            self.journal.track(line)?;
        }
        let segment = self.sealer.begin_segment(track.track)?;
        let start = segment.start();
        let header = base64::encode(segment.header());
        self.journal.segment(SegmentLine {
            index: start.index,
            track: start.track,
            key_commitment: start.key_commitment,
            header: header.clone(),
        })?;
        let body = wire::OpenSegment { track: start.track, header };
        self.send(Item::Open { segment: start.index, body })?;
        self.growing = Some(Growing { segment, hashes: Vec::new(), tree: TreeBuilder::new() });
        Ok(())
    }

    fn seal_part(&mut self, part: Part) -> Result<(), ClientError> {
        if self.growing.is_none() {
            self.begin_segment(&part.plaintext)?;
        }
        let Part { plaintext, last, until, at_ms } = part;
        let plaintext_length = plaintext.len() as u64;
        self.hash.update(&plaintext);
        let source_hash = Digest::from_bytes(self.hash.clone().finalize().into());
        let Some(track) = self.tracks.last_mut() else {
            return Err(stopped());
        };
        track.bytes += plaintext_length;
        track.until = until;
        if let Some(indexer) = &mut track.indexer {
            indexer.push(&plaintext);
        }
        let growing = self.growing.as_mut().ok_or_else(stopped)?;
        let job = growing.segment.next_part(plaintext, last)?;
        let sealed = job.run().map_err(|error| ClientError::Bug(error.to_string()))?;
        let hash = Digest::of(&sealed.ciphertext);
        growing.hashes.push(hash);
        growing.tree.push(hash.as_bytes());
        let start = growing.segment.start();
        // A segment's last part is proved by the seal, which follows at once.
        let progress = if last {
            None
        } else {
            let recorded = timestamp_of_ms(at_ms);
            let progress = self.sealer.prepare_progress(&start, &growing.tree, recorded)?;
            let progress = self.runtime.block_on(self.session.sign(progress))?;
            Some(String::from_utf8_lossy(progress.bytes()).into_owned())
        };
        let length = sealed.ciphertext.len();
        let payload = self.place((start.index, sealed.index), sealed.ciphertext, progress)?;
        let line = PartLine {
            segment: start.index,
            part: sealed.index,
            hash,
            length,
            source_hash,
            end: last.then_some(BodyEnd::Final),
            until_ms: milliseconds(until),
            at_ms,
        };
        // What cannot be read again is acknowledged only with its line on this disk: whoever ends the recording after a
        // loss of power seals what the journal names.
        let once_only = matches!(self.patience, Patience::Keep(_));
        self.journal.part(line, once_only || matches!(payload, Payload::Spooled))?;
        let mark = Mark { recorded: until, bytes: self.bytes() };
        let mark_now = (!last).then_some(mark);
        let (segment, part) = (start.index, sealed.index);
        // A part that the journal does not name is nobody's: no later process would look for it.
        self.shared.settlement.note((segment, part), length, mark, matches!(payload, Payload::Spooled));
        self.send(Item::Part(OutgoingPart { segment, part, hash, length, payload, mark: mark_now }))?;
        if last { self.seal_segment(length, mark) } else { Ok(()) }
    }

    fn bytes(&self) -> u64 {
        self.tracks.iter().map(|track| track.bytes).sum()
    }

    /// Finds a place for a sealed part: in memory on its way to the server, or in the spool behind others that wait
    /// there.
    fn place(
        &self,
        (segment, part): (u32, u32),
        ciphertext: Vec<u8>,
        progress: Option<String>,
    ) -> Result<Payload, ClientError> {
        let Patience::Keep(spool) = &self.patience else {
            let share = self.runtime.block_on(Arc::clone(&self.shared.memory).acquire_owned());
            let share = share.map_err(|_| stopped())?;
            return Ok(self.hold((segment, part), ciphertext, progress, share));
        };
        loop {
            let server = self.shared.progress.borrow().server;
            let told = *self.shared.give_up.borrow();
            if server == ServerState::Reachable && spool.used() == 0 && told != GiveUp::Now {
                match self.share_within(PATIENCE)? {
                    Some(share) => return Ok(self.hold((segment, part), ciphertext, progress, share)),
                    None => tracing::debug!("the network is slower than the recording"),
                }
            }
            // The limit is for what is still recorded; what is in hand at the end is kept beyond it.
            let may = told != GiveUp::No || spool.has_room(ciphertext.len());
            let put = if may {
                // What is on its way from memory comes before it: without that, no later process could open it.
                self.shared
                    .held
                    .keep_up_to((segment, part), spool)
                    .and_then(|()| spool.put(segment, part, progress.as_deref(), &ciphertext))
            } else {
                Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the recording's spool is at its limit"))
            };
            self.publish_kept(spool, may && put.is_err());
            let Err(fails) = put else {
                return Ok(Payload::Spooled);
            };
            let never = matches!(server, ServerState::Refusing { why: Objection::Lasting, .. });
            if never || told == GiveUp::Now {
                return Err(ClientError::disk(spool.folder())(fails));
            }
            // No room, or a disk that fails: only what the server takes makes some, and the source waits.
            if let Some(share) = self.share_within(PATIENCE)? {
                return Ok(self.hold((segment, part), ciphertext, progress, share));
            }
            if told == GiveUp::AfterOneMoreTry {
                return Err(ClientError::disk(spool.folder())(fails));
            }
        }
    }

    /// Leaves a part in memory, on its way to the server.
    fn hold(
        &self,
        place: Place,
        ciphertext: Vec<u8>,
        progress: Option<String>,
        share: OwnedSemaphorePermit,
    ) -> Payload {
        let ciphertext = Bytes::from(ciphertext);
        let held = HeldPart { ciphertext: ciphertext.clone(), progress: progress.clone(), _share: share };
        self.shared.held.hold(place, held);
        Payload::Memory { ciphertext, progress }
    }

    /// A share of the memory; `None` if none is free for so long, or if nobody waits for the server any more.
    fn share_within(&self, time: Duration) -> Result<Option<OwnedSemaphorePermit>, ClientError> {
        let share = Arc::clone(&self.shared.memory).acquire_owned();
        let mut give_up = self.shared.give_up.clone();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                share = share => share.map(Some).map_err(|_| stopped()),
                Ok(_) = give_up.wait_for(|told| *told == GiveUp::Now) => Ok(None),
                () = tokio::time::sleep(time) => Ok(None),
            }
        })
    }

    fn publish_kept(&self, spool: &Spool, fails: bool) {
        self.shared.progress.send_modify(|progress| {
            progress.kept_bytes = spool.used();
            progress.spool_fails = fails;
        });
    }

    /// Waits until each part is acknowledged or synced on this disk.
    fn all_safe(&self) -> Result<AllSafe, ClientError> {
        self.runtime.block_on(self.shared.settlement.all_safe())
    }

    /// Seals the segment that grows. Its parts are on the server or on this disk by then: a seal that was signed always
    /// has its parts somewhere.
    fn seal_segment(&mut self, last_part_length: usize, mark: Mark) -> Result<(), ClientError> {
        let Some(Growing { segment, hashes, .. }) = self.growing.take() else {
            return Err(stopped());
        };
        let safe = self.all_safe()?;
        let facts = segment.finish(hashes, last_part_length);
        self.sign_seal(&facts, mark, &safe)
    }

    fn sign_seal(&mut self, facts: &SegmentFacts, mark: Mark, _: &AllSafe) -> Result<(), ClientError> {
        let seal = self.runtime.block_on(self.session.sign(self.sealer.prepare_seal(facts)?))?;
        self.sealer.continue_after(&seal)?;
        self.journal.seal(&seal)?;
        self.send(Item::Seal(seal, mark))
    }

    /// Seals and queues the end. It is noted first, so that a recording never gets two different ends.
    fn finish(mut self, ended: Timestamp, status: RecordingStatus) -> Result<WorkDone, ClientError> {
        if self.sealer.segments() == 0 {
            let until = self.tracks.last().map_or(Duration::ZERO, |track| track.until);
            let plaintext = PayloadSealer::part_buffer();
            self.seal_part(Part { plaintext, last: true, until, at_ms: unix_ms(SystemTime::now()) })?;
        }
        let started = self.sealer.manifest().created;
        let bytes = self.bytes();
        let tracks = std::mem::take(&mut self.tracks);
        let recorded = |track: &SealedTrack| track.bytes > 0 || track.track == 0;
        let tracks = tracks.into_iter().filter(recorded).map(|track| track.details(self.real_time));
        let mut tracks: Vec<Track> = tracks.collect();
        limit_indexes(&mut tracks);
        let media = tracks.iter().map(|track| Medium::known(track, track.bytes)).collect();
        let details = Details { title: self.title.take(), started, ended, tracks };
        let safe = self.all_safe()?;
        let final_seal = self.sign_end(&details, status, &safe)?;
        let sha256 = Digest::from_bytes(self.hash.finalize().into());
        let segments = self.sealer.segments();
        Ok(WorkDone { journal: self.journal, segments, bytes, sha256, final_seal, media })
    }

    fn sign_end(
        &mut self,
        details: &Details,
        status: RecordingStatus,
        _: &AllSafe,
    ) -> Result<Envelope<FinalSeal>, ClientError> {
        let (object, unsigned) = self.sealer.prepare_final(details, status, details.ended)?;
        let final_seal = self.runtime.block_on(self.session.sign(unsigned))?;
        let end = EndLine { details: base64::encode(&object), final_seal: final_seal.clone() };
        self.journal.end(&end)?;
        self.send(Item::End(Box::new(end)))?;
        Ok(final_seal)
    }

    fn send(&self, item: Item) -> Result<(), ClientError> {
        self.items.send(item).map_err(|_| stopped())
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
