use proptest::prelude::*;
use vault_proto::geometry::MAX_CHUNKS;

use super::*;

/// Long enough that no segment ends by its age.
const HOURS: Duration = Duration::from_secs(100 * 3600);

/// A part as it was given out: when, and what was known of it.
struct Given {
    at: Duration,
    part: Part,
}

fn begun() -> Moment {
    Moment { recorded: Duration::ZERO, at_ms: 1_000_000 }
}

impl Given {
    /// Its plaintext without padding.
    fn recorded(&self) -> &[u8] {
        &self.part.plaintext[..self.part.plaintext.len() - self.part.padding]
    }
}

/// Writes pieces at moments, as a recorder does, and gives the parts.
fn record(
    always: Option<PartChunks>,
    pieces: &[(Duration, Vec<u8>)],
    segment_length: Duration,
) -> Vec<Given> {
    let taken = &mut Taken::nothing(Mark::default(), begun(), always);
    record_track(taken, pieces, segment_length, false)
}

/// Writes a track, which ends in padding or not.
fn record_track(
    taken: &mut Taken,
    pieces: &[(Duration, Vec<u8>)],
    segment_length: Duration,
    pads: bool,
) -> Vec<Given> {
    let mut given = Vec::new();
    let mut last = Duration::ZERO;
    let now_ms = |at: Duration| 1_000_000 + milliseconds(at);
    for (at, bytes) in pieces {
        last = *at;
        taken.write(bytes.len() as u64, *at, *at);
        let mut bytes = &bytes[..];
        while !bytes.is_empty() {
            match taken.due(*at, *at, segment_length) {
                Due::Part { last } => {
                    given.push(Given { at: *at, part: taken.part(last, *at, now_ms(*at)) });
                }
                Due::Room(room) => {
                    assert!(room > 0, "there is always room, or something is due");
                    let (first, later) = bytes.split_at(room.min(bytes.len()));
                    taken.take(first, *at, *at);
                    bytes = later;
                }
            }
        }
    }
    while pads && taken.padding_due() > 0 {
        match taken.due(last, last, segment_length) {
            Due::Part { last: ends } => {
                given.push(Given { at: last, part: taken.part(ends, last, now_ms(last)) });
            }
            Due::Room(room) => taken.pad(room, last),
        }
    }
    while let Some(Due::Part { last: ends }) = taken.rest() {
        given.push(Given { at: last, part: taken.part(ends, last, now_ms(last)) });
    }
    given
}

/// Pieces of so many bits a second, fifty times a second, as encoders of sound give them.
fn at_rate(bits: usize, from: Duration, time: Duration) -> Vec<(Duration, Vec<u8>)> {
    let fiftieth = Duration::from_millis(20);
    let count = u32::try_from(time.as_millis() / 20).unwrap();
    (1..=count).map(|at| (from + fiftieth * at, vec![7; bits / 400])).collect()
}

/// What a segment is made of, whatever was written.
fn check(given: &[Given], pieces: &[(Duration, Vec<u8>)]) {
    let written: Vec<u8> = pieces.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    let sealed: Vec<u8> = given.iter().flat_map(|given| given.recorded().to_vec()).collect();
    assert!(written == sealed, "{} of {} bytes", sealed.len(), written.len());
    let (mut size, mut parts) = (None, 0);
    for Given { part, .. } in given {
        assert_eq!(*size.get_or_insert(part.part_chunks), part.part_chunks, "one size for each segment");
        let full = part.part_chunks.plaintext();
        parts += 1;
        assert!(parts <= part.part_chunks.max_parts() && MAX_CHUNKS >= parts);
        assert!(!part.plaintext.is_empty());
        assert!(if part.last { part.plaintext.len() <= full } else { part.plaintext.len() == full });
        if part.last {
            (size, parts) = (None, 0);
        }
    }
    assert!(given.last().is_none_or(|given| given.part.last), "what ends is a segment");
    let mut moment = Duration::ZERO;
    let mut bytes = 0;
    for Given { at, part } in given {
        assert!(part.plaintext.iter().rev().take(part.padding).all(|byte| *byte == 0), "padding is zeros");
        assert!(part.until >= moment && part.until <= *at, "moments go on, and none lies ahead");
        moment = part.until;
        bytes += part.plaintext.len() - part.padding;
        // Never later than the last of its bytes was written, to a tenth of a second.
        let mut before = 0;
        let written = pieces.iter().find(|(_, piece)| {
            before += piece.len();
            before >= bytes
        });
        let written = written.map_or(*at, |(at, _)| *at);
        assert!(part.until <= written + GRAIN, "{:?} is called recorded at {:?}", part.until, written);
    }
}

#[test]
fn parts_are_the_largest_that_fill_within_five_seconds() {
    for (kbits, chunks) in [
        (16, 1),
        (32, 1),
        (64, 1),
        (250, 1),
        (350, 3),
        (500, 3),
        (600, 5),
        (1_000, 5),
        (1_700, 15),
        (20_000, 15),
    ] {
        let pieces = at_rate(kbits * 1000, Duration::ZERO, Duration::from_secs(120));
        let given = record(None, &pieces, HOURS);
        check(&given, &pieces);
        let sizes: Vec<u8> = given.iter().map(|given| given.part.part_chunks.into()).collect();
        let usual = sizes.iter().filter(|size| **size == chunks).count();
        // The last one is what was left when it ended.
        assert!(usual + 1 >= sizes.len(), "{kbits} kbit/s: {sizes:?}");
        let mut before = Duration::ZERO;
        for Given { at, part } in &given {
            let waited = at.saturating_sub(before);
            let one = Duration::from_secs_f64(65_536.0 * 8.0 / (kbits as f64 * 1000.0));
            let most = FILLED_WITHIN.max(one) + Duration::from_millis(700);
            assert!(part.last || waited <= most, "{kbits} kbit/s: {waited:?} for a part of {chunks}");
            before = *at;
        }
    }
}

#[test]
fn a_rate_that_falls_ends_the_segment_and_goes_on_in_smaller_parts() {
    let fast = at_rate(4_000_000, Duration::ZERO, Duration::from_secs(20));
    let slow = at_rate(32_000, Duration::from_secs(20), Duration::from_secs(60));
    let pieces = [fast, slow].concat();
    let given = record(None, &pieces, HOURS);
    check(&given, &pieces);
    let first_small = given.iter().find(|given| given.part.part_chunks == PartChunks::ONE).unwrap();
    assert!(first_small.at < Duration::from_secs(50));
    let last_large =
        given.iter().rfind(|given| given.part.part_chunks == PartChunks::FIFTEEN && given.part.last);
    assert!(last_large.unwrap().at <= Duration::from_secs(20) + TOO_SLOW + Duration::from_secs(3));
}

#[test]
fn what_can_be_read_again_goes_in_the_largest_parts_however_slowly_it_comes() {
    let pieces = at_rate(8_000, Duration::ZERO, Duration::from_secs(60));
    let given = record(Some(PartChunks::FIFTEEN), &pieces, HOURS);
    check(&given, &pieces);
    assert_eq!(given.len(), 1);
    assert_eq!(given[0].part.part_chunks, PartChunks::FIFTEEN);
}

#[test]
fn a_segment_ends_when_it_is_full_or_old() {
    let pieces: Vec<_> = (1..=80).map(|at| (Duration::from_millis(at), vec![1; 1 << 20])).collect();
    let given = record(None, &pieces, HOURS);
    check(&given, &pieces);
    assert_eq!(given.iter().filter(|given| given.part.last).count(), 2);
    let pieces = at_rate(64_000, Duration::ZERO, Duration::from_secs(95));
    let given = record(None, &pieces, Duration::from_secs(30));
    check(&given, &pieces);
    assert_eq!(given.iter().filter(|given| given.part.last).count(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_written_becomes_segments(
        lengths in prop::collection::vec((0u64..9_000, 0usize..300_000), 0..40),
        always in any::<bool>(),
        segment_length in 1u64..60,
    ) {
        let mut at = Duration::ZERO;
        let pieces: Vec<(Duration, Vec<u8>)> = lengths
            .into_iter()
            .enumerate()
            .map(|(number, (pause, length))| {
                at += Duration::from_millis(pause);
                (at, vec![u8::try_from(number).unwrap(); length])
            })
            .collect();
        let always = always.then_some(PartChunks::FIFTEEN);
        check(&record(always, &pieces, Duration::from_secs(segment_length)), &pieces);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn each_track_ends_in_zeros_up_to_its_padded_size(
        lengths in prop::collection::vec(prop::collection::vec((0u64..9_000, 0usize..300_000), 0..12), 1..4),
        always in any::<bool>(),
        segment_length in 1u64..60,
    ) {
        let always = always.then_some(PartChunks::FIFTEEN);
        let mut taken = Taken::nothing(Mark::default(), begun(), always);
        let mut at = Duration::ZERO;
        for track in lengths {
            let pieces: Vec<(Duration, Vec<u8>)> = track
                .into_iter()
                .map(|(pause, length)| {
                    at += Duration::from_millis(pause);
                    (at, vec![7; length])
                })
                .collect();
            let before = taken.given_out;
            let given = record_track(&mut taken, &pieces, Duration::from_secs(segment_length), true);
            check(&given, &pieces);
            let recorded: usize = given.iter().map(|given| given.recorded().len()).sum();
            let sealed: usize = given.iter().map(|given| given.part.plaintext.len()).sum();
            prop_assert_eq!(sealed as u64, padded_size(recorded as u64));
            prop_assert_eq!(taken.given_out - before, recorded as u64);
            // Nothing is recorded behind the first padding.
            let first = given.iter().position(|given| given.part.padding > 0).unwrap_or(given.len());
            prop_assert!(given.iter().skip(first + 1).all(|given| given.recorded().is_empty()));
            prop_assert_eq!(taken.is_padded(), sealed > recorded);
            taken.next_track();
        }
    }
}

#[test]
fn padding_that_was_begun_goes_on_and_none_is_in_a_tail() {
    // 5 MiB and a byte, of which an earlier process had sealed all, and some of the padding.
    let bytes = (5 << 20) + 1;
    let padding = padded_size(bytes) - bytes;
    let before = Mark { bytes, recorded: Duration::ZERO };
    let amid = |padding| Taken::nothing(before, begun(), None).amid_track(bytes, padding);
    for sealed in [0, 1, padding - 1, padding, padding + 1] {
        assert_eq!(amid(sealed).padding_due(), padding.saturating_sub(sealed));
    }
    let mut taken = amid(0);
    let minute = Duration::from_secs(60);
    taken.pad(1000, minute);
    assert!(taken.is_padded() && taken.tail(2 * minute).is_none());
    let mut taken = Taken::nothing(Mark::default(), begun(), None);
    taken.write(9, minute, minute);
    taken.take(b"recording", minute, minute);
    taken.pad(1000, minute);
    let (from, tail) = taken.tail(2 * minute).unwrap();
    assert_eq!((from, &tail.plaintext[..], tail.padding), (0, &b"recording"[..], 0));
}

#[test]
fn a_pause_is_no_slow_rate() {
    let mut taken = Taken::nothing(Mark::default(), begun(), None);
    let second = Duration::from_secs(1);
    for (at, bytes) in at_rate(4_000_000, Duration::ZERO, 4 * second) {
        taken.write(bytes.len() as u64, at, at);
        while let Due::Part { last } = taken.due(at, at, HOURS) {
            assert!(!taken.part(last, at, 0).last);
        }
        taken.take(&bytes, at, at);
    }
    // A minute later by the clock of the machine, and at once by that of the recording.
    assert!(matches!(taken.due(64 * second, 4 * second, HOURS), Due::Room(_)));
}
