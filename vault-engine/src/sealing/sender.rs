//! Sends what was sealed, in its order, until the server has it: several parts at a time, everything else one after the
//! other.

use std::sync::Arc;
use std::time::Duration;

use async_lock::{Semaphore, SemaphoreGuardArc};
use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::future::{self, BoxFuture, Either};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use vault_proto::envelope::Envelope;
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::statements::SegmentSeal;
use vault_proto::wire;

use super::arrivals::Arrivals;
use super::delivery::{Attempt, OnFailure, Outcome, PartAttempts, Removed, Tries};
use super::held_parts::HeldParts;
use super::journal::EndLine;
use super::progress::{Mark, RecordingProgress};
use super::settlement::{Settled, Settlement};
use super::spool::Spool;
use crate::error::ClientError;
use crate::server::connection::Connection;
use crate::server::recording::ServerRecording;
use crate::watched::Watched;

/// Parts that are sent at the same time, and as many are held in memory.
pub(crate) const IN_FLIGHT: usize = 4;
/// Something to send.
pub(crate) enum Item {
    /// A recording that began while the server was away.
    Create(Box<wire::CreateRecording>),
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
    /// Whether it is durable in the home.
    pub(crate) is_kept: bool,
    /// How far the recording is durable with it; `None` for a segment's last part, which only the seal proves.
    pub(crate) mark: Option<Mark>,
}

/// Where a part waits.
pub(crate) enum Payload {
    /// In memory; if it is not kept, the [`HeldParts`] hold it too, and its share.
    Memory { ciphertext: Bytes, progress: Option<String>, share: Option<SemaphoreGuardArc> },
    /// In the spool.
    Spooled,
}

/// What to do while the server cannot be reached.
#[derive(Clone)]
pub(crate) enum Patience {
    /// Give up after some tries: the source can be read again.
    GiveUp,
    /// Keep parts in the spool and go on trying: nobody records this a second time.
    Keep(Spool),
}

/// Whether somebody still waits for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GiveUp {
    /// As long as it takes.
    No,
    /// One more try of each thing, and then no other.
    AfterOneMoreTry,
    /// Not even for the answers that are on their way.
    Now,
}

/// What the sealing thread and the sender of one upload share.
#[derive(Clone)]
pub(crate) struct Shared {
    /// How far it has come.
    pub(crate) progress: Watched<RecordingProgress>,
    /// Whether somebody still waits for the server.
    pub(crate) give_up: Watched<GiveUp>,
    /// A share for each part that is held in memory.
    pub(crate) memory: Arc<Semaphore>,
    /// What is in memory alone.
    pub(super) held: HeldParts,
    /// What the server has and the spool need not keep.
    pub(super) removed: Removed,
    /// What became of each part.
    pub(super) settlement: Settlement,
}

/// Sends the items of one upload.
pub(crate) struct Sender {
    server: ServerRecording,
    patience: Patience,
    items: mpsc::UnboundedReceiver<Item>,
    shared: Shared,
    arrivals: Arrivals,
    /// Why nothing more is sent; what comes is kept.
    refused: Option<ClientError>,
}

impl Sender {
    pub(crate) fn new(
        connection: &Connection,
        recording: RecordingId,
        patience: Patience,
        items: mpsc::UnboundedReceiver<Item>,
        shared: Shared,
    ) -> Self {
        // Where parts are kept, each failed try has to be known at once.
        let connection = match patience {
            Patience::GiveUp => connection.clone(),
            Patience::Keep(_) => connection.with_retry_for(Duration::ZERO),
        };
        let durable = shared.progress.get().durable();
        Self {
            server: ServerRecording::new(connection, recording),
            patience,
            items,
            shared,
            arrivals: Arrivals::new(durable),
            refused: None,
        }
    }

    /// Sends until the end was sent, or nothing more comes.
    pub(crate) async fn run(mut self) -> Result<(), ClientError> {
        let result = self.send_all().await;
        // Whoever waits for parts to settle learns that there is nothing to wait for.
        self.shared.settlement.close();
        match (result, self.refused) {
            (Err(error), _) | (Ok(()), Some(error)) => Err(error),
            (Ok(()), None) => Ok(()),
        }
    }

    async fn send_all(&mut self) -> Result<(), ClientError> {
        let mut in_flight: FuturesUnordered<BoxFuture<'static, Outcome>> = FuturesUnordered::new();
        loop {
            let room = in_flight.is_empty() || (in_flight.len() < IN_FLIGHT && self.may_send_next());
            let item = if in_flight.is_empty() {
                self.items.next().await
            } else {
                // What is on its way comes first: it makes room.
                let item = async { if room { self.items.next().await } else { future::pending().await } };
                match future::select(in_flight.next(), std::pin::pin!(item)).await {
                    Either::Left((Some(outcome), _)) => {
                        self.part_done(outcome)?;
                        continue;
                    }
                    Either::Left((None, _)) => continue,
                    Either::Right((item, _)) => item,
                }
            };
            if let Some(Item::Part(part)) = item {
                let number = self.arrivals.hand_out(part.mark);
                in_flight.push(Box::pin(self.part_attempts().send(number, part)));
                continue;
            }
            // All that is not a part rests on the parts before it.
            while let Some(outcome) = in_flight.next().await {
                self.part_done(outcome)?;
            }
            match item {
                None | Some(Item::Part(_)) => return Ok(()),
                Some(Item::Create(recording)) => {
                    self.one(None, Attempt::Create(recording)).await?;
                }
                Some(Item::Open { segment, body }) => {
                    self.one(None, Attempt::Open { segment, body }).await?;
                }
                Some(Item::Seal(seal, mark)) => self.one(Some(mark), Attempt::Seal(Box::new(seal))).await?,
                Some(Item::End(end)) => return self.one(None, Attempt::End(end)).await,
            }
        }
    }

    /// Whether the next part may leave: the server takes it, or it is only kept.
    fn may_send_next(&self) -> bool {
        self.refused.is_some() || self.arrivals.may_run_ahead()
    }

    fn part_attempts(&self) -> PartAttempts {
        PartAttempts {
            server: self.server.clone(),
            spool: match &self.patience {
                Patience::GiveUp => None,
                Patience::Keep(spool) => Some(spool.clone()),
            },
            held: self.shared.held.clone(),
            removed: self.shared.removed.clone(),
            tries: self.tries(),
            refused: self.refused.is_some(),
        }
    }

    fn tries(&self) -> Tries {
        Tries {
            effects: self.server.connection().effects().clone(),
            keep: matches!(self.patience, Patience::Keep(_)),
            progress: self.shared.progress.clone(),
            give_up: self.shared.give_up.clone(),
            is_refused: false,
        }
    }

    fn part_done(&mut self, outcome: Outcome) -> Result<(), ClientError> {
        let Outcome { number, place, settled, error } = outcome;
        if matches!(settled, Settled::Acknowledged) {
            self.acknowledged(number);
        }
        self.shared.settlement.settle(place, settled);
        error.map_or(Ok(()), |error| self.fail(error))
    }

    /// Sends one thing that is no part, unless nothing is sent any more.
    async fn one(&mut self, mark: Option<Mark>, attempt: Attempt) -> Result<(), ClientError> {
        if self.refused.is_some() {
            return Ok(());
        }
        let number = self.arrivals.hand_out(mark);
        match self.tries().until_sent(&self.server, &attempt, OnFailure::LetGo(None)).await {
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
                // Later errors follow from the first; what they cost is in the settlement.
                self.refused.get_or_insert(error);
                Ok(())
            }
        }
    }

    /// Notes that something has arrived.
    fn acknowledged(&mut self, number: u64) {
        let durable = self.arrivals.arrived(number);
        let kept = match &self.patience {
            Patience::GiveUp => 0,
            Patience::Keep(spool) => spool.used(),
        };
        self.shared.progress.change(|progress| {
            progress.acknowledged = durable.recorded;
            progress.acknowledged_bytes = durable.bytes;
            progress.kept_bytes = kept;
            progress.arrived += 1;
        });
    }
}
