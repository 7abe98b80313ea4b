//! What there is to watch of a recording: its tracks, with what their sealed details say of them.

use std::time::Duration;

use vault_core::details::Track;
use vault_core::webm::{SeekIndex, SeekableLayout};

use crate::error::{ClientError, NextStep};
use crate::media_type::{PROBE, sniff};
use crate::opening::recording::RemoteRecording;
use crate::opening::track::RemoteTrack;
use crate::session::Session;

/// A track that can be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// Number of the track.
    pub track: u8,
    /// Its media type: as its sealer says, or without details as its first bytes announce. Any text.
    pub media_type: String,
    /// Plaintext bytes that are proved, as they were sealed.
    pub bytes: u64,
    /// Playing time, as its sealer says; `None` if nobody knows.
    pub duration: Option<Duration>,
    seek: Option<SeekIndex>,
}

impl Medium {
    /// What makes a seekable file of it; `None` where the sealed bytes are to be taken as they are.
    pub fn layout(&self) -> Option<SeekableLayout> {
        self.seek.as_ref()?.layout(self.bytes)
    }

    /// Bytes of the file that [`Self::layout`] makes of it.
    pub fn length(&self) -> u64 {
        let layout = self.layout();
        layout.map_or(self.bytes, |layout| {
            layout.head.len() as u64 + (self.bytes - layout.body_from.min(self.bytes))
        })
    }

    /// Moments, ascending, at which the recorder's clock jumps or another recorder goes on, as its sealer says. Players
    /// stop at the first of them; [`Self::layout_from`] begins at any.
    pub fn breaks(&self) -> Vec<Duration> {
        let breaks = self.seek.as_ref().map(SeekIndex::breaks_ms).unwrap_or_default();
        breaks.into_iter().map(Duration::from_millis).collect()
    }

    /// Whether another recording of other tracks stands behind it, as its sealer says: players do not show it.
    pub fn has_other(&self) -> bool {
        self.seek.as_ref().is_some_and(SeekIndex::has_other)
    }

    /// What makes a file of it that begins at the last place at or before `from` from which it can be played.
    ///
    /// # Errors
    /// [`ClientError::Declined`] if it has no seek index.
    pub fn layout_from(&self, from: Duration) -> Result<SeekableLayout, ClientError> {
        let from = u64::try_from(from.as_millis()).unwrap_or(u64::MAX);
        let layout = self.seek.as_ref().and_then(|seek| seek.layout_from(self.bytes, from));
        layout.ok_or_else(|| {
            ClientError::Declined {
                what: format!(
                    "track {} ({}) has no index to begin at a moment with, which is made while WebM of a browser's recorder is sealed",
                    self.track, self.media_type
                ),
                next: NextStep::OpenWhole + ", or " + NextStep::PlayFrom + ".",
            }
        })
    }

    /// Where a file of [`Self::layout_from`] begins: at that moment or before it. `None` if it has no seek index.
    pub fn start_of(&self, from: Duration) -> Option<Duration> {
        let from = u64::try_from(from.as_millis()).unwrap_or(u64::MAX);
        let start = self.seek.as_ref().and_then(|seek| seek.start_ms(self.bytes, from));
        start.map(Duration::from_millis)
    }

    /// A track as its details say, of which so many plaintext bytes are proved.
    pub fn known(track: &Track, bytes: u64) -> Self {
        Self {
            track: track.track,
            media_type: track.media_type.clone(),
            bytes,
            duration: track.duration_ms.map(Duration::from_millis),
            seek: track.seek.clone().filter(|seek| seek.is_of(bytes)),
        }
    }
}

/// The tracks of a recording that can be opened, ascending.
///
/// # Errors
/// [`ClientError`].
pub async fn media(session: &Session, remote: &RemoteRecording) -> Result<Vec<Medium>, ClientError> {
    let details = remote.details(session).await?;
    let mut media = Vec::new();
    for (track, bytes) in remote.tracks(session).await? {
        let known = details.iter().flat_map(|details| &details.tracks).find(|known| known.track == track);
        media.push(match known {
            Some(known) => Medium::known(known, bytes),
            None => {
                let view = RemoteTrack::open(session, remote, track, None).await?;
                let media_type = sniff(&view.read_at(0, PROBE).await?).to_owned();
                Medium { track, media_type, bytes, duration: None, seek: None }
            }
        });
    }
    Ok(media)
}

/// Finds the track that plays at `moment` of the consultation, and the moment within it. Tracks follow each other: a
/// call that goes from audio to video begins another one.
///
/// # Errors
/// [`ClientError::Declined`] if the moment lies behind the end, or a track before it is of unknown length.
pub fn at_moment(media: &[Medium], moment: Duration) -> Result<(&Medium, Duration), ClientError> {
    let mut left = moment;
    let last = media.len().saturating_sub(1);
    for (at, medium) in media.iter().enumerate() {
        match medium.duration {
            Some(duration) if left < duration => return Ok((medium, left)),
            Some(duration) => left -= duration,
            // Nothing says where it ends; if nothing follows it, it needs no end.
            None if at == last => return Ok((medium, left)),
            None => {
                return Err(ClientError::Declined {
                    what: format!(
                        "nobody knows how long track {} is, so this moment can lie in several",
                        medium.track
                    ),
                    next: NextStep::NameTrack + "; the moment is counted within it then.",
                });
            }
        }
    }
    let whole = moment.saturating_sub(left).as_secs();
    Err(ClientError::Declined {
        what: format!("this recording is only {whole} seconds long"),
        next: "Name an earlier moment, or " + NextStep::NoMoment + ".",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn medium(track: u8, seconds: Option<u64>) -> Medium {
        let duration = seconds.map(Duration::from_secs);
        Medium { track, media_type: "video/webm".to_owned(), bytes: 1, duration, seek: None }
    }

    #[test]
    fn a_moment_lies_in_one_track() {
        let at = |media: &[Medium], seconds| {
            at_moment(media, Duration::from_secs(seconds))
                .map(|(found, left)| (found.track, left.as_secs()))
                .ok()
        };
        let known = [medium(0, Some(300)), medium(1, Some(600))];
        assert_eq!(at(&known, 0), Some((0, 0)));
        assert_eq!(at(&known, 299), Some((0, 299)));
        assert_eq!(at(&known, 750), Some((1, 450)));
        assert_eq!(at(&known, 900), None);
        assert_eq!(at(&[medium(0, Some(300)), medium(1, None)], 5000), Some((1, 4700)));
        assert_eq!(at(&[medium(0, None), medium(1, Some(1))], 5), None);
        assert_eq!(at(&[], 0), None);
    }
}
