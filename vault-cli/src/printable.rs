//! What may reach a terminal. Titles, labels, file names and what servers write are text from elsewhere: it must
//! neither steer the terminal nor add lines that look like this program's own.

/// What stands in place of a character that is not shown.
const REPLACEMENT: char = '\u{fffd}';

/// Text of one line, with everything that could steer a terminal or end the line replaced.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) { REPLACEMENT } else { c }).collect()
}

/// As [`printable`], for text of this program's own making that has several lines.
pub(crate) fn printable_lines(text: &str) -> String {
    text.chars().map(|c| if c != '\n' && steers(c) { REPLACEMENT } else { c }).collect()
}

/// JSON that means the same, with what JSON writers leave as it is and a terminal may obey spelt as escapes. Such
/// characters stand in JSON only within strings.
pub(crate) fn printable_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) {
            // All of them lie in the basic plane.
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Controls (C0, DEL, C1), line and paragraph separators, and the format characters that
/// are not seen and reorder, join or hide what is.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_cannot_steer_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\n\u{202e}c"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}c");
        assert_eq!(printable_lines("a\u{1b}\r\nb\u{2028}"), "a\u{fffd}\u{fffd}\nb\u{fffd}");
        let steering = "\u{0}\u{7}\u{7f}\u{80}\u{9b}\u{9f}\u{61c}\u{200b}\u{200d}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{feff}";
        assert!(printable(steering).chars().all(|c| c == REPLACEMENT));
        let harmless = "Zoë «Łódź» 診察 🩺 e\u{301} \u{a0}\u{2010}";
        assert_eq!(printable(harmless), harmless);
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({ "a\u{9b}": "b\u{202e}\u{7f}\u{1b}\n\u{feff}ë" });
        let shown = printable_json(&value.to_string());
        assert!(!shown.chars().any(steers), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
