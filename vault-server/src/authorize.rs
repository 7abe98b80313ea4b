//! Who may do what (PROTOCOL.md, section 3): what is decided here alone makes a [`Permit`].

use vault_proto::ids::{AccountId, KeyId, RecordingId};
use vault_proto::problem::ProblemCode;
use vault_proto::statements::{Manifest, Participants, Role};

use crate::problem::Problem;

/// Who makes a request: known from its checked signature and the account's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The account whose current key list names the key.
    pub account: AccountId,
    /// The device key that signed the request.
    pub key_id: KeyId,
    /// Whether that device has the role `auth`; one without it does nothing but seal.
    pub has_auth: bool,
    /// What the account is certified as.
    pub role: Role,
    /// Whether that certificate still counts.
    pub standing: Standing,
}

/// Whether an account's certificate counts when it makes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    InForce,
    /// It, or its issuer's, has ended.
    Ended {
        /// For so many seconds, from 0.
        seconds: i64,
    },
}

/// Seconds after the end of its certificate for which a device may still fill and end recordings that it created
/// before, and ask which it created last.
pub const FINISHING_SECONDS: i64 = 30 * 24 * 3600;

/// What a request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Find accounts by the beginning of their id.
    FindAccounts,
    /// Look at what the directory says of one account.
    LookUpAccount,
    /// Fetch the newest manifest that the calling device has signed.
    FetchNewestManifest,
    /// Fetch statements by their digests.
    FetchNamedStatements,
    /// Replace an account's certificate by a newer one.
    ReplaceCertificate,
    /// Store a commitment in the caller's own side of a comparison of keys.
    CommitComparison,
    /// Reveal a nonce in it.
    RevealComparison,
    /// Look at a comparison of which the caller is one side.
    FetchComparison,
    /// Drop the caller's own side of one.
    WithdrawComparison,
    /// List the caller's own recordings.
    ListRecordings,
    /// Create a recording.
    CreateRecording,
    /// Open a segment.
    OpenSegment,
    /// Drop an unsealed segment whose sealing process died.
    AbandonSegment,
    /// Store a part.
    StorePart,
    /// Seal a segment.
    SealSegment,
    /// Store the details object.
    StoreDetails,
    /// Store the final seal.
    StoreFinalSeal,
    /// Fetch the statements of a recording.
    FetchStatements,
    /// Fetch the part hashes of a segment.
    FetchPartHashes,
    /// Fetch a recording's key object.
    FetchKey,
    /// Fetch a segment's header.
    FetchHeader,
    /// Fetch ranges of a segment's body.
    FetchBody,
    /// Fetch the details object.
    FetchDetails,
}

/// What an action needs: one row of the table in PROTOCOL.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Any enrolled account.
    Enrolled,
    /// As `Enrolled`; about one account, which is known.
    LookUp,
    /// As `Enrolled`; about the caller's own account.
    Own,
    /// As `Enrolled`; about what others name by a digest, which nobody knows who has not seen that.
    Named,
    /// As `Enrolled`; about the caller's own recordings.
    List,
    /// The manifest's sealer, entitled to seal.
    Create,
    /// The device key that signed the manifest.
    Seal,
    /// Patient, clinician or sealer.
    Statements,
    /// Patient or clinician.
    Content,
}

impl Action {
    /// The word for it in the events table; a contract of the stored data.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FindAccounts => "find-accounts",
            Self::LookUpAccount => "look-up-account",
            Self::FetchNewestManifest => "fetch-newest-manifest",
            Self::FetchNamedStatements => "fetch-named-statements",
            Self::ReplaceCertificate => "replace-certificate",
            Self::CommitComparison => "commit-comparison",
            Self::RevealComparison => "reveal-comparison",
            Self::FetchComparison => "fetch-comparison",
            Self::WithdrawComparison => "withdraw-comparison",
            Self::ListRecordings => "list-recordings",
            Self::CreateRecording => "create-recording",
            Self::OpenSegment => "open-segment",
            Self::AbandonSegment => "abandon-segment",
            Self::StorePart => "store-part",
            Self::SealSegment => "seal-segment",
            Self::StoreDetails => "store-details",
            Self::StoreFinalSeal => "store-final-seal",
            Self::FetchStatements => "fetch-statements",
            Self::FetchPartHashes => "fetch-part-hashes",
            Self::FetchKey => "fetch-key",
            Self::FetchHeader => "fetch-header",
            Self::FetchBody => "fetch-body",
            Self::FetchDetails => "fetch-details",
        }
    }

    pub(crate) const fn access(self) -> Access {
        match self {
            Self::FindAccounts
            | Self::ReplaceCertificate
            | Self::CommitComparison
            | Self::RevealComparison
            | Self::FetchComparison
            | Self::WithdrawComparison => Access::Enrolled,
            Self::LookUpAccount => Access::LookUp,
            Self::FetchNewestManifest => Access::Own,
            Self::FetchNamedStatements => Access::Named,
            Self::ListRecordings => Access::List,
            Self::CreateRecording => Access::Create,
            Self::OpenSegment
            | Self::AbandonSegment
            | Self::StorePart
            | Self::SealSegment
            | Self::StoreDetails
            | Self::StoreFinalSeal => Access::Seal,
            Self::FetchStatements | Self::FetchPartHashes => Access::Statements,
            Self::FetchKey | Self::FetchHeader | Self::FetchBody | Self::FetchDetails => Access::Content,
        }
    }
}

/// Whose a recording is, as its manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parties {
    /// The recording.
    pub recording: RecordingId,
    /// Who takes part in it.
    pub people: Participants,
    /// The device key that signed the manifest.
    pub sealer_key: KeyId,
}

impl Parties {
    /// The parties a manifest names.
    pub const fn of(manifest: &Manifest) -> Self {
        Self {
            recording: manifest.recording,
            people: manifest.participants(),
            sealer_key: manifest.sealer_key,
        }
    }
}

/// Proof that [`authorize`], [`authorize_look_up`] or [`authorize_newest_manifest`] allowed an action. It is the only
/// way to name a blob and to reach what a store holds of a recording.
///
/// ```compile_fail,E0451
/// use vault_server::authorize::{Action, Actor, Permit};
/// fn forge(actor: Actor) -> Permit {
///     Permit { actor, action: Action::FetchBody, recording: None }
/// }
/// ```
#[derive(Debug)]
pub struct Permit {
    actor: Actor,
    action: Action,
    recording: Option<RecordingId>,
}

impl Permit {
    /// Who was allowed.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// What was allowed.
    pub const fn action(&self) -> Action {
        self.action
    }

    /// On which recording; `None` for actions that concern none.
    pub const fn recording(&self) -> Option<RecordingId> {
        self.recording
    }
}

/// Decides whether `actor` may do `action`, on the recording with these parties if it concerns one.
///
/// # Errors
/// [`ProblemCode::NotFound`] if the recording does not exist or the actor may not know that it does;
/// [`ProblemCode::Forbidden`] if the actor may know and yet not do this; [`ProblemCode::CertificateExpired`] if it
/// could before its certificate ended. What no rule allows is refused.
pub fn authorize(actor: &Actor, action: Action, recording: Option<&Parties>) -> Result<Permit, Problem> {
    let access = action.access();
    let Some(parties) = recording else {
        return if matches!(access, Access::Enrolled | Access::Named | Access::List) {
            permit(actor, action, Subject::Nothing)
        } else {
            Err(Problem::not_found())
        };
    };
    if access != Access::Create && !parties.people.has(actor.account) {
        return Err(Problem::not_found());
    }
    let allowed = match access {
        Access::Enrolled | Access::LookUp | Access::Own | Access::Named | Access::List => false,
        Access::Create => is_sealing_device(actor, parties) && parties.people.may_be_sealed_as(actor.role),
        Access::Seal => is_sealing_device(actor, parties),
        Access::Statements => true,
        Access::Content => parties.people.is_reader(actor.account),
    };
    if allowed {
        permit(actor, action, Subject::Recording(parties))
    } else {
        Err(ProblemCode::Forbidden.into())
    }
}

/// Decides whether `actor` may look up `account`; `shared` says whether there is a recording of which the actor is the
/// patient and the account another party.
///
/// # Errors
/// [`ProblemCode::CertificateExpired`].
pub fn authorize_look_up(actor: &Actor, account: AccountId, shared: bool) -> Result<Permit, Problem> {
    let known = shared || account == actor.account;
    permit(actor, Action::LookUpAccount, Subject::Account { known })
}

/// Decides whether `actor` may ask which manifest of `account` its device has signed last.
///
/// # Errors
/// [`ProblemCode::NotFound`] unless `account` is the actor's own; [`ProblemCode::CertificateExpired`].
pub fn authorize_newest_manifest(actor: &Actor, account: AccountId) -> Result<Permit, Problem> {
    if account != actor.account {
        return Err(Problem::not_found());
    }
    permit(actor, Action::FetchNewestManifest, Subject::Account { known: true })
}

/// What an action is about.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Nothing,
    /// An account; `known` if it is the actor's own, or that of a party of one of its recordings.
    Account {
        known: bool,
    },
    Recording(&'a Parties),
}

/// The permit for what is allowed to an account in force, unless the actor's device has no part in it, or its
/// certificate has ended and this is not among what outlives it.
fn permit(actor: &Actor, action: Action, subject: Subject<'_>) -> Result<Permit, Problem> {
    if !actor.has_auth && !is_part_of_sealing(actor, action, subject) {
        return Err(ProblemCode::Forbidden.into());
    }
    if let Standing::Ended { seconds } = actor.standing
        && !outlives_certificate(actor, action.access(), subject, seconds)
    {
        return Err(ProblemCode::CertificateExpired.into());
    }
    let recording = match subject {
        Subject::Recording(parties) => Some(parties.recording),
        Subject::Nothing | Subject::Account { .. } => None,
    };
    Ok(Permit { actor: *actor, action, recording })
}

/// What a device does that seals and does nothing else: whoever holds it gets at nothing that its account can read.
fn is_part_of_sealing(actor: &Actor, action: Action, subject: Subject<'_>) -> bool {
    match (action, subject) {
        (
            Action::FindAccounts
            | Action::LookUpAccount
            | Action::FetchNewestManifest
            | Action::FetchNamedStatements,
            _,
        ) => true,
        (_, Subject::Recording(parties)) => {
            // Whoever goes on has to see what is there, and who seals needs nothing that only readers get.
            action.access() != Access::Content && is_sealing_device(actor, parties)
        }
        _ => false,
    }
}

/// What an account may still do `seconds` after its certificate has ended: read what it is the patient of, which nobody
/// can take from her, and finish what it began.
fn outlives_certificate(actor: &Actor, access: Access, subject: Subject<'_>, seconds: i64) -> bool {
    match (access, subject) {
        // Its own recordings only: stores leave out those of which it is not the patient.
        (Access::List, _) => actor.role == Role::Patient,
        (Access::LookUp, Subject::Account { known }) => known,
        // What she opens is proved by them.
        (Access::Named, Subject::Nothing) => true,
        // Where a restored home finds what it may still finish.
        (Access::Own, Subject::Account { .. }) => seconds < FINISHING_SECONDS,
        (Access::Statements | Access::Content, Subject::Recording(parties))
            if actor.account == parties.people.patient =>
        {
            true
        }
        // Whoever goes on has to see what is there.
        (Access::Seal | Access::Statements, Subject::Recording(parties)) => {
            is_sealing_device(actor, parties) && seconds < FINISHING_SECONDS
        }
        _ => false,
    }
}

fn is_sealing_device(actor: &Actor, parties: &Parties) -> bool {
    actor.account == parties.people.sealer && actor.key_id == parties.sealer_key
}
