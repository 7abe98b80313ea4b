//! What kind of media a recording's first bytes announce.

/// Media type for data that announces nothing known.
pub const UNKNOWN: &str = "application/octet-stream";
/// Bytes that are enough to tell.
pub const PROBE: usize = 64;

/// Media type announced by the first bytes of a file, by the signatures of its container format.
pub fn sniff(start: &[u8]) -> &'static str {
    let at = |offset: usize, bytes: &[u8]| start.get(offset..).is_some_and(|rest| rest.starts_with(bytes));
    let has = |bytes: &[u8]| start.windows(bytes.len()).any(|window| window == bytes);
    if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) {
        if has(b"webm") { "video/webm" } else { "video/x-matroska" }
    } else if at(4, b"ftyp") {
        match start.get(8..12) {
            Some(b"M4A " | b"M4B ") => "audio/mp4",
            Some(b"qt  ") => "video/quicktime",
            _ => "video/mp4",
        }
    } else if at(0, b"OggS") {
        "audio/ogg"
    } else if at(0, b"RIFF") && at(8, b"WAVE") {
        "audio/wav"
    } else if at(0, b"fLaC") {
        "audio/flac"
    } else if at(0, b"ID3") {
        "audio/mpeg"
    } else if at(0, b"%PDF-") {
        "application/pdf"
    } else if at(0, b"\x89PNG\r\n\x1a\n") {
        "image/png"
    } else if at(0, &[0xff, 0xd8, 0xff]) {
        "image/jpeg"
    } else {
        frames(start).unwrap_or(UNKNOWN)
    }
}

/// Sound without a container begins with the head of a frame: twelve set bits, or eleven for MPEG 2.5; then what it is.
fn frames(start: &[u8]) -> Option<&'static str> {
    let &[0xff, second, third, ..] = start else {
        return None;
    };
    let rates_exist = third >> 4 != 0xf && (third >> 2) & 3 != 3;
    match second {
        0xf0 | 0xf1 | 0xf8 | 0xf9 => Some("audio/aac"),
        // Layer III of a version that exists.
        0xe2 | 0xe3 | 0xf2 | 0xf3 | 0xfa | 0xfb if rates_exist => Some("audio/mpeg"),
        _ => None,
    }
}

/// How a browser plays a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Player {
    /// With a picture.
    Video,
    /// Sound only.
    Audio,
    /// Not at all: it is a document or an image, shown by itself.
    Document,
}

/// A media type that this program repeats to others. A media type is its sealer's word; only those of this list choose
/// what a browser, a desktop or a health record system does with a file. What can carry a program that runs when it is
/// opened, such as HTML, SVG, or office documents with macros, is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownMedia {
    /// What plays it.
    pub player: Player,
    /// The media type, without parameters.
    pub media_type: &'static str,
    /// Ending of the names of its files.
    pub extension: &'static str,
    /// Whether browsers that can play it also say so. Where they do not, naming the type would keep them from trying.
    pub announced: bool,
}

/// What is no medium and people keep beside recordings: letters, findings, pictures, tables.
const DOCUMENTS: [(&str, &str); 25] = [
    ("application/pdf", "pdf"),
    ("text/plain", "txt"),
    ("text/csv", "csv"),
    ("text/markdown", "md"),
    ("text/vtt", "vtt"),
    ("application/json", "json"),
    ("application/fhir+json", "json"),
    ("application/rtf", "rtf"),
    ("text/rtf", "rtf"),
    ("application/zip", "zip"),
    ("application/dicom", "dcm"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
    ("application/vnd.oasis.opendocument.text", "odt"),
    ("application/vnd.oasis.opendocument.spreadsheet", "ods"),
    ("application/vnd.oasis.opendocument.presentation", "odp"),
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("image/avif", "avif"),
    ("image/heic", "heic"),
    ("image/tiff", "tif"),
    ("image/bmp", "bmp"),
];

impl KnownMedia {
    /// The entry for a media type, whatever its parameters; `None` for any that is not listed.
    pub fn of(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let known =
            |player, media_type, extension| Some(Self { player, media_type, extension, announced: true });
        let unannounced = |known| Self { announced: false, ..known };
        match essence.as_str() {
            "video/webm" => known(Player::Video, "video/webm", "webm"),
            "video/mp4" | "video/x-m4v" => known(Player::Video, "video/mp4", "mp4"),
            "video/ogg" => known(Player::Video, "video/ogg", "ogg"),
            "video/quicktime" => known(Player::Video, "video/quicktime", "mov").map(unannounced),
            "video/x-matroska" | "video/matroska" => {
                known(Player::Video, "video/x-matroska", "mkv").map(unannounced)
            }
            "video/3gpp" => known(Player::Video, "video/3gpp", "3gp").map(unannounced),
            "video/mpeg" => known(Player::Video, "video/mpeg", "mpg").map(unannounced),
            "video/mp2t" => known(Player::Video, "video/mp2t", "ts").map(unannounced),
            "video/x-msvideo" | "video/avi" => {
                known(Player::Video, "video/x-msvideo", "avi").map(unannounced)
            }
            "audio/webm" => known(Player::Audio, "audio/webm", "webm"),
            "audio/mp4" | "audio/x-m4a" => known(Player::Audio, "audio/mp4", "m4a"),
            "audio/ogg" => known(Player::Audio, "audio/ogg", "ogg"),
            "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => {
                known(Player::Audio, "audio/wav", "wav")
            }
            "audio/aac" => known(Player::Audio, "audio/aac", "aac"),
            "audio/flac" | "audio/x-flac" => known(Player::Audio, "audio/flac", "flac"),
            "audio/mpeg" => known(Player::Audio, "audio/mpeg", "mp3"),
            "audio/amr" => known(Player::Audio, "audio/amr", "amr").map(unannounced),
            "audio/3gpp" => known(Player::Audio, "audio/3gpp", "3gp").map(unannounced),
            other => {
                let document = DOCUMENTS.iter().find(|(media_type, _)| *media_type == other);
                document.and_then(|(media_type, extension)| known(Player::Document, media_type, extension))
            }
        }
    }
}

/// Ending of the name of a file that holds a track of this media type; `bin` for what is not a [`KnownMedia`].
pub fn file_extension(media_type: &str) -> &'static str {
    KnownMedia::of(media_type).map_or("bin", |known| known.extension)
}

/// The media type to name to a browser or player for what its sealer calls `media_type`; [`UNKNOWN`] for what is not a
/// [`KnownMedia`].
pub fn playable(media_type: &str) -> &'static str {
    KnownMedia::of(media_type).map_or(UNKNOWN, |known| known.media_type)
}

/// Whether a text has the form of a media type: `type/subtype`, each of at most 64 plain characters.
pub fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        (1..=64).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let essence = text.split(';').next().unwrap_or_default();
    text.len() <= 256
        && !text.chars().any(char::is_control)
        && essence.trim_end().split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        for (start, media_type) in [
            (&b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm"[..], "video/webm"),
            (b"\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska", "video/x-matroska"),
            (b"\0\0\0\x1cftypisom\0\0\x02\0", "video/mp4"),
            (b"\0\0\0\x1cftyp", "video/mp4"),
            (b"\0\0\0\x1cftypM4A \0\0\x02\0", "audio/mp4"),
            (b"\0\0\0\x14ftypqt  \0\0\x02\0", "video/quicktime"),
            (b"OggS\0\x02", "audio/ogg"),
            (b"RIFF\xff\xff\xff\xffWAVEfmt ", "audio/wav"),
            (b"RIFF\xff\xff\xff\xffAVI LIST", UNKNOWN),
            (b"fLaC\0", "audio/flac"),
            (b"ID3\x04", "audio/mpeg"),
            (b"\xff\xfb\x90\x64\0", "audio/mpeg"),
            (b"\xff\xf3\x84\xc4", "audio/mpeg"),
            (b"\xff\xf1\x50\x40", "audio/aac"),
            (b"%PDF-1.7\n", "application/pdf"),
            (b"\x89PNG\r\n\x1a\n\0\0", "image/png"),
            (b"\xff\xd8\xff\xe0", "image/jpeg"),
            // Texts in UTF-16, a rate that does not exist, and too little to tell.
            (b"\xff\xfe<\0h\0", UNKNOWN),
            (b"\xff\xfb\xff\xff", UNKNOWN),
            (b"\xff\xfb", UNKNOWN),
            (b"", UNKNOWN),
        ] {
            assert_eq!(sniff(start), media_type, "{start:?}");
        }
    }

    #[test]
    fn what_people_keep_has_its_ending() {
        for (media_type, extension) in [
            ("application/pdf", "pdf"),
            ("Application/PDF; version=1.7", "pdf"),
            ("image/jpeg", "jpg"),
            ("text/plain; charset=utf-8", "txt"),
            ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
            ("application/dicom", "dcm"),
            ("audio/x-m4a", "m4a"),
            ("video/3gpp", "3gp"),
        ] {
            assert_eq!(file_extension(media_type), extension, "{media_type}");
            assert_ne!(playable(media_type), UNKNOWN, "{media_type}");
        }
        assert_eq!(KnownMedia::of("application/pdf").unwrap().player, Player::Document);
    }

    #[test]
    fn no_media_type_chooses_an_ending_that_runs() {
        assert_eq!(file_extension("Video/WebM; codecs=opus"), "webm");
        assert_eq!(playable("Video/WebM; codecs=opus"), "video/webm");
        for other in [
            "",
            "text/html",
            "application/x-sh",
            "video/webm/../x.sh",
            "x/webm.desktop",
            "image/svg+xml",
            "application/xhtml+xml",
            "application/vnd.ms-word.document.macroenabled.12",
            "application/msword",
            "application/javascript",
            "video/webm\" onerror=\"x",
            "video/\u{1b}webm",
        ] {
            assert_eq!(file_extension(other), "bin", "{other:?}");
            assert_eq!(playable(other), UNKNOWN, "{other:?}");
        }
    }
}
