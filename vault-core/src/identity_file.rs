//! The secrets of a device and of a registrar at rest, under a passphrase (FORMAT.md, "Identity file").

use secrecy::SecretString;
use vault_proto::ids::{AccountId, PublicKey};
use zeroize::Zeroizing;

use crate::identity::Identity;
use crate::passphrase_file::{self, LockError, UnlockError, WorkFactor};
use crate::signing_key::SigningKey;

/// Why an identity file gave no secrets. The file itself is never changed by trying.
#[derive(Debug, thiserror::Error)]
pub enum IdentityFileError {
    /// The file could not be made.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The passphrase does not fit, or the file is damaged or none.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// The passphrase fits and what is inside is no identity of this version.
    #[error("the identity file opens, and line {0} of what is inside is not of this version's form")]
    Contents(usize),
}

/// What one device of an account holds: no seed, and no root.
pub struct DeviceSecrets {
    /// Public key of the account's root, which certifies the account id.
    pub account_root: PublicKey,
    /// Signs requests and seals.
    pub device: SigningKey,
    /// Epoch of `identity`, from 1.
    pub epoch: u32,
    /// Opens recordings.
    pub identity: Identity,
}

/// What a registrar's offline machine holds.
pub struct RegistrarSecrets {
    /// Signs issuer certificates.
    pub root: SigningKey,
    /// Signs certificates.
    pub issuer: SigningKey,
}

const DEVICE_TITLE: &str = "# recording-vault: identity v1";
const REGISTRAR_TITLE: &str = "# recording-vault: registrar v1";

impl DeviceSecrets {
    /// The account.
    pub fn account(&self) -> AccountId {
        AccountId::of_root(&self.account_root)
    }

    /// The encrypted file.
    ///
    /// # Errors
    /// [`IdentityFileError::Lock`].
    pub fn lock(
        &self,
        passphrase: &SecretString,
        work_factor: WorkFactor,
    ) -> Result<Vec<u8>, IdentityFileError> {
        let device = self.device.export();
        let identity = self.identity.export();
        let root = self.account_root.to_string();
        let epoch = self.epoch.to_string();
        let lines = [
            DEVICE_TITLE,
            "\n# account-root: ",
            &root,
            "\n# device-secret: ",
            &device,
            "\n# epoch: ",
            &epoch,
            "\n",
            &identity,
            "\n",
        ];
        Ok(passphrase_file::lock(passphrase, joined(&lines).as_bytes(), work_factor)?)
    }

    /// Opens an encrypted file.
    ///
    /// # Errors
    /// [`IdentityFileError`].
    pub fn unlock(passphrase: &SecretString, file: &[u8]) -> Result<Self, IdentityFileError> {
        let text = passphrase_file::unlock(passphrase, file)?;
        let mut lines = Lines::new(&text)?;
        lines.exact(DEVICE_TITLE)?;
        let account_root = lines.value("# account-root: ", |text| text.parse().ok())?;
        let device = lines.value("# device-secret: ", |text| SigningKey::parse(text).ok())?;
        let epoch = lines.value("# epoch: ", canonical_epoch)?;
        let identity = lines.value("", |text| Identity::parse(text).ok())?;
        lines.end()?;
        Ok(Self { account_root, device, epoch, identity })
    }
}

impl RegistrarSecrets {
    /// The encrypted file.
    ///
    /// # Errors
    /// [`IdentityFileError::Lock`].
    pub fn lock(
        &self,
        passphrase: &SecretString,
        work_factor: WorkFactor,
    ) -> Result<Vec<u8>, IdentityFileError> {
        let root = self.root.export();
        let issuer = self.issuer.export();
        let lines =
            [REGISTRAR_TITLE, "\n# organisation-root-secret: ", &root, "\n# issuer-secret: ", &issuer, "\n"];
        Ok(passphrase_file::lock(passphrase, joined(&lines).as_bytes(), work_factor)?)
    }

    /// Opens an encrypted file.
    ///
    /// # Errors
    /// [`IdentityFileError`].
    pub fn unlock(passphrase: &SecretString, file: &[u8]) -> Result<Self, IdentityFileError> {
        let text = passphrase_file::unlock(passphrase, file)?;
        let mut lines = Lines::new(&text)?;
        lines.exact(REGISTRAR_TITLE)?;
        let root = lines.value("# organisation-root-secret: ", |text| SigningKey::parse(text).ok())?;
        let issuer = lines.value("# issuer-secret: ", |text| SigningKey::parse(text).ok())?;
        lines.end()?;
        Ok(Self { root, issuer })
    }
}

/// Reads an epoch, from 1, in its one spelling.
fn canonical_epoch(text: &str) -> Option<u32> {
    text.parse().ok().filter(|epoch: &u32| *epoch > 0 && epoch.to_string() == text)
}

/// Concatenates into one allocation of the final size, so that growing leaves no copies of secrets behind.
fn joined(pieces: &[&str]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(pieces.iter().map(|piece| piece.len()).sum()));
    pieces.iter().for_each(|piece| text.push_str(piece));
    text
}

/// The lines of an opened file, each of which must be what it should be.
struct Lines<'a> {
    rest: std::str::Split<'a, char>,
    line: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a [u8]) -> Result<Self, IdentityFileError> {
        let text = std::str::from_utf8(text).map_err(|_| IdentityFileError::Contents(1))?;
        Ok(Self { rest: text.split('\n'), line: 0 })
    }

    fn next(&mut self) -> Result<&'a str, IdentityFileError> {
        self.line += 1;
        self.rest.next().ok_or(IdentityFileError::Contents(self.line))
    }

    fn exact(&mut self, expected: &str) -> Result<(), IdentityFileError> {
        if self.next()? == expected { Ok(()) } else { Err(IdentityFileError::Contents(self.line)) }
    }

    fn value<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, IdentityFileError> {
        let line = self.next()?;
        line.strip_prefix(name).and_then(read).ok_or(IdentityFileError::Contents(self.line))
    }

    /// The text ends after a line feed.
    fn end(&mut self) -> Result<(), IdentityFileError> {
        self.exact("")?;
        if self.rest.next().is_none() { Ok(()) } else { Err(IdentityFileError::Contents(self.line + 1)) }
    }
}

#[cfg(test)]
mod tests;
