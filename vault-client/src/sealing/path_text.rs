//! Paths as text, which a file's name need not be: `bytes:` and hexadecimal stand for a path that is none. No absolute
//! path begins so.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

const BYTES: &str = "bytes:";

/// A path as text; `None` where a path that is no text cannot be told by its bytes.
pub(super) fn text_of_path(path: &Path) -> Option<String> {
    if let Some(text) = path.to_str() {
        return Some(text.to_owned());
    }
    Some(format!("{BYTES}{}", data_encoding::HEXLOWER.encode(bytes_of(path)?)))
}

/// The path that a text stands for.
pub(super) fn path_of_text(text: &str) -> Option<PathBuf> {
    match text.strip_prefix(BYTES) {
        None => Some(PathBuf::from(text)),
        Some(hexadecimal) => {
            data_encoding::HEXLOWER.decode(hexadecimal.as_bytes()).ok().and_then(path_of).map(PathBuf::from)
        }
    }
}

#[cfg(unix)]
fn bytes_of(path: &Path) -> Option<&[u8]> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(path.as_os_str().as_bytes())
}

#[cfg(not(unix))]
fn bytes_of(_: &Path) -> Option<&[u8]> {
    None
}

#[cfg(unix)]
fn path_of(bytes: Vec<u8>) -> Option<OsString> {
    use std::os::unix::ffi::OsStringExt as _;
    Some(OsString::from_vec(bytes))
}

#[cfg(not(unix))]
fn path_of(_: Vec<u8>) -> Option<OsString> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_it_was_whatever_its_bytes() {
        for bytes in
            [&b"/tmp/talk.webm"[..], b"/tmp/\xff\xfe.webm", "/tmp/Zoë".as_bytes(), b"/bytes:00", b"/\x80"]
        {
            let path = PathBuf::from(path_of(bytes.to_vec()).unwrap());
            let text = text_of_path(&path).unwrap();
            assert_eq!(path_of_text(&text).unwrap(), path, "{text}");
        }
        assert_eq!(path_of_text("bytes:0"), None);
    }
}
