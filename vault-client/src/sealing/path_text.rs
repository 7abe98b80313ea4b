//! Paths in JSON, which is text, where a file's name need not be: `bytes:` and hexadecimal stand for a path that is
//! none. No absolute path begins so.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize as _, Deserializer, Serializer, de, ser};

const BYTES: &str = "bytes:";

/// Writes a path, for `#[serde(with)]`.
pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    match (path.to_str(), bytes_of(path)) {
        (Some(text), _) => serializer.serialize_str(text),
        (None, Some(bytes)) => {
            serializer.collect_str(&format_args!("{BYTES}{}", data_encoding::HEXLOWER.encode(bytes)))
        }
        (None, None) => Err(ser::Error::custom("this path is no text")),
    }
}

/// Reads a path, for `#[serde(with)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let text = String::deserialize(deserializer)?;
    let Some(hexadecimal) = text.strip_prefix(BYTES) else {
        return Ok(PathBuf::from(text));
    };
    let bytes = data_encoding::HEXLOWER.decode(hexadecimal.as_bytes()).ok();
    let path = bytes.and_then(path_of).map(PathBuf::from);
    path.ok_or_else(|| de::Error::custom("this is no path"))
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

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Named(#[serde(with = "super")] PathBuf);

    #[test]
    fn a_path_is_read_as_it_was_whatever_its_bytes() {
        for bytes in
            [&b"/tmp/talk.webm"[..], b"/tmp/\xff\xfe.webm", "/tmp/Zoë".as_bytes(), b"/bytes:00", b"/\x80"]
        {
            let path = Named(PathBuf::from(path_of(bytes.to_vec()).unwrap()));
            let json = serde_json::to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<Named>(&json).unwrap(), path, "{json}");
        }
        assert!(serde_json::from_str::<Named>(r#""bytes:0""#).is_err());
    }
}
