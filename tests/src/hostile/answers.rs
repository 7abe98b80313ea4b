//! What is answered instead of the truth: each fault as a change of a recording's objects.

use vault_core::identity::{Identity, unwrap_header};
use vault_core::payload::PayloadSealer;
use vault_core::recipient::Recipient;
use vault_core::signing_key::SigningKey;
use vault_proto::age_header::Header;
use vault_proto::envelope::{self, Envelope};
use vault_proto::geometry::{CHUNK_CIPHERTEXT, PartChunks, body_length};
use vault_proto::ids::Digest;
use vault_proto::labels;
use vault_proto::sealed_header::context_stanza;
use vault_proto::statements::{KeyList, Member, Reader, ReaderRole, Role, SegmentSeal, Suite};

use super::directory::OwnKeys;
use super::fault::FaultKind;
use super::forged_age::{ForgedKey, forge_header};
use super::objects::{Objects, edit_payload};

/// A reader of a recording who helps the operator.
pub(super) struct Accomplice {
    pub(super) identity: std::sync::Arc<Identity>,
    pub(super) device: SigningKey,
}

/// What stands in the body that an accomplice writes.
const FORGED: &[u8] = b"forged: words that nobody spoke. ";

/// Changes `objects` as one fault says; `other` is the recording that stands in.
pub(super) fn lie(
    kind: FaultKind,
    objects: &mut Objects,
    other: Option<&Objects>,
    own: &OwnKeys,
    accomplice: Option<&Accomplice>,
) {
    let foreign = other.and_then(|other| other.segments.first());
    match kind {
        FaultKind::SwapRecording | FaultKind::SwapRecordingSamePatient => {
            if let Some(other) = other {
                objects.clone_from(other);
            }
        }
        FaultKind::SwapManifest => {
            if let Some(other) = other {
                objects.manifest.clone_from(&other.manifest);
                objects.statements.clone_from(&other.statements);
            }
        }
        FaultKind::SwapStatements
        | FaultKind::SwapKinds
        | FaultKind::OwnStatements
        | FaultKind::EditStatements
        | FaultKind::HideStatements => lie_about_statements(kind, objects, other, own),
        FaultKind::SwapFinal => {
            if let Some(other) = other {
                objects.final_seal.clone_from(&other.final_seal);
            }
        }
        FaultKind::SwapDetails => {
            if let Some(other) = other {
                objects.details.clone_from(&other.details);
            }
        }
        FaultKind::ExchangeSegments => {
            if let [first, second, ..] = objects.segments.as_mut_slice() {
                std::mem::swap(first, second);
            }
        }
        FaultKind::SwapKey => {
            if let Some(other) = other {
                objects.key.clone_from(&other.key);
            }
        }
        FaultKind::EditKey => {
            if let Some(byte) = objects.key.last_mut() {
                *byte ^= 1;
            }
        }
        FaultKind::HideKey => objects.key.clear(),
        FaultKind::KeyAddsReader => add_stanza(&mut objects.key, own),
        FaultKind::RewrapKey => {
            if let Some(accomplice) = accomplice {
                rewrap(objects, accomplice, own);
            }
        }
        FaultKind::EditDetails => {
            if let Some(byte) = objects.details.last_mut() {
                *byte ^= 1;
            }
        }
        FaultKind::HideFinal => objects.final_seal = None,
        FaultKind::HideLastSegment => drop(objects.segments.pop()),
        FaultKind::HideFirstSegment => drop(objects.segments.remove(0)),
        FaultKind::ReplayOldHeader => {
            let headers: Vec<Vec<u8>> =
                objects.segments.iter().map(|segment| segment.header.clone()).collect();
            for (segment, earlier) in objects.segments.iter_mut().skip(1).zip(headers) {
                segment.header = earlier;
            }
        }
        FaultKind::DowngradeSuite => {
            edit_manifest(objects, |text| text.replacen("\"suite\":2", "\"suite\":1", 1))
        }
        FaultKind::UnknownSuite => {
            edit_manifest(objects, |text| text.replacen("\"suite\":2", "\"suite\":9", 1))
        }
        FaultKind::NewerVersion => {
            objects.manifest = objects.manifest.replacen("manifest.v1+json", "manifest.v2+json", 1);
        }
        FaultKind::PolicyChanged => {
            edit_manifest(objects, |text| text.replacen("\"policy\":[", "\"policy\":[\"operator-reads\"", 1));
        }
        FaultKind::PolicyAddsReader => edit_manifest(objects, |text| {
            let key = vault_proto::ids::KeyId::of_recipient(&own.recipient(Suite::Pq).to_string());
            let reader = Reader { account: own.account(), key, role: ReaderRole::Clinician, until: None };
            let reader = serde_json::to_string(&reader).expect("a reader");
            text.replacen("],\"sealer\"", &format!(",{reader}],\"sealer\""), 1)
        }),
        FaultKind::SwapSegment
        | FaultKind::SwapSeal
        | FaultKind::SwapHeader
        | FaultKind::SwapBody
        | FaultKind::SwapBodyOnly => {
            let (Some(segment), Some(foreign)) = (objects.segments.first_mut(), foreign) else { return };
            match kind {
                FaultKind::SwapSegment => segment.clone_from(foreign),
                FaultKind::SwapSeal => segment.seal.clone_from(&foreign.seal),
                FaultKind::SwapHeader => segment.header.clone_from(&foreign.header),
                _ => {
                    segment.body.clone_from(&foreign.body);
                    if kind == FaultKind::SwapBody {
                        segment.parts.clone_from(&foreign.parts);
                    }
                }
            }
        }
        FaultKind::DropPart
        | FaultKind::DoublePart
        | FaultKind::ReorderParts
        | FaultKind::AppendPart
        | FaultKind::Truncate => {
            for segment in &mut objects.segments {
                let mut parts = segment.split();
                lie_about_parts(kind, &mut parts);
                segment.set_parts(&parts);
            }
        }
        FaultKind::PlantAgeFile => plant_age_file(objects),
        FaultKind::ReauthorBody | FaultKind::ReauthorSealedBody => {
            if let Some(accomplice) = accomplice {
                reauthor(objects, accomplice, kind == FaultKind::ReauthorSealedBody);
            }
        }
        FaultKind::DowngradeHeader | FaultKind::LowOrderKey | FaultKind::HeaderAddsReader => {
            forge_headers(kind, objects, own);
        }
        // These concern lists, accounts and transport.
        _ => {}
    }
}

fn edit_manifest(objects: &mut Objects, edit: impl FnOnce(&str) -> String) {
    objects.manifest = edit_payload(&objects.manifest, edit);
}

fn lie_about_parts(kind: FaultKind, parts: &mut Vec<Vec<u8>>) {
    match (kind, parts.as_mut_slice()) {
        (FaultKind::DropPart, [_, _, ..]) => drop(parts.remove(0)),
        (FaultKind::ReorderParts, [first, second, ..]) => std::mem::swap(first, second),
        (FaultKind::DoublePart, [first, second, ..]) => second.clone_from(first),
        (FaultKind::AppendPart, [first, ..]) => {
            let again = first.clone();
            parts.push(again);
        }
        (FaultKind::Truncate, [.., last]) => last.truncate(last.len() / 2),
        _ => parts.clear(),
    }
}

/// Puts others in the place of the statements that the manifest names, under their digests.
fn lie_about_statements(kind: FaultKind, objects: &mut Objects, other: Option<&Objects>, own: &OwnKeys) {
    let Some(manifest) = objects.manifest() else { return };
    let foreign = other.and_then(|other| Some((other, other.manifest()?)));
    let made = own.member(Role::Patient, manifest.created);
    for member in &manifest.members {
        let truth = objects.statements.clone();
        let statement = |digest: &Digest| truth.get(digest).cloned().unwrap_or_default();
        let mut set = |digest: Digest, envelope: String| drop(objects.statements.insert(digest, envelope));
        let own = |envelope: &[u8]| String::from_utf8_lossy(envelope).into_owned();
        match kind {
            FaultKind::SwapStatements => {
                let Some((other, theirs)) = &foreign else { return };
                let somebody_else = |of: &&Member| of.account != member.account;
                let Some(next) = theirs.members.iter().find(somebody_else) else { return };
                let theirs = |digest: &Digest| other.statements.get(digest).cloned().unwrap_or_default();
                set(member.certificate, theirs(&next.certificate));
                set(member.key_list, theirs(&next.key_list));
            }
            FaultKind::SwapKinds => set(member.key_list, statement(&member.certificate)),
            FaultKind::OwnStatements => {
                set(member.issuer, own(made.issuer.bytes()));
                set(member.certificate, own(made.certificate.bytes()));
                set(member.key_list, own(made.key_list.bytes()));
            }
            FaultKind::EditStatements => {
                for digest in member.statements() {
                    set(digest, with_other_signature(&statement(&digest)));
                }
            }
            _ => drop(objects.statements.remove(&member.key_list)),
        }
    }
}

/// An envelope whose signature is another one: the last digits of an envelope are its signature.
fn with_other_signature(envelope: &str) -> String {
    let mut bytes = envelope.as_bytes().to_vec();
    let at = bytes.len().saturating_sub(40);
    if let Some(digit) = bytes.get_mut(at) {
        *digit = if *digit == b'A' { b'B' } else { b'A' };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Keys of the manifest's readers, from their key lists.
fn readers(objects: &Objects) -> Vec<Recipient> {
    let manifest = objects.manifest().expect("a stored manifest");
    let named = objects.named();
    let lists: Vec<_> = manifest
        .members
        .iter()
        .map(|member| named.get::<KeyList>(&member.key_list).expect("a stored key list").unverified().clone())
        .collect();
    let key = |reader: &Reader| {
        lists.iter().find_map(|list| list.encryption_key(reader.key)).expect("a listed key").recipient.clone()
    };
    manifest.readers.iter().map(|reader| key(reader).parse().expect("a recipient")).collect()
}

/// Replaces the first segment by a stock age file to the readers; stock age opens header and body.
fn plant_age_file(objects: &mut Objects) {
    let recipients = readers(objects);
    let Some(segment) = objects.segments.first_mut() else { return };
    // As long as the real body, so that nothing but its making gives it away.
    let length = usize::try_from(plaintext_of(segment.body.len())).expect("a short body");
    let content: Vec<u8> = b"planted: a file like any other. ".iter().copied().cycle().take(length).collect();
    let file = vault_core::age_file::seal_small(&recipients, None, &content).expect("an age file");
    let (_, header) = Header::parse(&file).expect("an age header");
    let (header, body) = file.split_at(header);
    segment.header = header.to_vec();
    segment.body = body.to_vec();
    let parts = segment.split();
    segment.set_parts(&parts);
}

fn plaintext_of(body: usize) -> u64 {
    let stream = body.saturating_sub(16);
    let plaintext = (stream - stream.div_ceil(CHUNK_CIPHERTEXT) * 16) as u64;
    debug_assert_eq!(body_length(plaintext), body as u64);
    plaintext
}

/// A reader of the recording writes another body of the same length under the true header.
fn reauthor(objects: &mut Objects, accomplice: &Accomplice, sealed: bool) {
    let key = objects.opened_key(&accomplice.identity);
    let Some(segment) = objects.segments.first_mut() else { return };
    let (header, _) = Header::parse(&segment.header).expect("a stored header");
    let Some(Ok(file_key)) = key.map(|key| unwrap_header(&[&key], &header)) else { return };
    let length = usize::try_from(plaintext_of(segment.body.len())).expect("a short body");
    let content: Vec<u8> = FORGED.iter().copied().cycle().take(length).collect();
    let mut sealer = PayloadSealer::new(file_key, PartChunks::FIFTEEN).expect("random bytes");
    let mut pieces = content.chunks(vault_proto::geometry::MAX_PART_PLAINTEXT).peekable();
    let mut parts = Vec::new();
    while let Some(piece) = pieces.next() {
        let mut buffer = PayloadSealer::part_buffer();
        buffer.extend_from_slice(piece);
        let job = sealer.next_part(buffer, pieces.peek().is_none()).expect("a part");
        parts.push(job.run().expect("a part").ciphertext);
    }
    segment.set_parts(&parts);
    if let (true, Some(seal)) = (sealed, &segment.seal) {
        let (hashes, _) = segment.parts.as_chunks::<32>();
        let hashes: Vec<Digest> = hashes.iter().map(|hash| Digest::from_bytes(*hash)).collect();
        let seal = Envelope::<SegmentSeal>::parse(seal.as_bytes()).expect("a stored seal");
        let forged =
            SegmentSeal { parts_root: vault_proto::tree::parts_root(&hashes), ..seal.unverified().clone() };
        // Under the name of the true sealer's key, or it would be found out by its name alone.
        let forged = envelope::sign(&forged, seal.key_id(), |bytes| accomplice.device.sign(bytes));
        let forged = forged.expect("a seal");
        segment.seal = String::from_utf8(forged.bytes().to_vec()).ok();
    }
}

/// Adds a stanza for the operator's key to a header, with whatever follows on it, and leaves its MAC as it is.
fn add_stanza(bytes: &mut Vec<u8>, own: &OwnKeys) {
    let (header, length) = Header::parse(bytes).expect("a stored header");
    let suite = if header.stanzas().iter().any(|stanza| stanza.tag() == Suite::Pq.stanza_tag()) {
        Suite::Pq
    } else {
        Suite::X25519
    };
    let file_key = vault_core::file_key::FileKey::generate().expect("random bytes");
    let added = own.recipient(suite).wrap(&file_key).expect("a stanza");
    let header = Header::new([header.stanzas(), &[added]].concat(), *header.mac()).expect("a header");
    bytes.splice(..length, header.encode());
}

/// A reader seals the recording's key to all readers anew, and to the operator, under the true context.
fn rewrap(objects: &mut Objects, accomplice: &Accomplice, own: &OwnKeys) {
    let Some(key) = objects.opened_key(&accomplice.identity) else { return };
    let manifest = objects.manifest().expect("a stored manifest");
    let context = labels::key_context(&manifest.tenant, &manifest.recording, &manifest.key);
    let context = context_stanza(&context).expect("a stanza");
    let recipients = [readers(objects), vec![own.recipient(manifest.suite).clone()]].concat();
    let text = format!("{}\n", *key.export());
    objects.key =
        vault_core::age_file::seal_small(&recipients, Some(context), text.as_bytes()).expect("an age file");
}

fn forge_headers(kind: FaultKind, objects: &mut Objects, own: &OwnKeys) {
    let Some(manifest) =
        Envelope::<vault_proto::statements::Manifest>::parse(objects.manifest.as_bytes()).ok()
    else {
        return;
    };
    let readers = readers(objects);
    for (index, segment) in (0u32..).zip(&mut objects.segments) {
        let track = segment
            .seal
            .as_ref()
            .and_then(|seal| Envelope::<SegmentSeal>::parse(seal.as_bytes()).ok())
            .map_or(0, |seal| seal.unverified().track);
        let context = labels::context(&manifest.digest(), index, track);
        let key = ForgedKey([9; 16]);
        match kind {
            FaultKind::HeaderAddsReader => {
                add_stanza(&mut segment.header, own);
            }
            FaultKind::DowngradeHeader => {
                let other = own.recipient(Suite::X25519).to_string();
                let stanzas = vec![key.wrap(&other)];
                segment.header = forge_header(Some(&context), stanzas, key);
            }
            _ => {
                let stanzas = readers
                    .iter()
                    .take(1)
                    .filter_map(|reader| <&[u8; 32]>::try_from(reader.as_bytes()).ok())
                    .map(|reader| key.wrap_with_low_order_share(reader))
                    .collect();
                segment.header = forge_header(Some(&context), stanzas, key);
            }
        }
    }
}
