//! The recordings of an account, each shown from its own checked statements, never from the server's words about it.

use std::collections::{BTreeMap, HashSet};

use futures_util::stream::{self, StreamExt as _};
use vault_core::details::Details;
use vault_core::opening::OpenError;
use vault_proto::envelope::Verified;
use vault_proto::ids::{AccountId, Digest, RecordingId};
use vault_proto::recording::Refusal;
use vault_proto::recording_list::{ListEntry, Shown};
use vault_proto::statements::{Participants, Role};
use vault_proto::timestamp::Timestamp;
use vault_proto::wire::{self, RecordingEntry, RecordingPage};

use crate::error::ClientError;
use crate::home::own_list;
use crate::opening::recording::{Completeness, MAX_PAGE_BODY, Met, RemoteRecording};
use crate::session::Session;

/// Recordings that are looked at at the same time.
const IN_FLIGHT: usize = 6;
/// Seconds without a new part after which a recording without an end counts as cut off, not as under way.
const UNDER_WAY: i64 = 10 * 60;
/// Seconds by which the server's clock may be ahead of this one. A time that lies further on would keep a recording
/// that was cut off looking as if it were under way.
const AHEAD: i64 = 2 * 60;
/// Entries that are refused before the list itself is: a server can invent ids for ever.
const MAX_REFUSED: usize = 1000;

/// Whether a recording is complete, for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its end is sealed.
    Complete,
    /// Its end is missing and nothing has come for a while, or its sealer says that the rest was lost.
    CutOff,
    /// Its end is missing and the server says that parts came a short while ago.
    Recording,
    /// It was begun, and nothing of it is there: its sealer died before the first part, or has sent none yet.
    Empty,
}

/// One recording of the account.
#[derive(Debug, Clone)]
pub struct ListedRecording {
    /// The recording.
    pub recording: RecordingId,
    /// The consultation.
    pub consultation: String,
    /// The patient.
    pub patient: AccountId,
    /// The clinician.
    pub clinician: AccountId,
    /// Whose device sealed it.
    pub sealer: AccountId,
    /// As what that account was certified at sealing.
    pub sealer_role: Role,
    /// When it began, by the sealing device's clock.
    pub created: Timestamp,
    /// Whether it is complete.
    pub status: Status,
    /// When something of it was last stored, as the server says.
    pub last_stored: Timestamp,
    /// Plaintext bytes of all tracks; for a sealer who is no reader, padding is among them.
    pub bytes: u64,
    /// Plaintext bytes of all segments, padding among them.
    pub total_length: u64,
    /// What the people are called in their certificates, the organisation's word.
    pub labels: BTreeMap<AccountId, String>,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Digest of its final seal, if it has one.
    pub final_seal: Option<Digest>,
    /// The end that its final seal names as superseded.
    pub supersedes: Option<Digest>,
    /// What only readers see; `None` without an end, or for a sealer who is no reader.
    pub details: Option<Details>,
}

impl ListedRecording {
    /// Who takes part in it.
    pub const fn people(&self) -> Participants {
        Participants { patient: self.patient, clinician: self.clinician, sealer: self.sealer }
    }

    /// Its entry in the account's own list.
    pub const fn entry(&self) -> ListEntry {
        ListEntry { recording: self.recording, manifest: self.manifest, final_seal: self.final_seal }
    }

    /// What is shown of it, to be held against that list.
    pub const fn shown(&self) -> Shown {
        Shown { entry: self.entry(), supersedes: self.supersedes }
    }
}

/// Something the server listed that is not shown as a recording.
#[derive(Debug)]
pub struct RefusedEntry {
    /// The id it was listed under.
    pub recording: RecordingId,
    /// Why.
    pub error: ClientError,
}

/// A list, with what was left out of it.
#[derive(Debug, Default)]
pub struct Listing {
    /// The recordings, newest first.
    pub recordings: Vec<ListedRecording>,
    /// What the server listed and this client refuses.
    pub refused: Vec<RefusedEntry>,
    /// What the server has listed before and does not list any more, as the account's own list knows it.
    pub missing: Vec<ListEntry>,
    /// What the account knew with another end, which the one shown names as superseded: its sealer had lost what that
    /// one was signed over.
    pub other_ends: Vec<RecordingId>,
}

/// Lists all recordings of the account, checking each, and compares them with the account's own list, which from then
/// on names them too.
///
/// # Errors
/// [`ClientError`] if the list itself cannot be had; a recording that fails is in [`Listing::refused`].
pub async fn list(session: &Session) -> Result<Listing, ClientError> {
    let mut listing = ask(session).await?;
    let shown: Vec<Shown> = listing.recordings.iter().map(ListedRecording::shown).collect();
    let learned = own_list::learn(&session.home, &session.account, &shown).await?;
    for (recording, refusal) in learned.refused {
        listing.recordings.retain(|listed| listed.recording != recording);
        listing.refused.push(RefusedEntry { recording, error: refusal.into() });
    }
    // What was refused is there in some form, and named as such.
    let refused: HashSet<RecordingId> = listing.refused.iter().map(|entry| entry.recording).collect();
    listing.other_ends = learned.other_ends;
    listing.missing = learned.missing;
    listing.missing.retain(|entry| !refused.contains(&entry.recording));
    Ok(listing)
}

/// What the server lists, each checked by itself.
async fn ask(session: &Session) -> Result<Listing, ClientError> {
    let mut listing = Listing::default();
    let mut after: Option<String> = None;
    let mut seen = HashSet::new();
    let met = Met::default();
    loop {
        let query = after.as_ref().map(|cursor| format!("after={cursor}"));
        let page: RecordingPage =
            session.connection.get_json(wire::path::RECORDINGS, query.as_deref(), MAX_PAGE_BODY).await?;
        // A server that names pages for ever is not followed: each page but the last must hold something new.
        let new = page.recordings.iter().filter(|entry| seen.insert(entry.recording)).count();
        if new < page.recordings.len() || (new == 0 && page.next.is_some()) {
            return Err(session.connection.off_protocol("its list repeats itself".to_owned()));
        }
        let entries = stream::iter(page.recordings).map(|entry| look_at(session, entry, &met));
        let mut entries = std::pin::pin!(entries.buffered(IN_FLIGHT));
        while let Some(entry) = entries.next().await {
            match entry {
                Ok(recording) => listing.recordings.push(recording),
                Err((_, error @ ClientError::Unreachable { .. })) => return Err(error),
                Err((recording, error)) => listing.refused.push(RefusedEntry { recording, error }),
            }
            if listing.refused.len() > MAX_REFUSED {
                let error = format!("its list names more than {MAX_REFUSED} recordings that are none");
                return Err(session.connection.off_protocol(error));
            }
        }
        match page.next {
            None => return Ok(listing),
            Some(next) if !is_cursor(&next) => {
                return Err(session.connection.off_protocol("its list has no next page".to_owned()));
            }
            next => after = next,
        }
    }
}

/// Whether a cursor can stand in a query as it is.
fn is_cursor(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

async fn look_at(
    session: &Session,
    entry: RecordingEntry,
    met: &Met,
) -> Result<ListedRecording, (RecordingId, ClientError)> {
    let recording = entry.recording;
    check(session, recording, met).await.map_err(|error| (recording, error))
}

async fn check(session: &Session, recording: RecordingId, met: &Met) -> Result<ListedRecording, ClientError> {
    let remote = RemoteRecording::fetch_unknown(session, recording, met).await?;
    let mut listed = describe(session, &remote).await?;
    // A list is not for seeking, and one of many recordings would hold many indexes.
    for track in listed.details.iter_mut().flat_map(|details| &mut details.tracks) {
        track.seek = None;
    }
    Ok(listed)
}

/// What there is to say of a recording; a reader's details are fetched and opened for it.
pub async fn describe(session: &Session, remote: &RemoteRecording) -> Result<ListedRecording, ClientError> {
    let manifest = remote.checked().manifest();
    let own = session.account.id;
    if !manifest.participants().has(own) {
        return Err(Refusal::MixUp("it is a recording of other people".to_owned()).into());
    }
    let details = match remote.details(session).await {
        Err(ClientError::Open(OpenError::NotAReader)) => None,
        other => other?.cloned(),
    };
    let status = match remote.completeness() {
        Completeness::Complete => Status::Complete,
        Completeness::CutOff if remote.holds_nothing(&session.home).await? => Status::Empty,
        Completeness::CutOff => {
            let recent = is_recent(remote.last_stored(), session.effects().timestamp()?);
            let ended = remote.checked().final_seal().is_some();
            if recent && !ended { Status::Recording } else { Status::CutOff }
        }
    };
    Ok(ListedRecording {
        recording: manifest.recording,
        consultation: manifest.consultation.to_string(),
        patient: manifest.patient,
        clinician: manifest.clinician,
        sealer: manifest.sealer,
        sealer_role: remote.checked().sealer().role(),
        created: manifest.created,
        status,
        bytes: details.as_ref().map_or_else(
            || remote.checked().plaintext_length(),
            |details| details.tracks.iter().map(|track| track.bytes).sum(),
        ),
        total_length: remote.checked().plaintext_length(),
        last_stored: remote.last_stored(),
        labels: remote.labels(),
        manifest: manifest.digest(),
        final_seal: remote.checked().final_seal().map(Verified::digest),
        supersedes: remote.checked().final_seal().and_then(|final_seal| final_seal.supersedes),
        details,
    })
}

/// Whether something that the server says it stored at `stored` came a short while ago.
fn is_recent(stored: Timestamp, now: Timestamp) -> bool {
    stored.saturating_add(UNDER_WAY) >= now && stored <= now.saturating_add(AHEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_keep_a_recording_under_way_with_a_time_to_come() {
        let now = Timestamp::from_unix_seconds(1_795_000_000).unwrap();
        for (offset, recent) in
            [(-601, false), (-600, true), (0, true), (120, true), (121, false), (1_000_000, false)]
        {
            let stored = Timestamp::from_unix_seconds(1_795_000_000 + offset).unwrap();
            assert_eq!(is_recent(stored, now), recent, "{offset}");
        }
    }
}
