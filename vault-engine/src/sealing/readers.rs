//! Whom a recording is sealed for: each account trusted now, or nothing is sealed.

use std::time::Duration;

use vault_core::recipient::Recipient;
use vault_core::recording_key::RecordingKey;
use vault_core::sealing::SealError;
use vault_proto::ids::{ConsultationId, ConsultationIdError, Digest, KeyId, RecordingId, RecordingSalt};
use vault_proto::members::{TrustError, TrustProblem};
use vault_proto::named_statements::NamedStatements;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::{DeviceRole, Manifest, NotYet, Participants, Reader, ReaderRole, Suite};
use vault_proto::timestamp::Timestamp;
use vault_proto::trust::{Signer, VerifiedMember};

use super::SealRequest;
use crate::error::ClientError;
use crate::home::Enrolment;
use crate::home::account::Account;
use crate::session::Session;
use crate::trust::directory::{self, Fetched, TrustedMember};

/// The accounts of a recording, as trusted now.
pub(super) struct Readers {
    people: Participants,
    /// In the order of [`Participants::readers`].
    readers: [TrustedMember; 2],
    sealer: TrustedMember,
}

impl Readers {
    /// Looks all of them up; nothing has been sealed yet.
    pub(super) async fn look_up(session: &Session, request: &SealRequest) -> Result<Self, ClientError> {
        Self::look_up_by(session, request, Fetched::Now).await
    }

    /// As [`Self::look_up`], for what does not wait: if the server gives no answer at once, whoever was looked up
    /// within the last 7 days is taken as they were then, if their certificate and their keys count now.
    pub(super) async fn look_up_recent(
        session: &Session,
        request: &SealRequest,
    ) -> Result<Self, ClientError> {
        let at_once = session.with_retry_for(Duration::ZERO);
        match Self::look_up_by(&at_once, request, Fetched::Now).await {
            Err(error) if error.may_pass() => {
                match Self::look_up_by(session, request, Fetched::Recently).await {
                    // Somebody is not remembered well enough: the server is all there is to ask.
                    Err(ClientError::NotFound(_)) => Self::look_up(session, request).await,
                    other => other,
                }
            }
            other => other,
        }
    }

    async fn look_up_by(
        session: &Session,
        request: &SealRequest,
        fetched: Fetched,
    ) -> Result<Self, ClientError> {
        let account = &session.account;
        if request.patient == request.clinician {
            return Err(ClientError::Usage(
                "the patient and the clinician must be different accounts".to_owned(),
            ));
        }
        // Its own account comes first: if that cannot seal, nothing else is to be told.
        let signer =
            Signer { key: KeyId::of_device(&account.device), role: DeviceRole::Seal, sequence: None };
        let sealer = directory::look_up_by(session, account.id, Some(signer), fetched).await?;
        let SealRequest { patient, clinician, .. } = *request;
        let people = Participants { patient, clinician, sealer: account.id };
        let reader = async |(account, role): (_, ReaderRole)| {
            let found = directory::look_up_by(session, account, None, fetched).await?;
            found.verified.check_may_read_as(role)?;
            Ok::<_, ClientError>(found)
        };
        let [first, second] = people.readers();
        let readers = [reader(first).await?, reader(second).await?];
        sealer.verified.check_may_seal(&people)?;
        Ok(Self { people, readers, sealer })
    }

    /// Whether what was begun with `manifest` goes on, as these readers were found or were not. An end of somebody's
    /// certificate stands against beginning, never against finishing what was begun while all of them counted. `None`
    /// if they could not be looked up, which says nothing about what was begun.
    pub(super) fn go_on_with(found: &Result<Self, ClientError>, manifest: &Manifest) -> Option<bool> {
        match found {
            Ok(readers) => Some(readers.are_current(manifest)),
            Err(ClientError::Trust(TrustError {
                problem: TrustProblem::Expired { .. } | TrustProblem::IssuerEnded { .. },
                ..
            })) => Some(true),
            Err(ClientError::Refused(problem)) => {
                (problem.known_code() == Some(ProblemCode::CertificateExpired)).then_some(true)
            }
            Err(_) => None,
        }
    }

    fn verified(&self) -> impl Iterator<Item = &VerifiedMember> {
        self.readers.iter().map(|reader| &reader.verified)
    }

    /// Whether the keys that a manifest names are still the ones to seal to: readers who changed theirs since may have
    /// lost the old ones.
    fn are_current(&self, manifest: &Manifest) -> bool {
        self.verified().zip(&manifest.readers).all(|(reader, named)| {
            let current = reader.key_list().current_encryption_key(manifest.suite);
            reader.account() == named.account && current.is_some_and(|key| key.key_id() == named.key)
        })
    }

    /// Everybody whom a new recording's manifest names, ascending.
    fn members(&self) -> impl Iterator<Item = &TrustedMember> {
        let known = |account| {
            self.readers.iter().chain([&self.sealer]).find(|known| known.verified.account() == account)
        };
        self.people.ascending().into_iter().filter_map(known)
    }

    /// The statements that the manifest of a new recording names.
    pub(super) fn named_statements(&self) -> NamedStatements {
        let mut named = NamedStatements::default();
        for known in self.members() {
            known.statements.put_into(&mut named);
        }
        named
    }

    /// The manifest of a new recording, with the number `sequence` of its device, and its key for its readers.
    pub(super) fn manifest(
        &self,
        enrolment: &Enrolment,
        account: &Account,
        request: &SealRequest,
        sequence: u64,
        created: Timestamp,
    ) -> Result<NewManifest, ClientError> {
        let [patient, _] = &self.readers;
        let suite = account_suite(&patient.verified)?;
        let (mut readers, mut recipients) = (Vec::new(), Vec::new());
        for (reader, (account, role)) in self.verified().zip(self.people.readers()) {
            let refused = |problem| TrustError { account, problem };
            let key = reader.key_list().current_encryption_key(suite);
            let key = key.ok_or_else(|| refused(TrustProblem::NoKeyOfSuite(suite.name())))?;
            // What cannot be wrapped to must not take a number.
            let unusable = |_| refused(TrustProblem::KeyNotListed(key.key_id()));
            recipients.push(key.recipient.parse::<Recipient>().map_err(unusable)?);
            readers.push(Reader { account, key: key.key_id(), role, until: None });
        }
        let sealer_key = KeyId::of_device(&account.device);
        let salt = RecordingSalt::from_bytes(random()?);
        let recording = RecordingId::of(&sealer_key, &salt);
        // The identity lives no longer than this: what it opens is for the readers alone.
        let key = RecordingKey::generate(suite).map_err(SealError::from)?;
        let key_object = key.seal(&enrolment.organisation, &recording, &recipients);
        let key_object = key_object
            .map_err(|error| ClientError::Bug(format!("the recording's key could not be sealed: {error}")))?;
        let manifest = Manifest {
            suite,
            recording,
            salt,
            tenant: enrolment.organisation,
            consultation: match &request.consultation {
                Some(consultation) => consultation.clone(),
                None => unnamed_consultation()?,
            },
            patient: self.people.patient,
            clinician: self.people.clinician,
            key: key.id(),
            key_object: Digest::of(&key_object),
            readers,
            sealer: self.people.sealer,
            sealer_key,
            sequence,
            members: self.members().map(|known| known.statements.member(known.verified.account())).collect(),
            directory_checkpoint: None,
            created,
            policy: patient.verified.key_list().allows.clone(),
            replaces: NotYet,
        };
        Ok(NewManifest { manifest, key: key.recipient().clone(), key_object })
    }
}

/// A manifest before it is signed, with what it names of the recording's key.
pub(super) struct NewManifest {
    pub(super) manifest: Manifest,
    /// What the recording is sealed to.
    pub(super) key: Recipient,
    /// The key object of generation 0.
    pub(super) key_object: Vec<u8>,
}

/// Suite of an account's first encryption key; accounts that this program makes have one.
fn account_suite(member: &VerifiedMember) -> Result<Suite, TrustError> {
    member
        .key_list()
        .encryption
        .first()
        .map(|key| key.suite)
        .ok_or(TrustError { account: member.account(), problem: TrustProblem::Missing })
}

fn random<const N: usize>() -> Result<[u8; N], ClientError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|_| ClientError::Bug("the operating system gave no random bytes".to_owned()))?;
    Ok(bytes)
}

/// Name of a consultation that the organisation did not name.
fn unnamed_consultation() -> Result<ConsultationId, ClientError> {
    let name = format!("unnamed-{}", data_encoding::HEXLOWER.encode(&random::<8>()?));
    name.parse().map_err(|error: ConsultationIdError| ClientError::Bug(error.to_string()))
}
