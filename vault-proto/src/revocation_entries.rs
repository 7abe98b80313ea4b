//! The object that revocations name: which accounts ended, and how far their key lists are (FORMAT.md, "Revocations").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::envelope::{StatementError, place};
use crate::ids::{AccountId, Digest};
use crate::timestamp::Timestamp;

/// Most bytes of an entries object.
pub const MAX_REVOCATION_ENTRIES: usize = 4 * 1024 * 1024;

const NAME: &str = "object of revocations";

/// What is revoked of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationEntry {
    /// The account.
    pub account: AccountId,
    /// First second at which none of its certificates counts any more.
    pub ended: Option<Timestamp>,
    /// The least number that its newest key list can have: one with a lower number is not its newest.
    pub key_list: Option<u64>,
}

/// The entries of revocations, each account at most once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevocationEntries {
    entries: BTreeMap<AccountId, RevocationEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntriesText {
    entries: Vec<RevocationEntry>,
}

impl RevocationEntries {
    /// The entries of these accounts; of several of one account the last one.
    pub fn of(entries: impl IntoIterator<Item = RevocationEntry>) -> Self {
        Self { entries: entries.into_iter().map(|entry| (entry.account, entry)).collect() }
    }

    /// Reads an entries object in its one spelling: accounts ascend, there is no white space.
    ///
    /// # Errors
    /// [`StatementError::Payload`] or [`StatementError::Envelope`].
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        if bytes.len() > MAX_REVOCATION_ENTRIES {
            return Err(StatementError::Envelope(NAME));
        }
        let text: EntriesText = serde_json::from_slice(bytes)
            .map_err(|error| StatementError::Payload { name: NAME, reason: place(&error) })?;
        let has_zero =
            text.entries.iter().any(|entry| entry.key_list.is_some_and(|number| !is_number(number)));
        let entries = Self::of(text.entries);
        if has_zero || entries.to_bytes()? != bytes {
            return Err(StatementError::Envelope(NAME));
        }
        Ok(entries)
    }

    /// The object's bytes; the statement names their SHA-256.
    ///
    /// # Errors
    /// [`StatementError::Payload`] if they cannot be written, which is never so.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StatementError> {
        let text = EntriesText { entries: self.entries.values().copied().collect() };
        serde_json::to_vec(&text)
            .map_err(|error| StatementError::Payload { name: NAME, reason: error.to_string() })
    }

    /// SHA-256 of the object.
    ///
    /// # Errors
    /// As [`Self::to_bytes`].
    pub fn digest(&self) -> Result<Digest, StatementError> {
        Ok(Digest::of(&self.to_bytes()?))
    }

    /// What is revoked of `account`.
    pub fn of_account(&self, account: AccountId) -> Option<&RevocationEntry> {
        self.entries.get(&account)
    }
}

/// Whether a key list can have this number.
const fn is_number(number: u64) -> bool {
    number > 0 && number < 1 << 53
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_entry() -> impl Strategy<Value = RevocationEntry> {
        let time = (0i64..4_000_000_000).prop_map(|seconds| Timestamp::from_unix_seconds(seconds).unwrap());
        let ended = proptest::option::of(time);
        (any::<[u8; 32]>(), ended, proptest::option::of(1u64..1 << 53)).prop_map(
            |(account, ended, key_list)| RevocationEntry {
                account: AccountId::from_bytes(account),
                ended,
                key_list,
            },
        )
    }

    #[test]
    fn other_spellings_are_refused() {
        let account = |byte: u8| AccountId::from_bytes([byte; 32]);
        let entry = |byte, number: &str| {
            format!(r#"{{"account":"{}","ended":null,"key_list":{number}}}"#, account(byte))
        };
        let object = |entries: &[String]| format!(r#"{{"entries":[{}]}}"#, entries.join(","));
        for good in [object(&[]), object(&[entry(1, "null")]), object(&[entry(1, "1"), entry(2, "7")])] {
            let read = RevocationEntries::parse(good.as_bytes()).unwrap();
            assert_eq!(read.to_bytes().unwrap(), good.as_bytes());
        }
        for bad in [
            String::new(),
            "[]".to_owned(),
            format!("{} ", object(&[])),
            object(&[entry(2, "1"), entry(1, "1")]),
            object(&[entry(1, "1"), entry(1, "1")]),
            object(&[entry(1, "0")]),
            object(&[entry(1, "1.0")]),
            object(&[entry(1, "-1")]),
            object(&[entry(1, "9007199254740992")]),
            object(&[format!(r#"["{}",null,1]"#, account(1))]),
            object(&[format!(r#"{{"account":"{}","ended":null}}"#, account(1))]),
        ] {
            assert!(RevocationEntries::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let too_long = vec![b' '; MAX_REVOCATION_ENTRIES + 1];
        assert!(RevocationEntries::parse(&too_long).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in proptest::collection::vec(any_entry(), 0..20)) {
            let written = RevocationEntries::of(entries.clone());
            let read = RevocationEntries::parse(&written.to_bytes().unwrap()).unwrap();
            prop_assert_eq!(&read, &written);
            for entry in &entries {
                prop_assert!(read.of_account(entry.account).is_some());
            }
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(entries) = RevocationEntries::parse(&bytes) {
                prop_assert_eq!(entries.to_bytes().unwrap(), bytes);
            }
        }
    }
}
