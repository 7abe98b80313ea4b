//! The chain of manifests that this device has signed: each names the one before.

use vault_proto::envelope::Envelope;
use vault_proto::ids::Digest;
use vault_proto::statements::Manifest;

use super::journal::Journal;
use vault_engine::error::ClientError;
use vault_engine::home::Home;

use crate::home_folder::folder_of;

/// File that remembers the newest manifest of the device's chain.
pub(super) const CHAIN: &str = "chain.json";

/// Newest manifest of this device's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChainHead {
    pub(super) sequence: u64,
    pub(super) manifest: Digest,
}

impl ChainHead {
    pub(super) fn of(manifest: &Envelope<Manifest>) -> Self {
        Self { sequence: manifest.unverified().sequence, manifest: manifest.digest() }
    }
}

/// Makes the chain remember the manifest of a journal that is about to be finished: its process may have died, or
/// failed, before it could.
pub(super) async fn remember_in_chain(home: &Home, manifest: &Envelope<Manifest>) -> Result<(), ClientError> {
    let _lock = home.lock("chain").await?;
    let stored: Option<ChainHead> = home.read_json(CHAIN).await?;
    let own = ChainHead::of(manifest);
    if stored.is_none_or(|stored| stored.sequence < own.sequence) {
        home.write_json(CHAIN, &own).await
    } else {
        Ok(())
    }
}

/// The newest manifest of this device's chain, be it only in the journal of an upload that died.
pub(super) async fn chain_head(home: &Home) -> Result<Option<ChainHead>, ClientError> {
    let stored: Option<ChainHead> = home.read_json(CHAIN).await?;
    let begun = Journal::manifests(&folder_of(home))?;
    Ok(stored.into_iter().chain(begun.iter().map(ChainHead::of)).max_by_key(|head| head.sequence))
}
