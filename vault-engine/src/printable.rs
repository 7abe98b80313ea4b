//! What may be shown as a line of text. Titles, labels, file names and what servers write are text from elsewhere: it
//! must neither steer whatever shows it nor add lines that look like the program's own.

/// What stands in place of a character that is not shown.
pub const REPLACEMENT: char = '\u{fffd}';

/// Text of one line, with everything that could steer a terminal or end the line replaced.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) { REPLACEMENT } else { c }).collect()
}

/// Whether a character steers what shows it: controls (C0, DEL, C1), line and paragraph separators, and the format
/// characters that are not seen and reorder, join or hide what is.
pub fn steers(c: char) -> bool {
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
    fn text_from_elsewhere_cannot_steer_what_shows_it() {
        assert_eq!(printable("a\u{1b}[2Jb\r\n\u{202e}c"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}c");
        let steering = "\u{0}\u{7}\u{7f}\u{80}\u{9b}\u{9f}\u{61c}\u{200b}\u{200d}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{feff}";
        assert!(printable(steering).chars().all(|c| c == REPLACEMENT));
        let harmless = "Zoë «Łódź» 診察 🩺 e\u{301} \u{a0}\u{2010}";
        assert_eq!(printable(harmless), harmless);
    }
}
