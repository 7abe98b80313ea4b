//! `export`, and `verify` of an export.

use std::path::{Path, PathBuf};

use vault_client::export::{
    CheckedEntry, CheckedExport, ExportEvent, ExportRequest, ExportedStatus, Finding, Form,
};
use vault_client::{ClientError, Session};
use vault_core::opening::OpenError;
use vault_engine::home::Home;
use vault_engine::home::names::Names;
use vault_engine::opening::recording::{require_id, resolve_recording};
use vault_proto::ids::AccountId;
use vault_proto::recording::Refusal;

use super::reading::{counted, other_end};
use crate::failure::{Code, Failure};
use crate::terminal::Terminal;

/// What to export, and where to.
pub(crate) struct Wanted {
    pub(crate) folder: PathBuf,
    pub(crate) recordings: Vec<String>,
    pub(crate) sealed: bool,
}

impl Wanted {
    /// Refuses what cannot be meant, before anything is asked.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        for recording in &self.recordings {
            require_id(recording)?;
        }
        match self.folder.metadata() {
            Ok(found) if !found.is_dir() => Err(Failure::declined(
                &format!("the file {} is no folder", self.folder.display()),
                "Name a new folder, an empty one, or that of an earlier export.",
            )),
            _ => Ok(()),
        }
    }
}

/// Refuses what `verify` takes for neither a recording nor an export.
pub(crate) fn require_recording(text: &str) -> Result<(), Failure> {
    let named = require_id(text);
    let path = Path::new(text);
    if named.is_ok() {
        return Ok(());
    }
    if path.is_dir() {
        return Err(Failure::declined(
            &format!("the folder {text} holds no export"),
            "Name the folder that `vault-cli export` was given, or a recording of `vault-cli list`.",
        ));
    }
    if path.components().count() > 1 || text.contains('.') {
        return Err(Failure::declined(
            &format!("there is no folder {text}"),
            "Check the path. An export is made with `vault-cli export DIR`; recordings are named by `vault-cli list`.",
        ));
    }
    Ok(named?)
}

/// Takes recordings home.
pub(crate) async fn export(session: &Session, terminal: &Terminal, wanted: Wanted) -> Result<(), Failure> {
    let Wanted { folder, recordings, sealed } = wanted;
    let mut chosen = Vec::with_capacity(recordings.len());
    for recording in &recordings {
        chosen.push(resolve_recording(session, recording).await?);
    }
    let form = if sealed { Form::Sealed } else { Form::Opened };
    let request = ExportRequest { folder: &folder, recordings: &chosen, form };
    let mut progress = terminal.progress("exporting", None);
    let exported = vault_client::export::export(session, request, &mut |event| match event {
        ExportEvent::Listed { bytes, .. } => progress.start(0, Some(bytes)),
        ExportEvent::Fetched { bytes } => progress.advance(bytes),
    })
    .await?;
    drop(progress);
    for recording in &exported.other_ends {
        terminal.insist(&other_end(*recording));
    }
    let failures: Vec<(String, Failure)> =
        exported.failed.into_iter().map(|(recording, error)| (recording.to_string(), error.into())).collect();
    if terminal.json() {
        let failed: Vec<_> = failures
            .iter()
            .map(|(recording, failure)| {
                serde_json::json!({ "recording": recording, "error": failure.code.word(), "what": failure.what })
            })
            .collect();
        terminal.document(&serde_json::json!({
            "folder": folder.display().to_string(),
            "recordings": exported.recordings,
            "empty": exported.empty,
            "fetched": exported.fetched,
            "list": exported.list.unverified().number,
            "failed": failed,
        }))?;
    }
    terminal.say(&format!(
        "{} in {}, {} of them fetched now. Check it at any time, offline: vault-cli verify {}",
        counted(exported.recordings, "recording is", "recordings are"),
        folder.display(),
        exported.fetched,
        folder.display()
    ));
    if exported.empty > 0 {
        terminal.say(&format!(
            "{} begun and {} nothing: there is no media of {} in the export.",
            counted(exported.empty, "of them was", "of them were"),
            if exported.empty == 1 { "holds" } else { "hold" },
            if exported.empty == 1 { "it" } else { "them" }
        ));
    }
    if failures.is_empty() {
        return Ok(());
    }
    for (recording, failure) in &failures {
        terminal.insist(&format!("Not exported {recording}: {}", failure.what));
    }
    Err(Failure::new(
        Code::Partly,
        format!("{} could not be exported, named above.", counted(failures.len(), "recording", "recordings")),
        "All others are in the export, checked. Of those that failed there is at most what an earlier run had taken home.",
        "Run the same command again: it fetches only what is missing. If one keeps failing, tell the operator its id.",
    ))
}

/// Checks an export offline.
pub(crate) async fn verify(home: Option<&Home>, terminal: &Terminal, folder: &Path) -> Result<(), Failure> {
    let enrolled = match home {
        Some(home) => home.enrolment().await.ok().map(|_| home),
        None => None,
    };
    let checked =
        vault_client::export::check(folder, enrolled).await.map_err(|error| unfinished(folder, error))?;
    let names = match enrolled {
        Some(home) => Names::read(home).await?,
        None => Names::default(),
    };
    for entry in &checked.recordings {
        if terminal.json() {
            terminal.document(&as_json(entry))?;
        } else {
            terminal.data(&as_line(&names, entry))?;
        }
    }
    for file in &checked.other_files {
        let what = if file.missing { "missing" } else { "changed" };
        if terminal.json() {
            terminal.document(&serde_json::json!({ "file": file.path, "finding": what }))?;
        } else {
            terminal.data(&format!("{what}  {}", file.path))?;
        }
    }
    for path in &checked.strangers {
        if terminal.json() {
            terminal.document(&serde_json::json!({ "file": path, "finding": "unknown" }))?;
        } else {
            terminal
                .data(&format!("unknown     {path}: no part of the export, so nothing vouches for it"))?;
        }
    }
    if checked.unknown_list {
        terminal.insist(
            "This home did not sign the list of this export: another device of the account did, or this home before it was restored.",
        );
    }
    let whose = if checked.pinned {
        format!("account {}", checked.account)
    } else {
        format!(
            "account {} of organisation {}, as the export itself says: compare both with what you know",
            checked.account, checked.organisation
        )
    };
    if terminal.json() {
        terminal.document(&serde_json::json!({
            "account": checked.account, "organisation": checked.organisation, "pinned": checked.pinned, "other_than": checked.other_than,
            "created": checked.created, "list": checked.list, "superseded": checked.superseded,
            "unknown_list": checked.unknown_list,
            "right": checked.right(), "recordings": checked.recordings.len(),
        }))?;
    } else {
        terminal.data(&format!(
            "{} of {} recordings are here and right; exported {} with list number {} by {whose}",
            checked.right(),
            checked.recordings.len(),
            checked.created,
            checked.list
        ))?;
    }
    match checked.other_than {
        _ if !checked.is_whole() => Err(not_whole(&checked)),
        Some(own) => Err(other_account(&checked, own)),
        None => Ok(()),
    }
}

/// An export that does not say what belongs to it: one that was interrupted, or that something was taken from.
fn unfinished(folder: &Path, error: ClientError) -> Failure {
    let ClientError::Open(OpenError::Refused(Refusal::Damaged(what))) = &error else {
        return error.into();
    };
    let folder = folder.display();
    Failure::new(
        Code::Damaged,
        format!("The export {folder} cannot be checked: {what}."),
        "Nothing was changed by checking. What lies in it may be right, and nothing here proves it.",
        format!(
            "Finish it: `vault-cli export {folder}` again, which fetches only what is missing or changed."
        ),
    )
}

/// All of it is right, and it is not of the account that the home is of: only a person can tell whether that was meant.
fn other_account(checked: &CheckedExport, own: AccountId) -> Failure {
    Failure::new(
        Code::Partly,
        format!("This is an export of account {}, and this home is of account {own}.", checked.account),
        "All of it is what that account signed; whether it is that account's newest, and whose account it is, this home cannot tell.",
        "If it is not the one you meant, check the folder. If it is, compare the account's id with its holder.",
    )
}

fn not_whole(checked: &CheckedExport) -> Failure {
    let count =
        |is: fn(&Finding) -> bool| checked.recordings.iter().filter(|entry| is(&entry.finding)).count();
    let damaged = count(is_changed);
    let incomplete = count(|finding| matches!(finding, Finding::Damaged(_)) && !is_changed(finding));
    let refused = count(|finding| matches!(finding, Finding::Refused(_)));
    let gone = count(|finding| *finding == Finding::Gone);
    let missing = gone + count(|finding| *finding == Finding::Missing);
    let old = count(|finding| *finding == Finding::TooOld);
    let mut found = Vec::new();
    for (count, what) in [
        (damaged, "changed"),
        (incomplete, "without some files"),
        (refused, "not proved"),
        (missing, "missing"),
        (old, "too old"),
    ] {
        if count > 0 {
            found.push(format!("{count} {what}"));
        }
    }
    let (absent, edited): (Vec<_>, Vec<_>) = checked.other_files.iter().partition(|file| file.missing);
    for (files, what) in [(edited, "changed"), (absent, "missing")] {
        if !files.is_empty() {
            found.push(format!("{} {what}", counted(files.len(), "other file", "other files")));
        }
    }
    if checked.superseded {
        found.push("the list it was made with is not your newest: recordings came later".to_owned());
    }
    let code = if damaged + incomplete + gone + refused + checked.other_files.len() > 0 {
        Code::Damaged
    } else {
        Code::Partly
    };
    Failure::new(
        code,
        format!("The export is not what was signed: {}.", found.join(", ")),
        "Those that are named as right are exactly what was exported. Nothing was changed by checking.",
        "Run `vault-cli export` with the same folder again: it fetches what is missing, changed or too old.",
    )
}

/// Whether files are there that are not as they were signed; not, where all that are named are gone.
fn is_changed(finding: &Finding) -> bool {
    matches!(finding, Finding::Damaged(files) if files.iter().any(|file| !file.missing))
}

fn finding_name(finding: &Finding) -> &'static str {
    match finding {
        Finding::Right => "right",
        Finding::Missing | Finding::Gone => "missing",
        Finding::Damaged(_) if is_changed(finding) => "changed",
        Finding::Damaged(_) => "incomplete",
        Finding::TooOld => "too-old",
        Finding::Refused(_) => "not-proved",
    }
}

fn as_json(entry: &CheckedEntry) -> serde_json::Value {
    let files = match &entry.finding {
        Finding::Damaged(files) => files.iter().map(|file| file.path.clone()).collect(),
        _ => Vec::new(),
    };
    let what = match &entry.finding {
        Finding::Refused(refusal) => Some(refusal.to_string()),
        _ => None,
    };
    serde_json::json!({
        "recording": entry.recording,
        "finding": finding_name(&entry.finding),
        "status": entry.status,
        "folder": entry.folder,
        "created": entry.created,
        "sealer": entry.sealer.as_ref().map(|sealer| sealer.account),
        "sealer_role": entry.sealer.as_ref().map(|sealer| sealer.role),
        "files": files,
        "what": what,
    })
}

fn as_line(names: &Names, entry: &CheckedEntry) -> String {
    let mut line = format!("{:<10}  {}", finding_name(&entry.finding).replace('-', " "), entry.recording);
    if let Some(folder) = &entry.folder {
        line.push_str(&format!("  {folder}"));
    }
    if let (Some(sealer), Some(created)) = (&entry.sealer, entry.created) {
        let label = sealer.label.as_ref().map_or_else(String::new, |label| format!(" {label:?}"));
        let sealer = format!("{}{label}, {}", names.show(sealer.account), sealer.role);
        line.push_str(&format!("  sealed by {sealer}, on {created}"));
        line.push_str(match entry.status {
            ExportedStatus::Complete => "",
            ExportedStatus::CutOff => ", cut off",
            ExportedStatus::Empty => ", empty: nothing was recorded",
        });
    }
    match &entry.finding {
        Finding::Damaged(files) => {
            for file in files {
                let what = if file.missing { "missing" } else { "changed" };
                line.push_str(&format!("; {what}: {}", file.path));
            }
        }
        Finding::Refused(refusal) => line.push_str(&format!("; {refusal}")),
        _ => {}
    }
    line
}
