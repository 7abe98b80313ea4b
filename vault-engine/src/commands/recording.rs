//! A recording under way: what is said of it is done in the order in which it was said.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_channel::mpsc;
use futures_util::future::{self, Either};
use futures_util::stream::StreamExt as _;
use vault_proto::ids::RecordingId;

use super::Task;
use super::command::{Event, Outcome, Said};
use super::queue::Queue;
use crate::error::ClientError;
use crate::sealing::{GiveUp, Recorder, RecorderTask, RecordingProgress};
use crate::watched::Watched;

/// The recordings under way.
#[derive(Clone, Default)]
pub(super) struct Recordings(Arc<Mutex<BTreeMap<RecordingId, UnderWay>>>);

struct UnderWay {
    said: mpsc::UnboundedSender<(Task, Said)>,
    give_up: Watched<GiveUp>,
}

impl Recordings {
    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<RecordingId, UnderWay>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says something of a recording; what comes of it is told when it is done.
    pub(super) fn say(&self, queue: &Queue, task: Task, recording: RecordingId, said: Said) {
        let heard =
            self.with(|recordings| recordings.get(&recording)?.said.unbounded_send((task, said)).ok());
        if heard.is_none() {
            queue.done(task, Err(not_under_way(recording)));
        }
    }

    /// Has the end of a recording wait less for the server, from now on. Gives whether it is under way.
    pub(super) fn give_up(&self, recording: RecordingId, give_up: GiveUp) -> bool {
        let watched = self.with(|recordings| Some(recordings.get(&recording)?.give_up.clone()));
        watched.map(|watched| watched.change(|before| *before = give_up.max(*before))).is_some()
    }

    /// Lets a recording that was begun go on until it ends, and gives its id.
    pub(super) fn attend(&self, queue: &Arc<Queue>, recorder: Recorder, work: RecorderTask) -> RecordingId {
        let recording = recorder.recording();
        let (said, heard) = mpsc::unbounded();
        let under_way = UnderWay { said, give_up: recorder.give_up() };
        self.with(|recordings| recordings.insert(recording, under_way));
        let tell = tell(recording, recorder.progress(), Arc::clone(queue));
        let (recordings, answers) = (self.clone(), Arc::clone(queue));
        let attend = async move {
            let served = std::pin::pin!(serve(recorder, heard, &answers));
            let (ended, work) = match future::select(served, work).await {
                Either::Left((ended, work)) => (ended, Some(work)),
                Either::Right(((), served)) => (served.await, None),
            };
            let Ended { unheard, told, is_left } = ended;
            if let Some(work) = work.filter(|_| !is_left) {
                work.await;
            }
            recordings.with(|recordings| recordings.remove(&recording));
            if let Some((task, result)) = told {
                answers.done(task, result);
            }
            // What was said behind its end.
            let late = unheard.map(|(task, _)| answers.done(task, Err(not_under_way(recording))));
            late.collect::<()>().await;
        };
        queue.spawn(Box::pin(async move {
            future::select(std::pin::pin!(attend), std::pin::pin!(tell)).await;
        }));
        recording
    }
}

fn not_under_way(recording: RecordingId) -> ClientError {
    ClientError::Usage(format!("recording {recording} is not under way here"))
}

/// How a recording came to be under way no more.
struct Ended {
    /// What may have been said behind that.
    unheard: mpsc::UnboundedReceiver<(Task, Said)>,
    /// What is told once nothing of it goes on, so that whoever resumes it then finds it free.
    told: Option<(Task, Result<Outcome, ClientError>)>,
    /// Whether it is left as it is.
    is_left: bool,
}

/// Does what is said of a recording until it has ended.
async fn serve(
    mut recorder: Recorder,
    mut heard: mpsc::UnboundedReceiver<(Task, Said)>,
    queue: &Queue,
) -> Ended {
    let (mut told, mut is_left) = (None, false);
    while let Some((task, said)) = heard.next().await {
        let done = match said {
            Said::Write(bytes) => recorder.write(&bytes).await,
            Said::Switch(media_type) => recorder.switch_track(media_type.as_deref()).await,
            Said::Pause => {
                recorder.pause();
                Ok(())
            }
            Said::GoOn => {
                recorder.resume();
                Ok(())
            }

            Said::Finish { complete, patience } => {
                match recorder.finish(complete, patience).await {
                    // It is all on the server, and nothing is left to be resumed.
                    Ok(sealed) => queue.done(task, Ok(Outcome::Sealed(sealed))),
                    Err(error) => told = Some((task, Err(error))),
                }
                break;
            }
            Said::Leave => {
                drop(recorder);
                (told, is_left) = (Some((task, Ok(Outcome::Done))), true);
                break;
            }
        };
        if let Err(error) = done {
            told = Some((task, Err(error)));
            break;
        }
        queue.done(task, Ok(Outcome::Done));
    }
    heard.close();
    Ended { unheard: heard, told, is_left }
}

/// Tells of each progress; never comes to an end.
async fn tell(recording: RecordingId, progress: Watched<RecordingProgress>, queue: Arc<Queue>) {
    let mut told = None;
    loop {
        let newer = |progress: &mut RecordingProgress| Some(*progress).filter(|now| Some(*now) != told);
        let now = progress.wait_for(newer).await;
        queue.tell(Event::Progress { recording, progress: now });
        told = Some(now);
    }
}
