//! Holds index and objects against each other, and sets aside what crashes left.
//!
//! The absence of a row never deletes anything. A search goes through all rows and all objects before it touches one,
//! and then touches only what cannot hold anything that was ever acknowledged (`classify` has the rules). It stops,
//! and leaves everything as it is, if it finds what no crash leaves: then the index is older than the objects, or of
//! another time. What it sets aside is kept for [`KEPT_DAYS`](crate::blob::KEPT_DAYS) days more.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use vault_proto::ids::{Digest, RecordingId};
use vault_proto::object::statement_path;

use super::Vault;
use crate::blob::{BlobError, Day, Object, StoredFile, StoredStatement};
use crate::refusal::Reason;
use crate::store::{Named, NamedRecording, StoreError};

/// What to set aside.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// Only what was last written to before this time.
    pub before: SystemTime,
    /// Most files.
    pub at_most: u64,
    /// Whether to stop and touch nothing if there are more; otherwise the others stay.
    pub stop_beyond: bool,
}

/// What a search did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collection {
    /// Recordings of which there are objects.
    pub recordings: u64,
    /// Files that were set aside.
    pub set_aside: u64,
    /// Files that would have been set aside, had there not been too many.
    pub left: u64,
    /// Files that are too young to be set aside.
    pub young: u64,
    /// Files that no row names and that stay, because they may hold what somebody needs.
    pub unexplained: u64,
    /// Objects that rows name and that are not there, or are too short.
    pub missing: u64,
    /// Recordings that could not be looked at, and files that could not be set aside; the reasons are in the log.
    pub failed: u64,
    /// Files that had been set aside long ago and were unlinked.
    pub unlinked: u64,
}

/// Why a search ended before it had touched anything.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The recordings cannot be listed.
    #[error("{0}")]
    Blobs(#[from] BlobError),
    /// The rows cannot be listed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Index and objects contradict each other, or there is more to set aside than is allowed.
    #[error("index and objects do not belong together")]
    Refused(Reason),
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A row names it.
    Named,
    /// A crash left it, or the sealer dropped it, and nothing that was acknowledged can be in it.
    Leftover,
    /// No row names it, and a crash may have left it; it is something that somebody signed or sealed, so it stays.
    Unexplained,
    /// No crash leaves it without a row.
    Contradiction,
}

/// Rows of a recording, as far as its files ask for them.
struct Rows {
    recording: Option<Named>,
    segments: BTreeMap<u32, Named>,
}

impl Rows {
    fn of(vault: &Vault, recording: RecordingId, files: &[StoredFile]) -> Result<Self, StoreError> {
        let whole = vault.store.named(recording, None)?;
        let mut segments = BTreeMap::new();
        for segment in files.iter().filter_map(|file| file.segment) {
            if whole.is_some() && !segments.contains_key(&segment) {
                segments.extend(vault.store.named(recording, Some(segment))?.map(|named| (segment, named)));
            }
        }
        Ok(Self { recording: whole, segments })
    }
}

/// What a file is, by the order in which an operation writes: objects before the row that names them, and objects of a
/// segment, details, final seal and keys of later generations only once the recording has its row. Rows of recordings
/// are never dropped; those of segments only by their sealer's order, which stays on record.
fn classify(file: &StoredFile, files: &[StoredFile], rows: &Rows) -> Class {
    let Some(recording) = &rows.recording else {
        return match (file.segment, file.object) {
            (Some(_), _)
            | (None, Some(Object::Details | Object::Final | Object::Key { generation: 1.. })) => {
                Class::Contradiction
            }
            // With its manifest a recording is one, whatever the index says.
            _ if files.iter().any(|file| file.object == Some(Object::Manifest)) => Class::Unexplained,
            _ => Class::Leftover,
        };
    };
    let Some(object) = file.object else {
        // Put aside and never named: whoever wrote it was never told that it is stored.
        return Class::Leftover;
    };
    let named = |is_named| if is_named { Class::Named } else { Class::Unexplained };
    let Some(index) = object.segment() else {
        return named(match object {
            Object::Details => recording.details,
            Object::Final => recording.final_seal,
            Object::Key { generation } => generation == 0,
            _ => true,
        });
    };
    let row = rows.segments.get(&index);
    match row.and_then(|row| row.segment) {
        Some(segment) => named(match object {
            Object::Header { .. } | Object::Body { .. } => true,
            _ => segment.sealed,
        }),
        None => {
            let has_bytes =
                |file: &StoredFile| file.object == Some(Object::Body { segment: index }) && file.length > 0;
            match (files.iter().any(has_bytes), row.is_some_and(|row| row.abandoned)) {
                // Parts are written only once the segment has its row.
                (false, _) => Class::Leftover,
                (true, true) => Class::Unexplained,
                (true, false) => Class::Contradiction,
            }
        }
    }
}

/// Everything that is to be known before anything is touched.
#[derive(Default)]
struct Plan {
    done: Collection,
    /// Old leftovers, as many as may be set aside.
    leftovers: Vec<StoredFile>,
    /// Likewise, in the folder of the statements.
    statements: Vec<StoredStatement>,
    /// Old leftovers, all of them.
    found: u64,
    contradiction: Option<(RecordingId, String)>,
    contradictions: u64,
}

impl Plan {
    /// Counts an old leftover; says whether it may be set aside.
    fn count_leftover(&mut self, search: &Search, name: &str) -> bool {
        self.found += 1;
        if self.found <= search.at_most.saturating_add(MOST_LOGGED) {
            tracing::info!(file = %name, "a leftover of a crash");
        }
        self.found <= search.at_most
    }

    fn count_unexplained(&mut self, name: &str) {
        self.done.unexplained += 1;
        if self.done.unexplained <= MOST_LOGGED {
            tracing::warn!(file = %name, "no row names this, and it stays");
        }
    }

    fn count_missing(&mut self, name: &str) {
        self.done.missing += 1;
        if self.done.missing <= MOST_LOGGED {
            tracing::error!(object = %name, "a row names an object that is not there, or is too short");
        }
    }
}

/// Files and objects of one kind that are named in the log, each; of the others, how many there are.
const MOST_LOGGED: u64 = 20;

/// Goes through rows and objects, then sets aside what crashes left, as `search` says. `keep_going` is asked before
/// each recording; if it says no, nothing is touched. Blocks.
///
/// # Errors
/// [`SearchError`]; then nothing was touched.
pub fn collect(
    vault: &Vault,
    search: &Search,
    keep_going: &dyn Fn() -> bool,
) -> Result<Collection, SearchError> {
    let mut plan = Plan::default();
    if !look_for_missing(vault, &mut plan, keep_going)?
        || !look_at_files(vault, search, &mut plan, keep_going)?
    {
        return Ok(plan.done);
    }
    look_at_statements(vault, search, &mut plan)?;
    if let Some((recording, object)) = plan.contradiction {
        let recordings = plan.contradictions;
        return Err(SearchError::Refused(Reason::UnknownObjects { recording, object, recordings }));
    }
    if search.stop_beyond && plan.found > search.at_most {
        let (found, at_most) = (plan.found, search.at_most);
        return Err(SearchError::Refused(Reason::ManyLeftovers { found, at_most }));
    }
    let mut done = plan.done;
    done.left = plan.found - plan.leftovers.len() as u64 - plan.statements.len() as u64;
    if done.missing > 0 {
        tracing::error!(
            missing = done.missing,
            "rows name objects that are not there: nothing is set aside until they are back; if the folder blobs was \
             replaced or restored, put the one of before back, or a whole copy of the data folder"
        );
        done.left = plan.found;
        return Ok(done);
    }
    let today = Day::of((vault.clock)());
    for file in &plan.leftovers {
        match set_aside(vault, file, &today) {
            Ok(moved) => done.set_aside += u64::from(moved),
            Err(error) => {
                done.failed += 1;
                tracing::warn!(file = %file.name, %error, "a leftover of a crash could not be set aside");
            }
        }
    }
    for file in &plan.statements {
        match set_statement_aside(vault, file, &today) {
            Ok(moved) => done.set_aside += u64::from(moved),
            Err(error) => {
                done.failed += 1;
                tracing::warn!(file = %file.name, %error, "a leftover of a crash could not be set aside");
            }
        }
    }
    match vault.blobs.unlink_set_aside(&today) {
        Ok(unlinked) => done.unlinked = unlinked,
        Err(error) => {
            done.failed += 1;
            tracing::warn!(%error, "old leftovers could not be unlinked");
        }
    }
    Ok(done)
}

/// Holds each row against the objects that it names. `false` if it was told to stop.
fn look_for_missing(
    vault: &Vault,
    plan: &mut Plan,
    keep_going: &dyn Fn() -> bool,
) -> Result<bool, StoreError> {
    let mut after = 0;
    loop {
        let page = vault.store.named_recordings(after)?;
        let Some(last) = page.last() else { return Ok(true) };
        after = last.number;
        for named in &page {
            if !keep_going() {
                return Ok(false);
            }
            let found = missing(vault, named).and_then(|first| {
                // A segment may have been dropped between the two looks; then its row is gone, too.
                if first.is_empty() { Ok(first) } else { missing_still(vault, named.number) }
            });
            match found {
                Ok(missing) => {
                    for name in missing {
                        plan.count_missing(&name);
                    }
                }
                Err(error) => {
                    plan.done.failed += 1;
                    tracing::warn!(recording = %named.recording, %error, "a recording could not be looked at");
                }
            }
        }
    }
}

fn missing_still(vault: &Vault, number: u64) -> Result<Vec<String>, SearchError> {
    let page = vault.store.named_recordings(number.saturating_sub(1))?;
    match page.first() {
        Some(named) if named.number == number => missing(vault, named),
        _ => Ok(Vec::new()),
    }
}

/// Names of the objects that a recording's rows name and that are not there, or are shorter than the rows say.
fn missing(vault: &Vault, named: &NamedRecording) -> Result<Vec<String>, SearchError> {
    let files = vault.blobs.files(named.recording)?;
    let is_there = |object: &Object, length: u64| {
        files.iter().any(|file| file.object == Some(*object) && file.length >= length)
    };
    let missing = named.objects.iter().filter(|(object, length)| !is_there(object, *length));
    Ok(missing.map(|(object, _)| object.path(&named.recording)).collect())
}

/// Holds each object against the rows. `false` if it was told to stop.
fn look_at_files(
    vault: &Vault,
    search: &Search,
    plan: &mut Plan,
    keep_going: &dyn Fn() -> bool,
) -> Result<bool, BlobError> {
    let mut went_on = true;
    vault.blobs.recordings(&mut |recording| {
        went_on = keep_going();
        if !went_on {
            return false;
        }
        plan.done.recordings += 1;
        if let Err(error) = look_at(vault, recording, search, plan) {
            plan.done.failed += 1;
            tracing::warn!(%recording, %error, "the files of a recording could not be looked at");
        }
        true
    })?;
    Ok(went_on)
}

/// Holds statements and their rows against each other. A statement is written before its row, and neither is ever
/// dropped: so one without a row is what a crash left, or belongs to a newer index. It stays, for a recording whose
/// manifest names it may be found again.
fn look_at_statements(vault: &Vault, search: &Search, plan: &mut Plan) -> Result<(), SearchError> {
    // Rows first: the object of a row that is there is there as well. Then files: what has no row now had none then,
    // or got it since, and stays in both cases.
    let mut rows: BTreeMap<Digest, u64> = BTreeMap::new();
    loop {
        let page = vault.store.statements_after(rows.last_key_value().map(|(digest, _)| digest))?;
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    let files = vault.blobs.statements()?;
    let there: HashSet<Digest> = files
        .iter()
        .filter(|file| file.digest.as_ref().and_then(|digest| rows.get(digest)) == Some(&file.length))
        .filter_map(|file| file.digest)
        .collect();
    for digest in rows.keys().filter(|digest| !there.contains(*digest)) {
        plan.count_missing(&statement_path(digest));
    }
    for file in &files {
        match file.digest {
            Some(digest) if rows.contains_key(&digest) => {}
            Some(digest) if vault.store.statement_size(&digest)?.is_some() => {}
            Some(_) => plan.count_unexplained(&file.name),
            None if file.modified >= search.before => plan.done.young += 1,
            None => {
                if plan.count_leftover(search, &file.name) {
                    plan.statements.push(file.clone());
                }
            }
        }
    }
    Ok(())
}

fn look_at(
    vault: &Vault,
    recording: RecordingId,
    search: &Search,
    plan: &mut Plan,
) -> Result<(), SearchError> {
    // Files first: a row that is not there afterwards was not there when they were.
    let files = vault.blobs.files(recording)?;
    let rows = Rows::of(vault, recording, &files)?;
    let mut contradicts = false;
    for file in &files {
        match classify(file, &files, &rows) {
            Class::Named => {}
            Class::Leftover if file.modified >= search.before => plan.done.young += 1,
            Class::Leftover => {
                if plan.count_leftover(search, &file.name) {
                    plan.leftovers.push(file.clone());
                }
            }
            Class::Unexplained => plan.count_unexplained(&file.name),
            Class::Contradiction => {
                contradicts = true;
                tracing::error!(file = %file.name, "the index does not know this, and no crash leaves it");
                plan.contradiction.get_or_insert_with(|| (recording, file.name.clone()));
            }
        }
    }
    plan.contradictions += u64::from(contradicts);
    Ok(())
}

impl Vault {
    /// Runs `work` while nobody writes a file into this folder, or the row that names it.
    fn alone_in_folder<T>(
        &self,
        recording: RecordingId,
        segment: Option<u32>,
        work: impl FnOnce() -> T,
    ) -> T {
        match segment {
            Some(segment) => self.segment_locks.exclusive((recording, segment), work),
            None => self.recording_locks.exclusive(recording, work),
        }
    }
}

/// Sets a leftover aside, unless it has become something else since it was found.
fn set_aside(vault: &Vault, found: &StoredFile, today: &Day) -> Result<bool, SearchError> {
    let moved = vault.alone_in_folder(found.recording, found.segment, || {
        let files = vault.blobs.files(found.recording)?;
        let rows = Rows::of(vault, found.recording, &files)?;
        let Some(file) = files.iter().find(|file| file.name == found.name) else {
            return Ok(false);
        };
        if file.modified != found.modified || classify(file, &files, &rows) != Class::Leftover {
            return Ok(false);
        }
        vault.blobs.set_aside(&file.name, today)?;
        tracing::info!(file = %file.name, "set aside a leftover of a crash");
        Ok::<_, SearchError>(true)
    })?;
    if moved {
        remove_folder(vault, found.recording, found.segment)?;
    }
    Ok(moved)
}

/// Sets aside what was put aside in the folder of the statements and never named, unless it has become something else
/// since it was found.
fn set_statement_aside(vault: &Vault, found: &StoredStatement, today: &Day) -> Result<bool, SearchError> {
    vault.statements_lock.exclusive((), || {
        if !vault.blobs.statements()?.contains(found) {
            return Ok(false);
        }
        vault.blobs.set_aside(&found.name, today)?;
        tracing::info!(file = %found.name, "set aside a leftover of a crash");
        Ok(true)
    })
}

/// Removes a folder that is empty now. Nobody can be about to write into it: its recording or segment would have to be
/// created first, which takes the same lock.
fn remove_folder(vault: &Vault, recording: RecordingId, segment: Option<u32>) -> Result<(), SearchError> {
    vault.alone_in_folder(recording, segment, || {
        let named = vault.store.named(recording, segment)?;
        let exists = match segment {
            None => named.is_some(),
            Some(_) => named.is_some_and(|named| named.segment.is_some()),
        };
        if !exists {
            vault.blobs.remove_empty_folder(recording, segment)?;
        }
        Ok(())
    })
}
