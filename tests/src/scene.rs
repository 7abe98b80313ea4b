//! A clinic with people and recordings behind a [`HostileServer`], a copy of its own for each test.
//!
//! The clinic is founded once in a process, through the real programs; a test gets a copy of its folder, so it may
//! change stored files as it likes.
//!
//! | recording | patient | clinician | sealed by | |
//! |---|---|---|---|---|
//! | `a1`, `a2` | anna | dora | dora | of one length, two parts |
//! | `b1` | bert | dora | rex, a recorder | of the same length: dora opens this one too |
//! | `c1` | bert | emil | emil | of the same length: neither anna nor dora is in it |
//! | `p1` | anna | dora | rex | three parts |
//! | `s1` | anna | dora | dora | three segments: track 0, then track 1 twice |
//! | `o1` | anna | dora | dora | of one part |
//! | `x1` | xenia | xaver | rex | suite x25519 |
//! | `t1` | anna | dora | dora | sealed under another organisation; not in this clinic's store |

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use vault_proto::members::{CertificateChain, MemberStatements};

use crate::command::{run, run_for_words, vault_cli, words_of};
use crate::hostile::{HostileServer, Objects};
use crate::sealing_device::{Device, Plan};
use crate::world::{Person, World, bytes};

/// Plaintext bytes of the recordings of two parts.
pub const LENGTH: usize = 1_250_000;

/// What is known of a clinic without opening anything.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    /// The organisation's root fingerprint.
    pub organisation: String,
    /// Account ids by name.
    pub accounts: BTreeMap<String, String>,
    /// The 24 words of each account by name.
    pub words: BTreeMap<String, String>,
    /// Recording ids by name.
    pub recordings: BTreeMap<String, String>,
}

/// A clinic of one test.
pub struct Scene {
    folder: tempfile::TempDir,
    /// Names and ids.
    pub facts: Facts,
    server: Option<HostileServer>,
}

const PEOPLE: [(&str, &str, &str); 8] = [
    ("anna", "patient", "pq"),
    ("bert", "patient", "pq"),
    ("nora", "patient", "pq"),
    ("dora", "clinician", "pq"),
    ("emil", "clinician", "pq"),
    ("rex", "recorder", "pq"),
    ("xenia", "patient", "x25519"),
    ("xaver", "clinician", "x25519"),
];

/// Name, sealer, patient, clinician, length, seed of what the command line seals.
const RECORDINGS: [(&str, &str, &str, &str, usize, u64); 7] = [
    ("a1", "dora", "anna", "dora", LENGTH, 11),
    ("a2", "dora", "anna", "dora", LENGTH, 12),
    ("b1", "rex", "bert", "dora", LENGTH, 13),
    ("c1", "emil", "bert", "emil", LENGTH, 14),
    ("p1", "rex", "anna", "dora", 2_200_000, 15),
    ("o1", "dora", "anna", "dora", 30_000, 16),
    ("x1", "rex", "xenia", "xaver", 30_000, 17),
];

/// Track and content of the segments of `s1` and `t1`.
pub fn segments() -> Vec<(u8, Vec<u8>)> {
    vec![(0, bytes(70_000, 21)), (1, bytes(70_000, 22)), (1, bytes(70_000, 23))]
}

/// Title of a recording.
pub fn title(recording: &str) -> String {
    format!("Title of {recording} for its readers")
}

/// What was said in a recording.
pub fn content(recording: &str) -> Vec<u8> {
    match RECORDINGS.iter().find(|(name, ..)| *name == recording) {
        Some((.., length, seed)) => bytes(*length, *seed),
        None => segments().into_iter().flat_map(|(_, content)| content).collect(),
    }
}

fn copy(from: &Path, to: &Path) {
    vault_client::home_folder::make_private_folder(to).expect("a folder is made");
    for entry in fs::read_dir(from).expect("a folder is read") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file is copied");
        }
    }
}

/// The founded clinic: one for each test program, in the build's folder, replaced by the next run.
fn founded() -> &'static Path {
    static FOUNDED: OnceLock<PathBuf> = OnceLock::new();
    FOUNDED.get_or_init(|| {
        let program = std::env::current_exe().expect("the test program has a path");
        let name = program.file_stem().expect("a name").to_string_lossy().into_owned();
        let folder = program.ancestors().nth(2).expect("target/<profile>").join("clinics").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("the clinic of the last run is removed");
        }
        let world = World::offline();
        let facts = found(&world);
        copy(world.folder(), &folder);
        fs::write(folder.join("facts.json"), serde_json::to_vec(&facts).expect("JSON"))
            .expect("facts are kept");
        folder
    })
}

fn found(world: &World) -> Facts {
    let server = HostileServer::start(&world.data());
    let mut facts = Facts {
        organisation: world.organisation.clone(),
        accounts: BTreeMap::new(),
        words: BTreeMap::new(),
        recordings: BTreeMap::new(),
    };
    let url = server.url();
    let joined: Vec<(&str, Person, String)> = std::thread::scope(|scope| {
        let joining: Vec<_> = PEOPLE
            .iter()
            .map(|(name, role, suite)| {
                let url = &url;
                scope.spawn(move || {
                    let home = world.folder().join(name);
                    let account = run_for_words(&home, ["keygen", "--suite", suite]).text();
                    let certificate = world.folder().join(format!("{name}.certificate"));
                    world.certify(&account, role, &[], &certificate).text();
                    let words = words_of(&home);
                    let person = Person { home, account, certificate };
                    world.enrol(&person, url).text();
                    (*name, person, words)
                })
            })
            .collect();
        joining.into_iter().map(|joining| joining.join().expect("everybody joins")).collect()
    });
    let mut people = BTreeMap::new();
    for (name, person, words) in joined {
        facts.accounts.insert(name.to_owned(), person.account.clone());
        facts.words.insert(name.to_owned(), words);
        people.insert(name, person);
    }
    let person = |name: &str| people.get(name).expect("a person of the clinic");
    for (name, sealer, patient, clinician, length, seed) in RECORDINGS {
        let file = world.file(&format!("{name}.webm"), &bytes(length, seed));
        let sealed =
            person(sealer).seal(&file, person(patient), person(clinician), &["--title", &title(name)]);
        facts.recordings.insert(name.to_owned(), sealed.text());
        fs::remove_file(file).expect("the plaintext is removed");
    }
    let [anna, dora] = ["anna", "dora"].map(|name| Device::unlock(&person(name).home));
    let segments = segments();
    let segments: Vec<(u8, &[u8])> = segments.iter().map(|(track, content)| (*track, &content[..])).collect();
    let plan = Plan {
        tenant: world.organisation.parse().expect("an organisation"),
        patient: &anna.member,
        clinician: &dora.member,
        sealer: &dora.member,
        title: &title("s1"),
        segments: &segments,
    };
    let (recording, objects) = dora.seal(&plan);
    dora.upload(&url, recording, &objects);
    facts.recordings.insert("s1".to_owned(), recording.to_string());

    let other = world.folder().join("other-registrar");
    let tenant = run_for_words(&other, ["registrar", "init"]).text();
    let member = |device: &Device, role: &str| {
        let account = device.account.id.to_string();
        let chain = run(&other, ["registrar", "certify", &account, "--role", role]).text();
        let chain: CertificateChain = serde_json::from_str(&chain).expect("a certificate chain");
        let key_list = device.member.key_list.clone();
        MemberStatements { issuer: chain.issuer, certificate: chain.certificate, key_list }
    };
    let members = [member(&anna, "patient"), member(&dora, "clinician")];
    let [patient, clinician] = &members;
    let (recording, objects) = dora.seal(&Plan {
        tenant: tenant.parse().expect("an organisation"),
        patient,
        clinician,
        sealer: clinician,
        title: &title("t1"),
        ..plan
    });
    objects.write(&world.folder().join("other-tenant"));
    facts.recordings.insert("t1".to_owned(), recording.to_string());
    server.stop();
    facts
}

impl Scene {
    /// A copy of the clinic, its server running and truthful.
    pub fn new() -> Self {
        let mut scene = Self::closed();
        scene.start();
        scene
    }

    /// A copy of the clinic whose server does not run yet.
    pub fn closed() -> Self {
        let founded = founded();
        let folder = tempfile::tempdir().expect("a temporary folder");
        copy(founded, folder.path());
        let facts = fs::read(founded.join("facts.json")).expect("facts");
        let facts = serde_json::from_slice(&facts).expect("facts");
        Self { folder, facts, server: None }
    }

    /// Starts the server.
    pub fn start(&mut self) {
        self.server = Some(HostileServer::start(&self.data()));
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }

    /// The folder of this clinic.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The server's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// The server.
    pub fn server(&self) -> &HostileServer {
        self.server.as_ref().expect("the server runs")
    }

    /// Somebody's home.
    pub fn home(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Somebody's account.
    pub fn account(&self, name: &str) -> &str {
        self.facts.accounts.get(name).expect("a person of the clinic")
    }

    /// A recording's id.
    pub fn id(&self, recording: &str) -> &str {
        self.facts.recordings.get(recording).expect("a recording of the clinic")
    }

    /// A recording's objects, as they were sealed.
    pub fn objects(&self, recording: &str) -> Objects {
        if recording == "t1" {
            return Objects::read(&self.folder().join("other-tenant")).expect("the other tenant's recording");
        }
        self.server().stored(self.id(recording))
    }

    /// Unlocks somebody's account in this process.
    pub fn device(&self, name: &str) -> Device {
        Device::unlock(&self.home(name))
    }

    /// A command of somebody's at this clinic's server.
    pub fn command(&self, who: &str) -> std::process::Command {
        let mut command = vault_cli(&self.home(who));
        command.arg("--server").arg(self.server().url());
        command
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}
