//! Recordings of an export that are opened: media files in a folder that a person can read the name of.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vault_core::webm::SeekableLayout;
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::statements::Role;

use super::catalogue::{ExportedFile, ExportedRecording, ExportedStatus, Person};
use super::folder::{Sums, digest_of};
use super::kept;
use super::run::{Present, Run};
use crate::download::RemoteRecording;
use crate::error::ClientError;
use crate::home::Home;
use crate::listing::{ListedRecording, Status};
use crate::media::{Medium, media};
use crate::media_type::{file_extension, playable};
use crate::seekable_file::{SeekableFile, Written};

/// What this home opened of a recording: files are known by what was checked when they were written, never by what lies beside
/// them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenedHere {
    manifest: Digest,
    final_seal: Option<Digest>,
    bytes: u64,
    files: Vec<ExportedFile>,
}

fn memory(recording: RecordingId) -> String {
    format!("exports/{recording}.json")
}

/// The recording, if all of it is in the export, unchanged and as new as the server's.
pub(super) fn find(
    run: &Run<'_>,
    recording: &ListedRecording,
    place: &str,
) -> Result<Option<Present>, ClientError> {
    let home: &Home = run.session.home;
    let Some(here) = home.read_json::<OpenedHere>(&memory(recording.recording))? else {
        return Ok(None);
    };
    let newest = here.manifest == recording.manifest
        && here.final_seal == recording.final_seal
        && here.bytes == recording.bytes;
    if !newest {
        return Ok(None);
    }
    for file in &here.files {
        let present = digest_of(&run.folder.path(&format!("{place}/{}", file.path)))?;
        if present != Some((file.sha256, file.bytes)) {
            return Ok(None);
        }
    }
    let Some(statements) = kept::statements(run, recording)? else {
        return Ok(None);
    };
    Ok(Some(describe(recording, place, here.files, statements)))
}

/// Fetches a recording, and puts it in its place.
pub(super) async fn fetch(
    run: &Run<'_>,
    recording: &ListedRecording,
    place: &str,
) -> Result<Present, ClientError> {
    let id = recording.recording;
    let remote = RemoteRecording::fetch(run.session, id).await?;
    let statements = kept::write_statements(run, &remote)?;
    if remote.opening(run.session).is_err() && run.session.account.id == recording.sealer {
        // Sealed for others: what proves it is all that its sealer can take home.
        return Ok(describe(recording, place, Vec::new(), statements));
    }
    let media = media(run.session, &remote).await?;
    let apart = run.folder.apart(&id.to_string())?;
    let mut files = Vec::with_capacity(media.len());
    for medium in &media {
        let name = match &media[..] {
            [_] => format!("recording.{}", file_extension(&medium.media_type)),
            _ => format!("track-{}.{}", medium.track, file_extension(&medium.media_type)),
        };
        let path = apart.join(&name);
        files.push(write(run, &remote, medium, name, &path).await?);
    }
    run.folder.appear(&apart, place)?;
    let here = OpenedHere {
        manifest: remote.checked().manifest().digest(),
        final_seal: remote.checked().final_seal().map(vault_proto::envelope::Verified::digest),
        bytes: remote.checked().plaintext_length(),
        files,
    };
    run.session.home.write_json(&memory(id), &here)?;
    Ok(describe(recording, place, here.files, statements))
}

/// Opens a track into a file that can be sought in where its medium allows that.
async fn write(
    run: &Run<'_>,
    remote: &RemoteRecording,
    medium: &Medium,
    name: String,
    path: &Path,
) -> Result<ExportedFile, ClientError> {
    let mut out = BufWriter::new(File::create_new(path).map_err(ClientError::disk(path))?);
    let mut seekable = SeekableFile::new(&mut out, medium.layout());
    let written = remote
        .write_to(run.session, Some(medium.track), &mut seekable, &mut |bytes| run.advance(bytes))
        .await;
    let opened = written.map_err(|error| match error {
        ClientError::Disk { path: output, source } if output == Path::new("output") => {
            ClientError::disk(path)(source)
        }
        other => other,
    })?;
    let mut written = seekable.finish();
    out.flush().map_err(ClientError::disk(path))?;
    drop(out);
    let found = std::mem::take(&mut written.indexed);
    let duration = medium.duration.or(found.duration_ms.map(Duration::from_millis));
    // Its sealer left none: it died, or knew of none.
    if let Some(layout) = found.index.and_then(|index| index.layout(opened.bytes)) {
        written = put_head(path, layout).map_err(ClientError::disk(path))?;
    }
    Ok(ExportedFile {
        track: medium.track,
        path: name,
        media_type: playable(&medium.media_type).to_owned(),
        bytes: written.bytes,
        sha256: written.sha256,
        duration_ms: duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        sealed_bytes: opened.bytes,
        sealed_sha256: opened.sha256,
    })
}

/// Puts a head in front of a file that was written without one.
fn put_head(path: &Path, layout: SeekableLayout) -> io::Result<Written> {
    let bare = path.with_extension("as-sealed");
    std::fs::rename(path, &bare)?;
    let mut out = BufWriter::new(File::create_new(path)?);
    let mut seekable = SeekableFile::new(&mut out, Some(layout));
    io::copy(&mut File::open(&bare)?, &mut seekable)?;
    let written = seekable.finish();
    out.flush()?;
    std::fs::remove_file(bare)?;
    Ok(written)
}

fn describe(recording: &ListedRecording, place: &str, files: Vec<ExportedFile>, statements: Sums) -> Present {
    let mut sums = statements;
    sums.extend(files.iter().map(|file| (format!("{place}/{}", file.path), file.sha256)));
    let person = |account, role| Person { account, role, label: recording.labels.get(&account).cloned() };
    let details = recording.details.as_ref();
    let described = ExportedRecording {
        recording: recording.recording,
        folder: place.to_owned(),
        consultation: recording.consultation.clone(),
        title: details.and_then(|details| details.title.clone()),
        status: if recording.status == Status::Complete {
            ExportedStatus::Complete
        } else {
            ExportedStatus::CutOff
        },
        created: recording.created,
        started: details.map(|details| details.started),
        ended: details.map(|details| details.ended),
        patient: person(recording.patient, Role::Patient),
        clinician: person(recording.clinician, Role::Clinician),
        sealer: person(recording.sealer, recording.sealer_role),
        manifest: recording.manifest,
        final_seal: recording.final_seal,
        files,
    };
    Present { sums, described: Some(described) }
}
