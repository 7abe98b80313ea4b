//! What the program says to whoever started it: in lines as wide as the terminal, broken between words, and as it is
//! where there is none.

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::process::ExitCode;

use textwrap::{Options, WordSeparator, WordSplitter};

/// Narrowest terminal that lines are broken for; below, the terminal breaks them as it likes.
const NARROWEST: usize = 20;
/// Exit code of a program whose reader has closed the pipe, as if SIGPIPE had ended it.
const PIPE_CLOSED: u8 = 141;

/// Columns of the terminal behind a stream; `None` where it is no terminal, or does not say.
fn columns(stream: &impl AsFd) -> Option<usize> {
    if !rustix::termios::isatty(stream) {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns >= NARROWEST)
}

/// Writes one line on standard output; one who closed the pipe does not want it.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout();
    let line = columns(&out).map_or_else(|| line.to_owned(), |width| wrapped(line, width));
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Writes a failure on standard error.
pub(crate) fn tell(failure: &str) {
    let mut err = io::stderr();
    let text = columns(&err).map_or_else(|| failure.to_owned(), |width| wrapped_failure(failure, width));
    let _ = writeln!(err, "{text}");
}

/// Help that was asked for, or what is wrong with what was typed.
pub(crate) fn not_understood(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    if error.use_stderr() {
        let mut err = io::stderr();
        let text = columns(&err).map_or_else(|| text.clone(), |width| wrapped(&text, width));
        let _ = write!(err, "{text}");
        return ExitCode::from(code);
    }
    // All of it but the line of usage comes in lines of the terminal's width already.
    let mut out = io::stdout();
    let text = columns(&out).map_or_else(|| text.clone(), |width| wrapped(&text, width));
    match write!(out, "{text}") {
        Err(closed) if closed.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(PIPE_CLOSED),
        _ => ExitCode::from(code),
    }
}

/// Each line of a text, broken between words where it is wider than `width` columns. What goes on is indented as its
/// line is. A word that is wider itself, such as an id, stays whole, so that it can be copied.
fn wrapped(text: &str, width: usize) -> String {
    let line = |line: &str| {
        let words = line.trim_start_matches(' ');
        let indent = line.strip_suffix(words).unwrap_or_default();
        let options = Options::new(width)
            .initial_indent(indent)
            .subsequent_indent(indent)
            .break_words(false)
            .word_separator(WordSeparator::AsciiSpace)
            .word_splitter(WordSplitter::NoHyphenation);
        textwrap::fill(words, options)
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// A failure in its three lines, each broken where it is too wide. What the last one says to type, after its colon,
/// stands on a line of its own that only the terminal breaks: so it can be copied.
fn wrapped_failure(text: &str, width: usize) -> String {
    let Some((before, next)) = text.rsplit_once('\n') else {
        return wrapped(text, width);
    };
    let next = match next.split_once(": ") {
        Some((words, typed)) if textwrap::core::display_width(next) > width => {
            format!("{}\n{typed}", wrapped(&format!("{words}:"), width))
        }
        _ => wrapped(next, width),
    };
    format!("{}\n{next}", wrapped(before, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_nowhere_else() {
        assert_eq!(wrapped("one two three", 20), "one two three");
        assert_eq!(wrapped("one two three", 8), "one two\nthree");
        assert_eq!(wrapped("  one two three", 9), "  one two\n  three");
        assert_eq!(wrapped("account 0123456789-abcdef, then", 10), "account\n0123456789-abcdef,\nthen");
        assert_eq!(wrapped("a\n\nbb cc", 4), "a\n\nbb\ncc");
        assert_eq!(wrapped("診察 診察", 5), "診察\n診察");
    }

    #[test]
    fn what_is_to_be_typed_stays_in_one_piece() {
        let failure = "It is so: so.\nNothing was lost.\nGo on, or do it: do --it to: that";
        assert_eq!(
            wrapped_failure(failure, 20),
            "It is so: so.\nNothing was lost.\nGo on, or do it:\ndo --it to: that"
        );
        assert_eq!(wrapped_failure(failure, 80), failure);
        assert_eq!(wrapped_failure("One line of words", 8), "One line\nof words");
    }
}
