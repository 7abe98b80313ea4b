//! Bringing one thing to the server: tried until it is there, or nobody waits for it any more; and what becomes of a
//! part then.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use vault_proto::envelope::Envelope;
use vault_proto::ids::Digest;
use vault_proto::statements::SegmentSeal;
use vault_proto::wire;

use super::held_parts::HeldParts;
use super::journal::EndLine;
use super::progress::{Objection, RecordingProgress, ServerState};
use super::sender::{GiveUp, OutgoingPart, Payload};
use super::settlement::{Place, Settled};
use super::spool::{KeptPart, Spool};
use vault_engine::error::ClientError;
use vault_engine::server::recording::ServerRecording;

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
    Open { segment: u32, body: wire::OpenSegment },
    Part { place: (u32, u32), ciphertext: Bytes, hash: Digest, progress: Option<String> },
    Seal(Envelope<SegmentSeal>),
    End(Box<EndLine>),
}

impl Attempt {
    async fn make(&self, server: &ServerRecording) -> Result<(), ClientError> {
        match self {
            Self::Open { segment, body } => server.open(*segment, body).await,
            Self::Part { place, ciphertext, hash, progress } => {
                server.part(*place, ciphertext.clone(), *hash, progress.as_deref()).await
            }
            Self::Seal(seal) => server.seal(seal).await,
            Self::End(end) => server.end(end.details_object()?, &end.final_seal).await,
        }
    }
}

/// How something is tried again.
pub(super) struct Tries {
    pub(super) keep: bool,
    pub(super) progress: watch::Sender<RecordingProgress>,
    pub(super) give_up: watch::Receiver<GiveUp>,
    /// Whether the last try was refused by the server, and another follows.
    pub(super) is_refused: bool,
}

impl Tries {
    /// Tries until it is sent, it is refused for good, or nobody wants to wait any longer. `on_failure` runs after each
    /// try that failed.
    pub(super) async fn until_sent(
        mut self,
        server: &ServerRecording,
        attempt: &Attempt,
        mut on_failure: impl FnMut(),
    ) -> Result<(), ClientError> {
        let mut pause = FIRST_PAUSE;
        let mut told = self.give_up.clone();
        loop {
            let made = tokio::select! {
                biased;
                () = told_now(&mut told) => return Err(ClientError::Interrupted),
                made = attempt.make(server) => made,
            };
            let Err(error) = made else {
                self.was_taken();
                return Ok(());
            };
            on_failure();
            let ends = !self.keep || !error.may_pass() || *self.give_up.borrow_and_update() != GiveUp::No;
            self.was_not_taken(&error, !ends);
            if ends {
                return Err(error);
            }
            tracing::debug!(%error, "trying again");
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = LONGEST_PAUSE.min(pause * 2),
                // One more try at most, and then no other.
                told = self.give_up.changed() => {
                    // If the recorder is gone, nobody waits for this any more, and what is kept is for another process.
                    if told.is_err() || *self.give_up.borrow() == GiveUp::Now {
                        return Err(error);
                    }
                },
            }
        }
    }

    /// The server takes what is sent again, unless it still says no to something else: one whose store is full takes
    /// what is small.
    fn was_taken(&mut self) {
        let was_refused = std::mem::take(&mut self.is_refused);
        self.progress.send_if_modified(|progress| {
            progress.refused = progress.refused.saturating_sub(usize::from(was_refused));
            let before = progress.server;
            let never = matches!(before, ServerState::Refusing { why: Objection::Lasting, .. });
            if matches!(before, ServerState::Away { .. }) || (progress.refused == 0 && !never) {
                progress.server = ServerState::Reachable;
            }
            progress.server != before
        });
    }

    fn was_not_taken(&mut self, error: &ClientError, is_tried_again: bool) {
        let is_refused = is_tried_again && Objection::of(error).is_some();
        let was_refused = std::mem::replace(&mut self.is_refused, is_refused);
        let keep = self.keep;
        self.progress.send_if_modified(|progress| {
            progress.refused = progress.refused.saturating_sub(usize::from(was_refused));
            progress.refused += usize::from(is_refused);
            let before = progress.server;
            // What can be read again is not kept here, and its server is somebody else's to judge.
            if keep {
                progress.server = before.after(error);
            }
            progress.server != before
        });
    }
}

/// Waits until nobody wants to wait any more, not even for an answer.
async fn told_now(give_up: &mut watch::Receiver<GiveUp>) {
    if give_up.wait_for(|told| *told == GiveUp::Now).await.is_err() {
        // The recorder is gone and never said so: what is on its way may arrive.
        std::future::pending().await
    }
}

/// What sending a part takes.
pub(super) struct PartAttempts {
    pub(super) server: ServerRecording,
    pub(super) spool: Option<Arc<Spool>>,
    pub(super) held: HeldParts,
    pub(super) tries: Tries,
    /// Nothing is sent any more: the part is kept.
    pub(super) refused: bool,
}

/// A part that has left the worker's hands.
struct Carried {
    hash: Digest,
    length: usize,
    ciphertext: Bytes,
    progress: Option<String>,
}

impl PartAttempts {
    pub(super) async fn send(self, number: u64, part: OutgoingPart) -> Outcome {
        let place = (part.segment, part.part);
        let (settled, error) = self.deliver(part).await;
        Outcome { number, place, settled, error }
    }

    /// Sends a part, or keeps it. Says where it is at the end of that, and why it was not sent.
    async fn deliver(self, part: OutgoingPart) -> (Settled, Option<ClientError>) {
        let Self { server, spool, held, tries, refused } = self;
        if refused && matches!(part.payload, Payload::Spooled) {
            return (Settled::Spooled, None);
        }
        let place = (part.segment, part.part);
        let carried = match taken_up(part, spool.as_deref()) {
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
            let Carried { hash, length, ciphertext, progress } = carried;
            let attempt = Attempt::Part { place, ciphertext, hash, progress };
            let keep_if_possible = || {
                if let Some(spool) = &spool
                    && let Err(error) = held.keep_up_to(place, spool)
                {
                    // The part is not forgotten: it stays in memory, and its share with it.
                    tracing::debug!(%error, "a part stays in memory: the spool cannot be written");
                }
            };
            match tries.until_sent(&server, &attempt, keep_if_possible).await {
                Ok(()) => {
                    held.arrived(place, length, spool.as_deref());
                    return (Settled::Acknowledged, None);
                }
                Err(error) => Some(error),
            }
        };
        // Not sent, and not to be sent by this process.
        match &spool {
            Some(spool) => match held.keep_up_to(place, spool) {
                Ok(()) => (Settled::Spooled, error),
                Err(not_kept) => {
                    held.lose(place);
                    (Settled::Lost(ClientError::disk(spool.folder())(not_kept)), error)
                }
            },
            // Its source can be read again; here it counts as nowhere, so that nothing is signed over it.
            None => (Settled::Lost(ClientError::Interrupted), error),
        }
    }
}

/// Takes a part up from where it waits; `None` if it is not there any more.
fn taken_up(part: OutgoingPart, spool: Option<&Spool>) -> Result<Option<Carried>, ClientError> {
    let OutgoingPart { segment, part, hash, length, payload, .. } = part;
    if let Payload::Memory { ciphertext, progress } = payload {
        return Ok(Some(Carried { hash, length, ciphertext, progress }));
    }
    let Some(kept) = spool.map_or(Ok(None), |spool| spool.get(segment, part, &hash))? else {
        return Ok(None);
    };
    let KeptPart { progress, ciphertext } = kept;
    Ok(Some(Carried { hash, length, ciphertext, progress }))
}
