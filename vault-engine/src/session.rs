//! The front door: an unlocked account, the server it is enrolled at, and the home that remembers for it.

use std::time::Duration;

use vault_proto::envelope::{Envelope, Statement, Unsigned};
use vault_proto::members::{CertificateChain, TrustError, TrustProblem};
use vault_proto::wire::{self, Enrol};

use crate::effects::{Effects, Method};
use crate::error::ClientError;
use crate::home::account::{self, Account};
use crate::home::pins;
use crate::home::{Enrolment, Home};
use crate::server::connection::Connection;
use crate::server::statements::FetchedStatements;

/// Somebody who asks one server in one account's name. Everything that records, lists, opens, plays or compares takes
/// one.
///
/// It holds what opens the account's recordings in memory until it is dropped, with everything that was begun with it:
/// a recorder or an open track has a copy of its own. The device key stays with whoever carries out its effects.
/// Nothing is asked of the server before something needs it. Cheap to clone.
#[derive(Clone)]
pub struct Session {
    pub(crate) home: Home,
    pub(crate) enrolment: Enrolment,
    pub(crate) account: Account,
    pub(crate) connection: Connection,
    pub(crate) statements: FetchedStatements,
}

impl Session {
    /// A session of `account`, whose home is `home` and whose device key the effects of `home` sign with, at the server
    /// of `enrolment`. `retry_for` is that of [`Connection::with_retry_for`].
    ///
    /// # Errors
    /// [`ClientError::Usage`] if the server's address is none.
    pub fn new(
        home: Home,
        mut enrolment: Enrolment,
        account: Account,
        retry_for: Option<Duration>,
    ) -> Result<Self, ClientError> {
        let mut connection = Connection::new(&enrolment.server, home.effects().clone(), &account.device)?;
        if let Some(retry_for) = retry_for {
            connection = connection.with_retry_for(retry_for);
        }
        connection.server().clone_into(&mut enrolment.server);
        Ok(Self { home, enrolment, account, connection, statements: FetchedStatements::default() })
    }

    /// The same session, whose requests are tried again for so long; see [`Connection::with_retry_for`].
    pub(crate) fn with_retry_for(&self, retry_for: Duration) -> Self {
        Self { connection: self.connection.with_retry_for(retry_for), ..self.clone() }
    }

    /// Enrols the account at the server of the session under the organisation root that it pins, and remembers both.
    ///
    /// # Errors
    /// [`ClientError::Trust`] if the certificate is not one of that organisation for this account, or the home is
    /// pinned to another organisation; nothing is sent then. Else what the server says, or [`ClientError::Disk`].
    pub async fn enrol(&self, chain: CertificateChain) -> Result<(), ClientError> {
        let Self { home, enrolment, account, connection, .. } = self;
        match home.enrolment().await {
            Ok(before) if before.organisation != enrolment.organisation => {
                let pinned = before.organisation;
                let problem = TrustProblem::OrganisationChanged { pinned, found: enrolment.organisation };
                return Err(TrustError { account: account.id, problem }.into());
            }
            Ok(_) | Err(ClientError::NotSetUp(_)) => {}
            // A pin that cannot be read is not replaced.
            Err(error) => return Err(error),
        }
        let signed = chain.verify_signatures(enrolment.organisation, account.id)?;
        let known = pins::known(home, enrolment.organisation, []).await?;
        known
            .check_chain_now(&signed, self.effects().timestamp()?)
            .map_err(|problem| TrustError { account: account.id, problem })?;
        let body = Enrol { chain, key_list: account::profile(home).await?.key_list };
        connection.send_json(Method::Post, wire::path::ACCOUNTS, &body).await?;
        account::set_certificate(home, &body.chain).await?;
        home.set_enrolment(enrolment).await
    }

    /// Has the device key sign a statement, and checks that it did.
    ///
    /// # Errors
    /// [`ClientError::DeviceKeyGone`]; [`ClientError::Bug`] if something else signed.
    pub async fn sign<T: Statement>(&self, unsigned: Unsigned<T>) -> Result<Envelope<T>, ClientError> {
        self.effects().sign_statement(unsigned).await
    }

    /// The machine it runs on.
    pub const fn effects(&self) -> &Effects {
        self.home.effects()
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
