//! Makes each sealed part durable in the home, with its line in the journal, and hands it on only then: what is sent is
//! named here, and what is named here can be sent by whoever comes after a crash.
//!
//! What can be read again is not kept: its lines alone are. And where the home takes nothing, a part whose line could
//! be written goes to the server from memory, as long as that takes it.

use std::time::Duration;

use async_lock::SemaphoreGuardArc;
use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::FutureExt as _;
use futures_util::future::{self, Either};
use futures_util::stream::StreamExt as _;
use vault_proto::ids::Digest;

use super::held_parts::HeldPart;
use super::journal::{Journal, Line};
use super::progress::{Mark, Objection, ServerState};
use super::sender::{GiveUp, Item, OutgoingPart, Patience, Payload, Shared};
use super::settlement::{Place, Settled};
use super::spool::Spool;
use crate::effects::{Change, Effects};
use crate::error::{ClientError, IoFailure, IoFailureKind};

/// How long a home that takes nothing is left alone before it is tried again.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// How long a home that takes not even a line is tried again: without one, nothing may be sent either.
pub(super) const HOME_PATIENCE: Duration = Duration::from_secs(5);
/// Parts that are made durable together, where so many wait.
const TOGETHER: usize = 4;

/// A sealed part that is nowhere but in memory.
pub(super) struct Staged {
    pub(super) place: Place,
    /// What the journal says of it, and of the track and the segment that begin with it.
    pub(super) lines: Vec<Line>,
    /// What is sent before it: the segment that begins with it.
    pub(super) before: Option<Item>,
    pub(super) hash: Digest,
    pub(super) ciphertext: Bytes,
    pub(super) progress: Option<String>,
    /// How far the recording is durable with it; `None` for a segment's last part, which only the seal proves.
    pub(super) mark: Option<Mark>,
    /// Whether the tail before it is needed no longer.
    pub(super) ends_tail: bool,
}

/// Makes parts durable, in their order.
pub(super) struct Committer {
    pub(super) effects: Effects,
    pub(super) journal: std::sync::Arc<Journal>,
    pub(super) patience: Patience,
    pub(super) items: mpsc::UnboundedSender<Item>,
    pub(super) shared: Shared,
}

impl Committer {
    /// Goes on until nothing more comes. What becomes of each part is in the settlement.
    pub(super) async fn run(self, mut staged: mpsc::Receiver<Staged>) {
        while let Some(first) = staged.next().await {
            let mut parts = vec![first];
            while parts.len() < TOGETHER
                && let Some(Some(more)) = staged.next().now_or_never()
            {
                parts.push(more);
            }
            match self.patience.clone() {
                Patience::GiveUp => self.note(parts).await,
                Patience::Keep(spool) => self.keep(parts, &spool).await,
            }
        }
    }

    /// Writes the lines of parts that can be read again, and sends them from memory.
    async fn note(&self, parts: Vec<Staged>) {
        let mut lines = Vec::new();
        for part in &parts {
            lines.extend_from_slice(&part.lines);
        }
        if let Err(error) = self.journal.append(Vec::new(), &lines, Vec::new()).await {
            return self.lose(&parts, error);
        }
        for part in parts {
            let share = self.shared.memory.acquire_arc().await;
            self.send(part, false, Some(share));
        }
    }

    /// Keeps parts, then sends them: all at once where that is possible.
    async fn keep(&self, parts: Vec<Staged>, spool: &Spool) {
        let bytes: usize = parts.iter().map(|part| part.ciphertext.len()).sum();
        if self.may_keep(spool, bytes) && self.commit(&parts, spool).await.is_ok() {
            return self.kept(parts, spool);
        }
        for part in parts {
            self.keep_patiently(part, spool).await;
        }
    }

    /// The limit is for what is still recorded; what is in hand at the end is kept beyond it.
    fn may_keep(&self, spool: &Spool, bytes: usize) -> bool {
        self.shared.give_up.get() != GiveUp::No || spool.has_room(bytes)
    }

    /// Makes parts durable, then their lines. What is in memory alone comes before them: without it, no later process
    /// could open them.
    async fn commit(&self, parts: &[Staged], spool: &Spool) -> Result<(), ClientError> {
        let Some(last) = parts.last() else {
            return Ok(());
        };
        self.shared.held.keep_up_to(last.place, spool).await?;
        let mut puts = Vec::with_capacity(parts.len());
        let mut lines = Vec::new();
        for part in parts {
            puts.push(spool.put(part.place, part.progress.as_deref(), &part.ciphertext));
            lines.extend_from_slice(&part.lines);
        }
        let mut after = self.shared.removed.take();
        if parts.iter().any(|part| part.ends_tail) {
            // After the line: until that is there, the tail is all there is of these bytes.
            after.push(Change::Delete(spool.tail_key()));
        }
        self.journal.append(puts, &lines, after).await
    }

    fn kept(&self, parts: Vec<Staged>, spool: &Spool) {
        for part in parts {
            // Behind others that wait in the spool it waits there too.
            let is_next = self.shared.progress.get().server == ServerState::Reachable && spool.used() == 0;
            spool.is_kept(part.ciphertext.len());
            self.shared.settlement.settle(part.place, Settled::Spooled);
            let share = if is_next { self.shared.memory.try_acquire_arc() } else { None };
            self.send(part, true, share);
        }
        self.publish(spool, false);
    }

    /// Keeps a part that a home did not take, or has no room for; until it does, the source waits, unless the server
    /// takes what is in memory.
    async fn keep_patiently(&self, mut part: Staged, spool: &Spool) {
        let (began, mut is_noted) = (self.effects.now().running, false);
        loop {
            let may = self.may_keep(spool, part.ciphertext.len());
            let failed = if may {
                match self.commit(std::slice::from_ref(&part), spool).await {
                    Ok(()) => return self.kept(vec![part], spool),
                    Err(error) => error,
                }
            } else {
                let why = IoFailure::new(IoFailureKind::Full, "the recording's spool is at its limit");
                ClientError::Disk { place: spool.place(), why }
            };
            self.publish(spool, may);
            let told = self.shared.give_up.get();
            let server = self.shared.progress.get().server;
            let never = matches!(server, ServerState::Refusing { why: Objection::Lasting, .. });
            if never || told == GiveUp::Now {
                return self.lose(&[part], failed);
            }
            // A line takes little room. With it the part is named, and may be sent.
            if !is_noted && self.journal.append(Vec::new(), &part.lines, Vec::new()).await.is_ok() {
                is_noted = true;
                part.lines.clear();
            }
            // Only what the server takes makes room, and the source waits.
            if is_noted {
                if let Some(share) = self.share_within(PAUSE).await {
                    return self.hold(part, share).await;
                }
            } else {
                self.pause().await;
            }
            let waited = self.effects.now().running.saturating_sub(began);
            if told == GiveUp::AfterOneMoreTry || (!is_noted && waited >= HOME_PATIENCE) {
                return self.lose(&[part], failed);
            }
        }
    }

    /// Leaves a part in memory, on its way to the server.
    async fn hold(&self, part: Staged, share: SemaphoreGuardArc) {
        let held =
            HeldPart { ciphertext: part.ciphertext.clone(), progress: part.progress.clone(), _share: share };
        self.shared.held.hold(part.place, held).await;
        self.send(part, false, None);
    }

    /// A share of the memory; `None` if none is free for so long, or if nobody waits for the server any more.
    async fn share_within(&self, time: Duration) -> Option<SemaphoreGuardArc> {
        let share = std::pin::pin!(self.shared.memory.acquire_arc());
        let told = std::pin::pin!(self.shared.give_up.wait_for(|told| (*told == GiveUp::Now).then_some(())));
        let pause = std::pin::pin!(self.effects.sleep(time));
        match future::select(share, future::select(told, pause)).await {
            Either::Left((share, _)) => Some(share),
            Either::Right(_) => None,
        }
    }

    async fn pause(&self) {
        let told = self.shared.give_up.wait_for(|told| (*told == GiveUp::Now).then_some(()));
        future::select(std::pin::pin!(told), std::pin::pin!(self.effects.sleep(PAUSE))).await;
    }

    /// Hands a part on. Where nobody sends any more, it stays where it is.
    fn send(&self, part: Staged, is_kept: bool, share: Option<SemaphoreGuardArc>) {
        let Staged { place: (segment, number), before, hash, ciphertext, progress, mark, .. } = part;
        let length = ciphertext.len();
        let payload = if is_kept && share.is_none() {
            Payload::Spooled
        } else {
            Payload::Memory { ciphertext, progress, share }
        };
        let part = OutgoingPart { segment, part: number, hash, length, payload, is_kept, mark };
        for item in before.into_iter().chain([Item::Part(part)]) {
            // A sender that is gone has said itself why.
            let _ = self.items.unbounded_send(item);
        }
    }

    fn lose(&self, parts: &[Staged], error: ClientError) {
        let mut error = Some(error);
        for part in parts {
            let why = error.take().unwrap_or(ClientError::Interrupted);
            self.shared.settlement.settle(part.place, Settled::Lost(why));
        }
    }

    fn publish(&self, spool: &Spool, fails: bool) {
        self.shared.progress.change(|progress| {
            progress.kept_bytes = spool.used();
            progress.spool_fails = fails;
        });
    }
}
