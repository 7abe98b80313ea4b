//! `list`, `open`, `verify`.

use std::io;
use std::path::PathBuf;

use indicatif::BinaryBytes;
use vault_client::ClientError;
use vault_client::download::{self, Completeness, Opened, RemoteRecording};
use vault_client::listing::{self, ListedRecording, Status};
use vault_client::names::Names;

use super::Unlocked;
use super::output::Output;
use crate::failure::{Failure, Kind, printable};
use crate::terminal::Terminal;

/// Most characters of a title in the table.
const TITLE_WIDTH: usize = 48;

/// Lists the account's recordings.
pub(crate) async fn list(unlocked: &Unlocked, terminal: &Terminal) -> Result<(), Failure> {
    let listing = listing::list(unlocked.session()).await?;
    let names = Names::read(&unlocked.home)?;
    if !terminal.json() && !listing.recordings.is_empty() {
        terminal.say("recording                         began                 status     size        title");
    }
    for recording in &listing.recordings {
        if terminal.json() {
            terminal.document(&as_json(recording))?;
        } else {
            terminal.data(&format!("{}{}", as_row(recording), with(&names, recording)))?;
        }
    }
    if listing.recordings.is_empty() && listing.refused.is_empty() {
        terminal.say("There are no recordings of this account.");
    }
    let failures: Vec<(String, Failure)> =
        listing.refused.into_iter().map(|entry| (entry.recording.to_string(), entry.error.into())).collect();
    not_listed(terminal, failures)
}

/// Tells of entries that were refused; each by name.
fn not_listed(terminal: &Terminal, failures: Vec<(String, Failure)>) -> Result<(), Failure> {
    let Some((_, first)) = failures.first() else {
        return Ok(());
    };
    let kind = if failures.iter().all(|(_, failure)| failure.kind == first.kind) {
        first.kind
    } else {
        Kind::Partly
    };
    for (recording, failure) in &failures {
        terminal.insist(&format!("Refused {recording}: {}", failure.what));
    }
    Err(Failure::new(
        kind,
        format!(
            "The server listed {} that this program refuses, named above.",
            counted(failures.len(), "entry", "entries")
        ),
        "They are not shown as recordings of yours. The others were checked and are right.",
        "Tell the operator, with the ids above.",
    ))
}

fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Complete => "complete",
        Status::CutOff => "cut_off",
        Status::Recording => "recording",
    }
}

fn as_json(recording: &ListedRecording) -> serde_json::Value {
    let details = recording.details.as_ref();
    let durations = details.map(|details| details.tracks.iter().map(|track| track.duration_ms));
    // The length of the whole is known only if that of every track is.
    let duration: Option<u64> =
        durations.and_then(|mut tracks| tracks.try_fold(0u64, |sum, track| Some(sum + track?)));
    serde_json::json!({
        "recording": recording.recording,
        "consultation": recording.consultation,
        "patient": recording.patient,
        "clinician": recording.clinician,
        "sealer": recording.sealer,
        "created": recording.created,
        "duration_ms": duration,
        "tracks": details.map(|details| &details.tracks),
        "status": status_name(recording.status),
        "title": details.and_then(|details| details.title.clone()),
        "bytes": recording.bytes,
    })
}

/// What the people of a recording are called, as far as they have petnames.
fn with(names: &Names, recording: &ListedRecording) -> String {
    let people = [("patient", recording.patient), ("clinician", recording.clinician)];
    let named: Vec<String> = people
        .into_iter()
        .filter_map(|(role, account)| Some(format!("{role} {}", names.petname(account)?)))
        .collect();
    if named.is_empty() { String::new() } else { format!("  ({})", named.join(", ")) }
}

fn as_row(recording: &ListedRecording) -> String {
    let title = recording.details.as_ref().and_then(|details| details.title.as_deref()).unwrap_or("-");
    let mut short: String = title.chars().take(TITLE_WIDTH).collect();
    if short.len() < title.len() {
        short.push('…');
    }
    format!(
        "{}  {}  {:<9}  {:>10}  {}",
        recording.recording,
        recording.created,
        status_name(recording.status).replace('_', " "),
        BinaryBytes(recording.bytes).to_string(),
        printable(&short)
    )
}

/// Checks, decrypts and writes out a recording.
pub(crate) async fn open(
    unlocked: &Unlocked,
    terminal: &Terminal,
    recording: &str,
    output: Option<PathBuf>,
    allow_cut_off: bool,
) -> Result<(), Failure> {
    let remote = fetch(unlocked, recording).await?;
    remote.opening(unlocked.session()).map_err(Failure::from)?;
    if !allow_cut_off {
        remote.require_complete()?;
    }
    let mut output = Output::open(output.as_deref())?;
    let name = output.name();
    let opened = write_out(unlocked, terminal, &remote, "opening", output.writer()).await.map_err(
        |error| match error {
            ClientError::Disk { path, source } if path == std::path::Path::new("output") => {
                Failure::disk(&name, &source)
            }
            other => other.into(),
        },
    )?;
    output.finish()?;
    if let Completeness::CutOff = remote.completeness() {
        terminal.insist(&format!(
            "Cut off: the end of this recording is missing; the last of it was stored at {}.",
            remote.last_stored()
        ));
    }
    terminal.say(&format!(
        "Opened {} bytes, all of them checked; sealed by {} ({}).",
        opened.bytes,
        remote.checked().sealer().account().short(),
        remote.checked().sealer().role()
    ));
    Ok(())
}

/// Checks every byte of a recording.
pub(crate) async fn verify(unlocked: &Unlocked, terminal: &Terminal, recording: &str) -> Result<(), Failure> {
    let remote = fetch(unlocked, recording).await?;
    let opened = write_out(unlocked, terminal, &remote, "verifying", &mut io::sink()).await?;
    let checked = remote.checked();
    let complete = remote.completeness() == Completeness::Complete;
    let segments = checked.segments().len();
    if terminal.json() {
        terminal.document(&serde_json::json!({
            "recording": checked.manifest().recording,
            "status": if complete { "complete" } else { "cut_off" },
            "segments": segments,
            "parts": opened.parts,
            "bytes": opened.bytes,
            "sha256": opened.sha256,
            "sealer": checked.manifest().sealer,
            "created": checked.manifest().created,
        }))?;
    } else {
        terminal.data(&format!(
            "{}: {}, {}, {} bytes, all right; sealed by {} ({}) on {}; SHA-256 {}",
            checked.manifest().recording,
            counted(segments, "segment", "segments"),
            counted(usize::try_from(opened.parts).unwrap_or(usize::MAX), "part", "parts"),
            opened.bytes,
            checked.manifest().sealer.short(),
            checked.sealer().role(),
            checked.manifest().created,
            opened.sha256
        ))?;
    }
    remote.require_complete()?;
    Ok(())
}

async fn fetch(unlocked: &Unlocked, recording: &str) -> Result<RemoteRecording, Failure> {
    let session = unlocked.session();
    let requested = download::resolve_recording(session, recording).await?;
    Ok(RemoteRecording::fetch(session, requested).await?)
}

async fn write_out(
    unlocked: &Unlocked,
    terminal: &Terminal,
    remote: &RemoteRecording,
    what: &'static str,
    out: &mut (dyn io::Write + Send),
) -> Result<Opened, ClientError> {
    let mut progress = terminal.progress(what, Some(remote.checked().plaintext_length()));
    remote.write_to(unlocked.session(), out, &mut |bytes| progress.advance(bytes)).await
}
