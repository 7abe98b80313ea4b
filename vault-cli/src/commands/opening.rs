//! `open`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use vault_client::ClientError;
use vault_client::download::RemoteRecording;
use vault_client::media_type::file_extension;

use super::Unlocked;
use super::output::Output;
use super::reading::{fetch, provenance, write_out};
use crate::failure::{Failure, cut_off};
use crate::terminal::Terminal;

/// What of a recording to open, and where to.
pub(crate) struct Wanted {
    pub(crate) recording: String,
    pub(crate) output: Option<PathBuf>,
    pub(crate) track: Option<u8>,
    pub(crate) allow_cut_off: bool,
}

/// Checks, decrypts and writes out a recording.
pub(crate) async fn open(unlocked: &Unlocked, terminal: &Terminal, wanted: Wanted) -> Result<(), Failure> {
    let Wanted { recording, output, track, allow_cut_off } = wanted;
    let remote = fetch(unlocked, &recording).await?;
    remote.opening(unlocked.session()).map_err(Failure::from)?;
    if !allow_cut_off {
        remote.require_complete(&unlocked.home)?;
    }
    let mut plan = Plan::make(unlocked, &remote, output.as_deref(), track).await?;
    let mut bytes = 0;
    for (track, output) in &mut plan.outputs {
        let name = output.name();
        let opened = write_out(unlocked, terminal, &remote, ("opening", *track), output.writer()).await;
        let opened = opened.map_err(|error| match error {
            ClientError::Disk { path, source } if path == Path::new("output") => {
                Failure::disk(&name, &source)
            }
            other => other.into(),
        })?;
        bytes += opened.bytes;
    }
    // Only once all of them are right.
    for (_, output) in plan.outputs {
        output.finish()?;
    }
    if let Some(at) = remote.cut_off(&unlocked.home)? {
        terminal.insist(&cut_off(&at).what);
    }
    terminal.say(&format!("Opened {bytes} bytes, all of them checked: {}.", provenance(unlocked, &remote)?));
    Ok(())
}

/// What is written where, for one recording. Several tracks are never written one after the other into one file: what comes out
/// would be no medium, and the second track would look lost.
struct Plan {
    /// Which track goes where; `None` for the one that there is.
    outputs: Vec<(Option<u8>, Output)>,
}

impl Plan {
    async fn make(
        unlocked: &Unlocked,
        remote: &RemoteRecording,
        output: Option<&Path>,
        track: Option<u8>,
    ) -> Result<Self, Failure> {
        let tracks = remote.tracks();
        if let Some(track) = track.filter(|track| !tracks.contains_key(track)) {
            let listed = listed(&tracks, &media_types(unlocked, remote).await?);
            return Err(Failure::usage(format!("this recording has no track {track}; it has {listed}")));
        }
        if tracks.len() <= 1 {
            return Ok(Self { outputs: vec![(None, Output::open(output)?)] });
        }
        let media_types = media_types(unlocked, remote).await?;
        let folder = output.filter(|path| path.is_dir());
        let Some(folder) = folder else {
            let Some(track) = track else {
                return Err(Failure::usage(format!(
                    "this recording has several tracks, which do not fit into one file: {}; choose one with --track, or name an \
                     existing folder with -o, for one file each",
                    listed(&tracks, &media_types)
                )));
            };
            return Ok(Self { outputs: vec![(Some(track), Output::open(output)?)] });
        };
        let mut outputs = Vec::new();
        for number in tracks.keys().copied().filter(|number| track.is_none_or(|track| track == *number)) {
            let extension = file_extension(media_types.get(&number).map_or("", String::as_str));
            let path = folder.join(format!("track-{number}.{extension}"));
            outputs.push((Some(number), Output::open(Some(&path))?));
        }
        Ok(Self { outputs })
    }
}

/// Media types of the tracks, as far as the details say; a recording without an end has no details.
async fn media_types(unlocked: &Unlocked, remote: &RemoteRecording) -> Result<BTreeMap<u8, String>, Failure> {
    let details = remote.details(unlocked.session()).await?;
    let tracks = details.map(|details| details.tracks).unwrap_or_default();
    Ok(tracks.into_iter().map(|track| (track.track, track.media_type)).collect())
}

fn listed(tracks: &BTreeMap<u8, u64>, media_types: &BTreeMap<u8, String>) -> String {
    let track = |(track, bytes): (&u8, &u64)| {
        let media_type = media_types.get(track).map_or("of unknown type", String::as_str);
        format!("track {track} ({media_type}, {bytes} bytes)")
    };
    tracks.iter().map(track).collect::<Vec<_>>().join(", ")
}
