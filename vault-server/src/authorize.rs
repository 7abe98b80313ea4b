//! Who may do what (PROTOCOL.md, section 3): one function decides, and only it makes a [`Permit`].

use vault_proto::ids::{AccountId, KeyId, RecordingId};
use vault_proto::problem::ProblemCode;
use vault_proto::statements::{Manifest, Role};

use crate::problem::Problem;

/// Who makes a request: known from its checked signature and the account's certificate in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The account whose current key list names the key.
    pub account: AccountId,
    /// The device key that signed the request.
    pub key_id: KeyId,
    /// What the account is certified as.
    pub role: Role,
}

/// What a request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Look at the directory of accounts.
    LookUpAccounts,
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
    /// Any enrolled account in force.
    Enrolled,
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
            Self::LookUpAccounts => "look-up-accounts",
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
            Self::FetchHeader => "fetch-header",
            Self::FetchBody => "fetch-body",
            Self::FetchDetails => "fetch-details",
        }
    }

    pub(crate) const fn access(self) -> Access {
        match self {
            Self::LookUpAccounts
            | Self::CommitComparison
            | Self::RevealComparison
            | Self::FetchComparison
            | Self::WithdrawComparison
            | Self::ListRecordings => Access::Enrolled,
            Self::CreateRecording => Access::Create,
            Self::OpenSegment
            | Self::AbandonSegment
            | Self::StorePart
            | Self::SealSegment
            | Self::StoreDetails
            | Self::StoreFinalSeal => Access::Seal,
            Self::FetchStatements | Self::FetchPartHashes => Access::Statements,
            Self::FetchHeader | Self::FetchBody | Self::FetchDetails => Access::Content,
        }
    }
}

/// Whose a recording is, as its manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parties {
    /// The recording.
    pub recording: RecordingId,
    /// The patient.
    pub patient: AccountId,
    /// The clinician.
    pub clinician: AccountId,
    /// The account whose device seals.
    pub sealer: AccountId,
    /// The device key that signed the manifest.
    pub sealer_key: KeyId,
}

impl Parties {
    /// The parties a manifest names.
    pub const fn of(manifest: &Manifest) -> Self {
        Self {
            recording: manifest.recording,
            patient: manifest.patient,
            clinician: manifest.clinician,
            sealer: manifest.sealer,
            sealer_key: manifest.sealer_key,
        }
    }
}

/// Proof that [`authorize`] allowed an action. It is the only way to name a blob and to reach what a store holds of a
/// recording.
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
/// [`ProblemCode::Forbidden`] if the actor may know and yet not do this. What no rule allows is refused.
pub fn authorize(actor: &Actor, action: Action, recording: Option<&Parties>) -> Result<Permit, Problem> {
    let permit = |recording| Ok(Permit { actor: *actor, action, recording });
    let access = action.access();
    let Some(parties) = recording else {
        return if access == Access::Enrolled { permit(None) } else { Err(Problem::not_found()) };
    };
    let reader = actor.account == parties.patient || actor.account == parties.clinician;
    let sealer = actor.account == parties.sealer;
    let sealing_device = sealer && actor.key_id == parties.sealer_key;
    if access != Access::Create && !reader && !sealer {
        return Err(Problem::not_found());
    }
    let allowed = match access {
        Access::Enrolled => false,
        Access::Create => sealing_device && may_seal(actor, parties),
        Access::Seal => sealing_device,
        Access::Statements => true,
        Access::Content => reader,
    };
    if allowed { permit(Some(parties.recording)) } else { Err(ProblemCode::Forbidden.into()) }
}

fn may_seal(actor: &Actor, parties: &Parties) -> bool {
    match actor.role {
        Role::Recorder => true,
        Role::Patient => actor.account == parties.patient,
        Role::Clinician => actor.account == parties.clinician,
        Role::Auditor => false,
    }
}
