//! Titles, labels and the like as text that only says what it says: one line, of limited length, without characters
//! that are not seen or that reorder what is.

/// What stands in place of characters that are not shown.
const REPLACEMENT: char = '\u{fffd}';
/// What says that the rest was left out.
const ELLIPSIS: char = '…';

/// One line of at most `longest` characters and an ellipsis; `None` if the text has nothing to read.
///
/// White space of any kind becomes single spaces, and a run of hidden characters one U+FFFD. Right-to-left letters
/// stay, so what shows the text must still isolate its direction, and escape it for its own syntax.
pub(crate) fn inert(text: &str, longest: usize) -> Option<String> {
    let mut line = String::new();
    let mut length = 0_usize;
    let mut space = false;
    let mut last = ' ';
    for c in text.chars() {
        if c.is_whitespace() {
            space = length > 0;
            continue;
        }
        let c = if hides(c) { REPLACEMENT } else { c };
        let repeated = c == REPLACEMENT && last == REPLACEMENT && !space;
        let stray = joins(c) && (space || !last.is_alphanumeric() && last.is_ascii() || joins(last));
        if repeated || stray {
            continue;
        }
        if length + usize::from(space) >= longest {
            line.push(ELLIPSIS);
            break;
        }
        if space {
            line.push(' ');
            length += 1;
            space = false;
        }
        line.push(c);
        length += 1;
        last = c;
    }
    let readable =
        line.chars().any(|c| !(c.is_whitespace() || joins(c) || c == REPLACEMENT || c == ELLIPSIS));
    readable.then_some(line)
}

/// The two joiners. Persian, Indian scripts and emoji need them between two characters; they reorder nothing.
fn joins(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Controls, what reorders text, what is not seen at all, and what Unicode keeps out of texts.
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fdd0}'..='\u{fdef}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{fffe}'..='\u{ffff}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_one_short_line_and_stays_as_it_is_the_second_time(text in "\\PC{0,20}|(?s).{0,300}") {
            if let Some(line) = inert(&text, 50) {
                prop_assert!((1..=51).contains(&line.chars().count()));
                prop_assert!(!line.chars().any(hides));
                prop_assert!(line.chars().all(|c| c == ' ' || !c.is_whitespace()));
                prop_assert!(line.trim() == line);
                prop_assert_eq!(inert(&line, 51), Some(line.clone()));
            }
        }
    }

    #[test]
    fn hidden_characters_are_replaced_and_readable_ones_stay() {
        assert_eq!(inert(" a\r\n\tb\u{2028}c ", 50).as_deref(), Some("a b c"));
        assert_eq!(inert("a\u{202e}\u{200b}\u{0}b", 50).as_deref(), Some("a\u{fffd}b"));
        for text in
            ["Zoë «Łódź» 診察 🩺 e\u{301}", "می\u{200c}خواهم", "👩\u{200d}⚕\u{fe0f}", "שלום", "<b>&amp;</b>"]
        {
            assert_eq!(inert(text, 50).as_deref(), Some(text));
        }
        for text in ["", " \n", "\u{200d}\u{200c}", "\u{202e}\u{2066}", "\u{feff}", "\u{3164}"] {
            assert_eq!(inert(text, 50), None, "{text:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(inert("abcdef", 6).as_deref(), Some("abcdef"));
        assert_eq!(inert("abcdefg", 6).as_deref(), Some("abcdef…"));
        assert_eq!(inert("abcdef   ", 6).as_deref(), Some("abcdef"));
        assert_eq!(inert(&"x".repeat(10_000), 200).unwrap().chars().count(), 201);
    }
}
