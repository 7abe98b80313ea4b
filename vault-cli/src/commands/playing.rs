//! `play`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use vault_client::Session;
use vault_engine::elapsed::elapsed;
use vault_engine::opening::media;
use vault_engine::opening::recording::{RemoteRecording, require_id};
use vault_engine::opening::track::RemoteTrack;

use super::breaks::tell_breaks;
use super::opening::{chosen, write_from};
use super::output::Output;
use super::reading::{fetch, provenance};
use crate::failure::{Code, Failure, cut_off};
use crate::play_server::{PlayServer, Playing};
use crate::player::{Player, Started};
use crate::stop::Stop;
use crate::terminal::Terminal;

/// What of a recording to play, and how.
pub(crate) struct Wanted {
    pub(crate) recording: String,
    pub(crate) from: Option<Duration>,
    pub(crate) track: Option<u8>,
    pub(crate) output: Option<PathBuf>,
    pub(crate) url: bool,
    pub(crate) allow_cut_off: bool,
}

impl Wanted {
    /// Refuses what cannot be meant, before anything is asked.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        require_id(&self.recording)?;
        if self.output.as_deref().is_some_and(|path| path != Path::new("-")) {
            return Err(Failure::declined(
                "`play` stores nothing: -o takes only -, for a pipe",
                "To write it into a file: `vault-cli open RECORDING -o FILE`.",
            ));
        }
        Ok(())
    }
}

/// Plays a recording: in a player that seeks in it through a server on this machine, or into a pipe.
pub(crate) async fn play(
    session: &Session,
    terminal: &Terminal,
    wanted: Wanted,
    stop: &Stop,
) -> Result<(), Failure> {
    let Wanted { recording, from, track, output, url, allow_cut_off } = wanted;
    let remote = fetch(session, terminal, &recording).await?;
    remote.check_reader(session)?;
    if !allow_cut_off {
        remote.require_complete(session.home()).await?;
    }
    let media = media::media(session, &remote).await?;
    if let Some(at) = remote.cut_off(session.home()).await? {
        terminal.insist(&cut_off(&at).what);
    }
    if let Some(path) = output {
        let (medium, from) = chosen(&media, track, from)?;
        let mut output = Output::open(Some(&path))?;
        write_from(session, &remote, medium, from, &mut output).await?;
        return output.finish();
    }
    let (first, start) = match (track, from) {
        (None, None) => (None, Duration::ZERO),
        _ => {
            let (medium, within) = chosen(&media, track, from)?;
            (Some(medium.track), within.unwrap_or_default())
        }
    };
    let mut playing = Vec::new();
    for medium in media.iter().filter(|medium| first.is_none_or(|first| medium.track >= first)) {
        if track.is_some_and(|track| track != medium.track) {
            continue;
        }
        let view = RemoteTrack::open(session, &remote, medium.track, medium.layout()).await?;
        let start = if playing.is_empty() { start.as_secs() } else { 0 };
        playing.push(Playing { track: medium.track, media_type: medium.media_type.clone(), view, start });
    }
    let shown: Vec<_> =
        media.iter().filter(|medium| playing.iter().any(|playing| playing.track == medium.track)).collect();
    tell_breaks(terminal, &recording, &shown);
    let title = title(session, &remote).await?;
    terminal.say(&format!("{}.", provenance(session, &remote).await?));
    let server = PlayServer::bind(title, playing)?;
    let mut started = show(terminal, &server, url, start)?;
    let closed = async {
        match started.as_mut().and_then(|started| started.child.as_mut()) {
            Some(child) => child.wait().await.is_ok_and(|status| status.success()),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        failure = server.serve() => Err(failure),
        well = closed => if well { Ok(()) } else {
            Err(Failure::new(
                Code::Usage,
                "The player ended with an error.",
                "Nothing of the recording was stored.",
                "Try another one: --url prints an address for any player or browser on this machine.",
            ))
        },
        () = stop.asked() => Ok(()),
    }
}

/// Starts a player, or prints where one finds the media.
fn show(
    terminal: &Terminal,
    server: &PlayServer,
    url: bool,
    start: Duration,
) -> Result<Option<Started>, Failure> {
    let (page, tracks) = (server.page(), server.tracks());
    let player = if url || terminal.json() { None } else { Player::find() };
    if let Some(player) = player {
        match player.start(&page, &tracks, start) {
            Ok(started) => {
                let until = if started.child.is_some() { "it is closed" } else { "Ctrl-C" };
                terminal.say(&format!("Playing in {} until {until}.", player.name()));
                return Ok(Some(started));
            }
            Err(error) => terminal.insist(&format!("{} could not be started: {error}.", player.name())),
        }
    }
    if terminal.json() {
        let tracks: Vec<_> =
            tracks.iter().map(|(track, url)| serde_json::json!({ "track": track, "url": url })).collect();
        terminal.document(
            &serde_json::json!({ "page": page, "tracks": tracks, "start_ms": u64::try_from(start.as_millis()).unwrap_or(u64::MAX) }),
        )?;
    } else {
        if !url {
            terminal.say("Neither mpv nor vlc nor a browser can be started here. `vault-cli open` writes a file instead.");
        }
        terminal.say(
            "These addresses work on this machine until Ctrl-C; whoever has one can watch. For a player:",
        );
        for (_, track) in &tracks {
            terminal.data(track)?;
        }
        terminal.insist(&format!("For a browser: {page}"));
        if !start.is_zero() {
            // Where to begin is no part of an address that players understand.
            let seconds = start.as_secs_f64();
            terminal.insist(&format!(
                "The browser begins at {}. A player begins there if it is told to: `mpv --start={seconds} ADDRESS`, \
                 `vlc --start-time={seconds} ADDRESS`.",
                elapsed(start)
            ));
        }
    }
    Ok(None)
}

async fn title(session: &Session, remote: &RemoteRecording) -> Result<String, Failure> {
    let title = remote.details(session).await?.and_then(|details| details.title.clone());
    Ok(title.unwrap_or_else(|| format!("Recording of {}", remote.checked().manifest().created)))
}
