//! What this server knows, for deciding what counts: the key lists of its accounts, and the organisation's issuers.

use std::sync::{Mutex, PoisonError};

use vault_proto::ids::AccountId;
use vault_proto::key_chain::KeyListChain;
use vault_proto::members::{SignedChain, verify_issuer};
use vault_proto::trust::Known;

use super::Vault;
use crate::problem::Problem;

/// The issuer certificate of the highest number: that of the stored accounts, and of those replaced since.
#[derive(Default)]
pub(super) struct KnownIssuers(Mutex<Option<Known>>);

impl Vault {
    /// What is known of the organisation's issuers and of `accounts`.
    ///
    /// # Errors
    /// [`ProblemCode::Internal`](vault_proto::problem::ProblemCode::Internal) if a stored statement does not check.
    pub(crate) fn known(&self, accounts: impl IntoIterator<Item = AccountId>) -> Result<Known, Problem> {
        let mut known = self.issuers()?;
        for account in accounts {
            if let Some(row) = self.store.directory_entry(account)? {
                let chain = KeyListChain::check(account, &row.entry.key_lists)
                    .map_err(|error| Problem::internal(&error))?;
                known.learn_key_lists(account, chain);
            }
        }
        Ok(known)
    }

    fn issuers(&self) -> Result<Known, Problem> {
        let mut cached = self.known_issuers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*cached {
            return Ok(known.clone());
        }
        let mut known = Known::default();
        for issuer in self.store.issuers()? {
            // One that is damaged says nothing, and takes nothing from those that are not.
            match verify_issuer(&issuer, self.organisation) {
                Ok(issuer) => known.learn_issuer(&issuer),
                Err(error) => tracing::error!(%error, "a stored issuer's certificate does not check"),
            }
        }
        *cached = Some(known.clone());
        Ok(known)
    }

    /// Remembers the issuer certificate of a chain that is stored.
    pub(super) fn learn_issuer(&self, chain: &SignedChain) {
        let mut cached = self.known_issuers.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What is not loaded yet is loaded from the store, which has it.
        if let Some(known) = &mut *cached {
            known.learn_issuer(chain.issuer());
        }
    }
}
