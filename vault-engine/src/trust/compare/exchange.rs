//! One run of commit-then-reveal, as one side sees it: no clock, no network (FORMAT.md, "Comparing keys").

use vault_proto::compare::Comparison;
use vault_proto::ids::{ComparisonNonce, Digest};
use vault_proto::wire::ComparisonState;

use crate::error::CompareProblem;

/// One side of a run. Its nonce is used for this run only.
pub struct Exchange {
    comparison: Comparison,
    nonce: ComparisonNonce,
    commitment: Digest,
    /// The other's commitment against which the own nonce was revealed. From then on nothing else is accepted.
    revealed_against: Option<Digest>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Store this commitment, then look again.
    Commit(Digest),
    /// Look again later.
    Wait,
    /// Store this nonce, then look again.
    Reveal(ComparisonNonce),
    /// Show these six digits.
    Show(String),
}

impl Exchange {
    /// A run over `comparison`, which was fixed before. `nonce` is 32 fresh random bytes.
    pub fn new(comparison: Comparison, nonce: ComparisonNonce) -> Self {
        let commitment = comparison.own_commitment(&nonce);
        Self { comparison, nonce, commitment, revealed_against: None }
    }

    /// Whether the own nonce was given out: then this run is the one chance of whoever is in the middle.
    pub const fn has_revealed(&self) -> bool {
        self.revealed_against.is_some()
    }

    /// Decides by what the server shows now; `None` if it shows no comparison. Nothing the server says is believed: it
    /// only chooses among values, and each is checked here.
    ///
    /// # Errors
    /// [`CompareProblem`]; the run is over.
    pub fn next(&mut self, state: Option<&ComparisonState>) -> Result<Step, CompareProblem> {
        let Some(state) = state else {
            return if self.has_revealed() {
                Err(CompareProblem::BegunAgain)
            } else {
                Ok(Step::Commit(self.commitment))
            };
        };
        if state.own.commitment != self.commitment {
            return Err(CompareProblem::Elsewhere);
        }
        let Some(other) = state.other else {
            return if self.has_revealed() { Err(CompareProblem::BegunAgain) } else { Ok(Step::Wait) };
        };
        if other.commitment == self.commitment || other.nonce == Some(self.nonce) {
            return Err(CompareProblem::Reflected);
        }
        if self.revealed_against.is_some_and(|held| held != other.commitment) {
            return Err(CompareProblem::Replaced);
        }
        if other.nonce.is_some_and(|nonce| self.comparison.other_commitment(&nonce) != other.commitment) {
            return Err(CompareProblem::DoesNotOpen);
        }
        match (self.revealed_against, other.nonce) {
            (None, None) if !state.first => Ok(Step::Wait),
            (None, _) => {
                self.revealed_against = Some(other.commitment);
                Ok(Step::Reveal(self.nonce))
            }
            (Some(_), None) => Ok(Step::Wait),
            (Some(_), Some(nonce)) => Ok(Step::Show(self.comparison.code(&self.nonce, &nonce))),
        }
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
