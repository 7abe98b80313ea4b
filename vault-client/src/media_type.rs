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
        "video/mp4"
    } else if at(0, b"OggS") {
        "audio/ogg"
    } else if at(0, b"RIFF") && at(8, b"WAVE") {
        "audio/wav"
    } else if at(0, b"fLaC") {
        "audio/flac"
    } else if at(0, b"ID3") {
        "audio/mpeg"
    } else {
        UNKNOWN
    }
}

/// Media types that players know, each with the ending of the name of its files.
const KNOWN: [(&str, &str); 12] = [
    ("video/webm", "webm"),
    ("audio/webm", "webm"),
    ("video/x-matroska", "mkv"),
    ("video/mp4", "mp4"),
    ("audio/mp4", "m4a"),
    ("audio/ogg", "ogg"),
    ("video/ogg", "ogg"),
    ("audio/wav", "wav"),
    ("audio/x-wav", "wav"),
    ("audio/flac", "flac"),
    ("audio/mpeg", "mp3"),
    (UNKNOWN, "bin"),
];

fn known(media_type: &str) -> (&'static str, &'static str) {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let found = KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(essence));
    found.copied().unwrap_or((UNKNOWN, "bin"))
}

/// Ending of the name of a file that holds a track of this media type. Only those of this list: a media type is its sealer's
/// word, and must not choose what a desktop does with the file.
pub fn file_extension(media_type: &str) -> &'static str {
    known(media_type).1
}

/// The media type to give to a browser or player for what its sealer calls `media_type`. Only those of the same list, without
/// parameters: nothing else can be shown, and nothing of it can run.
pub fn playable(media_type: &str) -> &'static str {
    known(media_type).0
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
    fn no_media_type_chooses_an_ending_that_runs() {
        assert_eq!(file_extension("Video/WebM; codecs=opus"), "webm");
        assert_eq!(playable("Video/WebM; codecs=opus"), "video/webm");
        for other in
            ["", "text/html", "application/x-sh", "video/webm/../x.sh", "x/webm.desktop", "video/\u{1b}webm"]
        {
            assert_eq!(file_extension(other), "bin", "{other:?}");
            assert_eq!(playable(other), UNKNOWN, "{other:?}");
        }
    }
}
