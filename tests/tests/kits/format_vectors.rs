//! Every committed test vector of docs/FORMAT.md, opened as a reader opens a recording.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail by panicking and say what they skip, as its test functions do"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};

use vault_proto::geometry::{MAX_PART, MAX_PART_PLAINTEXT};
use vault_proto::ids::Digest;
use vault_tests::vectors::{Outcome, Scenario, folder, read, reader, scenarios, write};

/// Scenarios there are; vectors only append.
const FLOOR: usize = 630;

fn committed() -> Vec<Scenario> {
    let mut folders: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.iter().map(|folder| read(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"))).collect()
}

fn complaints(scenario: &Scenario) -> Vec<String> {
    let expected = &scenario.description.expected;
    let seen = reader::open(&scenario.description, &scenario.objects);
    let mut wrong = Vec::new();
    if seen.outcome != expected.outcome {
        wrong.push(format!("{:?} ({}) instead of {:?}", seen.outcome, seen.reason, expected.outcome));
    }
    if seen.released.len() as u64 != expected.released_length
        || Digest::of(&seen.released) != expected.released_sha256
    {
        wrong.push(format!("{} bytes released instead of {}", seen.released.len(), expected.released_length));
    }
    if seen.readers != expected.readers || seen.void != expected.void {
        wrong.push(format!("read by {:?}, void {:?}", seen.readers, seen.void));
    }
    for track in &expected.tracks {
        let bytes = seen.tracks.get(&track.track).map(Vec::as_slice).unwrap_or_default();
        if bytes.len() as u64 != track.length || Digest::of(bytes) != track.sha256 {
            wrong.push(format!("track {} differs", track.track));
        }
    }
    wrong
}

#[test]
fn every_scenario_ends_as_it_says() {
    let all = committed();
    assert!(all.len() >= FLOOR, "{} scenarios, at least {FLOOR} expected", all.len());
    let mut classes: BTreeMap<Outcome, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for scenario in &all {
        *classes.entry(scenario.description.expected.outcome).or_default() += 1;
        wrong.extend(complaints(scenario).into_iter().map(|text| format!("{}: {text}", scenario.name)));
    }
    assert!(wrong.is_empty(), "{} complaints:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(classes.len(), 7, "every class has to occur: {classes:?}");
    assert!(classes.values().all(|&count| count >= 3), "{classes:?}");
}

#[test]
fn what_opens_can_be_read_from_anywhere() {
    let mut tracks = 0;
    for scenario in committed() {
        if !matches!(scenario.description.expected.outcome, Outcome::Opens | Outcome::CutOff) {
            continue;
        }
        let whole = reader::open(&scenario.description, &scenario.objects).tracks;
        for (track, bytes) in whole {
            tracks += 1;
            let mut read = reader::seekable(&scenario.description, &scenario.objects, track).unwrap();
            assert_eq!(read.length(), bytes.len() as u64, "{}", scenario.name);
            for at in [0, 1, bytes.len() / 3, bytes.len().saturating_sub(1), bytes.len()] {
                let mut rest = Vec::new();
                read.seek(SeekFrom::Start(at as u64)).unwrap();
                read.read_to_end(&mut rest).unwrap();
                assert_eq!(rest, bytes.get(at..).unwrap_or_default(), "{} from {at}", scenario.name);
            }
        }
    }
    assert!(tracks >= 25, "{tracks}");
}

#[test]
fn a_track_that_is_refused_whole_is_refused_in_pieces() {
    let mut refused = 0;
    for scenario in committed() {
        let expected = &scenario.description.expected;
        if !scenario.name.starts_with("stream-") && !scenario.name.starts_with("altered-body") {
            continue;
        }
        refused += 1;
        match reader::seekable(&scenario.description, &scenario.objects, 0) {
            Err(error) => assert_eq!(reader::class(&error), expected.outcome, "{}", scenario.name),
            Ok(mut track) => {
                let mut out = Vec::new();
                assert!(track.read_to_end(&mut out).is_err(), "{}", scenario.name);
                assert!(out.is_empty(), "{}", scenario.name);
            }
        }
    }
    assert!(refused >= 10, "{refused}");
}

#[test]
fn no_arrangement_of_parts_but_the_true_one_opens() {
    let scenario = read(&folder().join("opens-two-parts")).unwrap();
    let body = &scenario.objects.segments[0].body;
    let (first, last) = body.split_at(MAX_PART);
    let arrangements: [&[&[u8]]; 8] = [
        &[],
        &[first],
        &[last],
        &[last, first],
        &[first, first],
        &[last, last],
        &[first, last, last],
        &[first, first, last],
    ];
    for (number, arrangement) in arrangements.iter().enumerate() {
        let mut objects = scenario.objects.clone();
        objects.segments[0].body = arrangement.concat();
        let seen = reader::open(&scenario.description, &objects);
        assert_eq!(seen.outcome, Outcome::Damaged, "arrangement {number}");
        let plaintext = reader::open(&scenario.description, &scenario.objects).released;
        assert!(plaintext.starts_with(&seen.released), "arrangement {number}");
        assert!(seen.released.len() < plaintext.len(), "arrangement {number}");
    }
    let mut objects = scenario.objects.clone();
    objects.segments[0].body[MAX_PART + 7] ^= 1;
    let seen = reader::open(&scenario.description, &objects);
    assert_eq!((seen.outcome, seen.released.len()), (Outcome::Damaged, MAX_PART_PLAINTEXT));
}

#[test]
fn what_the_builder_makes_today_ends_as_it_says() {
    let built = scenarios();
    let names: std::collections::BTreeSet<&str> = built.iter().map(|scenario| &*scenario.name).collect();
    assert_eq!(names.len(), built.len(), "a name is used twice");
    let wrong: Vec<String> = built
        .iter()
        .flat_map(|scenario| {
            complaints(scenario).into_iter().map(|text| format!("{}: {text}", scenario.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{} complaints:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_folder_reads_as_it_was_written() {
    let root = tempfile::tempdir().unwrap();
    for scenario in scenarios().iter().filter(|scenario| scenario.name.starts_with("missing-")) {
        write(root.path(), scenario).unwrap();
        let again = read(&root.path().join(&scenario.name)).unwrap();
        assert_eq!(again.description, scenario.description);
        assert_eq!(again.objects.segments.len(), scenario.objects.segments.len());
        assert_eq!(again.objects.manifest, scenario.objects.manifest);
        assert_eq!(again.objects.key, scenario.objects.key);
        assert_eq!(again.objects.later_keys, scenario.objects.later_keys);
        assert_eq!(again.objects.grants, scenario.objects.grants);
        assert_eq!(again.objects.details, scenario.objects.details);
    }
}
