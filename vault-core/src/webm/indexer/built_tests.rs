//! Recordings built by hand: what no browser at hand writes, but another may.

use proptest::prelude::*;

use super::super::SeekableLayout;
use super::super::ebml::{Read, children, id, read_id, read_number, unsigned, write};
use super::super::seek_index::{MAX_CUES, MAX_HEAD};
use super::*;

/// An element whose size is told in 8 bytes.
pub(super) fn element(id: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, id, payload);
    out
}

/// An element that does not say how long it is.
pub(super) fn open_ended(id: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.push(0xff);
    out.extend_from_slice(payload);
    out
}

pub(super) fn unsigned_element(id: u32, value: u64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

pub(super) fn simple_block(track: u8, time: i16, key: bool) -> Vec<u8> {
    let [high, low] = time.to_be_bytes();
    element(id::SIMPLE_BLOCK, &[0x80 | track, high, low, if key { 0x80 } else { 0 }, 7])
}

pub(super) fn block_group(track: u8, time: i16, more: &[u8]) -> Vec<u8> {
    let [high, low] = time.to_be_bytes();
    let block = element(id::BLOCK, &[0x80 | track, high, low, 0, 7]);
    element(id::BLOCK_GROUP, &[&block[..], more].concat())
}

pub(super) fn cluster(time: u64, blocks: &[Vec<u8>]) -> Vec<u8> {
    element(id::CLUSTER, &[unsigned_element(id::TIMESTAMP, time), blocks.concat()].concat())
}

pub(super) fn track(number: u64, kind: u64, more: &[u8]) -> Vec<u8> {
    let number = unsigned_element(id::TRACK_NUMBER, number);
    element(id::TRACK_ENTRY, &[&number[..], &unsigned_element(id::TRACK_TYPE, kind), more].concat())
}

/// The beginning of a recording: track 1 has sound, track 2 pictures.
pub(super) fn beginning(info: &[u8]) -> Vec<u8> {
    let tracks = [track(1, 2, &[]), track(2, 1, &[])].concat();
    [element(id::INFO, info), element(id::TRACKS, &tracks)].concat()
}

pub(super) fn recording(elements: &[Vec<u8>]) -> Vec<u8> {
    [element(id::EBML, &unsigned_element(0x4286, 1)), open_ended(id::SEGMENT, &elements.concat())].concat()
}

pub(super) fn indexed(bytes: &[u8]) -> Indexed {
    let mut indexer = SeekIndexer::new();
    indexer.push(bytes);
    indexer.finish()
}

pub(super) fn index(bytes: &[u8]) -> Option<SeekIndex> {
    indexed(bytes).index
}

/// The index of a recording of these clusters.
pub(super) fn index_of(clusters: &[Vec<u8>]) -> SeekIndex {
    index(&recording(&[beginning(&[]), clusters.concat()])).unwrap()
}

/// An element of a head: id, offset in the segment, payload.
type HeadElement = (u32, u64, Vec<u8>);

/// Size that a layout's segment tells, and its elements up to the clusters.
fn told(layout: &SeekableLayout) -> (Option<u64>, Vec<HeadElement>) {
    let ebml = children(&layout.head).next().unwrap().unwrap().1.len();
    let segment = &layout.head[ebml..];
    assert_eq!(read_id(segment), Read::Value(id::SEGMENT, 4));
    let Read::Value(size, 8) = read_number(&segment[4..]) else { panic!("a size in 8 bytes") };
    let mut elements = Vec::new();
    let mut offset = 0;
    for child in children(&segment[12..]) {
        let (id, whole, payload) = child.unwrap();
        elements.push((id, offset, payload.to_vec()));
        offset += whole.len() as u64;
    }
    (size, elements)
}

#[test]
fn a_gap_is_not_taken_for_the_length_of_a_picture() {
    // A camera that was switched off for a minute, and on again for the last tenth of a second.
    let pictures =
        |from: u64| (0..3).map(move |n| simple_block(2, n * 33, from == 0 && n == 0)).collect::<Vec<_>>();
    let clusters = [cluster(0, &pictures(0)), cluster(60_000, &pictures(60_000))];
    assert_eq!(index_of(&clusters).duration_ms(), 60_000 + 66 + 33);
    // The last picture comes after the gap: how long it is shown is unknown, but hardly another minute.
    let clusters = [cluster(0, &pictures(0)), cluster(60_000, &[simple_block(2, 0, true)])];
    let duration = index_of(&clusters).duration_ms();
    assert!((60_000..=61_000).contains(&duration), "{duration} ms");
}

#[test]
fn the_last_block_lasts_as_long_as_is_said_of_it_or_of_its_track() {
    let lasting = |more: &[u8]| cluster(1000, &[block_group(2, 0, &[]), block_group(2, 40, more)]);
    assert_eq!(index_of(&[lasting(&[])]).duration_ms(), 80);
    assert_eq!(index_of(&[lasting(&unsigned_element(id::BLOCK_DURATION, 500))]).duration_ms(), 540);
    // An hour is the longest that is believed.
    assert_eq!(index_of(&[lasting(&unsigned_element(id::BLOCK_DURATION, 3_600_001))]).duration_ms(), 80);
    let tracks = element(id::TRACKS, &track(2, 1, &unsigned_element(id::DEFAULT_DURATION, 20_000_000)));
    let file = recording(&[element(id::INFO, &[]), tracks, lasting(&[])]);
    assert_eq!(index(&file).unwrap().duration_ms(), 60);
    // The longest track counts, whichever it is.
    let sound = simple_block(1, 5000, true);
    assert_eq!(index_of(&[cluster(0, &[simple_block(2, 0, true), sound])]).duration_ms(), 5000);
}

#[test]
fn places_are_key_frames_of_the_pictures_in_clusters() {
    let refers = element(id::REFERENCE_BLOCK, &[0xff]);
    let clusters = [
        cluster(0, &[simple_block(1, 0, true), simple_block(2, 10, true)]),
        cluster(1000, &[simple_block(1, 0, true), simple_block(2, 10, false)]),
        cluster(2000, &[block_group(2, 5, &[]), block_group(2, 30, &[])]),
        cluster(3000, &[block_group(2, 5, &refers)]),
        // A clock that was set back.
        cluster(500, &[simple_block(2, 0, true)]),
        cluster(4000, &[simple_block(2, 0, false), simple_block(2, -7, true)]),
    ];
    let found = index_of(&clusters);
    let offset = |at: usize| clusters[..at].concat().len() as u64;
    assert_eq!((found.cue_track, &found.cues[..]), (2, &[(10, 0), (2005, offset(2)), (3993, offset(5))][..]));
    // The same, whether clusters tell their sizes or not, and whatever stands between them.
    let open: Vec<u8> = clusters.iter().flat_map(|cluster| open_ended(id::CLUSTER, &cluster[12..])).collect();
    let shorter = index(&recording(&[beginning(&[]), open])).unwrap();
    assert_eq!(shorter.cues.iter().map(|cue| cue.0).collect::<Vec<_>>(), [10, 2005, 3993]);
    assert_eq!(shorter.cues[1].1, offset(2) - 2 * 7);
    // Only sound: each of its blocks can be begun with.
    let tracks = element(id::TRACKS, &track(1, 2, &[]));
    let sound =
        [cluster(0, &[simple_block(1, 0, true)]), cluster(1000, &[simple_block(1, 0, true)])].concat();
    let found = index(&recording(&[element(id::INFO, &[]), tracks, sound])).unwrap();
    assert_eq!((found.cue_track, found.cues.len()), (1, 2));
}

#[test]
fn a_new_head_names_only_what_is_there() {
    for key in [true, false] {
        let file = recording(&[beginning(&[]), cluster(0, &[simple_block(2, 0, key)])]);
        let layout = index(&file).unwrap().layout(file.len() as u64).unwrap();
        let (_, elements) = told(&layout);
        assert_eq!(elements.iter().any(|element| element.0 == id::CUES), key);
        let seeks: Vec<_> = children(&elements[0].2).map(|seek| seek.unwrap().2).collect();
        assert_eq!(seeks.len(), if key { 3 } else { 2 });
        for seek in seeks {
            let fields: Vec<_> = children(seek).map(|field| unsigned(field.unwrap().2).unwrap()).collect();
            assert!(elements.iter().any(|(id, at, _)| [u64::from(*id), *at] == fields[..]), "{fields:x?}");
        }
    }
}

#[test]
fn a_segment_tells_its_size_only_if_its_clusters_end_within() {
    let clusters =
        [cluster(0, &[simple_block(2, 0, true)]), cluster(1000, &[simple_block(2, 0, true)])].concat();
    let file = recording(&[beginning(&[]), clusters]);
    for cut in [0, 1, 4, 16] {
        let bytes = &file[..file.len() - cut];
        let layout = index(bytes).unwrap().layout(bytes.len() as u64).unwrap();
        let ebml = children(&layout.head).next().unwrap().unwrap().1.len() as u64;
        let body = bytes.len() as u64 - layout.body_from;
        let whole = layout.head.len() as u64 - ebml - 12 + body;
        assert_eq!(told(&layout).0, (cut == 0).then_some(whole), "{cut} bytes cut off");
    }
}

#[test]
fn the_information_is_rewritten_with_its_duration() {
    let scale = unsigned_element(id::TIMESTAMP_SCALE, 2_000_000);
    let old = element(id::DURATION, &1f32.to_be_bytes());
    let sum = element(id::CRC_32, &[1, 2, 3, 4]);
    let info = [sum, scale.clone(), old].concat();
    let clusters = cluster(0, &[simple_block(2, 0, true), simple_block(2, 50, false)]);
    let found = index(&recording(&[beginning(&info), clusters])).unwrap();
    assert_eq!(found.duration_ms(), 200);
    assert_eq!(found.info, scale);
    let told = told(&found.layout(u64::from(u16::MAX)).unwrap()).1;
    let expected = [scale, element(id::DURATION, &100f64.to_be_bytes())].concat();
    assert_eq!(told.iter().find(|element| element.0 == id::INFO).unwrap().2, expected);
}

#[test]
fn what_can_be_sought_in_or_cannot_be_followed_has_no_index() {
    let cues = element(id::CUES, &element(id::CUE_POINT, &unsigned_element(id::CUE_TIME, 0)));
    let pictures = cluster(0, &[simple_block(2, 0, true)]);
    let block_before_time = element(id::CLUSTER, &simple_block(2, 0, true));
    let too_long = element(id::CLUSTER, &[0xa3, 0x88, 0x81]);
    let endless_group = element(id::CLUSTER, &open_ended(id::BLOCK_GROUP, &[]));
    let many = element(id::TRACKS, &track(1, 2, &[]).repeat(4000));
    for (what, elements) in [
        ("cues before", vec![beginning(&[]), cues.clone(), pictures.clone()]),
        ("cues behind", vec![beginning(&[]), pictures.clone(), cues]),
        ("a time missing", vec![beginning(&[]), block_before_time]),
        ("a block longer than its cluster", vec![beginning(&[]), too_long]),
        ("a group without end", vec![beginning(&[]), endless_group]),
        ("no tracks", vec![element(id::INFO, &[]), pictures.clone()]),
        ("thousands of tracks", vec![element(id::INFO, &[]), many, pictures.clone()]),
        ("a scale of nothing", vec![beginning(&unsigned_element(id::TIMESTAMP_SCALE, 0)), pictures.clone()]),
        ("no clusters", vec![beginning(&[])]),
    ] {
        assert_eq!(index(&recording(&elements)), None, "{what}");
    }
    // What is too large for a new head stays where it is, as other things behind the clusters do.
    let tags = element(id::TAGS, &vec![0; MAX_HEAD]);
    let file = recording(&[beginning(&[]), tags.clone(), pictures.clone()]);
    let found = index(&file).unwrap();
    assert!(file[usize::try_from(found.body_from).unwrap()..].starts_with(&tags));
    assert_eq!(found.cues, [(0, tags.len() as u64)]);
    let tags = element(id::TAGS, &vec![0; 2 * MAX_HEAD]);
    let file = recording(&[beginning(&[]), pictures.clone(), tags, pictures]);
    assert_eq!(index(&file).unwrap().cues.len(), 2);
}

#[test]
fn thinned_places_stay_evenly_apart() {
    let clusters: Vec<_> =
        (0..20_000).map(|time| cluster(time * 1000, &[simple_block(2, 0, true)])).collect();
    let cues = index_of(&clusters).cues;
    assert!((MAX_CUES / 2..=MAX_CUES).contains(&cues.len()), "{}", cues.len());
    assert!(cues.windows(2).all(|pair| pair[1].0 - pair[0].0 == 8000), "one of eight is kept");
}

#[test]
fn an_index_is_small_however_large_its_numbers() {
    let tags = element(id::TAGS, &vec![0xec; MAX_HEAD - 400]);
    let info = unsigned_element(id::TIMESTAMP_SCALE, 1);
    let time = |n: u64| u64::MAX - 1_000_000_000 * (MAX_CUES as u64 - n);
    let clusters: Vec<_> =
        (0..MAX_CUES as u64).map(|n| cluster(time(n), &[simple_block(2, 0, true)])).collect();
    let file = recording(&[beginning(&info), tags, clusters.concat()]);
    let found = index(&file).unwrap();
    let json = serde_json::to_vec(&found).unwrap();
    assert!(json.len() < 200 * 1024, "{} bytes", json.len());
    assert!(found.cues.len() > 1000, "{}", found.cues.len());
    assert_eq!(serde_json::from_slice::<SeekIndex>(&json).unwrap(), found);
    assert!(found.layout(file.len() as u64).is_some());
}

/// A recording of every element that is understood.
fn of_everything() -> Vec<u8> {
    let refers = element(id::REFERENCE_BLOCK, &[0xff]);
    let lasts = unsigned_element(id::BLOCK_DURATION, 20);
    let times = [unsigned_element(id::TIMESTAMP, 3000), block_group(2, 5, &[]), block_group(2, 9, &lasts)];
    recording(&[
        element(id::SEEK_HEAD, &[]),
        element(id::VOID, &[0; 9]),
        beginning(
            &[
                unsigned_element(id::TIMESTAMP_SCALE, 1_000_000),
                element(id::DURATION, &5000f64.to_be_bytes()),
            ]
            .concat(),
        ),
        element(id::TAGS, &[0xec, 0x80]),
        cluster(0, &[simple_block(1, 0, true), simple_block(2, 3, true), block_group(2, 40, &refers)]),
        open_ended(id::CLUSTER, &times.concat()),
        cluster(6000, &[simple_block(2, -1, true), simple_block(1, 1, true)]),
        element(id::TAGS, &[0xec, 0x80]),
    ])
}

#[test]
fn every_beginning_of_a_recording_has_the_layout_of_what_is_there() {
    let file = of_everything();
    let whole = index(&file).unwrap();
    let mut with_index = 0;
    for length in 0..file.len() {
        let Some(found) = index(&file[..length]) else {
            continue;
        };
        with_index += 1;
        assert!(found.duration_ms() <= whole.duration_ms());
        // Before its first picture it is a recording of sound.
        let cues = if found.cue_track == whole.cue_track { &whole.cues } else { &whole.sound_cues };
        assert!(cues.starts_with(&found.cues), "{length}");
        let bytes = length as u64;
        let layout = found.layout(bytes).unwrap();
        assert_eq!(layout.body_from, whole.body_from);
        assert!(found.layout_from(bytes, u64::MAX).unwrap().body_from <= bytes);
    }
    assert!(with_index > file.len() / 3, "{with_index} of {}", file.len());
    let tail = whole.cues.last().unwrap().1;
    assert_eq!(whole.layout_from(file.len() as u64, 5999).unwrap().body_from, whole.body_from + tail);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn broken_or_not_how_the_bytes_come_changes_nothing(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0xff), Just(0x01)]), 0..4),
        cut in any::<prop::sample::Index>(),
        pieces in prop::collection::vec(1usize..40, 1..20),
    ) {
        let mut file = of_everything();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        file.truncate(cut.index(2 * file.len()).max(1));
        let mut indexer = SeekIndexer::new();
        let mut rest = &file[..];
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            indexer.push(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let found = indexer.finish();
        prop_assert_eq!(&found, &indexed(&file));
        if let Some(found) = found.index {
            let layout = found.layout(file.len() as u64).expect("an own index fits its recording");
            prop_assert!(layout.body_from <= file.len() as u64);
        }
    }
}
