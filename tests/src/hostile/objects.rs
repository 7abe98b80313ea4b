//! The objects of one recording as an operator holds them, and as he may hand them out instead.

use std::collections::BTreeMap;
use std::path::Path;

use data_encoding::BASE64;
use vault_core::identity::Identity;
use vault_proto::envelope::Envelope;
use vault_proto::geometry::PartChunks;
use vault_proto::ids::{AccountId, Digest};
use vault_proto::key_object::MAX_KEY_TEXT;
use vault_proto::named_statements::NamedStatements;
use vault_proto::object::{STATEMENTS, statement_path};
use vault_proto::statements::{Manifest, Member, SegmentSeal};
use vault_proto::timestamp::Timestamp;
use vault_proto::wire::{RecordingRecord, SegmentRecord};

/// Everything that is stored of a recording (FORMAT.md, "Objects").
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// The manifest's envelope.
    pub manifest: String,
    /// The key object, generation 0.
    pub key: Vec<u8>,
    /// The statements that the manifest names, by their digests: they lie beside the recordings.
    pub statements: BTreeMap<Digest, String>,
    /// The segments, from index 0.
    pub segments: Vec<SegmentObjects>,
    /// The details object.
    pub details: Vec<u8>,
    /// The final seal's envelope.
    pub final_seal: Option<String>,
}

/// The objects of one segment.
#[derive(Debug, Clone, Default)]
pub struct SegmentObjects {
    /// The header.
    pub header: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
    /// The part hash list.
    pub parts: Vec<u8>,
    /// The seal's envelope.
    pub seal: Option<String>,
}

/// The root of the store or export that a recording's folder, `rec/<id>`, lies in.
fn root_of(folder: &Path) -> &Path {
    folder.parent().and_then(Path::parent).expect("the folder of a recording lies in a store")
}

impl Objects {
    /// Reads a recording's folder; `None` if there is none.
    pub fn read(folder: &Path) -> Option<Self> {
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
        let bytes = |name: &str| std::fs::read(folder.join(name)).unwrap_or_default();
        let manifest = text("manifest")?;
        let named = Envelope::<Manifest>::parse(manifest.as_bytes()).ok();
        let named = named.map(|manifest| manifest.unverified().named_statements()).unwrap_or_default();
        let root = root_of(folder);
        let statement = |digest: Digest| {
            Some((digest, std::fs::read_to_string(root.join(statement_path(&digest))).ok()?))
        };
        let segments = (0..)
            .map(|index| format!("seg/{index}"))
            .take_while(|segment| folder.join(segment).is_dir())
            .map(|segment| {
                let body = bytes(&format!("{segment}/body"));
                let stored = bytes(&format!("{segment}/parts"));
                SegmentObjects {
                    header: bytes(&format!("{segment}/header")),
                    parts: if stored.is_empty() { hashes(&split(&body)) } else { stored },
                    body,
                    seal: text(&format!("{segment}/seal")),
                }
            })
            .collect();
        Some(Self {
            manifest,
            key: bytes("key.0"),
            statements: named.into_iter().filter_map(statement).collect(),
            segments,
            details: bytes("details"),
            final_seal: text("final"),
        })
    }

    /// Writes a recording's folder, and the statements beside it.
    pub fn write(&self, folder: &Path) {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
            std::fs::write(path, bytes).expect("the object is written");
        };
        write("manifest", self.manifest.as_bytes());
        let statements = root_of(folder).join(STATEMENTS);
        std::fs::create_dir_all(&statements).expect("the folder is made");
        for (digest, envelope) in &self.statements {
            std::fs::write(statements.join(digest.to_string()), envelope).expect("the object is written");
        }
        write("key.0", &self.key);
        write("details", &self.details);
        if let Some(seal) = &self.final_seal {
            write("final", seal.as_bytes());
        }
        for (index, segment) in self.segments.iter().enumerate() {
            write(&format!("seg/{index}/header"), &segment.header);
            write(&format!("seg/{index}/body"), &segment.body);
            write(&format!("seg/{index}/parts"), &segment.parts);
            if let Some(seal) = &segment.seal {
                write(&format!("seg/{index}/seal"), seal.as_bytes());
            }
        }
    }

    /// The statements that the manifest names, as whoever checks it takes them.
    pub fn named(&self) -> NamedStatements {
        let bytes = |envelope: &String| envelope.clone().into_bytes().into();
        self.statements.iter().map(|(digest, envelope)| (*digest, bytes(envelope))).collect()
    }

    /// The member of the manifest that is this account.
    ///
    /// # Panics
    /// If the manifest does not parse, or has no such member.
    pub fn member(&self, account: AccountId) -> Member {
        let manifest = self.manifest().expect("a manifest");
        let member = manifest.members.iter().find(|member| member.account == account);
        *member.expect("a member of the recording")
    }

    /// The manifest's statement, unchecked.
    pub fn manifest(&self) -> Option<Manifest> {
        Some(Envelope::<Manifest>::parse(self.manifest.as_bytes()).ok()?.unverified().clone())
    }

    /// The recording's key, as one of its readers gets at it, with any age implementation.
    pub fn opened_key(&self, reader: &Identity) -> Option<Identity> {
        let text = vault_core::age_file::open_small(reader, &self.key, MAX_KEY_TEXT).ok()?;
        Identity::parse(std::str::from_utf8(&text).ok()?.trim_end()).ok()
    }

    /// The record that a server answers with.
    pub fn record(&self, last_stored: Timestamp) -> RecordingRecord {
        RecordingRecord {
            manifest: self.manifest.clone(),
            segments: self.segments.iter().map(SegmentObjects::record).collect(),
            final_seal: self.final_seal.clone(),
            details_bytes: self.final_seal.as_ref().map(|_| self.details.len() as u64),
            last_stored,
        }
    }
}

impl SegmentObjects {
    fn record(&self) -> SegmentRecord {
        let seal = self.seal.as_ref().and_then(|seal| Envelope::<SegmentSeal>::parse(seal.as_bytes()).ok());
        SegmentRecord {
            track: seal.map_or(0, |seal| seal.unverified().track),
            parts: u32::try_from(self.parts.len() / 32).unwrap_or(u32::MAX),
            bytes: self.body.len() as u64,
            seal: self.seal.clone(),
            progress: None,
        }
    }

    /// Puts the body together from these parts, and the part list with it.
    pub fn set_parts(&mut self, parts: &[Vec<u8>]) {
        self.parts = hashes(parts);
        self.body = parts.concat();
    }

    /// The parts of the body.
    pub fn split(&self) -> Vec<Vec<u8>> {
        split(&self.body)
    }
}

/// A body cut at the boundaries of its parts, the largest that there are: all that is recorded here is.
fn split(body: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    for part in 0.. {
        let end =
            usize::try_from(PartChunks::FIFTEEN.offset(part + 1)).expect("a small body").min(body.len());
        let begin = usize::try_from(PartChunks::FIFTEEN.offset(part)).expect("a small body");
        match body.get(begin..end) {
            Some(part) if !part.is_empty() => parts.push(part.to_vec()),
            _ => break,
        }
    }
    parts
}

fn hashes(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.iter().flat_map(|part| *Digest::of(part).as_bytes()).collect()
}

/// Edits the payload of an envelope as text and leaves the signature as it is.
pub fn edit_payload(envelope: &str, edit: impl FnOnce(&str) -> String) -> String {
    let mut text: serde_json::Value = serde_json::from_str(envelope).expect("an envelope");
    let payload = text.get("payload").and_then(|payload| payload.as_str()).expect("a payload");
    let payload = BASE64.decode(payload.as_bytes()).expect("base64");
    let edited = edit(std::str::from_utf8(&payload).expect("text"));
    let kind = text.get("payloadType").and_then(|kind| kind.as_str()).expect("a type").to_owned();
    let signatures = text.get_mut("signatures").expect("signatures").take();
    // Written out by hand: the canonical spelling has its fields in this order.
    let signature = signatures.get(0).expect("a signature");
    let field =
        |name: &str| signature.get(name).and_then(|value| value.as_str()).expect("a field").to_owned();
    format!(
        r#"{{"payloadType":"{kind}","payload":"{}","signatures":[{{"keyid":"{}","sig":"{}"}}]}}"#,
        BASE64.encode(edited.as_bytes()),
        field("keyid"),
        field("sig")
    )
}
