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

/// Learns from the server how far this device's chain has got elsewhere, where the home was restored or copied: a
/// manifest of its own under the number `refused` is a conflict. Gives whether a later number is worth a try. The lock
/// of the chain is the caller's.
///
/// # Errors
/// [`ClientError::Protocol`] for a manifest that this device did not sign, of which nothing is kept.
pub(super) async fn learn_last(session: &Session, refused: u64) -> Result<bool, ClientError> {
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
    // The number was free, so it is something else that conflicts.
    if last.sequence < refused {
        return Ok(false);
    }
    // Under the refused number the home has its own manifest, which the server never took. A later one is that of
    // another process of this home.
    let known: Option<ChainHead> = home.read_json(CHAIN).await?;
    if known.is_none_or(|known| known.sequence <= last.sequence) {
        home.write_json(CHAIN, &last).await?;
    }
    Ok(true)
}

/// The newest manifest of this device's chain, be it only in the journal of an upload that died.
pub(super) async fn chain_head(home: &Home) -> Result<Option<ChainHead>, ClientError> {
    let stored: Option<ChainHead> = home.read_json(CHAIN).await?;
    let begun = Journal::manifests(home).await?;
    Ok(stored.into_iter().chain(begun.iter().map(ChainHead::of)).max_by_key(|head| head.sequence))
}
