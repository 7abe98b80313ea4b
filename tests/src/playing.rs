//! `vault-cli play --url` while something watches, and a count of the parts that it fetches meanwhile.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use vault_proto::geometry::MAX_PART_PLAINTEXT;

use crate::command::{Said, end, vault_cli};
use crate::faults::proxy::Proxy;

/// A player's server that runs until dropped.
pub struct PlayProcess {
    child: Child,
    /// What it printed: `page`, and `tracks` of `track` and `url`.
    pub addresses: serde_json::Value,
}

impl PlayProcess {
    /// Serves `recording` for somebody's player, through the server at `server`.
    pub fn start(home: &Path, server: &str, recording: &str, more: &[&str]) -> Self {
        let mut command = vault_cli(home);
        command.args(["--server", server, "--json", "play", recording, "--url"]).args(more);
        let mut child = command.stderr(Stdio::inherit()).spawn().expect("vault-cli starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line of standard output");
        let addresses = serde_json::from_str(&line).expect("the addresses");
        Self { child, addresses }
    }

    /// Address of the page.
    pub fn page(&self) -> &str {
        self.addresses.get("page").and_then(serde_json::Value::as_str).expect("a page")
    }

    /// Address of a track.
    pub fn track(&self, index: usize) -> &str {
        let track = self.addresses.get("tracks").and_then(|tracks| tracks.get(index));
        track.and_then(|track| track.get("url")?.as_str()).expect("a track")
    }
}

impl Drop for PlayProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers every request with the parts that were fetched through `proxy`, as `tests/browser/seek.mjs` asks for them.
pub fn count_parts(proxy: Arc<Proxy>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).is_ok_and(|read| read == 1) {
                head.extend(byte);
            }
            let fetched: Vec<u32> = fetched(&proxy).into_iter().map(|(_, part)| part).collect();
            let body = serde_json::json!({
                "parts": fetched.len(), "partBytes": MAX_PART_PLAINTEXT, "fetched": fetched,
            });
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            // Whoever asked may be gone.
            let _ =
                connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body.as_bytes()));
        }
    });
    format!("http://{address}/")
}

/// Segment and number of each part that was fetched through `proxy`, in order.
pub fn fetched(proxy: &Proxy) -> Vec<(u32, u32)> {
    proxy.traffic().0.iter().filter_map(crate::faults::traffic::Exchange::fetched_part).collect()
}

/// Runs a script of `tests/browser`; `None` where there is no Chromium for it.
pub fn browser(script: &str, arguments: &[&str]) -> Option<Said> {
    let folder = std::env::var_os("BROWSER_DIR")?;
    let node = std::env::var_os("NODE_BIN")?;
    let mut command = Command::new(node);
    command.current_dir(folder).arg(script).args(arguments).stdin(Stdio::null());
    Some(end(&mut command))
}

/// `sha256sum -c SHA256SUMS` in a folder; `None` where there is no such program.
pub fn sha256sum(folder: &Path) -> Option<Said> {
    let mut command = Command::new("sha256sum");
    command.current_dir(folder).args(["--check", "--strict", "--quiet", "SHA256SUMS"]);
    command.output().ok().map(Said::new)
}
