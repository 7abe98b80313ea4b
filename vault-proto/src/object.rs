//! The objects of a recording and of the statements beside it, and their names (FORMAT.md, "Objects"): the same in a
//! store and in an export.
//!
//! A name has one spelling. What [`Object::name`] writes is the only text that [`Object::parse`] reads as that object,
//! so who lists a folder takes no foreign file for an object and writes none twice.

use crate::ids::{Digest, RecordingId};

/// Folder of all recordings in a store or an export.
pub const RECORDINGS: &str = "rec";
/// Folder of all statements in a store or an export, beside that of the recordings.
pub const STATEMENTS: &str = "statements";
/// Folder of all segments, in the folder of a recording.
pub const SEGMENTS: &str = "seg";

/// One object of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// The manifest's envelope.
    Manifest,
    /// The recording's key for its readers, of one generation.
    Key {
        /// The generation, from 0.
        generation: u32,
    },
    /// A segment's header.
    Header {
        /// The segment.
        segment: u32,
    },
    /// A segment's body: the only object that grows.
    Body {
        /// The segment.
        segment: u32,
    },
    /// The part hashes of a segment, 32 bytes each.
    Parts {
        /// The segment.
        segment: u32,
    },
    /// A segment's seal.
    Seal {
        /// The segment.
        segment: u32,
    },
    /// The newest progress of a segment that is not sealed.
    Progress {
        /// The segment.
        segment: u32,
    },
    /// The details object.
    Details,
    /// The final seal's envelope.
    Final,
}

impl Object {
    /// The segment that it is an object of; `None` if it is one of the whole recording.
    pub const fn segment(self) -> Option<u32> {
        match self {
            Self::Manifest | Self::Key { .. } | Self::Details | Self::Final => None,
            Self::Header { segment }
            | Self::Body { segment }
            | Self::Parts { segment }
            | Self::Seal { segment }
            | Self::Progress { segment } => Some(segment),
        }
    }

    /// Its name in the folder of its recording: `manifest`, `key.0`, `seg/3/header`.
    pub fn name(self) -> String {
        let of = |segment, last: &str| format!("{}/{last}", segment_folder(segment));
        match self {
            Self::Manifest => "manifest".to_owned(),
            Self::Key { generation } => format!("key.{generation}"),
            Self::Header { segment } => of(segment, "header"),
            Self::Body { segment } => of(segment, "body"),
            Self::Parts { segment } => of(segment, "parts"),
            Self::Seal { segment } => of(segment, "seal"),
            Self::Progress { segment } => of(segment, "progress"),
            Self::Details => "details".to_owned(),
            Self::Final => "final".to_owned(),
        }
    }

    /// The object of a name in the folder of a recording; `None` if no object has this name.
    pub fn parse(name: &str) -> Option<Self> {
        let Some((segment, last)) = name.strip_prefix("seg/").and_then(|name| name.split_once('/')) else {
            return match name {
                "manifest" => Some(Self::Manifest),
                "details" => Some(Self::Details),
                "final" => Some(Self::Final),
                key => Some(Self::Key { generation: parse_number(key.strip_prefix("key.")?)? }),
            };
        };
        let segment = parse_number(segment)?;
        match last {
            "body" => Some(Self::Body { segment }),
            "parts" => Some(Self::Parts { segment }),
            "seal" => Some(Self::Seal { segment }),
            "progress" => Some(Self::Progress { segment }),
            "header" => Some(Self::Header { segment }),
            _ => None,
        }
    }

    /// Its name in a store or an export: `rec/<id>/…`.
    pub fn path(self, recording: &RecordingId) -> String {
        format!("{}/{}", recording_folder(recording), self.name())
    }

    /// The recording and the object of a name in a store or an export; `None` if no object has this name.
    pub fn parse_path(path: &str) -> Option<(RecordingId, Self)> {
        let (recording, name) = path.strip_prefix("rec/")?.split_once('/')?;
        Some((recording.parse().ok()?, Self::parse(name)?))
    }
}

/// Name of a statement in a store or an export, `statements/<digest>`: there it lies once, whoever names it.
pub fn statement_path(digest: &Digest) -> String {
    format!("{STATEMENTS}/{digest}")
}

/// The digest of the statement with a name in a store or an export; `None` if no statement has this name.
pub fn parse_statement_path(path: &str) -> Option<Digest> {
    path.strip_prefix(STATEMENTS)?.strip_prefix('/')?.parse().ok()
}

/// Name of a recording's folder in a store or an export, `rec/<id>`.
pub fn recording_folder(recording: &RecordingId) -> String {
    format!("{RECORDINGS}/{recording}")
}

/// Name of a segment's folder in the folder of its recording, `seg/<i>`.
pub fn segment_folder(segment: u32) -> String {
    format!("{SEGMENTS}/{segment}")
}

/// A number as names have it: decimal, without leading zeros or a sign.
pub fn parse_number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_object() -> impl Strategy<Value = Object> {
        let number = prop_oneof![0u32..12, any::<u32>()];
        (0..9, number.clone(), number).prop_map(|(kind, segment, generation)| match kind {
            0 => Object::Manifest,
            1 => Object::Details,
            2 => Object::Final,
            3 => Object::Header { segment },
            4 => Object::Key { generation },
            5 => Object::Body { segment },
            6 => Object::Parts { segment },
            7 => Object::Seal { segment },
            _ => Object::Progress { segment },
        })
    }

    #[test]
    fn names_are_those_of_the_format() {
        let recording = RecordingId::from_bytes([0xab; 16]);
        let folder = format!("rec/{}", "ab".repeat(16));
        for (object, name) in [
            (Object::Manifest, "manifest"),
            (Object::Key { generation: 12 }, "key.12"),
            (Object::Header { segment: 0 }, "seg/0/header"),
            (Object::Body { segment: 10 }, "seg/10/body"),
            (Object::Parts { segment: 1 }, "seg/1/parts"),
            (Object::Seal { segment: 2 }, "seg/2/seal"),
            (Object::Progress { segment: 3 }, "seg/3/progress"),
            (Object::Details, "details"),
            (Object::Final, "final"),
        ] {
            assert_eq!(object.name(), name);
            assert_eq!(object.path(&recording), format!("{folder}/{name}"));
            let folder = object.segment().map(segment_folder);
            assert_eq!(folder.as_deref(), name.rsplit_once('/').map(|(folder, _)| folder));
        }
    }

    #[test]
    fn other_spellings_are_no_names() {
        for name in [
            "",
            "/manifest",
            "manifest/",
            "Manifest",
            "manifest.0",
            "header.0",
            "body",
            "seg",
            "seg/",
            "seg/0",
            "seg/0/",
            "seg/0/manifest",
            "seg//body",
            "seg/00/body",
            "seg/01/body",
            "seg/+1/body",
            "seg/-1/body",
            "seg/4294967296/body",
            "seg/0/header.0",
            "key",
            "key.",
            "key.00",
            "key.+1",
            "key.0.1",
            "seg/0/key.0",
            "seg/0/header.",
            "seg/0/header.00",
            "seg/0/header.+1",
            "seg/0/header.0/",
            "seg/0/header.0.1",
            "seg/0/../1/body",
            "seg/0/.0123456789abcdef.new",
            "./manifest",
            "rec/manifest",
        ] {
            assert_eq!(Object::parse(name), None, "{name:?}");
        }
        let id = "AB".repeat(16);
        assert_eq!(Object::parse_path(&format!("rec/{id}/manifest")), None, "an id in capitals");
        assert_eq!(Object::parse_path("rec/abab/manifest"), None);
        assert_eq!(Object::parse_path("manifest"), None);
    }

    #[test]
    fn a_statement_has_one_name() {
        let name = format!("statements/{}", "ab".repeat(32));
        let digest = Digest::from_bytes([0xab; 32]);
        assert_eq!(statement_path(&digest), name);
        assert_eq!(parse_statement_path(&name), Some(digest));
        let id = "ab".repeat(32);
        for wrong in [
            id.clone(),
            format!("statements/{}", id.to_uppercase()),
            format!("statements/{}", &id[..62]),
            format!("statements//{id}"),
            format!("statements/{id}/"),
            format!("statements{id}"),
            format!("rec/statements/{id}"),
        ] {
            assert_eq!(parse_statement_path(&wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(object in any_object(), id in any::<[u8; 16]>()) {
            let recording = RecordingId::from_bytes(id);
            prop_assert_eq!(Object::parse(&object.name()), Some(object));
            prop_assert_eq!(Object::parse_path(&object.path(&recording)), Some((recording, object)));
        }

        #[test]
        fn what_is_read_has_one_spelling(
            name in "(seg/)?([0-9+]{0,3}/)?(manifest|details|final|body|parts|seal|progress|header|key\\.?[0-9+]{0,3}|[a-z./]{0,8})",
        ) {
            if let Some(object) = Object::parse(&name) {
                prop_assert_eq!(object.name(), name);
            }
        }
    }
}
