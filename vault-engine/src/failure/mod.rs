//! What to tell a person of a failure: what happened, what it means for their data, what to do next. One line each, and
//! a [`Code`] for programs.
//!
//! A front end makes a [`Failure`] of any [`ClientError`] and shows it:
//!
//! ```
//! use vault_engine::ClientError;
//! use vault_engine::failure::{Code, Failure};
//!
//! let failure = Failure::from(ClientError::NoLongerListed);
//! assert_eq!(failure.code, Code::NotFound);
//! assert_eq!(failure.what, "The server has listed this recording before, and does not any more.");
//! assert_eq!(failure.next.to_string(), "Tell the operator, with the recording's id.");
//! ```
//!
//! Nothing here says how something is done in one front end only: [`Failure::next`] holds
//! [steps](crate::error::NextStep), which a command line spells as commands and an app shows as it likes.

use vault_core::identity_file::IdentityFileError;
use vault_core::opening::OpenError;
use vault_core::passphrase_file::UnlockError;
use vault_proto::problem::{Problem, ProblemCode};
use vault_proto::recording::Refusal;

pub use self::cut_off::cut_off;
pub use self::kept::{Whereabouts, unreadable};
use self::kept::{cut_short, kept};
use self::trust::{compare_failure, trust_failure};
pub use self::trust::{expired, expiry_only_claimed};
use crate::error::{ClientError, IoFailure, IoFailureKind, Missing, Next, NextStep};
use crate::printable::printable;

/// Kinds of failure. Programs tell them apart by their [word](Self::word), which is a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// A mistake of the program itself.
    Bug,
    /// What was asked for cannot be meant, or cannot be done as things are.
    Usage,
    /// The account is no reader of the recording.
    NotAReader,
    /// Something is not as it was sealed or signed.
    Damaged,
    /// A recording has no end that is proved.
    CutOff,
    /// The server handed out something else than what was asked for.
    MixUp,
    /// It was sealed by somebody who may not.
    NotEntitled,
    /// It is of a format or suite that this program or account does not have.
    Format,
    /// Somebody's keys cannot be trusted, or this account's own do not count any more.
    Key,
    /// It is not there, or not this account's to know.
    NotFound,
    /// There is no answer from the server, or none of the protocol.
    Unreachable,
    /// This machine could not read or write something.
    Disk,
    /// Some of what was asked for was done, and the rest could not be.
    Partly,
    /// The account of this home cannot be used.
    Unlock,
    /// The server refused.
    Refused,
    /// Somebody stopped it.
    Interrupted,
    /// Whoever read the results reads no more, so that nobody has to be told.
    PipeClosed,
}

/// A failure, ready to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Of what kind it is.
    pub code: Code,
    /// What happened: one line of whole sentences, in which nothing steers what shows it.
    pub what: String,
    /// What it means for the person's data: another.
    pub means: String,
    /// What to do next.
    pub next: Next,
    /// The server says that this account's own certificate has ended, and nobody has looked yet. Whoever has looked
    /// tells [`expired`] or [`expiry_only_claimed`] in its place.
    pub claims_expiry: bool,
    /// How much of a recording is where, if it was being sealed.
    pub whereabouts: Option<Box<Whereabouts>>,
}

impl Code {
    /// Its word for programs, such as `not-found`: small letters and hyphens.
    pub const fn word(self) -> &'static str {
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
}

impl Failure {
    /// A failure in these words. Each becomes one line: pieces of it come from servers, files and other people, who
    /// must not add to it.
    pub fn new(code: Code, what: impl Into<String>, means: impl Into<String>, next: impl Into<Next>) -> Self {
        Self {
            code,
            what: printable(&what.into()),
            means: printable(&means.into()),
            next: next.into(),
            claims_expiry: false,
            whereabouts: None,
        }
    }

    /// A mistake of the program itself; `what` says which, without a full stop.
    pub fn bug(what: impl Into<String>) -> Self {
        Self::new(
            Code::Bug,
            format!("This program made a mistake: {}.", what.into()),
            "Nothing that was stored before has changed.",
            "Please report it with " + NextStep::WhatWasDone + ": docs/SECURITY.md says where.",
        )
    }

    /// What was asked for cannot be meant; `what` says why, without a full stop.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::declined(&what.into(), NextStep::Correct + ".")
    }

    /// What was asked for is understood, and cannot be done as things are; `what` says why, without a full stop.
    pub fn declined(what: &str, next: impl Into<Next>) -> Self {
        Self::new(Code::Usage, format!("{}.", sentence(what)), "Nothing was done.", next)
    }

    /// Something stands at `place` where something was to be made.
    pub fn exists(place: &str) -> Self {
        Self::new(
            Code::Disk,
            format!("{place} exists already, and nothing is written over it."),
            "It was not touched.",
            "Name another file, or move that one away, then " + NextStep::Again + ".",
        )
    }

    /// Results that could not be written to `place`, where they were wanted.
    pub fn output(place: &str, why: &IoFailure) -> Self {
        match why.kind {
            IoFailureKind::ReaderGone => Self::new(
                Code::PipeClosed,
                "Whoever read the results closed the pipe.",
                "Nothing is lost: what was not read can be asked for again.",
                NextStep::Again + " to see the rest.",
            ),
            IoFailureKind::Exists => Self::exists(place),
            _ => Self::disk(place, why),
        }
    }

    /// Something of this machine that could not be used: a file, a folder, a record.
    pub fn disk(place: &str, why: &IoFailure) -> Self {
        let next = match why.kind {
            IoFailureKind::Full => "Make room, then " + NextStep::Again + ".",
            IoFailureKind::TooLarge => NextStep::LargerFiles + ", then " + NextStep::Again + ".",
            IoFailureKind::NotPermitted | IoFailureKind::ReadOnly => {
                "Choose a place you may write to, or change its permissions, then " + NextStep::Again + "."
            }
            IoFailureKind::Damaged => {
                "It is damaged, and is never replaced silently: restore it from a backup of its folder."
                    .into()
            }
            IoFailureKind::NotFound => "Check the path, then " + NextStep::Again + ".",
            IoFailureKind::Exists
            | IoFailureKind::IsFolder
            | IoFailureKind::ReaderGone
            | IoFailureKind::Other => "Check the disk and the path, then " + NextStep::Again + ".",
        };
        Self::new(
            Code::Disk,
            format!("{place} cannot be used: {why}."),
            "Nothing was left half-written in place.",
            next,
        )
    }
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
                Code::NotFound,
                format!("{} was not found.", sentence(&what)),
                "It does not exist on this server, or it is not this account's to know: the answer is the same.",
                check_the_id(),
            ),
            ClientError::NoLongerListed => Self::new(
                Code::NotFound,
                "The server has listed this recording before, and does not any more.",
                "It may have been lost, or be kept back; this account's own list proves that it was there.",
                "Tell the operator, with the recording's id.",
            ),
            ClientError::ShownLess => Self::new(
                Code::CutOff,
                "The server shows less of this recording than it did when it was taken home.",
                "What was taken home stays as it is: more is never replaced by less.",
                "Tell the operator, with the recording's id: the store may have been rolled back.",
            ),
            ClientError::Ambiguous { prefix, matches } => {
                Self::usage(format!("{prefix:?} fits several ids: {}", matches.join(", ")))
            }
            ClientError::Unreachable { server, reason } => Self::new(
                Code::Unreachable,
                format!("The server {server} cannot be reached: {reason}."),
                "What the server had acknowledged is kept, and nothing else was changed.",
                "Check the network and the address, then " + NextStep::SameAgain + " to go on.",
            ),
            ClientError::Kept(told) => kept(*told),
            ClientError::Interrupted => Self::new(
                Code::Interrupted,
                "It was stopped before the server had acknowledged all of it.",
                "What the server had acknowledged is kept there.",
                NextStep::Resume + " to go on.",
            ),
            ClientError::CutShort { recording, bytes, why } => cut_short(recording, bytes, &why),
            ClientError::Protocol { server, reason } => Self::new(
                Code::Unreachable,
                format!("{server} does not answer like a storage server: {reason}."),
                "Nothing it said was believed, and nothing of yours was changed.",
                "Check the address; if it is right, tell its operator.",
            ),
            ClientError::TooLargeForProxy { server, bytes } => Self::new(
                Code::Unreachable,
                format!(
                    "A proxy in front of {server} takes no request of {bytes} bytes (status 413; in nginx that is \
                     client_max_body_size)."
                ),
                "What the server had acknowledged before is kept; this step was not done.",
                "Ask the operator to let requests of 5 MiB through the proxy, then "
                    + NextStep::SameAgain
                    + " to go on.",
            ),
            ClientError::Refused(problem) => refused(&problem),
            ClientError::Disk { place, why } => Self::disk(&place, &why),
            ClientError::KeptPartGone { segment, part } => Self::new(
                Code::Disk,
                format!(
                    "Part {part} of segment {segment}, which was kept on this machine, is gone or damaged."
                ),
                "What the server had acknowledged is kept and opens as cut off; what follows on that part does not.",
                "Check the disk. If the home folder was copied or restored, go on with the one that still has its uploads/.",
            ),
            ClientError::Source(why) => unreadable("The recording to be sealed", &why),
            ClientError::Output(why) => Self::output("The output", &why),
            ClientError::NotSetUp(missing) => not_set_up(&missing),
            ClientError::Unlock(error) => unlock_failure(&error),
            ClientError::DeviceKeyGone => Self::new(
                Code::Unlock,
                "The key of this device cannot be used any more.",
                "Nothing more can be signed here. Nothing that was stored before has changed.",
                "Restore the home folder from a backup, then " + NextStep::Again + ".",
            ),
            ClientError::Bug(what) => Self::bug(what),
        }
    }
}

fn check_the_id() -> Next {
    "Check the id against " + NextStep::List + ", and that you use the right " + NextStep::Home + "."
}

/// A home that does not hold what is needed: says how it comes there.
fn not_set_up(missing: &Missing) -> Failure {
    let next = match missing {
        Missing::Identity(_) => {
            NextStep::ChooseHome
                + ". If there is none yet: "
                + NextStep::NewIdentity
                + ", then a certificate from your registrar, then "
                + NextStep::Enrolment
                + "."
        }
        Missing::Enrolment(_) | Missing::Certificate => {
            "Send " + NextStep::AccountId + " to your registrar, then " + NextStep::EnrolWithCertificate + "."
        }
        Missing::OrganisationRoot(_) => {
            NextStep::ChooseRegistrarHome + ". If there is none yet: " + NextStep::NewOrganisation + "."
        }
    };
    Failure::new(Code::Unlock, format!("{}.", sentence(&missing.to_string())), "Nothing was done.", next)
}

fn open_failure(error: &OpenError) -> Failure {
    let nothing = "Nothing of it was shown or kept: no byte is released before its own check.";
    match error {
        OpenError::Refused(Refusal::MixUp(what)) => Failure::new(
            Code::MixUp,
            format!(
                "Mix-up: the server handed out something else than the recording that was asked for ({what})."
            ),
            nothing,
            "Tell the operator at once, with the time and the recording's id: others may be affected.",
        ),
        OpenError::Refused(Refusal::NotEntitled(what)) => Failure::new(
            Code::NotEntitled,
            format!("Not sealed by anyone entitled to: {what}."),
            "It may have been planted or forged. Nothing of it was shown or kept.",
            "Do not trust it. Tell the operator, with the recording's id.",
        ),
        OpenError::Refused(Refusal::Damaged(what)) => Failure::new(
            Code::Damaged,
            format!("The recording is damaged: {what}."),
            "The damaged part was not released; bytes written before it were checked and are right.",
            "Try again later; if it stays, ask the operator to restore the recording from a backup.",
        ),
        OpenError::Refused(Refusal::NewerFormat(what)) => Failure::new(
            Code::Format,
            format!("{}.", sentence(what)),
            "The recording is not lost, but this program cannot check it, so it does not open it.",
            "Install a newer version of " + NextStep::Program + ".",
        ),
        OpenError::NotAReader => Failure::new(
            Code::NotAReader,
            "This account is not a reader of this recording.",
            nothing,
            "Open it with the patient's or the clinician's account, or ask one of them to share it.",
        ),
        OpenError::OtherSuite { recording, own } => Failure::new(
            Code::Format,
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
    let (code, next) = match problem.known_code() {
        Some(ProblemCode::NotFound) => (Code::NotFound, check_the_id()),
        Some(ProblemCode::SignatureStale) => {
            (Code::Refused, "Set this machine's clock, then try again.".into())
        }
        Some(ProblemCode::SignatureInvalid) if problem.detail.is_some() => (
            Code::Refused,
            NextStep::OtherAddress
                + ". If yours is right, ask the operator to add it (vault-server serve --authority).",
        ),
        Some(ProblemCode::UnknownKey) => (Code::Refused, NextStep::EnrolFirst + "."),
        Some(ProblemCode::CredentialsRefused) => (
            Code::Refused,
            "Take the newest certificate that the registrar made for the account. If this is it, "
                + NextStep::NewCertificate
                + ": the operator makes none.",
        ),
        Some(ProblemCode::Busy | ProblemCode::Internal) => {
            (Code::Refused, NextStep::SameAgain + " later to go on; tell the operator if it stays.")
        }
        _ => {
            (Code::Refused, "If you think it should be allowed, ask the operator, naming the request.".into())
        }
    };
    Failure::new(code, what, "What the server had acknowledged before is kept; this step was not done.", next)
}

fn storage_full(problem: &Problem) -> Failure {
    let request = problem.request_id.as_ref().map_or_else(String::new, |id| format!(", request {id}"));
    let detail = problem.detail.as_ref().map_or_else(String::new, |detail| format!(" {}.", sentence(detail)));
    Failure::new(
        Code::Refused,
        format!("The server's store is full, so it takes nothing new ({}{request}).{detail}", problem.code),
        "What the server had acknowledged before is kept and can be read; this step was not done.",
        "Ask the operator to make room, then " + NextStep::SameAgain + " to go on.",
    )
}

fn unlock_failure(error: &IdentityFileError) -> Failure {
    let next = match error {
        IdentityFileError::Unlock(UnlockError::WrongPassphrase) => {
            NextStep::Again + " with the right passphrase; " + NextStep::OtherIdentity + "."
        }
        _ => "Restore the file from a backup of the home folder; " + NextStep::OtherIdentity + ".",
    };
    Failure::new(
        Code::Unlock,
        format!("{}.", sentence(&error.to_string())),
        "The identity file was not changed.",
        next,
    )
}

mod cut_off;
mod kept;
#[cfg(test)]
pub(crate) mod one_of_each;
#[cfg(test)]
mod tests;
mod trust;
