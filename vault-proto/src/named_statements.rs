//! Statements that others name by their digests, each once (FORMAT.md, "Objects").
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
        // One of another kind or a later version has a digest, too. What does not fit it is damaged, whatever it is.
        let found = parsed.as_ref().map_or_else(|_| payload_digest(bytes), |parsed| Some(parsed.digest()));
        if found == Some(*digest) { parsed } else { Err(StatementError::OtherDigest(T::NAME)) }
    }
}

impl FromIterator<(Digest, Arc<[u8]>)> for NamedStatements {
    fn from_iter<I: IntoIterator<Item = (Digest, Arc<[u8]>)>>(statements: I) -> Self {
        Self(statements.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Signer as _;

    use super::*;
    use crate::envelope;
    use crate::ids::{AccountId, KeyId};
    use crate::signing_fixture::{key, signing_key, time};
    use crate::statements::{Device, DeviceRole, KeyList};

    fn device(number: u8) -> Envelope<Device> {
        let device = Device {
            account: AccountId::from_bytes([1; 32]),
            key_list: Digest::of(b"a list"),
            key: key(number),
            roles: vec![DeviceRole::Seal],
            by: KeyId::of_device(&key(1)),
            created: time(1),
        };
        envelope::sign(&device, device.by, |bytes| signing_key(1).sign(bytes).to_bytes()).unwrap()
    }

    #[test]
    fn a_statement_is_found_under_its_digest_alone_and_as_what_it_is() {
        let (one, other) = (device(2), device(3));
        let mut statements = NamedStatements::default();
        statements.insert_statement(&one);
        assert_eq!(statements.get::<Device>(&one.digest()).unwrap(), one);
        assert_eq!(statements.get::<Device>(&other.digest()), Err(StatementError::NotThere(Device::NAME)));
        // Of another kind, under its own digest.
        let found = statements.get::<KeyList>(&one.digest());
        assert!(matches!(found, Err(StatementError::Type { .. })), "{found:?}");

        // Whatever lies under the digest of another: well-formed, of a later version, of another kind, or nothing.
        let later = String::from_utf8(one.bytes().to_vec()).unwrap().replace("device.v1", "device.v2");
        for bytes in [one.bytes(), later.as_bytes(), b"{}", b""] {
            statements.insert(other.digest(), bytes);
            let found = statements.get::<Device>(&other.digest());
            assert_eq!(found, Err(StatementError::OtherDigest(Device::NAME)));
            let found = statements.get::<KeyList>(&other.digest());
            assert_eq!(found, Err(StatementError::OtherDigest(KeyList::NAME)));
        }
        // A later version that is named is of a newer format.
        statements.insert(one.digest(), later.as_bytes());
        let found = statements.get::<Device>(&one.digest());
        assert!(matches!(found, Err(StatementError::Newer { .. })), "{found:?}");
    }

    #[test]
    fn what_is_no_envelope_has_no_digest() {
        let mut statements = NamedStatements::default();
        let one = device(2);
        let spaced = String::from_utf8(one.bytes().to_vec()).unwrap().replace(':', ": ");
        assert!(!statements.insert_any(spaced.as_bytes()) && !statements.insert_any(b""));
        assert_eq!(statements.iter().count(), 0);
        assert!(statements.insert_any(one.bytes()) && statements.insert_any(one.bytes()));
        assert_eq!(statements.iter().map(|(digest, _)| *digest).collect::<Vec<_>>(), [one.digest()]);
    }
}
