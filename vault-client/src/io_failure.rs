//! What this machine says of a failure, in the engine's words for it.

use std::io::{self, Write};
use std::path::Path;

use vault_engine::error::{ClientError, IoFailure, IoFailureKind};
use vault_engine::opening::plaintext_sink::PlaintextSink;

/// What the engine calls an error of the operating system: its kind, and the system's own words without what libraries
/// add to them.
pub fn io_failure(error: &io::Error) -> IoFailure {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => IoFailureKind::Full,
        io::ErrorKind::FileTooLarge => IoFailureKind::TooLarge,
        io::ErrorKind::PermissionDenied => IoFailureKind::NotPermitted,
        io::ErrorKind::ReadOnlyFilesystem => IoFailureKind::ReadOnly,
        io::ErrorKind::InvalidData => IoFailureKind::Damaged,
        io::ErrorKind::NotFound => IoFailureKind::NotFound,
        io::ErrorKind::AlreadyExists => IoFailureKind::Exists,
        io::ErrorKind::IsADirectory => IoFailureKind::IsFolder,
        io::ErrorKind::BrokenPipe => IoFailureKind::ReaderGone,
        _ => IoFailureKind::Other,
    };
    let words = error.to_string();
    // As `tempfile` puts the name of its file behind them, which nobody typed.
    IoFailure::new(kind, words.split(" at path \"").next().unwrap_or_default())
}

/// The failure of the file or folder at `path`.
pub(crate) fn disk(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> ClientError {
    let place = path.as_ref().display().to_string();
    move |error| ClientError::Disk { place, why: io_failure(&error) }
}

/// The failure of a recording's source.
pub(crate) fn source_failed(error: io::Error) -> ClientError {
    ClientError::Source(io_failure(&error))
}

/// Whatever can be written to, as where plaintext goes.
pub struct WriteSink<'a>(pub &'a mut (dyn Write + Send));

impl PlaintextSink for WriteSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), IoFailure> {
        self.0.write_all(bytes).map_err(|error| io_failure(&error))
    }

    fn flush(&mut self) -> Result<(), IoFailure> {
        self.0.flush().map_err(|error| io_failure(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_temporary_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error =
            tempfile::Builder::new().prefix(".vault-").tempfile_in(folder.path().join("absent")).unwrap_err();
        assert!(error.to_string().contains(".vault-"), "{error}");
        let expected = IoFailure::new(IoFailureKind::NotFound, "No such file or directory (os error 2)");
        assert_eq!(io_failure(&error), expected);
    }
}
