//! The sealed details of a recording: what only its readers may know about it (FORMAT.md, "Details").

use serde::{Deserialize, Serialize};
use vault_proto::timestamp::Timestamp;

use crate::webm::SeekIndex;

/// Most characters of a title that is sealed; what a person types is longer only by accident.
pub const MAX_TITLE: usize = 10_000;

/// One track of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Number by which its segments name it.
    pub track: u8,
    /// Media type, such as `video/webm`.
    pub media_type: String,
    /// Plaintext bytes.
    pub bytes: u64,
    /// Playing time in milliseconds, where the sealing device knew it.
    pub duration_ms: Option<u64>,
    /// What makes it seekable, where the sealing device found it out. One that is not of a known form counts as none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "if_known")]
    pub seek: Option<SeekIndex>,
}

fn if_known<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SeekIndex>, D::Error> {
    // As text and not as a tree, which could take forty times the memory.
    let text = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(text.get()).ok())
}

/// The details. A reader ignores fields it does not know: they are authenticated, and newer sealers add some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// Title, as its sealer typed it: any characters, so it is made harmless before it is shown or names a file.
    pub title: Option<String>,
    /// When the consultation began, by the sealing device's clock.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Its tracks.
    pub tracks: Vec<Track>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"title":null,"started":"2026-11-21T09:30:00Z","ended":"2026-11-21T09:45:00Z","tracks":[{"track":0,"media_type":"video/webm","bytes":7,"duration_ms":null}]}"#;

    #[test]
    fn unknown_fields_are_passed_over_and_others_are_not() {
        let known: Details = serde_json::from_str(TEXT).unwrap();
        assert_eq!(serde_json::to_string(&known).unwrap(), TEXT);
        let newer = TEXT.replace(r#""bytes""#, r#""cues":[[1]],"bytes""#).replacen('{', r#"{"index":{},"#, 1);
        assert_eq!(serde_json::from_str::<Details>(&newer).unwrap(), known);
        for strange in ["7", "null", "[]", r#"{"cues":[[1,-1]]}"#] {
            let strange = TEXT.replace(r#""duration_ms""#, &format!(r#""seek":{strange},"duration_ms""#));
            assert_eq!(serde_json::from_str::<Details>(&strange).unwrap(), known);
        }
        for wrong in [
            TEXT.replace("\"started\"", "\"begun\""),
            TEXT.replacen('{', r#"{"title":"x","#, 1),
            TEXT.replace(r#""track":0"#, r#""track":256"#),
            TEXT.replace(r#""bytes":7"#, r#""bytes":-7"#),
            TEXT.replace("09:45:00Z", "09:45:00.5Z"),
            format!("{TEXT}x"),
            "[".repeat(100_000),
        ] {
            assert!(serde_json::from_str::<Details>(&wrong).is_err(), "{}", &wrong[..40]);
        }
    }
}
