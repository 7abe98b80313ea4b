//! The client's home: secrets under a passphrase, certificates, pins, what was begun and not ended.
//!
//! ```text
//! identity.age        the device's secrets              certificate.json  from the registrar
//! key-list.json       the account's own key list        server.json       where it is enrolled, under which organisation
//! pins/<account>.json what was seen of each account     names.json        what the holder calls accounts
//! issuer.json         the organisation's issuer certificate of the highest number seen
//! entries/<account>.json  who was looked up lately: a recording may begin while the server is away
//! list.json           the account's own signed list of recordings
//! exports/<id>/       what was opened for exports, so that their files vouch for nothing themselves
//! sequence.json       the device's last manifest number uploads/          journals and spools of unfinished uploads
//! endings/<id>.json   final seals that this device made
//! ```
//! These are the keys of its records. Where there are files, each is a file; elsewhere they are keys all the same.

pub mod account;
pub mod endings;
pub mod names;
pub mod own_list;
pub mod pins;

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vault_proto::ids::{AccountId, OrganisationId};

use crate::effects::{Change, Effects, Lock, Locking, RecordName};
use crate::error::{ClientError, IoFailure, IoFailureKind, Missing};

/// A client's home. Cheap to clone.
#[derive(Clone)]
pub struct Home {
    effects: Effects,
    place: Arc<str>,
}

/// Where an account is enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The server's address.
    pub server: String,
    /// The pinned organisation root.
    pub organisation: OrganisationId,
}

pub(crate) const IDENTITY: &str = "identity.age";
pub(crate) const CERTIFICATE: &str = "certificate.json";
pub(crate) const KEY_LIST: &str = "key-list.json";
const ENROLMENT: &str = "server.json";

impl Home {
    /// The home that `effects` keep; `place` is where it is, for a person.
    pub fn new(effects: Effects, place: &str) -> Self {
        Self { effects, place: place.into() }
    }

    /// Where it is, for a person.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The machine that keeps it.
    pub const fn effects(&self) -> &Effects {
        &self.effects
    }

    /// Where a record is, for a person.
    pub(crate) fn place_of(&self, key: &str) -> String {
        format!("{}/{key}", self.place.trim_end_matches('/'))
    }

    /// Whether a record is there.
    pub(crate) async fn has(&self, key: &str) -> Result<bool, ClientError> {
        Ok(self.read(key).await?.is_some())
    }

    /// Reads a record; `None` if it does not exist.
    pub async fn read(&self, key: &str) -> Result<Option<Bytes>, ClientError> {
        self.effects.load(key).await
    }

    /// Reads a JSON record; `None` if it does not exist.
    pub async fn read_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ClientError> {
        let Some(bytes) = self.read(key).await? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&bytes).map_err(|error| self.damaged(key, &error))?;
        Ok(Some(value))
    }

    /// The error that says that a record is not what was written.
    pub(crate) fn damaged(&self, key: &str, error: &dyn std::error::Error) -> ClientError {
        let why = IoFailure::new(IoFailureKind::Damaged, error.to_string());
        ClientError::Disk { place: self.place_of(key), why }
    }

    /// The names of all records that begin so.
    pub(crate) async fn names(&self, prefix: &str) -> Result<Vec<RecordName>, ClientError> {
        self.effects.list(prefix).await
    }

    /// Replaces a record durably.
    pub async fn write(&self, key: &str, bytes: impl Into<Bytes>) -> Result<(), ClientError> {
        self.effects.commit(vec![Change::Put(key.to_owned(), bytes.into())]).await
    }

    /// Replaces a JSON record durably.
    pub async fn write_json<T: Serialize>(&self, key: &str, value: &T) -> Result<(), ClientError> {
        self.effects.commit(vec![Self::put_json(key, value)?]).await
    }

    /// All of `changes`, durably, or none of them.
    pub(crate) async fn commit(&self, changes: Vec<Change>) -> Result<(), ClientError> {
        self.effects.commit(changes).await
    }

    /// The change that replaces a JSON record.
    pub(crate) fn put_json<T: Serialize>(key: &str, value: &T) -> Result<Change, ClientError> {
        let bytes = serde_json::to_vec_pretty(value).map_err(|error| ClientError::Bug(error.to_string()))?;
        Ok(Change::Put(key.to_owned(), bytes.into()))
    }

    /// Waits until no other holds the lock `name` of this home.
    pub async fn lock(&self, name: &str) -> Result<Lock, ClientError> {
        let lock = self.effects.lock(name, Locking::Wait).await?;
        lock.ok_or_else(|| ClientError::Bug("a lock that was waited for did not come".to_owned()))
    }

    /// As [`Self::lock`], in a home that cannot be written to without it: what is learnt there is not kept.
    pub(crate) async fn lock_if_writable(&self, name: &str) -> Result<Option<Lock>, ClientError> {
        match self.lock(name).await {
            Err(ClientError::Disk { why, .. }) if why.is_refusal_to_write() => Ok(None),
            other => other.map(Some),
        }
    }

    /// Where the account is enrolled.
    ///
    /// # Errors
    /// [`ClientError::NotSetUp`] if it is not.
    pub async fn enrolment(&self) -> Result<Enrolment, ClientError> {
        let enrolment = self.read_json(ENROLMENT).await?;
        enrolment.ok_or_else(|| ClientError::NotSetUp(Missing::Enrolment(self.place().to_owned())))
    }

    /// Remembers where the account is enrolled.
    pub(crate) async fn set_enrolment(&self, enrolment: &Enrolment) -> Result<(), ClientError> {
        self.write_json(ENROLMENT, enrolment).await
    }

    /// Key of the pin of an account.
    pub(crate) fn pin_name(account: &AccountId) -> String {
        format!("pins/{account}.json")
    }

    /// Accounts that were met before.
    pub(crate) async fn pinned_accounts(&self) -> Result<Vec<AccountId>, ClientError> {
        let account = |name: RecordName| name.key.strip_prefix("pins/")?.strip_suffix(".json")?.parse().ok();
        let mut accounts: Vec<AccountId> =
            self.names("pins/").await?.into_iter().filter_map(account).collect();
        accounts.sort_unstable();
        Ok(accounts)
    }
}
