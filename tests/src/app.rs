//! An app that records with the SDK, as the command line cannot: it switches from sound to pictures.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use secrecy::SecretString;
use vault_client::Session;
use vault_client::home_folder::HomeFolder;
use vault_client::sealing::{self, Recorder, RecorderOptions, SealRequest};

use crate::command::PASSPHRASE;
use crate::world::Person;

/// An app of one account.
pub struct App {
    session: Session,
}

impl App {
    /// The app of somebody who is enrolled.
    pub fn of(person: &Person) -> Self {
        let passphrase = SecretString::from(PASSPHRASE);
        let folder = HomeFolder::new(&person.home);
        Self { session: runtime().block_on(vault_client::unlock(&folder, &passphrase)).unwrap() }
    }

    /// Begins an audio call; `switch_track` makes it a video call.
    pub async fn begin(&self, patient: &Person, clinician: &Person, options: RecorderOptions) -> Recorder {
        let request = SealRequest {
            patient: patient.account.parse().unwrap(),
            clinician: clinician.account.parse().unwrap(),
            consultation: None,
            title: Some("From audio to video".to_owned()),
            media_type: Some("audio/webm".to_owned()),
            pad: false,
        };
        sealing::begin(&self.session, &request, options).await.unwrap()
    }
}

/// What an app runs in.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
