//! Peak memory of a run of `vault-cli`.

use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

use crate::command::{binary, vault_cli};

/// Most resident memory of either side at any length, in KiB.
pub const LIMIT_KIB: u64 = 64 * 1024;

/// Runs `vault-cli` under Python's accounting of its child and gives its peak memory in KiB with its output. `feed`
/// writes its standard input.
#[track_caller]
pub fn measured(
    home: &Path,
    arguments: &[&str],
    feed: impl FnOnce(&mut ChildStdin) -> std::io::Result<()> + Send,
) -> (u64, String) {
    let prepared = vault_cli(home);
    let mut command = Command::new(std::env::var_os("PYTHON_BIN").unwrap_or_else(|| "python3".into()));
    command.arg("-c").arg(
        "import resource, subprocess, sys\n\
         done = subprocess.run(sys.argv[1:])\n\
         print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n\
         sys.exit(done.returncode)",
    );
    command.arg(binary("vault-cli")).args(arguments);
    for (name, value) in prepared.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = piped.expect("Python starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        let feeding = scope.spawn(move || feed(&mut pipe).and_then(|()| pipe.flush()));
        let output = child.wait_with_output().expect("it ends");
        (output, feeding.join().expect("nobody panics"))
    });
    let (output, fed) = output;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fed.expect("all of it was taken");
    let text = String::from_utf8(output.stdout).expect("text");
    let (before, peak) = text.trim().rsplit_once('\n').unwrap_or(("", text.trim()));
    (peak.parse().expect("a number"), before.to_owned())
}
