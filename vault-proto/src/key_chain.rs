//! The key lists of an account, each following on the one before (FORMAT.md, "Trust").

use crate::envelope::{Envelope, Verified};
use crate::ids::{AccountId, Digest};
use crate::members::{TrustError, TrustProblem, verify_key_list};
use crate::statements::KeyList;

/// Whether `list` can be the one after `before` in the chain of their account.
///
/// # Errors
/// [`TrustProblem::KeyListForked`] or [`TrustProblem::KeyListDoesNotFollow`].
pub fn check_next(before: &Verified<KeyList>, list: &Verified<KeyList>) -> Result<(), TrustProblem> {
    let number = list.number;
    if number != before.number.saturating_add(1) || list.previous != Some(before.digest()) {
        return Err(TrustProblem::KeyListForked(number));
    }
    list.check_follows(before).map_err(|why| TrustProblem::KeyListDoesNotFollow { number, why })
}

/// All key lists of an account from number 1 to the newest one known: each signed by its root, naming the one before,
/// and following on it.
#[derive(Debug, Clone)]
pub struct KeyListChain {
    before: Vec<Verified<KeyList>>,
    newest: Verified<KeyList>,
}

impl KeyListChain {
    /// Checks the key lists of `account`, which are all from number 1 on.
    ///
    /// # Errors
    /// [`TrustProblem::Missing`] if there is none; [`TrustProblem::OtherAccount`], [`TrustProblem::Statement`],
    /// [`TrustProblem::KeyListForked`] or [`TrustProblem::KeyListDoesNotFollow`].
    pub fn check(account: AccountId, lists: &[Envelope<KeyList>]) -> Result<Self, TrustError> {
        let refuse = |problem| TrustError { account, problem };
        let (first, rest) = lists.split_first().ok_or_else(|| refuse(TrustProblem::Missing))?;
        let first = verify_key_list(first, account).map_err(refuse)?;
        if first.number != 1 {
            return Err(refuse(TrustProblem::KeyListForked(first.number)));
        }
        let mut chain = Self { before: Vec::with_capacity(rest.len()), newest: first };
        for list in rest {
            chain.push(verify_key_list(list, account).map_err(refuse)?).map_err(refuse)?;
        }
        Ok(chain)
    }

    fn push(&mut self, list: Verified<KeyList>) -> Result<(), TrustProblem> {
        self.check_next(&list)?;
        self.before.push(std::mem::replace(&mut self.newest, list));
        Ok(())
    }

    /// Whether `list` can be the next one of this chain.
    ///
    /// # Errors
    /// [`TrustProblem::KeyListForked`] or [`TrustProblem::KeyListDoesNotFollow`].
    pub fn check_next(&self, list: &Verified<KeyList>) -> Result<(), TrustProblem> {
        check_next(&self.newest, list)
    }

    /// The newest list.
    pub const fn newest(&self) -> &Verified<KeyList> {
        &self.newest
    }

    /// The list of this number; `None` if there is none yet.
    pub fn numbered(&self, number: u64) -> Option<&Verified<KeyList>> {
        let position = usize::try_from(number.checked_sub(1)?).ok()?;
        self.before.get(position).or_else(|| (number == self.newest.number).then_some(&self.newest))
    }

    /// Whether a list that was seen before, of this number and digest, is still in the chain.
    ///
    /// # Errors
    /// [`TrustProblem::KeyListRolledBack`] if the chain is shorter, [`TrustProblem::KeyListForked`] if another list
    /// stands there.
    pub fn check_seen(&self, number: u64, digest: Digest) -> Result<(), TrustProblem> {
        let served = self.newest.number;
        if served < number {
            return Err(TrustProblem::KeyListRolledBack { served, seen: number });
        }
        let same = self.numbered(number).is_some_and(|list| list.digest() == digest);
        if same { Ok(()) } else { Err(TrustProblem::KeyListForked(number)) }
    }
}
