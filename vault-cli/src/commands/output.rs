//! Where results are written: never half-written in place.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::Failure;

/// Somewhere to write a result to.
pub(crate) enum Output {
    /// A file that appears under its name only when it is complete.
    File {
        /// Written aside, in the same folder; removed when dropped.
        aside: BufWriter<NamedTempFile>,
        /// Its name in the end.
        path: PathBuf,
    },
    /// A pipe or device, which takes bytes as they come.
    Stream {
        /// What it is called.
        name: String,
        /// Where bytes go.
        writer: Box<dyn Write + Send>,
    },
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
                Err(Failure::usage(format!("{} is a folder: name a file in it", path.display())))
            }
            Ok(metadata) if !metadata.is_file() => {
                let device = OpenOptions::new().write(true).open(path).map_err(failed)?;
                Ok(Self::Stream { name: path.display().to_string(), writer: Box::new(device) })
            }
            _ => {
                let aside =
                    tempfile::Builder::new().prefix(".vault-").tempfile_in(folder(path)).map_err(failed)?;
                Ok(Self::File { aside: BufWriter::new(aside), path: path.to_owned() })
            }
        }
    }

    fn standard_output() -> Self {
        Self::Stream { name: "standard output".to_owned(), writer: Box::new(BufWriter::new(io::stdout())) }
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Stream { name, .. } => name.clone(),
        }
    }

    /// Where bytes go.
    pub(crate) fn writer(&mut self) -> &mut (dyn Write + Send) {
        match self {
            Self::File { aside, .. } => aside,
            Self::Stream { writer, .. } => writer,
        }
    }

    /// Everything was written: gives a file its name, durably.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let name = self.name();
        let finish = || match self {
            Self::Stream { mut writer, .. } => writer.flush(),
            Self::File { aside, path } => {
                let aside = aside.into_inner().map_err(io::IntoInnerError::into_error)?;
                aside.as_file().sync_all()?;
                aside.persist(&path).map_err(|error| error.error)?;
                if cfg!(unix) { File::open(folder(&path))?.sync_all() } else { Ok(()) }
            }
        };
        finish().map_err(|error| Failure::disk(&name, &error))
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
