//! The chain of manifests that this device has signed: each names the one before.

use vault_proto::envelope::Envelope;
use vault_proto::envelope::MAX_ENVELOPE;
use vault_proto::ids::{Digest, KeyId};
use vault_proto::statements::Manifest;
use vault_proto::wire::{self, Last};

use super::journal::Journal;
use crate::error::ClientError;
use crate::home::Home;
use crate::session::Session;

/// Most bytes of the answer that holds a manifest.
const MAX_LAST: usize = 2 * MAX_ENVELOPE;

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

/// Learns the newest manifest of this device from the server, where the home was restored or copied and knows only older
/// ones. Gives whether that is newer than what the chain knew. The lock of the chain is the caller's.
pub(super) async fn learn_last(session: &Session) -> Result<bool, ClientError> {
    let Session { home, connection, account, .. } = session;
    let path = wire::path::last(&account.id);
    let last: Last = connection.get_json(&path, None, MAX_LAST).await?;
    let Some(manifest) = last.manifest else {
        return Ok(false);
    };
    // Whatever the server shows, only this device can have signed it, and only with a number that it has used.
    let manifest = Envelope::parse(manifest.as_bytes()).ok().filter(|manifest: &Envelope<Manifest>| {
        let signed = manifest.verify(KeyId::of_device(&account.device), &account.device);
        signed.is_ok_and(|signed| signed.sealer == account.id)
    });
    let manifest = manifest.ok_or_else(|| {
        connection.off_protocol("the manifest it calls this device's newest is not its".to_owned())
    })?;
    let last = ChainHead::of(&manifest);
    let known = chain_head(home).await?;
    if known.is_some_and(|known| known.sequence >= last.sequence) {
        return Ok(false);
    }
    home.write_json(CHAIN, &last).await?;
    Ok(true)
}

/// The newest manifest of this device's chain, be it only in the journal of an upload that died.
pub(super) async fn chain_head(home: &Home) -> Result<Option<ChainHead>, ClientError> {
    let stored: Option<ChainHead> = home.read_json(CHAIN).await?;
    let begun = Journal::manifests(home).await?;
    Ok(stored.into_iter().chain(begun.iter().map(ChainHead::of)).max_by_key(|head| head.sequence))
}
