//! Feeding a recorder from a source while somebody may ask it to stop, at whatever it waits for.

use std::io::Read;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

use vault_engine::sealing::{GiveUp, Recorder, RecordingProgress, Sealed};
use vault_engine::watched::Watched;

use super::UploadEvent;
use super::source::change_in;
use crate::io_failure::io_failure;
use vault_engine::error::{ClientError, SourceFailure};

/// Most bytes that are read from a source at once.
const READ: usize = 256 * 1024;
/// Pieces of the source that are read ahead.
const READ_AHEAD: usize = 4;
/// How long a source may take to end after it and this program were asked to: what it still gives belongs to the
/// recording.
const SOURCE_GRACE: Duration = Duration::from_secs(1);
/// Whoever asked for an end waits for the server as long as it says yes to something within this time.
const SILENCE: Duration = Duration::from_secs(1);

type Piece = Zeroizing<Vec<u8>>;

/// What feeds a recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feed {
    /// A file: a failure to read it ends nothing, because it can be read again.
    File,
    /// What passes once; its end waits so long for a server that cannot be reached.
    Stream(Duration),
}

/// Feeds a recorder from a source to its end, or until `stop` completes.
pub(super) async fn drive(
    mut recorder: Recorder,
    source: impl Read + Send + 'static,
    feed: Feed,
    stop: impl Future<Output = ()>,
    on_event: &mut (dyn FnMut(UploadEvent) + Send),
) -> Result<Sealed, ClientError> {
    let (pieces, mut read) = mpsc::channel(READ_AHEAD);
    let reading = spawn_blocking(move || read_pieces(source, &pieces));
    let mut attendance = Attendance {
        stop: std::pin::pin!(stop),
        asked: None,
        left_behind: false,
        given_up: false,
        progress: recorder.progress(),
        told: None,
        arrived: 0,
        give_up: recorder.give_up(),
        on_event,
    };
    while let Some(piece) = attendance.next(&mut read).await {
        let written = attendance.during(recorder.write(&piece)).await;
        if let Err(error) = written {
            return Err(with_unwritten(error, &mut read).await);
        }
    }
    let failure = if attendance.left_behind {
        // The reading thread may wait for the source for ever; what it reads from now on is nobody's.
        read.close();
        while let Some(piece) = read.recv().await {
            let written = attendance.during(recorder.write(&piece)).await;
            if let Err(error) = written {
                return Err(with_unwritten(error, &mut read).await);
            }
        }
        None
    } else {
        reading.await.map_err(|error| ClientError::Bug(error.to_string()))?.err()
    };
    let failure = match (failure, feed) {
        (Some(SourceFailure::Unreadable(why)), Feed::File) => return Err(ClientError::Source(why)),
        (failure, _) => failure,
    };
    let patience = match feed {
        Feed::File => Duration::MAX,
        Feed::Stream(patience) => patience,
    };
    let sealed = attendance.during(recorder.finish(failure.is_none(), patience)).await;
    attendance.tell();
    match (sealed, failure) {
        (Ok(Sealed { recording, bytes, .. }), Some(why)) => {
            Err(ClientError::CutShort { recording, bytes, why })
        }
        (Err(ClientError::Kept(mut told)), failure) => {
            told.cut_short = failure;
            Err(ClientError::Kept(told))
        }
        (sealed, _) => sealed,
    }
}

/// An error of writing, which counts what had been read and was not written yet as lost.
async fn with_unwritten(error: ClientError, read: &mut mpsc::Receiver<Piece>) -> ClientError {
    let ClientError::Kept(mut told) = error else {
        return error;
    };
    read.close();
    while let Some(piece) = read.recv().await {
        told.lost.bytes += piece.len() as u64;
    }
    ClientError::Kept(told)
}

/// Whoever waits for a recording, tells of its progress and hears that it should stop.
struct Attendance<'a, S> {
    stop: Pin<&'a mut S>,
    /// When it was asked to stop.
    asked: Option<Instant>,
    /// Whether the source had not ended by itself in time.
    left_behind: bool,
    given_up: bool,
    progress: Watched<RecordingProgress>,
    /// What was told last.
    told: Option<RecordingProgress>,
    arrived: u64,
    give_up: Watched<GiveUp>,
    on_event: &'a mut (dyn FnMut(UploadEvent) + Send),
}

impl<S: Future<Output = ()>> Attendance<'_, S> {
    /// The next piece of the source; `None` at its end, and once it was asked to end and has had the time to.
    async fn next(&mut self, read: &mut mpsc::Receiver<Piece>) -> Option<Piece> {
        loop {
            let grace = self.asked.map(|asked| asked + SOURCE_GRACE);
            tokio::select! {
                biased;
                () = at(grace) => {
                    self.left_behind = true;
                    return None;
                }
                () = self.stop.as_mut(), if self.asked.is_none() => self.stopping(),
                piece = read.recv() => return piece,
                () = news(&self.progress, self.told) => self.tell(),
            }
        }
    }

    /// Waits for `work`. If it was asked to stop, and the server says yes to nothing for a while, nobody waits for the
    /// server any more, and `work` comes to its end with what can be kept here.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut since = Instant::now();
        loop {
            let silence = self.asked.filter(|_| !self.given_up).map(|asked| asked.max(since) + SILENCE);
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.stop.as_mut(), if self.asked.is_none() => self.stopping(),
                () = at(silence) => {
                    self.given_up = true;
                    self.give_up.change(|give_up| *give_up = GiveUp::Now);
                }
                () = news(&self.progress, self.told) => {
                    self.tell();
                    let arrived = self.progress.get().arrived;
                    if arrived != self.arrived {
                        (self.arrived, since) = (arrived, Instant::now());
                    }
                }
            }
        }
    }

    fn stopping(&mut self) {
        self.asked = Some(Instant::now());
        (self.on_event)(UploadEvent::Stopping);
    }

    fn tell(&mut self) {
        let progress = self.progress.get();
        self.told = Some(progress);
        (self.on_event)(UploadEvent::Progress(progress));
    }
}

/// Waits until there is something else to tell than what was told last.
async fn news(progress: &Watched<RecordingProgress>, told: Option<RecordingProgress>) {
    progress.wait_for(|now| (told != Some(*now)).then_some(())).await;
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Reads a source to its end, on a thread of its own. Stops early, without an error of its own, if nobody takes the
/// pieces.
fn read_pieces(mut source: impl Read, pieces: &mpsc::Sender<Piece>) -> Result<(), SourceFailure> {
    loop {
        let mut piece = Zeroizing::new(vec![0; READ]);
        let read = match source.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(match change_in(&error) {
                    Some(change) => SourceFailure::Changed(change),
                    None => SourceFailure::Unreadable(io_failure(&error)),
                });
            }
        };
        piece.truncate(read);
        if pieces.blocking_send(piece).is_err() {
            return Ok(());
        }
    }
}
