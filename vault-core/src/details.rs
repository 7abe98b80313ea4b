//! The sealed details of a recording: what only its readers may know about it (FORMAT.md, "Details").

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use vault_proto::ids::Digest;
use vault_proto::timestamp::Timestamp;

use crate::padded_size::padded_size;
use crate::webm::SeekIndex;

/// Most characters of a title that is sealed; what a person types is longer only by accident.
pub const MAX_TITLE: usize = 10_000;
/// Fewest bytes of a text that is sealed: most details without a seek index are as long as each other then.
const MIN_TEXT: u64 = 4096;
/// Numbers are below this.
const MAX_NUMBER: u64 = 1 << 53;

/// Why details are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DetailsError {
    /// The text is not of the form of FORMAT.md, section 11.
    #[error("they are not of a known form")]
    Form,
    /// The tracks are not those of the segments, each once and ascending.
    #[error("their tracks are not those of the segments")]
    Tracks,
    /// A track that is longer than what its segments hold.
    #[error("track {track} has {bytes} bytes, and its segments hold {held}")]
    Short {
        /// The track.
        track: u8,
        /// Bytes that it has as its sealer says.
        bytes: u64,
        /// Plaintext bytes of its segments.
        held: u64,
    },
    /// A track without a byte, and the hash of something else.
    #[error("track {0} is empty, and its SHA-256 is not that of nothing")]
    EmptyHash(u8),
}

/// One track of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Number by which its segments name it.
    pub track: u8,
    /// Media type, such as `video/webm`.
    pub media_type: String,
    /// Plaintext bytes: the first so many of its segments. What follows on them there is padding.
    pub bytes: u64,
    /// Playing time in milliseconds, where the sealing device knew it.
    #[serde(deserialize_with = "present")]
    pub duration_ms: Option<u64>,
    /// SHA-256 of the plaintext, without padding; `None` where whoever sealed the end has not seen all of it.
    #[serde(deserialize_with = "present")]
    pub sha256: Option<Digest>,
    /// What makes it seekable, where the sealing device found it out. One that is not of a known form counts as none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "if_known")]
    pub seek: Option<SeekIndex>,
}

/// A nullable field that must be there: without this a missing one would be taken for `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

fn if_known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SeekIndex>, D::Error> {
    // As text and not as a tree, which could take forty times the memory.
    let text = Box::<RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(text.get()).ok())
}

/// Tracks that are objects: an array of the same values in their order is none.
fn objects<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Track>, D::Error> {
    let texts = Vec::<Box<RawValue>>::deserialize(deserializer)?;
    texts.iter().map(|text| object(text.get()).ok_or_else(|| D::Error::custom("no track"))).collect()
}

/// What a text of JSON says, if it is an object.
fn object<'de, T: Deserialize<'de>>(text: &'de str) -> Option<T> {
    if text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        serde_json::from_str(text).ok()
    } else {
        None
    }
}

/// The details. A reader ignores fields it does not know: they are authenticated, and newer sealers add some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// Title, as its sealer typed it: any characters, so it is made harmless before it is shown or names a file.
    #[serde(deserialize_with = "present")]
    pub title: Option<String>,
    /// When the consultation began, by the sealing device's clock.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Its tracks.
    #[serde(deserialize_with = "objects")]
    pub tracks: Vec<Track>,
}

impl Details {
    /// Reads the text of details: JSON, and spaces behind it or none.
    ///
    /// # Errors
    /// [`DetailsError::Form`].
    pub fn parse(text: &[u8]) -> Result<Self, DetailsError> {
        let text = str::from_utf8(text).map_err(|_| DetailsError::Form)?;
        let text = text.trim_end_matches(' ');
        // A parser takes other white space behind it, too.
        if !text.ends_with('}') {
            return Err(DetailsError::Form);
        }
        let details: Self = object(text).ok_or(DetailsError::Form)?;
        let mut durations = details.tracks.iter().filter_map(|track| track.duration_ms);
        if durations.any(|duration| duration >= MAX_NUMBER) {
            return Err(DetailsError::Form);
        }
        Ok(details)
    }

    /// The text to seal, with spaces up to a padded size.
    ///
    /// # Errors
    /// [`serde_json::Error`].
    pub fn to_text(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec(self)?;
        let padded = padded_size((text.len() as u64).max(MIN_TEXT));
        text.resize(usize::try_from(padded).unwrap_or(text.len()), b' ');
        Ok(text)
    }

    /// Checks its tracks against those of the segments, each with the plaintext bytes that they hold of it: all of them
    /// and no others, each once, ascending, and none longer than that.
    ///
    /// # Errors
    /// [`DetailsError`].
    pub fn check_tracks(&self, held: &BTreeMap<u8, u64>) -> Result<(), DetailsError> {
        if !self.tracks.iter().map(|track| track.track).eq(held.keys().copied()) {
            return Err(DetailsError::Tracks);
        }
        for (known, (&track, &held)) in self.tracks.iter().zip(held) {
            let bytes = known.bytes;
            if bytes > held {
                return Err(DetailsError::Short { track, bytes, held });
            }
            if bytes == 0 && known.sha256.is_some_and(|sha256| sha256 != Digest::of(b"")) {
                return Err(DetailsError::EmptyHash(track));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"title":null,"started":"2026-11-21T09:30:00Z","ended":"2026-11-21T09:45:00Z","tracks":[{"track":0,"media_type":"video/webm","bytes":7,"duration_ms":null,"sha256":null}]}"#;

    fn parse(text: &str) -> Result<Details, DetailsError> {
        Details::parse(text.as_bytes())
    }

    #[test]
    fn unknown_fields_are_passed_over_and_others_are_not() {
        let known = parse(TEXT).unwrap();
        assert_eq!(serde_json::to_string(&known).unwrap(), TEXT);
        let newer = TEXT.replace(r#""bytes""#, r#""cues":[[1]],"bytes""#).replacen('{', r#"{"index":{},"#, 1);
        assert_eq!(parse(&newer).unwrap(), known);
        for strange in ["7", "null", "[]", r#"{"cues":[[1,-1]]}"#] {
            let strange = TEXT.replace(r#""duration_ms""#, &format!(r#""seek":{strange},"duration_ms""#));
            assert_eq!(parse(&strange).unwrap(), known);
        }
        for wrong in [
            TEXT.replace("\"started\"", "\"begun\""),
            TEXT.replacen('{', r#"{"title":"x","#, 1),
            TEXT.replace(r#""track":0"#, r#""track":0,"track":0"#),
            TEXT.replace(r#""track":0"#, r#""track":256"#),
            TEXT.replace(r#""bytes":7"#, r#""bytes":-7"#),
            TEXT.replace(r#""bytes":7"#, r#""bytes":7.0"#),
            TEXT.replace(r#""duration_ms":null"#, r#""duration_ms":9007199254740992"#),
            TEXT.replace("09:45:00Z", "09:45:00.5Z"),
            TEXT.replace(r#""title":null,"#, ""),
            TEXT.replace(r#""duration_ms":null,"#, ""),
            TEXT.replace(r#","sha256":null"#, ""),
            TEXT.replace(r#""sha256":null"#, r#""sha256":"00""#),
            r#"[null,"2026-11-21T09:30:00Z","2026-11-21T09:45:00Z",[]]"#.to_owned(),
            format!("{}[[0,\"video/webm\",7,null,null]]}}", &TEXT[..TEXT.find('[').unwrap()]),
            format!("{TEXT}x"),
            format!("{TEXT}\n"),
            format!("{TEXT} \n "),
            format!("\u{feff}{TEXT}"),
            "[".repeat(100_000),
        ] {
            assert_eq!(parse(&wrong), Err(DetailsError::Form), "{}", &wrong[..40]);
        }
        let no_text = [TEXT.replacen('{', r#"{"index":""#, 1).as_bytes(), b"\xff"].concat();
        assert_eq!(Details::parse(&no_text), Err(DetailsError::Form));
    }

    #[test]
    fn a_text_ends_in_spaces_up_to_a_padded_size() {
        let mut details = parse(TEXT).unwrap();
        assert_eq!(parse(&format!("{TEXT}{}", " ".repeat(10))).unwrap(), details);
        for (title, length) in [(0, 4096), (3_000, 4096), (4_000, 4352), (10_000, 10_240)] {
            details.title = Some("t".repeat(title));
            let text = details.to_text().unwrap();
            assert_eq!(text.len(), length);
            assert_eq!(Details::parse(&text).unwrap(), details);
        }
    }

    #[test]
    fn tracks_are_those_of_the_segments() {
        let mut details = parse(TEXT).unwrap();
        let held = |tracks: &[(u8, u64)]| tracks.iter().copied().collect::<BTreeMap<u8, u64>>();
        for enough in [7, 8, 1 << 40] {
            assert_eq!(details.check_tracks(&held(&[(0, enough)])), Ok(()));
        }
        let short = DetailsError::Short { track: 0, bytes: 7, held: 6 };
        assert_eq!(details.check_tracks(&held(&[(0, 6)])), Err(short));
        for other in [&[][..], &[(1, 7)], &[(0, 7), (1, 7)]] {
            assert_eq!(details.check_tracks(&held(other)), Err(DetailsError::Tracks), "{other:?}");
        }
        let track = details.tracks[0].clone();
        for (first, second) in [(0, 0), (1, 0)] {
            details.tracks =
                vec![Track { track: first, ..track.clone() }, Track { track: second, ..track.clone() }];
            for there in [&[(0, 7)][..], &[(0, 7), (1, 7)]] {
                assert_eq!(details.check_tracks(&held(there)), Err(DetailsError::Tracks));
            }
        }
        for (sha256, checked) in [
            (None, Ok(())),
            (Some(Digest::of(b"")), Ok(())),
            (Some(Digest::of(b"x")), Err(DetailsError::EmptyHash(0))),
        ] {
            details.tracks = vec![Track { bytes: 0, sha256, ..track.clone() }];
            assert_eq!(details.check_tracks(&held(&[(0, 9)])), checked);
        }
    }
}
