//! What of an export is there already: its form, the folders of its recordings, their statements.

use std::collections::HashMap;

use vault_proto::ids::RecordingId;
use vault_proto::recording::CheckedRecording;

use super::folder::{ExportFolder, Sums};
use super::folder_names::RECORDINGS;
use super::objects;
use super::run::{Form, Run};
use crate::download::RemoteRecording;
use crate::error::ClientError;
use crate::listing::ListedRecording;

/// Refuses to mix opened and sealed recordings in one export: what is sealed may lie where what is opened must not.
pub(super) fn check_form(folder: &ExportFolder, form: Form) -> Result<(), ClientError> {
    let is_opened = folder.path(RECORDINGS).exists() || folder.path("index.html").exists();
    let is_sealed = folder.path("open_recordings.py").exists();
    match form {
        Form::Opened if is_sealed => Err(ClientError::Usage(
            "this folder holds a sealed export; name another one for opened recordings".to_owned(),
        )),
        Form::Sealed if is_opened => Err(ClientError::Usage(
            "this folder holds opened recordings; name another one for a sealed export".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// In which folders recordings lie, as they say themselves: good for finding them, for nothing else.
pub(super) fn folders(folder: &ExportFolder) -> Result<HashMap<RecordingId, String>, ClientError> {
    let mut folders = HashMap::new();
    for name in folder.names(RECORDINGS)? {
        let place = format!("{RECORDINGS}/{name}");
        let described = std::fs::read(folder.path(&format!("{place}/recording.json"))).ok();
        let described: Option<super::catalogue::ExportedRecording> =
            described.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(described) = described {
            folders.insert(described.recording, place);
        }
    }
    Ok(folders)
}

/// The statements of a recording that are in the export, if they are those of what the server has.
pub(super) fn statements(run: &Run<'_>, recording: &ListedRecording) -> Result<Option<Sums>, ClientError> {
    let organisation = run.session.enrolment.organisation;
    let Some((checked, sums)) =
        objects::read(run.folder.path("").as_path(), recording.recording, organisation)
    else {
        return Ok(None);
    };
    let same = checked.is_ok_and(|checked: CheckedRecording| {
        checked.manifest().digest() == recording.manifest
            && checked.final_seal().map(vault_proto::envelope::Verified::digest) == recording.final_seal
            && checked.plaintext_length() == recording.bytes
    });
    Ok(same.then_some(sums))
}

/// Writes the statements of a recording as the specification names them.
pub(super) fn write_statements(run: &Run<'_>, remote: &RemoteRecording) -> Result<Sums, ClientError> {
    let mut sums = Sums::new();
    let folder = objects::folder(remote.checked().manifest().recording);
    for (name, bytes) in remote.statements() {
        run.folder.put(&mut sums, &format!("{folder}/{name}"), &bytes)?;
    }
    Ok(sums)
}
