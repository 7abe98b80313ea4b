//! The account's own list of its recordings: which it has ever been shown, signed by its device, each list going on
//! from the one before (FORMAT.md, "Lists and exports"). What was opened, played, verified, listed, exported or sealed
//! here is on it before a byte of content is released. By it a server is noticed that leaves out later what it has
//! shown once, that has another recording under a known id, or shows another end than the known one.
//!
//! One file in the home, `list.json`. One that cannot be read is an error and stays as it is.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use vault_proto::envelope::{Envelope, Unsigned};
use vault_proto::ids::{Digest, KeyId, RecordingId};
use vault_proto::members::{CertificateChain, MemberStatements};
use vault_proto::recording::Refusal;
use vault_proto::recording_list::{Learnt, ListEntry, ListObject, Shown};
use vault_proto::statements::RecordingList;

use crate::error::{ClientError, Missing};
use crate::home::Home;
use crate::home::account::{Account, profile};

const FILE: &str = "list.json";

/// The newest list, with what it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnList {
    /// What was signed.
    pub statement: Envelope<RecordingList>,
    /// What it names.
    pub object: ListObject,
    /// Digests of all lists of this home by number, the newest among them.
    pub history: Vec<Digest>,
}

/// What came of showing recordings to the list.
pub struct Learned {
    /// The newest list.
    pub list: OwnList,
    /// What was shown and contradicts what is known: not on the list.
    pub refused: Vec<(RecordingId, Refusal)>,
    /// What was known with another end, which the one shown names as superseded: by now the list names that one.
    pub other_ends: Vec<RecordingId>,
    /// What is known and was not shown.
    pub missing: Vec<ListEntry>,
}

/// The newest list of a home; `None` before the first.
///
/// # Errors
/// [`ClientError::Disk`].
pub async fn read(home: &Home) -> Result<Option<OwnList>, ClientError> {
    home.read_json(FILE).await
}

/// Checks what the account is shown of one recording against what it knows of it, and says what it would learn.
///
/// # Errors
/// [`Refusal::MixUp`] if the id is known with another manifest, [`Refusal::Damaged`] if the recording is known with
/// another end that this one does not name; [`ClientError::Disk`].
pub async fn check(home: &Home, shown: Shown) -> Result<Learnt, ClientError> {
    let known = read(home).await?.map(|list| list.object).unwrap_or_default();
    Ok(known.check(shown)?)
}

/// Whether the account has been shown a recording before.
///
/// # Errors
/// [`ClientError::Disk`].
pub(crate) async fn names(home: &Home, recording: RecordingId) -> Result<bool, ClientError> {
    let list = read(home).await?.map(|list| list.object.recordings).unwrap_or_default();
    Ok(list.iter().any(|entry| entry.recording == recording))
}

/// As [`check`], and from then on the list names the recording as it was shown. For whoever has checked its statements,
/// before the first byte of content is released, or has signed them.
///
/// # Errors
/// As [`check`]; [`ClientError::NotSetUp`].
pub async fn know(home: &Home, account: &Account, shown: impl Into<Shown>) -> Result<(), ClientError> {
    match learn(home, account, &[shown.into()]).await?.refused.pop() {
        Some((_, refusal)) => Err(refusal.into()),
        None => Ok(()),
    }
}

/// The final seal with which the account has seen a recording before.
pub async fn known_end(home: &Home, recording: RecordingId) -> Result<Option<Digest>, ClientError> {
    let list = read(home).await?.map(|list| list.object.recordings).unwrap_or_default();
    Ok(list.into_iter().find(|entry| entry.recording == recording).and_then(|entry| entry.final_seal))
}

/// Adds what the account was shown, all of it, and signs another list if that is more than it knew. In a home that
/// cannot be written to the list is compared all the same, and what is new is not kept.
///
/// # Errors
/// [`ClientError::Disk`], [`ClientError::NotSetUp`].
pub async fn learn(home: &Home, account: &Account, shown: &[Shown]) -> Result<Learned, ClientError> {
    let lock = home.lock_if_writable("list").await?;
    let known = read(home).await?;
    let mut object = known.as_ref().map(|list| list.object.clone()).unwrap_or_default();
    let mut more = known.is_none();
    let (mut refused, mut other_ends) = (Vec::new(), Vec::new());
    for shown in shown {
        let recording = shown.entry.recording;
        match object.learn(*shown) {
            Ok(learnt) => {
                more |= learnt != Learnt::Nothing;
                other_ends.extend((learnt == Learnt::OtherEnd).then_some(recording));
            }
            Err(refusal) => refused.push((recording, refusal)),
        }
    }
    let seen: HashSet<RecordingId> = shown.iter().map(|shown| shown.entry.recording).collect();
    let missing =
        object.recordings.iter().filter(|entry| !seen.contains(&entry.recording)).copied().collect();
    let list = match known {
        Some(list) if !more => list,
        known => {
            let list = sign(home, account, object, known).await?;
            if lock.is_some() {
                home.write_json(FILE, &list).await?;
            }
            list
        }
    };
    Ok(Learned { list, refused, other_ends, missing })
}

async fn sign(
    home: &Home,
    account: &Account,
    object: ListObject,
    known: Option<OwnList>,
) -> Result<OwnList, ClientError> {
    let statement = RecordingList {
        account: account.id,
        organisation: home.enrolment().await?.organisation,
        number: known.as_ref().map_or(0, |list| list.statement.unverified().number) + 1,
        previous: known.as_ref().map(|list| list.statement.digest()),
        created: home.effects().timestamp()?,
        recordings: object.recordings.len() as u64,
        entries: Digest::of(&object.to_bytes()?),
    };
    let device = account.device;
    let statement = home
        .effects()
        .sign_statement(Unsigned::prepare(&statement, KeyId::of_device(&device), device)?)
        .await?;
    let mut history = known.map(|list| list.history).unwrap_or_default();
    history.push(statement.digest());
    Ok(OwnList { statement, object, history })
}

/// What proves whose keys the account's lists and exports are signed with. Its certificate may have ended; the account
/// speaks for itself all the same.
///
/// # Errors
/// [`ClientError::NotSetUp`] before enrolment, or [`ClientError::Disk`].
pub async fn own_statements(home: &Home) -> Result<MemberStatements, ClientError> {
    let profile = profile(home).await?;
    let chain = profile.chain.ok_or(ClientError::NotSetUp(Missing::Certificate))?;
    let CertificateChain { issuer, certificate } = chain;
    Ok(MemberStatements { issuer, certificate, key_list: profile.key_list })
}
