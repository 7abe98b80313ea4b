//! Sends what was sealed, in its order, until the server has it: several parts at a time, everything else one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use vault_proto::envelope::Envelope;
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::statements::SegmentSeal;
use vault_proto::wire;

use super::journal::EndLine;
use super::progress::{Mark, RecordingProgress, ServerState};
use super::spool::Spool;
use crate::error::ClientError;
use crate::server::connection::Connection;
use crate::server::recording::Statements;

/// Parts that are sent at the same time, and as many are held in memory.
pub(crate) const IN_FLIGHT: usize = 4;
/// Pause after the first try that failed while parts are kept; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Something to send.
pub(crate) enum Item {
    /// A segment to open.
    Open {
        segment: u32,
        body: wire::OpenSegment,
    },
    Part(OutgoingPart),
    /// A segment's seal, and how far the recording is durable with it.
    Seal(Envelope<SegmentSeal>, Mark),
    /// The end.
    End(Box<EndLine>),
}

/// A sealed part on its way.
pub(crate) struct OutgoingPart {
    pub(crate) segment: u32,
    pub(crate) part: u32,
    pub(crate) hash: Digest,
    pub(crate) length: usize,
    pub(crate) payload: Payload,
    /// How far the recording is durable with it; `None` for a segment's last part, which only the seal proves.
    pub(crate) mark: Option<Mark>,
}

/// Where a part waits.
pub(crate) enum Payload {
    /// In memory, of which it takes a share.
    Memory { ciphertext: Bytes, progress: Option<String>, share: OwnedSemaphorePermit },
    /// In the spool.
    Spooled,
}

/// What to do while the server cannot be reached.
#[derive(Clone)]
pub(crate) enum Patience {
    /// Give up after some tries: the source can be read again.
    GiveUp,
    /// Keep parts in the spool and go on trying: nobody records this a second time.
    Keep(Arc<Spool>),
}

/// Sends the items of one upload.
pub(crate) struct Sender {
    statements: Statements,
    patience: Patience,
    items: mpsc::UnboundedReceiver<Item>,
    progress: watch::Sender<RecordingProgress>,
    give_up: watch::Receiver<bool>,
    memory: Arc<Semaphore>,
    /// What was handed out for sending, until all before it has arrived.
    outstanding: BTreeMap<u64, Outstanding>,
    handed_out: u64,
    durable: Mark,
    /// Why nothing more is sent; what comes is kept.
    refused: Option<ClientError>,
}

/// Something on its way.
struct Outstanding {
    mark: Option<Mark>,
    arrived: bool,
}

/// A part that was sent, or not.
struct Outcome {
    number: u64,
    result: Result<(), ClientError>,
}

impl Sender {
    pub(crate) fn new(
        connection: &Connection,
        recording: RecordingId,
        patience: Patience,
        items: mpsc::UnboundedReceiver<Item>,
        progress: watch::Sender<RecordingProgress>,
        give_up: watch::Receiver<bool>,
        memory: Arc<Semaphore>,
    ) -> Self {
        // Where parts are kept, each failed try has to be known at once.
        let connection = match patience {
            Patience::GiveUp => connection.clone(),
            Patience::Keep(_) => connection.with_retry_for(Duration::ZERO),
        };
        let durable = progress.borrow().durable();
        Self {
            statements: Statements::new(connection, recording),
            patience,
            items,
            progress,
            give_up,
            memory,
            outstanding: BTreeMap::new(),
            handed_out: 0,
            durable,
            refused: None,
        }
    }

    /// Sends until the end was sent, or nothing more comes.
    pub(crate) async fn run(mut self) -> Result<(), ClientError> {
        let result = self.send_all().await;
        // Whoever waits for a share of the memory learns that none will come.
        self.memory.close();
        match (result, self.refused) {
            (Err(error), _) | (Ok(()), Some(error)) => Err(error),
            (Ok(()), None) => Ok(()),
        }
    }

    async fn send_all(&mut self) -> Result<(), ClientError> {
        let mut in_flight: FuturesUnordered<BoxFuture<'static, Outcome>> = FuturesUnordered::new();
        loop {
            let item = tokio::select! {
                biased;
                Some(outcome) = in_flight.next() => {
                    self.part_done(outcome)?;
                    continue;
                }
                item = self.items.recv(), if in_flight.len() < IN_FLIGHT => item,
            };
            if let Some(Item::Part(part)) = item {
                let number = self.hand_out(part.mark);
                in_flight.push(Box::pin(self.part_attempts().send(number, part)));
                continue;
            }
            // All that is not a part rests on the parts before it.
            while let Some(outcome) = in_flight.next().await {
                self.part_done(outcome)?;
            }
            match item {
                None | Some(Item::Part(_)) => return Ok(()),
                Some(Item::Open { segment, body }) => {
                    self.one(None, Attempt::Open { segment, body }).await?;
                }
                Some(Item::Seal(seal, mark)) => self.one(Some(mark), Attempt::Seal(seal)).await?,
                Some(Item::End(end)) => return self.one(None, Attempt::End(end)).await,
            }
        }
    }

    fn hand_out(&mut self, mark: Option<Mark>) -> u64 {
        let number = self.handed_out;
        self.handed_out += 1;
        self.outstanding.insert(number, Outstanding { mark, arrived: false });
        number
    }

    fn part_attempts(&self) -> PartAttempts {
        PartAttempts {
            statements: self.statements.clone(),
            spool: match &self.patience {
                Patience::GiveUp => None,
                Patience::Keep(spool) => Some(Arc::clone(spool)),
            },
            tries: self.tries(),
            refused: self.refused.is_some(),
        }
    }

    fn tries(&self) -> Tries {
        Tries {
            keep: matches!(self.patience, Patience::Keep(_)),
            progress: self.progress.clone(),
            give_up: self.give_up.clone(),
        }
    }

    fn part_done(&mut self, outcome: Outcome) -> Result<(), ClientError> {
        match outcome.result {
            Ok(()) => {
                self.acknowledged(outcome.number);
                Ok(())
            }
            Err(error) => self.fail(error),
        }
    }

    /// Sends one thing that is no part, unless nothing is sent any more.
    async fn one(&mut self, mark: Option<Mark>, attempt: Attempt) -> Result<(), ClientError> {
        if self.refused.is_some() {
            return Ok(());
        }
        let number = self.hand_out(mark);
        match self.tries().until_sent(&self.statements, &attempt, || ()).await {
            Ok(()) => {
                self.acknowledged(number);
                Ok(())
            }
            Err(error) => self.fail(error),
        }
    }

    /// Where parts are kept, a failure ends the sending and not the recording.
    fn fail(&mut self, error: ClientError) -> Result<(), ClientError> {
        match self.patience {
            Patience::GiveUp => Err(error),
            Patience::Keep(_) => {
                if self.refused.is_none() {
                    self.progress.send_modify(|progress| progress.server = ServerState::Refusing);
                    self.refused = Some(error);
                }
                Ok(())
            }
        }
    }

    /// Notes that something has arrived. Durable is all that stands before the first thing still on its way.
    fn acknowledged(&mut self, number: u64) {
        if let Some(outstanding) = self.outstanding.get_mut(&number) {
            outstanding.arrived = true;
        }
        while let Some(first) = self.outstanding.first_entry().filter(|first| first.get().arrived) {
            if let Some(mark) = first.remove().mark {
                self.durable = mark;
            }
        }
        let durable = self.durable;
        let kept = match &self.patience {
            Patience::GiveUp => 0,
            Patience::Keep(spool) => spool.used(),
        };
        self.progress.send_modify(|progress| {
            progress.acknowledged = durable.recorded;
            progress.acknowledged_bytes = durable.bytes;
            progress.kept_bytes = kept;
        });
    }
}

/// One request, or two that belong together, as often as it takes.
enum Attempt {
    Open { segment: u32, body: wire::OpenSegment },
    Part { place: (u32, u32), ciphertext: Bytes, hash: Digest, progress: Option<String> },
    Seal(Envelope<SegmentSeal>),
    End(Box<EndLine>),
}

impl Attempt {
    async fn make(&self, statements: &Statements) -> Result<(), ClientError> {
        match self {
            Self::Open { segment, body } => statements.open(*segment, body).await,
            Self::Part { place, ciphertext, hash, progress } => {
                statements.part(*place, ciphertext.clone(), *hash, progress.as_deref()).await
            }
            Self::Seal(seal) => statements.seal(seal).await,
            Self::End(end) => statements.end(end.details_object()?, &end.final_seal).await,
        }
    }
}

/// How something is tried again.
struct Tries {
    keep: bool,
    progress: watch::Sender<RecordingProgress>,
    give_up: watch::Receiver<bool>,
}

impl Tries {
    /// Tries until it is sent, it is refused for good, or nobody wants to wait any longer. `on_failure` runs after each
    /// try that failed.
    async fn until_sent(
        mut self,
        statements: &Statements,
        attempt: &Attempt,
        mut on_failure: impl FnMut(),
    ) -> Result<(), ClientError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match attempt.make(statements).await {
                Ok(()) => {
                    self.set_state(|state| *state = ServerState::Reachable);
                    return Ok(());
                }
                Err(error) => error,
            };
            on_failure();
            if !self.keep || !error.may_pass() || *self.give_up.borrow() {
                return Err(error);
            }
            self.set_state(|state| {
                if *state == ServerState::Reachable {
                    *state = ServerState::Away { since: Instant::now() };
                }
            });
            tracing::debug!(%error, "trying again");
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = LONGEST_PAUSE.min(pause * 2),
                // One more try, and then no other.
                told = self.give_up.changed() => if told.is_err() {
                    // The recorder is gone: nobody waits for this any more, and what is kept is for another process.
                    return Err(error);
                },
            }
        }
    }

    fn set_state(&self, change: impl FnOnce(&mut ServerState)) {
        self.progress.send_if_modified(|progress| {
            let before = progress.server;
            change(&mut progress.server);
            progress.server != before
        });
    }
}

/// What sending a part takes.
struct PartAttempts {
    statements: Statements,
    spool: Option<Arc<Spool>>,
    tries: Tries,
    /// Nothing is sent any more: the part is kept.
    refused: bool,
}

impl PartAttempts {
    async fn send(self, number: u64, part: OutgoingPart) -> Outcome {
        Outcome { number, result: self.deliver(part).await }
    }

    async fn deliver(self, part: OutgoingPart) -> Result<(), ClientError> {
        let Self { statements, spool, tries, refused } = self;
        let OutgoingPart { segment, part, hash, length, payload, .. } = part;
        let place = (segment, part);
        let (ciphertext, progress, share) = match payload {
            Payload::Memory { ciphertext, progress, share } => (ciphertext, progress, Some(share)),
            Payload::Spooled if refused => return Ok(()),
            Payload::Spooled => {
                let kept = match &spool {
                    Some(spool) => spool.get(segment, part, &hash)?,
                    None => None,
                };
                let lost =
                    || ClientError::Bug(format!("part {part} of segment {segment} is not in the spool"));
                let kept = kept.ok_or_else(lost)?;
                (kept.ciphertext, kept.progress, None)
            }
        };
        let attempt =
            Attempt::Part { place, ciphertext: ciphertext.clone(), hash, progress: progress.clone() };
        let mut share = share;
        let mut keep = || {
            if let (Some(spool), true) = (&spool, share.is_some()) {
                let put = spool.put(segment, part, progress.as_deref(), &ciphertext);
                put.map_err(ClientError::disk("the spool of unsent parts"))?;
                // The memory is free for the next part.
                share = None;
            }
            Ok(())
        };
        if refused {
            // A part that is neither sent nor kept must not be followed by a seal that counts it.
            return keep();
        }
        let keep_if_possible = || {
            let kept: Result<(), ClientError> = keep();
            if let Err(error) = kept {
                tracing::warn!(%error, "a part stays in memory: the spool cannot be written");
            }
        };
        tries.until_sent(&statements, &attempt, keep_if_possible).await?;
        if let Some(spool) = &spool {
            spool.remove(segment, part, length);
        }
        Ok(())
    }
}
