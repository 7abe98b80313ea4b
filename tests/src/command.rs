//! Running the real binaries.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Passphrase of every home of a test world.
pub const PASSPHRASE: &str = "seven lamps in the harbour";

/// For how many seconds `vault-cli` tries again, unless a test is about more: a fifth of a second, so that one that is
/// refused in passing is tried twice, and nobody waits for what is damaged or away for good.
pub const RETRY_FOR: &str = "0.2";

/// Work factor of the homes of test worlds: the least that is accepted, for each command unlocks one.
pub const WORK_FACTOR: &str = "15";

/// Path of a binary of this build; `./tests/run` builds them all before it runs the tests.
pub fn binary(name: &str) -> PathBuf {
    let path = path_of(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --release --workspace --bins` first",
        path.display()
    );
    path
}

/// Whether a binary of this build is there.
pub fn is_built(name: &str) -> bool {
    path_of(name).exists()
}

/// Beside this program, or above the folder of the test programs.
fn path_of(name: &str) -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    let folder = program.parent().expect("target/<profile> or target/<profile>/deps");
    if folder.ends_with("deps") { folder.with_file_name(name) } else { folder.join(name) }
}

/// A run of `vault-cli` that has ended.
#[derive(Debug)]
pub struct Said {
    /// Exit code; none if a signal ended it.
    pub exit: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Said {
    /// What a run said that was started by hand.
    pub fn new(output: Output) -> Self {
        Self {
            exit: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Standard output as one trimmed text; fails the test unless the exit code was 0.
    #[track_caller]
    pub fn text(&self) -> String {
        assert_eq!(self.exit, Some(0), "{}", self.stderr);
        String::from_utf8(self.stdout.clone()).expect("text on standard output").trim().to_owned()
    }

    /// Standard output as one JSON document a line; fails the test unless the exit code was 0.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Standard output as the one JSON document it is.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let mut lines = self.json_lines();
        assert_eq!(lines.len(), 1, "one document was expected: {lines:?}");
        lines.remove(0)
    }

    /// Fails the test unless it was refused with this exit code, in three lines that hold `words`, and without a byte
    /// on standard output.
    #[track_caller]
    pub fn refused(&self, exit: i32, words: &str) {
        assert_eq!(self.exit, Some(exit), "{}", self.stderr);
        assert_eq!(self.stdout, b"", "bytes were released");
        assert!(self.stderr.contains(words), "{words:?} is not said in: {}", self.stderr);
        let failure: Vec<&str> = self.stderr.lines().rev().take(3).collect();
        assert_eq!(failure.len(), 3, "what happened, what it means, what to do next: {}", self.stderr);
    }
}

/// `vault-cli` with a home, ready for arguments; no terminal, passphrase in the environment.
pub fn vault_cli(home: &Path) -> Command {
    let mut command = Command::new(binary("vault-cli"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("VAULT_HOME", home)
        .env("VAULT_PASSPHRASE", PASSPHRASE)
        .env("VAULT_RETRY_FOR", RETRY_FOR)
        .env("VAULT_WORK_FACTOR", WORK_FACTOR)
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs `vault-cli` to its end.
pub fn run<A: AsRef<OsStr>>(home: &Path, arguments: impl IntoIterator<Item = A>) -> Said {
    end(vault_cli(home).args(arguments))
}

/// Runs a command that makes 24 words, which go into the file that [`words_of`] reads: there is no terminal to show
/// them on.
pub fn run_for_words<A: AsRef<OsStr>>(home: &Path, arguments: impl IntoIterator<Item = A>) -> Said {
    end(vault_cli(home).args(arguments).arg("--words-file").arg(words_file(home)))
}

/// The 24 words that [`run_for_words`] made.
pub fn words_of(home: &Path) -> String {
    let words = std::fs::read_to_string(words_file(home)).expect("the words were written");
    words.trim_end().to_owned()
}

/// Beside the home.
fn words_file(home: &Path) -> PathBuf {
    home.with_extension("words")
}

/// Runs a prepared command to its end.
pub fn end(command: &mut Command) -> Said {
    Said::new(command.output().expect("the command starts"))
}
