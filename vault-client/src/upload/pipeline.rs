//! From a source to acknowledged parts of one segment, several at a time.

use futures_util::stream::{self, StreamExt as _};
use http::Method;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use vault_core::payload::{PartJob, SealedPart};
use vault_core::sealing::{SegmentFacts, SegmentSealer};
use vault_proto::geometry::BodyEnd;
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::wire;

use super::journal::{Journal, PartLine};
use super::source::Input;
use crate::connection::Connection;
use crate::error::ClientError;

/// Parts that are sealed and sent at the same time.
const IN_FLIGHT: usize = 4;
/// Parts that are read ahead of those in flight.
const READ_AHEAD: usize = 2;

/// Why a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentEnd {
    /// The source gave no more.
    SourceEnded,
    /// The segment has its most parts; the source goes on in the next one.
    Full,
}

/// A segment whose parts are all acknowledged.
pub(crate) struct Sent {
    pub(crate) facts: SegmentFacts,
    pub(crate) input: Input,
    pub(crate) end: SegmentEnd,
}

/// A numbered part on its way from the reading thread.
struct Numbered {
    job: PartJob,
    plaintext: u64,
    source_hash: Digest,
    last: bool,
}

/// An acknowledged part.
struct Acknowledged {
    line: PartLine,
    plaintext: u64,
}

/// Seals and sends parts until the source or the segment ends; notes each in the journal when it is acknowledged.
pub(crate) async fn send_segment(
    connection: &Connection,
    recording: RecordingId,
    segment: SegmentSealer,
    input: Input,
    journal: &mut Journal,
    on_acknowledged: &mut (dyn FnMut(u64) + Send),
) -> Result<Sent, ClientError> {
    let index = segment.index();
    let (jobs, numbered) = mpsc::channel(READ_AHEAD);
    let reading = spawn_blocking(move || read_parts(segment, input, &jobs));
    let numbered = stream::unfold(numbered, async |mut numbered| {
        Some((numbered.recv().await?, numbered))
    });
    let mut sending = std::pin::pin!(
        numbered
            .map(|part| send_part(connection, recording, index, part))
            .buffer_unordered(IN_FLIGHT)
    );
    let mut parts: Vec<Option<Digest>> = Vec::new();
    let mut last_part_length = 0;
    while let Some(acknowledged) = sending.next().await {
        let Acknowledged { line, plaintext } = acknowledged?;
        journal.part(line)?;
        let place = line.part as usize;
        if parts.len() <= place {
            parts.resize(place + 1, None);
        }
        if let Some(slot) = parts.get_mut(place) {
            *slot = Some(line.hash);
        }
        if line.end.is_some() {
            last_part_length = line.length;
        }
        on_acknowledged(plaintext);
    }
    let (segment, input, end) = reading
        .await
        .map_err(|error| ClientError::Bug(error.to_string()))??;
    let part_hashes: Option<Vec<Digest>> = parts.into_iter().collect();
    let part_hashes = part_hashes.ok_or_else(|| ClientError::Bug("a part was left out".to_owned()))?;
    Ok(Sent {
        facts: segment.finish(part_hashes, last_part_length),
        input,
        end,
    })
}

/// Reads and numbers parts, on a thread of its own. Stops early, without an error of its own, if nobody takes them.
fn read_parts(
    mut segment: SegmentSealer,
    mut input: Input,
    jobs: &mpsc::Sender<Numbered>,
) -> Result<(SegmentSealer, Input, SegmentEnd), ClientError> {
    loop {
        let (part, source_ended) = input.next_part()?;
        let last = source_ended || segment.parts_left() == 1;
        let plaintext = part.len() as u64;
        let source_hash = input.sha256();
        let job = segment.next_part(part, last)?;
        if jobs
            .blocking_send(Numbered {
                job,
                plaintext,
                source_hash,
                last,
            })
            .is_err()
        {
            return Err(ClientError::Bug(
                "the upload stopped before its source".to_owned(),
            ));
        }
        if last {
            let end = if source_ended {
                SegmentEnd::SourceEnded
            } else {
                SegmentEnd::Full
            };
            return Ok((segment, input, end));
        }
    }
}

/// Seals and hashes on a thread of its own, then sends until the server has it.
async fn send_part(
    connection: &Connection,
    recording: RecordingId,
    segment: u32,
    part: Numbered,
) -> Result<Acknowledged, ClientError> {
    let Numbered {
        job,
        plaintext,
        source_hash,
        last,
    } = part;
    let sealing = spawn_blocking(move || {
        let sealed = job.run()?;
        let hash = Digest::of(&sealed.ciphertext);
        Ok::<(SealedPart, Digest), vault_core::payload::SealPartError>((sealed, hash))
    });
    let sealed = sealing
        .await
        .map_err(|error| ClientError::Bug(error.to_string()))?;
    let (sealed, hash) = sealed.map_err(|error| ClientError::Bug(error.to_string()))?;
    let length = sealed.ciphertext.len();
    let path = wire::path::part(&recording, segment, sealed.index);
    connection
        .send_digested(
            Method::PUT,
            &path,
            sealed.ciphertext.into(),
            hash,
            "application/octet-stream",
        )
        .await?;
    let end = last.then_some(BodyEnd::Final);
    Ok(Acknowledged {
        line: PartLine {
            segment,
            part: sealed.index,
            hash,
            length,
            source_hash,
            end,
        },
        plaintext,
    })
}
