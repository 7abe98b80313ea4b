//! The checks of a recording's statements, in the one order that readers use (FORMAT.md, "Opening").
//!
//! No secret enters here: the server, a scrubber and a reader run the same code. A reader goes on to headers and parts
//! only with a [`CheckedRecording`].

use std::collections::BTreeMap;

use crate::envelope::{Envelope, StatementError, Verified};
use crate::geometry::BodyShape;
use crate::ids::{Digest, OrganisationId, RecordingId};
use crate::members::{FoundMember, TrustError, TrustProblem};
use crate::named_statements::NamedStatements;
use crate::statements::{
    DeviceRole, FinalSeal, Manifest, Member, Reader, ReaderRole, SegmentProgress, SegmentSeal,
};
use crate::timestamp::Timestamp;
use crate::trust::{Known, Signer, VerifiedMember};

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

/// The statements of a recording, as they are stored.
#[derive(Debug, Clone, Copy)]
pub struct StoredStatements<'a> {
    /// The manifest's envelope.
    pub manifest: &'a [u8],
    /// The statements that the manifest names, and any others.
    pub named: &'a NamedStatements,
    /// The envelopes of the segments' seals, in the order of the segments.
    pub seals: &'a [Vec<u8>],
    /// The envelope of the newest progress: of the segment after the last sealed one, or of that one.
    pub progress: Option<&'a [u8]>,
    /// The final seal's envelope.
    pub final_seal: Option<&'a [u8]>,
}

/// All statements of a recording, checked and chained.
#[derive(Debug, Clone)]
pub struct CheckedRecording {
    manifest: CheckedManifest,
    seals: Vec<Verified<SegmentSeal>>,
    progress: Option<Verified<SegmentProgress>>,
    final_seal: Option<Verified<FinalSeal>>,
}

/// A segment that can be opened, as its seal proves it, or its newest progress if it was never sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvenSegment {
    /// Number of the segment.
    pub index: u32,
    /// Its track.
    pub track: u8,
    /// Geometry of what is proved of its body.
    pub shape: BodyShape,
    /// RFC 6962 root over its parts' SHA-256 hashes.
    pub parts_root: Digest,
    /// SHA-256 of its header.
    pub header: Digest,
    /// Whether it is sealed; if not, more may be stored of it than is proved.
    pub sealed: bool,
}

impl ProvenSegment {
    fn of_seal(seal: &SegmentSeal) -> Option<Self> {
        let SegmentSeal { index, track, parts_root, header, .. } = *seal;
        Some(Self { index, track, shape: seal.shape()?, parts_root, header, sealed: true })
    }

    fn of_progress(progress: &SegmentProgress) -> Option<Self> {
        let SegmentProgress { index, track, parts_root, header, .. } = *progress;
        Some(Self { index, track, shape: progress.shape()?, parts_root, header, sealed: false })
    }
}

/// Classifies an envelope that cannot be read: newer format, or damage.
pub(crate) fn unreadable(error: StatementError) -> Refusal {
    match error {
        StatementError::Newer { .. } => Refusal::NewerFormat(error.to_string()),
        other => Refusal::Damaged(other.to_string()),
    }
}

/// What of a manifest is checked before the statements that it names: that it parses, is of the recording that was
/// asked for, and of the pinned organisation. Its signature is not.
///
/// # Errors
/// [`Refusal`].
pub fn claimed_manifest(
    requested: RecordingId,
    organisation: OrganisationId,
    manifest: &[u8],
) -> Result<Envelope<Manifest>, Refusal> {
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
    Ok(envelope)
}

/// The members of a manifest with the statements that they name.
///
/// # Errors
/// As [`FoundMember::find`].
pub(crate) fn manifest_members(
    manifest: &Manifest,
    named: &NamedStatements,
) -> Result<Vec<FoundMember>, StatementError> {
    let find = |member: &Member| {
        let signer = (member.account == manifest.sealer).then_some(manifest.sealer_key);
        FoundMember::find(member, signer, named)
    };
    manifest.members.iter().map(find).collect()
}

impl CheckedManifest {
    /// Checks a manifest against the id the *caller* asked for, the statements that it names, the pinned organisation
    /// and what is `known` of it and its accounts.
    ///
    /// # Errors
    /// [`Refusal::MixUp`] before any signature is looked at if the id differs; [`Refusal::NotEntitled`] if the sealer
    /// was not certified, not entitled, or its device key does not verify; [`Refusal::Damaged`] or
    /// [`Refusal::NewerFormat`] if bytes cannot be read, or a statement that it names is not there.
    pub fn check(
        requested: RecordingId,
        organisation: OrganisationId,
        manifest: &[u8],
        named: &NamedStatements,
        known: &Known,
    ) -> Result<Self, Refusal> {
        let envelope = claimed_manifest(requested, organisation, manifest)?;
        let claimed = envelope.unverified();
        let members = manifest_members(claimed, named).map_err(unreadable)?;
        let not_entitled = |error: TrustError| Refusal::NotEntitled(error.to_string());
        let at = claimed.created;
        let mut known = known.clone();
        known.learn_issuers_of(&members, organisation);
        let certified = |account, signer| {
            // Its own check has seen that there is a member for each.
            let member = members.iter().find(|member| member.account() == account);
            let member = member.ok_or(TrustError { account, problem: TrustProblem::Missing })?;
            known.check_at(member.verify_signatures(organisation)?, signer, at)
        };
        let signer =
            Signer { key: claimed.sealer_key, role: DeviceRole::Seal, sequence: Some(claimed.sequence) };
        let sealer = certified(claimed.sealer, Some(signer)).map_err(not_entitled)?;
        sealer.check_may_seal(&claimed.participants()).map_err(not_entitled)?;
        let device = sealer.device(claimed.sealer_key, DeviceRole::Seal).ok_or_else(|| {
            let problem = TrustProblem::KeyNotListed(claimed.sealer_key);
            not_entitled(TrustError { account: claimed.sealer, problem })
        })?;
        let manifest = envelope
            .verify(claimed.sealer_key, device)
            .map_err(|error| Refusal::NotEntitled(error.to_string()))?;
        let mut readers = Vec::with_capacity(manifest.readers.len());
        for Reader { account, key: id, role, .. } in manifest.readers.iter().copied() {
            let reader = certified(account, None).map_err(not_entitled)?;
            reader.check_may_read_as(role).map_err(not_entitled)?;
            let key = reader.key_list().encryption_key(id);
            if key.is_none_or(|key| key.suite != manifest.suite) {
                return Err(not_entitled(TrustError { account, problem: TrustProblem::KeyNotListed(id) }));
            }
            if role == ReaderRole::Patient && reader.key_list().allows != manifest.policy {
                return Err(Refusal::NotEntitled(
                    "its policy is not what its patient allowed when it was sealed".to_owned(),
                ));
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

    /// Checks the progress of the segment after `seals`, or of the last of them.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check_progress(
        &self,
        seals: &[Verified<SegmentSeal>],
        progress: &Envelope<SegmentProgress>,
    ) -> Result<Verified<SegmentProgress>, Refusal> {
        self.check_belongs("the progress of its last segment", progress.unverified().manifest)?;
        let progress = progress
            .verify(self.manifest.sealer_key, self.manifest.signer())
            .map_err(|error| Refusal::NotEntitled(format!("the progress of its last segment: {error}")))?;
        let sealed = u32::try_from(seals.len()).unwrap_or(u32::MAX);
        let before = match sealed.checked_sub(progress.index) {
            Some(0) => seals.last().map(Verified::digest),
            Some(1) => seals.last().and_then(|seal| seal.previous),
            _ => {
                return Err(Refusal::MixUp(format!(
                    "after segment {sealed} stands the progress of segment {}",
                    progress.index
                )));
            }
        };
        if progress.previous != before {
            return Err(Refusal::Damaged(format!(
                "the progress of segment {} does not follow on the segment before it",
                progress.index
            )));
        }
        Ok(progress)
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
    /// Checks all statements of the recording `requested`, as far as is `known` now. Where there is a final seal, it
    /// says what belongs to the recording, and no progress is looked at.
    ///
    /// # Errors
    /// [`Refusal`], for the first check that fails.
    pub fn check(
        requested: RecordingId,
        organisation: OrganisationId,
        stored: &StoredStatements<'_>,
        known: &Known,
    ) -> Result<Self, Refusal> {
        let manifest = CheckedManifest::check(requested, organisation, stored.manifest, stored.named, known)?;
        let mut seals: Vec<Verified<SegmentSeal>> = Vec::with_capacity(stored.seals.len());
        for (index, seal) in (0u32..).zip(stored.seals) {
            let seal = Envelope::parse(seal).map_err(unreadable)?;
            let seal = manifest.check_seal(index, seals.last(), &seal)?;
            seals.push(seal);
        }
        let (final_seal, progress) = match (stored.final_seal, stored.progress) {
            (Some(bytes), _) => {
                (Some(manifest.check_final(&seals, &Envelope::parse(bytes).map_err(unreadable)?)?), None)
            }
            (None, Some(bytes)) => {
                (None, Some(manifest.check_progress(&seals, &Envelope::parse(bytes).map_err(unreadable)?)?))
            }
            (None, None) => (None, None),
        };
        Ok(Self { manifest, seals, progress, final_seal })
    }

    /// The manifest.
    pub const fn manifest(&self) -> &Verified<Manifest> {
        self.manifest.manifest()
    }

    /// The manifest with those whom it names.
    pub const fn checked_manifest(&self) -> &CheckedManifest {
        &self.manifest
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

    /// The segments that can be opened, in their order: all that are sealed, and without a final seal the whole parts
    /// of the one after them, as far as its progress proves them.
    pub fn segments(&self) -> Vec<ProvenSegment> {
        let open = self.progress.as_ref().filter(|progress| progress.index as usize == self.seals.len());
        let open = open.and_then(|progress| ProvenSegment::of_progress(progress));
        self.seals.iter().filter_map(|seal| ProvenSegment::of_seal(seal)).chain(open).collect()
    }

    /// Until when it was recorded, by the sealing device's clock, as far as a signed statement says.
    pub fn recorded_until(&self) -> Option<Timestamp> {
        match (&self.final_seal, &self.progress) {
            (Some(final_seal), _) => Some(final_seal.ended),
            (None, progress) => progress.as_ref().map(|progress| progress.recorded),
        }
    }

    /// The tracks that have segments to open, ascending, each with the plaintext bytes of these, padding among them.
    pub fn held_by_track(&self) -> BTreeMap<u8, u64> {
        let mut held = BTreeMap::new();
        for segment in self.segments() {
            let bytes: &mut u64 = held.entry(segment.track).or_default();
            *bytes = bytes.saturating_add(segment.shape.plaintext_length());
        }
        held
    }

    /// Plaintext bytes of all segments that can be opened, padding among them.
    pub fn plaintext_length(&self) -> u64 {
        self.segments().iter().map(|segment| segment.shape.plaintext_length()).sum()
    }
}
