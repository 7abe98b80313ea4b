//! One failure, one exit code, one message of three lines: what happened, what it means for the person's data, what to
//! do next. Every exit code of the program is decided here.

use std::io;

use vault_client::ClientError;
use vault_core::identity_file::IdentityFileError;
use vault_core::opening::OpenError;
use vault_core::passphrase_file::UnlockError;
use vault_engine::error::Missing;
use vault_proto::problem::{Problem, ProblemCode};
use vault_proto::recording::Refusal;

pub(crate) use self::cut_off::{cut_off, not_begun};
pub(crate) use self::kept::unreadable;
use self::kept::{Whereabouts, cut_short, kept};
use self::trust::{compare_failure, trust_failure};
pub(crate) use self::trust::{expired, expiry_only_claimed};
use crate::arguments::Command;
use crate::printable::printable;

/// Kinds of failure, with their exit codes. Both are a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bug = 1,
    Usage = 2,
    NotAReader = 10,
    Damaged = 11,
    CutOff = 12,
    MixUp = 13,
    NotEntitled = 14,
    Format = 15,
    Key = 16,
    NotFound = 17,
    Unreachable = 18,
    Disk = 19,
    Partly = 20,
    Unlock = 21,
    Refused = 22,
    Interrupted = 130,
    /// Whoever read the results has enough of them: as if the signal SIGPIPE had ended the program, and as silent.
    PipeClosed = 141,
}

/// A failure, ready to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) what: String,
    pub(crate) means: String,
    pub(crate) next: String,
    /// The server says that this account's own certificate has ended, and nobody has looked yet.
    pub(crate) claims_expiry: bool,
    /// How much of a recording is where, if it was being sealed.
    pub(crate) whereabouts: Option<Box<Whereabouts>>,
}

impl Kind {
    /// Word for the kind in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bug => "bug",
            Self::Usage => "usage",
            Self::NotAReader => "not-a-reader",
            Self::Damaged => "damaged",
            Self::CutOff => "cut-off",
            Self::MixUp => "mix-up",
            Self::NotEntitled => "not-entitled",
            Self::Format => "format",
            Self::Key => "key",
            Self::NotFound => "not-found",
            Self::Unreachable => "unreachable",
            Self::Disk => "disk",
            Self::Partly => "partly",
            Self::Unlock => "unlock",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
            Self::PipeClosed => "pipe-closed",
        }
    }

    /// The exit code.
    pub(crate) const fn exit(self) -> u8 {
        self as u8
    }
}

impl Failure {
    pub(crate) fn new(
        kind: Kind,
        what: impl Into<String>,
        means: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        // Each is one line. Pieces of it come from servers, files and other people, who must not add to it.
        let line = |text: String| printable(&text);
        Self {
            kind,
            what: line(what.into()),
            means: line(means.into()),
            next: line(next.into()),
            claims_expiry: false,
            whereabouts: None,
        }
    }

    pub(crate) fn bug(what: impl Into<String>) -> Self {
        Self::new(
            Kind::Bug,
            format!("This program made a mistake: {}.", what.into()),
            "Nothing that was stored before has changed.",
            "Please report it with the command you typed: docs/SECURITY.md says where.",
        )
    }

    /// What was typed cannot be meant.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::declined(&what.into(), "Change what the first line names; --help shows what the command takes.")
    }

    /// What was typed is understood, and cannot be done as things are.
    pub(crate) fn declined(what: &str, next: impl Into<String>) -> Self {
        Self::new(Kind::Usage, format!("{}.", sentence(what)), "Nothing was done.", next)
    }

    /// A file stands where one was to be made.
    pub(crate) fn exists(path: &str) -> Self {
        Self::new(
            Kind::Disk,
            format!("{path} exists already, and nothing is written over it."),
            "It was not touched.",
            "Name another file, or move that one away, then run the command again.",
        )
    }

    /// A command that was dropped before it was done: what that means depends on what it was doing.
    pub(crate) fn interrupted_during(command: &Command) -> Self {
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
        Self::new(Kind::Interrupted, "Interrupted.", means, next)
    }

    /// Results that could not be written to where they were wanted.
    pub(crate) fn output(name: &str, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(
                Kind::PipeClosed,
                "Whoever read the results closed the pipe.",
                "Nothing is lost: what was not read can be asked for again.",
                "Run the command again to see the rest.",
            );
        }
        if error.kind() == io::ErrorKind::AlreadyExists {
            return Self::exists(name);
        }
        Self::disk(name, error)
    }

    /// A file or folder that could not be used.
    pub(crate) fn disk(path: &str, error: &io::Error) -> Self {
        let error = &plain(error);
        let next = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "Make room, then run the command again."
            }
            io::ErrorKind::FileTooLarge => {
                "Allow larger files there (ulimit -f, or another file system), then run the command again."
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "Choose a place you may write to, or change its permissions, then run the command again."
            }
            io::ErrorKind::InvalidData => {
                "It is damaged, and is never replaced silently: restore it from a backup of its folder."
            }
            io::ErrorKind::NotFound => "Check the path, then run the command again.",
            _ => "Check the disk and the path, then run the command again.",
        };
        Self::new(
            Kind::Disk,
            format!("{path} cannot be used: {error}."),
            "Nothing was left half-written in place.",
            next,
        )
    }
}

/// The system's own words for an error. What a library adds is the name of a temporary file, which nobody typed.
fn plain(error: &io::Error) -> io::Error {
    let words = error.to_string();
    // As `tempfile` puts it behind them.
    let words = words.split(" at path \"").next().unwrap_or_default();
    io::Error::new(error.kind(), words)
}

/// With a capital, and without a full stop. What begins with a name, such as a path or an address, keeps it as it is
/// spelt.
fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let first_word = text.split_whitespace().next().unwrap_or_default();
    if first_word.contains(['/', '\\', '.', ':', '_']) {
        return text.to_owned();
    }
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Usage(what) => Self::usage(what),
            ClientError::Declined { what, next } => Self::declined(&what, next),
            ClientError::Open(error) => open_failure(&error),
            ClientError::CutOff(at) => cut_off(&at),
            ClientError::Trust(error) => trust_failure(&error),
            ClientError::Compare { account, problem } => compare_failure(account, problem),
            ClientError::NotFound(what) => Self::new(
                Kind::NotFound,
                format!("{} was not found.", sentence(&what)),
                "It does not exist on this server, or it is not this account's to know: the answer is the same.",
                "Check the id against `vault-cli list`, and that you use the right --home.",
            ),
            ClientError::NoLongerListed => Self::new(
                Kind::NotFound,
                "The server has listed this recording before, and does not any more.",
                "It may have been lost, or be kept back; this account's own list proves that it was there.",
                "Tell the operator, with the recording's id.",
            ),
            ClientError::ShownLess => Self::new(
                Kind::CutOff,
                "The server shows less of this recording than it did when it was taken home.",
                "What was taken home stays as it is: more is never replaced by less.",
                "Tell the operator, with the recording's id: the store may have been rolled back.",
            ),
            ClientError::Ambiguous { prefix, matches } => {
                Self::usage(format!("{prefix:?} fits several ids: {}", matches.join(", ")))
            }
            ClientError::Unreachable { server, reason } => Self::new(
                Kind::Unreachable,
                format!("The server {server} cannot be reached: {reason}."),
                "What the server had acknowledged is kept, and nothing else was changed.",
                "Check the network and the address, then run the same command again to go on.",
            ),
            ClientError::Kept(told) => kept(*told),
            ClientError::Interrupted => Self::new(
                Kind::Interrupted,
                "It was stopped before the server had acknowledged all of it.",
                "What the server had acknowledged is kept there.",
                "Run `vault-cli resume` to go on.",
            ),
            ClientError::CutShort { recording, bytes, why } => cut_short(recording, bytes, &why),
            ClientError::Protocol { server, reason } => Self::new(
                Kind::Unreachable,
                format!("{server} does not answer like a storage server: {reason}."),
                "Nothing it said was believed, and nothing of yours was changed.",
                "Check the address; if it is right, tell its operator.",
            ),
            ClientError::TooLargeForProxy { server, bytes } => Self::new(
                Kind::Unreachable,
                format!(
                    "A proxy in front of {server} takes no request of {bytes} bytes (status 413; in nginx that is \
                     client_max_body_size)."
                ),
                "What the server had acknowledged before is kept; this step was not done.",
                "Ask the operator to let requests of 5 MiB through the proxy, then run the same command again to go on.",
            ),
            ClientError::Refused(problem) => refused(&problem),
            ClientError::Disk { path, source } => Self::disk(&path.display().to_string(), &source),
            ClientError::KeptPartGone { segment, part } => Self::new(
                Kind::Disk,
                format!(
                    "Part {part} of segment {segment}, which was kept on this machine, is gone or damaged."
                ),
                "What the server had acknowledged is kept and opens as cut off; what follows on that part does not.",
                "Check the disk. If the home folder was copied or restored, go on with the one that still has its uploads/.",
            ),
            ClientError::Source(error) => unreadable("The recording to be sealed", &error),
            ClientError::Output(source) => Self::output("The output", &source),
            ClientError::NotSetUp(missing) => not_set_up(&missing),
            ClientError::Unlock(error) => unlock_failure(&error),
            ClientError::DeviceKeyGone => Self::new(
                Kind::Unlock,
                "The key of this device cannot be used any more.",
                "Nothing more can be signed here. Nothing that was stored before has changed.",
                "Restore the home folder from a backup, then run the command again.",
            ),
            ClientError::Bug(what) => Self::bug(what),
        }
    }
}

/// A home that does not hold what a command needs: names the commands that put it there.
fn not_set_up(missing: &Missing) -> Failure {
    let next = match missing {
        Missing::Identity(_) => {
            "Choose the right folder with --home. If there is none yet: `vault-cli keygen`, then a certificate from your \
             registrar, then `vault-cli enrol`."
        }
        Missing::Enrolment(_) | Missing::Certificate => {
            "Send the account id (`vault-cli whoami`) to your registrar, then enrol with the certificate that comes back: \
             `vault-cli --server URL enrol --organisation ROOT-FINGERPRINT --certificate FILE`."
        }
        Missing::OrganisationRoot(_) => {
            "Choose the registrar's folder: `vault-cli --home DIR registrar …`. If there is none yet: \
             `vault-cli --home DIR registrar init`."
        }
    };
    Failure::new(Kind::Unlock, format!("{}.", sentence(&missing.to_string())), "Nothing was done.", next)
}

fn open_failure(error: &OpenError) -> Failure {
    let nothing = "Nothing of it was shown or kept: no byte is released before its own check.";
    match error {
        OpenError::Refused(Refusal::MixUp(what)) => Failure::new(
            Kind::MixUp,
            format!(
                "Mix-up: the server handed out something else than the recording that was asked for ({what})."
            ),
            nothing,
            "Tell the operator at once, with the time and the recording's id: others may be affected.",
        ),
        OpenError::Refused(Refusal::NotEntitled(what)) => Failure::new(
            Kind::NotEntitled,
            format!("Not sealed by anyone entitled to: {what}."),
            "It may have been planted or forged. Nothing of it was shown or kept.",
            "Do not trust it. Tell the operator, with the recording's id.",
        ),
        OpenError::Refused(Refusal::Damaged(what)) => Failure::new(
            Kind::Damaged,
            format!("The recording is damaged: {what}."),
            "The damaged part was not released; bytes written before it were checked and are right.",
            "Try again later; if it stays, ask the operator to restore the recording from a backup.",
        ),
        OpenError::Refused(Refusal::NewerFormat(what)) => Failure::new(
            Kind::Format,
            format!("{}.", sentence(what)),
            "The recording is not lost, but this program cannot check it, so it does not open it.",
            "Install a newer version of vault-cli.",
        ),
        OpenError::NotAReader => Failure::new(
            Kind::NotAReader,
            "This account is not a reader of this recording.",
            nothing,
            "Open it with the patient's or the clinician's account, or ask one of them to share it.",
        ),
        OpenError::OtherSuite { recording, own } => Failure::new(
            Kind::Format,
            format!(
                "The recording is sealed with suite {recording}, and this account's keys are of suite {own}."
            ),
            nothing,
            "Nothing weaker is used in its place. Open it with the account it was sealed to.",
        ),
    }
}

fn refused(problem: &Problem) -> Failure {
    if problem.known_code() == Some(ProblemCode::CertificateExpired) {
        return Failure { claims_expiry: true, ..expired(None) };
    }
    if problem.known_code() == Some(ProblemCode::StorageFull) {
        return storage_full(problem);
    }
    let request = problem.request_id.as_ref().map_or_else(String::new, |id| format!(" (request {id})"));
    let detail = problem.detail.as_ref().map_or_else(String::new, |detail| format!(" {}.", sentence(detail)));
    let what = format!("The server refused: {}{request}. {}{detail}", problem.code, problem.title);
    let (kind, next) = match problem.known_code() {
        Some(ProblemCode::NotFound) => {
            (Kind::NotFound, "Check the id against `vault-cli list`, and that you use the right --home.")
        }
        Some(ProblemCode::SignatureStale) => (Kind::Refused, "Set this machine's clock, then try again."),
        Some(ProblemCode::SignatureInvalid) if problem.detail.is_some() => (
            Kind::Refused,
            "Reach it by one of those names (--server). If yours is right, ask the operator to add it (vault-server serve --authority).",
        ),
        Some(ProblemCode::UnknownKey) => {
            (Kind::Refused, "Enrol this account at the server first: `vault-cli enrol`.")
        }
        Some(ProblemCode::CredentialsRefused) => (
            Kind::Refused,
            "Take the newest certificate that the registrar made for the account. If this is it, ask the registrar for a new one \
             (`vault-cli registrar certify`): the operator makes none.",
        ),
        Some(ProblemCode::Busy | ProblemCode::Internal) => {
            (Kind::Refused, "Run the same command again later to go on; tell the operator if it stays.")
        }
        _ => (Kind::Refused, "If you think it should be allowed, ask the operator, naming the request."),
    };
    Failure::new(kind, what, "What the server had acknowledged before is kept; this step was not done.", next)
}

fn storage_full(problem: &Problem) -> Failure {
    let request = problem.request_id.as_ref().map_or_else(String::new, |id| format!(", request {id}"));
    let detail = problem.detail.as_ref().map_or_else(String::new, |detail| format!(" {}.", sentence(detail)));
    Failure::new(
        Kind::Refused,
        format!("The server's store is full, so it takes nothing new ({}{request}).{detail}", problem.code),
        "What the server had acknowledged before is kept and can be read; this step was not done.",
        "Ask the operator to make room, then run the same command again to go on.",
    )
}

fn unlock_failure(error: &IdentityFileError) -> Failure {
    let next = match error {
        IdentityFileError::Unlock(UnlockError::WrongPassphrase) => {
            "Run the command again with the right passphrase; --home chooses another identity."
        }
        _ => "Restore the file from a backup of the home folder; --home chooses another identity.",
    };
    Failure::new(
        Kind::Unlock,
        format!("{}.", sentence(&error.to_string())),
        "The identity file was not changed.",
        next,
    )
}

mod cut_off;
mod kept;
#[cfg(test)]
mod tests;
mod trust;
