//! What a sealer refuses to seal.

use vault_proto::geometry::{BodyEnd, MAX_PART, PART_PLAINTEXT};
use vault_proto::statements::{RecordingStatus, Suite};

use super::*;
use crate::recording_fixture::{begin, details, seal};

static_assertions::assert_not_impl_any!(RecordingSealer: Clone, std::fmt::Debug, serde::Serialize);
static_assertions::assert_not_impl_any!(SegmentSealer: Clone, std::fmt::Debug, serde::Serialize);

fn start(index: u32, track: u8) -> SegmentStart {
    SegmentStart { index, track, key_commitment: Digest::of(b"key") }
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
    assert!(matches!(sign_manifest(&begun.manifest, &other), Err(SealError::OtherDevice)));
    let mut sealer = begun.sealer();
    assert!(matches!(sealer.seal_segment(&facts(0), &other), Err(SealError::OtherDevice)));
    assert_eq!(sealer.segments(), 0);
    sealer.seal_segment(&facts(0), &begun.clinician.device).unwrap();
    let ended = sealer.finish(&details(), RecordingStatus::Complete, details().ended, &other);
    assert!(matches!(ended, Err(SealError::OtherDevice)));
}

#[test]
fn the_recipients_are_those_of_the_manifest_in_its_order() {
    let begun = begin(Suite::X25519);
    let [patient, clinician] = [&begun.patient, &begun.clinician].map(|p| p.identity.recipient().clone());
    let stranger = crate::identity::Identity::generate(Suite::X25519).unwrap().recipient().clone();
    for wrong in [
        vec![],
        vec![patient.clone()],
        vec![clinician.clone(), patient.clone()],
        vec![patient.clone(), clinician.clone(), stranger.clone()],
        vec![patient, stranger],
    ] {
        assert!(matches!(RecordingSealer::new(begun.manifest.clone(), wrong), Err(SealError::Recipients)));
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
        assert!(sealer.seal_segment(&wrong, &begun.clinician.device).is_err(), "{wrong:?}");
        assert_eq!((sealer.segments(), sealer.total_length()), (0, 0));
    }
    let cut = SegmentFacts { end: BodyEnd::Cut, last_part_length: MAX_PART, ..facts(0) };
    sealer.seal_segment(&cut, &begun.clinician.device).unwrap();
    assert_eq!((sealer.segments(), sealer.total_length()), (1, PART_PLAINTEXT as u64));
}

#[test]
fn a_recording_goes_on_only_after_its_own_seals_in_order() {
    let begun = begin(Suite::X25519);
    let mut sealer = begun.sealer();
    let seals: Vec<_> =
        (0..3).map(|index| sealer.seal_segment(&facts(index), &begun.clinician.device).unwrap()).collect();
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
    let device = &begun.clinician.device;
    let empty = begun.sealer().finish(&details(), RecordingStatus::Complete, details().ended, device);
    assert!(matches!(empty, Err(SealError::Incomplete(0))));
    for (length, fits) in [(MAX_TITLE, true), (MAX_TITLE + 1, false)] {
        let mut sealer = begun.sealer();
        sealer.seal_segment(&facts(0), device).unwrap();
        let titled = Details { title: Some("é".repeat(length)), ..details() };
        let ended = sealer.finish(&titled, RecordingStatus::Complete, titled.ended, device);
        assert_eq!(ended.is_ok(), fits);
    }
}

#[test]
fn no_two_segments_share_a_key_and_every_header_names_its_place() {
    let begun = begin(Suite::X25519);
    let sealer = begun.sealer();
    let (first, second) = (sealer.begin_segment(0).unwrap(), sealer.begin_segment(0).unwrap());
    assert_ne!(first.start().key_commitment, second.start().key_commitment);
    assert_ne!(first.header(), second.header());
    let here = labels::context(&begun.manifest.digest(), 0, 0);
    let elsewhere = labels::context(&begun.manifest.digest(), 0, 1);
    let parse =
        |context| vault_proto::sealed_header::SealedHeader::parse(first.header(), context, Suite::X25519);
    assert_eq!(parse(&here).unwrap().readers().len(), 2);
    assert!(parse(&elsewhere).is_err());
}
