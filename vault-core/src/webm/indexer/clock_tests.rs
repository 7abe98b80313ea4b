//! Clocks that do not go on as they should, and what they tell of how long a recording is.

use proptest::prelude::*;

use super::super::ebml::{id, write};
use super::super::seek_index::MAX_RUNS;
use super::built_tests::{
    beginning, cluster, element, index, index_of, indexed, recording, simple_block, track,
};
use super::*;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Two blocks of pictures in a cluster of two seconds.
fn two_seconds(time: u64) -> Vec<u8> {
    cluster(time, &[simple_block(2, 0, true), simple_block(2, 1000, false)])
}

fn runs(index: &SeekIndex) -> Vec<(u64, u64)> {
    index.runs.iter().map(|run| (run.from, run.until)).collect()
}

#[test]
fn a_first_timestamp_of_an_hour_is_no_hour_of_recording() {
    let found = index_of(&[two_seconds(HOUR), two_seconds(HOUR + 2000), two_seconds(HOUR + 4000)]);
    assert_eq!((found.duration_ms(), runs(&found)), (6_000, vec![(HOUR, HOUR + 6000)]));
    let bytes = 10_000;
    assert_eq!(found.layout_from(bytes, 4_500).unwrap().body_from, found.body_from + found.cues[2].1);
    assert_eq!(found.layout_from(bytes, 1_000).unwrap().body_from, found.body_from);
}

#[test]
fn a_clock_that_is_set_by_days_adds_none() {
    for jump in [2 * HOUR, 115 * DAY, u64::MAX / 2] {
        let clusters: Vec<_> =
            [0, 2000, 4000, jump, jump + 2000, jump + 4000].into_iter().map(two_seconds).collect();
        let found = index_of(&clusters);
        assert_eq!((found.duration_ms(), found.breaks_ms()), (12_000, vec![6_000]), "{jump}");
        assert_eq!(runs(&found), [(0, 6000), (jump, jump + 6000)]);
        assert_eq!(found.cues.len(), 6);
        // What comes behind the jump opens by the moment at which it was recorded.
        assert_eq!(found.layout_from(10_000, 8_500).unwrap().body_from, found.body_from + found.cues[4].1);
    }
}

#[test]
fn a_clock_that_is_right_again_goes_on_where_it_was() {
    let of = |times: &[u64]| index_of(&times.iter().map(|&time| two_seconds(time)).collect::<Vec<_>>());
    // One cluster tells nonsense, and a whole minute of them does.
    let found = of(&[0, 2000, 115 * DAY, 6000, 8000]);
    assert_eq!((found.duration_ms(), runs(&found)), (10_000, vec![(0, 10_000)]));
    assert_eq!(found.cues.iter().map(|cue| cue.0).collect::<Vec<_>>(), [0, 2000, 6000, 8000]);
    let found = of(&[0, 2000, 115 * DAY, 115 * DAY + 2000, 8000, 10_000]);
    assert_eq!((found.duration_ms(), runs(&found)), (12_000, vec![(0, 12_000)]));
    // Also the first one, and the last one.
    let found = of(&[115 * DAY, 2000, 4000]);
    assert_eq!((found.duration_ms(), runs(&found)), (4_000, vec![(2000, 6000)]));
    let found = of(&[0, 2000, 115 * DAY]);
    assert_eq!((found.duration_ms(), runs(&found)), (4_000, vec![(0, 4000)]));
}

#[test]
fn a_clock_that_goes_back_takes_nothing_away_and_adds_nothing_twice() {
    let of = |times: &[u64]| index_of(&times.iter().map(|&time| two_seconds(time)).collect::<Vec<_>>());
    // By less than a minute: as tracks that come in no exact order.
    let found = of(&[0, 30_000, 10_000, 20_000, 40_000]);
    assert_eq!((found.duration_ms(), found.breaks_ms()), (42_000, vec![]));
    // Further: it begins anew.
    let found = of(&[0, HOUR / 2, HOUR, 0, 2000]);
    assert_eq!((found.duration_ms(), found.breaks_ms()), (HOUR + 2000 + 4000, vec![HOUR + 2000]));
}

#[test]
fn clusters_longer_than_their_blocks_can_tell_are_followed() {
    // 90 seconds in one cluster: times of 16 bits wrap around, of both tracks at slightly other blocks.
    let blocks: Vec<_> = (0..900u64)
        .flat_map(|n| {
            let time = |ticks: u64| i16::from_be_bytes([(ticks >> 8) as u8, ticks as u8]);
            [simple_block(1, time(n * 100 + 40), true), simple_block(2, time(n * 100), n == 0)]
        })
        .collect();
    let found = index_of(&[cluster(0, &blocks), two_seconds(90_000)]);
    assert_eq!((found.duration_ms(), runs(&found)), (92_000, vec![(0, 92_000)]));
    assert_eq!(found.cues.iter().map(|cue| cue.0).collect::<Vec<_>>(), [0, 90_000]);
}

#[test]
fn pictures_that_are_never_on_leave_the_sound_to_begin_with() {
    let sound = |time: u64| cluster(time, &[simple_block(1, 0, false), simple_block(1, 20, false)]);
    let found = index_of(&[sound(0), sound(1000), sound(2000)]);
    assert_eq!((found.cue_track, found.cues.len(), found.sound_track), (1, 3, None));
    assert_eq!(found.layout_from(10_000, 1_500).unwrap().body_from, found.body_from + found.cues[1].1);
    // With pictures, places of both are known; playing begins where both can.
    let both = cluster(0, &[simple_block(2, 0, true), simple_block(1, 10, false)]);
    let found = index_of(&[both, sound(1000), two_seconds(2000)]);
    assert_eq!((found.cue_track, found.cues.len()), (2, 2));
    assert_eq!(
        (found.sound_track, found.sound_cues.iter().map(|cue| cue.0).collect::<Vec<_>>()),
        (Some(1), vec![10, 1000])
    );
    assert_eq!(found.layout_from(10_000, 1_500).unwrap().body_from, found.body_from);
    // Subtitles are not taken for sound.
    let tracks = element(id::TRACKS, &[track(3, 17, &[]), track(1, 2, &[])].concat());
    let file = recording(&[element(id::INFO, &[]), tracks, sound(0)]);
    assert_eq!(index(&file).unwrap().cue_track, 1);
}

#[test]
fn the_blocks_tell_better_than_the_recording_itself() {
    let mut info = Vec::new();
    write(&mut info, id::DURATION, &(115.0 * DAY as f64).to_be_bytes());
    let cues = element(id::CUES, &[0xec, 0x80]);
    let file = recording(&[beginning(&info), two_seconds(0), two_seconds(2000), cues]);
    assert_eq!(indexed(&file), Indexed { duration_ms: Some(4_000), index: None });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_clock_does_no_more_is_told_than_was_recorded(
        steps in prop::collection::vec(
            prop_oneof![
                8 => Just(0i64),
                1 => any::<i64>(),
                1 => -200_000i64..200_000,
                2 => prop_oneof![Just(-1i64 << 40), Just(1 << 40)],
            ],
            1..300,
        ),
    ) {
        let mut time = 0u64;
        let mut most = 0;
        let mut clusters = Vec::new();
        for step in &steps {
            time = time.saturating_add_signed(*step).min(u64::MAX / 4);
            clusters.push(two_seconds(time));
            time += 2000;
            // What may be a gap, and this cluster.
            most += HOUR + 2000;
        }
        let file = recording(&[beginning(&[]), clusters.concat()]);
        let found = index(&file).unwrap();
        prop_assert!((2_000..=most).contains(&found.duration_ms()), "{} ms", found.duration_ms());
        prop_assert!(found.runs.len() <= MAX_RUNS);
        if steps.iter().all(|&step| step == 0) {
            prop_assert_eq!(found.duration_ms(), 2000 * steps.len() as u64);
        }
        let bytes = file.len() as u64;
        prop_assert!(found.layout(bytes).is_some());
        let mut before = 0;
        for moment in found.breaks_ms() {
            let begun = found.layout_from(bytes, moment).unwrap().body_from;
            prop_assert!(begun >= before);
            before = begun;
        }
    }
}
