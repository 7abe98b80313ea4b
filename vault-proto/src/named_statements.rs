//! Statements that others name by their digests, each once (FORMAT.md, "Objects of a recording").
//!
//! Whoever hands them out is not believed: each is compared with the digest under which it is asked for whenever it is
//! used.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::envelope::{Envelope, Statement, StatementError, payload_digest};
use crate::ids::Digest;

/// Envelopes by the digests under which they lie. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct NamedStatements(BTreeMap<Digest, Arc<[u8]>>);

impl NamedStatements {
    /// Takes `envelope` for the statement with this digest; whether it is, is looked at when it is used. One that was
    /// there is replaced.
    pub fn insert(&mut self, digest: Digest, envelope: impl Into<Arc<[u8]>>) {
        self.0.insert(digest, envelope.into());
    }

    /// Takes `envelope` under its own digest.
    pub fn insert_statement<T: Statement>(&mut self, envelope: &Envelope<T>) {
        self.insert(envelope.digest(), envelope.bytes());
    }

    /// Takes an envelope of any kind under its own digest. `false` if it is not the canonical spelling of an envelope,
    /// which has none.
    pub fn insert_any(&mut self, envelope: &[u8]) -> bool {
        let digest = payload_digest(envelope);
        digest.map(|digest| self.insert(digest, envelope)).is_some()
    }

    /// The envelope under a digest, as it came.
    pub fn bytes(&self, digest: &Digest) -> Option<&Arc<[u8]>> {
        self.0.get(digest)
    }

    /// All envelopes, ascending by digest.
    pub fn iter(&self) -> impl Iterator<Item = (&Digest, &Arc<[u8]>)> {
        self.0.iter()
    }

    /// The statement with this digest, of the kind that is asked for. Its signature is not looked at.
    ///
    /// # Errors
    /// [`StatementError::NotThere`], [`StatementError::OtherDigest`], or every error of [`Envelope::parse`].
    pub fn get<T: Statement>(&self, digest: &Digest) -> Result<Envelope<T>, StatementError> {
        let bytes = self.bytes(digest).ok_or(StatementError::NotThere(T::NAME))?;
        let parsed = Envelope::<T>::parse(bytes);
        // One of another kind or a later version has a digest, too, and what does not fit it is damaged, whatever it is.
        let found = parsed.as_ref().map_or_else(|_| payload_digest(bytes), |parsed| Some(parsed.digest()));
        if found == Some(*digest) { parsed } else { Err(StatementError::OtherDigest(T::NAME)) }
    }
}

impl FromIterator<(Digest, Arc<[u8]>)> for NamedStatements {
    fn from_iter<I: IntoIterator<Item = (Digest, Arc<[u8]>)>>(statements: I) -> Self {
        Self(statements.into_iter().collect())
    }
}
