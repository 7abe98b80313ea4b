//! Files and folders that survive a crash of the machine: nothing here returns before bytes and names are on the disk.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use data_encoding::HEXLOWER;

/// How files are made and opened for writing: what is made is its owner's alone from its first moment on, whatever the
/// umask is.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Stops the process if bytes may not have reached the disk. After a failed `fsync` the kernel has dropped the dirty
/// pages, and the next `fsync` would succeed without them.
pub(crate) fn stop_unless_durable(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(
            %error,
            "the disk did not confirm a write; whatever was acknowledged before is kept; check the disk, then start the \
             server again"
        );
        std::process::abort();
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = File::open(folder)?;
    stop_unless_durable(folder.sync_all());
    Ok(())
}

/// Makes the name of a folder durable that may have been made by a process which died before it could do so.
pub(crate) fn sync_name(folder: &Path) -> io::Result<()> {
    // The parent of a bare name is the working folder.
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    match sync_folder(parent.unwrap_or(Path::new("."))) {
        // Then it was made by somebody else, before this program ran.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

/// Creates `folder`, whose parent exists, for its owner alone, and makes it durable. Also if it is there already:
/// whoever created it may have crashed before its name was on the disk, or may not have got so far yet.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => sync_name(folder),
    }
}

/// Creates `folder` and what is missing above it, each durable before the next.
pub(crate) fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => create_folders(parent)?,
        _ => {}
    }
    create_folder(folder)
}

/// Writes a whole file aside, then gives it its name: a reader sees the old bytes or all of the new ones.
pub(crate) fn write_whole_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("the file has no folder"))?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let aside = folder.join(format!(".{}.new", HEXLOWER.encode(&random)));
    let write = || {
        let mut file = private_file().create_new(true).open(&aside)?;
        file.write_all(bytes)?;
        name_whole_file(&file, &aside, path)
    };
    write().inspect_err(|_| {
        // The first error is the one to report; a file left aside has a name that nothing reads.
        let _ = std::fs::remove_file(&aside);
    })
}

/// Makes a file that was written aside durable, and gives it its name in the same folder.
pub(crate) fn name_whole_file(file: &File, aside: &Path, path: &Path) -> io::Result<()> {
    stop_unless_durable(file.sync_all());
    std::fs::rename(aside, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Gives a file another name, in whichever folder of the disk, unless that name is taken. Both folders are durable
/// afterwards. The caller makes sure that nobody else gives out names in the folder of `to`.
pub(crate) fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(to).is_ok() {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists));
    }
    std::fs::rename(from, to)?;
    to.parent().map_or(Ok(()), sync_folder)?;
    from.parent().map_or(Ok(()), sync_folder)
}
