use proptest::prelude::*;

use super::super::SeekableLayout;
use super::super::ebml::{
    Read, UNKNOWN_SIZE, children, id, read_id, read_number, unsigned, write, write_header,
};
use super::super::seek_index::{MAX_CUES, MAX_HEAD, MAX_RUNS, MAX_SOUND_CUES, Run};
use super::*;

/// Eight seconds by a real browser: no duration, no cues, key frames at 0 and 6.73 s.
const RECORDED: &[u8] = include_bytes!("../../../../tests/media/mediarecorder.webm");
/// What a file like it may take at most while it is indexed.
const MEMORY: usize = 4 * MAX_HEAD + 64 * (2 * MAX_CUES + MAX_RUNS);

fn index(bytes: &[u8]) -> Option<SeekIndex> {
    let mut indexer = SeekIndexer::new();
    indexer.push(bytes);
    indexer.finish().index
}

fn applied(bytes: &[u8], layout: SeekableLayout) -> Vec<u8> {
    let body = &bytes[usize::try_from(layout.body_from).unwrap()..];
    [&layout.head[..], body].concat()
}

/// An element of a segment: id, offset in the segment's payload, payload.
type Element<'a> = (u32, u64, &'a [u8]);

/// The elements of a segment, in order.
fn segment(file: &[u8]) -> Vec<Element<'_>> {
    let ebml = children(file).next().unwrap().unwrap();
    let rest = &file[ebml.1.len()..];
    assert_eq!(read_id(rest), Read::Value(id::SEGMENT, 4));
    let Read::Value(size, 8) = read_number(&rest[4..]) else { panic!("a size in 8 bytes") };
    let payload = &rest[12..];
    let mut found = Vec::new();
    let mut offset = 0;
    for child in children(payload) {
        // The last cluster may be of unknown size: what comes from there on is its own.
        let Some((id, whole, payload)) = child else { break };
        found.push((id, offset, payload));
        offset += whole.len() as u64;
    }
    assert!(size.is_none_or(|size| size == payload.len() as u64), "the segment ends with the file");
    found
}

#[test]
fn a_browsers_recording_becomes_seekable_and_its_clusters_stay_as_they_are() {
    let index = index(RECORDED).unwrap();
    assert!((7_900..8_700).contains(&index.duration_ms()), "{} ms", index.duration_ms());
    let times: Vec<u64> = index.cues.iter().map(|(time, _)| *time).collect();
    assert_eq!(times.len(), 2, "{times:?}");
    assert!(times[0] < 200 && (6_600..6_900).contains(&times[1]), "{times:?}");
    let layout = index.layout(RECORDED.len() as u64).unwrap();
    assert!(layout.head.len() < 4096, "{} bytes", layout.head.len());
    let file = applied(RECORDED, layout.clone());
    let elements = segment(&file);
    let ids: Vec<u32> = elements.iter().map(|(id, _, _)| *id).take(4).collect();
    assert_eq!(ids, [id::SEEK_HEAD, id::INFO, id::TRACKS, id::CUES]);
    // Each cue leads to a cluster, and what the seek head says is where it says.
    let cues = elements[3].2;
    let segment_at = file.len() as u64 - (RECORDED.len() as u64 - layout.body_from) - clusters_at(&elements);
    for (at, point) in children(cues).enumerate() {
        let (_, _, point) = point.unwrap();
        let positions = children(point).nth(1).unwrap().unwrap().2;
        let position = unsigned(children(positions).nth(1).unwrap().unwrap().2).unwrap();
        let cluster = &file[usize::try_from(segment_at + position).unwrap()..];
        assert_eq!(read_id(cluster), Read::Value(id::CLUSTER, 4), "cue {at}");
    }
    for (seek, expected) in children(elements[0].2).zip([id::INFO, id::TRACKS, id::CUES]) {
        let seek = seek.unwrap().2;
        let position = unsigned(children(seek).nth(1).unwrap().unwrap().2).unwrap();
        assert!(elements.iter().any(|(id, offset, _)| (*id, *offset) == (expected, position)));
    }
    assert_eq!(super::tests::index(&file), None, "it is seekable as it is");
}

fn clusters_at(elements: &[Element<'_>]) -> u64 {
    // Sizes are in 8 bytes and the id of the cues in 4.
    elements[3].1 + 12 + elements[3].2.len() as u64
}

#[test]
fn what_is_seekable_already_says_how_long_it_is() {
    let index = index(RECORDED).unwrap();
    let mut indexer = SeekIndexer::new();
    indexer.push(&applied(RECORDED, index.layout(RECORDED.len() as u64).unwrap()));
    let indexed = indexer.finish();
    assert_eq!(indexed, Indexed { duration_ms: Some(index.duration_ms()), index: None });
    for wrong in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
        let mut info = Vec::new();
        write(&mut info, id::DURATION, &wrong.to_be_bytes());
        let mut file = index.ebml.clone();
        write_header(&mut file, id::SEGMENT, UNKNOWN_SIZE);
        write(&mut file, id::INFO, &info);
        let mut indexer = SeekIndexer::new();
        indexer.push(&file);
        assert_eq!(indexer.finish(), Indexed::default(), "{wrong}");
    }
}

#[test]
fn a_later_beginning_is_a_file_of_its_own() {
    let index = index(RECORDED).unwrap();
    let bytes = RECORDED.len() as u64;
    let whole = index.layout(bytes).unwrap();
    assert_eq!(index.layout_from(bytes, 0).unwrap(), whole);
    assert_eq!(index.layout_from(bytes, 5_000).unwrap(), whole);
    let later = index.layout_from(bytes, 7_000).unwrap();
    assert_eq!(later.body_from, whole.body_from + index.cues[1].1);
    assert_eq!(index.layout_from(bytes, u64::MAX).unwrap(), later);
    let file = applied(RECORDED, later);
    assert_eq!(segment(&file).iter().map(|(id, _, _)| *id).nth(3), Some(id::CUES));
}

#[test]
fn a_recording_that_was_cut_off_has_an_index_of_what_is_there() {
    let whole = index(RECORDED).unwrap();
    let half = index(&RECORDED[..RECORDED.len() / 2]).unwrap();
    assert!(half.duration_ms() < whole.duration_ms() && half.duration_ms() > 1_000);
    assert_eq!(half.cues, whole.cues[..1]);
}

#[test]
fn other_things_have_none() {
    for other in [&b""[..], b"not a medium", &[0; 1000], &[0xff; 1000], &RECORDED[1..], &RECORDED[..100]] {
        assert_eq!(index(other), None);
    }
}

#[test]
fn very_many_places_are_thinned() {
    let mut file = Vec::new();
    let first =
        RECORDED.len() - (RECORDED.len() - usize::try_from(index(RECORDED).unwrap().body_from).unwrap());
    file.extend_from_slice(&RECORDED[..first]);
    for time in 0..20_000u64 {
        let mut cluster = Vec::new();
        write(&mut cluster, id::TIMESTAMP, &(time * 1000).to_be_bytes());
        // Both tracks, so that whichever has pictures is there.
        for track in [0x81, 0x82] {
            write(&mut cluster, id::SIMPLE_BLOCK, &[track, 0, 0, 0x80, 1]);
        }
        write(&mut file, id::CLUSTER, &cluster);
    }
    let index = index(&file).unwrap();
    assert!((MAX_CUES / 2..=MAX_CUES).contains(&index.cues.len()), "{}", index.cues.len());
    assert_eq!(index.duration_ms(), 20_000_000);
    assert!(serde_json::to_vec(&index).unwrap().len() < 200 * 1024);
    assert!(index.layout(file.len() as u64).is_some());
}

/// What a hostile sealer may put in its place must be no more than a strange file.
fn try_every_use(index: &SeekIndex, bytes: u64) {
    for layout in [index.layout(bytes), index.layout_from(bytes, 3_000), index.layout_from(bytes, u64::MAX)] {
        let Some(layout) = layout else { continue };
        assert!(
            layout.body_from <= bytes && layout.head.len() < 2 * MAX_HEAD + 100 * (MAX_CUES + MAX_SOUND_CUES)
        );
    }
}

#[derive(Debug, Clone)]
enum Change {
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    // Most of what is understood stands at the start.
    let place = prop_oneof![0usize..600, 0usize..RECORDED.len()];
    let change = prop_oneof![
        (place.clone(), any::<u8>()).prop_map(|(at, bits)| Change::Flip(at, bits)),
        place.clone().prop_map(Change::Cut),
        (place.clone(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (place, 1usize..40).prop_map(|(at, length)| Change::Remove(at, length)),
    ];
    prop::collection::vec(change, 1..6)
}

fn changed(changes: &[Change]) -> Vec<u8> {
    // The first second is enough to be changed, and quick.
    let mut bytes = RECORDED[..40_000].to_vec();
    for change in changes {
        let length = bytes.len();
        match change {
            Change::Flip(at, bits) => bytes.get_mut(*at).into_iter().for_each(|byte| *byte ^= bits),
            Change::Cut(at) => bytes.truncate(*at),
            Change::Insert(at, more) => drop(bytes.splice(at.min(&length)..at.min(&length), more.clone())),
            Change::Remove(at, many) => drop(bytes.drain(*at.min(&length)..(at + many).min(length))),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_broken_recording_has_an_index_or_none_and_nothing_worse(changes in changes()) {
        let bytes = changed(&changes);
        let mut indexer = SeekIndexer::new();
        for piece in bytes.chunks(4096) {
            indexer.push(piece);
            prop_assert!(indexer.memory() <= MEMORY, "{} bytes", indexer.memory());
        }
        if let Some(index) = indexer.finish().index {
            try_every_use(&index, bytes.len() as u64);
        }
    }

    #[test]
    fn any_bytes_are_passed_over(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        // Behind a beginning that is understood they get further.
        let start = usize::try_from(index(RECORDED).map_or(0, |index| index.body_from)).unwrap();
        for bytes in [bytes.clone(), [&RECORDED[..start], &bytes].concat()] {
            if let Some(index) = index(&bytes) {
                try_every_use(&index, bytes.len() as u64);
            }
        }
    }
}

proptest! {
    #[test]
    fn how_the_bytes_come_changes_nothing(pieces in prop::collection::vec(1usize..3000, 1..50)) {
        let mut indexer = SeekIndexer::new();
        let mut rest = RECORDED;
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            indexer.push(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(indexer.finish().index, index(RECORDED));
    }

    #[test]
    fn a_hostile_index_makes_no_more_than_a_strange_file(
        body_from in any::<u64>(),
        runs in prop::collection::vec(prop_oneof![Just((0, 0, 9)), any::<(u64, u64, u64)>()], 0..4),
        scale in prop_oneof![Just(0), Just(1), any::<u64>()],
        cues in prop::collection::vec((any::<u64>(), prop_oneof![0u64..2000, any::<u64>()]), 0..20),
        bytes in prop_oneof![0u64..3000, any::<u64>()],
    ) {
        let honest = index(RECORDED).unwrap();
        let mut cues = cues;
        cues.sort_unstable();
        for body_from in [body_from, honest.body_from] {
            let runs: Vec<Run> = runs.iter().copied().map(Run::from).collect();
            let sound_cues = cues.clone();
            let index = SeekIndex { body_from, scale, runs, cues: cues.clone(), sound_cues, ..honest.clone() };
            let json = serde_json::to_string(&index).unwrap();
            let read: SeekIndex = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&read, &index);
            try_every_use(&read, bytes);
        }
    }
}
