//! Segments in parts of each size, and seals that say another one.

use vault_proto::geometry::PartChunks;
use vault_proto::ids::Digest;
use vault_proto::statements::Suite;
use vault_proto::tree;

use super::Outcome::Damaged;
use super::Scenario;
use super::cast::Cast;
use super::draft::{Draft, hashes_of};
use super::primitives::fixed_bytes;

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
    all.push(throughout(cast));
    all.push(beyond(cast));
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

/// A segment that is in parts of two chunks, and says so.
fn throughout(cast: &Cast) -> Scenario {
    let name = "parts-of-2-chunks-throughout";
    let draft = || Draft::new(cast, Suite::X25519, name, &[(0, 4 * CHUNK)]);
    let body = draft().record().objects.segments.remove(0).body;
    let (first, second) = body.split_at(16 + 2 * 65_552);
    let hashes = [Digest::of(first), Digest::of(second)];
    let mut sealed = draft();
    sealed.on_seal = Box::new(move |seal| seal.parts_root = tree::parts_root(&hashes));
    sealed.on_payload = Box::new(|kind, payload| {
        if kind.contains("segment-seal") {
            let text = String::from_utf8(payload.clone()).unwrap();
            let text = text.replace(r#""parts":1"#, r#""parts":2"#);
            *payload = text.replace(r#""part_chunks":15"#, r#""part_chunks":2"#).into_bytes();
        }
    });
    let text = "a segment in parts of two chunks, which there are not";
    Scenario::refused(name, text, cast, &sealed.record(), Damaged)
        .with(|objects| objects.segments[0].parts = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect())
}

/// A segment of 1,021 chunks, of which no more than a part is there.
fn beyond(cast: &Cast) -> Scenario {
    let name = "parts-of-beyond-1020-chunks-with-their-list";
    let draft = || Draft::new(cast, Suite::X25519, name, &[(0, 4 * CHUNK)]).in_parts_of(PartChunks::THREE);
    let first = hashes_of(&draft().record().objects.segments.remove(0).body, PartChunks::THREE).remove(0);
    let mut hashes = vec![first];
    hashes.extend((1..=340).map(|part| Digest::from_bytes(fixed_bytes(&format!("{name} {part}")))));
    let root = tree::parts_root(&hashes);
    let mut sealed = draft();
    sealed.on_seal = Box::new(move |seal| {
        seal.parts_root = root;
        seal.parts = 341;
        seal.body_length = 16 + 1_021 * 65_552;
    });
    let text = "the list of a body of 1,021 chunks, whose first part is there";
    Scenario::refused(name, text, cast, &sealed.record(), Damaged).with(|objects| {
        objects.segments[0].parts = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        objects.final_seal = None;
    })
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
