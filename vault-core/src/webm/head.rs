//! What stands before a recording's first cluster: what it says of itself, and its tracks.

use super::ebml::{children, float, id, unsigned};
use super::seek_index::MAX_HEAD;

/// Most Matroska tracks whose times are followed.
const MAX_TRACKS: usize = 16;
/// Nanoseconds of a tick, where nothing else is said.
const DEFAULT_SCALE: u64 = 1_000_000;
/// Longest duration that is believed, in milliseconds: a hundred years.
const MAX_SAID: f64 = 100.0 * 366.0 * 86_400_000.0;

/// The elements that are kept, each whole.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// The EBML header.
    pub(super) ebml: Vec<u8>,
    pub(super) info: Vec<u8>,
    pub(super) tracks: Vec<u8>,
    /// `Tags`, `Chapters` and `Attachments`, in order.
    pub(super) others: Vec<u8>,
}

/// What kind of medium a track is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pictures,
    Sound,
    Other,
}

/// A track that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TrackFacts {
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// Ticks that each of its blocks lasts, where it says so.
    pub(super) lasts: Option<u64>,
}

/// What the blocks behind a head mean.
#[derive(Debug, Default)]
pub(super) struct Media {
    /// Nanoseconds of a tick; never 0 in what [`Head::read`] gives.
    pub(super) scale: u64,
    pub(super) tracks: Vec<TrackFacts>,
    /// Whether there are tracks that are not followed.
    pub(super) more: bool,
}

impl Media {
    /// A track, if it is followed.
    pub(super) fn track(&self, number: u64) -> Option<TrackFacts> {
        self.tracks.iter().copied().find(|track| track.number == number)
    }

    /// The first track of a kind.
    pub(super) fn first(&self, kind: Kind) -> Option<u64> {
        self.tracks.iter().find(|track| track.kind == kind).map(|track| track.number)
    }
}

impl Head {
    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.ebml.len() + self.info.len() + self.tracks.len() + self.others.len()
    }

    /// Whether as many bytes more may be kept.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.bytes().checked_add(bytes).is_some_and(|all| all <= MAX_HEAD)
    }

    /// Takes an element in; of several `Info` and `Tracks` the first counts.
    pub(super) fn keep(&mut self, element: u32, whole: Vec<u8>) {
        let place = match element {
            id::EBML => &mut self.ebml,
            id::INFO => &mut self.info,
            id::TRACKS => &mut self.tracks,
            _ => return self.others.extend(whole),
        };
        if place.is_empty() {
            *place = whole;
        }
    }

    /// How long the recording says that it is, in milliseconds.
    pub(super) fn said(&self) -> Option<u64> {
        let (_, _, info) = children(&self.info).next()??;
        let (mut scale, mut ticks) = (DEFAULT_SCALE, None);
        for child in children(info) {
            let (id, _, payload) = child?;
            match id {
                id::TIMESTAMP_SCALE => scale = unsigned(payload)?,
                id::DURATION => ticks = float(payload),
                _ => {}
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "no scale is so large that its last digits matter")]
        let milliseconds = ticks? * scale as f64 / 1e6;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within a century, as the line before it says"
        )]
        (0.0..=MAX_SAID).contains(&milliseconds).then(|| milliseconds.round() as u64)
    }

    /// Understands it; `None` without a track, and where something is no such head.
    pub(super) fn read(&self) -> Option<Media> {
        let mut media = Media { scale: self.scale()?, tracks: Vec::new(), more: false };
        for entry in self.entries()? {
            let (mut number, mut kind, mut lasts) = (None, Kind::Other, None);
            for child in children(entry) {
                let (id, _, payload) = child?;
                match (id, unsigned(payload)) {
                    (id::TRACK_NUMBER, value) => number = value,
                    (id::TRACK_TYPE, Some(1)) => kind = Kind::Pictures,
                    (id::TRACK_TYPE, Some(2)) => kind = Kind::Sound,
                    (id::DEFAULT_DURATION, value) => lasts = value.map(|lasts| lasts / media.scale),
                    _ => {}
                }
            }
            if media.tracks.len() < MAX_TRACKS {
                media.tracks.push(TrackFacts { number: number?, kind, lasts });
            } else {
                media.more = true;
            }
        }
        (!media.tracks.is_empty()).then_some(media)
    }

    fn scale(&self) -> Option<u64> {
        let (_, _, info) = children(&self.info).next()??;
        let mut scale = DEFAULT_SCALE;
        for child in children(info) {
            let (id, _, payload) = child?;
            if id == id::TIMESTAMP_SCALE {
                scale = unsigned(payload).filter(|&scale| scale > 0)?;
            }
        }
        Some(scale)
    }

    /// The payload of each track's entry.
    fn entries(&self) -> Option<Vec<&[u8]>> {
        let (_, _, tracks) = children(&self.tracks).next()??;
        let mut entries = Vec::new();
        for child in children(tracks) {
            let (id, _, payload) = child?;
            if id == id::TRACK_ENTRY {
                entries.push(payload);
            }
        }
        Some(entries)
    }

    /// Whether clusters behind the other head play behind this one: the same scale and the same tracks, but for the
    /// unique numbers that every recorder draws anew.
    pub(super) fn serves(&self, other: &Self) -> bool {
        fn what_matters(head: &Head) -> Option<(u64, Vec<Vec<&[u8]>>)> {
            let mut tracks = Vec::new();
            for entry in head.entries()? {
                let mut fields = Vec::new();
                for child in children(entry) {
                    let (id, whole, _) = child?;
                    if !matches!(id, id::TRACK_UID | id::CRC_32 | id::VOID) {
                        fields.push(whole);
                    }
                }
                tracks.push(fields);
            }
            Some((head.scale()?, tracks))
        }
        what_matters(self).is_some_and(|this| what_matters(other).is_some_and(|that| this == that))
    }

    /// The payload of `Info` without what a new head says itself: a duration, a checksum, room left free.
    pub(super) fn lasting_info(&self) -> Option<Vec<u8>> {
        let (_, _, payload) = children(&self.info).next()??;
        let mut lasting = Vec::with_capacity(payload.len());
        for child in children(payload) {
            let (id, whole, _) = child?;
            if !matches!(id, id::DURATION | id::CRC_32 | id::VOID) {
                lasting.extend_from_slice(whole);
            }
        }
        Some(lasting)
    }
}
