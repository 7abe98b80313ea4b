//! Recordings that open.

use vault_proto::geometry::{CHUNK_PLAINTEXT, MAX_PART_PLAINTEXT};
use vault_proto::statements::{RecordingStatus, Suite};

use super::cast::Cast;
use super::draft::{Draft, Recording};
use super::primitives::fixed_bytes;
use super::{Outcome, Scenario, worked_examples};

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    let mut all = by_length(cast);
    all.extend(by_shape(cast));
    all.extend(by_spelling(cast));
    let text = "the recording whose bytes FORMAT.md prints";
    let worked = worked_examples::recording(cast);
    all.push(Scenario::opened(worked_examples::VECTOR, text, cast, &worked));
    all
}

fn record(cast: &Cast, suite: Suite, name: &str, takes: &[(u8, usize)]) -> Recording {
    Draft::new(cast, suite, name, takes).record()
}

fn by_length(cast: &Cast) -> Vec<Scenario> {
    let mut all = Vec::new();
    for (suite, lengths) in [
        (Suite::X25519, &[0, 1, CHUNK_PLAINTEXT - 1, CHUNK_PLAINTEXT, CHUNK_PLAINTEXT + 1][..]),
        (Suite::Pq, &[0, 1, CHUNK_PLAINTEXT + 1][..]),
    ] {
        for &length in lengths {
            let name = format!("opens-{}-{length}-bytes", suite.name());
            let text = format!("one segment of {length} bytes, suite {}", suite.name());
            let recording = record(cast, suite, &name, &[(0, length)]);
            all.push(Scenario::opened(&name, &text, cast, &recording));
            if length == 1 {
                let name = format!("{name}-by-the-clinician");
                let text =
                    format!("{text}, read by the clinician, whose stanza in the key object is the second");
                all.push(Scenario::opened(&name, &text, cast, &recording).read_by(&cast.clinician, suite));
            }
        }
    }
    all
}

fn by_shape(cast: &Cast) -> Vec<Scenario> {
    let name = "opens-two-parts";
    let two_parts = record(cast, Suite::X25519, name, &[(0, MAX_PART_PLAINTEXT + 70_000)]);
    let two_parts =
        Scenario::opened(name, "a segment of a full part and a part of two chunks", cast, &two_parts);

    let name = "opens-cut-segment-and-another";
    let takes = [(0, MAX_PART_PLAINTEXT), (0, 1_000)];
    let cut = Draft::new(cast, Suite::X25519, name, &takes).cut(0).record();
    let cut = Scenario::opened(name, "a segment cut behind its first part, then one that ends", cast, &cut);

    let name = "opens-segments-of-two-tracks";
    let takes = [(0, 3_000), (1, 20_000), (1, 0), (0, 5_000), (254, 77)];
    let tracks = record(cast, Suite::X25519, name, &takes);
    let tracks = Scenario::opened(name, "five segments of three tracks, one of them empty", cast, &tracks);

    let name = "opens-pq-three-segments";
    let pq = record(cast, Suite::Pq, name, &[(0, 10), (1, 20), (0, 30)]);
    let pq = Scenario::opened(name, "three segments, suite pq", cast, &pq);

    let name = "opens-sealed-by-a-recorder";
    let recorder = Draft::new(cast, Suite::X25519, name, &[(0, 500)]).sealed_by(&cast.recorder).record();
    let recorder = Scenario::opened(name, "sealed by a recorder, who is no reader", cast, &recorder);

    let name = "opens-sealed-by-the-patient";
    let patient = Draft::new(cast, Suite::X25519, name, &[(0, 500)]).sealed_by(&cast.patient).record();
    let patient = Scenario::opened(name, "sealed by the patient herself", cast, &patient);

    let name = "cut-off-without-a-final-seal";
    let unfinished = record(cast, Suite::X25519, name, &[(0, 4_000), (1, 4_000)]);
    let unfinished =
        Scenario::opened(name, "two segments and neither final seal nor details", cast, &unfinished)
            .ending(Outcome::CutOff)
            .with(|objects| {
                objects.final_seal = None;
                objects.details = None;
            });

    let name = "cut-off-before-the-first-segment";
    let mut empty = record(cast, Suite::X25519, name, &[]);
    empty.objects.final_seal = None;
    empty.objects.details = None;
    let empty =
        Scenario::opened(name, "a manifest and nothing after it", cast, &empty).ending(Outcome::CutOff);

    let name = "cut-off-and-recovered";
    let mut recovered = Draft::new(cast, Suite::X25519, name, &[(0, 4_000)]);
    recovered.on_final = Box::new(|seal| seal.status = RecordingStatus::Recovered);
    let recovered = Scenario::opened(
        name,
        "a final seal that says that the rest is lost: everything opens, and it is not complete",
        cast,
        &recovered.record(),
    )
    .ending(Outcome::CutOff);

    let name = "cut-off-last-segments-kept-back";
    let kept_back = record(cast, Suite::X25519, name, &[(0, 400), (0, 500)]);
    let first = kept_back.takes[0].plaintext.clone();
    let mut kept_back =
        Scenario::opened(name, "the last segment, details and final seal are kept back", cast, &kept_back)
            .ending(Outcome::CutOff)
            .released(&first)
            .with(|objects| {
                objects.segments.truncate(1);
                objects.final_seal = None;
                objects.details = None;
            });
    for track in &mut kept_back.description.expected.tracks {
        track.length = first.len() as u64;
        track.sha256 = vault_proto::ids::Digest::of(&first);
    }
    vec![two_parts, cut, tracks, pq, recorder, patient, unfinished, empty, recovered, kept_back]
}

/// What a sealer may write otherwise, and a reader has to read.
fn by_spelling(cast: &Cast) -> Vec<Scenario> {
    let name = "opens-fields-in-another-order";
    let mut order = Draft::new(cast, Suite::X25519, name, &[(0, 300)]);
    order.on_payload = Box::new(|_, payload| {
        let text = String::from_utf8(payload.clone()).unwrap();
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        let fields: Vec<String> =
            fields.iter().rev().map(|(name, value)| format!("{name:?}:{value}")).collect();
        *payload = format!("{{{}}}", fields.join(",")).into_bytes();
    });
    let order = Scenario::opened(name, "payloads whose fields stand in another order", cast, &order.record());

    let name = "opens-white-space-in-payloads";
    let mut space = Draft::new(cast, Suite::X25519, name, &[(0, 300)]);
    space.on_payload = Box::new(|_, payload| {
        let value: serde_json::Value = serde_json::from_slice(payload).unwrap();
        *payload = serde_json::to_vec_pretty(&value).unwrap();
    });
    let space =
        Scenario::opened(name, "payloads with white space between their tokens", cast, &space.record());

    let name = "opens-later-manifest-of-the-device";
    let mut later = Draft::new(cast, Suite::X25519, name, &[(0, 300)]);
    let checkpoint = vault_proto::ids::Digest::from_bytes(fixed_bytes("a checkpoint"));
    later.on_manifest = Box::new(move |manifest| {
        manifest.sequence = 17;
        manifest.directory_checkpoint = Some(checkpoint);
    });
    let later =
        Scenario::opened(name, "the 17th manifest of its device, with a checkpoint", cast, &later.record());

    let name = "opens-unknown-field-in-details";
    let mut field = Draft::new(cast, Suite::X25519, name, &[(0, 300)]);
    field.on_details = Box::new(|text| *text = text.replacen('{', r#"{"seek_index":[0,7],"#, 1));
    let field = Scenario::opened(name, "details with a field that is not known", cast, &field.record());

    let name = "opens-title-of-control-characters";
    let mut title = Draft::new(cast, Suite::X25519, name, &[(0, 300)]);
    title.on_details = Box::new(|text| *text = text.replacen("Consultation", r"\u001b[2J\u202e../../etc", 1));
    let title = Scenario::opened(
        name,
        "a title that must be made harmless before it is shown",
        cast,
        &title.record(),
    );

    let name = "opens-seek-index-in-details";
    let index = r#""seek":{"ebml":"GkXfow==","info":"","tracks":"","others":"","body_from":100,"open_ended":true,"scale":1000000,"runs":[[0,0,1500],[150,0,500]],"cue_track":1,"cues":[[0,0],[1000,100],[0,150]],"sound_track":2,"sound_cues":[[20,0]],"other_from":null},"duration_ms""#;
    let mut sought = Draft::new(cast, Suite::X25519, name, &[(0, 300)]);
    sought.on_details = Box::new(move |text| *text = text.replacen(r#""duration_ms""#, index, 1));
    let sought =
        Scenario::opened(name, "details with a seek index, which changes no byte", cast, &sought.record());

    let name = "opens-seek-index-of-no-known-form";
    let mut strange = Draft::new(cast, Suite::X25519, name, &[(0, 300)]);
    let index = r#""seek":{"cues":[[9,0],[1,-1]]},"duration_ms""#;
    strange.on_details = Box::new(move |text| *text = text.replacen(r#""duration_ms""#, index, 1));
    let strange =
        Scenario::opened(name, "a seek index of no known form counts as none", cast, &strange.record());
    vec![order, space, later, field, title, sought, strange]
}
