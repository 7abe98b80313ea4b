//! The checks of a recording's statements, in the one order that readers use (FORMAT.md, "Opening").
//!
//! No secret enters here: the server, a scrubber and a reader run the same code. A reader goes on to headers and parts
//! only with a [`CheckedRecording`].

use crate::credentials::{Credentials, TrustError, TrustProblem, VerifiedMember};
use crate::envelope::{Envelope, StatementError, Verified};
use crate::ids::{Digest, OrganisationId, RecordingId};
use crate::statements::{DeviceRole, FinalSeal, Manifest, Role, SegmentSeal};

/// Why a recording is refused. Each class is something a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What came is another recording, or a piece of another recording, than the one asked for.
    #[error("this is not the recording that was asked for: {0}")]
    MixUp(String),
    /// Not sealed by a device that was entitled to.
    #[error("nobody entitled to seal this recording has done so: {0}")]
    NotEntitled(String),
    /// Bytes are missing or altered.
    #[error("damaged: {0}")]
    Damaged(String),
    /// Needs a newer program.
    #[error("{0}")]
    NewerFormat(String),
}

/// A manifest whose signer was entitled to seal the recording.
#[derive(Debug, Clone)]
pub struct CheckedManifest {
    manifest: Verified<Manifest>,
    sealer: VerifiedMember,
    readers: Vec<VerifiedMember>,
}

/// All statements of a recording, checked and chained.
#[derive(Debug, Clone)]
pub struct CheckedRecording {
    manifest: CheckedManifest,
    seals: Vec<Verified<SegmentSeal>>,
    final_seal: Option<Verified<FinalSeal>>,
}

/// Classifies an envelope that cannot be read: newer format, or damage.
fn unreadable(error: StatementError) -> Refusal {
    match error {
        StatementError::Newer { .. } => Refusal::NewerFormat(error.to_string()),
        other => Refusal::Damaged(other.to_string()),
    }
}

impl CheckedManifest {
    /// Checks a manifest against the id the *caller* asked for, its credentials and the pinned organisation.
    ///
    /// # Errors
    /// [`Refusal::MixUp`] before any signature is looked at if the id differs; [`Refusal::NotEntitled`] if the sealer was
    /// not certified, not entitled, or its device key does not verify; [`Refusal::Damaged`] or
    /// [`Refusal::NewerFormat`] if bytes cannot be read.
    pub fn check(
        requested: RecordingId,
        organisation: OrganisationId,
        manifest: &[u8],
        credentials: &[u8],
    ) -> Result<Self, Refusal> {
        let envelope = Envelope::<Manifest>::parse(manifest).map_err(unreadable)?;
        let claimed = envelope.unverified();
        if claimed.recording != requested {
            return Err(Refusal::MixUp(format!("its manifest is that of recording {}", claimed.recording)));
        }
        if claimed.tenant != organisation {
            return Err(Refusal::NotEntitled(format!(
                "it was sealed under another organisation ({})",
                claimed.tenant.short()
            )));
        }
        if Digest::of(credentials) != claimed.credentials {
            return Err(Refusal::Damaged(
                "the credentials are not those its manifest was signed with".to_owned(),
            ));
        }
        let credentials = Credentials::parse(credentials).map_err(unreadable)?;
        let not_entitled = |error: TrustError| Refusal::NotEntitled(error.to_string());
        let at = claimed.created;
        let sealer = credentials.verify(organisation, claimed.sealer, at).map_err(not_entitled)?;
        sealer.check_may_seal(claimed.patient, claimed.clinician).map_err(not_entitled)?;
        let device = sealer.key_list().device(claimed.sealer_key, DeviceRole::Seal).ok_or_else(|| {
            let problem = TrustProblem::KeyNotListed(claimed.sealer_key);
            not_entitled(TrustError { account: claimed.sealer, problem })
        })?;
        let manifest = envelope
            .verify(claimed.sealer_key, &device.key)
            .map_err(|error| Refusal::NotEntitled(error.to_string()))?;
        let mut readers = Vec::with_capacity(manifest.recipients.len());
        for recipient in &manifest.recipients {
            let role = if recipient.account == manifest.patient { Role::Patient } else { Role::Clinician };
            let reader = credentials.verify(organisation, recipient.account, at).map_err(not_entitled)?;
            reader.check_role(role).map_err(not_entitled)?;
            let key = reader.key_list().encryption_key(recipient.key);
            if key.is_none_or(|key| key.suite != manifest.suite) {
                let problem = TrustProblem::KeyNotListed(recipient.key);
                return Err(not_entitled(TrustError { account: recipient.account, problem }));
            }
            readers.push(reader);
        }
        Ok(Self { manifest, sealer, readers })
    }

    /// The manifest.
    pub const fn manifest(&self) -> &Verified<Manifest> {
        &self.manifest
    }

    /// The account whose device sealed it, as certified at sealing.
    pub const fn sealer(&self) -> &VerifiedMember {
        &self.sealer
    }

    /// The readers, as certified at sealing, in the manifest's order.
    pub fn readers(&self) -> &[VerifiedMember] {
        &self.readers
    }

    /// Checks the seal of segment `index`, the one after `previous`.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check_seal(
        &self,
        index: u32,
        previous: Option<&Verified<SegmentSeal>>,
        seal: &Envelope<SegmentSeal>,
    ) -> Result<Verified<SegmentSeal>, Refusal> {
        self.check_belongs(&format!("segment {index}"), seal.unverified().manifest)?;
        let seal = seal
            .verify(self.manifest.sealer_key, self.manifest.signer())
            .map_err(|error| Refusal::NotEntitled(format!("segment {index}: {error}")))?;
        if seal.index != index {
            return Err(Refusal::MixUp(format!("in place of segment {index} stands segment {}", seal.index)));
        }
        if seal.previous != previous.map(Verified::digest) {
            return Err(Refusal::Damaged(format!(
                "segment {index} does not follow on the segment before it"
            )));
        }
        Ok(seal)
    }

    /// Checks a final seal against the seals of all segments.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check_final(
        &self,
        seals: &[Verified<SegmentSeal>],
        final_seal: &Envelope<FinalSeal>,
    ) -> Result<Verified<FinalSeal>, Refusal> {
        self.check_belongs("the final seal", final_seal.unverified().manifest)?;
        let final_seal = final_seal
            .verify(self.manifest.sealer_key, self.manifest.signer())
            .map_err(|error| Refusal::NotEntitled(error.to_string()))?;
        let counted = u32::try_from(seals.len()).ok();
        if counted != Some(final_seal.segments)
            || seals.last().map(Verified::digest) != Some(final_seal.last_seal)
        {
            return Err(Refusal::Damaged(format!(
                "it ended with {} segments, and {} of them are here",
                final_seal.segments,
                seals.len()
            )));
        }
        if final_seal.total_length != plaintext_length(seals) {
            return Err(Refusal::Damaged("its segments do not add up to its total length".to_owned()));
        }
        Ok(final_seal)
    }

    fn check_belongs(&self, what: &str, manifest: Digest) -> Result<(), Refusal> {
        if manifest == self.manifest.digest() {
            Ok(())
        } else {
            Err(Refusal::MixUp(format!("{what} belongs to another recording")))
        }
    }
}

fn plaintext_length(seals: &[Verified<SegmentSeal>]) -> u64 {
    seals.iter().filter_map(|seal| seal.shape()).map(|shape| shape.plaintext_length()).sum()
}

impl CheckedRecording {
    /// Checks all statements of the recording `requested`; `seals` in the order of their segments.
    ///
    /// # Errors
    /// [`Refusal`], for the first check that fails.
    pub fn check(
        requested: RecordingId,
        organisation: OrganisationId,
        manifest: &[u8],
        credentials: &[u8],
        seals: &[Vec<u8>],
        final_seal: Option<&[u8]>,
    ) -> Result<Self, Refusal> {
        let manifest = CheckedManifest::check(requested, organisation, manifest, credentials)?;
        let mut checked: Vec<Verified<SegmentSeal>> = Vec::with_capacity(seals.len());
        for (index, seal) in (0u32..).zip(seals) {
            let seal = Envelope::parse(seal).map_err(unreadable)?;
            let seal = manifest.check_seal(index, checked.last(), &seal)?;
            checked.push(seal);
        }
        let final_seal = match final_seal {
            None => None,
            Some(bytes) => {
                Some(manifest.check_final(&checked, &Envelope::parse(bytes).map_err(unreadable)?)?)
            }
        };
        Ok(Self { manifest, seals: checked, final_seal })
    }

    /// The manifest.
    pub const fn manifest(&self) -> &Verified<Manifest> {
        self.manifest.manifest()
    }

    /// The account whose device sealed it, as certified at sealing.
    pub const fn sealer(&self) -> &VerifiedMember {
        self.manifest.sealer()
    }

    /// The readers, as certified at sealing, in the manifest's order.
    pub fn readers(&self) -> &[VerifiedMember] {
        self.manifest.readers()
    }

    /// The seals, in the order of their segments.
    pub fn seals(&self) -> &[Verified<SegmentSeal>] {
        &self.seals
    }

    /// The final seal; `None` means that the recording is cut off.
    pub const fn final_seal(&self) -> Option<&Verified<FinalSeal>> {
        self.final_seal.as_ref()
    }

    /// Plaintext bytes of all sealed segments.
    pub fn plaintext_length(&self) -> u64 {
        plaintext_length(&self.seals)
    }
}
