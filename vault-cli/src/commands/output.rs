//! Where results are written: never half-written in place.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::Failure;

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
    /// Opens what was asked for: a file, or with `-` or nothing standard output.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            if io::stdout().is_terminal() {
                return Err(Failure::usage(
                    "a recording is not written to a terminal: name a file with -o, or say -o - to insist",
                ));
            }
            return Ok(Self::standard_output());
        };
        if path == Path::new("-") {
            return Ok(Self::standard_output());
        }
        let failed = |error: io::Error| Failure::disk(&path.display().to_string(), &error);
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                Err(Failure::usage(format!("the output {} is a folder: name a file in it", path.display())))
            }
            Ok(metadata) if !metadata.is_file() => {
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
        self.writer().write_all(bytes).map_err(|error| Failure::output(&self.name(), &error))
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
        finish().map_err(|error| Failure::output(&name, &error))
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

    /// Gives it its name, in place of what is there.
    fn appear_as(self, path: &Path) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Nameless(file) => {
                file.sync_all()?;
                match link(&file, path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    other => return other,
                }
                // A link never replaces a file, a rename does: for that moment the whole file has a name of its own.
                let named = tempfile::Builder::new()
                    .prefix(PREFIX)
                    .make_in(folder(path), |aside| link(&file, aside))?;
                named.persist(path).map_err(|error| error.error)
            }
            Self::Named(file) => {
                file.as_file().sync_all()?;
                file.persist(path).map_err(|error| error.error)?;
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
    fn a_file_appears_whole_in_place_of_another_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("talk.webm");
        for text in ["first", "second"] {
            let mut output = Output::open(Some(&path)).unwrap();
            let before = std::fs::read(&path).ok();
            output.writer().write_all(text.as_bytes()).unwrap();
            output.writer().flush().unwrap();
            assert_eq!(std::fs::read(&path).ok(), before, "it appears before it is whole");
            output.finish().unwrap();
            assert_eq!(contents(folder.path()), [("talk.webm".to_owned(), text.into())]);
        }
        let mut output = Output::open(Some(&path)).unwrap();
        output.writer().write_all(b"third").unwrap();
        drop(output);
        assert_eq!(contents(folder.path()), [("talk.webm".to_owned(), b"second".to_vec())]);
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
        assert_eq!(contents(folder.path()), [("talk.webm".to_owned(), b"whole".to_vec())]);
    }
}
