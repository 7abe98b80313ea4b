//! Taking recordings home: fetched several at a time, each checked and put in its place as a whole, then everything
//! named and signed. One that fails stops no other; the next run fetches what is missing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Mutex;

use futures_util::stream::{self, StreamExt as _};
use vault_proto::envelope::{Envelope, Unsigned};
use vault_proto::ids::{Digest, KeyId, RecordingId};
use vault_proto::recording_list::Shown;
use vault_proto::statements::{Export, RecordingList};

use super::folder::ExportFolder;
use super::run::{ExportEvent, Present, Run};
use super::{kept, opened, sealed};
use vault_engine::Session;
use vault_engine::error::{ClientError, CutOff, CutOffReason};
use vault_engine::home::own_list::{self, OwnList};
use vault_engine::opening::listing::{self, ListedRecording};
use vault_export::Form;
use vault_export::layout::{SUMS, proof};
use vault_export::sums::{Sums, write_sums};
use vault_export::{Catalogue, ExportedRecording, Person};
use vault_export::{documents, folder_names};

/// Recordings that are fetched at the same time.
const IN_FLIGHT: usize = 4;
/// Recordings in a row that fail because nobody answers, after which the others are not tried.
const AWAY: usize = 2 * IN_FLIGHT;

/// What to export.
#[derive(Debug, Clone, Copy)]
pub struct ExportRequest<'a> {
    /// The folder; a new one, an empty one, or one of an earlier export.
    pub folder: &'a Path,
    /// The recordings; none for all of the account.
    pub recordings: &'a [RecordingId],
    /// In which form.
    pub form: Form,
}

/// What an export came to.
#[derive(Debug)]
pub struct Exported {
    /// Recordings that are in it.
    pub recordings: usize,
    /// How many of these were begun, and hold nothing: of them there is only what proves that.
    pub empty: usize,
    /// How many this run fetched.
    pub fetched: usize,
    /// Those that could not be exported, and why.
    pub failed: Vec<(RecordingId, ClientError)>,
    /// What the account knew with another end, which the one shown names as superseded.
    pub other_ends: Vec<RecordingId>,
    /// The account's list, which it can be held against.
    pub list: Envelope<RecordingList>,
}

/// Exports recordings into a folder, or brings an earlier export up to date.
///
/// # Errors
/// [`ClientError::Usage`] while another process exports into the folder; [`ClientError::Disk`], with everything that
/// was exported before in its place; [`ClientError::Unreachable`] if the server does not answer any more. What happens
/// to single recordings is in [`Exported::failed`].
pub async fn export(
    session: &Session,
    request: ExportRequest<'_>,
    on_event: &mut (dyn FnMut(ExportEvent) + Send),
) -> Result<Exported, ClientError> {
    let folder = ExportFolder::take(request.folder, request.form)?;
    let run = Run { session, folder, progress: Mutex::new(on_event) };
    kept::check_owner(&run)?;
    let listing = listing::list(session).await?;
    let list = own_list::learn(session.home(), session.account(), &[]).await?.list;
    let mut failed: Vec<(RecordingId, ClientError)> =
        listing.refused.into_iter().map(|entry| (entry.recording, entry.error)).collect();
    failed.extend(listing.missing.iter().map(|entry| (entry.recording, ClientError::NoLongerListed)));
    let wanted = |id: &RecordingId| request.recordings.is_empty() || request.recordings.contains(id);
    let mut recordings = listing.recordings;
    recordings.retain(|recording| wanted(&recording.recording));
    failed.retain(|(recording, _)| wanted(recording));
    let there = kept::folders(&run.folder)?;
    let folders = folder_names::assign(&recordings, &there);
    let known = list.object.by_recording();

    let mut present = HashMap::new();
    let mut missing = Vec::new();
    for recording in &recordings {
        let place = folders.get(&recording.recording).cloned().unwrap_or_default();
        let found = match request.form {
            Form::Opened => opened::find(&run, recording, &place).await?,
            Form::Sealed => sealed::find(&run, recording),
        };
        let known_end = known.get(&recording.recording).and_then(|entry| entry.final_seal);
        if let (Some(final_seal), None) = (known_end, recording.final_seal) {
            failed.push((recording.recording, end_taken_back(recording, final_seal)));
            if found.is_none() && kept::proved(&run, recording.recording).is_some() {
                // What was taken home is carried over: it is no less than what the server shows now.
                continue;
            }
        }
        match found {
            Some(found) => drop(present.insert(recording.recording, found)),
            None => missing.push((recording, place)),
        }
    }
    run.tell(ExportEvent::Listed {
        recordings: recordings.len(),
        kept: present.len(),
        bytes: missing.iter().map(|(recording, _)| recording.bytes).sum(),
    });
    let fetched = fetch(&run, request.form, missing, &mut present, &mut failed).await;
    // Some may have come further since they were listed.
    let shown: Vec<Shown> = present.values().filter_map(|found| found.shown).collect();
    let own_list::Learned { list, refused, other_ends: more, .. } =
        own_list::learn(session.home(), session.account(), &shown).await?;
    let mut other_ends = listing.other_ends;
    other_ends.extend(more);
    other_ends.retain(wanted);
    for (recording, refusal) in refused {
        present.remove(&recording);
        failed.push((recording, refusal.into()));
    }
    // What is at home stays there, and signed, whatever the server shows today and whichever recordings were asked for.
    for entry in &list.object.recordings {
        if !present.contains_key(&entry.recording)
            && let Some(found) =
                carry_over(&run, request.form, entry.recording, there.get(&entry.recording)).await?
        {
            present.insert(entry.recording, found);
        }
    }
    let recordings = present.len();
    let empty = present.values().filter(|found| found.empty).count();
    let finished = finish(&run, request.form, list, present, &failed).await;
    // What could be fetched is signed even where the rest could not be.
    let fetched = fetched?;
    let list = finished?;
    Ok(Exported { recordings, empty, fetched, failed, other_ends, list: list.statement })
}

async fn carry_over(
    run: &Run<'_>,
    form: Form,
    recording: RecordingId,
    place: Option<&String>,
) -> Result<Option<Present>, ClientError> {
    match (form, place) {
        (Form::Opened, Some(place)) => opened::carry_over(run, recording, place).await,
        (Form::Opened, None) => Ok(None),
        (Form::Sealed, _) => Ok(sealed::carry_over(run, recording)),
    }
}

/// Says that the server hides an end that this account has seen.
fn end_taken_back(recording: &ListedRecording, final_seal: Digest) -> ClientError {
    ClientError::CutOff(Box::new(CutOff {
        created: recording.created,
        until: None,
        last_stored: recording.last_stored,
        bytes: recording.bytes,
        why: CutOffReason::EndForgotten { final_seal },
    }))
}

/// Fetches what is missing, several at a time. Says how many that were.
async fn fetch(
    run: &Run<'_>,
    form: Form,
    missing: Vec<(&ListedRecording, String)>,
    present: &mut HashMap<RecordingId, Present>,
    failed: &mut Vec<(RecordingId, ClientError)>,
) -> Result<usize, ClientError> {
    let fetching = stream::iter(missing).map(async |(recording, place)| {
        let outcome = match form {
            Form::Opened => opened::fetch(run, recording, &place).await,
            Form::Sealed => sealed::fetch(run, recording).await,
        };
        (recording.recording, outcome)
    });
    let mut fetching = std::pin::pin!(fetching.buffer_unordered(IN_FLIGHT));
    let (mut fetched, mut unanswered) = (0, 0);
    while let Some((recording, outcome)) = fetching.next().await {
        match outcome {
            Ok(found) => {
                present.insert(recording, found);
                fetched += 1;
                unanswered = 0;
            }
            // The disk is that of all of them.
            Err(error @ ClientError::Disk { .. }) => return Err(error),
            Err(error @ ClientError::Unreachable { .. }) if unanswered + 1 == AWAY => return Err(error),
            Err(error) => {
                unanswered =
                    if matches!(error, ClientError::Unreachable { .. }) { unanswered + 1 } else { 0 };
                failed.push((recording, error));
            }
        }
    }
    Ok(fetched)
}

/// Writes what describes the export as a whole, and signs it. Gives the list that it names.
async fn finish(
    run: &Run<'_>,
    form: Form,
    list: OwnList,
    present: HashMap<RecordingId, Present>,
    failed: &[(RecordingId, ClientError)],
) -> Result<OwnList, ClientError> {
    let Run { session, folder, .. } = run;
    let statements = own_list::own_statements(session.home()).await?;
    let mut batch = folder.batch("export")?;
    let mut sums = Sums::new();
    let mut described = Vec::new();
    for found in present.into_values() {
        sums.extend(found.sums);
        described.extend(found.described);
    }
    described.sort_by_key(|recording: &ExportedRecording| (Reverse(recording.created), recording.recording));
    let mut documents = match form {
        Form::Opened => {
            let certificate = statements.certificate.unverified();
            documents::of_opened(&Catalogue {
                account: Person {
                    account: session.account().id,
                    role: certificate.role,
                    label: certificate.label.clone(),
                },
                organisation: session.enrolment().organisation,
                created: session.effects().timestamp()?,
                recordings: described,
                missing: failed.iter().map(|(id, error)| (*id, error.to_string())).collect(),
            })?
        }
        Form::Sealed => documents::of_sealed(),
    };
    // Also those of recordings that are carried over, and of accounts as they were once: whatever lies there is signed.
    sums.extend(kept::named_statements(folder)?);
    documents.extend(documents::of_account(&statements, &list)?);
    for document in &documents {
        batch.put(&mut sums, &document.path, &document.bytes)?;
    }
    let sums = write_sums(&sums);
    let export = Export {
        member: statements.member(session.account().id),
        list: list.statement.digest(),
        created: session.effects().timestamp()?,
        sums: Digest::of(sums.as_bytes()),
    };
    let device = session.account().device;
    let export = session.sign(Unsigned::prepare(&export, KeyId::of_device(&device), device)?).await?;
    // What is signed is there, all of it, before its signature.
    let mut unsigned = BTreeMap::new();
    batch.put(&mut unsigned, SUMS, sums.as_bytes())?;
    batch.put(&mut unsigned, proof::EXPORT, export.bytes())?;
    batch.finish()?;
    Ok(list)
}
