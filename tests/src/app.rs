//! An app that records with the SDK, as the command line cannot: it switches from sound to pictures.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::sync::Arc;

use secrecy::SecretString;
use vault_client::account::{self, Account};
use vault_client::connection::Connection;
use vault_client::home::{Enrolment, Home};
use vault_client::upload::{Recorder, RecorderOptions, SealRequest, Sealer};

use crate::command::PASSPHRASE;
use crate::world::Person;

/// An app of one account.
pub struct App {
    home: Home,
    enrolment: Enrolment,
    account: Account,
    connection: Connection,
}

impl App {
    /// The app of somebody who is enrolled.
    pub fn of(person: &Person) -> Self {
        let home = Home::new(&person.home);
        let enrolment = home.enrolment().unwrap();
        let account = account::unlock(&home, &SecretString::from(PASSPHRASE)).unwrap();
        let connection = Connection::new(&enrolment.server, Arc::clone(&account.device)).unwrap();
        Self { home, enrolment, account, connection }
    }

    /// Begins an audio call; `switch_track` makes it a video call.
    pub async fn begin(&self, patient: &Person, clinician: &Person, options: RecorderOptions) -> Recorder {
        let Self { home, enrolment, account, connection } = self;
        let request = SealRequest {
            patient: patient.account.parse().unwrap(),
            clinician: clinician.account.parse().unwrap(),
            consultation: None,
            title: Some("From audio to video".to_owned()),
            media_type: Some("audio/webm".to_owned()),
        };
        let sealer = Sealer { connection, home, enrolment, account };
        Recorder::begin(sealer, &request, options).await.unwrap()
    }
}

/// What an app runs in.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
