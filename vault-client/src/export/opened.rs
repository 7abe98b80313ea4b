//! Recordings of an export that are opened: media files in a folder that a person can read the name of.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vault_core::webm::SeekableLayout;
use vault_proto::envelope::Verified;
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::statements::Role;

use super::kept;
use super::run::{Present, Run};
use super::single_file::{create, digest_of};
use crate::io_failure::{WriteSink, disk};
use vault_engine::error::ClientError;
use vault_engine::home::Home;
use vault_engine::media_type::{file_extension, playable};
use vault_engine::opening::listing::{self, ListedRecording, Status};
use vault_engine::opening::media::{Medium, media};
use vault_engine::opening::plaintext_sink::PlaintextSink as _;
use vault_engine::opening::recording::RemoteRecording;
use vault_engine::opening::seekable_file::{SeekableFile, Written};
use vault_export::sums::Sums;
use vault_export::{ExportedFile, ExportedRecording, ExportedStatus, Person};

/// What this home opened of a recording: files are known by what was checked when they were written, never by what lies
/// beside them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenedHere {
    /// Plaintext bytes of all segments, padding among them.
    total_length: u64,
    described: ExportedRecording,
}

impl OpenedHere {
    /// Where it is remembered: a recording that grows, or whose end is hidden later, is another one each time.
    fn name(recording: RecordingId, final_seal: Option<Digest>, total_length: u64) -> String {
        let end = final_seal.map_or_else(|| "open".to_owned(), |digest| digest.to_string());
        format!("exports/{recording}/{end}-{total_length}.json")
    }

    async fn remember(&self, home: &Home) -> Result<(), ClientError> {
        let ExportedRecording { recording, final_seal, .. } = self.described;
        home.write_json(&Self::name(recording, final_seal, self.total_length), self).await
    }
}

/// The recording, if all of it is in the export, unchanged and as new as the server's.
pub(super) async fn find(
    run: &Run<'_>,
    recording: &ListedRecording,
    place: &str,
) -> Result<Option<Present>, ClientError> {
    let Some(statements) = kept::statements(run, recording) else {
        return Ok(None);
    };
    if is_sealed_for_others(run, recording) {
        return Ok(Some(present(describe(recording, place, Vec::new()), statements)));
    }
    let state = (recording.manifest, recording.final_seal, recording.total_length);
    let here = unchanged(run, recording.recording, state, place).await?;
    Ok(here.map(|here| present(describe(recording, place, here.described.files), statements)))
}

/// The recording as an earlier run left it, for when the server does not show it, or less of it than it had.
pub(super) async fn carry_over(
    run: &Run<'_>,
    recording: RecordingId,
    place: &str,
) -> Result<Option<Present>, ClientError> {
    let Some((checked, statements)) = kept::proved(run, recording) else {
        return Ok(None);
    };
    let final_seal = checked.final_seal().map(Verified::digest);
    let state = (checked.manifest().digest(), final_seal, checked.plaintext_length());
    let here = unchanged(run, recording, state, place).await?;
    Ok(here.map(|here| present(ExportedRecording { folder: place.to_owned(), ..here.described }, statements)))
}

/// What this home opened of a recording, if its files lie in `place` as they were written.
async fn unchanged(
    run: &Run<'_>,
    recording: RecordingId,
    (manifest, final_seal, total_length): (Digest, Option<Digest>, u64),
    place: &str,
) -> Result<Option<OpenedHere>, ClientError> {
    let here: Option<OpenedHere> =
        run.session.home().read_json(&OpenedHere::name(recording, final_seal, total_length)).await?;
    let Some(here) = here.filter(|here| here.described.manifest == manifest) else {
        return Ok(None);
    };
    for file in &here.described.files {
        let present = digest_of(&run.folder.path(&format!("{place}/{}", file.path)));
        if present.ok().flatten() != Some((file.sha256, file.bytes)) {
            return Ok(None);
        }
    }
    Ok(Some(here))
}

/// What proves a recording is all of it that its sealer can take home who is no reader.
fn is_sealed_for_others(run: &Run<'_>, recording: &ListedRecording) -> bool {
    let own = run.session.account().id;
    own == recording.sealer && !recording.people().is_reader(own)
}

/// Fetches a recording, and puts it in its place.
pub(super) async fn fetch(
    run: &Run<'_>,
    recording: &ListedRecording,
    place: &str,
) -> Result<Present, ClientError> {
    let id = recording.recording;
    let remote = RemoteRecording::fetch(run.session, id).await?;
    kept::check_shows_no_less(run, &remote)?;
    // It may have come further since it was listed.
    let recording = &listing::describe(run.session, &remote).await?;
    let shown = Some(recording.shown());
    if is_sealed_for_others(run, recording) {
        let described = describe(recording, place, Vec::new());
        let here = OpenedHere { total_length: recording.total_length, described };
        here.remember(run.session.home()).await?;
        let statements = kept::write_statements(run, &remote)?;
        return Ok(Present { shown, ..present(here.described, statements) });
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
    let described = describe(recording, place, files);
    // Before the files are in their place: what lies there without this is fetched again, never believed.
    let here = OpenedHere { total_length: recording.total_length, described };
    here.remember(run.session.home()).await?;
    run.folder.appear(&apart, place)?;
    let statements = kept::write_statements(run, &remote)?;
    Ok(Present { shown, ..present(here.described, statements) })
}

/// Opens a track into a file that can be sought in where its medium allows that.
async fn write(
    run: &Run<'_>,
    remote: &RemoteRecording,
    medium: &Medium,
    name: String,
    path: &Path,
) -> Result<ExportedFile, ClientError> {
    let mut out = BufWriter::new(create(path)?);
    let mut sink = WriteSink(&mut out);
    let mut seekable = SeekableFile::new(&mut sink, medium.layout());
    let written = remote
        .write_to(run.session, Some(medium.track), &mut seekable, &mut |bytes| run.advance(bytes))
        .await;
    let opened = written.map_err(|error| match error {
        ClientError::Output(why) => ClientError::Disk { place: path.display().to_string(), why },
        other => other,
    })?;
    let mut written = seekable.finish();
    out.flush().map_err(disk(path))?;
    drop(out);
    let found = std::mem::take(&mut written.indexed);
    let duration = medium.duration.or(found.duration_ms.map(Duration::from_millis));
    // Its sealer left none: it died, or knew of none.
    if let Some(layout) = found.index.and_then(|index| index.layout(opened.bytes)) {
        written = put_head(path, layout)?;
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
fn put_head(path: &Path, layout: SeekableLayout) -> Result<Written, ClientError> {
    let bare = path.with_extension("as-sealed");
    std::fs::rename(path, &bare).map_err(disk(path))?;
    let mut out = BufWriter::new(create(path)?);
    let mut sink = WriteSink(&mut out);
    let mut seekable = SeekableFile::new(&mut sink, Some(layout));
    let mut file = File::open(&bare).map_err(disk(path))?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(disk(path)(error)),
        };
        let written = seekable.write(buffer.get(..read).unwrap_or_default());
        written.map_err(|why| ClientError::Disk { place: path.display().to_string(), why })?;
    }
    let written = seekable.finish();
    out.flush().and_then(|()| std::fs::remove_file(&bare)).map_err(disk(path))?;
    Ok(written)
}

/// What a recording adds to the export.
fn present(described: ExportedRecording, statements: Sums) -> Present {
    let mut sums = statements;
    let named = |file: &ExportedFile| (format!("{}/{}", described.folder, file.path), file.sha256);
    sums.extend(described.files.iter().map(named));
    let empty = described.status == ExportedStatus::Empty;
    Present { sums, described: Some(described), empty, shown: None }
}

fn describe(recording: &ListedRecording, place: &str, files: Vec<ExportedFile>) -> ExportedRecording {
    let person = |account, role| Person { account, role, label: recording.labels.get(&account).cloned() };
    let details = recording.details.as_ref();
    ExportedRecording {
        recording: recording.recording,
        folder: place.to_owned(),
        consultation: recording.consultation.clone(),
        title: details.and_then(|details| details.title.clone()),
        status: match recording.status {
            Status::Complete => ExportedStatus::Complete,
            Status::CutOff | Status::Recording => ExportedStatus::CutOff,
            Status::Empty => ExportedStatus::Empty,
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
    }
}
