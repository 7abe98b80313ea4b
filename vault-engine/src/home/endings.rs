//! The ends that this device has sealed: with one of them it can prove that a recording has an end, whatever a server
//! says.

use serde::{Deserialize, Serialize};
use vault_proto::envelope::Envelope;
use vault_proto::ids::RecordingId;
use vault_proto::recording_list::{ListEntry, Shown};
use vault_proto::statements::FinalSeal;

use crate::error::ClientError;
use crate::home::Home;
use crate::home::account::Account;
use crate::home::own_list;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ending {
    final_seal: Envelope<FinalSeal>,
}

fn name(recording: RecordingId) -> String {
    format!("endings/{recording}.json")
}

/// Remembers the end of a recording that the server has acknowledged, here and on the account's own list.
pub async fn remember(
    home: &Home,
    account: &Account,
    recording: RecordingId,
    final_seal: &Envelope<FinalSeal>,
) -> Result<(), ClientError> {
    home.write_json(&name(recording), &Ending { final_seal: final_seal.clone() }).await?;
    let FinalSeal { manifest, supersedes, .. } = *final_seal.unverified();
    let entry = ListEntry { recording, manifest, final_seal: Some(final_seal.digest()) };
    own_list::know(home, account, Shown { entry, supersedes }).await
}

/// The final seal that this device signed for a recording, and a server acknowledged.
///
/// # Errors
/// [`ClientError::Disk`].
pub async fn sealed_here(
    home: &Home,
    recording: RecordingId,
) -> Result<Option<Envelope<FinalSeal>>, ClientError> {
    Ok(home.read_json::<Ending>(&name(recording)).await?.map(|ending| ending.final_seal))
}
