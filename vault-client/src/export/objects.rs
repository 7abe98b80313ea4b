//! The objects of a recording in a folder, named as FORMAT.md, "Objects", names them. Nothing here needs
//! a key.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use vault_proto::envelope::{Envelope, MAX_ENVELOPE};
use vault_proto::geometry::MAX_PARTS;
use vault_proto::ids::{Digest, OrganisationId, RecordingId};
use vault_proto::key_object::{MAX_KEY_OBJECT, check_key_object};
use vault_proto::named_statements::NamedStatements;
use vault_proto::object::{Object, statement_path};
use vault_proto::recording::{CheckedRecording, ProvenSegment, Refusal, StoredStatements};
use vault_proto::sealed_header::MAX_SEALED_HEADER;
use vault_proto::statements::Manifest;
use vault_proto::tree;
use vault_proto::trust::Known;
use vault_proto::wire::MAX_DETAILS;

use super::single_file::{create, small_file};
use crate::home_folder::make_private_folder;
use crate::io_failure::disk;
use vault_engine::error::ClientError;
use vault_export::sums::Sums;

/// The statements of a recording, checked as far as is `known`, and the files that they are. `None` if there is no
/// manifest.
pub(crate) fn read(
    export: &Path,
    recording: RecordingId,
    organisation: OrganisationId,
    known: &Known,
) -> Option<(Result<CheckedRecording, Refusal>, Sums)> {
    let mut sums = Sums::new();
    let mut file = |object: Object, limit: usize| {
        let name = object.path(&recording);
        let bytes = small_file(&export.join(&name), limit).ok()??;
        sums.insert(name, Digest::of(&bytes));
        Some(bytes)
    };
    let manifest = file(Object::Manifest, MAX_ENVELOPE)?;
    let mut seals = Vec::new();
    let mut progress = None;
    let mut segment = 0;
    loop {
        progress = file(Object::Progress { segment }, MAX_ENVELOPE).or(progress);
        let Some(seal) = file(Object::Seal { segment }, MAX_ENVELOPE) else {
            break;
        };
        seals.push(seal);
        segment += 1;
    }
    let final_seal = file(Object::Final, MAX_ENVELOPE);
    // One that does not parse names nothing: its checks say what it is.
    let claimed = Envelope::<Manifest>::parse(&manifest).ok();
    let named = claimed.map(|claimed| claimed.unverified().named_statements()).unwrap_or_default();
    let named = read_named(export, named);
    sums.extend(named.iter().map(|(digest, envelope)| (statement_path(digest), Digest::of(envelope))));
    let stored = StoredStatements {
        manifest: &manifest,
        named: &named,
        seals: &seals,
        progress: progress.as_deref(),
        final_seal: final_seal.as_deref(),
    };
    Some((CheckedRecording::check(recording, organisation, &stored, known), sums))
}

/// The statements with these digests, as far as they lie in the export.
pub(crate) fn read_named(export: &Path, digests: impl IntoIterator<Item = Digest>) -> NamedStatements {
    let read = |digest: Digest| {
        let envelope = small_file(&export.join(statement_path(&digest)), MAX_ENVELOPE).ok()??;
        Some((digest, envelope.into()))
    };
    digests.into_iter().filter_map(read).collect()
}

/// Checks the ciphertext of a recording whose statements were checked, as far as that needs no key: the key object,
/// headers, part lists, every part of every body, the details. Gives the files that these are, or says what is damaged.
pub(crate) fn check_ciphertext(export: &Path, checked: &CheckedRecording) -> Result<Sums, String> {
    let recording = checked.manifest().recording;
    let mut sums = Sums::new();
    let name = Object::Key { generation: 0 }.path(&recording);
    let key = small_file(&export.join(&name), MAX_KEY_OBJECT).map_err(|error| error.to_string())?;
    let key = key.ok_or("its key is missing")?;
    check_key_object(checked.manifest(), &key).map_err(|refusal| refusal.to_string())?;
    sums.insert(name, Digest::of(&key));
    for proven in checked.segments() {
        check_segment(export, checked, &proven, &mut sums)
            .map_err(|problem| format!("segment {}: {problem}", proven.index))?;
    }
    if let Some(final_seal) = checked.final_seal() {
        let name = Object::Details.path(&recording);
        let details = small_file(&export.join(&name), MAX_DETAILS).map_err(|error| error.to_string())?;
        match details.map(|details| Digest::of(&details)) {
            None => return Err("its details are missing".to_owned()),
            Some(digest) if digest != final_seal.details => {
                return Err("its details are not those that were sealed".to_owned());
            }
            Some(digest) => sums.insert(name, digest),
        };
    }
    Ok(sums)
}

fn check_segment(
    export: &Path,
    checked: &CheckedRecording,
    proven: &ProvenSegment,
    sums: &mut Sums,
) -> Result<(), String> {
    let words = |error: io::Error| error.to_string();
    let (recording, segment) = (checked.manifest().recording, proven.index);
    let name = Object::Header { segment }.path(&recording);
    let header = small_file(&export.join(&name), MAX_SEALED_HEADER).map_err(words)?;
    let header = header.ok_or("its header is missing")?;
    if Digest::of(&header) != proven.header {
        return Err("its header is not the one that was sealed".to_owned());
    }
    sums.insert(name, proven.header);
    let name = Object::Parts { segment }.path(&recording);
    let list = small_file(&export.join(&name), 32 * MAX_PARTS as usize).map_err(words)?;
    let list = list.ok_or("its list of parts is missing")?;
    let (hashes, rest) = list.as_chunks::<32>();
    let hashes: Vec<Digest> = hashes.iter().map(|hash| Digest::from_bytes(*hash)).collect();
    let counted = rest.is_empty() && hashes.len() == proven.shape.parts() as usize;
    if !counted || tree::parts_root(&hashes) != proven.parts_root {
        return Err("its list of parts is not the one that was sealed".to_owned());
    }
    sums.insert(name, Digest::of(&list));
    let name = Object::Body { segment }.path(&recording);
    let digest = check_body(&export.join(&name), proven, &hashes)?;
    sums.insert(name, digest);
    Ok(())
}

fn check_body(path: &Path, proven: &ProvenSegment, hashes: &[Digest]) -> Result<Digest, String> {
    use sha2::Digest as _;
    let mut body = File::open(path).map_err(|_| "its body is missing")?;
    let mut whole = sha2::Sha256::new();
    let mut buffer = Vec::new();
    for (part, hash) in (0u32..).zip(hashes) {
        buffer.clear();
        let wanted = proven.shape.part_length(part);
        let read = Read::by_ref(&mut body)
            .take(wanted)
            .read_to_end(&mut buffer)
            .map_err(|error| error.to_string())?;
        if read as u64 != wanted || Digest::of(&buffer) != *hash {
            return Err(format!("part {part} is not the part that was sealed"));
        }
        whole.update(&buffer);
    }
    if body.read(&mut [0]).map_err(|error| error.to_string())? > 0 {
        return Err("something was appended to its body".to_owned());
    }
    Ok(Digest::from_bytes(whole.finalize().into()))
}

/// Writes an object of a recording into a folder for its objects.
pub(crate) fn write(apart: &Path, object: Object, bytes: &[u8]) -> Result<(), ClientError> {
    let path = apart.join(object.name());
    if let Some(folder) = path.parent() {
        make_private_folder(folder).map_err(disk(folder))?;
    }
    create(&path)?.write_all(bytes).map_err(disk(path.clone()))
}
