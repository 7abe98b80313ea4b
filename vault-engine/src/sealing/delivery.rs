//! Bringing one thing to the server: tried until it is there, or nobody waits for it any more; and what becomes of a
//! part then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_lock::SemaphoreGuardArc;
use bytes::Bytes;
use futures_util::future::{self, Either};
use vault_proto::envelope::Envelope;
use vault_proto::ids::Digest;
use vault_proto::statements::SegmentSeal;
use vault_proto::wire;
use vault_proto::wire::CreateRecording;

use super::held_parts::HeldParts;
use super::journal::EndLine;
use super::progress::{Objection, RecordingProgress, ServerState};
use super::sender::{GiveUp, OutgoingPart, Payload};
use super::settlement::{Place, Settled};
use super::spool::{KeptPart, Spool};
use crate::effects::{Change, Effects};
use crate::error::ClientError;
use crate::server::recording::ServerRecording;
use crate::watched::Watched;

/// Pause after the first try that failed while parts are kept; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A part that was sent, or not.
pub(super) struct Outcome {
    pub(super) number: u64,
    pub(super) place: Place,
    pub(super) settled: Settled,
    /// Why it was not sent.
    pub(super) error: Option<ClientError>,
}

/// One request, or two that belong together, as often as it takes.
pub(super) enum Attempt {
    Create(Box<CreateRecording>),
    Open { segment: u32, body: wire::OpenSegment },
    Part { place: (u32, u32), ciphertext: Bytes, hash: Digest, progress: Option<String> },
    Seal(Box<Envelope<SegmentSeal>>),
    End(Box<EndLine>),
}

impl Attempt {
    async fn make(&self, server: &ServerRecording) -> Result<(), ClientError> {
        match self {
            Self::Create(recording) => server.create(recording).await,
            Self::Open { segment, body } => server.open(*segment, body).await,
            Self::Part { place, ciphertext, hash, progress } => {
                server.part(*place, ciphertext.clone(), *hash, progress.as_deref()).await
            }
            Self::Seal(seal) => server.seal(seal).await,
            Self::End(end) => server.end(end.details_object()?, &end.final_seal).await,
        }
    }
}

/// What is done after each try that failed.
pub(super) enum OnFailure {
    /// While nothing arrives, a place in memory is for what is recorded next.
    LetGo(Option<SemaphoreGuardArc>),
    /// What is in memory alone is kept, if that is possible by now.
    Keep { held: HeldParts, spool: Spool, place: Place },
}

impl OnFailure {
    async fn happened(&mut self) {
        match self {
            Self::LetGo(share) => drop(share.take()),
            Self::Keep { held, spool, place } => {
                if let Err(error) = held.keep_up_to(*place, spool).await {
                    // The part is not forgotten: it stays in memory, and its share with it.
                    tracing::debug!(%error, "a part stays in memory: the home cannot be written");
                }
            }
        }
    }
}

/// How something is tried again.
pub(super) struct Tries {
    pub(super) effects: Effects,
    pub(super) keep: bool,
    pub(super) progress: Watched<RecordingProgress>,
    pub(super) give_up: Watched<GiveUp>,
    /// Whether the last try was refused by the server, and another follows.
    pub(super) is_refused: bool,
}

impl Tries {
    /// Tries until it is sent, it is refused for good, or nobody wants to wait any longer.
    pub(super) async fn until_sent(
        mut self,
        server: &ServerRecording,
        attempt: &Attempt,
        mut on_failure: OnFailure,
    ) -> Result<(), ClientError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let made = {
                let told = self.give_up.wait_for(|told| (*told == GiveUp::Now).then_some(()));
                match future::select(std::pin::pin!(told), std::pin::pin!(attempt.make(server))).await {
                    Either::Left(_) => return Err(ClientError::Interrupted),
                    Either::Right((made, _)) => made,
                }
            };
            let Err(error) = made else {
                self.was_taken();
                return Ok(());
            };
            on_failure.happened().await;
            let ends = !self.keep || !error.may_pass() || self.give_up.get() != GiveUp::No;
            self.was_not_taken(&error, !ends);
            if ends {
                return Err(error);
            }
            tracing::debug!(%error, "trying again");
            let told = self.give_up.wait_for(|told| (*told != GiveUp::No).then_some(*told));
            let paused = self.effects.sleep(pause);
            match future::select(std::pin::pin!(paused), std::pin::pin!(told)).await {
                Either::Left(_) => pause = LONGEST_PAUSE.min(pause * 2),
                Either::Right((GiveUp::Now, _)) => return Err(error),
                // One more try, and then no other.
                Either::Right(_) => {}
            }
        }
    }

    /// The server takes what is sent again, unless it still says no to something else: one whose store is full takes
    /// what is small.
    fn was_taken(&mut self) {
        let was_refused = std::mem::take(&mut self.is_refused);
        self.progress.change(|progress| {
            progress.refused = progress.refused.saturating_sub(usize::from(was_refused));
            let before = progress.server;
            let never = matches!(before, ServerState::Refusing { why: Objection::Lasting, .. });
            if matches!(before, ServerState::Away { .. }) || (progress.refused == 0 && !never) {
                progress.server = ServerState::Reachable;
            }
        });
    }

    fn was_not_taken(&mut self, error: &ClientError, is_tried_again: bool) {
        let is_refused = is_tried_again && Objection::of(error).is_some();
        let was_refused = std::mem::replace(&mut self.is_refused, is_refused);
        let (keep, now) = (self.keep, self.effects.now().running);
        self.progress.change(|progress| {
            progress.refused = progress.refused.saturating_sub(usize::from(was_refused));
            progress.refused += usize::from(is_refused);
            let before = progress.server;
            // What can be read again is not kept here, and its server is somebody else's to judge.
            if keep {
                progress.server = before.after(error, now);
            }
        });
    }
}

/// What sending a part takes.
pub(super) struct PartAttempts {
    pub(super) server: ServerRecording,
    pub(super) spool: Option<Spool>,
    pub(super) held: HeldParts,
    pub(super) removed: Removed,
    pub(super) tries: Tries,
    /// Nothing is sent any more: the part is kept.
    pub(super) refused: bool,
}

/// Records of parts that the server has: they go with the next commit, which costs nothing more then.
#[derive(Clone, Default)]
pub(super) struct Removed(Arc<Mutex<Vec<Change>>>);

impl Removed {
    pub(super) fn add(&self, change: Change) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    pub(super) fn take(&self) -> Vec<Change> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A part that has left the worker's hands.
struct Carried {
    hash: Digest,
    length: usize,
    ciphertext: Bytes,
    progress: Option<String>,
    share: Option<SemaphoreGuardArc>,
}

impl PartAttempts {
    pub(super) async fn send(self, number: u64, part: OutgoingPart) -> Outcome {
        let place = (part.segment, part.part);
        let (settled, error) = self.deliver(part).await;
        Outcome { number, place, settled, error }
    }

    /// Sends a part, or keeps it. Says where it is at the end of that, and why it was not sent.
    async fn deliver(self, part: OutgoingPart) -> (Settled, Option<ClientError>) {
        let Self { server, spool, held, removed, tries, refused } = self;
        let is_kept = part.is_kept;
        if refused && is_kept {
            return (Settled::Spooled, None);
        }
        let place = (part.segment, part.part);
        let carried = match taken_up(part, spool.as_ref()).await {
            Ok(Some(carried)) => carried,
            Ok(None) => {
                let (segment, part) = place;
                return (Settled::Lost(ClientError::KeptPartGone { segment, part }), None);
            }
            // It may well lie there, and be read by a later process.
            Err(error) => return (Settled::Spooled, Some(error)),
        };
        let error = if refused {
            None
        } else {
            let Carried { hash, length, ciphertext, progress, share } = carried;
            let attempt = Attempt::Part { place, ciphertext, hash, progress };
            let on_failure = match (&spool, is_kept) {
                (Some(spool), false) => OnFailure::Keep { held: held.clone(), spool: spool.clone(), place },
                _ => OnFailure::LetGo(share),
            };
            match tries.until_sent(&server, &attempt, on_failure).await {
                Ok(()) => {
                    if let Some(spool) = &spool
                        && let Some(change) = held.arrived(place, length, spool).await
                    {
                        removed.add(change);
                    }
                    return (Settled::Acknowledged, None);
                }
                Err(error) => Some(error),
            }
        };
        // Not sent, and not to be sent by this process.
        match &spool {
            Some(_) if is_kept => (Settled::Spooled, error),
            Some(spool) => match held.keep_up_to(place, spool).await {
                Ok(()) => (Settled::Spooled, error),
                Err(not_kept) => {
                    held.lose(place).await;
                    (Settled::Lost(not_kept), error)
                }
            },
            // Its source can be read again; here it counts as nowhere, so that nothing is signed over it.
            None => (Settled::Lost(ClientError::Interrupted), error),
        }
    }
}

/// Takes a part up from where it waits; `None` if it is not there any more.
async fn taken_up(part: OutgoingPart, spool: Option<&Spool>) -> Result<Option<Carried>, ClientError> {
    let OutgoingPart { segment, part, hash, length, payload, .. } = part;
    if let Payload::Memory { ciphertext, progress, share } = payload {
        return Ok(Some(Carried { hash, length, ciphertext, progress, share }));
    }
    let kept = match spool {
        Some(spool) => spool.get((segment, part), &hash).await?,
        None => None,
    };
    Ok(kept.map(|KeptPart { progress, ciphertext }| Carried {
        hash,
        length,
        ciphertext,
        progress,
        share: None,
    }))
}
