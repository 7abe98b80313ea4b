//! The media types that an export repeats to other programs. A media type is its sealer's word; only those of this list choose what
//! a browser or a health record system does with a file.

/// How a browser plays a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Player {
    /// With a picture.
    Video,
    /// Sound only.
    Audio,
}

/// A media type of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownMedia {
    /// What plays it.
    pub(crate) player: Player,
    /// The media type, without parameters.
    pub(crate) media_type: &'static str,
    /// Whether browsers that can play it also say so. Where they do not, naming the type would keep them from trying.
    pub(crate) announced: bool,
}

impl KnownMedia {
    /// The entry for a media type, whatever its parameters; `None` for any that is not listed.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let known = |player, media_type| Some(Self { player, media_type, announced: true });
        match essence.as_str() {
            "video/webm" => known(Player::Video, "video/webm"),
            "video/mp4" => known(Player::Video, "video/mp4"),
            "video/ogg" => known(Player::Video, "video/ogg"),
            "video/x-matroska" => {
                Some(Self { player: Player::Video, media_type: "video/x-matroska", announced: false })
            }
            "audio/webm" => known(Player::Audio, "audio/webm"),
            "audio/mp4" => known(Player::Audio, "audio/mp4"),
            "audio/ogg" => known(Player::Audio, "audio/ogg"),
            "audio/wav" | "audio/x-wav" => known(Player::Audio, "audio/wav"),
            "audio/flac" => known(Player::Audio, "audio/flac"),
            "audio/mpeg" => known(Player::Audio, "audio/mpeg"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::file_extension;

    #[test]
    fn what_has_a_player_also_has_an_ending_and_nothing_else_has_one() {
        for text in
            ["video/webm", "Video/MP4; codecs=\"avc1\"", "audio/x-wav", "audio/mpeg", "video/x-matroska"]
        {
            assert!(KnownMedia::of(text).is_some(), "{text}");
            assert_ne!(file_extension(text), "bin", "{text}");
        }
        for text in
            ["", "text/html", "image/svg+xml", "video/webm\" onerror=\"x", "video/webm/../x", "video/"]
        {
            assert_eq!(KnownMedia::of(text), None, "{text}");
        }
    }
}
