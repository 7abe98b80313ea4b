//! What a sealer refuses to seal.

use vault_proto::geometry::{BodyEnd, MAX_PART, MAX_PART_PLAINTEXT, PartChunks};
use vault_proto::statements::{RecordingStatus, Suite};

use super::*;
use crate::identity::Identity;
use crate::recording_fixture::{begin, details, seal};

static_assertions::assert_not_impl_any!(RecordingSealer: Clone, std::fmt::Debug, serde::Serialize);
static_assertions::assert_not_impl_any!(SegmentSealer: Clone, std::fmt::Debug, serde::Serialize);

/// Some moment.
fn time() -> Timestamp {
    details(b"").ended
}

fn start(index: u32, track: u8) -> SegmentStart {
    SegmentStart { index, track, part_chunks: PartChunks::FIFTEEN, header: Digest::of(b"header") }
}

fn facts(index: u32) -> SegmentFacts {
    SegmentFacts {
        start: start(index, 0),
        part_hashes: vec![Digest::of(b"part")],
        last_part_length: 32,
        end: BodyEnd::Final,
    }
}

#[test]
fn only_the_device_of_the_manifest_seals() {
    let begun = begin(Suite::X25519);
    let other = SigningKey::generate().unwrap();
    let key = PublicKey::from_bytes(other.public());
    assert!(matches!(prepare_manifest(&begun.manifest, key), Err(SealError::OtherDevice)));
    let mut sealer = begun.sealer();
    let refused = |error| matches!(error, StatementError::Signature(_));
    assert!(refused(other.sign_statement(sealer.prepare_seal(&facts(0)).unwrap()).unwrap_err()));
    let mut tree = TreeBuilder::default();
    tree.push(Digest::of(b"part").as_bytes());
    let progress = sealer.prepare_progress(&start(0, 0), &tree, time()).unwrap();
    assert!(refused(other.sign_statement(progress).unwrap_err()));
    assert_eq!(sealer.segments(), 0);
    begun.seal_segment(&mut sealer, &facts(0)).unwrap();
    let (_, end) = sealer.prepare_final(&details(b""), RecordingStatus::Complete, time()).unwrap();
    assert!(refused(other.sign_statement(end).unwrap_err()));
}

#[test]
fn a_recording_is_sealed_to_its_own_key_alone() {
    let begun = begin(Suite::X25519);
    let reader = begun.patient.identity.recipient().clone();
    let strangers =
        [Suite::X25519, Suite::Pq].map(|suite| Identity::generate(suite).unwrap().recipient().clone());
    for wrong in strangers.into_iter().chain([reader]) {
        assert!(matches!(RecordingSealer::new(begun.manifest.clone(), wrong), Err(SealError::OtherKey)));
    }
}

#[test]
fn facts_that_make_no_body_are_refused_and_change_nothing() {
    let begun = begin(Suite::X25519);
    let mut sealer = begun.sealer();
    for wrong in [
        SegmentFacts { part_hashes: vec![], ..facts(0) },
        SegmentFacts { last_part_length: 31, ..facts(0) },
        SegmentFacts { last_part_length: MAX_PART + 1, ..facts(0) },
        SegmentFacts { end: BodyEnd::Cut, ..facts(0) },
        SegmentFacts { start: start(0, 255), ..facts(0) },
        facts(1),
    ] {
        assert!(begun.seal_segment(&mut sealer, &wrong).is_err(), "{wrong:?}");
        assert_eq!((sealer.segments(), sealer.total_length()), (0, 0));
    }
    let cut = SegmentFacts { end: BodyEnd::Cut, last_part_length: MAX_PART, ..facts(0) };
    begun.seal_segment(&mut sealer, &cut).unwrap();
    assert_eq!((sealer.segments(), sealer.total_length()), (1, MAX_PART_PLAINTEXT as u64));
}

#[test]
fn a_recording_goes_on_only_after_its_own_seals_in_order() {
    let begun = begin(Suite::X25519);
    let mut sealer = begun.sealer();
    let seals: Vec<_> = (0..3).map(|index| begun.seal_segment(&mut sealer, &facts(index)).unwrap()).collect();
    let mut resumed = begun.sealer();
    assert!(resumed.continue_after(&seals[1]).is_err());
    for seal in &seals {
        resumed.continue_after(seal).unwrap();
        assert!(resumed.continue_after(seal).is_err());
    }
    assert_eq!(resumed.segments(), 3);
    let other = seal(Suite::X25519, &[(3, BodyEnd::Final)]);
    let foreign = Envelope::parse(&other.segments[0].seal).unwrap();
    assert!(begun.sealer().continue_after(&foreign).is_err());
}

#[test]
fn nothing_ends_without_a_segment_or_with_an_endless_title() {
    let begun = begin(Suite::Pq);
    let empty = begun.sealer().prepare_final(&details(b""), RecordingStatus::Complete, time());
    assert!(matches!(empty, Err(SealError::Incomplete(0))));
    for (length, fits) in [(MAX_TITLE, true), (MAX_TITLE + 1, false)] {
        let mut sealer = begun.sealer();
        begun.seal_segment(&mut sealer, &facts(0)).unwrap();
        let titled = Details { title: Some("é".repeat(length)), ..details(b"") };
        let ended = sealer.prepare_final(&titled, RecordingStatus::Complete, titled.ended);
        assert_eq!(ended.is_ok(), fits);
    }
}

#[test]
fn no_two_segments_share_a_key_and_every_header_names_its_place() {
    let begun = begin(Suite::X25519);
    let sealer = begun.sealer();
    let (first, second) = (
        sealer.begin_segment(0, PartChunks::FIFTEEN).unwrap(),
        sealer.begin_segment(0, PartChunks::FIFTEEN).unwrap(),
    );
    assert_ne!(first.header(), second.header());
    assert_eq!(first.start().header, Digest::of(first.header()));
    let here = labels::context(&begun.manifest.digest(), 0, 0);
    let elsewhere = labels::context(&begun.manifest.digest(), 0, 1);
    let parse =
        |context| vault_proto::sealed_header::SealedHeader::parse(first.header(), context, Suite::X25519, 1);
    assert!(parse(&here).is_ok());
    assert!(parse(&elsewhere).is_err());
}

#[test]
fn what_is_signed_in_place_of_another_names_it() {
    let begun = begin(Suite::X25519);
    let mut sealer = begun.sealer();
    let [first, second] = [1, 2].map(|seal| Digest::from_bytes([seal; 32]));
    sealer.has_signed(0, first);
    sealer.has_signed(0, second);
    sealer.has_signed(1, first);
    for expected in [Some(second), Some(first), None] {
        let index = sealer.segments();
        let seal = begun.seal_segment(&mut sealer, &facts(index)).unwrap();
        assert_eq!(seal.unverified().supersedes, expected);
    }
    for before in [None, Some(first)] {
        if let Some(before) = before {
            sealer.has_ended(before);
        }
        let (_, end) = sealer.prepare_final(&details(b""), RecordingStatus::Complete, time()).unwrap();
        let end = begun.clinician.device.sign_statement(end).unwrap();
        assert_eq!(end.unverified().supersedes, before);
    }
}

#[test]
fn nothing_ends_with_details_that_its_readers_refuse() {
    let begun = begin(Suite::X25519);
    let mut sealer = begun.sealer();
    begun.seal_segment(&mut sealer, &SegmentFacts { last_part_length: 32 + 9, ..facts(0) }).unwrap();
    let end = |details: &Details| sealer.prepare_final(details, RecordingStatus::Complete, time()).is_ok();
    for fits in [&b""[..], b"123", b"123456789"] {
        assert!(end(&details(fits)));
    }
    assert!(!end(&details(b"1234567890")));
    let mut other = details(b"123");
    other.tracks[0].track = 1;
    assert!(!end(&other));
    other.tracks.clear();
    assert!(!end(&other));
    let mut longer = details(b"123");
    longer.tracks[0].media_type = "m".repeat(MAX_DETAILS);
    assert!(!end(&longer));
}
