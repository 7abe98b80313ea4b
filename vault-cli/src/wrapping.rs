//! Lines as wide as the terminal, broken between words.

use unicode_width::UnicodeWidthStr as _;

/// Narrowest terminal that lines are broken for; below, the terminal breaks them as it likes.
const NARROWEST: usize = 20;

/// Columns of the terminal behind a stream; `None` where it is no terminal, or does not say.
#[cfg(unix)]
pub(crate) fn columns(stream: &impl std::os::fd::AsFd) -> Option<usize> {
    if !rustix::termios::isatty(stream) {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns >= NARROWEST)
}

/// Other consoles break lines by themselves.
#[cfg(not(unix))]
pub(crate) fn columns<T>(_stream: &T) -> Option<usize> {
    None
}

/// Each line of a text, broken between words where it is wider than `width` columns. What goes on is indented as its
/// line is. A word that is wider itself, such as an id, stands on a line of its own: whole, so that it can be copied.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        wrap_line(line, width, &mut lines);
    }
    lines.join("\n")
}

fn wrap_line(line: &str, width: usize, lines: &mut Vec<String>) {
    if line.width() <= width {
        lines.push(line.to_owned());
        return;
    }
    let words = line.trim_start_matches(' ');
    let indent = line.strip_suffix(words).unwrap_or_default();
    let mut current = indent.to_owned();
    let mut begun = false;
    // Several spaces are a column, and are kept where the line goes on.
    for word in words.split_inclusive(' ') {
        let bare = word.trim_end_matches(' ');
        if begun && current.width() + bare.width() > width {
            lines.push(current.trim_end_matches(' ').to_owned());
            current = indent.to_owned();
            if bare.is_empty() {
                begun = false;
                continue;
            }
        }
        if !begun && bare.is_empty() {
            continue;
        }
        current.push_str(word);
        begun = true;
    }
    lines.push(current.trim_end_matches(' ').to_owned());
}

/// The beginning of a text that is at most `width` columns wide; what was left out is marked.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    use unicode_width::UnicodeWidthChar as _;
    if text.width() <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut left = width.saturating_sub(1);
    for c in text.chars() {
        let Some(rest) = left.checked_sub(c.width().unwrap_or(0)) else {
            break;
        };
        left = rest;
        short.push(c);
    }
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two three", 20), "one two three");
        assert_eq!(wrapped("one two three", 8), "one two\nthree");
        assert_eq!(wrapped("  one two three", 9), "  one two\n  three");
        assert_eq!(wrapped("role     clinician", 12), "role\nclinician");
        assert_eq!(wrapped("account 0123456789abcdef, then", 10), "account\n0123456789abcdef,\nthen");
        assert_eq!(wrapped("a\nbb cc", 4), "a\nbb\ncc");
        assert_eq!(wrapped("診察 診察", 5), "診察\n診察");
        assert_eq!(shortened("診察と診察", 5), "診察…");
        assert_eq!(shortened("short", 5), "short");
    }

    proptest! {
        #[test]
        fn nothing_but_spaces_is_lost_and_no_word_is_broken(text in "([a-z]{1,12}| {1,3}|診){0,40}", width in 1_usize..30) {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let lines = wrapped(&text, width);
            prop_assert_eq!(words(&lines), words(&text));
            for line in lines.lines() {
                prop_assert!(line.width() <= width || !line.trim().contains(' '), "{:?} in {:?}", line, lines);
            }
        }
    }
}
