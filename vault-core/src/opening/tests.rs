//! Round trips in any order, and a changed byte in every object.

use proptest::prelude::*;
use vault_proto::geometry::{BodyEnd, MAX_PART_PLAINTEXT};
use vault_proto::recording::StoredStatements;
use vault_proto::statements::Suite;
use vault_proto::trust::Known;

use super::*;
use crate::recording_fixture::{Stored, details, seal};

static_assertions::assert_not_impl_any!(SegmentOpening: Clone, std::fmt::Debug, serde::Serialize);
static_assertions::assert_not_impl_any!(PartOpener: Clone, std::fmt::Debug, serde::Serialize);
static_assertions::assert_not_impl_any!(Opening<'static>: std::fmt::Debug, serde::Serialize);

/// Opens everything, with `change` applied to each object on its way from the store.
fn open(stored: &Stored, change: &dyn Fn(&str, &mut Vec<u8>)) -> Result<Vec<Vec<u8>>, OpenError> {
    let fetch = |name: &str, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        change(name, &mut bytes);
        bytes
    };
    let begun = &stored.begun;
    let seals: Vec<_> = stored.segments.iter().map(|segment| fetch("seal", &segment.seal)).collect();
    let recording = CheckedRecording::check(
        begun.manifest.recording,
        begun.organisation,
        &StoredStatements {
            manifest: &fetch("manifest", &begun.manifest_bytes),
            named: &begun
                .named
                .iter()
                .map(|(digest, envelope)| (*digest, fetch("statement", envelope).into()))
                .collect(),
            seals: &seals,
            progress: None,
            final_seal: Some(&fetch("final", &stored.final_seal)),
        },
        &Known::default(),
    )?;
    let (patient, object) = (&begun.patient, fetch("key", &begun.key_object));
    let key = RecordingKey::open(&recording, patient.account(), &patient.identity, &object)?;
    let opening = Opening::new(&recording, &key);
    assert_eq!(opening.details(&fetch("details", &stored.details))?, details(&stored.plaintext()));
    let mut opened = Vec::new();
    for (proven, segment) in recording.segments().iter().zip(&stored.segments) {
        let ready =
            opening.segment(proven, &fetch("header", &segment.header), &fetch("parts", &segment.hashes()))?;
        let parts: Vec<_> = segment.parts.iter().map(|part| fetch("body", part)).collect();
        let opener = ready.start(&parts[0])?;
        let mut plaintext = Vec::new();
        for (index, part) in (0..).zip(parts) {
            plaintext.extend(opener.open(index, part)?);
        }
        opened.push(plaintext);
    }
    Ok(opened)
}

const OBJECTS: [&str; 9] =
    ["manifest", "statement", "key", "seal", "final", "details", "header", "parts", "body"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sealed_opens(
        pq in any::<bool>(),
        lengths in prop::collection::vec(0usize..300_000, 1..4),
        parts in 0usize..3,
    ) {
        let mut takes: Vec<_> = lengths.into_iter().map(|length| (length, BodyEnd::Final)).collect();
        if parts > 0 {
            takes.insert(0, (parts * MAX_PART_PLAINTEXT, BodyEnd::Cut));
            takes.push((parts * MAX_PART_PLAINTEXT + 3, BodyEnd::Final));
        }
        let stored = seal(if pq { Suite::Pq } else { Suite::X25519 }, &takes);
        let opened = open(&stored, &|_, _| {}).unwrap();
        for (opened, segment) in opened.iter().zip(&stored.segments) {
            prop_assert!(opened == &segment.plaintext);
        }
    }

    #[test]
    fn parts_open_in_any_order(
        length in 2 * MAX_PART_PLAINTEXT..4 * MAX_PART_PLAINTEXT,
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
    ) {
        let stored = seal(Suite::X25519, &[(length, BodyEnd::Final)]);
        let recording = stored.checked();
        let opening = Opening::new(&recording, &stored.begun.key);
        let segment = &stored.segments[0];
        let ready = opening.segment(&recording.segments()[0], &segment.header, &segment.hashes()).unwrap();
        let opener = ready.start(&segment.parts[0]).unwrap();
        for index in order {
            let at = index.index(segment.parts.len());
            let opened = opener.open(at as u32, segment.parts[at].clone()).unwrap();
            let from = at * MAX_PART_PLAINTEXT;
            prop_assert!(opened == segment.plaintext[from..length.min(from + MAX_PART_PLAINTEXT)]);
            let wrong = (at + 1) % segment.parts.len();
            prop_assert!(opener.open(wrong as u32, segment.parts[at].clone()).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_changed_byte_changes_what_is_released(
        object in prop::sample::select(&OBJECTS[..]),
        at in any::<prop::sample::Index>(),
        change in 1u8..=255,
        pq in any::<bool>(),
    ) {
        thread_local! {
            static STORED: [Stored; 2] = [Suite::X25519, Suite::Pq].map(|suite| seal(suite, &[(900, BodyEnd::Final)]));
        }
        STORED.with(|stored| {
            let stored = &stored[usize::from(pq)];
            let outcome = open(stored, &|name, bytes| {
                if name == object {
                    let at = at.index(bytes.len());
                    bytes[at] ^= change;
                }
            });
            if let Ok(opened) = outcome {
                panic!("{object} changed and {} segments opened", opened.len());
            }
        });
    }
}

#[test]
fn a_part_of_another_length_than_the_seal_promises_is_damaged() {
    let stored = seal(Suite::X25519, &[(500, BodyEnd::Final)]);
    let recording = stored.checked();
    let opening = Opening::new(&recording, &stored.begun.key);
    let segment = &stored.segments[0];
    let ready = opening.segment(&recording.segments()[0], &segment.header, &segment.hashes()).unwrap();
    let short = &segment.parts[0][..100];
    assert!(matches!(ready.start(short), Err(OpenError::Refused(Refusal::Damaged(_)))));
}
