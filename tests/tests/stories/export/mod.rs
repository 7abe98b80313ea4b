//! Taking recordings home: what `export` puts into a folder, what `verify` says of it offline, and what `list` misses.
//! All through the real command line, against the real server and one that lies.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

mod contents;
mod interrupted_slow;
mod lies;
mod lies_slow;
mod names;
mod tampering_slow;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use vault_tests::command::{Said, binary, end, vault_cli};
use vault_tests::scene::Scene;

/// Recordings of the clinic that anna may read.
const OF_ANNA: [&str; 5] = ["a1", "a2", "p1", "s1", "o1"];

/// The command that exports, ready for more arguments.
fn exporting(scene: &Scene, who: &str, folder: &Path, more: &[&str]) -> Command {
    let mut command = scene.command(who);
    command.arg("export").arg(folder).args(["--json"]).args(more);
    command
}

fn export(scene: &Scene, who: &str, folder: &Path, more: &[&str]) -> Said {
    end(&mut exporting(scene, who, folder, more))
}

/// The document that an export prints, whole or not.
#[track_caller]
fn report(said: &Said) -> Value {
    let text = String::from_utf8(said.stdout.clone()).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no report: {text:?}, {}", said.stderr))
}

/// Fails unless an export went through and fetched so many.
#[track_caller]
fn exported(said: &Said, recordings: usize, fetched: usize) {
    assert_eq!(said.exit, Some(0), "{}", said.stderr);
    let report = report(said);
    assert_eq!(report["recordings"], recordings, "{report}");
    assert_eq!(report["fetched"], fetched, "{report}");
    assert_eq!(report["failed"], serde_json::json!([]), "{report}");
}

/// Fails unless a run with `--json` was refused with this exit code and these words, and printed no report.
#[track_caller]
fn refused(said: &Said, exit: i32, words: &str) {
    assert_eq!(said.exit, Some(exit), "{}", said.stderr);
    assert_eq!(said.stdout, b"", "{}", said.stderr);
    let error: Value = serde_json::from_str(said.stderr.lines().last().unwrap()).unwrap();
    assert!(["what", "means", "next"].iter().all(|line| error[line].is_string()), "{error}");
    assert!(error["what"].as_str().unwrap().contains(words), "{words:?} is not said in: {error}");
}

/// The recordings that an export names as failed.
#[track_caller]
fn failed(said: &Said) -> BTreeSet<String> {
    let failed = report(said)["failed"].as_array().unwrap().clone();
    let failed: BTreeSet<String> =
        failed.iter().map(|one| one["recording"].as_str().unwrap().to_owned()).collect();
    for recording in &failed {
        assert!(said.stderr.contains(recording), "{recording} is not named: {}", said.stderr);
    }
    failed
}

/// What `verify` said of an export.
struct Verified {
    said: Said,
    recordings: BTreeMap<String, Value>,
    files: BTreeMap<String, String>,
    summary: Value,
}

impl Verified {
    fn finding(&self, recording: &str) -> &str {
        self.recordings.get(recording).map_or("nothing", |entry| entry["finding"].as_str().unwrap())
    }

    /// The recordings that are not right, with what was found of each.
    fn wrong(&self) -> BTreeMap<&str, &str> {
        let findings = self.recordings.keys().map(|recording| (recording.as_str(), self.finding(recording)));
        findings.filter(|(_, finding)| *finding != "right").collect()
    }

    #[track_caller]
    fn is_whole(&self, recordings: usize) {
        let wrong: Vec<&Value> =
            self.recordings.values().filter(|entry| entry["finding"] != "right").collect();
        assert_eq!(self.said.exit, Some(0), "{wrong:?} {:?} {}", self.files, self.said.stderr);
        assert_eq!(self.recordings.len(), recordings);
        assert_eq!(self.wrong(), BTreeMap::new());
        assert_eq!(self.summary["right"], recordings, "{}", self.summary);
        assert_eq!(self.summary["recordings"], recordings, "{}", self.summary);
    }
}

/// `verify` without a passphrase; `home` is whose device checks, if any.
fn verifying(home: Option<&Path>, folder: &Path) -> Command {
    let nobody = folder.parent().unwrap().join("nobody");
    let mut command = match home {
        Some(home) => vault_cli(home),
        None => Command::new(binary("vault-cli")),
    };
    if home.is_none() {
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", &nobody);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    command.env_remove("VAULT_PASSPHRASE").arg("verify").arg(folder);
    command
}

fn verify(home: Option<&Path>, folder: &Path) -> Verified {
    let said = end(verifying(home, folder).arg("--json"));
    let (mut recordings, mut files, mut summary) = (BTreeMap::new(), BTreeMap::new(), Value::Null);
    for line in String::from_utf8(said.stdout.clone()).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        match (text("recording"), text("file")) {
            (Some(recording), _) => drop(recordings.insert(recording, line)),
            (_, Some(file)) => drop(files.insert(file, text("finding").unwrap())),
            _ => summary = line,
        }
    }
    Verified { said, recordings, files, summary }
}

/// Every file below a folder, by its path in it.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(above) = folders.pop() {
        for entry in fs::read_dir(above).unwrap() {
            let path = entry.unwrap().path();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// The files that `SHA256SUMS` names.
fn summed(folder: &Path) -> BTreeSet<String> {
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    sums.lines().map(|line| line.split_once("  ").unwrap().1.to_owned()).collect()
}

/// Fails unless everything in the folder is named by the sums, and fits them, as `sha256sum` sees it.
#[track_caller]
fn only_signed_files(folder: &Path) {
    let mut present: BTreeSet<String> = tree(folder).into_keys().collect();
    for beside in ["SHA256SUMS", "proof/export", ".lock"] {
        present.remove(beside);
    }
    let summed = summed(folder);
    let unsigned: Vec<&String> = present.difference(&summed).collect();
    assert_eq!(unsigned, Vec::<&String>::new(), "these are in the folder and nobody signed them");
    let mut check = Command::new("sha256sum");
    let checked = check.args(["--check", "--strict", "--quiet", "SHA256SUMS"]).current_dir(folder).output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

/// What the export says of a recording, with the folder that says so.
#[track_caller]
fn described(folder: &Path, recording: &str) -> (PathBuf, Value) {
    let mut found = Vec::new();
    for place in fs::read_dir(folder.join("recordings")).unwrap() {
        let place = place.unwrap().path();
        let document: Value =
            serde_json::from_slice(&fs::read(place.join("recording.json")).unwrap()).unwrap();
        if document["recording"] == recording {
            found.push((place, document));
        }
    }
    assert_eq!(found.len(), 1, "folders of {recording}: {found:?}");
    found.remove(0)
}

/// The media of a recording by track, each checked against what `recording.json` says of it.
#[track_caller]
fn media(folder: &Path, recording: &str) -> BTreeMap<u64, Vec<u8>> {
    let (place, document) = described(folder, recording);
    let mut media = BTreeMap::new();
    for file in document["files"].as_array().unwrap() {
        let bytes = fs::read(place.join(file["path"].as_str().unwrap())).unwrap();
        assert_eq!(file["bytes"], bytes.len(), "{file}");
        assert_eq!(file["sha256"], vault_tests::world::sha256(&bytes), "{file}");
        media.insert(file["track"].as_u64().unwrap(), bytes);
    }
    media
}

/// Path of a file of a recording's folder in the export, relative to it: that of its first medium.
#[track_caller]
fn medium(folder: &Path, recording: &str) -> String {
    let (place, document) = described(folder, recording);
    let path = place.join(document["files"][0]["path"].as_str().unwrap());
    path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned()
}

/// Flips a bit in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}
