//! Checking an export offline: that every file is what the account's device signed, that every recording of the
//! account's list is there, undamaged and up to date, and by whom each was sealed. Needs no key and no passphrase.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use vault_proto::envelope::{MAX_ENVELOPE, Verified};
use vault_proto::ids::{AccountId, Digest, OrganisationId, RecordingId};
use vault_proto::object::{Object, recording_folder};
use vault_proto::recording::{CheckedRecording, Refusal};
use vault_proto::recording_list::{ListEntry, MAX_LIST};
use vault_proto::statements::RecordingStatus;
use vault_proto::timestamp::Timestamp;
use vault_proto::trust::Known;

use super::objects;
use super::single_file::{digest_of, files_below, small_file};
use crate::io_failure::disk;
use vault_engine::error::ClientError;
use vault_engine::home::Home;
use vault_engine::home::account::profile;
use vault_engine::home::own_list;
use vault_engine::home::pins::known_of_all;
use vault_export::layout::{INCOMPLETE, LOCK, MAX_DESCRIPTION, RECORDINGS, SUMS, proof};
use vault_export::signed::{Claim, ListAge, Signed};
use vault_export::sums::Sums;
use vault_export::{ExportedRecording, ExportedStatus, Person};

/// Most bytes of `SHA256SUMS`.
const MAX_SUMS: usize = 256 * 1024 * 1024;

/// What an export is, and what of it is right.
#[derive(Debug)]
pub struct CheckedExport {
    /// Whose it is.
    pub account: AccountId,
    /// Under which organisation.
    pub organisation: OrganisationId,
    /// Whether a home said so. If not, the export itself does, and only somebody who knows both ids can tell.
    pub pinned: bool,
    /// The account of the home, where the export is another account's.
    pub other_than: Option<AccountId>,
    /// When it was made, by the device that made it.
    pub created: Timestamp,
    /// Number of the account's list that it was made with.
    pub list: u64,
    /// The home's own list is newer.
    pub superseded: bool,
    /// The home did not sign its list: another device of the account did, or this home before it was restored. Whether
    /// there is a newer one cannot be told then.
    pub unknown_list: bool,
    /// Every recording of the list, in the order in which the account learned of them.
    pub recordings: Vec<CheckedEntry>,
    /// Files that belong to no recording and are changed or missing.
    pub other_files: Vec<DamagedFile>,
    /// Files that lie in the folder and are no part of the export.
    pub strangers: Vec<String>,
}

/// One recording of the list.
#[derive(Debug)]
pub struct CheckedEntry {
    /// The recording.
    pub recording: RecordingId,
    /// Its folder in the export, relative; `None` if it is not there.
    pub folder: Option<String>,
    /// Who sealed it, as certified at that time; `None` if what says so is not there or not right.
    pub sealer: Option<Person>,
    /// When it began.
    pub created: Option<Timestamp>,
    /// Whether it has its end, as far as what proves that is there.
    pub status: ExportedStatus,
    /// What was found.
    pub finding: Finding,
}

/// What was found of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// All of it is there as it was signed.
    Right,
    /// The list names it, and the export does not hold it.
    Missing,
    /// The export held it, and every file of it is gone.
    Gone,
    /// Files of it are changed or missing.
    Damaged(Vec<DamagedFile>),
    /// The list names its end, and the export was made without it.
    TooOld,
    /// Its statements do not prove what they should.
    Refused(Refusal),
}

/// A file that is not as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFile {
    /// Its path in the export.
    pub path: String,
    /// Whether it is not there at all.
    pub missing: bool,
}

impl CheckedExport {
    /// Recordings that are right.
    pub fn right(&self) -> usize {
        self.recordings.iter().filter(|entry| entry.finding == Finding::Right).count()
    }

    /// Whether nothing at all is wrong.
    pub fn is_whole(&self) -> bool {
        self.right() == self.recordings.len() && self.other_files.is_empty() && !self.superseded
    }
}

/// Whether a folder is an export, whole or not.
pub fn is_export(folder: &Path) -> bool {
    [proof::EXPORT, proof::LIST, SUMS].iter().any(|name| folder.join(name).exists())
}

fn damaged(what: &str) -> ClientError {
    Refusal::Damaged(what.to_owned()).into()
}

/// Checks an export. `home` says whose exports to expect, and knows the account's newest list; without one, and for the
/// export of another account, the export's own word stands for both.
///
/// # Errors
/// [`ClientError::Open`] if what says what belongs to the export is itself damaged or forged;
/// [`ClientError::Disk`].
pub async fn check(folder: &Path, home: Option<&Home>) -> Result<CheckedExport, ClientError> {
    let file = |name: &str, limit: usize| {
        let bytes = small_file(&folder.join(name), limit);
        bytes.map_err(disk(folder.join(name)))?.ok_or_else(|| {
            damaged(&format!(
                "{name} is missing: the export was never finished, or something was taken from it"
            ))
        })
    };
    let claim = Claim::parse(&file(proof::LIST, MAX_ENVELOPE)?, &file(proof::EXPORT, MAX_ENVELOPE)?)?;
    let pin = match home {
        Some(home) => home.enrolment().await.ok().zip(profile(home).await.ok()),
        None => None,
    };
    let pin = pin.map(|(enrolment, profile)| (enrolment.organisation, profile.key_list.unverified().account));
    let other_than = pin.map(|(_, own)| own).filter(|own| *own != claim.account());
    let (home, pin) = if other_than.is_some() { (None, None) } else { (home, pin) };
    let (organisation, account) = pin.unwrap_or_else(|| (claim.organisation(), claim.account()));
    let (list_object, sums) = (file(proof::LIST_OBJECT, MAX_LIST)?, file(SUMS, MAX_SUMS)?);
    let named = objects::read_named(folder, claim.named_statements());
    let signed = claim.check(organisation, account, &named, &list_object, &sums)?;
    let newest = match home {
        Some(home) => own_list::read(home).await?,
        None => None,
    };
    let age = newest.as_ref().map_or(ListAge::Newest, |newest| signed.age_beside(newest));
    let damaged_files = changed_files(folder, &signed.sums)?;
    let seen = match home {
        Some(home) => known_of_all(home, organisation).await?,
        None => Known::default(),
    };
    let (mut recordings, other_files) = entries(folder, organisation, &seen, &signed, damaged_files);
    let known = newest.map(|list| list.object.by_recording()).unwrap_or_default();
    for (checked, shown) in recordings.iter_mut().zip(&signed.list.object().recordings) {
        if let Some(Err(refusal)) = known.get(&shown.recording).map(|known| known.agrees_with(*shown)) {
            checked.finding = Finding::Refused(refusal);
        }
    }
    Ok(CheckedExport {
        account,
        organisation,
        pinned: pin.is_some(),
        other_than,
        created: signed.export.created,
        list: signed.list.statement().number,
        superseded: age == ListAge::Superseded,
        unknown_list: age == ListAge::Unknown,
        recordings,
        other_files,
        strangers: strangers(folder, &signed.sums)?,
    })
}

/// The files that lie in the folder and are not named.
fn strangers(folder: &Path, sums: &Sums) -> Result<Vec<String>, ClientError> {
    let own =
        |name: &str| matches!(name, SUMS | proof::EXPORT) || name == LOCK || name.starts_with(INCOMPLETE);
    let mut names: Vec<String> = files_below(folder)?
        .iter()
        .filter_map(|path| path.strip_prefix(folder).ok())
        .map(|path| path.to_string_lossy().into_owned())
        .filter(|name| !own(name) && !sums.contains_key(name))
        .collect();
    names.sort();
    Ok(names)
}

/// The files that are not as the sums say.
fn changed_files(folder: &Path, sums: &Sums) -> Result<Vec<DamagedFile>, ClientError> {
    let mut files = Vec::new();
    for (path, expected) in sums {
        let found: Option<(Digest, u64)> = match digest_of(&folder.join(path)) {
            Ok(found) => found,
            // One file that cannot be read hides nothing of the others.
            Err(ClientError::Disk { .. }) => Some((Digest::of(b""), 0)),
            Err(error) => return Err(error),
        };
        if found.is_none_or(|(digest, _)| digest != *expected) {
            files.push(DamagedFile { path: path.clone(), missing: found.is_none() });
        }
    }
    Ok(files)
}

/// Looks at each recording of the list, and sorts the damaged files by recording.
fn entries(
    folder: &Path,
    organisation: OrganisationId,
    seen: &Known,
    signed: &Signed,
    damaged_files: Vec<DamagedFile>,
) -> (Vec<CheckedEntry>, Vec<DamagedFile>) {
    let folders = described(folder, &signed.sums);
    let mut by_recording: HashMap<RecordingId, Vec<DamagedFile>> = HashMap::new();
    let mut other_files = Vec::new();
    let listed = &signed.list.object().recordings;
    // Ids whole and shortened, the latter only where they are one recording's.
    let mut by_id: HashMap<String, Option<RecordingId>> = HashMap::new();
    for entry in listed {
        let one = |known: &mut Option<RecordingId>| *known = None;
        by_id.entry(entry.recording.short()).and_modify(one).or_insert(Some(entry.recording));
        by_id.insert(entry.recording.to_string(), Some(entry.recording));
    }
    // A description that was changed names no folder any more; the folder's own name ends with the recording's id.
    let named =
        signed.sums.keys().filter_map(|path| path.strip_suffix("/recording.json")).filter_map(|place| {
            let id = place.strip_suffix(')')?.rsplit_once('(')?.1;
            let entry = listed.iter().find(|entry| entry.recording.to_string().starts_with(id))?;
            Some((place.to_owned(), entry.recording))
        });
    let described = folders.iter().map(|(recording, described)| (described.folder.clone(), *recording));
    let owners: BTreeMap<String, RecordingId> = named
        .chain(described)
        .chain(
            signed
                .list
                .object()
                .recordings
                .iter()
                .map(|entry| (recording_folder(&entry.recording), entry.recording)),
        )
        .collect();
    let owner = |path: &str| {
        let mut pieces = path.splitn(3, '/');
        let place = pieces.next().zip(pieces.next()).map(|(above, name)| format!("{above}/{name}"));
        place.and_then(|place| owners.get(&place))
    };
    let mut signed_files: HashMap<RecordingId, usize> = HashMap::new();
    for recording in signed.sums.keys().filter_map(|path| owner(path)) {
        *signed_files.entry(*recording).or_default() += 1;
    }
    for file in damaged_files {
        match owner(&file.path) {
            Some(recording) => by_recording.entry(*recording).or_default().push(file),
            None => other_files.push(file),
        }
    }
    let recordings = signed.list.object().recordings.iter().map(|entry| {
        let damaged = by_recording.remove(&entry.recording).unwrap_or_default();
        let gone = damaged.iter().filter(|file| file.missing).count();
        let finding = match signed_files.get(&entry.recording) {
            _ if damaged.is_empty() => None,
            Some(&all) if gone == all => Some(Finding::Gone),
            _ => Some(Finding::Damaged(damaged)),
        };
        let statements = objects::read(folder, entry.recording, organisation, seen);
        look_at(folder, statements, signed, entry, folders.get(&entry.recording), finding)
    });
    (recordings.collect(), other_files)
}

/// The recordings that the export describes, as far as their descriptions are signed and unchanged.
fn described(folder: &Path, sums: &Sums) -> HashMap<RecordingId, ExportedRecording> {
    let mut found = HashMap::new();
    for (path, digest) in sums {
        let place = path
            .strip_suffix("/recording.json")
            .filter(|place| place.strip_prefix(RECORDINGS).is_some_and(|name| name.starts_with('/')));
        let Some(place) = place else {
            continue;
        };
        let bytes = small_file(&folder.join(path), MAX_DESCRIPTION).ok().flatten();
        let bytes = bytes.filter(|bytes| Digest::of(bytes) == *digest);
        let described = bytes.and_then(|bytes| serde_json::from_slice::<ExportedRecording>(&bytes).ok());
        if let Some(described) = described.filter(|described| described.folder == place) {
            found.insert(described.recording, described);
        }
    }
    found
}

fn look_at(
    folder: &Path,
    statements: Option<(Result<CheckedRecording, Refusal>, Sums)>,
    signed: &Signed,
    entry: &ListEntry,
    described: Option<&ExportedRecording>,
    of_files: Option<Finding>,
) -> CheckedEntry {
    let place = recording_folder(&entry.recording);
    let checked = statements.as_ref().and_then(|(checked, _)| checked.as_ref().ok());
    let finding = match (of_files, &statements) {
        (Some(finding), _) => finding,
        (None, None) => Finding::Missing,
        (None, Some((Err(refusal), _))) => Finding::Refused(refusal.clone()),
        (None, Some((Ok(checked), files))) => find(folder, signed, entry, described, checked, files),
    };
    let sealer = checked.map(|checked| {
        let sealer = checked.sealer();
        Person { account: sealer.account(), role: sealer.role(), label: sealer.certificate().label.clone() }
    });
    let at = described.map(|described| described.folder.clone());
    CheckedEntry {
        recording: entry.recording,
        folder: at.or_else(|| folder.join(&place).exists().then_some(place)),
        sealer,
        created: checked.map(|checked| checked.manifest().created),
        status: checked.map_or(ExportedStatus::CutOff, status),
        finding,
    }
}

/// Whether a recording has its end, and anything before it.
fn status(checked: &CheckedRecording) -> ExportedStatus {
    match checked.final_seal().map(|seal| seal.status) {
        Some(RecordingStatus::Complete) => ExportedStatus::Complete,
        _ if checked.plaintext_length() == 0 => ExportedStatus::Empty,
        _ => ExportedStatus::CutOff,
    }
}

/// What is to be said of a recording whose statements are right and whose named files are unchanged.
fn find(
    folder: &Path,
    signed: &Signed,
    entry: &ListEntry,
    described: Option<&ExportedRecording>,
    checked: &CheckedRecording,
    files: &Sums,
) -> Finding {
    let manifest = checked.manifest();
    if manifest.digest() != entry.manifest {
        let what = "its manifest is not the one that the account's list names".to_owned();
        return Finding::Refused(Refusal::MixUp(what));
    }
    match (entry.final_seal, checked.final_seal().map(Verified::digest)) {
        (Some(_), None) => return Finding::TooOld,
        (known, found) if known != found => {
            let what = "its end is not the one that the account's list names".to_owned();
            return Finding::Refused(Refusal::Damaged(what));
        }
        _ => {}
    }
    let mut expected: HashSet<&String> = files.keys().collect();
    let reader = manifest.participants().is_reader(signed.list.statement().account);
    let ciphertext = match described {
        _ if !reader => Sums::new(),
        Some(described) => {
            let tracks: HashSet<u8> = checked.segments().iter().map(|segment| segment.track).collect();
            let there: HashSet<u8> = described.files.iter().map(|file| file.track).collect();
            let bytes = described.files.iter().try_fold(0u64, |sum, file| sum.checked_add(file.sealed_bytes));
            // How much of an ended recording is padding say its details, which are no part of an opened export.
            let all = |bytes: u64| match checked.final_seal() {
                Some(final_seal) => bytes <= final_seal.total_length,
                None => bytes == checked.plaintext_length(),
            };
            if !tracks.is_subset(&there) || !bytes.is_some_and(all) {
                return Finding::Missing;
            }
            let named = |path: &str| format!("{}/{path}", described.folder);
            if described.files.iter().any(|file| signed.sums.get(&named(&file.path)) != Some(&file.sha256)) {
                return Finding::Missing;
            }
            Sums::new()
        }
        None => match objects::check_ciphertext(folder, checked) {
            Ok(ciphertext) => ciphertext,
            Err(_) if !folder.join(Object::Body { segment: 0 }.path(&entry.recording)).exists() => {
                return Finding::Missing;
            }
            Err(what) => return Finding::Refused(Refusal::Damaged(what)),
        },
    };
    expected.extend(ciphertext.keys());
    // Statements that were put there later are no part of what was signed.
    match expected.into_iter().find(|path| !signed.sums.contains_key(*path)) {
        Some(path) => Finding::Damaged(vec![DamagedFile { path: path.clone(), missing: false }]),
        None => Finding::Right,
    }
}
