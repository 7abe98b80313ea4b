//! Sealing a consultation while it happens.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use vault_core::payload::PayloadSealer;
use vault_proto::geometry::{MAX_PARTS, PART_PLAINTEXT};
use vault_proto::ids::RecordingId;
use vault_proto::statements::RecordingStatus;
use zeroize::Zeroizing;

use super::begin::Begun;
use super::held_parts::HeldParts;
use super::journal::{Pulse, created_ms, unix_ms};
use super::progress::{Mark, RecordingProgress};
use super::readers::Readers;
use super::sender::{GiveUp, IN_FLIGHT, Item, Patience, Sender, Shared};
use super::settlement::Settlement;
use super::spool::Spool;
use super::worker::{Command, Part, SealedTrack, WorkDone, Worker, milliseconds};
use super::{SealRequest, Sealed};
use crate::clock::now;
use crate::home_folder::folder_of;
use vault_engine::Session;
use vault_engine::error::{ClientError, KeptRecording, RecordingEnd};
use vault_engine::home::endings;

/// Commands that wait for the sealing thread.
const QUEUE: usize = 1;
/// How often the journal is told that something was recorded.
const PULSE: Duration = Duration::from_millis(500);
/// Milliseconds by which the clock on the wall and that of a recording may drift apart unnoticed.
const DRIFT_MS: u64 = 50;

/// How a recorder behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecorderOptions {
    /// Whether bytes are written as they are recorded, so that a track is as long as it took to write it, without
    /// pauses. If not, durations are left unknown.
    pub real_time: bool,
    /// Most ciphertext bytes kept on this machine while the server cannot be reached; beyond, [`Recorder::write`]
    /// waits.
    pub spool_limit: u64,
    /// Time after which a new segment begins.
    pub segment_length: Duration,
}

impl Default for RecorderOptions {
    /// Real time, a spool of 8 GiB (some nine hours at 2 Mbit/s), segments of 30 minutes.
    fn default() -> Self {
        Self { real_time: true, spool_limit: 8 << 30, segment_length: Duration::from_secs(30 * 60) }
    }
}

/// Recorded time, in whole milliseconds as the journal has it: it stands still during pauses.
struct Clock {
    before: Duration,
    running_since: Option<Instant>,
}

impl Clock {
    fn recorded(&self) -> Duration {
        let recorded = self.before + self.running_since.map_or(Duration::ZERO, |since| since.elapsed());
        Duration::from_millis(milliseconds(recorded))
    }
}

/// A moment by the clock of the recording, and by the clock on the wall as the journal has it.
struct Moment {
    recorded: Duration,
    at_ms: u64,
}

impl Moment {
    /// A later moment at which the wall shows `now_ms`. Where the two clocks differ by less than anybody sees, the
    /// recording's counts: what is lost is the same, whichever part it is counted from.
    fn next(&self, recorded: Duration, now_ms: u64) -> Self {
        let expected = self.wall_ms(recorded);
        let at_ms = if expected.abs_diff(now_ms) <= DRIFT_MS { expected } else { now_ms };
        Self { recorded, at_ms }
    }

    /// What the clock on the wall showed, or would have shown without pauses, when so much was recorded.
    fn wall_ms(&self, recorded: Duration) -> u64 {
        self.at_ms.saturating_add(milliseconds(recorded.saturating_sub(self.recorded)))
    }
}

/// Seals what an app records while it records it.
///
/// The readers are fixed and signed when it begins, and nothing that happens later changes them: a switch from audio to
/// video appends a segment. Bytes are sealed in parts of 1 MiB and sent as they come; what [`RecordingProgress`] calls
/// acknowledged opens for its readers whatever dies next. While the server cannot be reached, sealed parts are kept in
/// an encrypted spool in the home and sent later, in order, if need be by another process ([`super::resume_all`]).
/// Plaintext is never written to a disk: what is lost with a process is what it held in memory, the part being filled
/// and at most six before it. While neither the server nor the disk takes anything, [`Self::write`] waits; what ends
/// then says what that costs.
///
/// Memory is flat: some 8 MiB, whatever the length.
///
/// ```no_run
/// # use vault_engine::Session;
/// # use vault_client::sealing::{Recorder, RecorderOptions, Sealed, SealRequest};
/// # async fn record(session: &Session, request: &SealRequest, mut camera: impl Iterator<Item = Vec<u8>>)
/// # -> Result<Sealed, vault_engine::ClientError> {
/// let mut recorder = Recorder::begin(session, request, RecorderOptions::default()).await?;
/// let progress = recorder.progress();
/// for bytes in camera.by_ref().take(100) {
///     recorder.write(&bytes).await?;
///     println!("{:?} behind", progress.borrow().behind());
/// }
/// recorder.switch_track(Some("video/webm")).await?;
/// for bytes in camera {
///     recorder.write(&bytes).await?;
/// }
/// recorder.finish(true, std::time::Duration::from_secs(60)).await
/// # }
/// ```
#[must_use = "a recording that is not finished is shown as cut off"]
pub struct Recorder {
    recording: RecordingId,
    options: RecorderOptions,
    clock: Clock,
    buffer: Zeroizing<Vec<u8>>,
    /// Parts given out of the segment that grows, and since when it does.
    segment: (u32, Option<Instant>),
    /// All that was written, and the recorded time when it was.
    written: Mark,
    pulse: Pulse,
    beaten: Option<Instant>,
    /// The end of the last part that was given out, or the beginning.
    last_part: Moment,
    /// `None` once nothing more is sealed.
    commands: Option<mpsc::Sender<Command>>,
    worker: Task<Option<WorkDone>>,
    sender: Task<()>,
    settlement: Settlement,
    give_up: Arc<watch::Sender<GiveUp>>,
    progress: watch::Receiver<RecordingProgress>,
    published: watch::Sender<RecordingProgress>,
    spool: Option<Arc<Spool>>,
    session: Session,
}

/// What was sealed before, by a process that died.
pub(super) struct Before {
    pub(super) hash: Sha256,
    pub(super) tracks: Vec<SealedTrack>,
    pub(super) bytes: u64,
}

impl Before {
    pub(super) fn nothing() -> Self {
        Self { hash: Sha256::new(), tracks: Vec::new(), bytes: 0 }
    }
}

impl Recorder {
    /// Begins a recording: looks its readers up, signs the manifest and makes it durable on the server. Begin early:
    /// nothing can be written before.
    ///
    /// # Errors
    /// [`ClientError::Trust`], naming the reader whose keys cannot be trusted; nothing is uploaded then.
    /// [`ClientError::Unreachable`] or [`ClientError::Refused`].
    pub async fn begin(
        session: &Session,
        request: &SealRequest,
        options: RecorderOptions,
    ) -> Result<Self, ClientError> {
        let readers = Readers::look_up(session, request).await?;
        let begun = Begun::new(session, request, &readers, None, options.real_time).await?;
        let recording = begun.begin.manifest.unverified().recording;
        let spool = Arc::new(Spool::of(&folder_of(&session.home), recording, options.spool_limit));
        let patience = Patience::Keep(spool);
        let mut recorder = Self::start(session, begun, request, options, patience, Before::nothing())?;
        recorder.begin_track(request.media_type.clone()).await?;
        Ok(recorder)
    }

    /// Starts the threads of a recording that is on the server.
    pub(super) fn start(
        session: &Session,
        begun: Begun,
        request: &SealRequest,
        options: RecorderOptions,
        patience: Patience,
        before: Before,
    ) -> Result<Self, ClientError> {
        let Begun { sealer: recording_sealer, journal, begin } = begun;
        let recording = recording_sealer.manifest().recording;
        let pulse = journal.pulse()?;
        let last_part = Moment { recorded: Duration::ZERO, at_ms: created_ms(&begin) };
        let mark = Mark { recorded: Duration::ZERO, bytes: before.bytes };
        let (published, progress) = watch::channel(RecordingProgress::starting_from(mark));
        let (give_up, given_up) = watch::channel(GiveUp::No);
        let settlement = Settlement::after(mark);
        let memory = Arc::new(Semaphore::new(IN_FLIGHT));
        let shared = Shared {
            progress: published.clone(),
            give_up: given_up,
            memory,
            held: HeldParts::new(settlement.clone()),
            settlement: settlement.clone(),
        };
        let (items, queued) = mpsc::unbounded_channel::<Item>();
        let (commands, received) = mpsc::channel(QUEUE);
        let spool = match &patience {
            Patience::GiveUp => None,
            Patience::Keep(spool) => Some(Arc::clone(spool)),
        };
        let sending = Sender::new(&session.connection, recording, patience.clone(), queued, shared.clone());
        let worker = Worker {
            runtime: Handle::current(),
            sealer: recording_sealer,
            session: session.clone(),
            journal,
            title: request.title.clone(),
            real_time: options.real_time,
            items,
            patience,
            shared,
            hash: before.hash,
            tracks: before.tracks,
            growing: None,
        };
        Ok(Self {
            recording,
            options,
            clock: Clock { before: Duration::ZERO, running_since: Some(Instant::now()) },
            buffer: PayloadSealer::part_buffer(),
            segment: (0, None),
            written: mark,
            pulse,
            beaten: None,
            last_part,
            commands: Some(commands),
            worker: Task::new(tokio::task::spawn_blocking(move || worker.run(received))),
            sender: Task::new(tokio::spawn(sending.run())),
            settlement,
            give_up: Arc::new(give_up),
            progress,
            published,
            spool,
            session: session.clone(),
        })
    }

    /// The recording's id.
    pub const fn recording(&self) -> RecordingId {
        self.recording
    }

    /// How far it has come; the receiver is told of every change.
    pub fn progress(&self) -> watch::Receiver<RecordingProgress> {
        self.progress.clone()
    }

    /// Takes the next bytes of the track. Waits while more is recorded than can be sealed and sent or kept: at most one
    /// part is held back here.
    ///
    /// A call that is dropped while it waits has taken some of the bytes, and nobody knows how many: let it come to its
    /// end.
    ///
    /// # Errors
    /// [`ClientError::Kept`]: why the recording cannot go on, and what is where of all that was written. What was
    /// acknowledged opens; what was kept is sent by [`super::resume_all`].
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), ClientError> {
        self.written.bytes += bytes.len() as u64;
        self.written.recorded = self.clock.recorded();
        if self.beaten.is_none_or(|beaten| beaten.elapsed() >= PULSE) {
            self.beaten = Some(Instant::now());
            self.note_written();
            self.publish_recorded();
        }
        while !bytes.is_empty() {
            let age = self.segment.1.map_or(Duration::ZERO, |since| since.elapsed());
            if age >= self.options.segment_length && !self.buffer.is_empty() {
                self.emit(true).await?;
            }
            // A full part is given out only when more comes: the last one of a segment is sealed otherwise.
            if self.buffer.len() == PART_PLAINTEXT {
                let last = self.segment.0 + 1 == MAX_PARTS;
                self.emit(last).await?;
            }
            let room = PART_PLAINTEXT - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.segment.1.get_or_insert_with(Instant::now);
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Leaves on the journal until when something was recorded, so that a later process counts what was lost as this
    /// one does.
    fn note_written(&self) {
        self.pulse.beat(self.last_part.wall_ms(self.written.recorded));
    }

    fn publish_recorded(&self) {
        let (recorded, bytes) = (self.clock.recorded(), self.written.bytes);
        self.published.send_modify(|progress| {
            progress.recorded = recorded;
            progress.bytes = bytes;
        });
    }

    /// What makes this recording wait for its server no longer.
    pub(super) fn give_up(&self) -> Arc<watch::Sender<GiveUp>> {
        Arc::clone(&self.give_up)
    }

    /// Ends the track and begins another, as when a call goes from audio to video: a new segment with a new key, for
    /// the very same readers.
    ///
    /// # Errors
    /// As [`Self::write`]; [`ClientError::Usage`] past 255 tracks.
    pub async fn switch_track(&mut self, media_type: Option<&str>) -> Result<(), ClientError> {
        if !self.buffer.is_empty() {
            self.emit(true).await?;
        }
        self.begin_track(media_type.map(str::to_owned)).await
    }

    pub(super) async fn begin_track(&mut self, media_type: Option<String>) -> Result<(), ClientError> {
        let from = self.clock.recorded();
        self.command(Command::Track { media_type, from }).await
    }

    /// Stops the clock of the recording. What is written meanwhile belongs to the moment at which it stopped.
    pub fn pause(&mut self) {
        self.clock.before = self.clock.recorded();
        self.clock.running_since = None;
    }

    /// Goes on after [`Self::pause`].
    pub fn resume(&mut self) {
        self.clock.running_since.get_or_insert_with(Instant::now);
    }

    /// Seals the end and waits until everything is on the server, or until it has taken nothing for as long as
    /// `patience`. A recording that is not `complete`, because its source failed, is shown as cut off.
    ///
    /// # Errors
    /// [`ClientError::Kept`] if something is not on the server: it says what is there, what waits on this machine for
    /// [`super::resume_all`], and what is lost.
    pub async fn finish(mut self, complete: bool, patience: Duration) -> Result<Sealed, ClientError> {
        let patience = lose_patience(self.progress.clone(), Arc::clone(&self.give_up), patience);
        tokio::select! {
            sealed = self.end(complete) => sealed,
            () = patience => Err(ended()),
        }
    }

    async fn end(&mut self, complete: bool) -> Result<Sealed, ClientError> {
        if !self.buffer.is_empty() {
            self.emit(true).await?;
        }
        self.publish_recorded();
        let status = if complete { RecordingStatus::Complete } else { RecordingStatus::Recovered };
        self.command(Command::Finish { ended: now()?, status }).await?;
        let sent = self.sender.end().await;
        match (self.worker.end().await, sent) {
            (Ok(Some(done)), Ok(())) => self.put_away(done).await,
            (work, sent) => Err(self.stopped(work, sent)),
        }
    }

    /// All of the recording is on the server: remembers its end, and removes what a later process would have gone on
    /// with, the journal last.
    async fn put_away(&self, done: WorkDone) -> Result<Sealed, ClientError> {
        let WorkDone { journal, segments, bytes, sha256, final_seal, media } = done;
        let recording = self.recording;
        let put_away = async {
            let Session { home, account, .. } = &self.session;
            endings::remember(home, account, recording, &final_seal).await?;
            self.spool.as_ref().map_or(Ok(()), |spool| spool.clear())?;
            journal.finish()
        };
        put_away.await.map_err(|reason| self.kept(RecordingEnd::OnServer, reason, None))?;
        Ok(Sealed { recording, segments, bytes, sha256, media })
    }

    /// Why a recording came to no good end, once neither of its tasks runs any more.
    fn stopped(
        &self,
        work: Result<Option<WorkDone>, ClientError>,
        sent: Result<(), ClientError>,
    ) -> ClientError {
        let (end, here) = match work {
            Ok(Some(_)) => (RecordingEnd::SealedHere, self.settlement.take_loss()),
            Ok(None) => (RecordingEnd::Unsealed, self.settlement.take_loss()),
            Err(error) => (RecordingEnd::Unsealed, Some(error)),
        };
        let (reason, here) = match (sent.err(), here) {
            (Some(unsent), here) => (unsent, here),
            (None, Some(here)) => (here, None),
            (None, None) => return ended(),
        };
        // What can be read again is not kept here, and nothing of it is lost.
        if self.spool.is_none() { reason } else { self.kept(end, reason, here) }
    }

    /// What is where of a recording that is not wholly on the server, or whose end could not be noted here.
    fn kept(&self, end: RecordingEnd, reason: ClientError, here: Option<ClientError>) -> ClientError {
        self.note_written();
        let acknowledged = self.progress.borrow().durable();
        let written = self.written;
        let safe = match (&self.spool, end) {
            (_, RecordingEnd::OnServer) => written,
            (Some(spool), _) => self.settlement.safe(spool),
            (None, _) => acknowledged,
        };
        let acknowledged = if end == RecordingEnd::OnServer { written } else { acknowledged };
        ClientError::Kept(Box::new(KeptRecording {
            recording: self.recording,
            end,
            on_server: acknowledged.since(Mark::default()),
            kept: safe.since(acknowledged),
            lost: written.since(safe.max(acknowledged)),
            reason,
            not_kept: here,
            cut_short: None,
        }))
    }

    /// Gives the buffer to the sealing thread. Nothing is taken out of it before there is a place for it: whoever drops
    /// the future that waits loses nothing.
    async fn emit(&mut self, last: bool) -> Result<(), ClientError> {
        let Some(commands) = &self.commands else {
            return Err(ended());
        };
        let Ok(place) = commands.reserve().await else {
            return Err(self.gone().await);
        };
        let plaintext = std::mem::replace(&mut self.buffer, PayloadSealer::part_buffer());
        let until = self.clock.recorded();
        self.last_part = self.last_part.next(until, unix_ms(SystemTime::now()));
        let part = Part { plaintext, last, until, at_ms: self.last_part.at_ms };
        self.segment = if last { (0, None) } else { (self.segment.0 + 1, self.segment.1) };
        place.send(Command::Part(part));
        Ok(())
    }

    async fn command(&mut self, command: Command) -> Result<(), ClientError> {
        let Some(commands) = &self.commands else {
            return Err(ended());
        };
        if commands.send(command).await.is_ok() { Ok(()) } else { Err(self.gone().await) }
    }

    /// The sealing thread is gone. What it had given out is sent or kept before anybody is told where it is.
    async fn gone(&mut self) -> ClientError {
        self.commands = None;
        // A server that is away is tried once more: nobody can say how long it would be waited for.
        one_more_try(&self.give_up);
        let work = self.worker.end().await;
        let sent = self.sender.end().await;
        self.stopped(work, sent)
    }
}

/// Has a recording wait no longer for its server once that has taken nothing for `patience`, counted from now. Never
/// completes.
async fn lose_patience(
    mut progress: watch::Receiver<RecordingProgress>,
    give_up: Arc<watch::Sender<GiveUp>>,
    patience: Duration,
) {
    let asked = Instant::now();
    loop {
        let waiting = progress.borrow_and_update().server.waiting_since();
        let waiting =
            waiting.map_or(Duration::MAX, |since| patience.saturating_sub(since.max(asked).elapsed()));
        tokio::select! {
            () = sleep_for(waiting) => break,
            changed = progress.changed() => if changed.is_err() { break },
        }
    }
    one_more_try(&give_up);
    std::future::pending().await
}

/// Has nobody wait for the server beyond one more try of each thing.
fn one_more_try(give_up: &watch::Sender<GiveUp>) {
    give_up.send_if_modified(|give_up| {
        let waits = *give_up == GiveUp::No;
        if waits {
            *give_up = GiveUp::AfterOneMoreTry;
        }
        waits
    });
}

/// A task whose end is waited for once.
struct Task<T>(Option<JoinHandle<Result<T, ClientError>>>);

impl<T> Task<T> {
    fn new(handle: JoinHandle<Result<T, ClientError>>) -> Self {
        Self(Some(handle))
    }

    async fn end(&mut self) -> Result<T, ClientError> {
        let handle = self.0.as_mut().ok_or_else(ended)?;
        let result = handle.await;
        self.0 = None;
        result.map_err(|error| ClientError::Bug(error.to_string()))?
    }
}

fn ended() -> ClientError {
    ClientError::Usage("this recording has ended already, or could not go on".to_owned())
}

async fn sleep_for(time: Duration) {
    if time == Duration::MAX { std::future::pending().await } else { tokio::time::sleep(time).await }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_the_same_whichever_part_it_is_counted_from() {
        let recorded = Duration::from_millis;
        let begun = Moment { recorded: Duration::ZERO, at_ms: 1_000_000 };
        // Each clock is read by itself: whole milliseconds of the two are not the same ones.
        let first = begun.next(recorded(100), 1_000_101);
        let second = first.next(recorded(200), 1_000_200);
        let lost = |from: &Moment| second.wall_ms(recorded(450)) - from.at_ms;
        assert_eq!(lost(&first), 350);
        assert_eq!(lost(&second), 250);
        // After a pause, or a clock that was set, the wall is right.
        assert_eq!(second.next(recorded(300), 1_060_300).at_ms, 1_060_300);
        assert_eq!(second.next(recorded(300), 900_000).at_ms, 900_000);
    }
}
