//! Segments in parts of each size, and seals that say another one.

use vault_proto::geometry::PartChunks;
use vault_proto::statements::Suite;

use super::Outcome::Damaged;
use super::Scenario;
use super::cast::Cast;
use super::draft::Draft;

/// Plaintext bytes of a chunk.
const CHUNK: usize = 65_536;

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    let mut all: Vec<Scenario> = [PartChunks::ONE, PartChunks::THREE, PartChunks::FIVE]
        .into_iter()
        .map(|size| opens(cast, size))
        .collect();
    all.push(cut(cast));
    all.extend(refused(cast));
    all
}

fn opens(cast: &Cast, size: PartChunks) -> Scenario {
    let chunks = u8::from(size);
    let name = format!("parts-of-{chunks}-chunks");
    let length = 2 * CHUNK * usize::from(chunks) + 70_000;
    let recording =
        Draft::new(cast, Suite::X25519, &name, &[(0, length), (1, 500)]).in_parts_of(size).record();
    let text = format!("two segments in parts of {chunks} chunks, the first of several parts");
    Scenario::opened(&name, &text, cast, &recording)
}

fn cut(cast: &Cast) -> Scenario {
    let name = "parts-of-3-chunks-cut";
    let takes = [(0, 3 * CHUNK), (0, 1_000)];
    let recording =
        Draft::new(cast, Suite::X25519, name, &takes).in_parts_of(PartChunks::THREE).cut(0).record();
    Scenario::opened(
        name,
        "a segment cut behind its first part of 3 chunks, then one that ends",
        cast,
        &recording,
    )
}

/// What a seal of four chunks in parts of three says instead, all of it signed.
const LIES: [(&str, &str, &str, &str); 7] = [
    ("none", "no chunks at all", r#""part_chunks":3"#, r#""part_chunks":0"#),
    ("2-chunks", "parts of two chunks, which there are not", r#""part_chunks":3"#, r#""part_chunks":2"#),
    ("16-chunks", "parts of 16 chunks, which there are not", r#""part_chunks":3"#, r#""part_chunks":16"#),
    ("words", "the number of chunks as text", r#""part_chunks":3"#, r#""part_chunks":"3""#),
    (
        "another-size",
        "larger parts than its number of parts allows",
        r#""part_chunks":3"#,
        r#""part_chunks":5"#,
    ),
    // Two parts of one chunk would be shorter.
    (
        "smaller-size",
        "smaller parts than its number of parts allows",
        r#""part_chunks":3"#,
        r#""part_chunks":1"#,
    ),
    (
        "beyond-1020-chunks",
        "a body of 1,021 chunks",
        "\"body_length\":262224,\"parts\":2,",
        "\"body_length\":66928608,\"parts\":341,",
    ),
];

fn refused(cast: &Cast) -> Vec<Scenario> {
    let lie = |(name, text, from, to): (&str, &str, &str, &str)| {
        let name = format!("parts-of-{name}");
        let mut draft =
            Draft::new(cast, Suite::X25519, &name, &[(0, 4 * CHUNK)]).in_parts_of(PartChunks::THREE);
        let (from, to) = (from.to_owned(), to.to_owned());
        draft.on_payload = Box::new(move |kind, payload| {
            if kind.contains("segment-seal") {
                let text = String::from_utf8(payload.clone()).unwrap();
                assert!(text.contains(&from), "{text}");
                *payload = text.replace(&from, &to).into_bytes();
            }
        });
        let recording = draft.record();
        Scenario::refused(&name, &format!("a seal that says {text}"), cast, &recording, Damaged)
    };
    LIES.into_iter().map(lie).collect()
}
