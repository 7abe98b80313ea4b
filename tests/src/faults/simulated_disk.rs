//! What a disk may hold after the power failed, by the calls that were recorded until then.
//!
//! The promises it rests on are those of POSIX and no more, which is less than ext4, XFS or btrfs keep:
//!
//! * `fsync` and `fdatasync` of a file make its contents and length durable as they were when the call began, and not
//!   its name; `fsync` of a folder makes the names in it durable. (ext4 makes a new file's name durable with it.)
//! * Of everything else any part may have reached the disk, in any order: names in any folder (ext4 writes them in
//!   their order), whole writes or any 512-byte sectors of them (ext4's `data=ordered` writes data before the length
//!   that covers it), lengths without their data, which then reads as zeros.
//! * A sector is written whole or not at all, and a write touches no bytes but its own: SQLite counts on both.
//! * A rename is one change: after it a name leads to the old file or to the new one.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::Chance;
use super::watched_disk::Event;

const SECTOR: usize = 512;

/// A disk as of one moment: what is durable, and what is on its way.
#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    root: PathBuf,
    objects: Vec<Object>,
    by_inode: HashMap<u64, usize>,
    names: BTreeMap<PathBuf, usize>,
    names_on_their_way: Vec<(u64, NameChange)>,
    syncs: HashMap<(u64, u32), u64>,
    clock: u64,
}

#[derive(Debug, Clone, Default)]
struct Object {
    /// Its path, if it is a folder: none is ever renamed.
    folder: Option<PathBuf>,
    content: Vec<u8>,
    on_its_way: Vec<(u64, Change)>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Clone)]
enum NameChange {
    Put(PathBuf, usize),
    Move(PathBuf, PathBuf, usize),
    Remove(PathBuf),
}

/// How much of what was on its way arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// Nothing: the disk holds what was synced.
    Nothing,
    /// Everything, as after the death of a process.
    Everything,
    /// Names and no contents.
    Names,
    /// Contents and no names.
    Contents,
    /// Any part of anything.
    Some,
}

impl Arrived {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Nothing, Self::Everything, Self::Names, Self::Contents, Self::Some];
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Length(length) => content.resize(*length, 0),
            Self::Write(offset, bytes) => put(content, *offset, bytes),
        }
    }

    /// Applies the sectors that arrived.
    fn apply_torn(&self, content: &mut Vec<u8>, chance: &mut Chance) {
        match (self, chance.below(4)) {
            (_, 0) => {}
            (_, 1) | (Self::Length(_), _) => self.apply(content),
            (Self::Write(offset, bytes), kind) => {
                if kind == 2 {
                    content.resize(content.len().max(offset + bytes.len()), 0);
                }
                let mut at = 0;
                while at < bytes.len() {
                    let to_boundary = SECTOR - (offset + at) % SECTOR;
                    let end = bytes.len().min(at + to_boundary);
                    if chance.once_in(2) {
                        put(content, offset + at, bytes.get(at..end).unwrap_or_default());
                    }
                    at = end;
                }
            }
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content.get_mut(offset..end).expect("it was made long enough").copy_from_slice(bytes);
}

impl NameChange {
    fn is_in(&self, folder: &Path) -> bool {
        match self {
            Self::Put(path, _) | Self::Remove(path) | Self::Move(_, path, _) => path.parent() == Some(folder),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Put(path, object) => drop(names.insert(path.clone(), *object)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Move(from, to, object) => {
                names.remove(from);
                names.insert(to.clone(), *object);
            }
        }
    }
}

impl SimulatedDisk {
    /// An empty folder, itself durable.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            objects: Vec::new(),
            by_inode: HashMap::new(),
            names: BTreeMap::new(),
            names_on_their_way: Vec::new(),
            syncs: HashMap::new(),
            clock: 0,
        }
    }

    /// Lets one recorded call happen.
    pub fn apply(&mut self, event: &Event) {
        self.clock += 1;
        match event {
            Event::Create(inode, path) => self.add(*inode, path, None),
            Event::MakeFolder(inode, path) => self.add(*inode, path, Some(path.clone())),
            Event::Write(inode, offset, bytes) => {
                let offset = usize::try_from(*offset).expect("an offset in memory");
                self.change(*inode, Change::Write(offset, bytes.clone()));
            }
            Event::Truncate(inode, length) => {
                self.change(*inode, Change::Length(usize::try_from(*length).expect("a length in memory")));
            }
            Event::Rename(inode, from, to) => {
                let object = *self.by_inode.get(inode).expect("what is renamed was created");
                self.names_on_their_way
                    .push((self.clock, NameChange::Move(from.clone(), to.clone(), object)));
            }
            Event::Unlink(path) => {
                self.names_on_their_way.push((self.clock, NameChange::Remove(path.clone())));
            }
            Event::SyncBegins(inode, thread) => drop(self.syncs.insert((*inode, *thread), self.clock)),
            Event::SyncEnds(inode, thread) => self.synced(*inode, *thread),
            Event::Answer(_) | Event::Struck(_) => {}
        }
    }

    fn add(&mut self, inode: u64, path: &Path, folder: Option<PathBuf>) {
        let object = self.objects.len();
        self.objects.push(Object { folder, ..Object::default() });
        // An inode is used again once its file is gone.
        self.by_inode.insert(inode, object);
        self.names_on_their_way.push((self.clock, NameChange::Put(path.to_owned(), object)));
    }

    fn change(&mut self, inode: u64, change: Change) {
        let object = self.by_inode.get(&inode).and_then(|object| self.objects.get_mut(*object));
        object.expect("what is written was created").on_its_way.push((self.clock, change));
    }

    /// Makes durable what was complete when the sync began.
    fn synced(&mut self, inode: u64, thread: u32) {
        let began = self.syncs.remove(&(inode, thread)).expect("a sync that ends has begun");
        let root = self.root.clone();
        let folder = match self.by_inode.get(&inode).and_then(|object| self.objects.get_mut(*object)) {
            // The root was there before anything was recorded.
            None => root,
            Some(Object { folder: Some(folder), .. }) => folder.clone(),
            Some(Object { content, on_its_way, folder: None }) => {
                for (_, change) in on_its_way.extract_if(.., |(at, _)| *at < began) {
                    change.apply(content);
                }
                return;
            }
        };
        let names = &mut self.names;
        self.names_on_their_way
            .extract_if(.., |(at, change)| *at < began && change.is_in(&folder))
            .for_each(|(_, change)| change.apply(names));
    }

    /// Changes that are not durable yet.
    pub fn on_their_way(&self) -> usize {
        self.names_on_their_way.len()
            + self.objects.iter().map(|object| object.on_its_way.len()).sum::<usize>()
    }

    /// Writes to `folder`, which must be empty, what the disk may hold if the power fails now.
    pub fn write_after_power_loss(&self, folder: &Path, arrived: Arrived, chance: &mut Chance) {
        let mut names = self.names.clone();
        for (_, change) in &self.names_on_their_way {
            let arrives = match arrived {
                Arrived::Nothing | Arrived::Contents => false,
                Arrived::Everything | Arrived::Names => true,
                Arrived::Some => chance.once_in(2),
            };
            if arrives {
                change.apply(&mut names);
            }
        }
        // In the order of paths a folder comes before what is in it; what is in a folder that is gone is gone.
        for (path, object) in &names {
            let object = self.objects.get(*object).expect("a name leads to an object");
            let target = folder.join(path.strip_prefix(&self.root).expect("it is below the root"));
            if !target.parent().is_some_and(Path::is_dir) {
                continue;
            }
            if object.folder.is_some() {
                std::fs::create_dir(&target).expect("a folder is made");
                continue;
            }
            let mut content = object.content.clone();
            for (_, change) in &object.on_its_way {
                match arrived {
                    Arrived::Nothing | Arrived::Names => {}
                    Arrived::Everything | Arrived::Contents => change.apply(&mut content),
                    Arrived::Some => change.apply_torn(&mut content, chance),
                }
            }
            std::fs::write(&target, content).expect("a file is written");
        }
    }
}
