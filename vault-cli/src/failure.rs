//! A failure has one exit code and one message of three lines: what happened, what it means for the person's data, what
//! to do next. Which, is the engine's to say; here are the exit codes, how its [`steps`] are called on a command
//! line, and the failures that only a command line has.

use std::io;

use vault_client::io_failure::io_failure;
use vault_engine::failure;
pub(crate) use vault_engine::failure::{Code, Failure, cut_off, expired, expiry_only_claimed};

pub(crate) use self::steps::spelled;
use crate::arguments::Command;

/// The exit code of a failure. They are a contract, and every one of the program is decided here.
pub(crate) const fn exit(code: Code) -> u8 {
    match code {
        Code::Bug => 1,
        Code::Usage => 2,
        Code::NotAReader => 10,
        Code::Damaged => 11,
        Code::CutOff => 12,
        Code::MixUp => 13,
        Code::NotEntitled => 14,
        Code::Format => 15,
        Code::Key => 16,
        Code::NotFound => 17,
        Code::Unreachable => 18,
        Code::Disk => 19,
        Code::Partly => 20,
        Code::Unlock => 21,
        Code::Refused => 22,
        Code::Interrupted => 130,
        // As if the signal SIGPIPE had ended the program, and as silent.
        Code::PipeClosed => 141,
    }
}

/// A command that was dropped before it was done: what that means depends on what it was doing.
pub(crate) fn interrupted_during(command: &Command) -> Failure {
    let (means, next) = match command {
        Command::Seal { .. } => (
            "What the server had acknowledged is kept there. What lies sealed in the home folder is kept too; of what came through \
             a pipe, the rest is lost.",
            "To go on with a file, run the same command again; `vault-cli resume` goes on with files and ends what came through a pipe.",
        ),
        Command::Resume => (
            "What the server had acknowledged is kept there, and what was not sent yet is kept in the home folder.",
            "Run `vault-cli resume` again to go on.",
        ),
        Command::Export { .. } => (
            "Each recording that was fetched to its end is in its place, and no other is.",
            "Run the same command again to go on: it fetches what is missing.",
        ),
        _ => ("Nothing was left half-written in place.", "Run the same command again."),
    };
    Failure::new(Code::Interrupted, "Interrupted.", means, next)
}

/// A recording that could not even begin: what its source gives goes nowhere.
pub(crate) fn not_begun(failure: &Failure) -> Failure {
    Failure::new(
        failure.code,
        format!("The recording has not begun. {}", failure.what),
        "What its source gives now is kept nowhere: neither on the server nor on this machine. Without the server a recording \
         begins only for people whose keys this home looked up there within the last 7 days.",
        "Record into a file until then and seal that file later (`vault-cli seal FILE`), or run the same command again once \
         the first line is put right.",
    )
}

/// Results that could not be written to where they were wanted.
pub(crate) fn output(name: &str, error: &io::Error) -> Failure {
    Failure::output(name, &io_failure(error))
}

/// A file or folder that could not be used.
pub(crate) fn disk(path: &str, error: &io::Error) -> Failure {
    Failure::disk(path, &io_failure(error))
}

/// A file that cannot be read: what was begun of it stays as it is.
pub(crate) fn unreadable(name: &str, error: &io::Error) -> Failure {
    failure::unreadable(name, &io_failure(error))
}

mod steps;
#[cfg(test)]
mod tests;
