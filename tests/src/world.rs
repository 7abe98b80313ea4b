//! An organisation, its server and its people, in a temporary folder.

use std::path::{Path, PathBuf};

use crate::command::{Said, binary, end, run, run_for_words, vault_cli};
use crate::faults::proxy::Proxy;
use crate::server_process::ServerProcess;

/// A world of its own for one test; gone when dropped.
pub struct World {
    folder: tempfile::TempDir,
    /// The organisation's root fingerprint.
    pub organisation: String,
    server: Option<ServerProcess>,
    authority: Option<String>,
    /// Another address by which it is known: that of a proxy in front of it.
    known_as: Option<String>,
}

/// Somebody with a home and an account.
pub struct Person {
    /// The home.
    pub home: PathBuf,
    /// The account id.
    pub account: String,
    /// The certificate file.
    pub certificate: PathBuf,
}

impl World {
    /// A registrar and a running server.
    pub fn new() -> Self {
        let mut world = Self::offline();
        world.start();
        world
    }

    /// As [`Self::new`], with a server that is known by this name, which is that of a proxy in front of it.
    pub fn known_as(name: String) -> Self {
        let mut world = Self::offline();
        world.known_as = Some(name);
        world.start();
        world
    }

    /// As [`Self::new`], with a server that everybody reaches through `proxy` only.
    pub fn behind(proxy: &Proxy) -> Self {
        let world = Self::known_as(proxy.authority());
        proxy.lead_to(Some(world.server().authority().parse().expect("an address")));
        world
    }

    /// A registrar and a server that was set up and does not run yet.
    pub fn offline() -> Self {
        Self::with_init(|_, _| ())
    }

    /// As [`Self::offline`]; `prepare` gets the data folder to be and the command that makes it, before it runs.
    pub fn with_init(prepare: impl FnOnce(&Path, &mut std::process::Command)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let organisation = run_for_words(&folder.path().join("registrar"), ["registrar", "init"]).text();
        let world = Self { folder, organisation, server: None, authority: None, known_as: None };
        let mut init = std::process::Command::new(binary("vault-server"));
        init.arg("init").arg("--data").arg(world.data()).args(["--organisation", &world.organisation]);
        prepare(&world.data(), &mut init);
        assert_eq!(end(&mut init).exit, Some(0));
        world
    }

    /// The folder of this world.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The server's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Folder of a recording's objects in the server's store.
    pub fn stored(&self, recording: &str) -> PathBuf {
        self.data().join("blobs/rec").join(recording)
    }

    /// How many recordings there is anything of in the server's store.
    pub fn recordings(&self) -> usize {
        let folders = std::fs::read_dir(self.data().join("blobs/rec")).map_or(0, Iterator::count);
        let rows = self.count("recordings");
        assert_eq!(folders, rows, "the store and its index differ");
        rows
    }

    /// How many sides of comparisons the server keeps.
    pub fn comparisons(&self) -> usize {
        self.count("comparisons")
    }

    /// How many parts the server has acknowledged, of all recordings.
    pub fn parts(&self) -> usize {
        self.count("parts")
    }

    /// Rows of a table of the server's database.
    fn count(&self, table: &str) -> usize {
        let database = rusqlite::Connection::open(self.data().join("vault.db")).expect("the database opens");
        let rows: u32 = database
            .query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get(0))
            .expect("the table is there");
        rows.try_into().expect("a number of rows")
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.folder().join("server.log")
    }

    /// Starts the server with further arguments, on an address that it keeps.
    pub fn start_with(&mut self, arguments: &[&str]) {
        let listen = self.authority.as_deref().unwrap_or("127.0.0.1:0");
        let mut command = std::process::Command::new(binary("vault-server"));
        command.arg("serve").arg("--data").arg(self.data()).args(["--listen", listen]).args(arguments);
        let server = ServerProcess::spawn(command, &self.log());
        self.authority = Some(server.authority().to_owned());
        self.server = Some(server);
    }

    /// Starts the server; a second time on the address it had.
    pub fn start(&mut self) {
        let listen = self.authority.as_deref().unwrap_or("127.0.0.1:0");
        let server = match &self.known_as {
            Some(name) => ServerProcess::start_as(&self.data(), &self.log(), listen, name),
            None => ServerProcess::start_on(&self.data(), &self.log(), listen),
        };
        self.authority = Some(server.authority().to_owned());
        self.server = Some(server);
    }

    /// The running server.
    pub fn server(&self) -> &ServerProcess {
        self.server.as_ref().expect("the server runs")
    }

    /// Takes the server out, to stop or kill it.
    pub fn take_server(&mut self) -> ServerProcess {
        self.server.take().expect("the server runs")
    }

    /// Changes the server's stored files while it is stopped, as whoever holds its disk could.
    pub fn tamper(&mut self, change: impl FnOnce(&Self)) {
        assert!(self.take_server().stop().success(), "the server stops cleanly");
        change(self);
        self.start();
    }

    /// Somebody with an account that is certified for `role` and enrolled.
    pub fn person(&self, name: &str, role: &str) -> Person {
        self.person_with(name, role, &[], self.server().url())
    }

    /// As [`Self::person`], with further arguments for `keygen` and another server address.
    pub fn person_with(&self, name: &str, role: &str, keygen: &[&str], server: &str) -> Person {
        let person = self.unenrolled(name, role, keygen);
        self.enrol(&person, server).text();
        person
    }

    /// Somebody with a certificate who is not enrolled yet.
    pub fn unenrolled(&self, name: &str, role: &str, keygen: &[&str]) -> Person {
        let home = self.folder().join(name);
        let account = run_for_words(&home, ["keygen"].iter().chain(keygen)).text();
        let certificate = self.folder().join(format!("{name}.certificate"));
        self.certify(&account, role, &[], &certificate).text();
        Person { home, account, certificate }
    }

    /// Certifies an account.
    pub fn certify(&self, account: &str, role: &str, more: &[&str], file: &Path) -> Said {
        // A new certificate takes the place of an old one, and no command writes over a file.
        let _ = std::fs::remove_file(file);
        let mut command = vault_cli(&self.folder().join("registrar"));
        command.args(["registrar", "certify", account, "--role", role]).args(more).arg("-o").arg(file);
        end(&mut command)
    }

    /// Enrols somebody.
    pub fn enrol(&self, person: &Person, server: &str) -> Said {
        let mut command = vault_cli(&person.home);
        command.args(["enrol", "--server", server, "--organisation", &self.organisation]);
        end(command.arg("--certificate").arg(&person.certificate))
    }

    /// A file in this world.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::write(&path, bytes).expect("the file is written");
        path
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Person {
    /// Runs a command of theirs.
    pub fn run(&self, arguments: &[&str]) -> Said {
        run(&self.home, arguments)
    }

    /// Seals a file for two people.
    pub fn seal(&self, file: &Path, patient: &Self, clinician: &Self, more: &[&str]) -> Said {
        let mut command = vault_cli(&self.home);
        command.arg("seal").arg(file).args([
            "--patient",
            &patient.account,
            "--clinician",
            &clinician.account,
        ]);
        end(command.args(more))
    }

    /// Opens a recording to standard output.
    pub fn open(&self, recording: &str) -> Said {
        self.run(&["open", recording])
    }
}

/// Bytes that look random and are the same in every run: a xorshift stream from `seed`.
pub fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    vault_proto::ids::Digest::of(bytes).to_string()
}
