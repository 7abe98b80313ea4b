//! The numbers of the manifests that this device has signed: none is given twice, and each is noted before what bears
//! it is sent (FORMAT.md, `manifest`).

use vault_proto::envelope::Envelope;
use vault_proto::envelope::MAX_ENVELOPE;
use vault_proto::ids::KeyId;
use vault_proto::statements::Manifest;
use vault_proto::wire::{self, Last};

use super::journal::Journal;
use crate::effects::{Change, Lock};
use crate::error::ClientError;
use crate::home::Home;
use crate::session::Session;

/// Most bytes of the answer that holds a manifest.
const MAX_LAST: usize = 2 * MAX_ENVELOPE;

/// File that remembers the last number.
const SEQUENCE: &str = "sequence.json";

/// What that file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    last: u64,
}

/// The lock under which numbers are given.
///
/// # Errors
/// [`ClientError::Disk`].
pub(super) async fn lock(home: &Home) -> Result<Lock, ClientError> {
    home.lock("sequence").await
}

/// The number of the manifest that is signed next. The lock is the caller's.
///
/// # Errors
/// [`ClientError::Disk`].
pub(super) async fn next(home: &Home) -> Result<u64, ClientError> {
    let noted = noted(home).await?;
    let begun = Journal::manifests(home).await?;
    let begun = begun.iter().map(|manifest| manifest.unverified().sequence).max().unwrap_or(0);
    Ok(noted.max(begun) + 1)
}

/// The change by which the home notes the number of a manifest. The lock is the caller's.
pub(super) fn taken_by(manifest: &Envelope<Manifest>) -> Result<Change, ClientError> {
    Home::put_json(SEQUENCE, &Noted { last: manifest.unverified().sequence })
}

/// Makes the home remember the number of the manifest of a journal that is about to be finished: its process may have
/// died, or failed, before it could.
///
/// # Errors
/// [`ClientError::Disk`].
pub(super) async fn remember(home: &Home, manifest: &Envelope<Manifest>) -> Result<(), ClientError> {
    let _lock = lock(home).await?;
    note(home, manifest.unverified().sequence).await
}

/// Learns from the server which numbers this device has given elsewhere, where the home was restored or copied: a
/// manifest of its own under the number `refused` is a conflict. Gives whether a later number is worth a try. The lock
/// is the caller's.
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
    let last = manifest.unverified().sequence;
    // The number was free, so it is something else that conflicts.
    if last < refused {
        return Ok(false);
    }
    // A later one that the home knows is that of another process.
    note(home, last).await?;
    Ok(true)
}

async fn noted(home: &Home) -> Result<u64, ClientError> {
    Ok(home.read_json(SEQUENCE).await?.map_or(0, |noted: Noted| noted.last))
}

/// Notes a number, unless a higher one is.
async fn note(home: &Home, number: u64) -> Result<(), ClientError> {
    if noted(home).await? < number {
        home.write_json(SEQUENCE, &Noted { last: number }).await
    } else {
        Ok(())
    }
}
