//! Statements that others name by their digests (PROTOCOL.md, sections 4.2 and 4.3): stored once, with whatever names
//! them first, and never dropped.

use vault_proto::envelope::payload_digest;
use vault_proto::ids::Digest;
use vault_proto::named_statements::NamedStatements;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Manifest;
use vault_proto::wire::{MAX_ASKED_STATEMENTS, MAX_SENT_STATEMENTS, Statements};

use super::Vault;
use crate::authorize::{Action, authorize};
use crate::blob::{BlobError, Day};
use crate::event::Caller;
use crate::problem::Problem;
use crate::store::StoreError;

/// Reads which statements a query asks for: `digest=…` one to 32 times, each another.
///
/// # Errors
/// [`ProblemCode::BadRequest`].
pub fn asked(query: Option<&str>) -> Result<Vec<Digest>, Problem> {
    let bad = || Problem::bad_request("The query must be 1 to 32 different digests.");
    let digest = |field: &str| field.strip_prefix("digest=")?.parse::<Digest>().ok();
    let mut digests: Vec<Digest> = Vec::new();
    for field in query.unwrap_or_default().split('&') {
        let digest = digest(field).filter(|digest| !digests.contains(digest)).ok_or_else(bad)?;
        if digests.len() == MAX_ASKED_STATEMENTS {
            return Err(bad());
        }
        digests.push(digest);
    }
    Ok(digests)
}

/// The statements with these digests, in their order.
///
/// # Errors
/// [`ProblemCode::NotFound`] if one of them is not there.
pub fn fetch(vault: &Vault, caller: &Caller, digests: &[Digest]) -> Result<Statements, Problem> {
    authorize(&caller.actor, Action::FetchNamedStatements, None)?;
    let statements = digests
        .iter()
        .map(|digest| {
            let envelope = vault.store.statement(digest)?.ok_or_else(Problem::not_found)?;
            if payload_digest(&envelope) != Some(*digest) {
                return Err(Problem::internal(&"a stored statement is damaged"));
            }
            String::from_utf8(envelope).map_err(|error| Problem::internal(&error))
        })
        .collect::<Result<_, _>>()?;
    Ok(Statements { statements })
}

/// Most bytes of memory that [`fetch`] takes until its answer is encoded.
///
/// # Errors
/// [`ProblemCode::Internal`].
pub fn size(vault: &Vault, digests: &[Digest]) -> Result<usize, Problem> {
    let sizes = digests.iter().map(|digest| Ok(vault.store.statement_size(digest)?.unwrap_or(0)));
    let stored = sizes.sum::<Result<u64, StoreError>>()?;
    Ok(super::size_while_encoded(stored))
}

/// What a manifest names, of what is stored and what came with it.
pub(super) struct Named {
    /// All of it.
    pub(super) statements: NamedStatements,
    /// What of it is not stored yet: digests and envelopes.
    pub(super) new: Vec<(Digest, Vec<u8>)>,
}

impl Vault {
    /// Finds the statements that `manifest` names, among those that came with it in `sent` and those that are stored.
    /// None of their signatures is looked at.
    ///
    /// # Errors
    /// [`ProblemCode::StatementRefused`] if one that is named is neither here nor there, or one was sent that is not
    /// named.
    pub(super) fn named_by(&self, manifest: &Manifest, sent: &[String]) -> Result<Named, Problem> {
        let refused = |detail: &'static str| Problem::with_detail(ProblemCode::StatementRefused, detail);
        let named = manifest.named_statements();
        if sent.len() > MAX_SENT_STATEMENTS {
            return Err(refused("It came with more statements than a manifest can name."));
        }
        let mut new = std::collections::BTreeMap::new();
        for envelope in sent {
            let digest = payload_digest(envelope.as_bytes()).filter(|digest| named.contains(digest));
            let digest =
                digest.ok_or_else(|| refused("It came with a statement that none of its members names."))?;
            new.insert(digest, envelope.as_bytes());
        }
        let mut statements = NamedStatements::default();
        for digest in &named {
            if let Some(stored) = self.store.statement(digest)? {
                // What is stored was checked when it came, and stands for every other spelling of it.
                new.remove(digest);
                statements.insert(*digest, stored);
            } else if let Some(sent) = new.get(digest) {
                statements.insert(*digest, *sent);
            } else {
                return Err(refused("Statements that its members name are missing."));
            }
        }
        let new = new.into_iter().map(|(digest, envelope)| (digest, envelope.to_vec())).collect();
        Ok(Named { statements, new })
    }

    /// The statements that a stored manifest names.
    ///
    /// # Errors
    /// [`ProblemCode::Internal`] if the store fails; one that is not there shows when it is used.
    pub(super) fn stored_statements(&self, manifest: &Manifest) -> Result<NamedStatements, Problem> {
        let mut statements = NamedStatements::default();
        for digest in manifest.named_statements() {
            if let Some(stored) = self.store.statement(&digest)? {
                statements.insert(digest, stored);
            }
        }
        Ok(statements)
    }

    /// Those of these statements that are not stored yet.
    pub(super) fn unstored<'a>(
        &self,
        statements: &[(Digest, &'a [u8])],
    ) -> Result<Vec<(Digest, &'a [u8])>, Problem> {
        let mut unstored = Vec::new();
        for (digest, envelope) in statements {
            if self.store.statement_size(digest)?.is_none() {
                unstored.push((*digest, *envelope));
            }
        }
        Ok(unstored)
    }

    /// Makes objects of statements that are not stored yet, then runs `name`, which adds their rows. Nobody else does
    /// the same meanwhile, so that a row and its object are of one spelling.
    pub(super) fn with_statements<T>(
        &self,
        statements: &[(Digest, &[u8])],
        name: impl FnOnce() -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        if statements.is_empty() {
            return name();
        }
        self.statements_lock.exclusive((), || {
            for (digest, envelope) in statements {
                if self.store.statement_size(digest)?.is_none() {
                    self.put_unnamed_statement(digest, envelope)?;
                }
            }
            name()
        })
    }

    /// As [`Self::put_unnamed`], for a statement.
    fn put_unnamed_statement(&self, digest: &Digest, envelope: &[u8]) -> Result<(), Problem> {
        match self.blobs.statement(digest) {
            Ok(stored) if stored != envelope => {
                let name = vault_proto::object::statement_path(digest);
                tracing::warn!(object = %name, "set aside an object that no row names, to store another");
                self.blobs.set_aside(&name, &Day::of((self.clock)()))?;
            }
            Ok(_) | Err(BlobError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.blobs.put_statement(digest, envelope)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_one_to_thirty_two_different_digests() {
        let digest = |number: u8| Digest::of(&[number]);
        let query = |digests: &[Digest]| {
            digests.iter().map(|digest| format!("digest={digest}")).collect::<Vec<_>>().join("&")
        };
        let all: Vec<Digest> = (0..33).map(digest).collect();
        assert_eq!(asked(Some(&query(&all[..32]))).unwrap(), all[..32]);
        assert_eq!(asked(Some(&query(&all[5..6]))).unwrap(), [digest(5)]);
        let one = digest(1);
        for wrong in [
            None,
            Some(String::new()),
            Some(query(&all)),
            Some(query(&[one, one])),
            Some(format!("digest={}", one.to_string().to_uppercase())),
            Some(format!("digest={one}&")),
            Some(format!("digest={one}&other=1")),
            Some(format!("digest={one}%20")),
            Some("digest=abcd".to_owned()),
        ] {
            assert_eq!(asked(wrong.as_deref()).unwrap_err().code, ProblemCode::BadRequest, "{wrong:?}");
        }
    }
}
