//! Text from elsewhere: titles, labels, file names and what servers write must neither steer what shows them nor hide in it.

/// Whether a character steers or hides: controls (C0, DEL, C1), line and paragraph separators, and the format characters that
/// are not seen and reorder, join or hide what is.
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
