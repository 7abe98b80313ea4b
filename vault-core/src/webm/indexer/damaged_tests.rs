//! Recordings as they are when something went wrong: files of `tests/media/`, and what is made of them.

use proptest::prelude::*;

use super::super::SeekableLayout;
use super::super::ebml::{children, id, unsigned};
use super::*;

/// Ten seconds of sound by Firefox, whose blocks have no key flag.
const FIREFOX: &[u8] = include_bytes!("../../../../tests/media/firefox-audio-no-key-flags.webm");
/// Twelve seconds of sound by Chromium, of which one slice never arrived.
const ONE_SLICE_LOST: &[u8] = include_bytes!("../../../../tests/media/chromium-audio-one-slice-lost.webm");
/// The output of two recorders, six seconds each, end to end.
const JOINED: &[u8] = include_bytes!("../../../../tests/media/two-recorders-joined.webm");

fn indexed(bytes: &[u8]) -> Indexed {
    let mut indexer = SeekIndexer::new();
    bytes.chunks(4096).for_each(|piece| indexer.push(piece));
    indexer.finish()
}

fn index(bytes: &[u8]) -> SeekIndex {
    indexed(bytes).index.unwrap()
}

fn times(cues: &[(u64, u64)]) -> Vec<u64> {
    cues.iter().map(|cue| cue.0).collect()
}

/// Every cue leads to a cluster of `bytes`.
fn check_cues(index: &SeekIndex, bytes: &[u8]) {
    for (_, offset) in index.cues.iter().chain(&index.sound_cues) {
        let cluster = &bytes[usize::try_from(index.body_from + offset).unwrap()..];
        assert!(cluster.starts_with(&id::CLUSTER.to_be_bytes()), "{offset}");
    }
}

/// The times and tracks of the cues in a layout's head, and its duration.
fn told(layout: &SeekableLayout) -> (Vec<(u64, u64)>, f64) {
    let ebml = children(&layout.head).next().unwrap().unwrap().1.len();
    let (mut cues, mut duration) = (Vec::new(), f64::NAN);
    for child in children(&layout.head[ebml + 12..]) {
        let (element, _, payload) = child.unwrap();
        let fields = || children(payload).map(|field| field.unwrap());
        if element == id::INFO {
            let said = fields().find(|field| field.0 == id::DURATION).unwrap().2;
            duration = f64::from_be_bytes(said.try_into().unwrap());
        }
        if element == id::CUES {
            cues.extend(fields().map(|(_, _, point)| {
                let [time, positions] = [0, 1].map(|at| children(point).nth(at).unwrap().unwrap().2);
                let track = children(positions).next().unwrap().unwrap().2;
                (unsigned(time).unwrap(), unsigned(track).unwrap())
            }));
        }
    }
    (cues, duration)
}

#[test]
fn sound_without_key_flags_can_be_begun_with_at_every_cluster() {
    let found = index(FIREFOX);
    assert_eq!((found.duration_ms(), found.cue_track), (9_720, 2));
    assert_eq!(times(&found.cues), (0..10).map(|second| 1000 * second + 6).collect::<Vec<_>>());
    check_cues(&found, FIREFOX);
    let bytes = FIREFOX.len() as u64;
    let later = found.layout_from(bytes, 8_500).unwrap();
    assert_eq!(later.body_from, found.body_from + 15_906);
    assert_eq!(told(&later), (vec![(8_006, 2), (9_006, 2)], 9_726.0));
    // The moments of a file that begins at 6 ms are counted from there.
    assert_eq!(found.layout_from(bytes, 8_000).unwrap(), later);
    assert!(found.layout_from(bytes, 7_999).unwrap().body_from < later.body_from);
}

#[test]
fn a_lost_slice_costs_the_cluster_that_it_hit_and_no_other() {
    let found = index(ONE_SLICE_LOST);
    assert!((11_940..=11_970).contains(&found.duration_ms()), "{} ms", found.duration_ms());
    assert_eq!(found.cues.len(), 38);
    assert_eq!(times(&found.cues)[..4], [0, 308, 1_159, 1_460]);
    assert_eq!(found.cues.last(), Some(&(11_668, 26_156)));
    check_cues(&found, ONE_SLICE_LOST);
    let later = found.layout_from(ONE_SLICE_LOST.len() as u64, 8_000).unwrap();
    assert_eq!(later.body_from, found.body_from + 17_780);
}

#[test]
fn what_two_recorders_wrote_plays_one_after_the_other_and_it_is_known_where() {
    let found = index(JOINED);
    check_cues(&found, JOINED);
    let bytes = JOINED.len() as u64;
    let [first, second] = found.runs[..] else { panic!("two runs: {:?}", found.runs) };
    assert_eq!((first.offset, first.from, second.offset, second.from), (0, 0, 45_433, 0));
    for run in [first, second] {
        assert!((5_990..=6_070).contains(&run.until), "{run:?}");
    }
    assert_eq!(found.duration_ms(), first.until + second.until);
    assert_eq!((found.breaks_ms(), found.has_other()), (vec![first.until], false));
    assert_eq!(found.cues, [(0, 0), (0, 45_433)]);
    assert_eq!((found.sound_track, found.sound_cues.len()), (Some(2), 12));
    // A player gets the first one's moments; nothing of the bytes is missing.
    let whole = found.layout(bytes).unwrap();
    assert_eq!(whole.body_from, found.body_from);
    let (cues, duration) = told(&whole);
    assert_eq!((cues.len(), duration.to_bits()), (7, (first.until as f64).to_bits()));
    // From where the second one begins, its own.
    for moment in [first.until, u64::MAX] {
        let later = found.layout_from(bytes, moment).unwrap();
        assert_eq!(later.body_from, found.body_from + 45_433);
        let (cues, duration) = told(&later);
        assert_eq!((cues.len(), duration.to_bits()), (7, (second.until as f64).to_bits()));
    }
    assert_eq!(found.layout_from(bytes, first.until - 1).unwrap().body_from, found.body_from);
}

#[test]
fn another_recording_with_other_tracks_is_told_of_and_not_mixed_in() {
    let mut file = JOINED.to_vec();
    let behind = file.len();
    file.extend_from_slice(FIREFOX);
    let found = index(&file);
    assert!(found.has_other());
    let body_from = usize::try_from(found.body_from).unwrap();
    assert_eq!(found.other_from, Some((behind - body_from) as u64));
    let before = index(JOINED);
    assert_eq!(
        (&found.runs, &found.cues, &found.sound_cues),
        (&before.runs, &before.cues, &before.sound_cues)
    );
    // Its first bytes may be missing, too.
    let mut file = FIREFOX.to_vec();
    file.extend_from_slice(&JOINED[36..]);
    let found = index(&file);
    assert_eq!((found.has_other(), found.duration_ms()), (true, 9_720));
}

#[test]
fn zeros_at_the_end_take_nothing_of_what_precedes() {
    for file in [FIREFOX, ONE_SLICE_LOST, JOINED] {
        let whole = index(file);
        for zeros in [1, 7, 4096, 300_000] {
            let longer = [file, &vec![0; zeros]].concat();
            let found = index(&longer);
            assert_eq!((&found.runs, &found.cues), (&whole.runs, &whole.cues), "{zeros} zeros");
            assert!(found.open_ended && found.layout(longer.len() as u64).is_some());
        }
    }
}

/// Where the clusters of `FIREFOX` begin, and its end.
fn clusters() -> Vec<usize> {
    let found = index(FIREFOX);
    let starts = found.cues.iter().map(|cue| usize::try_from(found.body_from + cue.1).unwrap());
    starts.chain([FIREFOX.len()]).collect()
}

/// Longest that a block told wrongly can lengthen a cluster, in milliseconds, and its own length.
const WRONG_BLOCK: u64 = 32_767 + 1_000;

/// Cues whose clusters lie before `from`, and from `until` on, shifted by as much as is missing.
fn check_around(
    found: &SeekIndex,
    (from, until): (usize, usize),
    missing: usize,
) -> Result<(), TestCaseError> {
    let whole = index(FIREFOX);
    prop_assert!(found.duration_ms() <= whole.duration_ms() + WRONG_BLOCK, "{} ms", found.duration_ms());
    prop_assert_eq!(found.body_from, whole.body_from);
    for &(time, offset) in &whole.cues {
        let start = usize::try_from(whole.body_from + offset).unwrap();
        // Its own and its first block's head.
        if start + 40 <= from {
            prop_assert!(found.cues.contains(&(time, offset)), "{} is missing before {}", start, from);
        }
        if start >= until {
            let moved = (time, offset - missing as u64);
            // What a damaged block says may be later than all that follows for a while.
            let is_found =
                found.cues.contains(&moved) || found.cues.iter().any(|cue| cue.1 < moved.1 && cue.0 > time);
            prop_assert!(is_found, "{} is missing behind {}", start, until);
        }
    }
    Ok(())
}

/// A range of the media in `FIREFOX`.
fn range() -> impl Strategy<Value = (usize, usize)> {
    let media = clusters()[0]..=FIREFOX.len();
    (media.clone(), media).prop_map(|(one, other)| (one.min(other), one.max(other)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_hole_anywhere_costs_what_it_hit((from, until) in range()) {
        let file = [&FIREFOX[..from], &FIREFOX[until..]].concat();
        if let Some(found) = indexed(&file).index {
            check_around(&found, (from, until), until - from)?;
            check_cues(&found, &file);
        } else {
            prop_assert!(from < clusters()[0] + 40 && until > clusters()[9]);
        }
    }

    #[test]
    fn garbage_anywhere_costs_what_it_hit(
        (from, until) in range(),
        garbage in prop::collection::vec(any::<u8>(), 3_000),
    ) {
        let mut file = FIREFOX.to_vec();
        for (byte, other) in file[from..until].iter_mut().zip(garbage.iter().cycle()) {
            *byte = *other;
        }
        if let Some(found) = indexed(&file).index {
            check_around(&found, (from, until), 0)?;
        } else {
            prop_assert!(from < clusters()[0] + 40 && until > clusters()[9]);
        }
    }

    #[test]
    fn garbage_at_the_end_takes_nothing_of_what_precedes(garbage in prop::collection::vec(any::<u8>(), 0..3_000)) {
        let found = index(&[FIREFOX, &garbage].concat());
        check_around(&found, (FIREFOX.len(), FIREFOX.len()), 0)?;
    }

    #[test]
    fn what_was_cut_off_anywhere_has_the_index_of_what_is_there(length in clusters()[0]..FIREFOX.len()) {
        let whole = index(FIREFOX);
        if let Some(found) = indexed(&FIREFOX[..length]).index {
            prop_assert!(found.duration_ms() <= whole.duration_ms() && whole.cues.starts_with(&found.cues));
            check_around(&found, (length, FIREFOX.len()), 0)?;
        } else {
            prop_assert!(length < clusters()[0] + 40);
        }
    }
}
