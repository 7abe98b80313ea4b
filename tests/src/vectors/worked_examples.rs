//! The worked examples of docs/FORMAT.md: one small recording, its values in the order in which a reader needs them.

use std::fmt::Write as _;

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest as _, Sha256};
use vault_core::identity::Identity;
use vault_core::seed::Seed;
use vault_proto::geometry::PartChunks;
use vault_proto::statements::Suite;

use super::cast::{Cast, Person};
use super::draft::{Draft, Recording, Take, recording_key};
use super::primitives::{fixed_bytes, taken_apart};

/// Name of the vector that the examples are taken from.
pub const VECTOR: &str = "opens-the-worked-example";
/// What the recording of the examples says.
pub const MEDIA: &[u8] = b"Good morning.";

/// The recording of the examples.
#[must_use]
pub fn recording(cast: &Cast) -> Recording {
    let mut draft = Draft::new(cast, Suite::X25519, VECTOR, &[(0, 0)]).in_parts_of(PartChunks::ONE);
    draft.takes = vec![Take { plaintext: MEDIA.to_vec(), ..draft.takes[0].clone() }];
    draft.record()
}

/// SHA-256 of a label, a zero and data, written out: nothing of what is shown comes from what it is to check.
fn labelled(label: &str, data: impl AsRef<[u8]>) -> [u8; 32] {
    let label = format!("recording-vault/v1/{label}");
    Sha256::new().chain_update(label).chain_update([0]).chain_update(data).finalize().into()
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

/// Lines of `name = value`, the names of one width.
struct Table(Vec<(&'static str, String)>);

impl Table {
    fn text(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let mut text = String::new();
        for (name, value) in &self.0 {
            let indent = format!("\n{}", " ".repeat(width + 3));
            writeln!(text, "{name:width$} = {}", folded(value).replace('\n', &indent)).unwrap();
        }
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n") + "\n"
    }
}

/// A text in lines that fit a page, at the places where it has some, or anywhere.
fn folded(text: &str) -> String {
    const WIDTH: usize = 96;
    let fold = |line: &str| {
        let characters: Vec<char> = line.chars().collect();
        let pieces: Vec<String> = characters.chunks(WIDTH).map(|piece| piece.iter().collect()).collect();
        pieces.join("\n")
    };
    text.lines().map(fold).collect::<Vec<_>>().join("\n")
}

fn words_of(seed: &Seed) -> String {
    let words = seed.to_words();
    let words: Vec<&str> = words.split(' ').collect();
    let lines: Vec<String> = words.chunks(12).map(|line| line.join(" ")).collect();
    lines.join("\n")
}

fn person(person: &Person, entropy: [u8; 32]) -> String {
    let identity = |suite| person.identity(suite);
    let key_id =
        |identity: &Identity| labelled("encryption-key", identity.recipient().to_string().as_bytes());
    let (small, large) = (identity(Suite::X25519), identity(Suite::Pq));
    let root = person.seed.account_root();
    Table(vec![
        ("words", words_of(&person.seed)),
        ("seed", hex(entropy)),
        ("account root, public", hex(root.public())),
        ("account", hex(labelled("account", root.public()))),
        ("identity, suite 1, epoch 1", small.export().to_string()),
        ("its recipient", small.recipient().to_string()),
        ("its key id", hex(key_id(&small))),
        ("identity, suite 2, epoch 1", large.export().to_string()),
        ("SHA-256 of its recipient", hex(Sha256::digest(large.recipient().to_string()))),
        ("its key id", hex(key_id(&large))),
    ])
    .text()
}

fn ids(cast: &Cast, recording: &Recording) -> String {
    let manifest = &recording.manifest;
    let device = cast.clinician.device.public();
    let device_id = labelled("device-key", device);
    let salt = manifest.salt.as_bytes();
    let id = labelled("recording", [&device_id[..], salt].concat());
    Table(vec![
        ("organisation root, public", hex(cast.root.public())),
        ("organisation", hex(labelled("organisation", cast.root.public()))),
        ("issuer, public", hex(cast.issuer.public())),
        ("issuer key id", hex(labelled("issuer-key", cast.issuer.public()))),
        ("device, secret", hex(fixed_bytes("clinician device"))),
        ("device, public", hex(device)),
        ("device key id", hex(device_id)),
        ("salt", hex(salt)),
        ("recording", hex(id.first_chunk::<16>().unwrap())),
    ])
    .text()
}

fn statement(recording: &Recording) -> String {
    let envelope = recording.objects.final_seal.as_deref().unwrap();
    let (payload_type, payload) = taken_apart(envelope);
    let value: serde_json::Value = serde_json::from_slice(envelope).unwrap();
    let signature = value["signatures"][0]["sig"].as_str().unwrap();
    let text = String::from_utf8(payload.clone()).unwrap();
    Table(vec![
        ("payload", text.clone()),
        ("to be signed", format!("DSSEv1 {} {payload_type} {} {text}", payload_type.len(), payload.len())),
        ("signature", hex(BASE64.decode(signature.as_bytes()).unwrap())),
        ("envelope", String::from_utf8(envelope.to_vec()).unwrap()),
        ("digest", hex(Sha256::digest(&payload))),
    ])
    .text()
}

/// An age file, its header as text and what follows in hexadecimal.
fn age_file(bytes: &[u8]) -> [String; 2] {
    let mac = bytes.windows(5).position(|at| at == b"\n--- ").unwrap() + 1;
    let end = mac + bytes[mac..].iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let (header, rest) = bytes.split_at(end);
    [String::from_utf8(header.to_vec()).unwrap(), hex(rest)]
}

fn key_object(recording: &Recording) -> String {
    let manifest = &recording.manifest;
    let (tenant, key) = (manifest.tenant.as_bytes(), manifest.key.as_bytes());
    let context = labelled("key-context", [&tenant[..], manifest.recording.as_bytes(), key].concat());
    let identity = recording_key(Suite::X25519, VECTOR);
    let [header, payload] = age_file(&recording.objects.key);
    Table(vec![
        ("identity of the recording", identity.export().to_string()),
        ("its recipient", identity.recipient().to_string()),
        ("key", hex(key)),
        ("key_context", hex(context)),
        ("its header", header),
        ("nonce and chunk", payload),
        ("key_object", hex(Sha256::digest(&recording.objects.key))),
    ])
    .text()
}

fn segment(recording: &Recording) -> String {
    let manifest = Sha256::digest(taken_apart(&recording.objects.manifest).1);
    let context = |index: u32, track: u8| {
        hex(labelled("context", [&manifest[..], &index.to_be_bytes(), &[track]].concat()))
    };
    let segment = &recording.objects.segments[0];
    let part = Sha256::digest(&segment.body);
    let root = Sha256::new().chain_update([0]).chain_update(part).finalize();
    Table(vec![
        ("digest of the manifest", hex(manifest)),
        ("context_0, track 0", context(0, 0)),
        ("context of the details", context(u32::MAX, 255)),
        ("plaintext", String::from_utf8(MEDIA.to_vec()).unwrap()),
        ("file key", hex(recording.file_keys[0])),
        ("its header", String::from_utf8(segment.header.clone()).unwrap()),
        ("header of the seal", hex(Sha256::digest(&segment.header))),
        ("body", hex(&segment.body)),
        ("parts", hex(part)),
        ("parts_root", hex(root)),
    ])
    .text()
}

fn parts() -> String {
    let hash = |number: u8| -> [u8; 32] { Sha256::digest([number]).into() };
    let leaf = |number: u8| -> [u8; 32] { Sha256::digest([&[0][..], &hash(number)].concat()).into() };
    let node = |left: [u8; 32], right: [u8; 32]| -> [u8; 32] {
        Sha256::digest([&[1][..], &left, &right].concat()).into()
    };
    Table(vec![
        ("hash of part 0", hex(hash(0))),
        ("hash of part 1", hex(hash(1))),
        ("hash of part 2", hex(hash(2))),
        ("root over 0", hex(leaf(0))),
        ("root over 0, 1", hex(node(leaf(0), leaf(1)))),
        ("root over 0, 1, 2", hex(node(node(leaf(0), leaf(1)), leaf(2)))),
    ])
    .text()
}

/// The last `digits` decimal digits of a number of 32 bytes.
fn decimal(digits: usize, number: [u8; 32]) -> String {
    let mut left = number.to_vec();
    let mut text = Vec::new();
    for _ in 0..digits {
        let mut rest = 0_u16;
        for byte in &mut left {
            let value = rest * 256 + u16::from(*byte);
            *byte = u8::try_from(value / 10).unwrap();
            rest = value % 10;
        }
        text.push(char::from(b'0' + u8::try_from(rest).unwrap()));
    }
    text.iter().rev().collect()
}

fn compared(cast: &Cast) -> String {
    let organisation = labelled("organisation", cast.root.public());
    let side = |person: &Person| {
        let account = labelled("account", person.seed.account_root().public());
        let list = cast.member(person, Suite::X25519).key_list;
        let digest: [u8; 32] = Sha256::digest(taken_apart(list.as_bytes()).1).into();
        (account, [account, digest].concat())
    };
    let mut sides = [("patient", side(&cast.patient)), ("clinician", side(&cast.clinician))];
    sides.sort_by_key(|(_, (account, _))| *account);
    let [(x, (account_x, s_x)), (_, (account_y, s_y))] = sides;
    let (n_x, n_y) = (fixed_bytes("nonce x"), fixed_bytes("nonce y"));
    let commitment =
        labelled("compare-commitment", [&organisation[..], &account_x, &account_y, &n_x].concat());
    let code = labelled("compare", [&organisation[..], &s_x, &n_x, &s_y, &n_y].concat());
    let number = labelled("compare-number", [&organisation[..], &s_x, &s_y].concat());
    Table(vec![
        ("x is the", x.to_owned()),
        ("S_x", hex(s_x)),
        ("S_y", hex(s_y)),
        ("n_x", hex(n_x)),
        ("n_y", hex(n_y)),
        ("commitment_x", hex(commitment)),
        ("code", decimal(6, code)),
        ("number", decimal(60, number)),
    ])
    .text()
}

/// The examples, each with the name that its block in the document has.
#[must_use]
pub fn blocks() -> Vec<(&'static str, String)> {
    let cast = Cast::of("hospital");
    let recording = recording(&cast);
    vec![
        ("person", person(&cast.patient, [0; 32])),
        ("ids", ids(&cast, &recording)),
        ("key-object", key_object(&recording)),
        ("segment", segment(&recording)),
        ("parts", parts()),
        ("statement", statement(&recording)),
        ("compare", compared(&cast)),
    ]
}
