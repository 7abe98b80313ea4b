//! A program on a terminal of so many columns, as util-linux's `script` makes one: what it writes there, and typing
//! into it.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::command::{binary, vault_cli};

/// Longest wait for something to appear.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that runs on a terminal.
pub struct PseudoTerminal {
    child: Child,
    keys: Option<ChildStdin>,
    written: Receiver<Vec<u8>>,
    screen: Vec<u8>,
    seen: usize,
}

impl PseudoTerminal {
    /// Runs `vault-cli` with a home on a terminal of `columns`; arguments without blanks or quotation marks.
    pub fn vault_cli(home: &Path, columns: u16, arguments: &[&str]) -> Self {
        let program = binary("vault-cli");
        let typed = format!("{} {}", program.display(), arguments.join(" "));
        Self::shell(&vault_cli(home), columns, &typed)
    }

    /// Runs a line of a shell on a terminal of `columns`, with the environment that was prepared for another command.
    pub fn shell(environment: &Command, columns: u16, line: &str) -> Self {
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-f", "-c"]);
        script.arg(format!("stty cols {columns} rows 40; {line}")).arg("/dev/null").env_clear();
        script.envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.env("TERM", "xterm").env("SHELL", "/bin/sh").env("LC_ALL", "C.UTF-8");
        let mut child = script
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("script runs: it is of util-linux");
        let mut out = child.stdout.take().expect("a pipe");
        let (send, written) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut buffer) {
                if send.send(buffer.get(..length).unwrap_or_default().to_vec()).is_err() {
                    return;
                }
            }
        });
        let keys = child.stdin.take();
        Self { child, keys, written, screen: Vec::new(), seen: 0 }
    }

    /// Waits until `text` appears after what was waited for before; gives what was written up to it.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            let new = self.screen.get(self.seen..).unwrap_or_default();
            if let Some(at) = new.windows(text.len()).position(|window| window == text.as_bytes()) {
                let until = at + text.len();
                let before = String::from_utf8_lossy(new.get(..until).unwrap_or_default()).into_owned();
                self.seen += until;
                return before;
            }
            match self.written.recv_timeout(PATIENCE) {
                Ok(bytes) => self.screen.extend(bytes),
                Err(error) => panic!("{text:?} does not appear ({error}) in {:?}", self.text()),
            }
        }
    }

    /// Types keys.
    pub fn type_keys(&mut self, keys: &str) {
        let pipe = self.keys.as_mut().expect("the terminal is open");
        pipe.write_all(keys.as_bytes()).and_then(|()| pipe.flush()).expect("the terminal takes keys");
    }

    /// Waits for the program's end: its exit code, and everything that was written to the terminal.
    pub fn end(mut self) -> (Option<i32>, String) {
        // The pipe stays open: its end would be typed as the end of input.
        while let Ok(bytes) = self.written.recv_timeout(PATIENCE) {
            self.screen.extend(bytes);
        }
        let status = self.child.wait().expect("it ends");
        drop(self.keys.take());
        (status.code(), self.text())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.screen).replace("\r\n", "\n")
    }
}
