//! The index is lost, older, torn, of another vault, or was copied without its log. The server does not start, names
//! what it found, and leaves every byte where it is; after its advice was followed, everything opens again.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use vault_proto::geometry::MAX_PART_PLAINTEXT;
use vault_proto::ids::Digest;
use vault_tests::command::{Said, binary, end};
use vault_tests::faults::clinic::{Clinic, SEAL_FILE, recording};
use vault_tests::faults::{Chance, Tally, how_many};
use vault_tests::server_process::ServerProcess;
use vault_tests::world::World;

const LENGTH: usize = MAX_PART_PLAINTEXT + 4321;
/// Objects of a finished recording of one segment.
const OBJECTS: usize = 8;
/// Said of what the marks cannot tell.
const FOUND_BY_SEARCH: &str = "no crash leaves that";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A clinic with two recordings whose server is stopped, and copies of its data folder from different times.
struct Copies {
    clinic: Clinic,
    sealed: Vec<(String, Vec<u8>)>,
    /// Made while the server was stopped, before the second recording.
    before: PathBuf,
    /// Made while the server was running, before the second recording: within the minute of the next one.
    running: PathBuf,
    /// Made after a kill, with the second recording: the log is not in the database yet.
    killed: PathBuf,
    /// Made while the server was stopped, with both recordings.
    whole: PathBuf,
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Every file of a folder by its name, with the hash of what is in it. SQLite makes its index of the log anew at every
/// look.
fn files(data: &Path) -> BTreeMap<PathBuf, Digest> {
    let mut found = BTreeMap::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("vault.db-shm") {
                let digest = Digest::of(&std::fs::read(&path).unwrap());
                found.insert(path.strip_prefix(data).unwrap().to_owned(), digest);
            }
        }
    }
    found
}

fn objects(data: &Path) -> usize {
    files(data).keys().filter(|path| path.starts_with("blobs/rec")).count()
}

impl Copies {
    fn new() -> Self {
        let clinic = Clinic::new();
        let data = clinic.world.data();
        let [before, running, killed, whole] =
            ["before", "running", "killed", "whole"].map(|name| clinic.world.folder().join(name));
        let seal = |number| {
            let (file, content) = clinic.new_file(number, LENGTH);
            (recording(&end(&mut (SEAL_FILE.begin)(&clinic, &file))), content)
        };
        let mut sealed = vec![seal(1)];
        clinic.server.stop();
        copy(&data, &before);
        // A run of its own, so that what the last one leaves in its log does not follow on this copy.
        clinic.server.start();
        clinic.server.stop();
        clinic.server.start();
        copy(&data, &running);
        sealed.push(seal(2));
        clinic.server.kill();
        copy(&data, &killed);
        clinic.server.start();
        clinic.server.stop();
        // Old enough to be taken for leftovers, if age were all that counts.
        for name in files(&data).keys() {
            let file = File::options().write(true).open(data.join(name)).unwrap();
            file.set_modified(SystemTime::now() - 2 * DAY).unwrap();
        }
        copy(&data, &whole);
        assert_eq!(objects(&data), 2 * OBJECTS);
        Self { clinic, sealed, before, running, killed, whole }
    }

    fn data(&self) -> PathBuf {
        self.clinic.world.data()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    /// Puts the data folder back as it was in a copy.
    fn restore(&self, from: &Path) {
        std::fs::remove_dir_all(self.data()).unwrap();
        copy(from, &self.data());
    }

    /// Neither the server nor the search takes the folder as it is, both say why, and nothing in it is less or other.
    fn refused(&self, words: &str) -> Said {
        // What only a search finds is found once the index is open, and the mark was moved.
        let stays = |files: BTreeMap<PathBuf, Digest>| -> BTreeMap<PathBuf, Digest> {
            let objects_only = words == FOUND_BY_SEARCH;
            files.into_iter().filter(|(name, _)| !objects_only || name.starts_with("blobs/rec")).collect()
        };
        let before = stays(files(&self.data()));
        let ask = |arguments: &[&str]| {
            let mut command = Command::new(binary("vault-server"));
            command.args(arguments).arg("--data").arg(self.data());
            let said = ServerProcess::refused(&mut command);
            said.refused(11, words);
            assert!(stays(files(&self.data())) == before, "{words}: something was changed");
            said
        };
        ask(&["collect", "--older-than", "0h", "--at-most", "1000"]);
        ask(&["serve", "--listen", "127.0.0.1:0"])
    }

    /// Follows the advice to put a whole copy in place of the folder, word for word.
    fn put_whole_copy(&self, said: &Said) {
        self.follow(said, "mv ");
        let aside = self.data().with_extension("refused");
        assert!(aside.is_dir(), "the refused folder is kept");
        std::fs::remove_dir_all(aside).unwrap();
    }

    /// What the last line says to type, from this word on.
    fn follow(&self, said: &Said, from: &str) {
        let last = said.stderr.lines().last().unwrap();
        let command = &last[last.find(from).unwrap()..];
        let command = command.replace("COPY", &self.whole.display().to_string());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
    }

    /// Everything is there and opens for both readers.
    fn opens(&self) -> Tally {
        assert_eq!(objects(&self.data()), 2 * OBJECTS);
        self.clinic.server.start();
        let mut sum = Tally::default();
        for (recording, content) in &self.sealed {
            sum += self.clinic.tally(recording, content, 0);
        }
        self.clinic.server.stop();
        assert_eq!(objects(&self.data()), 2 * OBJECTS);
        assert!(!self.path("leftovers").exists());
        Tally { tried: 1, ..sum }
    }
}

fn replace(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
}

/// One way in which a class of damage happens: what it does, and what is said of it.
type Damage = (fn(&Copies, &mut Chance), &'static str);

/// Does each damage in turn, as often as asked for, and follows the advice.
fn class(name: &str, damages: &[Damage]) {
    let copies = Copies::new();
    let mut chance = Chance::of_class(name);
    let mut sum = Tally::default();
    for number in 0..how_many(12).max(damages.len()) {
        let (damage, words) = damages[number % damages.len()];
        damage(&copies, &mut chance);
        let said = copies.refused(words);
        // Where only vault.json is wrong, it alone is put back.
        if said.stderr.contains("cp COPY/vault.json") {
            copies.follow(&said, "cp COPY");
        } else {
            copies.put_whole_copy(&said);
        }
        sum += copies.opens();
        copies.restore(&copies.whole);
    }
    sum.report(name);
}

#[test]
fn a_lost_index_loses_nothing() {
    class(
        "index lost",
        &[
            (|copies, _| std::fs::remove_file(copies.path("vault.db")).unwrap(), "there is no vault.db"),
            (
                |copies, _| {
                    copies.restore(&copies.killed);
                    std::fs::remove_file(copies.path("vault.db")).unwrap();
                },
                "there is no vault.db",
            ),
            (|copies, _| drop(File::create(copies.path("vault.db")).unwrap()), "it is empty"),
            (
                |copies, _| {
                    std::fs::remove_file(copies.path("vault.db")).unwrap();
                    drop(rusqlite::Connection::open(copies.path("vault.db")).unwrap());
                    let tables = "CREATE TABLE vault (mark INTEGER); VACUUM";
                    rusqlite::Connection::open(copies.path("vault.db"))
                        .unwrap()
                        .execute_batch(tables)
                        .unwrap();
                },
                "a database without the tables of a vault",
            ),
            (
                |copies, _| std::fs::write(copies.path("vault.db"), "restored from tape 7").unwrap(),
                "it is no database",
            ),
        ],
    );
}

#[test]
fn an_older_index_loses_nothing() {
    class(
        "index older",
        &[
            (
                |copies, _| replace(&copies.before.join("vault.db"), &copies.path("vault.db")),
                "is older than the objects",
            ),
            // A kill left a log, and an older database was put in front of it.
            (
                |copies, _| {
                    copies.restore(&copies.killed);
                    replace(&copies.before.join("vault.db"), &copies.path("vault.db"));
                },
                "vault.db and vault.db-wal do not belong together",
            ),
            // Index and log of a moment before, within the same minute: no mark was moved between.
            (
                |copies, _| {
                    copies.restore(&copies.killed);
                    for name in ["vault.db", "vault.db-wal"] {
                        replace(&copies.running.join(name), &copies.path(name));
                    }
                },
                "is older",
            ),
            // Objects and index of the moment of the kill, then the index of before with the mark of then: as if both
            // were copied within one minute.
            (
                |copies, _| {
                    replace(&copies.before.join("vault.db"), &copies.path("vault.db"));
                    vault_tests::rollback::match_mark(&copies.data());
                },
                FOUND_BY_SEARCH,
            ),
        ],
    );
}

/// Where a page of a tree begins: of those that only go on with a long value, SQLite cannot tell what was in them.
fn tree_page(database: &[u8], chance: &mut Chance) -> usize {
    loop {
        let page = chance.below(database.len() as u64 / 4096) as usize * 4096;
        if page == 0 || matches!(database[page], 2 | 5 | 10 | 13) {
            return page;
        }
    }
}

#[test]
fn a_torn_index_loses_nothing() {
    class(
        "index torn",
        &[
            (
                |copies, chance| {
                    let file = File::options().write(true).open(copies.path("vault.db")).unwrap();
                    let length = file.metadata().unwrap().len();
                    file.set_len(1000 + chance.below(length - 1000)).unwrap();
                },
                "vault.db",
            ),
            (
                |copies, chance| {
                    let mut bytes = std::fs::read(copies.path("vault.db")).unwrap();
                    let page = tree_page(&bytes, chance);
                    bytes[page..page + 4096].fill(0);
                    std::fs::write(copies.path("vault.db"), bytes).unwrap();
                },
                "vault.db",
            ),
            (
                |copies, chance| {
                    let mut bytes = std::fs::read(copies.path("vault.db")).unwrap();
                    let page = tree_page(&bytes, chance);
                    bytes[page..].fill(0xff);
                    std::fs::write(copies.path("vault.db"), bytes).unwrap();
                },
                "vault.db",
            ),
        ],
    );
}

#[test]
fn a_foreign_index_loses_nothing() {
    class(
        "index of another vault",
        &[
            (
                |copies, _| {
                    let other = World::offline();
                    replace(&other.data().join("vault.db"), &copies.path("vault.db"));
                },
                "is of another vault: vault.db",
            ),
            (
                |copies, _| {
                    let other = World::offline();
                    std::fs::rename(copies.path("blobs"), copies.data().join("blobs.other")).unwrap();
                    copy(&other.data().join("blobs"), &copies.path("blobs"));
                },
                "are of another vault: blobs/mark",
            ),
            (
                |copies, _| {
                    let other = World::offline();
                    replace(&other.data().join("vault.json"), &copies.path("vault.json"));
                },
                "of another vault",
            ),
        ],
    );
}

#[test]
fn an_index_without_its_log_loses_nothing() {
    let class = "index without its log";
    let copies = Copies::new();
    let mut sum = Tally::default();
    for number in 0..how_many(12) {
        copies.restore(&copies.killed);
        let log = copies.path("vault.db-wal");
        std::fs::remove_file(&log).unwrap();
        let said = copies.refused("It was copied without vault.db-wal, or is older");
        if number % 2 == 0 {
            // What was forgotten is copied after all.
            assert!(said.stderr.contains("with its vault.db-wal if it had one"), "{}", said.stderr);
            replace(&copies.killed.join("vault.db-wal"), &log);
        } else {
            copies.put_whole_copy(&said);
        }
        sum += copies.opens();
    }
    sum.report(class);
}

/// A log that lost its end, or a byte of it, holds less than was acknowledged; SQLite by itself would pass over it.
#[test]
fn a_torn_log_loses_nothing() {
    class(
        "log torn",
        &[
            (
                |copies, chance| {
                    copies.restore(&copies.killed);
                    let log = File::options().write(true).open(copies.path("vault.db-wal")).unwrap();
                    let length = log.metadata().unwrap().len();
                    log.set_len(chance.below(length)).unwrap();
                },
                "is older",
            ),
            (
                |copies, chance| {
                    copies.restore(&copies.killed);
                    let mut bytes = std::fs::read(copies.path("vault.db-wal")).unwrap();
                    let at = usize::try_from(chance.below(bytes.len() as u64)).unwrap();
                    bytes[at] ^= 0xff;
                    std::fs::write(copies.path("vault.db-wal"), bytes).unwrap();
                },
                "",
            ),
        ],
    );
}

/// Whoever looks at the database of a killed server with another program brings its log in, and that is fine.
#[test]
fn a_log_that_another_program_brought_in_is_not_missed() {
    let copies = Copies::new();
    copies.restore(&copies.killed);
    let database = rusqlite::Connection::open(copies.path("vault.db")).unwrap();
    let rows: u32 = database.query_row("SELECT count(*) FROM recordings", (), |row| row.get(0)).unwrap();
    assert_eq!(rows, 2);
    drop(database);
    assert!(!copies.path("vault.db-wal").exists());
    assert_eq!(copies.opens().lost(), 0);
}
