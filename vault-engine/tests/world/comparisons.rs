//! Comparisons of keys on the model server (PROTOCOL.md, "Comparing keys").

use std::collections::BTreeMap;

use vault_engine::effects::Method;
use vault_proto::ids::{AccountId, ComparisonNonce, Digest};
use vault_proto::problem::ProblemCode;
use vault_proto::timestamp::Timestamp;
use vault_proto::wire::{COMPARISON_LIFETIME, ComparisonSide, ComparisonState};

use crate::server::{Actor, Answered, Asked, Server, json, stored, unchanged};

/// What accounts have stored for each other.
#[derive(Default)]
pub(crate) struct Comparisons {
    sides: BTreeMap<(AccountId, AccountId), CommittedSide>,
    commitments: u64,
    /// Every nonce that was ever revealed, by whom and to whom.
    pub(crate) revealed: Vec<(AccountId, AccountId, ComparisonNonce)>,
}

struct CommittedSide {
    commitment: Digest,
    nonce: Option<ComparisonNonce>,
    order: u64,
    at: Timestamp,
}

impl Server {
    pub(crate) fn compare(
        &mut self,
        now: Timestamp,
        actor: Actor,
        other: AccountId,
        rest: &[&str],
        asked: &Asked<'_>,
    ) -> Answered {
        if other == actor.account {
            return Err(ProblemCode::BadRequest);
        }
        if !self.accounts.contains_key(&other) {
            return Err(ProblemCode::NotFound);
        }
        self.comparisons.sides.retain(|_, side| side.at.saturating_add(COMPARISON_LIFETIME) >= now);
        let (own, theirs) = ((actor.account, other), (other, actor.account));
        let value = || <[u8; 32]>::try_from(asked.body.as_ref()).map_err(|_| ProblemCode::BadRequest);
        let shown = |side: &CommittedSide| ComparisonSide { commitment: side.commitment, nonce: side.nonce };
        match (asked.method, rest) {
            (Method::Put, ["commitment"]) => {
                let commitment = Digest::from_bytes(value()?);
                if let Some(before) = self.comparisons.sides.get(&own) {
                    if before.commitment == commitment {
                        return unchanged();
                    }
                    let revealed = before.nonce.is_some()
                        || self.comparisons.sides.get(&theirs).is_some_and(|side| side.nonce.is_some());
                    if revealed {
                        self.comparisons.sides.remove(&theirs);
                    }
                }
                self.comparisons.commitments += 1;
                let side =
                    CommittedSide { commitment, nonce: None, order: self.comparisons.commitments, at: now };
                self.comparisons.sides.insert(own, side);
                stored()
            }
            (Method::Put, ["nonce"]) => {
                let nonce = ComparisonNonce::from_bytes(value()?);
                let before =
                    self.comparisons.sides.get(&theirs).map(|side| (side.order, side.nonce.is_some()));
                let side = self.comparisons.sides.get_mut(&own).ok_or(ProblemCode::NotFound)?;
                let (order, revealed) = before.ok_or(ProblemCode::OutOfOrder)?;
                if order < side.order && !revealed {
                    return Err(ProblemCode::OutOfOrder);
                }
                match side.nonce {
                    Some(same) if same == nonce => unchanged(),
                    Some(_) => Err(ProblemCode::Conflict),
                    None => {
                        side.nonce = Some(nonce);
                        self.comparisons.revealed.push((actor.account, other, nonce));
                        stored()
                    }
                }
            }
            (Method::Get, []) => {
                let side = self.comparisons.sides.get(&own).ok_or(ProblemCode::NotFound)?;
                let theirs = self.comparisons.sides.get(&theirs);
                json(&ComparisonState {
                    own: shown(side),
                    other: theirs.map(shown),
                    first: theirs.is_none_or(|theirs| side.order < theirs.order),
                })
            }
            (Method::Delete, []) => {
                if self.comparisons.sides.remove(&own).is_some() {
                    stored()
                } else {
                    unchanged()
                }
            }
            _ => Err(ProblemCode::NotFound),
        }
    }
}
