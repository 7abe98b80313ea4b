//! The start of a recording: its readers trusted, its manifest signed, noted and durable on the server before the first
//! part.

use vault_core::age_file;
use vault_core::details::MAX_TITLE;
use vault_core::sealing::{self, RecordingSealer};
use vault_proto::base64;
use vault_proto::envelope::{Envelope, Verified};
use vault_proto::ids::{Digest, KeyId};
use vault_proto::problem::ProblemCode;
use vault_proto::recording::CheckedManifest;
use vault_proto::recording_list::ListEntry;
use vault_proto::statements::Manifest;

use super::SealRequest;
use super::chain::{CHAIN, ChainHead, chain_head};
use super::journal::{Begin, Journal, SourceFile};
use super::readers::{Readers, named_recipient};
use crate::home_folder::folder_of;
use vault_engine::Session;
use vault_engine::error::ClientError;
use vault_engine::home::account::Account;
use vault_engine::home::own_list;
use vault_engine::server::recording::ServerRecording;

/// A recording that was begun.
pub(super) struct Begun {
    pub(super) sealer: RecordingSealer,
    pub(super) journal: Journal,
    pub(super) begin: Begin,
}

impl Begun {
    /// Signs a manifest, notes it, and makes it durable on the server.
    ///
    /// # Errors
    /// [`ClientError::Trust`] before anything is uploaded; [`ClientError::Usage`].
    pub(super) async fn new(
        session: &Session,
        request: &SealRequest,
        readers: &Readers,
        source: Option<SourceFile>,
        real_time: bool,
    ) -> Result<Self, ClientError> {
        let Session { connection, home, enrolment, account } = session;
        if request.title.as_ref().is_some_and(|title| title.chars().count() > MAX_TITLE) {
            return Err(ClientError::Usage("the title is longer than 10,000 characters".to_owned()));
        }
        let credentials = readers.credentials()?.to_bytes()?;
        let title = request.title.as_deref().map(|title| keep_title(title, account)).transpose()?;
        let (begin, journal) = {
            let _lock = home.lock("chain").await?;
            let manifest = readers.manifest(
                enrolment,
                account,
                request,
                Digest::of(&credentials),
                chain_head(home).await?,
            )?;
            let envelope = session.sign(sealing::prepare_manifest(&manifest, account.device)?).await?;
            let credentials =
                String::from_utf8(credentials).map_err(|error| ClientError::Bug(error.to_string()))?;
            let server = connection.server().to_owned();
            let begin = Begin { server, source, manifest: envelope, credentials, title, real_time };
            // The journal comes first: it names the manifest's place in the chain even if the next line never runs.
            let journal = Journal::create(&folder_of(home), manifest.recording, &begin)?;
            home.write_json(CHAIN, &ChainHead::of(&begin.manifest)).await?;
            (begin, journal)
        };
        let sealer = recording_sealer(&begin, session)?;
        let server = ServerRecording::new(connection.clone(), begin.manifest.unverified().recording);
        match server.create(&begin.manifest, &begin.credentials).await {
            Ok(()) => {
                own_list::know(home, account, began(&begin.manifest)).await?;
                Ok(Self { sealer, journal, begin })
            }
            Err(error) => {
                // Refused for good: there is nothing that a later process could go on with.
                if matches!(&error, ClientError::Refused(problem) if is_final_refusal(problem.known_code())) {
                    journal.finish()?;
                }
                Err(error)
            }
        }
    }
}

/// What a sealer knows of its recording from the start.
fn began(manifest: &Envelope<Manifest>) -> ListEntry {
    let recording = manifest.unverified().recording;
    ListEntry { recording, manifest: manifest.digest(), final_seal: None }
}

/// Whether a manifest that was refused so will always be.
pub(super) fn is_final_refusal(code: Option<ProblemCode>) -> bool {
    matches!(
        code,
        Some(
            ProblemCode::StatementRefused
                | ProblemCode::Conflict
                | ProblemCode::Forbidden
                | ProblemCode::BadRequest
                | ProblemCode::TooLarge
        )
    )
}

/// Seals the segments of a recording that this very device began.
///
/// Its readers are those that its manifest fixed, with the keys that were trusted then.
pub(super) fn recording_sealer(begin: &Begin, session: &Session) -> Result<RecordingSealer, ClientError> {
    let manifest = verify_own(&begin.manifest, &session.account)?;
    let organisation = session.enrolment.organisation;
    let credentials = begin.credentials.as_bytes();
    let checked =
        CheckedManifest::check(manifest.recording, organisation, begin.manifest.bytes(), credentials)?;
    let mut recipients = Vec::new();
    for (reader, named) in checked.readers().iter().zip(&manifest.recipients) {
        recipients.push(named_recipient(reader, named)?);
    }
    Ok(RecordingSealer::new(manifest, recipients)?)
}

/// A manifest that this very device signed.
fn verify_own(manifest: &Envelope<Manifest>, account: &Account) -> Result<Verified<Manifest>, ClientError> {
    manifest.verify(KeyId::of_device(&account.device), &account.device).map_err(|_| ClientError::Declined {
        what: "this upload was begun with another identity than the one in this home".to_owned(),
        next: "Go on with the home it was begun in (--home).".to_owned(),
    })
}

/// Seals a title to the account itself: a later process of this device may have to write it into the details.
fn keep_title(title: &str, account: &Account) -> Result<String, ClientError> {
    let own = [account.identity.recipient().clone()];
    let sealed = age_file::seal_small(&own, None, title.as_bytes())
        .map_err(|error| ClientError::Bug(format!("the title could not be kept: {error}")))?;
    Ok(base64::encode(&sealed))
}

/// The title of an upload that was interrupted; `None` if it had none, or if it can no longer be read.
pub(super) fn kept_title(begin: &Begin, account: &Account) -> Option<String> {
    let sealed = base64::decode(begin.title.as_ref()?)?;
    let title = age_file::open_small(&account.identity, &sealed, 4 * MAX_TITLE).ok()?;
    String::from_utf8(title.to_vec()).ok()
}
