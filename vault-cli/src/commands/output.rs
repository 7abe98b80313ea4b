//! Where results are written: never half-written in place.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::{self, Failure};

/// What a file that is not whole yet is called, where it needs a name.
const PREFIX: &str = ".vault-";
/// Where the kernel names this process's open files.
#[cfg(target_os = "linux")]
const OPEN_FILES: &str = "/proc/self/fd";

/// Somewhere to write a result to.
pub(crate) enum Output {
    /// A file that appears under its name only when it is complete.
    File {
        /// Written aside, in the same folder; gone when dropped.
        aside: BufWriter<Aside>,
        /// Its name in the end.
        path: PathBuf,
    },
    /// A pipe or device, which takes bytes as they come.
    Stream {
        /// Its path; none for standard output.
        path: Option<PathBuf>,
        /// Where bytes go.
        writer: Box<dyn Write + Send>,
    },
}

/// A file that is not whole yet.
pub(crate) enum Aside {
    /// Without a name: the kernel takes it back even from a process that is killed.
    #[cfg(target_os = "linux")]
    Nameless(File),
    /// Where the file system has no nameless files.
    Named(NamedTempFile),
}

impl Output {
    /// Refuses what [`Self::open`] would. Opens and makes nothing.
    pub(crate) fn check(path: Option<&Path>) -> Result<(), Failure> {
        let Some(path) = path else {
            if io::stdout().is_terminal() {
                return Err(Failure::declined(
                    "a recording is not written to a terminal",
                    "Name a file with -o FILE, or say -o - to insist.",
                ));
            }
            return Ok(());
        };
        if path == Path::new("-") {
            return Ok(());
        }
        match path.metadata() {
            Ok(found) if found.is_dir() => Err(Failure::declined(
                &format!("the output {} is a folder", path.display()),
                "Name a file in it.",
            )),
            Ok(found) if !found.is_file() => Ok(()),
            // A link that leads nowhere is a name as well.
            _ if path.symlink_metadata().is_ok() => Err(Failure::exists(&path.display().to_string())),
            _ => {
                // The folder is asked for in whole, so that whoever is refused reads the name that they typed.
                let folder = folder(path);
                let found = folder.metadata();
                found.map(drop).map_err(|error| failure::disk(&path.display().to_string(), &error))
            }
        }
    }

    /// Opens what was asked for: a new file, a pipe or a device, or with `-` or nothing standard output. Nothing is
    /// written over: what stands there may be all that somebody has of it.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        Self::check(path)?;
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::standard_output());
        };
        let failed = |error: io::Error| failure::disk(&path.display().to_string(), &error);
        match path.metadata() {
            Ok(found) if !found.is_file() => {
                let device = OpenOptions::new().write(true).open(path).map_err(failed)?;
                Ok(Self::Stream { path: Some(path.to_owned()), writer: Box::new(device) })
            }
            _ => {
                let aside = Aside::create(folder(path)).map_err(failed)?;
                Ok(Self::File { aside: BufWriter::new(aside), path: path.to_owned() })
            }
        }
    }

    fn standard_output() -> Self {
        Self::Stream { path: None, writer: Box::new(BufWriter::new(io::stdout())) }
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        self.path().map_or_else(|| "Standard output".to_owned(), |path| path.display().to_string())
    }

    /// Path of a file, a named pipe or a device; `None` for standard output.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } | Self::Stream { path: Some(path), .. } => Some(path),
            Self::Stream { path: None, .. } => None,
        }
    }

    /// Where bytes go.
    pub(crate) fn writer(&mut self) -> &mut (dyn Write + Send) {
        match self {
            Self::File { aside, .. } => aside,
            Self::Stream { writer, .. } => writer,
        }
    }

    /// Writes some more.
    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer().write_all(bytes).map_err(|error| failure::output(&self.name(), &error))
    }

    /// Everything was written: gives a file its name, durably.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let name = self.name();
        let finish = || match self {
            Self::Stream { mut writer, .. } => writer.flush(),
            Self::File { aside, path } => {
                let aside = aside.into_inner().map_err(io::IntoInnerError::into_error)?;
                aside.appear_as(&path)?;
                if cfg!(unix) { File::open(folder(&path))?.sync_all() } else { Ok(()) }
            }
        };
        finish().map_err(|error| failure::output(&name, &error))
    }
}

impl Aside {
    fn create(folder: &Path) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{CWD, Mode, OFlags, openat};
            let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
            // A name is given to it through /proc. Whatever else stands against it, a file with a name says it better.
            if Path::new(OPEN_FILES).is_dir()
                && let Ok(file) = openat(CWD, folder, flags, Mode::RUSR | Mode::WUSR)
            {
                return Ok(Self::Nameless(File::from(file)));
            }
        }
        tempfile::Builder::new().prefix(PREFIX).tempfile_in(folder).map(Self::Named)
    }

    /// Gives it its name, which nothing has by then: neither way of doing so ever replaces a file.
    fn appear_as(self, path: &Path) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Nameless(file) => {
                file.sync_all()?;
                link(&file, path)
            }
            Self::Named(file) => {
                file.as_file().sync_all()?;
                file.persist_noclobber(path).map_err(|error| error.error)?;
                Ok(())
            }
        }
    }
}

/// Gives a nameless file a name.
#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{AtFlags, CWD, linkat};
    let open = format!("{OPEN_FILES}/{}", file.as_raw_fd());
    Ok(linkat(CWD, open, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Nameless(file) => file.write(bytes),
            Self::Named(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Nameless(file) => file.flush(),
            Self::Named(file) => file.flush(),
        }
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
    }

    #[test]
    fn a_file_appears_whole_and_in_place_of_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("talk.webm");
        let mut output = Output::open(Some(&path)).unwrap();
        output.writer().write_all(b"first").unwrap();
        output.writer().flush().unwrap();
        assert!(!path.exists(), "it appears before it is whole");
        output.finish().unwrap();
        let only = [("talk.webm".to_owned(), b"first".to_vec())];
        assert_eq!(contents(folder.path()), only);
        assert_eq!(Output::open(Some(&path)).err(), Some(Failure::exists(&path.display().to_string())));
        // What comes there meanwhile is not written over either.
        let late = folder.path().join("late.webm");
        let mut output = Output::open(Some(&late)).unwrap();
        output.writer().write_all(b"second").unwrap();
        std::fs::write(&late, b"somebody's").unwrap();
        assert_eq!(output.finish().err(), Some(Failure::exists(&late.display().to_string())));
        assert_eq!(std::fs::read(&late).unwrap(), b"somebody's");
        std::fs::remove_file(&late).unwrap();
        let mut output = Output::open(Some(&late)).unwrap();
        output.writer().write_all(b"third").unwrap();
        drop(output);
        // Nor is a link that leads nowhere.
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(folder.path().join("nowhere"), &late).unwrap();
            assert!(Output::open(Some(&late)).is_err());
            std::fs::remove_file(&late).unwrap();
        }
        assert_eq!(contents(folder.path()), only);
    }

    #[test]
    fn a_named_file_does_the_same_where_there_are_no_nameless_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("talk.webm");
        let named =
            || Aside::Named(tempfile::Builder::new().prefix(PREFIX).tempfile_in(folder.path()).unwrap());
        let mut aside = named();
        aside.write_all(b"whole").unwrap();
        aside.appear_as(&path).unwrap();
        drop(named());
        assert_eq!(named().appear_as(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(contents(folder.path()), [("talk.webm".to_owned(), b"whole".to_vec())]);
    }
}
