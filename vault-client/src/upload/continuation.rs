//! Going on where a process died: what it had acknowledged is sealed, and nothing of a changed source is spliced on.

use vault_core::sealing::SegmentFacts;
use vault_proto::geometry::{self, BodyEnd, BodyShape};
use vault_proto::problem::ProblemCode;
use vault_proto::wire;

use super::Upload;
use super::journal::{PartLine, Past, SegmentLine};
use super::source::Input;
use crate::error::ClientError;

impl Upload<'_> {
    /// Brings the server and this process to the same state: sends again what may not have arrived, seals the segment that
    /// was open as far as it was acknowledged, and moves `input` behind all that is sealed.
    ///
    /// # Errors
    /// [`ClientError::Usage`], before anything new is sealed, if the source no longer begins with what was sealed of it.
    pub(super) async fn catch_up(&mut self, past: &Past, input: &mut Input) -> Result<(), ClientError> {
        self.create(&past.begin).await?;
        for seal in &past.seals {
            self.sealer.continue_after(seal)?;
            self.put_seal(seal).await?;
        }
        let open = past.segment.filter(|segment| segment.index == self.sealer.segments());
        let acknowledged = match open {
            None => None,
            Some(segment) => self.acknowledged(past, segment).await?,
        };
        let newest = match &acknowledged {
            Some((_, last)) => Some(*last),
            None => past.newest_sealed_part(),
        };
        let behind = self.sealer.total_length()
            + acknowledged.as_ref().map_or(0, |(facts, _)| plaintext_length(facts));
        if input.skip(behind)?
            != newest.map_or_else(|| vault_proto::ids::Digest::of(b""), |last| last.source_hash)
        {
            return Err(ClientError::Usage(
                "the file has changed since its upload was interrupted, and nothing was added to it; to seal the file as \
                 it is now, copy it to another name first"
                    .to_owned(),
            ));
        }
        match (acknowledged, open) {
            (Some((facts, _)), _) => self.seal_segment(&facts).await,
            (None, Some(segment)) => self.abandon(segment).await,
            (None, None) => Ok(()),
        }
    }

    /// The parts of the open segment, from part 0 without a gap, that journal and server agree on; `None` if there is none.
    async fn acknowledged(
        &self,
        past: &Past,
        segment: SegmentLine,
    ) -> Result<Option<(SegmentFacts, PartLine)>, ClientError> {
        let path = wire::path::parts(&self.recording, segment.index);
        let most = 32 * geometry::MAX_PARTS as usize;
        let stored = match self.connection.get(&path, None, None, most).await {
            Ok(answer) => answer.body,
            // The process died between noting the segment and opening it on the server.
            Err(ClientError::Refused(problem)) if problem.known_code() == Some(ProblemCode::NotFound) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let (stored, _) = stored.as_chunks::<32>();
        let mut facts = SegmentFacts {
            index: segment.index,
            track: segment.track,
            key_commitment: segment.key_commitment,
            part_hashes: Vec::new(),
            last_part_length: 0,
            end: BodyEnd::Cut,
        };
        let mut last = None;
        for (part, hash) in (0u32..).zip(stored) {
            let Some(noted) = past.part(segment.index, part).filter(|line| line.hash.as_bytes() == hash)
            else {
                break;
            };
            facts.part_hashes.push(noted.hash);
            facts.last_part_length = noted.length;
            facts.end = noted.end.unwrap_or(BodyEnd::Cut);
            last = Some(noted);
        }
        Ok(last.map(|last| (facts, last)))
    }

    /// Drops a segment of which nothing can be sealed: its key died with its process.
    async fn abandon(&self, segment: SegmentLine) -> Result<(), ClientError> {
        let path = wire::path::segment(&self.recording, segment.index);
        self.connection.delete(&path).await
    }
}

fn plaintext_length(facts: &SegmentFacts) -> u64 {
    let parts = u32::try_from(facts.part_hashes.len()).unwrap_or(u32::MAX);
    let length = geometry::part_offset(parts.saturating_sub(1)) + facts.last_part_length as u64;
    BodyShape::new(length, facts.end).map_or(0, |shape| shape.plaintext_length())
}
