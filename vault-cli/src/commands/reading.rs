//! `list`, `verify`.

use std::collections::BTreeMap;

use indicatif::BinaryBytes;
use vault_client::ClientError;
use vault_client::Session;
use vault_core::details::Track;
use vault_engine::home::names::Names;
use vault_engine::opening::listing::{self, ListedRecording, Status};
use vault_engine::opening::plaintext_sink::{Discard, PlaintextSink};
use vault_engine::opening::recording::{self, Completeness, Opened, RemoteRecording};
use vault_proto::ids::{AccountId, RecordingId};

use crate::failure::{Code, Failure};
use crate::local_time::minute;
use crate::printable::printable;
use crate::terminal::Terminal;
use crate::wrapping::shortened;

/// Most columns of a title where lines are as long as they need to be.
const TITLE_WIDTH: usize = 48;
/// Columns of a row before its title, with the beginning of the id.
const BEFORE_TITLE: usize = 55;
/// Fewest columns of a terminal in which a recording has a row with its title.
const ROOM_FOR_ROWS: usize = BEFORE_TITLE + 15;

/// Lists the account's recordings.
pub(crate) async fn list(session: &Session, terminal: &Terminal) -> Result<(), Failure> {
    let listing = listing::list(session).await?;
    let names = Names::read(session.home()).await?;
    if !terminal.json() && !listing.recordings.is_empty() {
        match terminal.columns() {
            None => terminal
                .say("recording                         began             status           size  title"),
            Some(columns) if columns >= ROOM_FOR_ROWS => {
                terminal.say("recording     began             status           size  title");
            }
            Some(_) => {}
        }
    }
    for recording in &listing.recordings {
        if terminal.json() {
            terminal.document(&as_json(recording))?;
        } else {
            for line in as_lines(recording, &people(&names, recording), terminal.columns()) {
                terminal.data(&line)?;
            }
        }
    }
    if listing.recordings.is_empty() && listing.refused.is_empty() && listing.missing.is_empty() {
        terminal.say("There are no recordings of this account.");
    }
    let empty = listing.recordings.iter().filter(|recording| recording.status == Status::Empty).count();
    if empty > 0 && !terminal.json() {
        terminal.say(&format!(
            "{} begun and {} nothing: the sealing device died before the first part, or has sent none yet.",
            counted(empty, "recording was", "recordings were"),
            if empty == 1 { "holds" } else { "hold" }
        ));
    }
    for recording in &listing.other_ends {
        terminal.insist(&other_end(*recording));
    }
    for entry in &listing.missing {
        if terminal.json() {
            terminal.document(&serde_json::json!({
                "recording": entry.recording, "status": "missing", "manifest": entry.manifest, "final_seal": entry.final_seal,
            }))?;
        }
        terminal.insist(&format!(
            "Missing {}: the server has listed it before, and does not any more.",
            entry.recording
        ));
    }
    let failures: Vec<(String, Failure)> =
        listing.refused.into_iter().map(|entry| (entry.recording.to_string(), entry.error.into())).collect();
    for (recording, failure) in &failures {
        if terminal.json() {
            terminal.document(&serde_json::json!({
                "recording": recording, "status": "refused", "refusal": failure.code.word(), "what": failure.what,
            }))?;
        }
        terminal.insist(&format!("Refused {recording}: {}", failure.what));
    }
    let codes: Vec<Code> = failures.iter().map(|(_, failure)| failure.code).collect();
    not_listed(&codes, listing.missing.len())
}

/// The failure that says that entries were refused or are missing, all of which were named.
fn not_listed(refused: &[Code], missing: usize) -> Result<(), Failure> {
    let what = match (refused.len(), missing) {
        (0, 0) => return Ok(()),
        (refused, 0) => {
            format!(
                "The server listed {} that this program refuses, named above.",
                counted(refused, "entry", "entries")
            )
        }
        (0, missing) => {
            format!(
                "The server leaves out {} that it has listed before, named above.",
                counted(missing, "recording", "recordings")
            )
        }
        (refused, missing) => format!(
            "The server listed {} that this program refuses, and leaves out {} that it has listed before, all named above.",
            counted(refused, "entry", "entries"),
            counted(missing, "recording", "recordings")
        ),
    };
    let code = match refused.split_first() {
        Some((first, others)) if missing == 0 && others.iter().all(|other| other == first) => *first,
        _ => Code::Partly,
    };
    let means = "They are not shown as recordings of yours. The others were checked and are right.";
    Err(Failure::new(code, what, means, "Tell the operator, with the ids above."))
}

pub(super) fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Complete => "complete",
        Status::CutOff => "cut_off",
        Status::Recording => "recording",
        Status::Empty => "empty",
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
        "tracks": details.map(|details| details.tracks.iter().map(track_as_json).collect::<Vec<_>>()),
        "status": status_name(recording.status),
        "title": details.and_then(|details| details.title.clone()),
        "bytes": recording.bytes,
    })
}

/// What a track is, without the index that lies beside it.
fn track_as_json(track: &Track) -> serde_json::Value {
    let Track { track, media_type, bytes, duration_ms, .. } = track;
    serde_json::json!({ "track": track, "media_type": media_type, "bytes": bytes, "duration_ms": duration_ms })
}

/// How a person recognises an account: its petname, or else what its certificate calls it, in quotation marks, and the
/// beginning of its id.
fn called(names: &Names, labels: &BTreeMap<AccountId, String>, account: AccountId) -> String {
    match labels.get(&account) {
        Some(label) if names.petname(account).is_none() => format!("{label:?} ({})", account.short()),
        _ => names.show(account),
    }
}

fn people(names: &Names, recording: &ListedRecording) -> String {
    let called = |account| called(names, &recording.labels, account);
    format!(
        "patient {}, clinician {}, sealed by {}",
        called(recording.patient),
        called(recording.clinician),
        called(recording.sealer)
    )
}

/// Whose recording it is, by whom and when.
pub(super) async fn provenance(session: &Session, remote: &RemoteRecording) -> Result<String, Failure> {
    let names = Names::read(session.home()).await?;
    let labels = remote.labels();
    let called = |account| called(&names, &labels, account);
    let manifest = remote.checked().manifest();
    Ok(format!(
        "patient {}, clinician {}; sealed by {}, {}, on {}",
        called(manifest.patient),
        called(manifest.clinician),
        called(manifest.sealer),
        remote.checked().sealer().role(),
        manifest.created
    ))
}

/// A recording in as many columns as there are: one line with its whole id where there is no terminal; the beginning of
/// the id, which every command takes, and the people on a line below it; or a line for each thing to say.
fn as_lines(recording: &ListedRecording, people: &str, columns: Option<usize>) -> Vec<String> {
    let title = recording.details.as_ref().and_then(|details| details.title.as_deref()).unwrap_or("-");
    let title = |width: usize| shortened(&printable(title), width);
    let (id, short) = (recording.recording, recording.recording.short());
    let (began, size) = (minute(recording.created), BinaryBytes(recording.bytes).to_string());
    let status = status_name(recording.status).replace('_', " ");
    match columns {
        None => vec![format!("{id}  {began}  {status:<9}  {size:>10}  {}  ({people})", title(TITLE_WIDTH))],
        Some(columns) if columns >= ROOM_FOR_ROWS => vec![
            format!("{short}  {began}  {status:<9}  {size:>10}  {}", title(columns - BEFORE_TITLE)),
            format!("  {people}"),
        ],
        Some(columns) => vec![
            format!("{short}  {status}"),
            format!("  {began}, {size}"),
            format!("  {}", title(columns - 2)),
            format!("  {people}"),
        ],
    }
}

/// The word for how complete a recording is, for programs.
pub(super) async fn completeness_name(
    session: &Session,
    remote: &RemoteRecording,
) -> Result<&'static str, Failure> {
    Ok(match remote.completeness() {
        Completeness::Complete => "complete",
        Completeness::CutOff if remote.holds_nothing(session.home()).await? => "empty",
        Completeness::CutOff => "cut_off",
    })
}

/// Checks every byte of a recording.
pub(crate) async fn verify(session: &Session, terminal: &Terminal, recording: &str) -> Result<(), Failure> {
    let remote = fetch(session, terminal, recording).await?;
    let opened = write_out(session, terminal, &remote, ("verifying", None), &mut Discard).await?;
    let checked = remote.checked();
    let status = completeness_name(session, &remote).await?;
    let segments = checked.segments().len();
    if terminal.json() {
        terminal.document(&serde_json::json!({
            "recording": checked.manifest().recording,
            "status": status,
            "segments": segments,
            "parts": opened.parts,
            "bytes": opened.bytes,
            "sha256": opened.sha256,
            "sealer": checked.manifest().sealer,
            "created": checked.manifest().created,
            "patient": checked.manifest().patient,
            "clinician": checked.manifest().clinician,
        }))?;
    } else if status == "empty" {
        terminal.data(&format!(
            "{}: nothing was recorded; {}",
            checked.manifest().recording,
            provenance(session, &remote).await?
        ))?;
    } else {
        terminal.data(&format!(
            "{}: {}, {}, {} bytes, all right; {}; SHA-256 {}",
            checked.manifest().recording,
            counted(segments, "segment", "segments"),
            counted(usize::try_from(opened.parts).unwrap_or(usize::MAX), "part", "parts"),
            opened.bytes,
            provenance(session, &remote).await?,
            opened.sha256
        ))?;
    }
    remote.require_complete(session.home()).await?;
    Ok(())
}

pub(super) async fn fetch(
    session: &Session,
    terminal: &Terminal,
    recording: &str,
) -> Result<RemoteRecording, Failure> {
    let requested = recording::resolve_recording(session, recording).await?;
    let remote = RemoteRecording::fetch(session, requested).await?;
    if remote.has_other_end() {
        terminal.insist(&other_end(requested));
    }
    Ok(remote)
}

/// What is said of a recording whose end gave way to one that names it.
pub(super) fn other_end(recording: RecordingId) -> String {
    format!(
        "{recording} has another end than this account knew. The device that sealed it had lost parts that the first end \
         counts, and signed this one in its place; what was lost is in neither."
    )
}

pub(super) async fn write_out(
    session: &Session,
    terminal: &Terminal,
    remote: &RemoteRecording,
    (what, track): (&'static str, Option<u8>),
    out: &mut dyn PlaintextSink,
) -> Result<Opened, ClientError> {
    let tracks = remote.tracks(session).await?;
    let wanted = tracks.iter().filter(|(number, _)| track.is_none_or(|track| track == **number));
    let length = wanted.map(|(_, bytes)| bytes).sum();
    let mut progress = terminal.progress(what, Some(length));
    remote.write_to(session, track, out, &mut |bytes| progress.advance(bytes)).await
}
