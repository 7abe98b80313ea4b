//! An account on this machine: made, unlocked, enrolled (FORMAT.md, "Keys" and "Trust").

use std::sync::Arc;

use secrecy::SecretString;
use vault_core::identity::Identity;
use vault_core::identity_file::DeviceSecrets;
use vault_core::passphrase_file::WorkFactor;
use vault_core::seed::Seed;
use vault_core::signing_key::SigningKey;
use vault_proto::credentials::{CertificateChain, Member, TrustProblem};
use vault_proto::envelope::{self, Envelope};
use vault_proto::ids::{AccountId, KeyId, PublicKey};
use vault_proto::statements::{DeviceKey, DeviceRole, EncryptionKey, KeyList, Suite};
use zeroize::Zeroizing;

use crate::clock::now;
use crate::error::{ClientError, Missing};
use crate::home::{CERTIFICATE, Enrolment, Home, IDENTITY, KEY_LIST};

/// Epoch of an account's first identity.
const FIRST_EPOCH: u32 = 1;

/// An account that was just made and is kept nowhere yet.
pub struct NewAccount {
    /// The account.
    pub account: AccountId,
    /// The 24 words from which everything of the account derives. They are kept nowhere else.
    pub words: Zeroizing<String>,
    key_list: Envelope<KeyList>,
    secrets: DeviceSecrets,
}

/// An account whose secrets are in memory, until the last clone is dropped: clones share them.
#[derive(Clone)]
pub struct Account {
    /// The account.
    pub id: AccountId,
    /// Signs requests and seals.
    pub device: Arc<SigningKey>,
    /// Opens recordings.
    pub identity: Arc<Identity>,
}

/// What is public about the account of a home; readable without its passphrase.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The account's key list.
    pub key_list: Envelope<KeyList>,
    /// Its certificate chain, once there is one.
    pub chain: Option<CertificateChain>,
    /// Where it is enrolled, once it is.
    pub enrolment: Option<Enrolment>,
}

/// Whether a home is an account's.
pub fn is_account(home: &Home) -> bool {
    home.has(IDENTITY)
}

/// Refuses a home that has an identity already.
///
/// # Errors
/// [`ClientError::Usage`]: an identity is never overwritten.
pub fn require_none(home: &Home) -> Result<(), ClientError> {
    if home.has(IDENTITY) {
        return Err(ClientError::Usage(format!(
            "the folder {} already holds an identity, which is never overwritten; choose another --home",
            home.folder().display()
        )));
    }
    Ok(())
}

impl NewAccount {
    /// Makes an account of `suite` in memory: seed, root, identity of the first epoch, a device key. The seed and the
    /// root leave memory when this returns; the words stay until this is dropped.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if this machine's clock is wrong; [`ClientError::Bug`] without random bytes.
    pub fn generate(suite: Suite) -> Result<Self, ClientError> {
        let no_random = |error: vault_core::random::RandomError| ClientError::Bug(error.to_string());
        let seed = Seed::generate().map_err(no_random)?;
        let root = seed.account_root();
        let root_public = PublicKey::from_bytes(root.public());
        let identity =
            seed.identity(suite, FIRST_EPOCH).map_err(|error| ClientError::Bug(error.to_string()))?;
        let device = SigningKey::generate().map_err(no_random)?;
        let account = AccountId::of_root(&root_public);
        let key_list = KeyList {
            account,
            root: root_public,
            number: 1,
            previous: None,
            created: now()?,
            encryption: vec![EncryptionKey {
                suite,
                epoch: FIRST_EPOCH,
                recipient: identity.recipient().to_string(),
            }],
            devices: vec![DeviceKey {
                key: PublicKey::from_bytes(device.public()),
                roles: vec![DeviceRole::Auth, DeviceRole::Seal],
            }],
        };
        let key_list =
            envelope::sign(&key_list, KeyId::of_account_root(&root_public), |bytes| root.sign(bytes))?;
        let secrets = DeviceSecrets { account_root: root_public, device, epoch: FIRST_EPOCH, identity };
        Ok(Self { account, words: seed.to_words(), key_list, secrets })
    }

    /// Puts the account into an empty home, durably. For whoever has handed over the words: from then on they are
    /// needed.
    ///
    /// # Errors
    /// As [`require_none`], or [`ClientError::Disk`].
    pub fn store(
        &self,
        home: &Home,
        passphrase: &SecretString,
        work_factor: WorkFactor,
    ) -> Result<(), ClientError> {
        let _lock = home.lock("home.lock")?;
        require_none(home)?;
        home.write(KEY_LIST, self.key_list.bytes())?;
        // The identity comes last: a home without it is still empty, one with it is complete.
        home.write(IDENTITY, &self.secrets.lock(passphrase, work_factor)?)
    }
}

/// Puts the identity of a home under another passphrase. The file is replaced whole: it opens with the old one or the
/// new one at every moment.
///
/// # Errors
/// [`ClientError::NotSetUp`]; [`ClientError::Unlock`] if `old` is not its passphrase; [`ClientError::Disk`].
pub fn change_passphrase(
    home: &Home,
    old: &SecretString,
    new: &SecretString,
    work_factor: WorkFactor,
) -> Result<(), ClientError> {
    let _lock = home.lock("home.lock")?;
    let file = home.read(IDENTITY)?.ok_or_else(|| no_identity(home))?;
    let secrets = DeviceSecrets::unlock(old, &file)?;
    home.write(IDENTITY, &secrets.lock(new, work_factor)?)
}

/// Unlocks the account of a home.
///
/// # Errors
/// [`ClientError::NotSetUp`] or [`ClientError::Unlock`].
pub fn unlock(home: &Home, passphrase: &SecretString) -> Result<Account, ClientError> {
    let file = home.read(IDENTITY)?.ok_or_else(|| no_identity(home))?;
    let DeviceSecrets { account_root, device, identity, .. } = DeviceSecrets::unlock(passphrase, &file)?;
    Ok(Account {
        id: AccountId::of_root(&account_root),
        device: Arc::new(device),
        identity: Arc::new(identity),
    })
}

fn no_identity(home: &Home) -> ClientError {
    ClientError::NotSetUp(Missing::Identity(home.folder().to_owned()))
}

/// Reads what is public about the account of a home.
///
/// # Errors
/// [`ClientError::NotSetUp`] or [`ClientError::Disk`].
pub fn profile(home: &Home) -> Result<Profile, ClientError> {
    let bytes = home.read(KEY_LIST)?.ok_or_else(|| no_identity(home))?;
    let key_list = Envelope::parse(&bytes).map_err(|error| {
        ClientError::disk(home.path(KEY_LIST))(std::io::Error::new(std::io::ErrorKind::InvalidData, error))
    })?;
    let enrolment = match home.enrolment() {
        Err(ClientError::NotSetUp(_)) => None,
        other => Some(other?),
    };
    Ok(Profile { key_list, chain: home.read_json(CERTIFICATE)?, enrolment })
}

/// Parses a certificate file from a registrar.
///
/// # Errors
/// [`ClientError::Usage`].
pub fn parse_certificate_file(bytes: &[u8]) -> Result<CertificateChain, ClientError> {
    serde_json::from_slice(bytes).map_err(|error| {
        // The parser's own words repeat what stands in the file.
        ClientError::Usage(format!(
            "it is not of the form it should have, at line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

/// Why the account's own certificate, as this home knows it, does not count now by this machine's clock; `None` if it
/// does.
///
/// # Errors
/// [`ClientError::NotSetUp`] or [`ClientError::Disk`].
pub fn expiry(home: &Home) -> Result<Option<TrustProblem>, ClientError> {
    let Profile { key_list, chain, enrolment } = profile(home)?;
    let (Some(chain), Some(enrolment)) = (chain, enrolment) else {
        return Ok(Some(TrustProblem::Missing));
    };
    let account = key_list.unverified().account;
    let member = Member { issuer: chain.issuer, certificate: chain.certificate, key_list };
    Ok(member.verify(enrolment.organisation, account, now()?).err().map(|error| error.problem))
}

/// Remembers the certificate that a server took.
pub(crate) fn set_certificate(home: &Home, chain: &CertificateChain) -> Result<(), ClientError> {
    home.write_json(CERTIFICATE, chain)
}
