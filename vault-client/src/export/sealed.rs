//! Recordings of an export that stay sealed: the objects as the server has them, to be opened later with the account's
//! key.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use vault_core::opening::Opening;
use vault_proto::ids::RecordingId;
use vault_proto::object::{Object, recording_folder};
use vault_proto::recording::ProvenSegment;

use super::run::{Present, Run};
use super::single_file::create;
use super::{kept, objects};
use crate::io_failure::disk;
use vault_engine::error::ClientError;
use vault_engine::opening::listing::ListedRecording;
use vault_engine::opening::parts::{fetch_part, open_part, start_segment};
use vault_engine::opening::recording::RemoteRecording;

/// Parts of one recording that are fetched and checked at the same time.
const IN_FLIGHT: usize = 4;

/// The recording, if all of it is in the export, undamaged and as new as the server's.
pub(super) fn find(run: &Run<'_>, recording: &ListedRecording) -> Option<Present> {
    kept::statements(run, recording)?;
    carry_over(run, recording.recording)
}

/// The recording as an earlier run left it, for when the server does not show it, or less of it than it had.
pub(super) fn carry_over(run: &Run<'_>, recording: RecordingId) -> Option<Present> {
    let (checked, mut sums) = kept::proved(run, recording)?;
    if checked.manifest().participants().is_reader(run.session.account().id) {
        sums.extend(objects::check_ciphertext(&run.folder.path(""), &checked).ok()?);
    }
    let empty = checked.final_seal().is_none() && checked.plaintext_length() == 0;
    Some(Present { sums, described: None, empty, shown: None })
}

/// Fetches a recording and puts it in its place. All of it is opened on the way, to see that it can be, and what comes
/// out is dropped.
pub(super) async fn fetch(run: &Run<'_>, recording: &ListedRecording) -> Result<Present, ClientError> {
    let id = recording.recording;
    let remote = RemoteRecording::fetch(run.session, id).await?;
    kept::check_shows_no_less(run, &remote)?;
    let shown = remote.shown();
    let apart = run.folder.apart(&id.to_string())?;
    for (object, bytes) in remote.statements() {
        objects::write(&apart, object, &bytes)?;
    }
    match remote.check_reader(run.session) {
        Ok(()) => {
            let key = remote.key(run.session).await?;
            let opening = Opening::new(remote.checked(), &key);
            let key_object = remote.key_object(run.session).await?;
            objects::write(&apart, Object::Key { generation: 0 }, &key_object)?;
            if let Some(object) = remote.details_object(run.session).await? {
                objects::write(&apart, Object::Details, &object)?;
            }
            for proven in remote.checked().segments() {
                fetch_segment(run, &remote, &opening, &proven, &apart).await?;
            }
        }
        // Sealed for others: what proves it is all that its sealer can take home.
        Err(_) if run.session.account().id == recording.sealer => {}
        Err(error) => return Err(error),
    }
    let mut sums = kept::write_named(run, &remote)?;
    sums.extend(run.folder.appear(&apart, &recording_folder(&id))?);
    let empty = remote.holds_nothing(run.session.home()).await?;
    Ok(Present { sums, described: None, empty, shown: Some(shown) })
}

async fn fetch_segment(
    run: &Run<'_>,
    remote: &RemoteRecording,
    opening: &Opening<'_>,
    proven: &ProvenSegment,
    apart: &Path,
) -> Result<(), ClientError> {
    let connection = run.session.connection();
    let recording = remote.checked().manifest().recording;
    let started = start_segment(connection, opening, proven).await?;
    let index = proven.index;
    let header = Object::Header { segment: index };
    objects::write(apart, header, &started.header)?;
    let proved = started.hashes.len().min(32 * proven.shape.parts() as usize);
    objects::write(apart, Object::Parts { segment: index }, &started.hashes.slice(..proved))?;
    let path = apart.join(Object::Body { segment: index }.name());
    let mut body = BufWriter::new(create(&path)?);
    let opener = Arc::new(started.opener);
    let shape = proven.shape;
    let mut first = Some(started.first);
    let parts = (0..shape.parts()).map(|part| {
        let (opener, first) = (Arc::clone(&opener), first.take());
        async move {
            let ciphertext = match first {
                Some(first) => first,
                None => fetch_part(connection, &recording, proven, part).await?,
            };
            let plaintext = open_part(run.session.effects(), &opener, part, ciphertext.clone()).await?;
            Ok::<_, ClientError>((ciphertext, plaintext.len() as u64))
        }
    });
    let mut parts = std::pin::pin!(stream::iter(parts).buffered(IN_FLIGHT));
    while let Some(part) = parts.next().await {
        let (ciphertext, bytes) = part?;
        body.write_all(&ciphertext).map_err(disk(&path))?;
        run.advance(bytes);
    }
    body.flush().map_err(disk(&path))
}
