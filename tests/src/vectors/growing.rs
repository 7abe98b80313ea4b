//! Recordings whose sealer died while a segment grew: what its signed progress proves, and what it does not.

use vault_proto::envelope::Statement as _;
use vault_proto::geometry::{MAX_PART_PLAINTEXT, PartChunks};
use vault_proto::ids::Digest;
use vault_proto::statements::{FinalSeal, NotYet, SegmentProgress, SegmentSeal, Suite};
use vault_proto::tree;

use super::Outcome::{self, CutOff, Damaged, MixUp, NewerFormat, NotEntitled};
use super::cast::{Cast, time};
use super::draft::{Draft, Objects, Recording, parts_of};
use super::primitives::{envelope, fixed_bytes, signed};
use super::{Scenario, TrackHash};

/// Plaintext of the segment that is sealed.
const SEALED: usize = 500;

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    let mut all = vec![opens(cast), of_the_sealed_segment(cast), behind_the_end(cast)];
    all.extend(refused(cast));
    all
}

/// A sealed segment, and one of a full part and a piece of another.
fn record(cast: &Cast, name: &str) -> Recording {
    Draft::new(cast, Suite::X25519, name, &[(0, SEALED), (0, MAX_PART_PLAINTEXT + 1_000)]).record()
}

/// The progress of the second segment up to its full part.
fn progress_of(recording: &Recording) -> SegmentProgress {
    let seal = &recording.seals[1];
    let hashes: Vec<Digest> =
        parts_of(&recording.objects.segments[1].body, seal.part_chunks).take(1).map(Digest::of).collect();
    SegmentProgress { parts_root: tree::parts_root(&hashes), ..first_progress(seal) }
}

/// What the sealer said of a segment when its first part was there, if that is all of it.
pub(super) fn first_progress(seal: &SegmentSeal) -> SegmentProgress {
    SegmentProgress {
        manifest: seal.manifest,
        index: seal.index,
        track: seal.track,
        parts: 1,
        parts_root: seal.parts_root,
        header: seal.header,
        previous: seal.previous,
        recorded: time("2026-11-21T09:31:07Z"),
        part_chunks: seal.part_chunks,
        tail: NotYet,
    }
}

fn by_device(cast: &Cast, recording: &Recording, progress: &SegmentProgress) -> Vec<u8> {
    signed(progress, recording.manifest.sealer_key, &cast.clinician.device)
}

/// Nothing after the progress was signed.
fn leave_open(objects: &mut Objects, progress: Vec<u8>) {
    objects.segments[1].seal.clear();
    objects.segments[1].progress = progress;
    objects.final_seal = None;
    objects.details = None;
}

fn opens(cast: &Cast) -> Scenario {
    let name = "progress-opens-a-growing-segment";
    let recording = record(cast, name);
    let mut released = recording.takes[0].plaintext.clone();
    released.extend_from_slice(&recording.takes[1].plaintext[..MAX_PART_PLAINTEXT]);
    let text = "the sealer died in the second segment: its progress proves one part, and more is stored";
    let progress = by_device(cast, &recording, &progress_of(&recording));
    let mut scenario = Scenario::opened(name, text, cast, &recording)
        .ending(CutOff)
        .released(&released)
        .with(|objects| leave_open(objects, progress));
    scenario.description.expected.tracks =
        vec![TrackHash { track: 0, length: released.len() as u64, sha256: Digest::of(&released) }];
    scenario
}

/// A recording of one short segment.
fn short(cast: &Cast, name: &str) -> Recording {
    Draft::new(cast, Suite::X25519, name, &[(0, SEALED)]).record()
}

fn of_the_sealed_segment(cast: &Cast) -> Scenario {
    let name = "progress-of-the-last-sealed-segment";
    let recording = short(cast, name);
    let text = "the sealer died between two segments: progress of the sealed one only says until when it was recorded";
    let parts_root = Digest::from_bytes(fixed_bytes("parts of its own"));
    let progress = SegmentProgress { parts_root, ..first_progress(&recording.seals[0]) };
    Scenario::opened(name, text, cast, &recording).ending(CutOff).with(|objects| {
        objects.segments[0].progress = by_device(cast, &recording, &progress);
        objects.final_seal = None;
        objects.details = None;
    })
}

fn behind_the_end(cast: &Cast) -> Scenario {
    let name = "progress-behind-the-end";
    let recording = short(cast, name);
    let text = "progress beside a final seal proves nothing and is not looked at";
    Scenario::opened(name, text, cast, &recording)
        .with(|objects| objects.segments[0].progress = b"no statement".to_vec())
}

/// Makes what stands in place of the true progress.
type Make<'a> = Box<dyn Fn(&Recording, SegmentProgress) -> Vec<u8> + 'a>;

/// What is wrong with a progress, and what a reader must say.
struct Wrong<'a> {
    name: &'static str,
    text: &'static str,
    outcome: Outcome,
    /// Whether the sealed segment before it is released first.
    after_sealed: bool,
    make: Make<'a>,
}

/// A progress that the sealer signed although it says something else.
fn says<'a>(
    cast: &'a Cast,
    (name, text, outcome): (&'static str, &'static str, Outcome),
    after_sealed: bool,
    change: impl Fn(&mut SegmentProgress) + 'a,
) -> Wrong<'a> {
    let make = move |recording: &Recording, mut progress: SegmentProgress| {
        change(&mut progress);
        by_device(cast, recording, &progress)
    };
    Wrong { name, text, outcome, after_sealed, make: Box::new(make) }
}

/// Something else in place of a progress.
fn is<'a>(
    (name, text, outcome): (&'static str, &'static str, Outcome),
    make: impl Fn(&Recording, SegmentProgress) -> Vec<u8> + 'a,
) -> Wrong<'a> {
    Wrong { name, text, outcome, after_sealed: false, make: Box::new(make) }
}

fn refused(cast: &Cast) -> Vec<Scenario> {
    let (device, patient) = (&cast.clinician.device, &cast.patient);
    let other = Digest::from_bytes(fixed_bytes("something else"));
    let respelt = |recording: &Recording, progress: &SegmentProgress, from: &str, to: &str| {
        let payload = serde_json::to_string(progress).unwrap();
        let changed = payload.replace(from, to);
        assert_ne!(changed, payload);
        let kind = SegmentProgress::PAYLOAD_TYPE;
        envelope(kind, changed.as_bytes(), recording.manifest.sealer_key, device)
    };
    let cases = [
        is(("altered", "whose signature has a bit flipped", NotEntitled), |recording, progress| {
            let mut bytes = by_device(cast, recording, &progress);
            let at = bytes.len() - 20;
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            bytes
        }),
        is(("by-the-patient", "signed by the other reader", NotEntitled), |_, progress| {
            signed(&progress, patient.device_id(), &patient.device)
        }),
        is(
            (
                "by-the-patient-in-another-name",
                "signed by the other reader under the sealer's key id",
                NotEntitled,
            ),
            |recording, progress| signed(&progress, recording.manifest.sealer_key, &patient.device),
        ),
        is(("is-a-seal", "replaced by its segment's seal", Damaged), |recording, _| {
            signed::<SegmentSeal>(&recording.seals[1], recording.manifest.sealer_key, device)
        }),
        is(("is-a-final-seal", "replaced by a final seal", Damaged), |recording, _| {
            envelope(FinalSeal::PAYLOAD_TYPE, b"{}", recording.manifest.sealer_key, device)
        }),
        is(("newer", "of version 2", NewerFormat), |recording, progress| {
            let kind = SegmentProgress::PAYLOAD_TYPE.replace(".v1+json", ".v2+json");
            let payload = serde_json::to_vec(&progress).unwrap();
            envelope(&kind, &payload, recording.manifest.sealer_key, device)
        }),
        is(("without-tail", "that says nothing of a tail", Damaged), |recording, progress| {
            respelt(recording, &progress, r#","tail":null"#, "")
        }),
        is(("with-a-number-for-its-tail", "whose tail is a number", NewerFormat), |recording, progress| {
            respelt(recording, &progress, r#""tail":null"#, r#""tail":7"#)
        }),
        is(("newer-tail", "with a tail, and of no parts", NewerFormat), |recording, progress| {
            let none = SegmentProgress { parts: 0, ..progress };
            respelt(recording, &none, r#""tail":null"#, r#""tail":{"bytes":7}"#)
        }),
        says(cast, ("of-another-recording", "of another manifest", MixUp), false, move |it| {
            it.manifest = other
        }),
        says(cast, ("of-a-later-segment", "of segment 2, after one sealed segment", MixUp), false, |it| {
            it.index = 2;
        }),
        says(cast, ("of-segment-10000", "of a segment that no recording has", Damaged), false, |it| {
            it.index = 10_000;
        }),
        says(
            cast,
            ("of-the-track-of-the-details", "of the track that stands for the details", Damaged),
            false,
            |it| {
                it.track = 255;
            },
        ),
        says(cast, ("on-no-seal", "of the second segment, following on none", Damaged), false, |it| {
            it.previous = None;
        }),
        says(cast, ("beyond-1020-chunks", "of 69 parts of 15 chunks", Damaged), false, |it| it.parts = 69),
        says(cast, ("on-another-seal", "following on another seal", Damaged), false, move |it| {
            it.previous = Some(other);
        }),
        says(cast, ("of-no-parts", "of no parts at all", Damaged), false, |it| it.parts = 0),
        says(cast, ("of-missing-parts", "of more parts than are stored", Damaged), true, |it| it.parts = 3),
        says(cast, ("of-other-parts", "with another root", Damaged), true, move |it| it.parts_root = other),
        says(
            cast,
            ("of-another-header", "with the digest of another header", NotEntitled),
            true,
            move |it| {
                it.header = other;
            },
        ),
        says(cast, ("of-parts-of-another-size", "of parts of one chunk", Damaged), true, |it| {
            it.part_chunks = PartChunks::ONE;
        }),
        says(cast, ("of-another-track", "of another track than the header's", MixUp), true, |it| {
            it.track = 1
        }),
    ];
    let scenario = |Wrong { name, text, outcome, after_sealed, make }: Wrong<'_>| {
        let name = format!("progress-{name}");
        let recording = record(cast, &name);
        let progress = make(&recording, progress_of(&recording));
        let released = if after_sealed { recording.takes[0].plaintext.clone() } else { Vec::new() };
        Scenario::refused(&name, &format!("progress {text}"), cast, &recording, outcome)
            .released(&released)
            .with(|objects| {
                leave_open(objects, progress);
                // No reader comes as far as the body.
                objects.segments[1].body.truncate(64);
            })
    };
    cases.into_iter().map(scenario).collect()
}
