//! What of the plaintext of segments is released where it is read from its start: of each track the first bytes, as
//! many as the details say, and the last of these only once the SHA-256 of all of them fits (FORMAT.md, "Opening").

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use vault_proto::ids::Digest;
use vault_proto::recording::Refusal;

use crate::details::{Details, Track};
use crate::opening::OpenError;

/// Takes the plaintext of a recording part by part, each track's in its order, and says how much of it is released.
pub struct TrackRelease {
    /// `None` without a final seal: nothing says then where a track ends, and everything is released.
    lengths: Option<BTreeMap<u8, u64>>,
    expected: BTreeMap<u8, Digest>,
    hashes: BTreeMap<u8, Sha256>,
}

impl TrackRelease {
    /// Of a recording with these details, whose tracks were checked; `None` if it has no final seal.
    pub fn new(details: Option<&Details>) -> Self {
        let tracks = || details.iter().flat_map(|details| &details.tracks);
        let length = |track: &Track| (track.track, track.bytes);
        Self {
            lengths: details.map(|details| details.tracks.iter().map(length).collect()),
            expected: tracks().filter_map(|track| Some((track.track, track.sha256?))).collect(),
            hashes: BTreeMap::new(),
        }
    }

    /// Looks at the next bytes of a track. Gives how many of them, from the first on, are released; what follows on
    /// these is padding.
    ///
    /// # Errors
    /// [`Refusal::Damaged`] if the track ends in them and is not the one that was sealed; none of them is released
    /// then.
    pub fn next(&mut self, track: u8, plaintext: &[u8]) -> Result<usize, OpenError> {
        let released = match &mut self.lengths {
            None => plaintext.len(),
            Some(lengths) => {
                // The details name every track that has segments.
                let left = lengths.entry(track).or_default();
                let released = usize::try_from(*left).unwrap_or(usize::MAX).min(plaintext.len());
                *left -= released as u64;
                released
            }
        };
        let hash = self.hashes.entry(track).or_default();
        hash.update(plaintext.get(..released).unwrap_or_default());
        let ends = self.lengths.as_ref().and_then(|lengths| lengths.get(&track)) == Some(&0);
        if ends
            && let Some(expected) = self.expected.remove(&track)
            && expected != finished(hash)
        {
            return Err(Refusal::Damaged(format!("track {track} is not the one that was sealed")).into());
        }
        Ok(released)
    }

    /// SHA-256 of what was released of a track so far.
    pub fn sha256(&self, track: u8) -> Digest {
        self.hashes.get(&track).map_or_else(|| Digest::of(b""), finished)
    }
}

fn finished(hash: &Sha256) -> Digest {
    Digest::from_bytes(hash.clone().finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn details(tracks: &[(u8, &[u8])]) -> Details {
        let track = |&(track, bytes): &(u8, &[u8])| Track {
            track,
            media_type: "video/webm".to_owned(),
            bytes: bytes.len() as u64,
            duration_ms: None,
            sha256: Some(Digest::of(bytes)),
            seek: None,
        };
        Details {
            title: None,
            started: vault_proto::timestamp::Timestamp::EPOCH,
            ended: vault_proto::timestamp::Timestamp::EPOCH,
            tracks: tracks.iter().map(track).collect(),
        }
    }

    proptest! {
        #[test]
        fn a_track_and_nothing_of_its_padding(
            first in prop::collection::vec(any::<u8>(), 0..200),
            second in prop::collection::vec(any::<u8>(), 0..200),
            padding in 0usize..100,
            piece in 1usize..64,
            wrong in any::<bool>(),
        ) {
            let mut details = details(&[(0, &first), (7, &second)]);
            if wrong {
                details.tracks[1].sha256 = Some(Digest::of(b"something else"));
            }
            let mut release = TrackRelease::new(Some(&details));
            let padded = |bytes: &[u8]| [bytes, &vec![0; padding]].concat();
            let mut released = [Vec::new(), Vec::new()];
            let mut refused = false;
            for (at, (track, bytes)) in [(0, padded(&first)), (7, padded(&second))].iter().enumerate() {
                for piece in bytes.chunks(piece) {
                    match release.next(*track, piece) {
                        Ok(count) => released[at].extend_from_slice(&piece[..count]),
                        Err(_) => { refused = true; break; }
                    }
                }
            }
            prop_assert_eq!(&released[0], &first);
            prop_assert_eq!(release.sha256(0), Digest::of(&first));
            if wrong && !second.is_empty() {
                // All but the piece in which it ends.
                prop_assert!(refused && released[1].len() == (second.len() - 1) / piece * piece);
            } else {
                prop_assert_eq!(&released[1], &second);
            }
        }
    }

    #[test]
    fn without_an_end_everything_is_released() {
        let mut release = TrackRelease::new(None);
        assert_eq!(release.next(3, b"words\0\0").unwrap(), 7);
        assert_eq!(release.sha256(3), Digest::of(b"words\0\0"));
        let mut release = TrackRelease::new(Some(&details(&[])));
        assert_eq!(release.next(3, b"of no track").unwrap(), 0);
    }
}
