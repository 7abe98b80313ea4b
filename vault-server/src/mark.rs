//! The mark: how index and objects know that they belong together.
//!
//! A counter that the database keeps and, beside the objects, the file `blobs/mark`. Whoever writes moves it in three
//! steps, with nothing else committed in between:
//!
//! 1. The write-ahead log is brought into the database file, all of it: the file holds mark *n*.
//! 2. The database commits mark *n* + 1, which is now the first thing in the log.
//! 3. `blobs/mark` says *n* + 1.
//!
//! So the database file changes only together with the mark that is in it, and a database without its log is behind by
//! one. Each of the three, the database file, the file with its log and the objects, tells by its mark whether it was
//! replaced by an older one. `check` is the whole comparison.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vault_proto::ids::{OrganisationId, VaultId};

use crate::durable::{private_file, write_whole_file};
use crate::place::Place;
use crate::refusal::Reason;

/// Whose index or objects these are, and how far they have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The vault.
    pub vault: VaultId,
    /// How often the vault was put together anew, from 1.
    pub generation: u64,
    /// The counter, from 1.
    pub mark: u64,
}

/// What a database says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexMarks {
    /// By its file alone, as if there were no log. `None` if the file means nothing alone: a crash cut off the log's
    /// way into it, and only both together are the database.
    pub(crate) file: Option<Mark>,
    /// With its write-ahead log.
    pub(crate) whole: Mark,
    /// The organisation that it was made for.
    pub(crate) organisation: OrganisationId,
    /// Commits, with its write-ahead log.
    pub(crate) commits: u64,
    /// Whether there is a log with anything in it.
    pub(crate) has_log: bool,
}

/// The file of the mark, in the folder of the objects.
#[derive(Debug)]
pub struct MarkFile {
    path: PathBuf,
    place: Place,
    mark: Mark,
    counter: Counter,
}

/// `blobs/commits`: how many commits the index has, overwritten in place after each and never waited for. After a loss
/// of power it may be behind, and never ahead of what is on the disk; a copy of the folder, a restored index and a log
/// that was cut short show by it what they lack, within the minute for which a mark stands.
#[derive(Debug)]
struct Counter {
    path: PathBuf,
    file: Option<File>,
    said: Option<u64>,
}

impl Counter {
    /// One that cannot be read says nothing: it is no proof of anything then.
    fn open(blobs: &Path) -> Self {
        let path = blobs.join(COMMITS);
        let said = std::fs::read_to_string(&path).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok());
        Self { path, file: None, said }
    }

    fn write(&mut self, commits: u64) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = private_file().create(true).truncate(false).open(&self.path)?;
                none.insert(file)
            }
        };
        // Always as long, so that nothing but these bytes ever has to change on the disk.
        file.write_all_at(format!("{commits:020}\n").as_bytes(), 0)
    }
}

/// Name of the file.
const NAME: &str = "mark";
/// Name of the file that counts commits.
const COMMITS: &str = "commits";

impl MarkFile {
    /// Writes the file of new objects into the folder `blobs`.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(blobs: &Path, mark: Mark) -> io::Result<Self> {
        write_whole_file(&blobs.join(COMMITS), format!("{:020}\n", 0).as_bytes())?;
        let place = Place::of(blobs)?;
        let file = Self { path: blobs.join(NAME), place, mark, counter: Counter::open(blobs) };
        file.write(&mark)?;
        Ok(file)
    }

    /// Reads the file in the folder `blobs`: `None` if there is none.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::InvalidData`] if it is not what was written.
    pub fn open(blobs: &Path) -> io::Result<Option<Self>> {
        let path = blobs.join(NAME);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let mark = serde_json::from_slice(&bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Some(Self { path, place: Place::of(blobs)?, mark, counter: Counter::open(blobs) }))
    }

    /// What it says.
    pub const fn mark(&self) -> Mark {
        self.mark
    }

    /// How many commits were counted; `None` if nothing says so.
    pub const fn commits(&self) -> Option<u64> {
        self.counter.said
    }

    /// Counts commits that are on the disk: `commits` of them, from the first one on. Does not wait for the disk; a
    /// failure is logged, and leaves the count behind.
    pub(crate) fn count(&mut self, commits: u64) {
        if let Err(error) = self.place.check().and_then(|()| self.counter.write(commits)) {
            tracing::debug!(%error, commits, "the commits could not be counted beside the objects");
        }
    }

    /// Moves it.
    ///
    /// # Errors
    /// What the system says; then it says what it said before.
    pub fn move_to(&mut self, mark: u64) -> io::Result<()> {
        let next = Mark { mark, ..self.mark };
        self.write(&next)?;
        self.mark = next;
        Ok(())
    }

    fn write(&self, mark: &Mark) -> io::Result<()> {
        // Another folder that has taken this path has a mark of its own.
        self.place.check()?;
        write_whole_file(&self.path, &serde_json::to_vec(mark)?)
    }
}

/// Whether an index and the objects belong together, and to the vault of this id and generation.
///
/// # Errors
/// What contradicts what.
pub(crate) fn check(
    (vault, generation): (VaultId, u64),
    index: &IndexMarks,
    objects: Mark,
    counted: Option<u64>,
) -> Result<(), Reason> {
    let IndexMarks { file, whole, commits, has_log, .. } = *index;
    let of_index = file.unwrap_or(whole).vault;
    if objects.vault == of_index && of_index != vault {
        return Err(Reason::DescriptionForeign { described: vault, found: of_index });
    }
    if objects.vault != vault {
        return Err(Reason::ObjectsForeign { found: objects.vault, expected: vault });
    }
    if of_index != vault {
        return Err(Reason::IndexForeign { found: of_index, expected: vault });
    }
    // Of all changes, exactly one mark is committed after the log was last brought into the file.
    let follows = |file: Mark| {
        let next = whole.mark == file.mark || whole.mark.checked_sub(1) == Some(file.mark);
        whole.vault == file.vault && whole.generation == file.generation && next
    };
    if !file.is_none_or(follows) {
        return Err(Reason::LogForeign);
    }
    if whole.generation != generation || objects.generation != generation {
        return Err(Reason::OtherGeneration {
            expected: generation,
            index: whole.generation,
            objects: objects.generation,
        });
    }
    if whole.mark < objects.mark {
        let by_one = whole.mark.checked_add(1) == Some(objects.mark);
        return Err(if by_one && !has_log {
            Reason::LogMissing { index: whole.mark, objects: objects.mark }
        } else {
            Reason::IndexOlder { index: whole.mark, objects: objects.mark }
        });
    }
    // Between the commit and the file of the mark the power may fail.
    if whole.mark > objects.mark.saturating_add(1) {
        return Err(Reason::ObjectsOlder { index: whole.mark, objects: objects.mark });
    }
    match counted {
        Some(counted) if counted > commits => {
            Err(Reason::CommitsMissing { index: commits, objects: counted })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAULT: VaultId = VaultId::from_bytes([1; 16]);
    const OTHER: VaultId = VaultId::from_bytes([2; 16]);

    fn mark(mark: u64) -> Mark {
        Mark { vault: VAULT, generation: 1, mark }
    }

    fn index(file: u64, whole: u64) -> IndexMarks {
        IndexMarks {
            file: Some(mark(file)),
            whole: mark(whole),
            organisation: OrganisationId::from_bytes([3; 32]),
            commits: 40,
            has_log: file != whole,
        }
    }

    #[test]
    fn every_moment_of_a_move_fits() {
        // As it is while the server runs; the log brought in; the next mark committed; its file written.
        for (file, whole, objects) in [(6, 7, 7), (7, 7, 7), (7, 8, 7), (7, 8, 8)] {
            check((VAULT, 1), &index(file, whole), mark(objects), Some(40)).unwrap();
            // The process died while the log was brought in.
            let torn = IndexMarks { file: None, has_log: true, ..index(file, whole) };
            check((VAULT, 1), &torn, mark(objects), None).unwrap();
        }
    }

    #[test]
    fn an_index_that_lacks_commits_is_named_and_one_that_has_more_is_not() {
        let of = |counted| check((VAULT, 1), &index(6, 7), mark(7), counted);
        assert!(matches!(of(Some(41)), Err(Reason::CommitsMissing { index: 40, objects: 41 })));
        // The power failed before the count was on the disk; or nobody knows.
        for counted in [Some(40), Some(39), Some(0), None] {
            of(counted).unwrap();
        }
    }

    #[test]
    fn the_count_is_read_as_it_was_written_and_anything_else_proves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = MarkFile::create(folder.path(), mark(1)).unwrap();
        let read = || MarkFile::open(folder.path()).unwrap().unwrap().commits();
        assert_eq!(read(), Some(0));
        for commits in [1, 99, u64::MAX, 7] {
            file.count(commits);
            assert_eq!(read(), Some(commits));
        }
        for text in ["", "00000000000000000007", "garbage\n", "-1\n"] {
            std::fs::write(folder.path().join(COMMITS), text).unwrap();
            assert_eq!(read(), None, "{text:?}");
        }
        std::fs::remove_file(folder.path().join(COMMITS)).unwrap();
        assert_eq!(read(), None);
        MarkFile::open(folder.path()).unwrap().unwrap().count(12);
        assert_eq!(read(), Some(12));
    }

    #[test]
    fn whatever_was_replaced_is_named() {
        let of = |index: IndexMarks, objects: Mark| check((VAULT, 1), &index, objects, Some(40)).unwrap_err();
        // The database file alone is older; with its log; with a log that is not its own; without its log.
        assert!(matches!(of(index(5, 5), mark(7)), Reason::IndexOlder { index: 5, objects: 7 }));
        assert!(matches!(of(index(4, 5), mark(6)), Reason::IndexOlder { index: 5, objects: 6 }));
        assert!(matches!(of(index(5, 8), mark(8)), Reason::LogForeign));
        assert!(matches!(of(index(8, 5), mark(8)), Reason::LogForeign));
        assert!(matches!(of(index(6, 6), mark(7)), Reason::LogMissing { index: 6, objects: 7 }));
        let torn = IndexMarks { file: None, has_log: true, ..index(5, 5) };
        assert!(matches!(of(torn, mark(6)), Reason::IndexOlder { index: 5, objects: 6 }));
        let torn = IndexMarks { whole: Mark { vault: OTHER, ..mark(7) }, ..torn };
        assert!(matches!(of(torn, mark(7)), Reason::IndexForeign { .. }));
        // The objects are older.
        assert!(matches!(of(index(6, 7), mark(5)), Reason::ObjectsOlder { index: 7, objects: 5 }));
        // Something is of another vault.
        let foreign = Mark { vault: OTHER, ..mark(7) };
        let database = IndexMarks { file: Some(foreign), whole: foreign, ..index(7, 7) };
        assert!(matches!(of(database, mark(7)), Reason::IndexForeign { .. }));
        assert!(matches!(of(index(6, 7), foreign), Reason::ObjectsForeign { .. }));
        assert!(matches!(of(IndexMarks { whole: foreign, ..index(6, 7) }, mark(7)), Reason::LogForeign));
        let both = check((OTHER, 1), &index(6, 7), mark(7), Some(40)).unwrap_err();
        assert!(matches!(both, Reason::DescriptionForeign { described: OTHER, found: VAULT }));
        // Something is of another generation.
        let second = Mark { generation: 2, ..mark(7) };
        let database = IndexMarks { file: Some(second), whole: second, ..index(7, 7) };
        assert!(matches!(of(database, mark(7)), Reason::OtherGeneration { .. }));
        assert!(matches!(of(index(7, 7), second), Reason::OtherGeneration { .. }));
    }
}
