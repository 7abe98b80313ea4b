//! Objects as files of one folder.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use vault_proto::geometry::MAX_PART;
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::object::{
    RECORDINGS, SEGMENTS, STATEMENTS, recording_folder, segment_folder, statement_path,
};

use super::leftovers::Leftovers;
use super::{BlobError, BlobKey, BlobStore, BodyReader, Day, StoredFile, StoredStatement, listing};
use crate::durable::{
    create_folder, create_folders, private_file, stop_unless_durable, sync_folder, sync_name,
    write_whole_file,
};
use crate::place::Place;
use crate::turns::give_up;

/// Name of the file by which it is found out whether something can be written.
const PROBE: &str = "probe";

/// A blob store in a folder of a local file system, each object in a file of its own. Only its owner can read it.
#[derive(Debug)]
pub struct FileBlobs {
    root: PathBuf,
    place: Place,
    leftovers: Leftovers,
}

struct OpenBody(File);

fn classified(error: io::Error) -> BlobError {
    match error.kind() {
        io::ErrorKind::NotFound => BlobError::NotFound,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            BlobError::Full
        }
        _ => BlobError::Failed(error),
    }
}

impl FileBlobs {
    /// Makes a new store in `root`; what an earlier call has made of it is fine.
    ///
    /// # Errors
    /// [`BlobError::Full`], [`BlobError::Failed`].
    pub fn create(root: &Path) -> Result<(), BlobError> {
        let create = || {
            create_folders(root)?;
            create_folder(&root.join(RECORDINGS))?;
            create_folder(&root.join(STATEMENTS))
        };
        create().map_err(classified)
    }

    /// Opens the store in `root`, which [`create`](Self::create) has made, and keeps what is set aside in `leftovers`.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::Failed`].
    pub fn open(root: PathBuf, leftovers: PathBuf) -> Result<Self, BlobError> {
        // Everything hangs from these names, and who made them may have died before they were synced.
        sync_name(&root).and_then(|()| sync_folder(&root)).map_err(classified)?;
        let place = Place::of(&root).map_err(classified)?;
        Ok(Self { leftovers: Leftovers::new(root.clone(), leftovers), place, root })
    }

    /// Whether there is nothing in `root` but what [`create`](Self::create) makes, a mark, and files that never got a
    /// name.
    pub(crate) fn is_unused(root: &Path) -> io::Result<bool> {
        for entry in std::fs::read_dir(root)? {
            let name = entry?.file_name();
            let unused = match name.to_str() {
                Some(name @ (RECORDINGS | STATEMENTS)) => {
                    std::fs::read_dir(root.join(name))?.next().is_none()
                }
                Some(name) => matches!(name, "mark" | "commits" | PROBE) || listing::is_aside(name),
                None => false,
            };
            if !unused {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The root, as long as it is the folder that was opened: nothing is read from another one that has taken its
    /// place, and nothing stored there.
    fn root(&self) -> Result<&Path, BlobError> {
        self.place.check().map_err(BlobError::Failed)?;
        Ok(&self.root)
    }

    /// Where an object is, for somebody who is about to wait for the disk.
    fn path(&self, key: &BlobKey) -> Result<PathBuf, BlobError> {
        give_up();
        Ok(self.root()?.join(key.path()))
    }

    fn prepared_path(&self, key: &BlobKey) -> Result<PathBuf, BlobError> {
        let path = self.path(key)?;
        // From the outermost in, below the one that `open` made durable.
        let shared = self.root.join(RECORDINGS);
        let mut above: Vec<&Path> = path.ancestors().skip(1).take_while(|folder| *folder != shared).collect();
        above.reverse();
        above.into_iter().try_for_each(create_folder).map_err(classified)?;
        Ok(path)
    }
}

impl BlobStore for FileBlobs {
    fn check_ready(&self) -> Result<(), BlobError> {
        let probe = self.root()?.join(PROBE);
        let write = || {
            let mut file = private_file().create(true).truncate(true).open(&probe)?;
            // As long as a part, for files may be limited (`ulimit -f`), and only a block of it takes room.
            let written = file.set_len(MAX_PART as u64).and_then(|()| file.write_all(&[1; 4096]));
            let written = written.map(|()| stop_unless_durable(file.sync_all()));
            // A name that stays is written over by the next.
            std::fs::remove_file(&probe).and(written)
        };
        write().map_err(classified)
    }

    fn put(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), BlobError> {
        write_whole_file(&self.prepared_path(key)?, bytes).map_err(classified)
    }

    fn get(&self, key: &BlobKey) -> Result<Vec<u8>, BlobError> {
        let mut bytes = Vec::new();
        File::open(self.path(key)?).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(classified)?;
        Ok(bytes)
    }

    fn create_body(&self, key: &BlobKey) -> Result<(), BlobError> {
        let path = self.prepared_path(key)?;
        let create = || {
            let file = private_file().create(true).truncate(false).open(&path)?;
            stop_unless_durable(file.sync_all());
            path.parent().map_or(Ok(()), sync_folder)
        };
        create().map_err(classified)
    }

    fn write_part(&self, key: &BlobKey, offset: u64, bytes: &[u8]) -> Result<(), BlobError> {
        let path = self.path(key)?;
        let write = || {
            let file = private_file().open(&path)?;
            file.write_all_at(bytes, offset)?;
            stop_unless_durable(file.sync_data());
            Ok(())
        };
        write().map_err(classified)
    }

    fn truncate_body(&self, key: &BlobKey, length: u64) -> Result<(), BlobError> {
        let path = self.path(key)?;
        let truncate = || {
            let file = private_file().open(&path)?;
            if file.metadata()?.len() > length {
                file.set_len(length)?;
                stop_unless_durable(file.sync_all());
            }
            Ok(())
        };
        truncate().map_err(classified)
    }

    fn open_body(&self, key: &BlobKey) -> Result<Box<dyn BodyReader>, BlobError> {
        let file = File::open(self.path(key)?).map_err(classified)?;
        Ok(Box::new(OpenBody(file)))
    }

    fn size(&self, key: &BlobKey) -> Result<u64, BlobError> {
        std::fs::metadata(self.path(key)?).map(|metadata| metadata.len()).map_err(classified)
    }

    fn put_statement(&self, digest: &Digest, envelope: &[u8]) -> Result<(), BlobError> {
        give_up();
        write_whole_file(&self.root()?.join(statement_path(digest)), envelope).map_err(classified)
    }

    fn statement(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        give_up();
        std::fs::read(self.root()?.join(statement_path(digest))).map_err(classified)
    }

    fn statements(&self) -> Result<Vec<StoredStatement>, BlobError> {
        give_up();
        listing::statements(self.root()?).map_err(BlobError::Failed)
    }

    fn free_bytes(&self) -> Result<u64, BlobError> {
        give_up();
        let disk = rustix::fs::statvfs(self.root()?).map_err(io::Error::from)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn recordings(&self, visit: &mut dyn FnMut(RecordingId) -> bool) -> Result<(), BlobError> {
        listing::recordings(self.root()?, visit).map_err(BlobError::Failed)
    }

    fn files(&self, recording: RecordingId) -> Result<Vec<StoredFile>, BlobError> {
        give_up();
        listing::files(self.root()?, recording).map_err(BlobError::Failed)
    }

    fn set_aside(&self, name: &str, today: &Day) -> Result<(), BlobError> {
        self.root()?;
        self.leftovers.set_aside(name, today).map_err(classified)
    }

    fn unlink_set_aside(&self, today: &Day) -> Result<u64, BlobError> {
        self.root()?;
        self.leftovers.unlink_old(today).map_err(classified)
    }

    fn remove_empty_folder(&self, recording: RecordingId, segment: Option<u32>) -> Result<(), BlobError> {
        remove_empty_folder(self.root()?, recording, segment).map_err(classified)
    }
}

pub(super) fn remove_empty_folder(
    root: &Path,
    recording: RecordingId,
    segment: Option<u32>,
) -> io::Result<()> {
    let folder = root.join(recording_folder(&recording));
    match segment {
        Some(segment) => gone_is_fine(std::fs::remove_dir(folder.join(segment_folder(segment)))),
        None => gone_is_fine(std::fs::remove_dir(folder.join(SEGMENTS)))
            .and_then(|()| gone_is_fine(std::fs::remove_dir(folder))),
    }
}

/// A folder that is not there, or is not empty, stays as it is.
pub(super) fn gone_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Err(error)
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

impl BodyReader for OpenBody {
    fn length(&self) -> Result<u64, BlobError> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>, BlobError> {
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, offset).map_err(BlobError::Failed)?;
        Ok(bytes)
    }
}
