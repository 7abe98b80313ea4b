//! What may reach a terminal: as [`vault_engine::printable`] has it, and what is particular to what is printed.

use vault_engine::printable::steers;
pub(crate) use vault_engine::printable::{REPLACEMENT, printable};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_lines_keep_their_ends_only() {
        assert_eq!(printable_lines("a\u{1b}\r\nb\u{2028}"), "a\u{fffd}\u{fffd}\nb\u{fffd}");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({ "a\u{9b}": "b\u{202e}\u{7f}\u{1b}\n\u{feff}ë" });
        let shown = printable_json(&value.to_string());
        assert!(!shown.chars().any(steers), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
