//! Bringing an upload and the server to one state after a process died: what waits in the spool is sent, and what
//! arrived is sealed. No key is needed for it, and none is left.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use vault_core::sealing::SegmentFacts;
use vault_proto::geometry::{BodyEnd, BodyShape};
use vault_proto::ids::Digest;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::SegmentSeal;

use super::begin::{Begun, is_final_refusal};
use super::journal::{Journal, Line, PartLine, Past, PastSegment};
use super::sender::IN_FLIGHT;
use super::spool::Spool;
use super::tail::Tail;
use super::worker::SealedTrack;
use crate::effects::Change;
use crate::error::ClientError;
use crate::home::Home;
use crate::server::recording::ServerRecording;
use crate::session::Session;

/// How far an upload had come.
pub(super) struct CaughtUp {
    /// The tracks, as far as they are sealed or can be.
    pub tracks: Vec<SealedTrack>,
    /// Plaintext bytes of them.
    pub bytes: u64,
    /// The last part that is kept.
    pub(super) last: Option<PartLine>,
    /// What is left to do with the segment that was open.
    pub(super) open: Open,
}

/// A segment that was open when its process died.
pub(super) enum Open {
    /// There was none.
    None,
    /// As far as it arrived, it can be sealed.
    Sealable(SegmentFacts),
    /// Nothing of it arrived.
    Empty(u32),
}

/// A recording that never reached its server, and never will: its manifest is of another day, or refused.
pub(super) struct NeverBegun;

impl Begun {
    /// Sends again what may not have arrived, and finds out how far the recording has come. Signs nothing.
    ///
    /// # Errors
    /// [`ClientError`]; the journal stays as it is.
    pub(super) async fn catch_up(
        &mut self,
        home: &Home,
        server: &ServerRecording,
        past: &Past,
        spool: &Spool,
    ) -> Result<Result<CaughtUp, NeverBegun>, ClientError> {
        let mut ended = None;
        match server.create(&self.begin.to_create()).await {
            Ok(()) => {}
            // What is there already goes on without a certificate; what is not cannot begin any more.
            Err(ClientError::Refused(problem))
                if problem.known_code() == Some(ProblemCode::CertificateExpired) =>
            {
                ended = Some(problem);
            }
            Err(ClientError::Refused(problem))
                if past.segments.is_empty() && is_final_refusal(problem.known_code()) =>
            {
                // What was recorded is never given up because of a word of the server's.
                return if Tail::is_there(home, spool).await? {
                    Err(ClientError::Refused(problem))
                } else {
                    Ok(Err(NeverBegun))
                };
            }
            Err(error) => return Err(error),
        }
        let stored = match (server.record().await, ended) {
            (Err(ClientError::Refused(_)), Some(problem)) => return Err(ClientError::Refused(problem)),
            (record, _) => record?.segments,
        };
        let mut caught_up = CaughtUp { tracks: Vec::new(), bytes: 0, last: None, open: Open::None };
        for (at, segment) in past.segments.iter().enumerate() {
            // What was dropped before the end was signed. The server may have that end by now, and takes no segment
            // behind it.
            let index = segment.line.index;
            if past.end.as_ref().is_some_and(|end| index >= end.final_seal.unverified().segments) {
                break;
            }
            let is_sealed = stored.get(at).is_some_and(|stored| stored.seal.is_some());
            if !is_sealed {
                server.open(index, &segment.line.to_open()).await?;
                send_kept(server, segment, spool, &self.journal).await?;
            }
            match &segment.seal {
                Some(seal) if is_sealed || has_parts(server, seal.unverified()).await? => {
                    self.sealer.continue_after(seal)?;
                    if !is_sealed {
                        server.seal(seal).await?;
                    }
                    let length = seal.unverified().shape().map_or(0, |shape| shape.plaintext_length());
                    // Parts that were sealed and never arrived are in the journal too.
                    let parts = usize::try_from(seal.unverified().parts).unwrap_or(usize::MAX);
                    caught_up.add(past, segment, parts, length);
                }
                // It is not sealed, or was over parts that are lost; what follows on these could not be opened.
                _ => {
                    caught_up.open = self.agree(server, past, segment, &mut caught_up).await?;
                    break;
                }
            }
        }
        Ok(Ok(caught_up))
    }

    /// Finds the parts of a segment, from part 0 without a gap, that journal and server agree on.
    async fn agree(
        &self,
        server: &ServerRecording,
        past: &Past,
        segment: &PastSegment,
        caught_up: &mut CaughtUp,
    ) -> Result<Open, ClientError> {
        let stored = server.part_hashes(segment.line.index).await?;
        let agreed: Vec<&PartLine> = segment
            .parts
            .iter()
            .zip(&stored)
            .take_while(|(part, stored)| part.hash == **stored)
            .map(|(part, _)| part)
            .collect();
        let Some(last) = agreed.last() else {
            return Ok(Open::Empty(segment.line.index));
        };
        let facts = SegmentFacts {
            start: segment.line.start(),
            part_hashes: agreed.iter().map(|part| part.hash).collect(),
            last_part_length: last.length,
            end: last.end.unwrap_or(BodyEnd::Cut),
        };
        caught_up.add(past, segment, agreed.len(), plaintext_length(&facts));
        Ok(Open::Sealable(facts))
    }

    /// Seals the segment that was open as far as it arrived, or drops it.
    ///
    /// # Errors
    /// [`ClientError`]; a seal that was signed is in the journal.
    pub(super) async fn close_segment(
        &mut self,
        session: &Session,
        server: &ServerRecording,
        open: &Open,
    ) -> Result<(), ClientError> {
        match open {
            Open::None => Ok(()),
            Open::Empty(index) => server.abandon(*index).await,
            Open::Sealable(facts) => {
                let seal = session.sign(self.sealer.prepare_seal(facts)?).await?;
                self.sealer.continue_after(&seal)?;
                self.journal.append(Vec::new(), &[Line::Seal(Box::new(seal.clone()))], Vec::new()).await?;
                server.seal(&seal).await
            }
        }
    }
}

impl Begun {
    /// Makes the tail, if there is one that follows on what is sealed, the recording's next segment: what was recorded
    /// and no part yet when the process died. Everything before it is sealed by now.
    ///
    /// # Errors
    /// [`ClientError`]; the tail stays until it is part of the journal, and that until it is on the server.
    pub(super) async fn bring_tail(
        &mut self,
        session: &Session,
        server: &ServerRecording,
        past: &mut Past,
        spool: &Spool,
        caught_up: &mut CaughtUp,
    ) -> Result<(), ClientError> {
        // Where nothing of the open segment arrived or is here, its number is the tail's.
        let next = self.sealer.segments();
        past.segments.truncate(usize::try_from(next).unwrap_or(usize::MAX));
        let Some(tail) = Tail::of(&session.home, spool, caught_up.bytes, next).await? else {
            return Ok(());
        };
        let (put, lines, used) = tail.promote(spool, past);
        self.journal.append(vec![put], &lines, vec![used]).await?;
        let Some(segment) = past.segments.last() else {
            return Ok(());
        };
        server.open(segment.line.index, &segment.line.to_open()).await?;
        send_kept(server, segment, spool, &self.journal).await?;
        let open = self.agree(server, past, segment, caught_up).await?;
        self.close_segment(session, server, &open).await?;
        caught_up.open = Open::None;
        Ok(())
    }
}

impl CaughtUp {
    /// Counts a segment of which the first `parts` parts are kept, which hold so much plaintext.
    fn add(&mut self, past: &Past, segment: &PastSegment, parts: usize, held: u64) {
        let last = parts.checked_sub(1).and_then(|last| segment.parts.get(last)).copied();
        let padding: u64 = segment.parts.iter().take(parts).map(|part| part.padding).sum();
        let length = held.saturating_sub(padding);
        let track = segment.line.track;
        if self.tracks.last().is_none_or(|newest| newest.track != track) {
            let line = past.tracks.iter().rev().find(|line| line.track == track);
            let from = Duration::from_millis(line.map_or(0, |line| line.from_ms));
            let media_type = line.map(|line| line.media_type.clone());
            self.tracks.push(SealedTrack::beginning(track, media_type, from, None));
        }
        // Of later tracks nobody has noted more than what they were together with those before.
        let sha256 = last.filter(|_| self.tracks.len() == 1).map(|last| last.source_hash);
        if let Some(newest) = self.tracks.last_mut() {
            newest.sha256 = sha256;
            newest.bytes += length;
            newest.padding += padding;
            newest.until = last.map_or(newest.until, |last| Duration::from_millis(last.until_ms));
        }
        self.bytes += length;
        self.last = last.or(self.last);
    }

    /// SHA-256 of the source up to what is kept.
    pub(super) fn source_hash(&self) -> Digest {
        self.last.map_or_else(|| Digest::of(b""), |last| last.source_hash)
    }
}

/// Sends the parts of a segment that wait in the spool.
async fn send_kept(
    server: &ServerRecording,
    segment: &PastSegment,
    spool: &Spool,
    journal: &Journal,
) -> Result<(), ClientError> {
    let sending: Vec<_> = segment.parts.iter().map(|line| send_one(server, spool, line)).collect();
    // In their order: while one is late, none runs ahead of it by more than the server takes.
    let sent: Vec<_> = stream::iter(sending).buffered(IN_FLIGHT).try_collect().await?;
    let removed: Vec<_> = sent.into_iter().flatten().collect();
    if removed.is_empty() { Ok(()) } else { journal.append(removed, &[], Vec::new()).await }
}

/// Sends a part if it waits in the spool; gives what takes it from there.
async fn send_one(
    server: &ServerRecording,
    spool: &Spool,
    line: &PartLine,
) -> Result<Option<Change>, ClientError> {
    let place = (line.segment, line.part);
    let Some(kept) = spool.get(place, &line.hash).await? else {
        return Ok(None);
    };
    server.part(place, kept.ciphertext, line.hash, kept.progress.as_deref()).await?;
    Ok(Some(spool.remove(place)))
}

/// Whether the server has each part of a seal. It was signed only once each was acknowledged or synced here: a disk has
/// lost one since, or a server.
async fn has_parts(server: &ServerRecording, seal: &SegmentSeal) -> Result<bool, ClientError> {
    let there = server.part_hashes(seal.index).await?.len();
    Ok(u32::try_from(there).unwrap_or(u32::MAX) >= seal.parts)
}

fn plaintext_length(facts: &SegmentFacts) -> u64 {
    let parts = u32::try_from(facts.part_hashes.len()).unwrap_or(u32::MAX);
    let part_chunks = facts.start.part_chunks;
    let length = part_chunks.offset(parts.saturating_sub(1)) + facts.last_part_length as u64;
    BodyShape::new(length, facts.end, part_chunks).map_or(0, |shape| shape.plaintext_length())
}
