//! Statements that are named by their digests (PROTOCOL.md, "Reading"): asked for once, however many recordings name
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_lock::Mutex as Turn;
use vault_proto::envelope::{MAX_ENVELOPE, payload_digest};
use vault_proto::ids::Digest;
use vault_proto::named_statements::NamedStatements;
use vault_proto::problem::ProblemCode;
use vault_proto::wire::{self, MAX_ASKED_STATEMENTS, Statements};

use super::connection::Connection;
use crate::error::ClientError;

/// Most bytes of an answer: each envelope with the escapes that JSON needs in it.
const MAX_ANSWER: usize = MAX_ASKED_STATEMENTS * (MAX_ENVELOPE + 1024) + 1024;
/// Most bytes of statements that are remembered; then it begins anew.
const MAX_REMEMBERED: usize = 32 * 1024 * 1024;

/// The statements that one server was asked for, of which each has the digest under which it lies. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct FetchedStatements(Arc<Inner>);

#[derive(Default)]
struct Inner {
    remembered: Mutex<Remembered>,
    /// Whose turn it is to ask. Whoever waits for it is asked for meanwhile, so that recordings that are looked at at
    /// the same time share their requests.
    turn: Turn<()>,
}

#[derive(Default)]
struct Remembered {
    statements: BTreeMap<Digest, Arc<[u8]>>,
    bytes: usize,
    /// What somebody who waits for the turn needs.
    wanted: BTreeSet<Digest>,
}

impl Remembered {
    fn insert(&mut self, digest: Digest, envelope: &Arc<[u8]>) {
        if self.bytes.saturating_add(envelope.len()) > MAX_REMEMBERED {
            self.statements.clear();
            self.bytes = 0;
        }
        if self.statements.insert(digest, Arc::clone(envelope)).is_none() {
            self.bytes = self.bytes.saturating_add(envelope.len());
        }
    }

    /// What is remembered of `digests`, and which are not.
    fn find(&self, digests: &BTreeSet<Digest>) -> (NamedStatements, BTreeSet<Digest>) {
        let (mut found, mut missing) = (NamedStatements::default(), BTreeSet::new());
        for digest in digests {
            match self.statements.get(digest) {
                Some(envelope) => found.insert(*digest, Arc::clone(envelope)),
                None => drop(missing.insert(*digest)),
            }
        }
        (found, missing)
    }
}

impl FetchedStatements {
    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.0.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The statements with these digests, as far as the server has them. One that it shows under the digest of another
    /// is given as it came, for whoever uses it to refuse.
    ///
    /// # Errors
    /// [`ClientError`] if the server does not answer.
    pub(crate) async fn named(
        &self,
        connection: &Connection,
        digests: &BTreeSet<Digest>,
    ) -> Result<NamedStatements, ClientError> {
        let (found, missing) = {
            let mut remembered = self.remembered();
            let (found, missing) = remembered.find(digests);
            remembered.wanted.extend(&missing);
            (found, missing)
        };
        if missing.is_empty() {
            return Ok(found);
        }
        let _turn = self.0.turn.lock().await;
        // Whoever had the turn before may have asked for all of it.
        let (mut found, missing) = self.remembered().find(digests);
        let missing: Vec<Digest> = missing.into_iter().collect();
        for own in missing.chunks(MAX_ASKED_STATEMENTS) {
            let batch = self.with_wanted(own);
            match ask(connection, &batch).await {
                Ok(answered) => self.take(&answered, own, &mut found),
                // Which of them it lacks it does not say.
                Err(error) if is_not_found(&error) && batch.len() > 1 => {
                    for digest in own {
                        match ask(connection, &[*digest]).await {
                            Ok(answered) => self.take(&answered, own, &mut found),
                            Err(error) if is_not_found(&error) => {}
                            Err(error) => return Err(error),
                        }
                    }
                }
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// What is asked for in one request: `own`, and what others wait for as far as there is room. Nobody asks for it a
    /// second time unless it is still needed then.
    fn with_wanted(&self, own: &[Digest]) -> Vec<Digest> {
        let mut remembered = self.remembered();
        for digest in own {
            remembered.wanted.remove(digest);
        }
        let mut batch = own.to_vec();
        while batch.len() < MAX_ASKED_STATEMENTS
            && let Some(digest) = remembered.wanted.pop_first()
        {
            if !remembered.statements.contains_key(&digest) {
                batch.push(digest);
            }
        }
        batch
    }

    fn take(&self, answered: &[(Digest, Arc<[u8]>)], own: &[Digest], found: &mut NamedStatements) {
        let mut remembered = self.remembered();
        for (digest, envelope) in answered {
            if own.contains(digest) {
                found.insert(*digest, Arc::clone(envelope));
            }
            if payload_digest(envelope) == Some(*digest) {
                remembered.insert(*digest, envelope);
            }
        }
    }
}

fn is_not_found(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(problem) if problem.known_code() == Some(ProblemCode::NotFound))
}

async fn ask(connection: &Connection, digests: &[Digest]) -> Result<Vec<(Digest, Arc<[u8]>)>, ClientError> {
    let query: Vec<String> = digests.iter().map(|digest| format!("digest={digest}")).collect();
    let answer: Statements =
        connection.get_json(wire::path::STATEMENTS, Some(&query.join("&")), MAX_ANSWER).await?;
    if answer.statements.len() != digests.len() {
        let (asked, came) = (digests.len(), answer.statements.len());
        return Err(connection.off_protocol(format!("{came} statements where {asked} were asked for")));
    }
    let envelopes = answer.statements.into_iter().map(|envelope| Arc::from(envelope.into_bytes()));
    Ok(digests.iter().copied().zip(envelopes).collect())
}
