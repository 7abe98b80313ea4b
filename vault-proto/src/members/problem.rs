//! Why an account's statements do not count.

use crate::envelope::StatementError;
use crate::ids::{AccountId, KeyId, OrganisationId};
use crate::statements::Role;
use crate::timestamp::Timestamp;

/// Why an account's keys cannot be trusted; always says whose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("account {}: {problem}", .account.short())]
pub struct TrustError {
    /// The account in question.
    pub account: AccountId,
    /// What is wrong.
    pub problem: TrustProblem,
}

/// What is wrong with an account's certificate or key list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustProblem {
    /// Nothing at all is known of the account.
    #[error("there is no certificate and no key list for it")]
    Missing,
    /// The certificate or key list is for another account.
    #[error("the {0} is for another account")]
    OtherAccount(&'static str),
    /// Certified by another organisation than the pinned one.
    #[error("it is certified by another organisation ({})", .0.short())]
    OtherOrganisation(OrganisationId),
    /// Met under one organisation, and now said to be of another.
    #[error(
        "it belongs to organisation {pinned}, and {found} is another one: an account stays where it was enrolled"
    )]
    OrganisationChanged {
        /// The organisation it was met under.
        pinned: OrganisationId,
        /// The other one.
        found: OrganisationId,
    },
    /// A certificate older than one already seen.
    #[error("its certificate was issued on {served}, and a newer one, issued on {seen}, was seen before")]
    CertificateRolledBack {
        /// When the certificate now served was issued.
        served: Timestamp,
        /// When the newest one seen was.
        seen: Timestamp,
    },
    /// Its holder and the person of this home compared keys, and they differed.
    #[error("its keys were compared with its holder's on {at}, and they differed")]
    ComparedUnequal {
        /// When.
        at: Timestamp,
    },
    /// Outside the time for which a statement counts.
    #[error("its {what} expired on {not_after}")]
    Expired {
        /// Which statement.
        what: &'static str,
        /// First second at which it no longer counts.
        not_after: Timestamp,
    },
    /// Before the time from which a statement counts.
    #[error("its {what} counts only from {not_before}")]
    NotYetValid {
        /// Which statement.
        what: &'static str,
        /// First second at which it counts.
        not_before: Timestamp,
    },
    /// A statement is malformed or not signed by the key that must have signed it.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Certified, but not for what is asked of it.
    #[error("it is certified as {found}, and {needed} is needed")]
    Role {
        /// The role it has.
        found: Role,
        /// What is needed.
        needed: &'static str,
    },
    /// A key that its key list does not name.
    #[error("key {} is not in its key list", .0.short())]
    KeyNotListed(KeyId),
    /// Its key list names no key for the suite.
    #[error("its key list names no encryption key of suite {0}")]
    NoKeyOfSuite(&'static str),
    /// A key list older than one already seen, or one that does not follow it.
    #[error("its key list is number {served}, and number {seen} was seen before")]
    KeyListRolledBack {
        /// Number now served.
        served: u64,
        /// Highest number seen.
        seen: u64,
    },
    /// Two different key lists with one number, or a broken chain.
    #[error("its key list number {0} contradicts what was seen before")]
    KeyListForked(u64),
    /// A key list that its own root signed, and that no list may follow with on the one before it.
    #[error("its key list number {number} does not follow on the one before: {why}")]
    KeyListDoesNotFollow {
        /// Number of the list.
        number: u64,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// A device that a later key list has removed, and that signed something after that.
    #[error("its key list number {number} removed device {} behind its statement {sequence}", .key.short())]
    DeviceRemoved {
        /// The device.
        key: KeyId,
        /// Number of the list.
        number: u64,
        /// Number of the last statement of the device that counts.
        sequence: u64,
    },
    /// A device that was added to another key list than the one in question.
    #[error("a device was added to another key list than its newest one")]
    DeviceOfAnotherList,
    /// A device that was added with a role that the device adding it has not.
    #[error("a device was added by one that may do less")]
    DeviceRoles,
    /// A device that was added although the key list names it, or has removed it.
    #[error("device {} was added to a key list that knows it already", .0.short())]
    DeviceKnown(KeyId),
    /// Certified in a role that its issuer's certificate does not have.
    #[error("it is certified as {0}, and its issuer may certify nobody as that")]
    RoleNotIssued(Role),
    /// The organisation has ended the issuer of its certificate.
    #[error("the organisation ended the issuer of its certificate on {from}")]
    IssuerEnded {
        /// First second at which the issuer's certificates do not count any more.
        from: Timestamp,
    },
    /// Revoked by its organisation.
    #[error("the organisation revoked its certificate on {ended}")]
    Revoked {
        /// First second at which it does not count any more.
        ended: Timestamp,
    },
    /// The organisation wants revocations to be known, and none are.
    #[error("its organisation publishes revocations, and none of them are known")]
    NoRevocations,
    /// The organisation wants revocations to be known, and those that are known count no longer, or not yet.
    #[error("its organisation publishes revocations, and those known are not in force (until {expires})")]
    RevocationsExpired {
        /// First second at which they do not count any more.
        expires: Timestamp,
    },
    /// Entries of revocations that are not those the statement names.
    #[error("the entries of the revocations are not those that were signed")]
    OtherEntries,
}
