//! `open`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use vault_client::ClientError;
use vault_client::Session;
use vault_client::io_failure::WriteSink;
use vault_engine::elapsed::elapsed;
use vault_engine::media_type::file_extension;
use vault_engine::opening::media::{self, Medium, at_moment};
use vault_engine::opening::recording::{RemoteRecording, require_id};
use vault_engine::opening::seekable_file::SeekableFile;
use vault_engine::opening::track::RemoteTrack;

use super::breaks::tell_breaks;
use super::output::Output;
use super::reading::{completeness_name, fetch, provenance, write_out};
use crate::failure::{Failure, cut_off};
use crate::terminal::Terminal;

/// Most bytes that are written at once where only some of a track is.
const PIECE: usize = 1024 * 1024;

/// What of a recording to open, and where to.
pub(crate) struct Wanted {
    pub(crate) recording: String,
    pub(crate) output: Option<PathBuf>,
    pub(crate) from: Option<Duration>,
    pub(crate) track: Option<u8>,
    pub(crate) as_sealed: bool,
    pub(crate) allow_cut_off: bool,
}

impl Wanted {
    /// Refuses what cannot be meant, before anything is asked.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        require_id(&self.recording)?;
        // Into a folder go the tracks of a recording that has several, under names of their own.
        if self.output.as_deref().is_some_and(Path::is_dir) {
            Ok(())
        } else {
            Output::check(self.output.as_deref())
        }
    }
}

/// Checks, decrypts and writes out a recording: seekable where its sealer left an index, unless it is wanted as it was
/// sealed.
pub(crate) async fn open(session: &Session, terminal: &Terminal, wanted: Wanted) -> Result<(), Failure> {
    let Wanted { recording, output, from, track, as_sealed, allow_cut_off } = wanted;
    let remote = fetch(session, terminal, &recording).await?;
    remote.check_reader(session).map_err(Failure::from)?;
    if !allow_cut_off {
        remote.require_complete(session.home()).await?;
    }
    let media = media::media(session, &remote).await?;
    let mut files = Vec::new();
    let mut sealed = None;
    let bytes = if from.is_some() {
        let (medium, from) = chosen(&media, track, from)?;
        let mut output = Output::open(output.as_deref())?;
        let bytes = write_from(session, &remote, medium, from, &mut output).await?;
        files.extend(output.path().map(|path| written(Some(medium), path, bytes)));
        output.finish()?;
        tell_start(terminal, medium, from);
        tell_breaks(terminal, &recording, &[medium]);
        bytes
    } else {
        let mut plan = Plan::make(&media, output.as_deref(), track)?;
        let (mut bytes, mut sealed_bytes) = (0, 0);
        for (medium, output) in &mut plan.outputs {
            let name = output.name();
            let layout = medium.filter(|_| !as_sealed).and_then(Medium::layout);
            let mut sink = WriteSink(output.writer());
            let mut file = SeekableFile::new(&mut sink, layout);
            let track = medium.map(|medium| medium.track);
            let opened = write_out(session, terminal, &remote, ("opening", track), &mut file).await;
            sealed_bytes += opened.map_err(|error| output_failure(error, &name))?.bytes;
            let file = file.finish().bytes;
            files.extend(output.path().map(|path| written(*medium, path, file)));
            bytes += file;
        }
        let opened: Vec<&Medium> = plan.outputs.iter().filter_map(|(medium, _)| *medium).collect();
        // Only once all of them are right.
        for (_, output) in plan.outputs {
            output.finish()?;
        }
        tell_breaks(terminal, &recording, &opened);
        sealed = Some(sealed_bytes).filter(|sealed| *sealed != bytes);
        bytes
    };
    if let Some(at) = remote.cut_off(session.home()).await? {
        terminal.insist(&cut_off(&at).what);
    }
    // A recording on standard output leaves no room for a document there.
    if terminal.json() && !files.is_empty() {
        let status = completeness_name(session, &remote).await?;
        terminal.document(&serde_json::json!({
            "recording": remote.checked().manifest().recording, "status": status, "bytes": bytes, "files": files,
        }))?;
    }
    terminal
        .say(&format!("Opened {bytes} bytes, all of them checked: {}.", provenance(session, &remote).await?));
    if let Some(sealed) = sealed {
        terminal.say(&format!(
            "Of these, what stands in front makes it seekable; as it was sealed it has {sealed} bytes, with the SHA-256 that \
             `vault-cli verify` shows (--as-sealed)."
        ));
    }
    Ok(())
}

/// Says where a file begins that was wanted from a moment on, if that is not where it was wanted.
fn tell_start(terminal: &Terminal, medium: &Medium, from: Option<Duration>) {
    let whole = |time: Duration| time.as_secs();
    if let Some(from) = from
        && let Some(start) = medium.start_of(from).filter(|start| whole(*start) != whole(from))
    {
        terminal.say(&format!(
            "It begins at {}: the last place before {} from which it can be played.",
            elapsed(start),
            elapsed(from)
        ));
    }
}

/// A file that was written, for JSON.
fn written(medium: Option<&Medium>, path: &Path, bytes: u64) -> serde_json::Value {
    serde_json::json!({
        "file": path.display().to_string(), "bytes": bytes,
        "track": medium.map(|medium| medium.track), "media_type": medium.map(|medium| &medium.media_type),
    })
}

fn output_failure(error: ClientError, name: &str) -> Failure {
    match error {
        ClientError::Output(why) => Failure::output(name, &why),
        other => other.into(),
    }
}

/// The track that is meant, and the moment in it: by its number, by a moment of the consultation, or because there is
/// only one.
pub(super) fn chosen(
    media: &[Medium],
    track: Option<u8>,
    from: Option<Duration>,
) -> Result<(&Medium, Option<Duration>), Failure> {
    match (track, from, media) {
        (Some(track), from, _) => Ok((numbered(media, track)?, from)),
        (None, Some(moment), _) => {
            Ok(at_moment(media, moment).map(|(medium, within)| (medium, Some(within)))?)
        }
        (None, None, [one]) => Ok((one, None)),
        (None, None, _) => Err(several(media)),
    }
}

fn numbered(media: &[Medium], track: u8) -> Result<&Medium, Failure> {
    media.iter().find(|medium| medium.track == track).ok_or_else(|| {
        Failure::usage(format!("this recording has no track {track}; it has {}", listed(media)))
    })
}

fn several(media: &[Medium]) -> Failure {
    Failure::usage(format!(
        "this recording has several tracks, which do not fit into one file: {}; choose one with --track, or name an existing \
         folder with -o, for one file each",
        listed(media)
    ))
}

fn listed(media: &[Medium]) -> String {
    let one =
        |medium: &Medium| format!("track {} ({}, {} bytes)", medium.track, medium.media_type, medium.bytes);
    media.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Writes a track from a moment on, fetching only what is needed; says how many bytes that were.
pub(super) async fn write_from(
    session: &Session,
    remote: &RemoteRecording,
    medium: &Medium,
    from: Option<Duration>,
    output: &mut Output,
) -> Result<u64, Failure> {
    let layout = match from {
        Some(from) => Some(medium.layout_from(from)?),
        None => medium.layout(),
    };
    let view = RemoteTrack::open(session, remote, medium.track, layout).await?;
    let mut reader = view.reader(0);
    let mut written = 0;
    loop {
        let bytes = reader.next(PIECE).await?;
        if bytes.is_empty() {
            return Ok(written);
        }
        output.write_all(&bytes)?;
        written += bytes.len() as u64;
    }
}

/// What is written where, for one recording. Several tracks are never written one after the other into one file: what
/// comes out would be no medium, and the second track would look lost.
struct Plan<'a> {
    /// Which track goes where; `None` for a recording in which nothing was recorded.
    outputs: Vec<(Option<&'a Medium>, Output)>,
}

impl<'a> Plan<'a> {
    fn make(media: &'a [Medium], output: Option<&Path>, track: Option<u8>) -> Result<Self, Failure> {
        let wanted = track.map(|track| numbered(media, track)).transpose()?;
        let folder = output.filter(|path| path.is_dir());
        let (Some(folder), true) = (folder, media.len() > 1) else {
            let only = match (wanted, media) {
                (Some(medium), _) | (None, [medium]) => Some(medium),
                (None, []) => None,
                (None, _) => return Err(several(media)),
            };
            return Ok(Self { outputs: vec![(only, Output::open(output)?)] });
        };
        let mut outputs = Vec::new();
        for medium in media.iter().filter(|medium| wanted.is_none_or(|wanted| wanted.track == medium.track)) {
            let name = format!("track-{}.{}", medium.track, file_extension(&medium.media_type));
            outputs.push((Some(medium), Output::open(Some(&folder.join(name)))?));
        }
        Ok(Self { outputs })
    }
}
