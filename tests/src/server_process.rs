//! A `vault-server` process of the test's own.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::command::{Said, binary};

/// A running server; killed when dropped.
pub struct ServerProcess {
    child: Child,
    url: String,
    log: PathBuf,
}

impl ServerProcess {
    /// Starts the server of a data folder on a free port and waits until it listens. Its log goes to `log`, appended.
    pub fn start(data: &Path, log: &Path) -> Self {
        Self::start_on(data, log, "127.0.0.1:0")
    }

    /// As [`Self::start_on`], for a server whose callers know it as `name`.
    pub fn start_as(data: &Path, log: &Path, listen: &str, name: &str) -> Self {
        let mut command = Command::new(binary("vault-server"));
        command.arg("serve").arg("--data").arg(data).args(["--listen", listen, "--authority", name]);
        Self::spawn(command, log)
    }

    /// Starts it on an address.
    pub fn start_on(data: &Path, log: &Path, listen: &str) -> Self {
        let mut command = Command::new(binary("vault-server"));
        command.arg("serve").arg("--data").arg(data).args(["--listen", listen]);
        // Tests fill small disks to their last byte.
        command.args(["--min-free", "0"]);
        Self::spawn(command, log)
    }

    /// Starts a prepared server command and waits for the line that names its address.
    pub fn spawn(command: Command, log: &Path) -> Self {
        Self::try_spawn(command, log).unwrap_or_else(|log| panic!("the server did not start: {log}"))
    }

    /// As [`Self::spawn`].
    ///
    /// # Errors
    /// The log, if the server ended before it listened.
    pub fn try_spawn(mut command: Command, log: &Path) -> Result<Self, String> {
        let file: File = OpenOptions::new().create(true).append(true).open(log).expect("the log file opens");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(file))
            .spawn()
            .expect("the server starts");
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let url = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("listening on ").map(|(_, url)| url.to_owned()));
        let Some(url) = url else {
            let _ = child.wait();
            return Err(std::fs::read_to_string(log).unwrap_or_default());
        };
        Ok(Self { child, url, log: log.to_owned() })
    }

    /// Runs a prepared server command that is refused its data folder, at once or once it has looked at all of it.
    pub fn refused(command: &mut Command) -> Said {
        let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
        Said::new(output.expect("the server starts"))
    }

    /// Its address, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log is there")
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Peak resident memory so far, in KiB.
    pub fn peak_memory_kib(&self) -> u64 {
        peak_memory_kib(self.child.id())
    }

    /// Asks it to stop and waits for it.
    pub fn stop(mut self) -> ExitStatus {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.expect("kill runs").success());
        self.child.wait().expect("the server ends")
    }

    /// Kills it without warning.
    pub fn kill(mut self) {
        self.child.kill().expect("the server is running");
        self.child.wait().expect("the server ends");
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Peak resident memory of a process that is still there, in KiB.
pub fn peak_memory_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}
