//! A server's disk under watch: a small C library, compiled here and loaded into the server by `LD_PRELOAD`, records
//! every change and sync of files in the data folder, or makes chosen calls fail. `watched_disk.c` says what it takes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What a rule does to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It fails with this error number, and nothing is done.
    Fail(i32),
    /// A write writes half of what was asked.
    Short,
    /// It is carried out, then the process is killed.
    Kill,
}

/// No such space.
pub const ENOSPC: i32 = 28;
/// The device failed.
pub const EIO: i32 = 5;
/// A share of the network is not the one that was mounted any more.
pub const ESTALE: i32 = 116;
/// A share of the network does not answer.
pub const ETIMEDOUT: i32 = 110;
/// The file system is mounted so that nobody writes to it.
pub const EROFS: i32 = 30;
/// A signal came between.
pub const EINTR: i32 = 4;

/// The calls that can be made to fail; `any` counts all but `read` together.
pub const CALLS: [&str; 9] =
    ["open", "read", "write", "fsync", "fdatasync", "rename", "unlink", "mkdir", "ftruncate"];

/// Calls from one to another, counted from 1 in each process, and what happens to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// One of [`CALLS`], or `any`.
    pub call: &'static str,
    /// What happens.
    pub effect: Effect,
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

/// What was recorded of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A new file of this inode under this name.
    Create(u64, PathBuf),
    /// A new folder.
    MakeFolder(u64, PathBuf),
    /// Bytes of a file, at an offset.
    Write(u64, u64, Vec<u8>),
    /// A new length of a file.
    Truncate(u64, u64),
    /// A file or folder is being synced by a thread.
    SyncBegins(u64, u32),
    /// It was synced.
    SyncEnds(u64, u32),
    /// A file of this inode has another name; what had that name before is gone.
    Rename(u64, PathBuf, PathBuf),
    /// A name is gone.
    Unlink(PathBuf),
    /// The head of an answer is about to be sent.
    Answer(String),
    /// A rule took effect on a call of this name.
    Struck(String),
}

/// The watched disk of one server.
#[derive(Debug, Clone)]
pub struct WatchedDisk {
    root: PathBuf,
    trace: PathBuf,
    /// What is to go wrong in processes started from now on.
    pub rules: Vec<Rule>,
}

/// The compiled library: once in a process.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let program = std::env::current_exe().expect("the test program has a path");
        let name = program.file_stem().expect("a name").to_string_lossy().into_owned();
        let folder = program.ancestors().nth(2).expect("target/<profile>").join("watched-disk");
        std::fs::create_dir_all(&folder).expect("a folder is made");
        let (source, library) = (folder.join(format!("{name}.c")), folder.join(format!("{name}.so")));
        std::fs::write(&source, include_str!("watched_disk.c")).expect("the source is written");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]);
        let output = compiler.arg(&library).arg(&source).arg("-ldl").output().expect("cc runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        library
    })
}

impl WatchedDisk {
    /// Watches a folder, which need not exist yet, and records in a file.
    pub fn new(root: &Path, trace: &Path) -> Self {
        Self { root: root.to_owned(), trace: trace.to_owned(), rules: Vec::new() }
    }

    /// The same disk, on which other things go wrong.
    pub fn with(&self, rules: &[Rule]) -> Self {
        Self { rules: rules.to_vec(), ..self.clone() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Puts a command under watch.
    pub fn watch(&self, command: &mut Command) {
        command.env("LD_PRELOAD", library()).env("FAULT_ROOT", &self.root);
        command.env("FAULT_TRACE", &self.trace);
        let rules: Vec<String> = self.rules.iter().map(Rule::in_plan).collect();
        if !rules.is_empty() {
            command.env("FAULT_PLAN", rules.join(","));
        }
    }

    /// Everything that was recorded so far.
    pub fn events(&self) -> Vec<Event> {
        parse(&std::fs::read(&self.trace).expect("the record is there"))
    }

    /// How many calls rules took effect on since the last time; the record begins anew.
    pub fn take_struck(&self) -> usize {
        // No process that was watched may run: what it recorded next would come after a hole.
        let Ok(record) = std::fs::read(&self.trace) else { return 0 };
        std::fs::remove_file(&self.trace).expect("the record is there");
        parse(&record).iter().filter(|event| matches!(event, Event::Struck(_))).count()
    }
}

impl Rule {
    fn in_plan(&self) -> String {
        let effect = match self.effect {
            Effect::Fail(number) => number.to_string(),
            Effect::Short => "s".to_owned(),
            Effect::Kill => "k".to_owned(),
        };
        format!("{}:{effect}:{}:{}", self.call, self.from, self.to)
    }
}

fn parse(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<29>() {
        let number = |from: usize, to: usize| {
            let little_endian = head.get(from..to).expect("within the head").iter().rev();
            little_endian.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let (thread, inode, offset) =
            (u32::try_from(number(1, 5)).expect("4 bytes"), number(5, 13), number(13, 21));
        let lengths = (number(21, 25) as usize, number(25, 29) as usize);
        let (first, rest) = rest.split_at(lengths.0);
        let (second, rest) = rest.split_at(lengths.1);
        bytes = rest;
        let path = |bytes: &[u8]| PathBuf::from(String::from_utf8(bytes.to_vec()).expect("paths are text"));
        events.push(match head[0] {
            b'c' => Event::Create(inode, path(first)),
            b'm' => Event::MakeFolder(inode, path(first)),
            b'w' => Event::Write(inode, offset, first.to_vec()),
            b't' => Event::Truncate(inode, offset),
            b'b' => Event::SyncBegins(inode, thread),
            b'e' => Event::SyncEnds(inode, thread),
            b'r' => Event::Rename(inode, path(first), path(second)),
            b'u' => Event::Unlink(path(first)),
            b'a' => Event::Answer(String::from_utf8_lossy(first).into_owned()),
            b'f' => Event::Struck(String::from_utf8_lossy(first).into_owned()),
            other => panic!("no such record: {other}"),
        });
    }
    assert_eq!(bytes.len(), 0, "the record is torn");
    events
}
