//! Ending a recording where its process died: what journal, spool and server have of it is sealed, and shown as cut
//! off.

use std::time::Duration;

use vault_core::details::Details;
use vault_proto::base64;
use vault_proto::statements::RecordingStatus;

use super::begin::{Begun, kept_title};
use super::continuation::CaughtUp;
use super::journal::{EndLine, Journal, Line, Past};
use super::sequence;
use super::spool::Spool;
use super::worker::timestamp_of_ms;
use crate::error::ClientError;
use crate::home::endings;
use crate::server::recording::ServerRecording;
use crate::session::Session;

/// How an upload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All of it is on the server.
    Complete {
        /// Plaintext bytes.
        bytes: u64,
    },
    /// The rest was lost with its process; what there is was sealed, and is shown as cut off.
    CutOff {
        /// Plaintext bytes that are kept.
        bytes: u64,
        /// Recorded time that is kept; `None` for what was not recorded live.
        kept: Option<Duration>,
        /// Recorded time that is lost, to about a second; `None` for what was not recorded live.
        lost: Option<Duration>,
    },
    /// Nothing of it had been sealed, so there is nothing to open.
    Nothing {
        /// Recorded time that is lost; `None` for what was not recorded live.
        lost: Option<Duration>,
    },
}

/// Ends a recording where its process died.
pub(super) async fn end_here(session: &Session, journal: Journal, past: Past) -> Result<Ending, ClientError> {
    let Session { connection, home, .. } = session;
    let recording = past.recording();
    sequence::remember(home, &past.begin.manifest).await?;
    let mut begun = Begun::again(session, journal, &past)?;
    let server = ServerRecording::new(connection.clone(), recording);
    let spool = Spool::of(home, recording, 0);
    let Ok(caught_up) = begun.catch_up(home, &server, &past, &spool).await? else {
        // A part whose line was never written has no header, and nobody can open it.
        spool.clear().await?;
        begun.journal.finish().await?;
        return Ok(Ending::Nothing { lost: lost_after(&past, Duration::ZERO) });
    };
    end_caught_up(session, begun, past, &spool, caught_up).await
}

/// Recorded time that was lost behind what is kept; `None` for what was not recorded live.
fn lost_after(past: &Past, kept: Duration) -> Option<Duration> {
    let live = past.begin.source.is_none();
    live.then(|| past.recorded().saturating_sub(kept))
}

/// Ends a recording where journal and server agree that it ends.
pub(super) async fn end_caught_up(
    session: &Session,
    mut begun: Begun,
    mut past: Past,
    spool: &Spool,
    mut caught_up: CaughtUp,
) -> Result<Ending, ClientError> {
    let Session { connection, home, account, .. } = session;
    let recording = past.recording();
    let server = ServerRecording::new(connection.clone(), recording);
    let created = past.begin.manifest.unverified().created;
    let signed = past.end.take().filter(|end| begun.is_end(end));
    begun.close_segment(session, &server, &caught_up.open).await?;
    if signed.is_none() {
        begun.bring_tail(session, &server, &mut past, spool, &mut caught_up).await?;
    }
    let past = &past;
    let CaughtUp { tracks, bytes, last, .. } = caught_up;
    let end = match (signed, last) {
        (Some(end), _) => end,
        // An empty recording that nobody ended, too.
        (None, None) => {
            spool.clear().await?;
            begun.journal.finish().await?;
            return Ok(Ending::Nothing { lost: lost_after(past, Duration::ZERO) });
        }
        (None, Some(last)) => {
            let ended = timestamp_of_ms(last.at_ms).max(created);
            let real_time = past.begin.real_time;
            let details = Details {
                title: kept_title(&begun.begin, account),
                started: created,
                ended,
                tracks: tracks.into_iter().map(|track| track.details(real_time)).collect(),
            };
            let (object, unsigned) =
                begun.sealer.prepare_final(&details, RecordingStatus::Recovered, ended)?;
            let final_seal = session.sign(unsigned).await?;
            let end = EndLine { details: base64::encode(&object), final_seal };
            begun.journal.append(Vec::new(), &[Line::End(Box::new(end.clone()))], Vec::new()).await?;
            end
        }
    };
    server.end(end.details_object()?, &end.final_seal).await?;
    endings::remember(home, account, recording, &end.final_seal).await?;
    // The journal last: by it a later process finds the rest, as long as there is some.
    spool.clear().await?;
    begun.journal.finish().await?;
    // An end that an earlier process signed says itself whether something was lost.
    Ok(match end.final_seal.unverified().status {
        RecordingStatus::Complete => Ending::Complete { bytes },
        RecordingStatus::Recovered => {
            let until = last.map(|last| Duration::from_millis(last.until_ms));
            let lost = until.and_then(|until| lost_after(past, until));
            let kept = until.filter(|_| lost.is_some());
            Ending::CutOff { bytes, kept, lost }
        }
    })
}
