//! The 24 words: shown once on a terminal and asked back, or written to the file that was named for them. Nowhere else.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use vault_client::home_folder::{private_file, sync_folder};
use zeroize::Zeroizing;

use super::{Terminal, read_line};
use crate::failure::{self, Failure};
use crate::wrapping::{columns, wrapped};

/// How many of the words are asked back.
const ASKED_BACK: usize = 4;

impl Terminal {
    /// Hands over words that are kept nowhere else, before anything comes to depend on them: into a new file, or on the
    /// terminal.
    ///
    /// # Errors
    /// [`Failure::usage`] where there is neither: words that went to a pipe could end up in a log.
    pub(crate) async fn hand_over_words(
        &self,
        title: &str,
        words: &Zeroizing<String>,
        file: Option<&Path>,
    ) -> Result<(), Failure> {
        if let Some(path) = file {
            write_words(path, words).map_err(|error| failure::output(&path.display().to_string(), &error))?;
            self.say(&format!("{title} They are in {}, not encrypted.", path.display()));
            return Ok(());
        }
        self.require_words_place(file)?;
        let _screen = OtherScreen::enter();
        loop {
            show(title, words);
            ask("Enter, once they are on paper: ");
            if read_line().await?.is_none() {
                return Err(unconfirmed());
            }
            OtherScreen::clear();
            if asked_back(words).await? {
                return Ok(());
            }
        }
    }

    /// Refuses early where [`Self::hand_over_words`] would.
    pub(crate) fn require_words_place(&self, file: Option<&Path>) -> Result<(), Failure> {
        if let Some(file) = file.filter(|file| file.symlink_metadata().is_ok()) {
            return Err(Failure::exists(&file.display().to_string()));
        }
        if file.is_some() || (!self.json && io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Ok(());
        }
        Err(Failure::declined(
            "there is no terminal to show the 24 words on and to ask them back",
            "Run it on one without --json, or name a new file for them with --words-file, on a disk that only you can read.",
        ))
    }
}

fn unconfirmed() -> Failure {
    Failure::declined("the words were not confirmed", "Run the command again: it makes new words.")
}

/// Asks for some of the words, which the paper has and the screen does not show any more.
async fn asked_back(words: &Zeroizing<String>) -> Result<bool, Failure> {
    let words: Vec<&str> = words.split(' ').collect();
    ask(&format!("{ASKED_BACK} of them, to be sure that the paper is right.\n"));
    for number in chosen(words.len())? {
        ask(&format!("Word {}: ", number + 1));
        let Some(typed) = read_line().await? else {
            return Err(unconfirmed());
        };
        if words.get(number).is_none_or(|word| !typed.trim().eq_ignore_ascii_case(word)) {
            OtherScreen::clear();
            ask(&format!("That is not word {}. Compare the paper once more.\n\n", number + 1));
            return Ok(false);
        }
    }
    Ok(true)
}

/// Different numbers below `count`, ascending, which nobody can know before.
fn chosen(count: usize) -> Result<Vec<usize>, Failure> {
    let mut numbers = std::collections::BTreeSet::new();
    while numbers.len() < ASKED_BACK.min(count) {
        let mut byte = [0];
        getrandom::fill(&mut byte).map_err(|_| Failure::bug("the operating system gave no random bytes"))?;
        numbers.insert(usize::from(byte[0]) % count);
    }
    Ok(numbers.into_iter().collect())
}

/// Writes what may be a question, whose answer goes on the same line.
fn ask(words: &str) {
    let words = wrapped(words, width());
    let mut err = io::stderr().lock();
    let _ = write!(err, "{words}");
    let _ = err.flush();
}

fn width() -> usize {
    columns(&io::stderr()).unwrap_or(80)
}

fn show(title: &str, words: &Zeroizing<String>) {
    let width = width();
    // A word is of 8 letters at most; four in a row fit the narrowest terminal that anybody reads on.
    let in_a_row = if width < 60 { 3 } else { 6 };
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "{}\n", wrapped(title, width));
    for (row, line) in words.split(' ').collect::<Vec<_>>().chunks(in_a_row).enumerate() {
        let _ = write!(err, "{:>3}.", row * in_a_row + 1);
        for word in line {
            let _ = write!(err, " {word}");
        }
        let _ = writeln!(err);
    }
    let _ = writeln!(err);
}

/// Writes the words into a file that did not exist, which only its owner can read. On an error there is none.
fn write_words(path: &Path, words: &Zeroizing<String>) -> io::Result<()> {
    let mut file = private_file().write(true).create_new(true).open(path)?;
    let written = file
        .write_all(words.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .and_then(|()| match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => sync_folder(folder),
            _ => sync_folder(Path::new(".")),
        });
    if written.is_err() {
        // It was made here a moment ago, and nobody's account has these words.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// The terminal's second screen, of which nothing can be scrolled back to; left when this is dropped, also by an
/// interruption.
struct OtherScreen(bool);

impl OtherScreen {
    fn enter() -> Self {
        let able = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        if able {
            ask("\u{1b}[?1049h");
            Self::clear();
        }
        Self(able)
    }

    fn clear() {
        if std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb") {
            ask("\u{1b}[2J\u{1b}[H");
        }
    }
}

impl Drop for OtherScreen {
    fn drop(&mut self) {
        if self.0 {
            ask("\u{1b}[2J\u{1b}[?1049l");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_words_are_asked_back() {
        for _ in 0..100 {
            let numbers = chosen(24).unwrap();
            assert_eq!(numbers.len(), ASKED_BACK);
            assert!(
                numbers.windows(2).all(|pair| pair[0] < pair[1]) && numbers.iter().all(|number| *number < 24)
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn words_go_into_a_new_file_of_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words");
        let words = Zeroizing::new("legal winner".to_owned());
        write_words(&path, &words).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "legal winner\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(write_words(&path, &words).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
