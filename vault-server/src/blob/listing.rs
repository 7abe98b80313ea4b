//! What files there are: the way back from names to objects.

use std::fs::{DirEntry, ReadDir};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use vault_proto::ids::RecordingId;
use vault_proto::object::{
    Object, RECORDINGS, SEGMENTS, STATEMENTS, parse_number, parse_statement_path, recording_folder,
    segment_folder,
};

use super::{StoredFile, StoredStatement};

/// A folder's entries; none if there is no such folder.
fn entries(folder: &Path) -> io::Result<Option<ReadDir>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(Some(entries)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn is_aside(name: &str) -> bool {
    let random = name.strip_prefix('.').and_then(|name| name.strip_suffix(".new"));
    random.is_some_and(|random| random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

pub(super) fn recordings(root: &Path, visit: &mut dyn FnMut(RecordingId) -> bool) -> io::Result<()> {
    let Some(folders) = entries(&root.join(RECORDINGS))? else {
        return Ok(());
    };
    for folder in folders {
        let name = folder?.file_name();
        let Some(recording) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if !visit(recording) {
            break;
        }
    }
    Ok(())
}

pub(super) fn files(root: &Path, recording: RecordingId) -> io::Result<Vec<StoredFile>> {
    let mut found = Vec::new();
    let folder = recording_folder(&recording);
    in_folder(root, &folder, recording, None, &mut found)?;
    for entry in entries(&root.join(&folder).join(SEGMENTS))?.into_iter().flatten() {
        let name = entry?.file_name();
        if let Some(segment) = name.to_str().and_then(parse_number) {
            let folder = format!("{folder}/{}", segment_folder(segment));
            in_folder(root, &folder, recording, Some(segment), &mut found)?;
        }
    }
    Ok(found)
}

pub(super) fn statements(root: &Path) -> io::Result<Vec<StoredStatement>> {
    let mut found = Vec::new();
    for entry in entries(&root.join(STATEMENTS))?.into_iter().flatten() {
        let entry = entry?;
        let last = entry.file_name();
        let Some(last) = last.to_str() else {
            continue;
        };
        let name = format!("{STATEMENTS}/{last}");
        let digest = parse_statement_path(&name);
        if digest.is_none() && !is_aside(last) {
            continue;
        }
        if let Some((length, modified)) = measured(&entry)? {
            found.push(StoredStatement { digest, length, modified, name });
        }
    }
    Ok(found)
}

fn in_folder(
    root: &Path,
    folder: &str,
    recording: RecordingId,
    segment: Option<u32>,
    found: &mut Vec<StoredFile>,
) -> io::Result<()> {
    for entry in entries(&root.join(folder))?.into_iter().flatten() {
        found.extend(file(&entry?, folder, recording, segment)?);
    }
    Ok(())
}

/// The object that this store keeps under a name.
fn object(path: &str) -> Option<Object> {
    let (_, object) = Object::parse_path(path)?;
    // Progress is a row here; a file of that name was made by somebody else.
    (!matches!(object, Object::Progress { .. })).then_some(object)
}

/// The file of an entry, if the store made it.
fn file(
    entry: &DirEntry,
    folder: &str,
    recording: RecordingId,
    segment: Option<u32>,
) -> io::Result<Option<StoredFile>> {
    let last = entry.file_name();
    let Some(last) = last.to_str() else {
        return Ok(None);
    };
    let name = format!("{folder}/{last}");
    let object = object(&name);
    if object.is_none() && !is_aside(last) {
        return Ok(None);
    }
    let measured = measured(entry)?;
    Ok(measured.map(|(length, modified)| StoredFile { recording, segment, object, length, modified, name }))
}

/// The length of a file, and when it was last written to; `None` for another thing under its name, or if it is gone
/// since the folder was read.
fn measured(entry: &DirEntry) -> io::Result<Option<(u64, SystemTime)>> {
    match entry.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(Some((metadata.len(), metadata.modified()?))),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
