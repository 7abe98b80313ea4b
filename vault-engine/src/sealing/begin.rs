//! The start of a recording: its readers trusted, its manifest signed, noted, and durable on the server before the
//! first part.

use std::sync::Arc;
use std::time::Duration;

use vault_core::age_file;
use vault_core::details::MAX_TITLE;
use vault_core::sealing::{self, RecordingSealer, SealError};
use vault_proto::base64;
use vault_proto::envelope::{Envelope, Verified};
use vault_proto::ids::KeyId;
use vault_proto::problem::ProblemCode;
use vault_proto::recording::CheckedManifest;
use vault_proto::recording_list::ListEntry;
use vault_proto::statements::Manifest;
use vault_proto::trust::Known;

use super::SealRequest;
use super::journal::{Begin, EndLine, Journal, Past, SourceFile};
use super::readers::{NewManifest, Readers};
use super::sequence::{self, learn_last};
use crate::error::{ClientError, NextStep};
use crate::home::account::Account;
use crate::home::own_list;
use crate::server::recording::ServerRecording;
use crate::session::Session;

/// A recording that was begun.
pub(super) struct Begun {
    pub(super) sealer: RecordingSealer,
    pub(super) journal: Arc<Journal>,
    pub(super) begin: Begin,
    /// Whether the server has it; if not, that comes first of all that is sent.
    pub(super) is_created: bool,
}

/// What to do if the server is away when a recording begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Away {
    /// Nothing begins: what is to be sealed can be read later.
    Fail,
    /// It begins all the same: nobody records this a second time.
    Begin,
}

/// How often a manifest is signed anew, with a later number of the device, before a conflict is told.
const CONFLICTS: usize = 2;

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
        away: Away,
    ) -> Result<Self, ClientError> {
        if request.title.as_ref().is_some_and(|title| title.chars().count() > MAX_TITLE) {
            return Err(ClientError::Usage("the title is longer than 10,000 characters".to_owned()));
        }
        let title = request.title.as_deref().map(|title| keep_title(title, &session.account)).transpose()?;
        let mut conflicts = 0;
        loop {
            let mut begun =
                Self::sign(session, request, readers, source.clone(), title.clone(), real_time).await?;
            let error = match begun.create(session, away).await {
                Ok(()) => return Ok(begun),
                Err(error) => error,
            };
            let ClientError::Refused(problem) = &error else {
                return Err(error);
            };
            let code = problem.known_code();
            if !is_final_refusal(code) {
                return Err(error);
            }
            // Refused for good: there is nothing that a later process could go on with.
            begun.journal.finish().await?;
            // A home that was restored, or copied, has signed under a number that another manifest has.
            conflicts += 1;
            let refused = begun.begin.manifest.unverified().sequence;
            let _numbers = sequence::lock(&session.home).await?;
            if code != Some(ProblemCode::Conflict)
                || conflicts > CONFLICTS
                || !learn_last(session, refused).await?
            {
                return Err(error);
            }
        }
    }

    /// Signs a manifest and notes it.
    async fn sign(
        session: &Session,
        request: &SealRequest,
        readers: &Readers,
        source: Option<SourceFile>,
        title: Option<String>,
        real_time: bool,
    ) -> Result<Self, ClientError> {
        let Session { connection, home, enrolment, account, .. } = session;
        let _numbers = sequence::lock(home).await?;
        let (at, number) = (session.effects().timestamp()?, sequence::next(home).await?);
        let NewManifest { manifest, key, key_object } =
            readers.manifest(enrolment, account, request, number, at)?;
        let manifest = session.sign(sealing::prepare_manifest(&manifest, account.device)?).await?;
        // All of them, however many the server has: it takes each once, and what it holds now it may lack when this
        // gets there.
        let statements = readers
            .named_statements()
            .iter()
            .map(|(_, envelope)| String::from_utf8(envelope.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|error| ClientError::Bug(error.to_string()))?;
        let server = connection.server().to_owned();
        let (recipient, key) = (key.to_string(), base64::encode(&key_object));
        let pad = request.pad;
        let begin = Begin { server, source, manifest, key, recipient, statements, title, real_time, pad };
        // Before anything is noted: what this very home refuses could never be taken up again. A clock that was set
        // back since the readers were looked up makes such a manifest.
        let sealer = recording_sealer(&begin, session)?;
        let taken = sequence::taken_by(&begin.manifest)?;
        let journal = Journal::create(home, &begin, vec![taken]).await?;
        Ok(Self { sealer, journal: Arc::new(journal), begin, is_created: false })
    }

    /// A recording that an earlier process of this very device began.
    ///
    /// # Errors
    /// [`ClientError::Declined`] if another device did.
    pub(super) fn again(session: &Session, journal: Journal, past: &Past) -> Result<Self, ClientError> {
        let begin = past.begin.clone();
        let mut sealer = recording_sealer(&begin, session)?;
        for (&index, &seal) in &past.signed_seals {
            sealer.has_signed(index, seal);
        }
        if let Some(end) = past.signed_end {
            sealer.has_ended(end);
        }
        Ok(Self { sealer, journal: Arc::new(journal), begin, is_created: true })
    }

    /// Whether an end that was signed is that of the segments which were caught up with. If not, parts were lost that
    /// it counts.
    pub(super) fn is_end(&self, end: &EndLine) -> bool {
        self.sealer.last_seal() == Some(end.final_seal.unverified().last_seal)
    }

    /// Makes the recording durable on the server.
    async fn create(&mut self, session: &Session, away: Away) -> Result<(), ClientError> {
        let recording = self.begin.manifest.unverified().recording;
        let connection = match away {
            Away::Fail => session.connection.clone(),
            // What is recorded now does not wait.
            Away::Begin => session.connection.with_retry_for(Duration::ZERO),
        };
        let server = ServerRecording::new(connection, recording);
        match server.create(&self.begin.to_create()).await {
            Ok(()) => {
                own_list::know(&session.home, &session.account, began(&self.begin.manifest)).await?;
                self.is_created = true;
                Ok(())
            }
            Err(error) if away == Away::Begin && error.may_pass() => Ok(()),
            Err(error) => Err(error),
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
/// Its readers are those that its manifest fixed, with the keys that were trusted then; nothing of them is needed any
/// more, for it is sealed to its own key.
pub(super) fn recording_sealer(begin: &Begin, session: &Session) -> Result<RecordingSealer, ClientError> {
    let manifest = verify_own(&begin.manifest, &session.account)?;
    let organisation = session.enrolment.organisation;
    // What was begun while all of them counted is sealed to its end.
    CheckedManifest::check(
        manifest.recording,
        organisation,
        begin.manifest.bytes(),
        &begin.named(),
        &Known::default(),
    )?;
    let other_key = || ClientError::Declined {
        what:
            "the note of this upload names another key than the one it was begun with: this home was changed"
                .to_owned(),
        next: "Go on with a copy of the home from before that, or seal it again as a new recording.".into(),
    };
    let key = begin.recipient.parse().map_err(|_| other_key())?;
    RecordingSealer::new(manifest, key).map_err(|error| match error {
        SealError::OtherKey => other_key(),
        error => error.into(),
    })
}

/// A manifest that this very device signed.
fn verify_own(manifest: &Envelope<Manifest>, account: &Account) -> Result<Verified<Manifest>, ClientError> {
    manifest.verify(KeyId::of_device(&account.device), &account.device).map_err(|_| ClientError::Declined {
        what: "this upload was begun with another identity than the one in this home".to_owned(),
        next: NextStep::ItsHome + ".",
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
