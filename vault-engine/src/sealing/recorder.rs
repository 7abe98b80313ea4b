//! Sealing a consultation while it happens.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_lock::Semaphore;
use futures_channel::{mpsc, oneshot};
use futures_util::future::{self, BoxFuture, Either};
use futures_util::sink::SinkExt as _;
use sha2::{Digest as _, Sha256};
use vault_proto::geometry::PartChunks;
use vault_proto::ids::RecordingId;
use vault_proto::statements::RecordingStatus;

use super::begin::{Away, Begun};
use super::committer::Committer;
use super::delivery::Removed;
use super::held_parts::HeldParts;
use super::journal::{Journal, created_ms};
use super::progress::{Mark, RecordingProgress};
use super::readers::Readers;
use super::recording_clock::{Clock, Moment};
use super::sender::{GiveUp, IN_FLIGHT, Item, Patience, Sender, Shared};
use super::settlement::Settlement;
use super::spool::Spool;
use super::taken::{Due, Taken, Ticker};
use super::worker::{Command, SealedTrack, WorkDone, Worker};
use super::{SealRequest, Sealed};
use crate::effects::Effects;
use crate::error::{ClientError, KeptRecording, RecordingEnd};
use crate::home::endings;
use crate::session::Session;
use crate::watched::Watched;

/// Commands that wait to be sealed, beside one of each who gives some.
const QUEUE: usize = 0;
/// Sealed parts that wait to be made durable.
const STAGED: usize = 1;
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

/// Seals what an app records while it records it.
///
/// The readers are fixed and signed when it begins, and nothing that happens later changes them: a switch from audio to
/// video appends a segment. Bytes are sealed in parts, as large as fill within five seconds and at most 960 KiB, and
/// sent as they come; what [`RecordingProgress`] calls acknowledged opens for its readers whatever dies next. While the
/// server cannot be reached, sealed parts are kept in an encrypted spool in the home and sent later, in order, if need
/// be by another process ([`super::resume_all`]). Plaintext is never written to a disk: what is lost with a process is
/// what it held in memory, at most the last five seconds where the home takes what is sealed. While neither the server
/// nor the disk takes anything, [`Self::write`] waits; what ends then says what that costs.
///
/// Memory is flat: some 8 MiB, whatever the length.
///
/// Beside it runs its [`RecorderTask`], which does the sealing and the sending.
#[must_use = "a recording that is not finished is shown as cut off"]
pub struct Recorder {
    recording: RecordingId,
    options: RecorderOptions,
    /// Whether tracks end in padding.
    pads: bool,
    clock: Clock,
    taken: Arc<Mutex<Taken>>,
    /// `None` once nothing more is sealed.
    commands: Option<mpsc::Sender<Command>>,
    worker: Outcome<Option<WorkDone>>,
    sender: Outcome<()>,
    settlement: Settlement,
    give_up: Watched<GiveUp>,
    progress: Watched<RecordingProgress>,
    spool: Option<Spool>,
    session: Session,
}

/// Seals and sends what its [`Recorder`] takes, for as long as somebody polls it. It is done when the recorder is, or
/// is gone.
#[must_use = "nothing is sealed unless this runs"]
pub struct RecorderTask(BoxFuture<'static, ()>);

impl Future for RecorderTask {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        self.0.as_mut().poll(context)
    }
}

/// What comes of a part of the task, once.
struct Outcome<T>(Option<oneshot::Receiver<Result<T, ClientError>>>);

impl<T> Outcome<T> {
    async fn end(&mut self) -> Result<T, ClientError> {
        match self.0.take() {
            Some(outcome) => outcome.await.unwrap_or_else(|_| Err(ended())),
            None => Err(ended()),
        }
    }
}

/// What an upload goes on from.
pub(super) struct Before {
    /// The hash of all plaintext so far.
    pub hash: Sha256,
    /// The tracks so far.
    pub tracks: Vec<SealedTrack>,
    /// Plaintext bytes so far.
    pub bytes: u64,
}

impl Before {
    /// From the beginning.
    pub(super) fn nothing() -> Self {
        Self { hash: Sha256::new(), tracks: Vec::new(), bytes: 0 }
    }
}

/// What becomes of a part that the server does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    /// It is kept in the home until the server does: nobody records it a second time.
    InHome,
    /// Nothing: it can be read again, and the recording waits for its server only for a while.
    Nowhere,
}

impl Recorder {
    /// Trusts the readers and makes the recording durable on the server. If that is away, and the readers were looked
    /// up within the last 7 days, the recording begins all the same, and reaches the server when that is back.
    ///
    /// # Errors
    /// [`ClientError::Trust`] before anything is uploaded if a reader's keys cannot be trusted, naming the reader.
    pub async fn begin(
        session: &Session,
        request: &SealRequest,
        options: RecorderOptions,
    ) -> Result<(Self, RecorderTask), ClientError> {
        let readers = Readers::look_up_recent(session, request).await?;
        let begun = Begun::new(session, request, &readers, None, options.real_time, Away::Begin).await?;
        let (mut recorder, task) =
            Self::start(session, begun, request, options, Keeping::InHome, Before::nothing());
        recorder.first_track(request.media_type.clone())?;
        Ok((recorder, task))
    }

    /// Goes on with a recording that was begun.
    pub(super) fn start(
        session: &Session,
        begun: Begun,
        request: &SealRequest,
        options: RecorderOptions,
        keeping: Keeping,
        before: Before,
    ) -> (Self, RecorderTask) {
        let Begun { sealer: recording_sealer, journal, begin, is_created } = begun;
        let (recording, pads) = (recording_sealer.manifest().recording, begin.pad);
        // Of what can be read again nothing is lost with a device: it goes in the largest parts.
        let always = (keeping == Keeping::Nowhere).then_some(PartChunks::FIFTEEN);
        let (track_bytes, track_padding) =
            before.tracks.last().map_or((0, 0), |track| (track.bytes, track.padding));
        let effects = session.effects().clone();
        let began = effects.now().running;
        let last_part = Moment { recorded: Duration::ZERO, at_ms: created_ms(&begin) };
        let mark = Mark { recorded: Duration::ZERO, bytes: before.bytes };
        let progress = Watched::new(RecordingProgress::starting_from(mark));
        let give_up = Watched::new(GiveUp::No);
        let settlement = Settlement::after(mark);
        let shared = Shared {
            progress: progress.clone(),
            give_up: give_up.clone(),
            memory: Arc::new(Semaphore::new(IN_FLIGHT)),
            held: HeldParts::new(settlement.clone(), Arc::clone(&journal)),
            removed: Removed::default(),
            settlement: settlement.clone(),
        };
        let spool =
            (keeping == Keeping::InHome).then(|| Spool::of(&session.home, recording, options.spool_limit));
        let patience = spool.clone().map_or(Patience::GiveUp, Patience::Keep);
        let (items, queued) = mpsc::unbounded::<Item>();
        if !is_created {
            // The receiver is in hand.
            let _ = items.unbounded_send(Item::Create(Box::new(begin.to_create())));
        }
        let (commands, received) = mpsc::channel(QUEUE);
        let (staged, to_commit) = mpsc::channel(STAGED);
        let sending = Sender::new(&session.connection, recording, patience.clone(), queued, shared.clone());
        let committer = Committer {
            effects: effects.clone(),
            journal: Arc::clone(&journal),
            patience: patience.clone(),
            items: items.clone(),
            shared: shared.clone(),
        };
        let worker = Worker {
            session: session.clone(),
            sealer: recording_sealer,
            journal,
            title: request.title.clone(),
            real_time: options.real_time,
            staged,
            items,
            patience,
            shared,
            hash: before.hash,
            track_hash: None,
            tracks: before.tracks,
            growing: None,
            has_tail: false,
        };
        let taken = Taken::nothing(mark, last_part, always).amid_track(track_bytes, track_padding);
        let taken = Arc::new(Mutex::new(taken));
        let ticker = Ticker {
            session: session.clone(),
            recording,
            taken: Arc::downgrade(&taken),
            commands: commands.clone(),
            keeping,
        };
        let (worked, worker_outcome) = oneshot::channel();
        let (sent, sender_outcome) = oneshot::channel();
        let work = async move {
            let work = async move {
                // Whoever waits for an outcome that nobody waits for any more is gone.
                let _ = worked.send(worker.run(received).await);
            };
            let send = async move {
                let _ = sent.send(sending.run().await);
            };
            let all = future::join3(work, committer.run(to_commit), send);
            // The clock stops when there is nothing left to do, or the recorder is gone.
            if let Either::Right(((), all)) =
                future::select(std::pin::pin!(all), Box::pin(ticker.run())).await
            {
                all.await;
            }
        };
        let recorder = Self {
            recording,
            options,
            pads,
            clock: Clock { effects, before: Duration::ZERO, running_since: Some(began) },
            taken,
            commands: Some(commands),
            worker: Outcome(Some(worker_outcome)),
            sender: Outcome(Some(sender_outcome)),
            settlement,
            give_up,
            progress,
            spool,
            session: session.clone(),
        };
        (recorder, RecorderTask(Box::pin(work)))
    }

    /// The recording's id.
    pub const fn recording(&self) -> RecordingId {
        self.recording
    }

    /// How far it has come.
    pub fn progress(&self) -> Watched<RecordingProgress> {
        self.progress.clone()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        Taken::of(&self.taken)
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
        if !bytes.is_empty() && self.taken().is_padded() {
            return Err(ClientError::Bug("a track has ended in padding, and more of it came".to_owned()));
        }
        let now = self.clock.effects.now().running;
        self.taken().write(bytes.len() as u64, self.clock.recorded(), now);
        self.publish_recorded();
        while !bytes.is_empty() {
            // Time passes while a part waits to be sealed.
            let (now, recorded) = (self.clock.effects.now().running, self.clock.recorded());
            let due = self.taken().due(now, recorded, self.options.segment_length);
            match due {
                Due::Part { last } => self.emit(last).await?,
                Due::Room(room) => {
                    let (first, later) = bytes.split_at(room.min(bytes.len()));
                    self.taken().take(first, now, recorded);
                    bytes = later;
                }
            }
        }
        Ok(())
    }

    fn publish_recorded(&self) {
        let (recorded, bytes) = (self.clock.recorded(), self.taken().written.bytes);
        self.progress.change(|progress| {
            progress.recorded = recorded;
            progress.bytes = bytes;
        });
    }

    /// What makes this recording wait for its server no longer.
    pub fn give_up(&self) -> Watched<GiveUp> {
        self.give_up.clone()
    }

    /// Ends the track and begins another, as when a call goes from audio to video: a new segment with a new key, for
    /// the very same readers.
    ///
    /// # Errors
    /// As [`Self::write`]; [`ClientError::Usage`] past 255 tracks.
    pub async fn switch_track(&mut self, media_type: Option<&str>) -> Result<(), ClientError> {
        self.emit_rest().await?;
        self.taken().next_track();
        let from = self.clock.recorded();
        self.command(Command::Track { media_type: media_type.map(str::to_owned), from }).await
    }

    /// Begins the track of a recording of which nothing is written yet.
    ///
    /// # Errors
    /// [`ClientError::Bug`] if something is.
    pub fn first_track(&mut self, media_type: Option<String>) -> Result<(), ClientError> {
        let from = self.clock.recorded();
        let sent =
            self.commands.as_mut().map(|commands| commands.try_send(Command::Track { media_type, from }));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(ClientError::Bug("a recording had no room for its first track".to_owned())),
        }
    }

    /// Stops the clock of the recording. What is written meanwhile belongs to the moment at which it stopped.
    pub fn pause(&mut self) {
        self.clock.before = self.clock.recorded();
        self.clock.running_since = None;
    }

    /// Goes on after [`Self::pause`].
    pub fn resume(&mut self) {
        let now = self.clock.effects.now().running;
        self.clock.running_since.get_or_insert(now);
    }

    /// Seals the end and waits until everything is on the server, or until it has taken nothing for as long as
    /// `patience`. A recording that is not `complete`, because its source failed, is shown as cut off.
    ///
    /// # Errors
    /// [`ClientError::Kept`] if something is not on the server: it says what is there, what waits in the home for
    /// [`super::resume_all`], and what is lost.
    pub async fn finish(mut self, complete: bool, patience: Duration) -> Result<Sealed, ClientError> {
        let effects = self.clock.effects.clone();
        let patience = lose_patience(effects, self.progress.clone(), self.give_up.clone(), patience);
        let end = std::pin::pin!(self.end(complete));
        match future::select(end, std::pin::pin!(patience)).await {
            Either::Left((sealed, _)) => sealed,
            Either::Right(((), _)) => Err(ended()),
        }
    }

    async fn end(&mut self, complete: bool) -> Result<Sealed, ClientError> {
        self.emit_rest().await?;
        self.publish_recorded();
        let status = if complete { RecordingStatus::Complete } else { RecordingStatus::Recovered };
        let ended = self.clock.effects.timestamp()?;
        self.command(Command::Finish { ended, status }).await?;
        let sent = self.sender.end().await;
        match (self.worker.end().await, sent) {
            (Ok(Some(done)), Ok(())) => self.put_away(done).await,
            (work, sent) => Err(self.stopped(work, sent).await),
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
            if let Some(spool) = &self.spool {
                spool.clear().await?;
            }
            journal.finish().await
        };
        match put_away.await {
            Ok(()) => Ok(Sealed { recording, segments, bytes, sha256, media }),
            Err(reason) => Err(self.kept(RecordingEnd::OnServer, reason, None).await),
        }
    }

    /// Why a recording came to no good end, once neither of its tasks runs any more.
    async fn stopped(
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
        if self.spool.is_none() { reason } else { self.kept(end, reason, here).await }
    }

    /// What is where of a recording that is not wholly on the server, or whose end could not be noted here.
    async fn kept(&self, end: RecordingEnd, reason: ClientError, here: Option<ClientError>) -> ClientError {
        let (written, at_ms) = {
            let taken = self.taken();
            (taken.written, taken.last_part.wall_ms(taken.written.recorded))
        };
        Journal::touch(&self.session.home, self.recording, at_ms).await;
        let acknowledged = self.progress.get().durable();
        let safe = match (&self.spool, end) {
            (_, RecordingEnd::OnServer) => written,
            // What cannot be listed is not called kept.
            (Some(spool), _) => self.settlement.safe(&spool.lengths().await.unwrap_or_default()),
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

    /// Gives out what is left of the track, with its padding.
    async fn emit_rest(&mut self) -> Result<(), ClientError> {
        while self.pads && self.taken().padding_due() > 0 {
            let (now, recorded) = (self.clock.effects.now().running, self.clock.recorded());
            let due = self.taken().due(now, recorded, self.options.segment_length);
            match due {
                Due::Part { last } => self.emit(last).await?,
                Due::Room(room) => self.taken().pad(room, now),
            }
        }
        loop {
            let rest = self.taken().rest();
            match rest {
                Some(Due::Part { last }) => self.emit(last).await?,
                _ => return Ok(()),
            }
        }
    }

    /// Gives the buffer to be sealed. Nothing is taken out of it before there is a place for it: whoever drops the
    /// future that waits loses nothing.
    async fn emit(&mut self, last: bool) -> Result<(), ClientError> {
        let Some(commands) = &mut self.commands else {
            return Err(ended());
        };
        if future::poll_fn(|context| commands.poll_ready(context)).await.is_err() {
            return Err(self.gone().await);
        }
        let (recorded, now_ms) = (self.clock.recorded(), self.clock.effects.now().unix_ms);
        let part = self.taken().part(last, recorded, now_ms);
        match self.commands.as_mut().map(|commands| commands.start_send(Command::Part(part))) {
            Some(Ok(())) => Ok(()),
            _ => Err(self.gone().await),
        }
    }

    async fn command(&mut self, command: Command) -> Result<(), ClientError> {
        let Some(commands) = &mut self.commands else {
            return Err(ended());
        };
        if commands.send(command).await.is_ok() { Ok(()) } else { Err(self.gone().await) }
    }

    /// Nothing is sealed any more. What had been given out is sent or kept before anybody is told where it is.
    async fn gone(&mut self) -> ClientError {
        self.commands = None;
        // A server that is away is tried once more: nobody can say how long it would be waited for.
        one_more_try(&self.give_up);
        let work = self.worker.end().await;
        let sent = self.sender.end().await;
        self.stopped(work, sent).await
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // What is on its way may arrive; nobody waits for more.
        one_more_try(&self.give_up);
    }
}

/// Has a recording wait no longer for its server once that has taken nothing for `patience`, counted from now. Never
/// completes.
async fn lose_patience(
    effects: Effects,
    progress: Watched<RecordingProgress>,
    give_up: Watched<GiveUp>,
    patience: Duration,
) {
    let asked = effects.now().running;
    loop {
        let waiting_since = progress.get().server.waiting_since();
        let left = waiting_since.map_or(Duration::MAX, |since| {
            let waited = effects.now().running.saturating_sub(since.max(asked));
            patience.saturating_sub(waited)
        });
        if left.is_zero() {
            break;
        }
        let other = |now: &mut RecordingProgress| (now.server.waiting_since() != waiting_since).then_some(());
        let changed = progress.wait_for(other);
        future::select(std::pin::pin!(effects.sleep(left)), std::pin::pin!(changed)).await;
    }
    one_more_try(&give_up);
    std::future::pending().await
}

/// Has nobody wait for the server beyond one more try of each thing.
fn one_more_try(give_up: &Watched<GiveUp>) {
    give_up.change(|give_up| {
        if *give_up == GiveUp::No {
            *give_up = GiveUp::AfterOneMoreTry;
        }
    });
}

fn ended() -> ClientError {
    ClientError::Usage("this recording has ended already, or could not go on".to_owned())
}
