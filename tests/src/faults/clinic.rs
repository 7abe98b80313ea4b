//! A patient, a clinician and a server that only meet in a proxy.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vault_proto::envelope::Envelope;
use vault_proto::geometry::MAX_PART_PLAINTEXT;
use vault_proto::ids::Digest;
use vault_proto::statements::SegmentSeal;

use super::Tally;
use super::proxy::Proxy;
use super::watched_disk::WatchedDisk;
use crate::command::{Said, binary, end, vault_cli};
use crate::server_process::ServerProcess;
use crate::world::{Person, World, bytes};

/// A world for faults.
pub struct Clinic {
    /// Its organisation; the server does not run in it but in this clinic.
    pub world: World,
    /// What client and server meet in.
    pub proxy: Arc<Proxy>,
    /// The server.
    pub server: Arc<Server>,
    /// Reads.
    pub patient: Person,
    /// Seals and reads.
    pub clinician: Person,
}

/// The server of a clinic: killed and started again, always on the same address and data folder.
pub struct Server {
    proxy: Arc<Proxy>,
    data: PathBuf,
    log: PathBuf,
    running: Mutex<Running>,
}

struct Running {
    process: Option<ServerProcess>,
    listen: String,
}

/// How a recording gets sealed: the command that begins it, and the command that finishes what a dead process left.
/// Both get the same file.
#[derive(Clone, Copy)]
pub struct Way {
    /// What it is called.
    pub name: &'static str,
    /// Begins.
    pub begin: fn(&Clinic, &Path) -> Command,
    /// Goes on.
    pub go_on: fn(&Clinic, &Path) -> Command,
}

/// `vault-cli seal FILE`, and the same again.
pub const SEAL_FILE: Way = Way { name: "seal FILE", begin: Clinic::seal_file, go_on: Clinic::seal_file };

/// `vault-cli seal -`, fed from the file as a pipe would, and `vault-cli resume`.
pub const SEAL_LIVE: Way =
    Way { name: "seal -", begin: Clinic::seal_live, go_on: |clinic, _| clinic.resume() };

impl Server {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The command that serves the data folder.
    fn command(&self, listen: &str) -> Command {
        let mut command = Command::new(binary("vault-server"));
        command.arg("serve").arg("--data").arg(&self.data).args(["--listen", listen]);
        command.args(["--authority", &self.proxy.authority()]);
        command
    }

    /// Starts it, on its watched disk if there is one.
    ///
    /// # Errors
    /// What the log says, if it did not start.
    pub fn try_start(&self, disk: Option<&WatchedDisk>) -> Result<(), String> {
        let mut running = self.running();
        let mut command = self.command(&running.listen);
        if let Some(disk) = disk {
            disk.watch(&mut command);
        }
        let process = ServerProcess::try_spawn(command, &self.log)?;
        process.authority().clone_into(&mut running.listen);
        self.proxy.lead_to(Some(process.authority().parse().expect("an address")));
        running.process = Some(process);
        Ok(())
    }

    /// Starts it, or fails the test.
    pub fn start(&self) {
        self.try_start(None).expect("the server starts");
    }

    /// Starts it with a store that is full: it takes no more objects.
    pub fn start_full(&self) {
        let mut running = self.running();
        let mut command = self.command(&running.listen);
        command.args(["--max-bytes", "1"]);
        running.process = Some(ServerProcess::spawn(command, &self.log));
    }

    /// Kills it without warning, unless it is dead.
    pub fn kill(&self) {
        drop(self.running().process.take());
    }

    /// Starts it again, if it takes no connections, with the first of these that it does not die of at once.
    pub fn revive(&self, mut disks: impl FnMut() -> Option<WatchedDisk>) {
        let alive = {
            let mut running = self.running();
            let alive = std::net::TcpStream::connect(&running.listen).is_ok();
            if !alive {
                drop(running.process.take());
            }
            alive
        };
        while !alive && self.try_start(disks().as_ref()).is_err() {}
    }

    /// Asks it to stop.
    pub fn stop(&self) {
        let process = self.running().process.take();
        assert!(process.expect("the server runs").stop().success(), "the server stops cleanly");
    }

    /// Where it listens itself, without the proxy.
    pub fn address(&self) -> std::net::SocketAddr {
        self.running().listen.parse().expect("an address")
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        self.running().process.as_mut().is_some_and(ServerProcess::is_alive)
    }
}

/// `vault-cli` as patient as it is unless told: these servers come back, and cut connections are bridged.
fn patient_cli(home: &Path) -> Command {
    let mut command = vault_cli(home);
    command.env_remove("VAULT_RETRY_FOR");
    command
}

impl Clinic {
    /// A clinic whose server runs.
    pub fn new() -> Self {
        let world = World::offline();
        Self::with_people(world, Server::start)
    }

    /// A clinic whose server's disk is recorded from the moment that its data folder is set up. `disk` is where.
    pub fn recorded() -> (Self, WatchedDisk) {
        let mut disk = None;
        let world = World::with_init(|data, init| {
            let disk = disk
                .insert(WatchedDisk::new(data.parent().expect("a folder"), &data.with_extension("trace")));
            disk.watch(init);
        });
        let disk = disk.expect("a server was set up");
        let clinic =
            Self::with_people(world, |server| server.try_start(Some(&disk)).expect("the server starts"));
        (clinic, disk)
    }

    fn with_people(world: World, start: impl FnOnce(&Server)) -> Self {
        let proxy = Arc::new(Proxy::start());
        let running = Mutex::new(Running { process: None, listen: "127.0.0.1:0".to_owned() });
        let server = Server { proxy: Arc::clone(&proxy), data: world.data(), log: world.log(), running };
        start(&server);
        let patient = world.person_with("patient", "patient", &[], &proxy.url());
        let clinician = world.person_with("clinician", "clinician", &[], &proxy.url());
        Self { world, proxy, server: Arc::new(server), patient, clinician }
    }

    /// A disk to watch this clinic's server, or one of its people, with: a folder of its world.
    pub fn watched(&self, folder: &Path) -> WatchedDisk {
        WatchedDisk::new(folder, &folder.with_extension("trace"))
    }

    /// A new file with content of its own.
    pub fn new_file(&self, number: u64, length: usize) -> (PathBuf, Vec<u8>) {
        let content = bytes(length, 1_000 + number);
        (self.world.file(&format!("recording-{number}"), &content), content)
    }

    /// `vault-cli seal FILE`.
    pub fn seal_file(&self, file: &Path) -> Command {
        let mut command = patient_cli(&self.clinician.home);
        command.arg("seal").arg(file);
        command.args(["--patient", &self.patient.account, "--clinician", &self.clinician.account]);
        command
    }

    /// `vault-cli seal -`, whose standard input is the file.
    pub fn seal_live(&self, file: &Path) -> Command {
        let mut command = self.seal_file(Path::new("-"));
        command.stdin(std::fs::File::open(file).expect("the file opens"));
        command
    }

    /// `vault-cli resume`.
    pub fn resume(&self) -> Command {
        let mut command = patient_cli(&self.clinician.home);
        command.arg("resume");
        command
    }

    /// How much of unfinished recordings is left in the clinician's home. What is locked while one is sealed is empty,
    /// and not counted: a process that dies before it wrote anything leaves that alone.
    pub fn unfinished(&self) -> usize {
        let left = std::fs::read_dir(self.clinician.home.join("uploads")).into_iter().flatten().flatten();
        left.filter(|entry| entry.path().extension().is_none_or(|extension| extension != "lock")).count()
    }

    /// Bytes that pass while one recording of this length is sealed without a fault, and while it is then opened twice.
    pub fn measured(&self, way: Way, number: u64, length: usize) -> (u64, u64) {
        let (file, content) = self.new_file(number, length);
        let before = self.proxy.passed();
        let sealed = end(&mut (way.begin)(self, &file));
        let between = self.proxy.passed();
        self.tally(&recording(&sealed), &content, 0);
        (between - before, self.proxy.passed() - between)
    }

    /// Opens a finished recording as both readers, and holds what was acknowledged of it against what came.
    pub fn tally(&self, recording: &str, content: &[u8], tried: usize) -> Tally {
        let right = [&self.patient, &self.clinician].into_iter().all(|reader| {
            let opened = end(patient_cli(&reader.home).args(["open", recording]));
            assert_eq!(opened.exit, Some(0), "{recording} does not open: {}", opened.stderr);
            opened.stdout == content
        });
        let sent = self.proxy.traffic().parts_of(recording);
        let seals = self.seals(recording);
        let keys: std::collections::BTreeSet<Digest> = seals.iter().map(|seal| seal.header).collect();
        assert_eq!(keys.len(), seals.len(), "two segments of {recording} have one header");
        let finished: usize = seals.iter().map(|seal| seal.parts as usize).sum();
        Tally {
            tried,
            acknowledged: sent.acknowledged,
            opened: if right { sent.acknowledged } else { 0 },
            sent_twice: sent.requests - finished,
        }
    }

    /// Opens a live recording that was cut off as both readers, and holds what was acknowledged of it against what
    /// came: whole parts from its beginning.
    pub fn tally_cut_off(&self, recording: &str, content: &[u8], tried: usize) -> Tally {
        let shortest = [&self.patient, &self.clinician].map(|reader| {
            let opened = end(patient_cli(&reader.home).args(["open", recording, "--allow-cut-off"]));
            assert_eq!(opened.exit, Some(0), "{recording} does not open: {}", opened.stderr);
            assert!(content.starts_with(&opened.stdout), "{recording}: a hole was spliced");
            opened.stdout.len() / MAX_PART_PLAINTEXT
        });
        let sent = self.proxy.traffic().parts_of(recording);
        // The short part at the end counts once its segment's seal does (FORMAT.md, `segment-progress`).
        let acknowledged = sent.unbroken.min(content.len() / MAX_PART_PLAINTEXT);
        Tally {
            tried,
            acknowledged,
            opened: acknowledged.min(shortest[0]).min(shortest[1]),
            sent_twice: sent.requests - sent.different,
        }
    }

    /// The seals that the server keeps of a recording.
    pub fn seals(&self, recording: &str) -> Vec<SegmentSeal> {
        let folder = self.world.stored(recording).join("seg");
        let seal = |segment: u32| std::fs::read(folder.join(format!("{segment}/seal"))).ok();
        let envelopes = (0..).map_while(seal);
        envelopes
            .map(|bytes| Envelope::<SegmentSeal>::parse(&bytes).expect("a stored seal").unverified().clone())
            .collect()
    }
}

impl Drop for Clinic {
    /// What the proxy was told to do may hold the server, which holds the proxy: neither would ever be dropped.
    fn drop(&mut self) {
        self.server.kill();
    }
}

impl Default for Clinic {
    fn default() -> Self {
        Self::new()
    }
}

/// The id that a successful `seal` printed.
#[track_caller]
pub fn recording(sealed: &Said) -> String {
    sealed.text()
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.tried += other.tried;
        self.acknowledged += other.acknowledged;
        self.opened += other.opened;
        self.sent_twice += other.sent_twice;
    }
}
