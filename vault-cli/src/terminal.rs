//! The only module that prints or asks.
//!
//! Rules: data goes to standard output, words to standard error. Work of over a second shows progress on a terminal and
//! none elsewhere. With `--json` standard output holds JSON only, and a failure is one JSON document on standard error.

mod progress;
mod words;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use secrecy::SecretString;
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;
use zeroize::Zeroizing;

use crate::failure::{self, Code, Failure};
use crate::local_time::in_zone;
use crate::printable::{printable, printable_json, printable_lines};
use crate::wrapping::{columns, wrapped};

/// Fewest characters of a new passphrase.
const SHORTEST_PASSPHRASE: usize = 12;
/// What asks for a new one; says how long it has to be.
const NEW_PASSPHRASE: &str = "New passphrase, 12 characters or more: ";
/// Environment variable that may hold the passphrase.
const PASSPHRASE: &str = "VAULT_PASSPHRASE";

/// How to talk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    json: bool,
    quiet: bool,
}

impl Terminal {
    pub(crate) const fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Whether results are JSON.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// Prints a line of data: broken between words and with times in the person's zone where people read it.
    pub(crate) fn data(&self, line: &str) -> Result<(), Failure> {
        let line = in_zone(&printable(line));
        self.print(&self.columns().map_or_else(|| line.clone(), |columns| wrapped(&line, columns)))
    }

    /// Columns that results are shown in; `None` where they go to no terminal.
    pub(crate) fn columns(&self) -> Option<usize> {
        columns(&io::stdout())
    }

    /// Prints several lines of this program's own making.
    pub(crate) fn lines(&self, lines: &str) -> Result<(), Failure> {
        self.print(&printable_lines(lines))
    }

    /// Prints a script for another program, which needs every byte of it.
    pub(crate) fn script(&self, script: &str) -> Result<(), Failure> {
        self.print(script)
    }

    fn print(&self, line: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")
            .and_then(|()| out.flush())
            .map_err(|error| failure::output("Standard output", &error))
    }

    /// Prints a JSON document on a line of its own.
    pub(crate) fn document<T: Serialize>(&self, document: &T) -> Result<(), Failure> {
        let json = serde_json::to_string(document).map_err(|error| Failure::bug(error.to_string()))?;
        self.print(&printable_json(&json))
    }

    /// Says something, unless `--quiet`.
    pub(crate) fn say(&self, words: &str) {
        if !self.quiet {
            self.insist(words);
        }
    }

    /// Says something that must be seen even with `--quiet`.
    pub(crate) fn insist(&self, words: &str) {
        let words = in_zone(&printable(words));
        match columns(&io::stderr()) {
            Some(columns) => tell(&wrapped(&words, columns)),
            None => tell(&words),
        }
    }

    /// Tells of a failure, and gives the exit code.
    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        let Failure { code, what, means, next, whereabouts, .. } = failure;
        let exit = failure::exit(*code);
        if *code == Code::PipeClosed {
            return ExitCode::from(exit);
        }
        let next = &failure::spelled(next);
        if self.json {
            let mut document = serde_json::json!({
                "error": code.word(), "exit": exit, "what": what, "means": means, "next": next,
            });
            if let (Some(whereabouts), Some(document)) = (whereabouts, document.as_object_mut()) {
                whereabouts.add_to(document);
            }
            tell(&printable_json(&document.to_string()));
        } else {
            for line in [what, means, next] {
                self.insist(line);
            }
        }
        ExitCode::from(exit)
    }

    /// The passphrase that opens a file: from `--passphrase-file`, the environment, or a prompt.
    pub(crate) async fn passphrase(&self, file: Option<&Path>) -> Result<SecretString, Failure> {
        match given_passphrase(file)? {
            Some(passphrase) => Ok(passphrase),
            None => prompt("Passphrase: ").await,
        }
    }

    /// A passphrase for a new file; a prompt asks twice.
    pub(crate) async fn new_passphrase(&self, file: Option<&Path>) -> Result<SecretString, Failure> {
        self.chosen_passphrase(given_passphrase(file)?).await
    }

    /// A passphrase in place of the one that the environment may hold: from a file, or a prompt that asks twice.
    pub(crate) async fn replacing_passphrase(&self, file: Option<&Path>) -> Result<SecretString, Failure> {
        self.chosen_passphrase(file.map(passphrase_in).transpose()?).await
    }

    async fn chosen_passphrase(&self, given: Option<SecretString>) -> Result<SecretString, Failure> {
        use secrecy::ExposeSecret as _;
        let passphrase = match given {
            Some(passphrase) => passphrase,
            None => {
                let first = prompt(NEW_PASSPHRASE).await?;
                // Nobody types twice what is refused.
                require_long(&first)?;
                let second = prompt("The same again: ").await?;
                if first.expose_secret() != second.expose_secret() {
                    return Err(Failure::declined("the two passphrases differ", "Run the command again."));
                }
                first
            }
        };
        require_long(&passphrase)?;
        Ok(passphrase)
    }

    /// Asks a question; only "y" and "yes" are a yes. `None` where nobody can be asked.
    pub(crate) async fn ask(&self, question: &str) -> Result<Option<bool>, Failure> {
        if self.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(None);
        }
        let _ = write!(io::stderr().lock(), "{}", printable(question));
        let line = read_line().await?.unwrap_or_default();
        Ok(Some(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")))
    }

    /// Asks until it hears "y", "yes", "n" or "no": for what must not be decided by an empty line. `None` where nobody
    /// can be asked, or answers any more.
    pub(crate) async fn ask_plainly(&self, question: &str) -> Result<Option<bool>, Failure> {
        if self.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(None);
        }
        loop {
            let _ = write!(io::stderr().lock(), "{}", printable(question));
            let Some(line) = read_line().await? else { return Ok(None) };
            match line.trim().to_ascii_lowercase().as_str() {
                "y" | "yes" => return Ok(Some(true)),
                "n" | "no" => return Ok(Some(false)),
                _ => {}
            }
        }
    }
}

/// A line of standard input; `None` at its end.
async fn read_line() -> Result<Option<Zeroizing<String>>, Failure> {
    // Off the runtime, so that Ctrl-C is heard meanwhile.
    let line = tokio::task::spawn_blocking(|| {
        let mut line = Zeroizing::new(String::new());
        io::stdin().read_line(&mut line).map(|read| (read > 0).then_some(line))
    });
    let line = line.await.map_err(|error| Failure::bug(error.to_string()))?;
    line.map_err(|error| failure::disk("Standard input", &error))
}

/// What the parser of arguments has to say: help on standard output, a mistake on standard error. Its own lines are
/// broken between words where one is wider than the terminal.
pub(crate) fn explain(error: &clap::Error) -> io::Result<()> {
    let is_mistake = error.use_stderr();
    let text = error.render().to_string();
    let width = if is_mistake { columns(&io::stderr()) } else { columns(&io::stdout()) };
    let Some(width) = width.filter(|&width| text.lines().any(|line| line.width() > width)) else {
        return error.print();
    };
    let text = printable_lines(&wrapped(text.trim_end(), width));
    if is_mistake { writeln!(io::stderr().lock(), "{text}") } else { writeln!(io::stdout().lock(), "{text}") }
}

/// Whether standard output is a terminal on which two columns of help leave little to the second.
pub(crate) fn is_narrow() -> bool {
    columns(&io::stdout()).is_some_and(|columns| columns < 60)
}

fn tell(words: &str) {
    // Nothing can be done where standard error is gone.
    let _ = writeln!(io::stderr().lock(), "{words}");
}

/// Passphrase from a file or the environment.
fn given_passphrase(file: Option<&Path>) -> Result<Option<SecretString>, Failure> {
    if let Some(path) = file {
        return passphrase_in(path).map(Some);
    }
    match std::env::var(PASSPHRASE) {
        Ok(text) => Ok(Some(SecretString::from(text))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("{PASSPHRASE} is not valid UTF-8")))
        }
    }
}

/// Refuses a new passphrase that is too short.
fn require_long(passphrase: &SecretString) -> Result<(), Failure> {
    use secrecy::ExposeSecret as _;
    if passphrase.expose_secret().chars().count() >= SHORTEST_PASSPHRASE {
        return Ok(());
    }
    Err(Failure::declined(
        &format!(
            "a new passphrase has at least {SHORTEST_PASSPHRASE} characters, because whoever gets hold of the file can guess as \
             fast as their machines are"
        ),
        "Run the command again with a longer one: several words are easy to keep.",
    ))
}

/// The first line of a file.
fn passphrase_in(path: &Path) -> Result<SecretString, Failure> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|error| failure::disk(&path.display().to_string(), &error))?;
    Ok(SecretString::from(text.lines().next().unwrap_or_default()))
}

/// Whoever interrupts this is left with a terminal that shows what is typed.
async fn prompt(question: &'static str) -> Result<SecretString, Failure> {
    let _echo = Echo::of_terminal();
    // Off the runtime, so that Ctrl-C is heard meanwhile.
    let asked =
        tokio::task::spawn_blocking(move || rpassword::prompt_password(question).map(SecretString::from));
    match asked.await.map_err(|error| Failure::bug(error.to_string()))? {
        Ok(passphrase) => Ok(passphrase),
        // The prompt reads Ctrl-C as a key: no signal comes of it.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(Failure::new(
            Code::Interrupted,
            "Interrupted.",
            "Nothing was done.",
            "Run the same command again.",
        )),
        Err(_) => Err(Failure::new(
            Code::Usage,
            "There is no terminal to ask for the passphrase.",
            "Nothing was done.",
            format!("Give it with --passphrase-file or in the environment variable {PASSPHRASE}."),
        )),
    }
}

/// How the terminal was before a prompt hid what is typed; as it is again when this is dropped.
struct Echo {
    #[cfg(unix)]
    before: Option<(std::fs::File, rustix::termios::Termios)>,
}

impl Echo {
    fn of_terminal() -> Self {
        #[cfg(unix)]
        {
            let terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").ok();
            let before = terminal.and_then(|terminal| {
                let modes = rustix::termios::tcgetattr(&terminal).ok()?;
                Some((terminal, modes))
            });
            Self { before }
        }
        #[cfg(not(unix))]
        Self {}
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some((terminal, modes)) = &self.before {
            // A terminal that is gone needs nothing.
            let _ = rustix::termios::tcsetattr(terminal, rustix::termios::OptionalActions::Now, modes);
        }
    }
}
