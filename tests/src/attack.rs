//! One attack on somebody who uses the real command line: what they saw, with which exit code, and how many bytes of
//! plaintext came out anywhere.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::command::{Said, end};
use crate::scene::Scene;

/// Environment variable that names a file to which each attack's line is appended.
pub const REPORT: &str = "ATTACK_REPORT";

/// What came of a command: all it wrote, wherever.
#[derive(Debug)]
pub struct Outcome {
    /// What it said.
    pub said: Said,
    /// What is in the output file; `None` if there is no such file.
    pub output: Option<Vec<u8>>,
    /// Bytes in other files beside the output file and in the folder for temporary files.
    pub leftovers: u64,
}

impl Outcome {
    /// Bytes of content that came out anywhere.
    pub fn released(&self) -> u64 {
        let output = self.output.as_ref().map_or(0, Vec::len);
        (self.said.stdout.len() + output) as u64 + self.leftovers
    }

    /// The first of the three lines of a failure.
    pub fn saw(&self) -> &str {
        let lines: Vec<&str> = self.said.stderr.lines().collect();
        lines.len().checked_sub(3).and_then(|first| lines.get(first)).copied().unwrap_or_default()
    }
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
            // A file that was left behind counts, be it empty.
            Ok(metadata) => metadata.len().max(1),
            Err(_) => 0,
        })
        .sum()
}

/// Runs a command with a folder of its own for temporary files, and one for output if it opens a recording.
pub fn run_in(folder: &Path, command: &mut Command, with_output: bool) -> Outcome {
    let temporary = tempfile::tempdir_in(folder).expect("a folder for temporary files");
    let out = tempfile::tempdir_in(folder).expect("a folder for output");
    let target = out.path().join("opened");
    command.env("TMPDIR", temporary.path());
    if with_output {
        command.arg("-o").arg(&target);
    }
    let said = end(command);
    let output = std::fs::read(&target).ok();
    if output.is_some() {
        std::fs::remove_file(&target).expect("the output is there");
    }
    let leftovers = bytes_in(temporary.path()) + bytes_in(out.path());
    Outcome { said, output, leftovers }
}

/// Writes the line of one attack: to the report that `tests/run hostile` asks for, and to the test's own output.
pub fn report(name: &str, injected: &str, saw: &str, exit: Option<i32>, released: u64) {
    let exit = exit.map_or_else(|| "-".to_owned(), |exit| exit.to_string());
    let plain = |text: &str| text.replace(['\t', '\n'], " ");
    let line = format!("ATTACK\t{}\t{}\t{}\t{exit}\t{released}\n", plain(name), plain(injected), plain(saw));
    #[expect(clippy::print_stdout, reason = "the line belongs to the test's own output")]
    {
        print!("{line}");
    }
    if let Some(path) = std::env::var_os(REPORT) {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the report can be written");
    }
}

/// An attack under a name.
pub struct Attack<'a> {
    scene: &'a Scene,
    name: &'a str,
}

impl<'a> Attack<'a> {
    /// An attack on the people of `scene`; `name` is that of its row.
    pub const fn new(scene: &'a Scene, name: &'a str) -> Self {
        Self { scene, name }
    }

    /// Somebody opens a recording, to a file and to standard output. It must be refused with this exit code and these
    /// words, and nothing may come out.
    #[track_caller]
    pub fn open_refused(&self, injected: &str, who: &str, recording: &str, exit: i32, words: &str) {
        let piped = self.run(who, &["open", recording], false);
        self.check(injected, &piped, exit, words);
        assert_eq!(piped.released(), 0, "{injected}: bytes were released on standard output");
        let filed = self.run(who, &["open", recording], true);
        self.check(injected, &filed, exit, words);
        assert_eq!(filed.output, None, "{injected}: an output file appeared");
        self.report(injected, &filed);
    }

    /// As [`Self::open_refused`] where the damage lies behind bytes that were checked and are right: into a file
    /// nothing comes, and standard output gets nothing but a beginning of `truth`.
    #[track_caller]
    pub fn open_refused_after(
        &self,
        injected: &str,
        (who, arguments): (&str, &[&str]),
        (exit, words): (i32, &str),
        truth: &[u8],
    ) {
        let arguments = [&["open"], arguments].concat();
        let piped = self.run(who, &arguments, false);
        self.check(injected, &piped, exit, words);
        assert!(truth.starts_with(&piped.said.stdout), "{injected}: what came out is not the recording");
        assert!(piped.said.stdout.len() < truth.len(), "{injected}: all of it came out");
        assert_eq!(piped.leftovers, 0, "{injected}: temporary files were left");
        let filed = self.run(who, &arguments, true);
        self.check(injected, &filed, exit, words);
        assert_eq!(filed.output, None, "{injected}: an output file appeared");
        self.report(injected, &filed);
    }

    /// Somebody lists their recordings: refused with this exit code, and what is refused is named and not shown.
    /// Returns what was shown.
    #[track_caller]
    pub fn list_refused(&self, injected: &str, who: &str, exit: i32, absent: &[&str]) -> Said {
        let outcome = self.run(who, &["list", "--json"], false);
        assert_eq!(outcome.said.exit, Some(exit), "{injected}: {}", outcome.said.stderr);
        let text = String::from_utf8_lossy(&outcome.said.stdout).into_owned();
        let is_refused = |line: &&str| line.contains("\"status\":\"refused\"");
        let (refused, shown): (Vec<&str>, Vec<&str>) = text.lines().partition(is_refused);
        assert!(!refused.is_empty(), "{injected}: nothing says what was refused: {text}");
        for line in refused {
            let document: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
            let fields: Vec<&String> = document.as_object().expect("an object").keys().collect();
            assert_eq!(fields, ["recording", "refusal", "status", "what"], "{injected}: more is told");
        }
        let shown: String = shown.iter().map(|line| format!("{line}\n")).collect();
        for text in absent {
            assert!(!shown.contains(text), "{injected}: {text} is listed");
        }
        assert_eq!(outcome.leftovers, 0, "{injected}: temporary files were left");
        let human = self.run(who, &["list"], false);
        report(self.name, injected, human.saw(), human.said.exit, 0);
        Said { stdout: shown.into_bytes(), ..outcome.said }
    }

    /// Somebody seals a file: refused with this exit code and these words, and nothing reaches the store.
    #[track_caller]
    pub fn seal_refused(
        &self,
        injected: &str,
        who: &str,
        (patient, clinician): (&str, &str),
        (exit, words): (i32, &str),
    ) {
        let server = self.scene.server();
        let before = server.recordings();
        let file = self.scene.folder().join("to-be-sealed");
        std::fs::write(&file, crate::world::bytes(50_000, 77)).expect("the file is written");
        server.take_traffic();
        let mut command = self.scene.command(who);
        command.arg("seal").arg(&file).args(["--patient", patient, "--clinician", clinician]);
        let outcome = run_in(self.scene.folder(), &mut command, false);
        self.check(injected, &outcome, exit, words);
        assert_eq!(outcome.released(), 0, "{injected}: bytes were released");
        let uploaded: usize = server.take_traffic().iter().map(|seen| seen.body).sum();
        assert_eq!(uploaded, 0, "{injected}: bytes were uploaded");
        assert_eq!(server.recordings(), before, "{injected}: something was stored");
        self.report(injected, &outcome);
    }

    /// Somebody runs a command.
    pub fn run(&self, who: &str, arguments: &[&str], with_output: bool) -> Outcome {
        run_in(self.scene.folder(), self.scene.command(who).args(arguments), with_output)
    }

    #[track_caller]
    fn check(&self, injected: &str, outcome: &Outcome, exit: i32, words: &str) {
        let said = &outcome.said;
        assert_eq!(said.exit, Some(exit), "{}, {injected}: {}", self.name, said.stderr);
        assert!(
            said.stderr.contains(words),
            "{}, {injected}: {words:?} is not said in: {}",
            self.name,
            said.stderr
        );
        assert!(said.stderr.lines().count() >= 3, "{injected}: not three lines: {}", said.stderr);
    }

    /// Writes the line of this attack.
    pub fn report(&self, injected: &str, outcome: &Outcome) {
        report(self.name, injected, outcome.saw(), outcome.said.exit, outcome.released());
    }
}
