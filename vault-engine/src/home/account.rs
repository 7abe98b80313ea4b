//! An account on this machine: made, unlocked, enrolled (FORMAT.md, "Keys" and "Trust").

use std::sync::Arc;

use secrecy::SecretString;
use vault_core::identity::Identity;
use vault_core::identity_file::DeviceSecrets;
use vault_core::passphrase_file::WorkFactor;
use vault_core::seed::Seed;
use vault_core::signing_key::SigningKey;
use vault_proto::envelope::{self, Envelope};
use vault_proto::ids::{AccountId, KeyId, PublicKey};
use vault_proto::members::{CertificateChain, MemberStatements, TrustError, TrustProblem};
use vault_proto::statements::{DeviceKey, DeviceRole, EncryptionKey, KeyList, Suite};
use zeroize::Zeroizing;

use crate::effects::{Change, Effects};
use crate::error::{ClientError, Missing, NextStep};
use crate::home::pins;
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

/// An account that can open what is sealed to it, until the last clone is dropped: clones share its identity.
#[derive(Clone)]
pub struct Account {
    /// The account.
    pub id: AccountId,
    /// The public half of the key that signs requests and seals; the other half stays with whoever signs.
    pub device: PublicKey,
    /// Opens recordings.
    pub identity: Arc<Identity>,
}

/// What the identity of a home holds.
pub struct Unlocked {
    /// The account, for a [`Session`](crate::Session).
    pub account: Account,
    /// The key that signs for it, for whoever carries out effects.
    pub device: SigningKey,
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
///
/// # Errors
/// [`ClientError::Disk`].
pub async fn is_account(home: &Home) -> Result<bool, ClientError> {
    home.has(IDENTITY).await
}

/// Refuses a home that has an identity already.
///
/// # Errors
/// [`ClientError::Declined`]: an identity is never overwritten.
pub async fn require_none(home: &Home) -> Result<(), ClientError> {
    if is_account(home).await? {
        return Err(ClientError::Declined {
            what: format!(
                "the folder {} already holds an identity, which is never overwritten",
                home.place()
            ),
            next: "Choose another " + NextStep::Home + ".",
        });
    }
    Ok(())
}

impl NewAccount {
    /// Makes an account of `suite` in memory: seed, root, identity of the first epoch, a device key. The seed and the
    /// root leave memory when this returns; the words stay until this is dropped.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if this machine's clock is wrong; [`ClientError::Bug`] without random bytes.
    pub fn generate(effects: &Effects, suite: Suite) -> Result<Self, ClientError> {
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
            created: effects.timestamp()?,
            epoch: FIRST_EPOCH,
            encryption: vec![EncryptionKey { suite, recipient: identity.recipient().to_string() }],
            devices: vec![DeviceKey {
                key: PublicKey::from_bytes(device.public()),
                roles: vec![DeviceRole::Auth, DeviceRole::Seal],
            }],
            removed: Vec::new(),
            allows: Vec::new(),
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
    pub async fn store(
        &self,
        home: &Home,
        passphrase: &SecretString,
        work_factor: WorkFactor,
    ) -> Result<(), ClientError> {
        let _lock = home.lock("home").await?;
        require_none(home).await?;
        let identity = self.secrets.lock(passphrase, work_factor)?;
        // The identity comes last: a home without it is still empty, one with it is complete.
        let key_list = Change::Put(KEY_LIST.to_owned(), self.key_list.bytes().to_vec().into());
        home.effects().commit(vec![key_list, Change::Put(IDENTITY.to_owned(), identity.into())]).await
    }
}

/// Puts the identity of a home under another passphrase. The file is replaced whole: it opens with the old one or the
/// new one at every moment.
///
/// # Errors
/// [`ClientError::NotSetUp`]; [`ClientError::Unlock`] if `old` is not its passphrase; [`ClientError::Disk`].
pub async fn change_passphrase(
    home: &Home,
    old: &SecretString,
    new: &SecretString,
    work_factor: WorkFactor,
) -> Result<(), ClientError> {
    let _lock = home.lock("home").await?;
    let file = home.read(IDENTITY).await?.ok_or_else(|| no_identity(home))?;
    let secrets = DeviceSecrets::unlock(old, &file)?;
    home.write(IDENTITY, secrets.lock(new, work_factor)?).await
}

/// Unlocks the account of a home.
///
/// # Errors
/// [`ClientError::NotSetUp`] or [`ClientError::Unlock`].
pub async fn unlock(home: &Home, passphrase: &SecretString) -> Result<Unlocked, ClientError> {
    let file = home.read(IDENTITY).await?.ok_or_else(|| no_identity(home))?;
    let passphrase = passphrase.clone();
    let unlocked = home.effects().run(move || DeviceSecrets::unlock(&passphrase, &file)).await?;
    let DeviceSecrets { account_root, device, identity, .. } = unlocked?;
    let account = Account {
        id: AccountId::of_root(&account_root),
        device: PublicKey::from_bytes(device.public()),
        identity: Arc::new(identity),
    };
    Ok(Unlocked { account, device })
}

fn no_identity(home: &Home) -> ClientError {
    ClientError::NotSetUp(Missing::Identity(home.place().to_owned()))
}

/// Reads what is public about the account of a home.
///
/// # Errors
/// [`ClientError::NotSetUp`] or [`ClientError::Disk`].
pub async fn profile(home: &Home) -> Result<Profile, ClientError> {
    let bytes = home.read(KEY_LIST).await?.ok_or_else(|| no_identity(home))?;
    let key_list = Envelope::parse(&bytes).map_err(|error| home.damaged(KEY_LIST, &error))?;
    let enrolment = match home.enrolment().await {
        Err(ClientError::NotSetUp(_)) => None,
        other => Some(other?),
    };
    Ok(Profile { key_list, chain: home.read_json(CERTIFICATE).await?, enrolment })
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
pub async fn expiry(home: &Home) -> Result<Option<TrustProblem>, ClientError> {
    let Profile { key_list, chain, enrolment } = profile(home).await?;
    let (Some(chain), Some(enrolment)) = (chain, enrolment) else {
        return Ok(Some(TrustProblem::Missing));
    };
    let account = key_list.unverified().account;
    let member = MemberStatements { issuer: chain.issuer, certificate: chain.certificate, key_list };
    let now = home.effects().timestamp()?;
    let known = pins::known(home, enrolment.organisation, []).await?;
    let counts = || known.check_now(member.verify_signatures(enrolment.organisation, account)?, None, now);
    Ok(counts().err().map(|error: TrustError| error.problem))
}

/// Remembers the certificate that a server took.
pub(crate) async fn set_certificate(home: &Home, chain: &CertificateChain) -> Result<(), ClientError> {
    home.write_json(CERTIFICATE, chain).await
}
