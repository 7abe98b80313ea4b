//! Why a data folder is refused though it can be read: what is in it does not belong together. Nothing in such a
//! folder is changed.

use std::fmt;
use std::path::{Path, PathBuf};

use vault_proto::ids::{OrganisationId, RecordingId, VaultId};

/// What contradicts what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// There are objects or an index, and no `vault.json`.
    DescriptionMissing,
    /// `vault.json` is not what `init` wrote.
    DescriptionDamaged,
    /// `vault.json` names another organisation than the one that the vault was made for.
    OtherOrganisation {
        /// That of `vault.json`.
        described: OrganisationId,
        /// That of the index.
        index: OrganisationId,
    },
    /// There is no `blobs/mark`.
    MarkMissing,
    /// `blobs/mark` is not what was written.
    MarkDamaged,
    /// There is no `vault.db`.
    IndexMissing,
    /// `vault.db` is something else; says what.
    NotAnIndex(&'static str),
    /// `vault.db` is damaged; says how.
    IndexTorn(String),
    /// `vault.json` is of another vault than the index and the objects, which belong together.
    DescriptionForeign {
        /// The vault that it names.
        described: VaultId,
        /// The vault of the others.
        found: VaultId,
    },
    /// `vault.db` is of another vault.
    IndexForeign {
        /// The vault that it is of.
        found: VaultId,
        /// The vault of the folder.
        expected: VaultId,
    },
    /// `blobs` is of another vault.
    ObjectsForeign {
        /// The vault that it is of.
        found: VaultId,
        /// The vault of the folder.
        expected: VaultId,
    },
    /// Something is of another generation of this vault.
    OtherGeneration {
        /// That of `vault.json`.
        expected: u64,
        /// That of the index.
        index: u64,
        /// That of the objects.
        objects: u64,
    },
    /// `vault.db-wal` does not follow on `vault.db`.
    LogForeign,
    /// `vault.db` lacks what only its write-ahead log had.
    LogMissing {
        /// The index's mark.
        index: u64,
        /// That of the objects.
        objects: u64,
    },
    /// The index is older than the objects.
    IndexOlder {
        /// The index's mark.
        index: u64,
        /// That of the objects.
        objects: u64,
    },
    /// The index lacks what was committed last.
    CommitsMissing {
        /// Commits that the index has.
        index: u64,
        /// Commits that were counted beside the objects.
        objects: u64,
    },
    /// The objects are older than the index.
    ObjectsOlder {
        /// The index's mark.
        index: u64,
        /// That of the objects.
        objects: u64,
    },
    /// There are objects that the index would know, had it been there when they were written.
    UnknownObjects {
        /// A recording that has such objects.
        recording: RecordingId,
        /// Name of one of them, below the folder of the data.
        object: String,
        /// In how many recordings there are any.
        recordings: u64,
    },
    /// More would be moved to `leftovers` than a server does without being told.
    ManyLeftovers {
        /// How many.
        found: u64,
        /// How many it moves by itself.
        at_most: u64,
    },
}

/// A refused data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The folder.
    pub data: PathBuf,
    /// Why.
    pub reason: Reason,
}

/// A path as it is typed in a shell.
pub(crate) fn typed(path: &Path) -> String {
    let text = path.display().to_string();
    if !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+,:@".contains(&byte))
    {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A name for a folder that is put aside, beside it, that nothing has: into a folder that is there it would be moved.
fn free_name(data: &Path) -> PathBuf {
    let named = |end: String| {
        let mut name = data.components().as_path().as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let taken = |path: &PathBuf| path.symlink_metadata().is_ok();
    let mut aside = named(".refused".to_owned());
    let mut number = 2u32;
    while taken(&aside) {
        aside = named(format!(".refused-{number}"));
        number = number.saturating_add(1);
    }
    aside
}

impl Refusal {
    fn what(&self) -> String {
        let data = self.data.display();
        match &self.reason {
            Reason::DescriptionMissing => format!("{data} holds a vault, and its vault.json is missing."),
            Reason::DescriptionDamaged => format!("The file vault.json in {data} is damaged."),
            Reason::OtherOrganisation { described, index } => format!(
                "The file vault.json in {data} is not what it was: it says organisation {described}, and vault.db was \
                 made for {index}."
            ),
            Reason::MarkMissing => format!("The objects of {data} have no mark: blobs/mark is missing."),
            Reason::MarkDamaged => {
                format!("The mark of the objects in {data} is damaged: blobs/mark cannot be read.")
            }
            Reason::IndexMissing => format!("The index of {data} is missing: there is no vault.db."),
            Reason::NotAnIndex(found) => {
                format!("The file vault.db in {data} is no index of a vault: {found}.")
            }
            Reason::IndexTorn(found) => format!("The index of {data} is damaged: vault.db has a {found}."),
            Reason::IndexForeign { found, expected } => format!(
                "The index in {data} is of another vault: vault.db is of {found}, vault.json of {expected}."
            ),
            Reason::ObjectsForeign { found, expected } => format!(
                "The objects in {data} are of another vault: blobs/mark is of {found}, vault.json of {expected}."
            ),
            Reason::OtherGeneration { expected, index, objects } if index == objects => format!(
                "The vault.json in {data} is of generation {expected}, and index and objects are of generation {index}: it was \
                 edited or replaced."
            ),
            Reason::DescriptionForeign { described, found } => format!(
                "The vault.json in {data} is of another vault: it names {described}, and index and objects are of {found}."
            ),
            Reason::OtherGeneration { expected, index, objects } => format!(
                "What is in {data} is of several generations of one vault: vault.json of {expected}, vault.db of \
                 {index}, blobs/mark of {objects}."
            ),
            Reason::LogForeign => {
                format!(
                    "In {data}, vault.db and vault.db-wal do not belong together: one was replaced without the other."
                )
            }
            Reason::LogMissing { index, objects } => format!(
                "The index of {data} lacks what was stored last: vault.db is at mark {index}, the objects at \
                 {objects}. It was copied without vault.db-wal, or is older."
            ),
            Reason::IndexOlder { index, objects } => format!(
                "The index of {data} is older than the objects: vault.db is at mark {index}, the objects at {objects}."
            ),
            Reason::CommitsMissing { index, objects } => format!(
                "The index of {data} lacks what was stored last: vault.db with its log has {index} commits, and \
                 {objects} were counted. It is older, or vault.db-wal is cut short or damaged."
            ),
            Reason::ObjectsOlder { index, objects } => format!(
                "The objects of {data} are older than the index: they are at mark {objects}, vault.db at {index}."
            ),
            Reason::UnknownObjects { recording, object, recordings } => format!(
                "The index of {data} is older than the objects or of another time: it does not know {object}, and no \
                 crash leaves that. {}",
                match recordings {
                    0 | 1 => format!("It is of recording {recording}."),
                    more => format!("There are {more} such recordings; this is of {recording}."),
                }
            ),
            Reason::ManyLeftovers { found, at_most } => format!(
                "In {data} there are {found} files that look like leftovers of crashes; by itself a server moves \
                 {at_most} at most."
            ),
        }
    }

    fn means(&self) -> String {
        let blobs = self.data.join("blobs");
        match self.reason {
            Reason::ManyLeftovers { .. } => {
                "None of them was moved, and everything that was acknowledged is stored.".to_owned()
            }
            Reason::UnknownObjects { .. } => {
                format!("None of it was moved or removed: every object is in {} as it was.", blobs.display())
            }
            _ => format!(
                "Nothing in the folder was changed; the objects that are in {} stay there.",
                blobs.display()
            ),
        }
    }

    fn next(&self) -> String {
        let data = typed(&self.data);
        let whole = format!(
            "put a whole copy, made while no server was using the folder, in its place, and keep this one: \
             mv {data} {aside} && cp -a COPY {data}",
            data = data.strip_suffix('/').unwrap_or(&data),
            aside = typed(&free_name(&self.data))
        );
        match &self.reason {
            Reason::OtherGeneration { index, objects, .. } if index != objects => {
                format!("To go on, {whole}")
            }
            Reason::DescriptionMissing
            | Reason::DescriptionDamaged
            | Reason::DescriptionForeign { .. }
            | Reason::OtherGeneration { .. }
            | Reason::OtherOrganisation { .. } => {
                format!(
                    "Put it back from any copy of this folder, for it never changes: cp COPY/vault.json {data}/vault.json"
                )
            }
            Reason::MarkMissing
            | Reason::MarkDamaged
            | Reason::ObjectsForeign { .. }
            | Reason::ObjectsOlder { .. } => {
                format!("If the folder blobs was replaced, put the one of before back; otherwise {whole}")
            }
            Reason::IndexMissing
            | Reason::NotAnIndex(_)
            | Reason::IndexTorn(_)
            | Reason::IndexForeign { .. }
            | Reason::LogForeign
            | Reason::LogMissing { .. }
            | Reason::CommitsMissing { .. }
            | Reason::IndexOlder { .. }
            | Reason::UnknownObjects { .. } => {
                format!(
                    "If vault.db was moved or replaced, put the one of before back, with its vault.db-wal if it had \
                     one; otherwise {whole}"
                )
            }
            Reason::ManyLeftovers { found, .. } => format!(
                "Look at them in the log; if nobody misses them, move them to the folder leftovers, where they stay for 30 \
                 days: vault-server collect --data {data} --at-most {found}"
            ),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}", self.what(), self.means(), self.next())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_typed_as_a_shell_reads_them() {
        assert_eq!(typed(Path::new("/srv/vault-1/data")), "/srv/vault-1/data");
        assert_eq!(typed(Path::new("/srv/my vault")), "'/srv/my vault'");
        assert_eq!(typed(Path::new("it's")), r"'it'\''s'");
    }
}
