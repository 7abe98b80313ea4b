//! From a folder and a passphrase to a [`Session`].

use std::time::Duration;

use secrecy::SecretString;
use vault_engine::Session;
use vault_engine::error::ClientError;
use vault_engine::home::Enrolment;
use vault_engine::home::account::{self, Unlocked};
use vault_proto::members::CertificateChain;

use crate::home_folder::HomeFolder;
use crate::http::HttpClient;
use crate::machine::Machine;

/// What of a session may differ from what its home says. By default nothing does.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Another address of the same server, for as long as the session lasts.
    pub server: Option<String>,
    /// For how long to try again; see [`with_retry_for`](vault_engine::server::connection::Connection::with_retry_for).
    pub retry_for: Option<Duration>,
    /// Certificates in PEM of the authorities that may vouch for the server, in place of those of this machine: for a
    /// server with an authority of its own.
    pub ca_certificates: Option<Vec<u8>>,
}

/// Unlocks the account of a home, for the server and the organisation that it is enrolled at.
///
/// # Errors
/// [`ClientError::NotSetUp`] if the home has no account, or one that is not enrolled; [`ClientError::Unlock`] if the
/// passphrase is wrong or the identity file damaged; [`ClientError::Disk`].
pub async fn unlock(folder: &HomeFolder, passphrase: &SecretString) -> Result<Session, ClientError> {
    unlock_with(folder, passphrase, SessionOptions::default()).await
}

/// As [`unlock`], with what differs from what the home says.
///
/// # Errors
/// As [`unlock`]; [`ClientError::Usage`] if the server's address is none.
pub async fn unlock_with(
    folder: &HomeFolder,
    passphrase: &SecretString,
    options: SessionOptions,
) -> Result<Session, ClientError> {
    let mut enrolment = folder.home().enrolment().await?;
    if let Some(server) = &options.server {
        enrolment.server.clone_from(server);
    }
    unlock_at(folder, passphrase, enrolment, &options).await
}

/// Enrols the account of a home at a server under a pinned organisation root, and remembers both. The server is that of
/// `enrolment`, whatever `options` say.
///
/// # Errors
/// [`ClientError::Trust`] if the certificate is not one of that organisation for this account, or the home is pinned to
/// another organisation; nothing is sent then. Else as [`unlock`], or what the server says.
pub async fn enrol(
    folder: &HomeFolder,
    passphrase: &SecretString,
    enrolment: Enrolment,
    chain: CertificateChain,
    options: &SessionOptions,
) -> Result<Session, ClientError> {
    let session = unlock_at(folder, passphrase, enrolment, options).await?;
    session.enrol(chain).await?;
    Ok(session)
}

async fn unlock_at(
    folder: &HomeFolder,
    passphrase: &SecretString,
    enrolment: Enrolment,
    options: &SessionOptions,
) -> Result<Session, ClientError> {
    let Unlocked { account, device } = account::unlock(&folder.home(), passphrase).await?;
    let http = HttpClient::new(options.ca_certificates.as_deref())?;
    let home = folder.home_of(Machine::of_session(folder.clone(), device, http));
    Session::new(home, enrolment, account, options.retry_for)
}
