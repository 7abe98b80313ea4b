//! Seeking against slicing, and what is fetched for it.

use proptest::prelude::*;
use vault_proto::geometry::{BodyEnd, MAX_PART_PLAINTEXT, PartChunks};
use vault_proto::statements::Suite;

use super::*;
use crate::opening::Opening;
use crate::recording_fixture::{Stored, seal, seal_in};
use crate::track_release::TrackRelease;

struct Counted<'a> {
    stored: &'a Stored,
    fetched: Vec<(u32, u32)>,
    altered: Option<(u32, u32)>,
}

impl PartSource for Counted<'_> {
    fn part(&mut self, segment: u32, part: u32) -> io::Result<Vec<u8>> {
        self.fetched.push((segment, part));
        let mut bytes = self.stored.segments[segment as usize].parts[part as usize].clone();
        if self.altered == Some((segment, part)) {
            bytes[50] ^= 1;
        }
        Ok(bytes)
    }
}

fn track(stored: &Stored, altered: Option<(u32, u32)>) -> SeekableTrack<Counted<'_>> {
    let recording = stored.checked();
    let opening = Opening::new(&recording, &stored.begun.key);
    let proven = recording.segments();
    let segments = proven.iter().zip(&stored.segments).map(|(proven, segment)| {
        let ready = opening.segment(proven, &segment.header, &segment.hashes()).unwrap();
        ReadableSegment { index: proven.index, parts: ready.start(&segment.parts[0]).unwrap() }
    });
    let details = opening.details(&stored.details).unwrap();
    let source = Counted { stored, fetched: Vec::new(), altered };
    SeekableTrack::new(source, segments.collect(), Some(details.tracks[0].bytes))
}

fn stored() -> Stored {
    seal(
        Suite::X25519,
        &[
            (0, BodyEnd::Final),
            (2 * MAX_PART_PLAINTEXT, BodyEnd::Cut),
            (0, BodyEnd::Final),
            (70_001, BodyEnd::Final),
            (MAX_PART_PLAINTEXT + 1, BodyEnd::Final),
            (0, BodyEnd::Final),
        ],
    )
}

thread_local! {
    static STORED: Stored = stored();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn reading_anywhere_is_slicing(places in prop::collection::vec((0usize..3_300_000, 0usize..200_000), 1..4)) {
        STORED.with(|stored| {
            let whole: Vec<u8> = stored.segments.iter().flat_map(|segment| segment.plaintext.clone()).collect();
            let mut track = track(stored, None);
            assert_eq!(track.length(), whole.len() as u64);
            for (at, length) in places {
                let before = track.source.fetched.len();
                let mut out = vec![0; length];
                track.seek(SeekFrom::Start(at as u64)).unwrap();
                let mut read = 0;
                loop {
                    match track.read(&mut out[read..]).unwrap() {
                        0 => break,
                        more => read += more,
                    }
                }
                let expected = whole.get(at..whole.len().min(at + length)).unwrap_or_default();
                assert!(out[..read] == *expected, "{length} bytes from {at}");
                // The parts that the range touches: at most one more than fit, and one more for each boundary of
                // segments.
                let needed = if expected.is_empty() { 0 } else { length / MAX_PART_PLAINTEXT + 2 + 2 };
                assert!(track.source.fetched.len() - before <= needed, "{:?}", track.source.fetched);
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn of_a_padded_track_nothing_is_read_but_its_bytes(
        part_chunks in prop::sample::select(PartChunks::ALL.to_vec()),
        lengths in prop::collection::vec(0usize..300_000, 1..4),
        padding in 0usize..250_000,
        places in prop::collection::vec((0usize..1_200_000, 1usize..200_000), 1..5),
    ) {
        let takes: Vec<_> = lengths.iter().map(|length| (*length, BodyEnd::Final)).collect();
        let held: usize = lengths.iter().sum();
        let bytes = held.saturating_sub(padding);
        let stored = seal_in(Suite::X25519, part_chunks, &takes, Some(bytes));
        let (whole, mut track) = (stored.plaintext(), track(&stored, None));
        prop_assert_eq!(track.length(), bytes as u64);
        for (at, length) in places {
            track.seek(SeekFrom::Start(at as u64)).unwrap();
            let mut out = Vec::new();
            (&mut track).take(length as u64).read_to_end(&mut out).unwrap();
            prop_assert!(out == whole[at.min(bytes)..bytes.min(at + length)], "{length} bytes from {at}");
        }
        // From its start, part by part.
        let recording = stored.checked();
        let opening = Opening::new(&recording, &stored.begun.key);
        let details = opening.details(&stored.details).unwrap();
        let (mut release, mut released) = (TrackRelease::new(Some(&details)), Vec::new());
        for segment in &stored.segments {
            for piece in segment.plaintext.chunks(part_chunks.plaintext()) {
                released.extend_from_slice(&piece[..release.next(0, piece).unwrap()]);
            }
        }
        prop_assert!(released == whole[..bytes]);
    }
}

#[test]
fn only_the_parts_that_hold_the_bytes_are_fetched_and_each_once() {
    STORED.with(|stored| {
        let mut track = track(stored, None);
        let mut out = [0; 10];
        for at in [MAX_PART_PLAINTEXT + 5, MAX_PART_PLAINTEXT + 100, MAX_PART_PLAINTEXT + 900_000] {
            track.seek(SeekFrom::Start(at as u64)).unwrap();
            track.read_exact(&mut out).unwrap();
        }
        assert_eq!(track.source.fetched, [(1, 1)]);
        // Ten bytes across the end of a segment; the empty segment between is not fetched.
        track.seek(SeekFrom::Start(2 * MAX_PART_PLAINTEXT as u64 - 5)).unwrap();
        track.read_exact(&mut out).unwrap();
        assert_eq!(track.source.fetched, [(1, 1), (3, 0)]);
        track.seek(SeekFrom::End(0)).unwrap();
        assert_eq!(track.read(&mut out).unwrap(), 0);
        track.seek(SeekFrom::Start(u64::MAX)).unwrap();
        assert_eq!(track.read(&mut out).unwrap(), 0);
        // Reading into no room fetches nothing, wherever the reader stands.
        track.seek(SeekFrom::Start(0)).unwrap();
        assert_eq!(track.read(&mut []).unwrap(), 0);
        track.seek(SeekFrom::Start(u64::MAX)).unwrap();
        assert!(track.seek(SeekFrom::Current(1)).is_err());
        assert!(track.seek(SeekFrom::End(i64::MIN)).is_err());
        assert_eq!(track.source.fetched.len(), 2);
    });
}

#[test]
fn an_altered_part_releases_nothing_and_harms_no_other() {
    STORED.with(|stored| {
        let mut track = track(stored, Some((1, 1)));
        let mut out = vec![0; 2 * MAX_PART_PLAINTEXT];
        assert_eq!(track.read(&mut out).unwrap(), MAX_PART_PLAINTEXT);
        for _ in 0..2 {
            let error = track.read(&mut out).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.get_ref().is_some_and(|source| source.is::<OpenError>()));
        }
        track.seek(SeekFrom::Start(2 * MAX_PART_PLAINTEXT as u64)).unwrap();
        assert_eq!(track.read(&mut out).unwrap(), 70_001);
    });
}
