//! How the steps of what to do next are called on a command line: as commands and options.

use vault_engine::error::{Next, NextStep};

/// What to do next, in commands that can be typed.
pub(crate) fn spelled(next: &Next) -> String {
    next.spelled(typed)
}

/// A step in the middle of a sentence. Where it is called as everywhere, what is typed for it follows.
fn typed(step: &NextStep) -> String {
    let called = step.to_string();
    match step {
        NextStep::Again => "run the command again".to_owned(),
        NextStep::SameAgain => "run the same command again".to_owned(),
        NextStep::Correct => format!("{called}; --help shows what the command takes"),
        NextStep::WhatWasDone => "the command you typed".to_owned(),
        NextStep::LargerFiles => format!("{called} (ulimit -f, or another file system)"),
        NextStep::Program => "vault-cli".to_owned(),
        NextStep::List => "`vault-cli list`".to_owned(),
        NextStep::AllowCutOff => "add --allow-cut-off".to_owned(),
        NextStep::OpenWhole => format!("{called}, without --from"),
        NextStep::PlayFrom => format!("{called}: `vault-cli play --from`"),
        NextStep::NameTrack => format!("{called} with --track"),
        NextStep::NoMoment => "leave --from out".to_owned(),
        NextStep::Resume => "run `vault-cli resume`".to_owned(),
        NextStep::Resuming => "`vault-cli resume`".to_owned(),
        NextStep::ResumeAt(server) => format!("{called}: `vault-cli resume --server {server}`"),
        NextStep::ItsHome => format!("{called} (--home)"),
        NextStep::Home => "--home".to_owned(),
        NextStep::ChooseHome => "choose the right folder with --home".to_owned(),
        NextStep::OtherIdentity => "--home chooses another identity".to_owned(),
        NextStep::NewIdentity => "`vault-cli keygen`".to_owned(),
        NextStep::AccountId => format!("{called} (`vault-cli whoami`)"),
        NextStep::OwnAccount => "`vault-cli whoami`".to_owned(),
        NextStep::Enrolment => "`vault-cli enrol`".to_owned(),
        NextStep::EnrolFirst => format!("{called}: `vault-cli enrol`"),
        NextStep::EnrolWithCertificate => format!(
            "{called}: `vault-cli --server URL enrol --organisation ROOT-FINGERPRINT --certificate FILE`"
        ),
        NextStep::EnrolAnew => format!("{called} (`vault-cli whoami` shows the dates)"),
        NextStep::NewCertificate => format!("{called} (`vault-cli registrar certify`)"),
        NextStep::ChooseRegistrarHome => format!("{called}: `vault-cli --home DIR registrar …`"),
        NextStep::NewOrganisation => "`vault-cli --home DIR registrar init`".to_owned(),
        NextStep::OtherAddress => format!("{called} (--server)"),
        NextStep::SameSuite => format!("{called} (`keygen --suite`)"),
        NextStep::Compare => "run `vault-cli compare` with it".to_owned(),
        NextStep::CompareAgain(account) => format!("{called} (`vault-cli compare {}`)", account.short()),
        NextStep::CompareOnceMore(account) | NextStep::RunComparison(account) => {
            format!("{called}: `vault-cli compare {}`", account.short())
        }
        NextStep::CompareByCode(account) => format!("`vault-cli compare {} --qr`", account.short()),
        NextStep::SeeNames => format!("{called} with `vault-cli name`"),
        NextStep::RemoveName(petname) => format!("{called}: `vault-cli name --remove {petname}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps that no failure of `words.txt` has.
    #[test]
    fn each_step_can_be_typed() {
        for (next, words) in [
            (
                NextStep::ResumeAt("https://vault.example".to_owned()) + ".",
                "Go on with it there: `vault-cli resume --server https://vault.example`.",
            ),
            (NextStep::ItsHome + ".", "Go on with the home it was begun in (--home)."),
            ("Choose another " + NextStep::Home + ".", "Choose another --home."),
            (
                NextStep::OpenWhole + ", or " + NextStep::PlayFrom + ".",
                "Open it whole, without --from, or play it from that moment: `vault-cli play --from`.",
            ),
            (NextStep::NameTrack + " then.", "Name one with --track then."),
            (NextStep::Compare + " first.", "Run `vault-cli compare` with it first."),
            (NextStep::SeeNames + ".", "See which there are with `vault-cli name`."),
            (
                "To rename the account, " + NextStep::RemoveName("anna".to_owned()) + ".",
                "To rename the account, remove that name first: `vault-cli name --remove anna`.",
            ),
        ] {
            assert_eq!(spelled(&next), words);
        }
    }
}
