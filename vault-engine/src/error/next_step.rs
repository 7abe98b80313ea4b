//! What to do next, in words that leave each front end its own names for what a person does there.

use std::fmt;
use std::ops::Add;

use vault_proto::ids::AccountId;

use crate::printable::printable;

/// What to do next, in a sentence or two. [`Display`](fmt::Display) gives it in the words of an app with buttons;
/// [`Self::spelled`] in those of a front end where things are done in another way.
///
/// It is written as a sum:
///
/// ```
/// use vault_engine::error::{Next, NextStep};
///
/// let next: Next = "Make room, then " + NextStep::Again + ".";
/// assert_eq!(next.to_string(), "Make room, then try again.");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next(Vec<Piece>);

/// A piece of what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Words that hold in every front end.
    Words(String),
    /// What a front end has its own words for.
    Step(NextStep),
}

/// What a person does, or uses, in a front end. [`Display`](fmt::Display) names it in the words of an app with buttons,
/// so that it fits into the middle of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextStep {
    /// Doing again what failed.
    Again,
    /// Doing it again with nothing changed, because it goes on where it was.
    SameAgain,
    /// Putting right what was asked for.
    Correct,
    /// What led to the failure, for whoever looks into it.
    WhatWasDone,
    /// Allowing larger files where one could not be written.
    LargerFiles,
    /// The program, which could be newer.
    Program,
    /// The list of the account's recordings.
    List,
    /// Opening a recording although it is cut off.
    AllowCutOff,
    /// Opening a recording from its beginning.
    OpenWhole,
    /// Playing a recording from the moment that was named.
    PlayFrom,
    /// Naming the track that is meant.
    NameTrack,
    /// In place of a moment to begin at.
    NoMoment,
    /// Bringing to an end what was begun here.
    Resume,
    /// The same, as what says what became of a recording.
    Resuming,
    /// Going on with an upload at the server it was begun at, which has this address.
    ResumeAt(String),
    /// Going on in the home in which an upload was begun.
    ItsHome,
    /// The home that is used.
    Home,
    /// Using the home that was meant.
    ChooseHome,
    /// That another home is another account's.
    OtherIdentity,
    /// Making an identity.
    NewIdentity,
    /// Telling the account's id.
    AccountId,
    /// What tells about an account on its holder's own machine.
    OwnAccount,
    /// Enrolling, as what comes at last.
    Enrolment,
    /// Enrolling at a server that does not know the account.
    EnrolFirst,
    /// Enrolling with the first certificate that a registrar made.
    EnrolWithCertificate,
    /// Enrolling with a newer certificate.
    EnrolAnew,
    /// Asking a registrar for another certificate.
    NewCertificate,
    /// Using the home of a registrar.
    ChooseRegistrarHome,
    /// Making an organisation.
    NewOrganisation,
    /// Reaching the server by a name that it has.
    OtherAddress,
    /// Keys of one suite for both readers, which is chosen when they are made.
    SameSuite,
    /// Comparing keys with an account for the first time.
    Compare,
    /// Comparing keys with the holder of this account again.
    CompareAgain(AccountId),
    /// The same, where the holder was named before.
    CompareOnceMore(AccountId),
    /// Running again a comparison with this account that came to no end.
    RunComparison(AccountId),
    /// What compares with this account without both having to be there at the same time.
    CompareByCode(AccountId),
    /// Looking at the petnames of this home.
    SeeNames,
    /// Taking this petname away from its account.
    RemoveName(String),
}

impl Next {
    /// Its pieces, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// One line of text, with each step in the words that `spell` has for it, which begin with a capital where they
    /// begin a sentence.
    pub fn spelled(&self, spell: fn(&NextStep) -> String) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Words(words) => text.push_str(words),
                Piece::Step(step) => {
                    let words = spell(step);
                    let begins = text.is_empty() || text.ends_with(". ");
                    let mut characters = words.chars();
                    if let Some(first) = characters.next().filter(|_| begins) {
                        text.extend(first.to_uppercase());
                        text.push_str(characters.as_str());
                    } else {
                        text.push_str(&words);
                    }
                }
            }
        }
        printable(&text)
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelled(NextStep::to_string))
    }
}

impl fmt::Display for NextStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Again | Self::SameAgain => "try again",
            Self::Correct => "change what the first line names",
            Self::WhatWasDone => "what you did",
            Self::LargerFiles => "allow larger files there",
            Self::Program => "this program",
            Self::List => "the list of recordings",
            Self::AllowCutOff => "allow that it is cut off",
            Self::OpenWhole => "open it whole",
            Self::PlayFrom => "play it from that moment",
            Self::NameTrack => "name one",
            Self::NoMoment => "none",
            Self::Resume => "resume what is unfinished",
            Self::Resuming => "resuming",
            Self::ResumeAt(_) => "go on with it there",
            Self::ItsHome => "go on with the home it was begun in",
            Self::Home => "home",
            Self::ChooseHome => "choose the right home",
            Self::OtherIdentity => "another home holds another identity",
            Self::NewIdentity => "a new identity",
            Self::AccountId => "the account id",
            Self::OwnAccount => "their own device",
            Self::Enrolment => "enrolment",
            Self::EnrolFirst => "enrol this account at the server first",
            Self::EnrolWithCertificate => "enrol with the certificate that comes back",
            Self::EnrolAnew => "enrol with it",
            Self::NewCertificate => "ask the registrar for a new one",
            Self::ChooseRegistrarHome => "choose the registrar's folder",
            Self::NewOrganisation => "a new organisation",
            Self::OtherAddress => "reach it by one of those names",
            Self::SameSuite => "keys of the same suite",
            Self::Compare => "compare with it",
            Self::CompareAgain(_) => "compare again with its holder",
            Self::CompareOnceMore(_) => "compare again",
            Self::RunComparison(_) => "run it again",
            Self::CompareByCode(_) => "a QR code",
            Self::SeeNames => "see which there are",
            Self::RemoveName(_) => "remove that name first",
        })
    }
}

impl From<&str> for Next {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

impl From<String> for Next {
    fn from(words: String) -> Self {
        Self(vec![Piece::Words(words)])
    }
}

impl From<NextStep> for Next {
    fn from(step: NextStep) -> Self {
        Self(vec![Piece::Step(step)])
    }
}

impl Add<&str> for Next {
    type Output = Self;

    fn add(mut self, words: &str) -> Self {
        self.0.push(Piece::Words(words.to_owned()));
        self
    }
}

impl Add<NextStep> for Next {
    type Output = Self;

    fn add(mut self, step: NextStep) -> Self {
        self.0.push(Piece::Step(step));
        self
    }
}

impl Add<&str> for NextStep {
    type Output = Next;

    fn add(self, words: &str) -> Next {
        Next::from(self) + words
    }
}

impl Add<NextStep> for &str {
    type Output = Next;

    fn add(self, step: NextStep) -> Next {
        Next::from(self) + step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_begins_a_sentence_has_a_capital() {
        let next = NextStep::Resume + " now. " + NextStep::Again + ", or " + NextStep::Resume + ".";
        assert_eq!(
            next.to_string(),
            "Resume what is unfinished now. Try again, or resume what is unfinished."
        );
        let typed = |_: &NextStep| "`program`".to_owned();
        assert_eq!(next.spelled(typed), "`program` now. `program`, or `program`.");
    }

    #[test]
    fn nobody_adds_a_line_to_what_to_do_next() {
        let next = Next::from("at \u{1b}[2J\n") + NextStep::Again;
        assert_eq!(next.to_string(), "at \u{fffd}[2J\u{fffd}try again");
    }
}
