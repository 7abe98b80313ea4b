//! Comparing keys (PROTOCOL.md, section 4.4): two mailboxes between two accounts, whose values mean nothing to the
//! server.

use vault_proto::ids::{AccountId, ComparisonNonce, Digest};
use vault_proto::wire::ComparisonState;

use super::Vault;
use crate::authorize::{Action, Permit, authorize};
use crate::event::Caller;
use crate::problem::Problem;
use crate::store::Stored;

/// Bytes that a side of a comparison takes at most, with all that a database keeps beside it.
const SIDE: u64 = 512;

/// A caller is only ever asked about their own side: whose comparison it is comes from the permit, never from the
/// request.
fn permit(vault: &Vault, caller: &Caller, action: Action, other: AccountId) -> Result<Permit, Problem> {
    let permit = authorize(&caller.actor, action, None)?;
    if other == caller.actor.account {
        return Err(Problem::bad_request("An account has nothing to compare with itself."));
    }
    if !vault.store.is_enrolled(other)? {
        return Err(Problem::not_found());
    }
    Ok(permit)
}

fn value(body: &[u8]) -> Result<[u8; 32], Problem> {
    body.try_into().map_err(|_| Problem::bad_request("The body must be 32 bytes."))
}

/// Stores the caller's commitment, from the body of the request.
///
/// # Errors
/// [`BadRequest`](vault_proto::problem::ProblemCode::BadRequest),
/// [`NotFound`](vault_proto::problem::ProblemCode::NotFound) if there is no such account,
/// [`Busy`](vault_proto::problem::ProblemCode::Busy) if the caller has a side in too many others.
pub fn commit(vault: &Vault, caller: &Caller, other: AccountId, body: &[u8]) -> Result<Stored, Problem> {
    let commitment = Digest::from_bytes(value(body)?);
    let permit = permit(vault, caller, Action::CommitComparison, other)?;
    let _room = vault.room.for_passing(&*vault.blobs, SIDE)?;
    Ok(vault.store.commit_comparison(&permit, other, commitment, caller.at)?)
}

/// Stores the caller's nonce, from the body of the request.
///
/// # Errors
/// [`NotFound`](vault_proto::problem::ProblemCode::NotFound) without the caller's commitment,
/// [`OutOfOrder`](vault_proto::problem::ProblemCode::OutOfOrder) if it is not the caller's turn,
/// [`Conflict`](vault_proto::problem::ProblemCode::Conflict) if another nonce is stored.
pub fn reveal(vault: &Vault, caller: &Caller, other: AccountId, body: &[u8]) -> Result<Stored, Problem> {
    let nonce = ComparisonNonce::from_bytes(value(body)?);
    let permit = permit(vault, caller, Action::RevealComparison, other)?;
    let _room = vault.room.for_passing(&*vault.blobs, SIDE)?;
    Ok(vault.store.reveal_comparison(&permit, other, nonce, caller.at)?)
}

/// What the caller and the other account have stored for each other.
///
/// # Errors
/// [`NotFound`](vault_proto::problem::ProblemCode::NotFound) without the caller's commitment.
pub fn state(vault: &Vault, caller: &Caller, other: AccountId) -> Result<ComparisonState, Problem> {
    let permit = permit(vault, caller, Action::FetchComparison, other)?;
    Ok(vault.store.comparison(&permit, other, caller.at)?)
}

/// Drops what the caller stored.
///
/// # Errors
/// [`NotFound`](vault_proto::problem::ProblemCode::NotFound) if there is no such account.
pub fn withdraw(vault: &Vault, caller: &Caller, other: AccountId) -> Result<Stored, Problem> {
    let permit = permit(vault, caller, Action::WithdrawComparison, other)?;
    Ok(vault.store.withdraw_comparison(&permit, other)?)
}
