//! Where fuzzing begins: for each parser, inputs that it accepts.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a builder of test data fails by panicking, as the tests that use it do"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use serde_json::{Value, json};
use vault_core::details::{Details, Track};
use vault_core::seed::Seed;
use vault_core::webm::SeekIndexer;
use vault_proto::compare::grouped;
use vault_proto::envelope::Envelope;
use vault_proto::http_signature::{
    CoveredHeader, Nonce, SignatureInput, content_digest_value, signature_value,
};
use vault_proto::ids::{Digest, PublicKey};
use vault_proto::statements::{Manifest, Suite};

use crate::vectors;

const MEDIA: &[u8] = include_bytes!("../../media/mediarecorder.webm");
const JOINED: &[u8] = include_bytes!("../../media/two-recorders-joined.webm");

/// Inputs for the parser of this name.
///
/// # Panics
/// If there is no such parser, or a test vector cannot be read.
pub fn seeds(parser: &str) -> Vec<Vec<u8>> {
    match parser {
        "webm" => vec![MEDIA[..2_500].to_vec(), two_clusters(), joined()],
        "details" => details(),
        "envelope" => envelopes(),
        "statement" => payloads(),
        "object" => objects(),
        "header" => headers(),
        "request" => vec![request()],
        "answer" => answers(),
        "text" => texts(),
        other => panic!("no seeds for {other}"),
    }
}

/// Inputs that were trouble for the parser of this name once, under `tests/src/fuzz/found/`.
pub fn found(parser: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fuzz/found").join(parser);
    fs::read_dir(folder).map_or_else(
        |_| Vec::new(),
        |entries| entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect(),
    )
}

/// A recording in as few bytes as show everything that the indexer follows: two tracks, clusters of known and of
/// unknown size, simple blocks and groups.
fn two_clusters() -> Vec<u8> {
    let element = |id: &[u8], payload: &[u8]| [id, &[0x80 | payload.len() as u8], payload].concat();
    let track = |number: u8, kind: u8| {
        element(&[0xae], &[element(&[0xd7], &[number]), element(&[0x83], &[kind])].concat())
    };
    let info =
        element(&[0x15, 0x49, 0xa9, 0x66], &element(&[0x2a, 0xd7, 0xb1], &1_000_000u32.to_be_bytes()[1..]));
    let tracks = element(&[0x16, 0x54, 0xae, 0x6b], &[track(1, 2), track(2, 1)].concat());
    let block = |track: u8, time: u8| element(&[0xa3], &[0x80 | track, 0, time, 0x80, 7]);
    let group = element(
        &[0xa0],
        &[element(&[0xa1], &[0x82, 0, 40, 0, 7]), element(&[0x9b], &[33]), element(&[0xfb], &[0x80])]
            .concat(),
    );
    let cluster = |time: u8| [element(&[0xe7], &[time]), block(1, 0), block(2, 7), group.clone()].concat();
    [
        element(&[0x1a, 0x45, 0xdf, 0xa3], &element(&[0x42, 0x82], b"webm")),
        vec![0x18, 0x53, 0x80, 0x67, 0xff],
        info,
        tracks,
        element(&[0x1f, 0x43, 0xb6, 0x75], &cluster(0)),
        [&[0x1f, 0x43, 0xb6, 0x75, 0xff][..], &cluster(100)].concat(),
    ]
    .concat()
}

/// What two recorders wrote end to end, the first of them cut off within a cluster.
fn joined() -> Vec<u8> {
    let second = JOINED.windows(4).rposition(|window| window == [0x1a, 0x45, 0xdf, 0xa3]).unwrap();
    [&JOINED[..1_500], &JOINED[second..second + 1_500]].concat()
}

fn details() -> Vec<Vec<u8>> {
    let of = |media: &[u8]| {
        let mut indexer = SeekIndexer::new();
        indexer.push(media);
        let indexed = indexer.finish();
        let time = "2026-11-21T09:30:00Z".parse().unwrap();
        let track = Track {
            track: 0,
            media_type: "video/webm".to_owned(),
            bytes: media.len() as u64,
            duration_ms: indexed.duration_ms,
            sha256: Some(Digest::of(media)),
            seek: Some(indexed.index.expect("a recording that is followed")),
        };
        let details =
            Details { title: Some("Knee".to_owned()), started: time, ended: time, tracks: vec![track] };
        details.to_text().unwrap()
    };
    vec![of(&MEDIA[..20_000]), of(&two_clusters())]
}

/// Files of the test vectors whose name this accepts, each content once.
fn vector_files(wanted: impl Fn(&str) -> bool) -> BTreeSet<Vec<u8>> {
    fn walk(folder: PathBuf, wanted: &impl Fn(&str) -> bool, files: &mut BTreeSet<Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(path, wanted, files);
            } else if path.file_name().and_then(|name| name.to_str()).is_some_and(wanted) {
                files.insert(fs::read(path).unwrap());
            }
        }
    }
    let mut files = BTreeSet::new();
    walk(vectors::folder(), &wanted, &mut files);
    files
}

fn envelopes() -> Vec<Vec<u8>> {
    let is_envelope = |name: &str| {
        matches!(name, "manifest" | "final" | "seal" | "progress")
            || name.starts_with("grant.")
            || name.parse::<Digest>().is_ok()
    };
    vector_files(is_envelope).into_iter().collect()
}

/// Payloads of these envelopes behind the number that `statement` reads, and of the statements that no vector holds.
fn payloads() -> Vec<Vec<u8>> {
    let kinds = [
        "certificate",
        "issuer-certificate",
        "key-list",
        "manifest",
        "segment-seal",
        "segment-progress",
        "final-seal",
        "recording-list",
        "export",
        "device",
        "revocations",
        "grant",
    ];
    let kind_of = |envelope: &Value| {
        let kind = envelope["payloadType"].as_str()?.strip_prefix("application/vnd.recording-vault.")?;
        kinds.iter().position(|known| kind.strip_suffix(".v1+json") == Some(known))
    };
    let mut payloads: BTreeSet<Vec<u8>> = envelopes()
        .iter()
        .filter_map(|envelope| {
            let envelope = serde_json::from_slice::<Value>(envelope).ok()?;
            let payload = BASE64.decode(envelope["payload"].as_str()?.as_bytes()).ok()?;
            Some([&[kind_of(&envelope)? as u8], &payload[..]].concat())
        })
        .collect();
    let (id, time) = ("0".repeat(64), "2026-11-21T09:30:00Z");
    let list = format!(
        r#"{{"account":"{id}","organisation":"{id}","number":2,"previous":"{id}","created":"{time}","recordings":1,"entries":"{id}"}}"#
    );
    let member = format!(
        r#"{{"account":"{id}","issuer":"{id}","certificate":"{id}","key_list":"{id}","device":null}}"#
    );
    let export = format!(r#"{{"member":{member},"list":"{id}","created":"{time}","sums":"{id}"}}"#);
    let [_, _, key_list] = of_first_member();
    let payload = serde_json::from_str::<Value>(&key_list).unwrap()["payload"].take();
    let list_of_keys: Value =
        serde_json::from_slice(&BASE64.decode(payload.as_str().unwrap().as_bytes()).unwrap()).unwrap();
    let device = format!(
        r#"{{"account":"{id}","key_list":"{id}","key":{},"roles":["auth","seal"],"by":"{id}","created":"{time}"}}"#,
        list_of_keys["devices"][0]["key"]
    );
    let revocations = format!(
        r#"{{"organisation":"{id}","number":1,"previous":null,"created":"{time}","expires":"2026-11-28T09:30:00Z","entries":["{id}"]}}"#
    );
    let others = [(7u8, list), (8, export), (9, device), (10, revocations)];
    payloads.extend(others.map(|(kind, payload)| [&[kind], payload.as_bytes()].concat()));
    payloads.into_iter().collect()
}

/// Issuer's certificate, certificate and key list of the first member of a recording.
fn of_first_member() -> [String; 3] {
    let scenario = vectors::read(&vectors::folder().join("opens-two-parts")).unwrap();
    let manifest = Envelope::<Manifest>::parse(&scenario.objects.manifest).unwrap();
    let member = manifest.unverified().members[0];
    [member.issuer, member.certificate, member.key_list]
        .map(|digest| String::from_utf8(scenario.objects.statements[&digest].clone()).unwrap())
}

fn objects() -> Vec<Vec<u8>> {
    let (recording, digest) = ("0".repeat(32), "0".repeat(64));
    let entry = |recording: &str, seal: &str| {
        format!(r#"{{"recording":"{recording}","manifest":"{digest}","final_seal":{seal}}}"#)
    };
    let entries = [entry(&recording, "null"), entry(&recording.replace('0', "1"), &format!("\"{digest}\""))];
    let revoked = format!(r#"{{"account":"{digest}","ended":"2026-11-21T09:30:00Z","key_list":2}}"#);
    vec![
        format!(r#"{{"entries":[{revoked}]}}"#).into_bytes(),
        format!(r#"{{"recordings":[{}]}}"#, entries.join(",")).into_bytes(),
    ]
}

fn headers() -> Vec<Vec<u8>> {
    let of_age = |name: &str| name == "details" || name == "header" || name.starts_with("key.");
    vector_files(of_age).into_iter().take(40).collect()
}

fn request() -> Vec<u8> {
    let input = SignatureInput {
        created: 1_795_000_000,
        nonce: Nonce::from_bytes([7; 16]),
        key_id: "0".repeat(64).parse().unwrap(),
        covered: Some(CoveredHeader::Range),
    };
    let digest = content_digest_value(&Digest::of(b""));
    let signature = signature_value(&[7; 64]);
    format!("{input}\n{signature}\n{digest}\nbytes=0-99\nbytes=-5\nBytes = 7-\n").into_bytes()
}

fn answers() -> Vec<Vec<u8>> {
    let text = |name: &str| fs::read_to_string(vectors::folder().join("opens-two-parts").join(name)).unwrap();
    let (manifest, seal) = (text("manifest"), text("seg/0/seal"));
    let (id, recording, time) = ("0".repeat(64), "0".repeat(32), "2026-11-21T09:30:00Z");
    let [issuer, certificate, key_list] = of_first_member();
    [
        json!({ "organisation": id, "time": time, "version": "0.1.0" }),
        json!({ "issuer": issuer, "certificate": certificate, "key_lists": [key_list] }),
        json!({ "accounts": [id] }),
        json!({ "own": { "commitment": id, "nonce": null }, "other": { "commitment": id, "nonce": id }, "first": true }),
        json!({ "manifest": manifest, "key": "YWdl", "statements": [issuer, certificate] }),
        json!({ "statements": [key_list] }),
        json!({ "track": 0, "part_chunks": 3, "header": "YWdl" }),
        json!({ "recordings": [{ "recording": recording, "finished": true, "bytes": 7 }], "next": "x" }),
        json!({
            "manifest": manifest, "final_seal": null, "details_bytes": 7, "last_stored": time,
            "segments": [{ "track": 0, "parts": 2, "bytes": 7, "seal": seal, "progress": null }],
        }),
        json!({ "type": "urn:recording-vault:problem:not-found", "title": "x", "status": 404, "code": "not-found" }),
    ]
    .iter()
    .map(|answer| answer.to_string().into_bytes())
    .collect()
}

fn texts() -> Vec<Vec<u8>> {
    // The words of thirty-two zeros, of which every text below is made.
    let words = ["abandon"; 23].join(" ") + " art";
    let seed = Seed::from_words(&words).unwrap();
    let mut texts = vec![words];
    for suite in [Suite::X25519, Suite::Pq] {
        let identity = seed.identity(suite, 0).unwrap();
        let key = format!("# note: on call\n{}\n", *identity.export());
        texts.extend([identity.recipient().to_string(), identity.export().to_string(), key]);
    }
    let root = seed.organisation_root();
    let public = PublicKey::from_bytes(root.public()).to_string();
    texts.extend([public, root.export().to_string(), "0".repeat(32)]);
    texts.extend(["2026-0421:7", "2026-11-21T09:30:00Z", "2026-11-21T09:30:00.5Z"].map(str::to_owned));
    texts.push(grouped(&"0123456789".repeat(6)));
    texts.into_iter().map(String::into_bytes).collect()
}
