//! What of an export is there already: its form, the folders of its recordings, their statements.

use std::collections::HashMap;

use vault_proto::envelope::{Envelope, MAX_ENVELOPE, Verified, payload_digest};
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::object::{STATEMENTS, parse_statement_path, recording_folder, statement_path};
use vault_proto::recording::CheckedRecording;
use vault_proto::statements::RecordingList;
use vault_proto::trust::Known;

use super::folder::ExportFolder;
use super::objects;
use super::run::Run;
use super::single_file::small_file;
use vault_engine::error::ClientError;
use vault_engine::opening::listing::ListedRecording;
use vault_engine::opening::recording::RemoteRecording;
use vault_export::ExportedRecording;
use vault_export::layout::{MAX_DESCRIPTION, RECORDINGS, proof};
use vault_export::sums::Sums;

/// Refuses to write into what another account took home.
pub(super) fn check_owner(run: &Run<'_>) -> Result<(), ClientError> {
    let Ok(Some(list)) = small_file(&run.folder.path(proof::LIST), MAX_ENVELOPE) else {
        return Ok(());
    };
    // One that cannot be read any more is replaced, like every other file that was changed.
    let list = Envelope::<RecordingList>::parse(&list).ok();
    let other = list.map(|list| (list.unverified().account, list.unverified().organisation));
    let own = (run.session.account().id, run.session.enrolment().organisation);
    match other {
        Some(other) if other != own => Err(ClientError::Usage(format!(
            "the folder {} holds the export of account {} of organisation {}; name another folder",
            run.folder.path("").display(),
            other.0,
            other.1
        ))),
        _ => Ok(()),
    }
}

/// In which folders recordings lie, as they say themselves: good for finding them, for nothing else.
pub(super) fn folders(folder: &ExportFolder) -> Result<HashMap<RecordingId, String>, ClientError> {
    let mut folders = HashMap::new();
    for name in folder.names(RECORDINGS)? {
        // Names that this program would never give have no place in SHA256SUMS.
        if name.chars().any(|c| c.is_control() || c == '\\') {
            continue;
        }
        let place = format!("{RECORDINGS}/{name}");
        let described = small_file(&folder.path(&format!("{place}/recording.json")), MAX_DESCRIPTION);
        let described: Option<ExportedRecording> =
            described.ok().flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let named = || name.strip_suffix(')')?.rsplit_once('(')?.1.parse().ok();
        if let Some(recording) = described.map(|described| described.recording).or_else(named) {
            folders.insert(recording, place);
        }
    }
    Ok(folders)
}

/// The statements of a recording that are in the export, if they are those of what the server has.
pub(super) fn statements(run: &Run<'_>, recording: &ListedRecording) -> Option<Sums> {
    let (checked, sums) = proved(run, recording.recording)?;
    let same = checked.manifest().digest() == recording.manifest
        && checked.final_seal().map(Verified::digest) == recording.final_seal
        && checked.plaintext_length() == recording.total_length;
    same.then_some(sums)
}

/// The statements of a recording that are in the export, if they prove what they should.
pub(super) fn proved(run: &Run<'_>, recording: RecordingId) -> Option<(CheckedRecording, Sums)> {
    let organisation = run.session.enrolment().organisation;
    // Whether it still counts is for who checks the export: here it is what was taken home before.
    let known = Known::default();
    let (checked, sums) = objects::read(&run.folder.path(""), recording, organisation, &known)?;
    Some((checked.ok()?, sums))
}

/// Refuses what would replace more by less: a server that shows a recording without the end that it had, or shorter
/// than it was.
pub(super) fn check_shows_no_less(run: &Run<'_>, remote: &RemoteRecording) -> Result<(), ClientError> {
    let checked = remote.checked();
    let Some((here, _)) = proved(run, checked.manifest().recording) else {
        return Ok(());
    };
    let end = here.final_seal().map(Verified::digest);
    let supersedes = checked.final_seal().and_then(|final_seal| final_seal.supersedes);
    if end.is_some() && supersedes == end {
        // Its sealer had lost what the end was signed over that was taken home.
        return Ok(());
    }
    let ended = end.is_some() && checked.final_seal().is_none();
    if ended || here.plaintext_length() > checked.plaintext_length() {
        return Err(ClientError::ShownLess);
    }
    Ok(())
}

/// Writes the statements that a recording's manifest names, those that are not there yet.
pub(super) fn write_named(run: &Run<'_>, remote: &RemoteRecording) -> Result<Sums, ClientError> {
    let mut sums = Sums::new();
    let mut batch = run.folder.batch(&remote.checked().manifest().recording.to_string())?;
    for (digest, envelope) in remote.named_statements().iter() {
        batch.put(&mut sums, &statement_path(digest), envelope)?;
    }
    batch.finish()?;
    Ok(sums)
}

/// The statements of an export, whoever names them, as they lie in it now. Whatever else lies among them is none.
pub(super) fn named_statements(folder: &ExportFolder) -> Result<Sums, ClientError> {
    let mut sums = Sums::new();
    for name in folder.names(STATEMENTS)? {
        let path = format!("{STATEMENTS}/{name}");
        let Some(digest) = parse_statement_path(&path) else {
            continue;
        };
        let envelope = small_file(&folder.path(&path), MAX_ENVELOPE).ok().flatten();
        if let Some(envelope) = envelope.filter(|envelope| payload_digest(envelope) == Some(digest)) {
            sums.insert(path, Digest::of(&envelope));
        }
    }
    Ok(sums)
}

/// Writes the statements of a recording as the specification names them, in place of older ones.
pub(super) fn write_statements(run: &Run<'_>, remote: &RemoteRecording) -> Result<Sums, ClientError> {
    let mut sums = write_named(run, remote)?;
    let recording = remote.checked().manifest().recording;
    let apart = run.folder.apart(&format!("{recording}-statements"))?;
    for (object, bytes) in remote.statements() {
        objects::write(&apart, object, &bytes)?;
    }
    sums.extend(run.folder.appear(&apart, &recording_folder(&recording))?);
    Ok(sums)
}
