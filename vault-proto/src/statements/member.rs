use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, Digest};

/// An account as others need to know it, by the digests of its statements (FORMAT.md, "Kinds"). The statements
/// themselves lie beside what names them, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The account.
    pub account: AccountId,
    /// The organisation root's word for the issuer.
    pub issuer: Digest,
    /// The issuer's word for the account.
    pub certificate: Digest,
    /// The account's own word for its keys.
    pub key_list: Digest,
    /// What added the signing device to that key list; null if the list itself names it, or if no device of the account
    /// signs.
    pub device: Option<Digest>,
}

impl Member {
    /// The statements that it names.
    pub fn statements(&self) -> impl Iterator<Item = Digest> {
        [self.issuer, self.certificate, self.key_list].into_iter().chain(self.device)
    }
}
