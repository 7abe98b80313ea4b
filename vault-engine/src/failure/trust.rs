//! What to say where keys cannot be trusted: somebody's, or this account's own.

use vault_proto::ids::AccountId;
use vault_proto::members::{TrustError, TrustProblem};

use super::{Code, Failure};
use crate::error::{CompareProblem, Next, NextStep};

pub(super) fn trust_failure(error: &TrustError) -> Failure {
    let whose = error.account;
    let next: Next = match &error.problem {
        TrustProblem::Missing => {
            "Ask its holder to enrol at this server, or check the account id with them.".into()
        }
        TrustProblem::Expired { .. }
        | TrustProblem::NotYetValid { .. }
        | TrustProblem::IssuerEnded { .. }
        | TrustProblem::Revoked { .. }
        | TrustProblem::RoleNotIssued(_) => {
            "Its holder needs a new certificate from the registrar, who can bring it to the server; then try again.".into()
        }
        TrustProblem::ComparedUnequal { .. } => {
            NextStep::CompareAgain(whose) + "; until the digits match nothing is sealed to it."
        }
        TrustProblem::OtherOrganisation(_) | TrustProblem::OrganisationChanged { .. } => {
            "Check the fingerprint and the certificate with your registrar, by another way than this server.".into()
        }
        TrustProblem::Role { .. } => {
            "Check that each account stands in its own place, or ask the registrar.".into()
        }
        TrustProblem::NoKeyOfSuite(_) => "Patient and clinician need " + NextStep::SameSuite + ".",
        _ => {
            "Do not go on with this server. Ask its holder what "
                + NextStep::OwnAccount
                + " says of the key list there, and tell the registrar."
        }
    };
    Failure::new(
        Code::Key,
        format!("The keys of account {whose} cannot be trusted: {}.", error.problem),
        "No other key is used in its place: nothing was sealed and nothing was uploaded.",
        next,
    )
}

pub(super) fn compare_failure(account: AccountId, problem: CompareProblem) -> Failure {
    match problem {
        CompareProblem::Unequal => Failure::new(
            Code::Key,
            format!("The digits differ: you and the holder of account {account} do not see the same keys."),
            "The account is marked: nothing is sealed to it until a comparison succeeds.",
            "Check its id with the holder by another way than this server, tell the registrar, then "
                + NextStep::CompareOnceMore(account)
                + ".",
        ),
        CompareProblem::Reflected | CompareProblem::Replaced | CompareProblem::DoesNotOpen => Failure::new(
            Code::Key,
            format!("The comparison with account {account} was interfered with: {problem}."),
            "No digits are shown, because they would prove nothing; nothing was marked.",
            "Begin again, both of you; if it stays, compare with "
                + NextStep::CompareByCode(account)
                + ", and tell the registrar about this server.",
        ),
        CompareProblem::BegunAgain | CompareProblem::Elsewhere | CompareProblem::TimedOut => Failure::new(
            Code::Unreachable,
            format!("The comparison with account {account} came to no end: {problem}."),
            "Nothing was marked, and no digits were shown.",
            "Agree with its holder to run it at the same time, then "
                + NextStep::RunComparison(account)
                + "; or, without waiting for each other, "
                + NextStep::CompareByCode(account)
                + ".",
        ),
    }
}

/// What to say where the account's own certificate does not count any more: for the reason that was `found` here, or as
/// the server says.
pub fn expired(found: Option<&TrustProblem>) -> Failure {
    let what = found.map_or_else(
        || "The server says that the certificate of this account has ended.".to_owned(),
        |problem| format!("The keys of this account do not count any more: {problem}."),
    );
    Failure::new(
        Code::Key,
        what,
        "Nothing that was sealed is lost. Patients still open what is their own; everything else is refused to this account.",
        "Ask the registrar for a new certificate for this account, then " + NextStep::EnrolAnew + ".",
    )
}

/// What to say where the server claims that the account's own certificate has ended, and by this machine's clock it has
/// not.
pub fn expiry_only_claimed() -> Failure {
    Failure::new(
        Code::Refused,
        "The server claims that the certificate of this account has ended (certificate-expired), shows none that has, and by this \
         machine's clock the one in this home still counts.",
        "Your recordings and your keys are not affected; this step was not done.",
        "Check this machine's clock. If it is right, enrol again with your certificate; if that does not help, tell the operator.",
    )
}
