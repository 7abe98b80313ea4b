//! Names of an export's folders: a person finds a consultation by them, and no title can choose where a file goes.

use std::collections::{BTreeMap, HashMap, HashSet};

use vault_proto::ids::RecordingId;

use super::inert_text::inert;
use crate::layout::RECORDINGS;
use vault_engine::opening::listing::ListedRecording;

/// Most characters of a title in a name.
const MAX_CHARACTERS: usize = 60;
/// Most bytes of it: with all around it a name stays below the 255 bytes that file systems have.
const MAX_BYTES: usize = 180;

/// A title as a piece of a file name: one line of bounded length, without hidden characters, separators, and what some
/// file system or shell gives a meaning. Empty if nothing is left.
fn harmless(title: &str) -> String {
    let mut name = String::new();
    for c in inert(title, MAX_CHARACTERS).unwrap_or_default().chars() {
        let special = matches!(
            c,
            '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | '$' | '`' | '%' | '~' | '\u{fffd}'
        );
        let c = if special { ' ' } else { c };
        if c == ' ' && (name.is_empty() || name.ends_with(' ')) {
            continue;
        }
        if name.len() + c.len_utf8() > MAX_BYTES {
            break;
        }
        name.push(c);
    }
    name.trim_matches(|c| matches!(c, ' ' | '.' | '-' | '…')).to_owned()
}

/// The name of a recording's folder: when, what, and the beginning of its id.
fn name(recording: &ListedRecording, id: &str) -> String {
    let title = recording.details.as_ref().and_then(|details| details.title.as_deref()).unwrap_or_default();
    let created = recording.created.to_string();
    let (date, time) = created.split_once('T').unwrap_or((&created, ""));
    let time: String = time.chars().take(5).filter(char::is_ascii_digit).collect();
    match harmless(title) {
        title if title.is_empty() => format!("{date} {time} ({id})"),
        title => format!("{date} {time} {title} ({id})"),
    }
}

/// Gives each recording a folder, relative to the export: the one that it has, or a new one. No two get the same,
/// however a file system compares names.
pub fn assign(
    recordings: &[ListedRecording],
    present: &HashMap<RecordingId, String>,
) -> BTreeMap<RecordingId, String> {
    // A sealer chooses ids: two may begin alike, and what tells two titles apart is no file system's business.
    let known: HashSet<RecordingId> =
        present.keys().copied().chain(recordings.iter().map(|recording| recording.recording)).collect();
    let mut short: HashMap<String, usize> = HashMap::new();
    for id in &known {
        *short.entry(id.short()).or_default() += 1;
    }
    let mut folders = BTreeMap::new();
    for recording in recordings {
        let id = recording.recording;
        let folder = match present.get(&id) {
            Some(folder) => folder.clone(),
            None => {
                let unique = short.get(&id.short()) == Some(&1);
                let id = if unique { id.short() } else { id.to_string() };
                format!("{RECORDINGS}/{}", name(recording, &id))
            }
        };
        folders.insert(id, folder);
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn titles_become_harmless_names() {
        for (title, name) in [
            ("Knee, follow-up", "Knee, follow-up"),
            ("../../etc/passwd", "etc passwd"),
            ("..", ""),
            ("\u{202e}gpj.exe\u{0}\n", "gpj.exe"),
            ("a\u{200b}b", "a b"),
            ("-rf  $(x) `y`", "rf (x) y"),
            ("診察 🩺 «Łódź»", "診察 🩺 «Łódź»"),
        ] {
            assert_eq!(harmless(title), name, "{title:?}");
        }
        assert_eq!(harmless(&"x".repeat(10_000)).len(), MAX_CHARACTERS);
        assert!(harmless(&"🩺".repeat(10_000)).len() <= MAX_BYTES);
    }

    proptest! {
        #[test]
        fn a_name_is_one_piece_of_a_path(title in "\\PC{0,40}|[./\\\\\u{202e}\\x00-\\x1f a]{0,40}") {
            let name = harmless(&title);
            prop_assert!(!name.contains(['/', '\\', '\u{202e}']) && !name.chars().any(char::is_control), "{:?}", name);
            prop_assert!(!name.starts_with(['.', '-', ' ']) && !name.ends_with(['.', ' ']), "{:?}", name);
        }
    }
}
