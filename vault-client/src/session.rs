//! The front door: an unlocked account, the server it is enrolled at, and the home that remembers for it.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use secrecy::SecretString;
use vault_proto::credentials::{CertificateChain, TrustError, TrustProblem};
use vault_proto::wire::{self, Enrol};

use crate::clock::now;
use crate::error::ClientError;
use crate::home::account::{self, Account};
use crate::home::{Enrolment, Home};
use crate::server::connection::Connection;

/// Somebody who asks one server in one account's name. Everything that records, lists, opens, plays or compares takes
/// one.
///
/// It holds the account's secrets in memory from [`Session::unlock`] on until it is dropped; what still runs then, such
/// as a recorder or an open track, keeps only what it needs. Nothing is asked of the server before something needs it.
pub struct Session {
    pub(crate) home: Home,
    pub(crate) enrolment: Enrolment,
    pub(crate) account: Account,
    pub(crate) connection: Connection,
}

/// What of a session may differ from what its home says. By default nothing does.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Another address of the same server, for as long as the session lasts.
    pub server: Option<String>,
    /// For how long to try again; see [`Connection::with_retry_for`].
    pub retry_for: Option<Duration>,
    /// Certificates in PEM of the authorities that may vouch for the server, in place of those of this machine: for a
    /// server with an authority of its own.
    pub ca_certificates: Option<Vec<u8>>,
}

impl Session {
    /// Unlocks the account of `home`, for the server and the organisation that it is enrolled at.
    ///
    /// # Errors
    /// [`ClientError::NotSetUp`] if the home has no account, or one that is not enrolled; [`ClientError::Unlock`] if
    /// the passphrase is wrong or the identity file damaged; [`ClientError::Disk`].
    pub fn unlock(home: Home, passphrase: &SecretString) -> Result<Self, ClientError> {
        Self::unlock_with(home, passphrase, SessionOptions::default())
    }

    /// As [`Session::unlock`], with what differs from what the home says.
    ///
    /// # Errors
    /// As [`Session::unlock`]; [`ClientError::Usage`] if the server's address is none.
    pub fn unlock_with(
        home: Home,
        passphrase: &SecretString,
        options: SessionOptions,
    ) -> Result<Self, ClientError> {
        let mut enrolment = home.enrolment()?;
        if let Some(server) = &options.server {
            enrolment.server.clone_from(server);
        }
        Self::unlock_at(home, enrolment, passphrase, &options)
    }

    fn unlock_at(
        home: Home,
        mut enrolment: Enrolment,
        passphrase: &SecretString,
        options: &SessionOptions,
    ) -> Result<Self, ClientError> {
        let account = account::unlock(&home, passphrase)?;
        let device = Arc::clone(&account.device);
        let mut connection = match &options.ca_certificates {
            Some(pem) => Connection::vouched_for_by(&enrolment.server, device, pem)?,
            None => Connection::new(&enrolment.server, device)?,
        };
        if let Some(retry_for) = options.retry_for {
            connection = connection.with_retry_for(retry_for);
        }
        connection.server().clone_into(&mut enrolment.server);
        Ok(Self { home, enrolment, account, connection })
    }

    /// Enrols the account of `home` at a server under a pinned organisation root, and remembers both. The server
    /// is that of `enrolment`, whatever `options` say.
    ///
    /// # Errors
    /// [`ClientError::Trust`] if the certificate is not one of that organisation for this account, or the home is
    /// pinned to another organisation; nothing is sent then. Else as [`Session::unlock`], or what the server says.
    pub async fn enrol(
        home: Home,
        passphrase: &SecretString,
        enrolment: Enrolment,
        chain: CertificateChain,
        options: &SessionOptions,
    ) -> Result<Self, ClientError> {
        let session = Self::unlock_at(home, enrolment, passphrase, options)?;
        let Self { home, enrolment, account, connection } = &session;
        match home.enrolment() {
            Ok(before) if before.organisation != enrolment.organisation => {
                let pinned = before.organisation;
                let problem = TrustProblem::OrganisationChanged { pinned, found: enrolment.organisation };
                return Err(TrustError { account: account.id, problem }.into());
            }
            Ok(_) | Err(ClientError::NotSetUp(_)) => {}
            // A pin that cannot be read is not replaced.
            Err(error) => return Err(error),
        }
        chain.verify(enrolment.organisation, account.id, now()?)?;
        let body = Enrol { chain, key_list: account::profile(home)?.key_list };
        connection.send_json(Method::POST, wire::path::ACCOUNTS, &body).await?;
        account::set_certificate(home, &body.chain)?;
        home.set_enrolment(enrolment)?;
        Ok(session)
    }

    /// The home.
    pub const fn home(&self) -> &Home {
        &self.home
    }

    /// Server and pinned organisation.
    pub const fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }

    /// The account.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// Signed requests to the server.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }
}
