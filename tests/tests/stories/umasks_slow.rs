//! What is made is its owner's alone, whatever the umask is: everything that a server and its clients leave on a disk.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vault_proto::geometry::MAX_PART_PLAINTEXT;
use vault_tests::command::{Said, binary, end, vault_cli};
use vault_tests::server_process::ServerProcess;
use vault_tests::world::bytes;

/// A command with its environment, as a shell with this umask starts it.
fn under(umask: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask {umask} && exec \"$@\""), "sh"]).arg(command.get_program());
    shell.args(command.get_args()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// An organisation whose programs all run under one umask.
struct Site {
    folder: tempfile::TempDir,
    umask: &'static str,
}

impl Site {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self, command: &str, more: &[&str]) -> Command {
        let mut server = Command::new(binary("vault-server"));
        server.arg(command).arg("--data").arg(self.path("data")).args(more);
        under(self.umask, &server)
    }

    fn cli(&self, home: &str, arguments: &[&str]) -> Command {
        let mut command = vault_cli(&self.path(home));
        under(self.umask, command.args(arguments).current_dir(self.folder.path()))
    }

    fn run(&self, home: &str, arguments: &[&str]) -> Said {
        end(self.cli(home, arguments).current_dir(self.folder.path()))
    }

    /// Fails unless every file and folder from `name` on is its owner's alone; gives their names.
    fn private(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.path(name), &mut found);
        for path in &found {
            let metadata = path.symlink_metadata().unwrap();
            let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
            let mode = metadata.permissions().mode() & 0o7777;
            assert_eq!(mode, expected, "{}: {mode:o}, under umask {}", path.display(), self.umask);
        }
        found.iter().map(|path| path.strip_prefix(&self.folder).unwrap().display().to_string()).collect()
    }
}

fn walk(path: &Path, found: &mut Vec<PathBuf>) {
    found.push(path.to_owned());
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), found);
        }
    }
}

fn whole_run(umask: &'static str) {
    let site = Site { folder: tempfile::tempdir().unwrap(), umask };
    let organisation =
        site.run("registrar", &["registrar", "init", "--words-file", "registrar.words"]).text();
    end(&mut site.server("init", &["--organisation", &organisation])).text();
    let log = site.path("log");
    let server = ServerProcess::spawn(site.server("serve", &["--listen", "127.0.0.1:0"]), &log);
    let mut accounts = Vec::new();
    for role in ["patient", "clinician"] {
        let words = format!("{role}.words");
        let account = site.run(role, &["keygen", "--words-file", &words]).text();
        let certificate = format!("{role}.certificate");
        site.run("registrar", &["registrar", "certify", &account, "--role", role, "-o", &certificate]).text();
        let url = server.url();
        let arguments =
            ["enrol", "--server", url, "--organisation", &organisation, "--certificate", &certificate];
        site.run(role, &arguments).text();
        accounts.push(account);
    }
    let [patient, clinician] = &*accounts else { unreachable!() };
    let readers = ["--patient", patient.as_str(), "--clinician", clinician.as_str()];
    std::fs::write(site.path("talk"), bytes(MAX_PART_PLAINTEXT + 5, 1)).unwrap();
    let recording = site.run("clinician", &[&["seal", "talk"], &readers[..]].concat()).text();
    site.run("patient", &["list"]).text();
    site.run("patient", &["name", clinician, "dora"]).text();
    site.run("patient", &["open", &recording, "-o", "opened"]).text();
    site.run("patient", &["export", "export"]).text();
    site.run("patient", &["export", "export-sealed", "--sealed"]).text();

    // A live recording whose server goes away: journal and spool stay.
    let mut live = site.cli("clinician", &[&["seal", "-"], &readers[..]].concat());
    let mut live =
        live.stdin(Stdio::piped()).stderr(Stdio::null()).current_dir(site.folder.path()).spawn().unwrap();
    let mut pipe = live.stdin.take().unwrap();
    pipe.write_all(&bytes(MAX_PART_PLAINTEXT + 1, 2)).unwrap();
    let stored = || -> i64 {
        let index = rusqlite::Connection::open(site.path("data/vault.db")).unwrap();
        index.query_row("SELECT count(*) FROM parts", (), |row| row.get(0)).unwrap()
    };
    while stored() < 3 {
        assert!(live.try_wait().unwrap().is_none(), "it ended before a part was there");
        std::thread::yield_now();
    }
    let data = site.private("data");
    for name in ["vault.json", "vault.db", "vault.db-wal", "vault.db-shm", "blobs/mark", "blobs/commits"] {
        assert!(data.contains(&format!("data/{name}")), "{name} is not among {data:?}");
    }
    server.kill();
    pipe.write_all(&bytes(4 * MAX_PART_PLAINTEXT, 3)).unwrap();
    drop(pipe);
    assert!(!live.wait().unwrap().success());
    let home = site.private("clinician");
    assert!(home.iter().any(|name| name.contains(".spool/")), "nothing was kept: {home:?}");
    assert!(home.iter().any(|name| name.contains("uploads/") && name.ends_with(".journal")), "{home:?}");

    // What a crash left is moved into folders of the server's own making.
    let left = site.path("data/blobs/rec/00112233445566778899aabbccddeeff");
    std::fs::DirBuilder::new().create(&left).unwrap();
    std::fs::set_permissions(&left, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(left.join("key.0"), "left").unwrap();
    std::fs::set_permissions(left.join("key.0"), std::fs::Permissions::from_mode(0o600)).unwrap();
    end(&mut site.server("collect", &["--older-than", "0m"])).text();
    let data = site.private("data");
    assert!(
        data.iter().any(|name| name.starts_with("data/leftovers/") && name.ends_with("/key.0")),
        "{data:?}"
    );
    for name in ["registrar", "patient", "export", "export-sealed"] {
        site.private(name);
    }
    for secret in ["registrar.words", "patient.words", "opened"] {
        site.private(secret);
    }
}

#[test]
fn under_a_umask_that_hides_nothing() {
    whole_run("000");
}

#[test]
fn under_the_usual_umask() {
    whole_run("022");
}

#[test]
fn under_a_umask_that_hides_all() {
    whole_run("077");
}
