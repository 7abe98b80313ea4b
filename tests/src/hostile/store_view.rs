//! What an operator sees when he looks into his own store, past every rule of the server.

use std::path::PathBuf;

use rusqlite::{Connection, OpenFlags};
use vault_proto::ids::{AccountId, Digest, KeyId, RecordingId};
use vault_proto::object::statement_path;
use vault_proto::wire::{RecordingEntry, RecordingPage};

use super::objects::Objects;

/// The data folder of a server, read directly.
#[derive(Debug, Clone)]
pub(super) struct StoreView {
    pub(super) data: PathBuf,
}

impl StoreView {
    fn database(&self) -> Option<Connection> {
        let path = self.data.join("vault.db");
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()
    }

    fn recordings_folder(&self) -> PathBuf {
        self.data.join("blobs/rec")
    }

    /// The objects of a recording.
    pub(super) fn objects(&self, recording: &str) -> Option<Objects> {
        // What is no id must not name a place outside the store.
        let recording: RecordingId = recording.parse().ok()?;
        Objects::read(&self.recordings_folder().join(recording.to_string()))
    }

    /// A statement by its digest.
    pub(super) fn statement(&self, digest: &Digest) -> Option<String> {
        std::fs::read_to_string(self.data.join("blobs").join(statement_path(digest))).ok()
    }

    /// All recordings, in the order of their ids.
    pub(super) fn recordings(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.recordings_folder()).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Everybody's recordings as one page of a list.
    pub(super) fn page(&self) -> RecordingPage {
        let recordings = self
            .recordings()
            .iter()
            .filter_map(|name| {
                let objects = self.objects(name)?;
                Some(RecordingEntry {
                    recording: name.parse().ok()?,
                    finished: objects.final_seal.is_some(),
                    bytes: objects.segments.iter().map(|segment| segment.body.len() as u64).sum(),
                })
            })
            .collect();
        RecordingPage { recordings, next: None }
    }

    /// A recording to hand out in place of `recording`.
    pub(super) fn another(&self, recording: &str, fits: impl Fn(&Objects) -> bool) -> Option<Objects> {
        let others = self.recordings().into_iter().filter(|name| name != recording);
        others.filter_map(|name| self.objects(&name)).find(|objects| fits(objects))
    }

    /// The account that lists a device key.
    pub(super) fn account_of(&self, key: KeyId) -> Option<AccountId> {
        let row: Vec<u8> = self
            .database()?
            .query_row("SELECT account FROM devices WHERE key_id = ?1", [&key.as_bytes()[..]], |row| {
                row.get(0)
            })
            .ok()?;
        Some(AccountId::from_bytes(row.try_into().ok()?))
    }

    /// An account other than `account`.
    pub(super) fn another_account(&self, account: &str) -> Option<String> {
        let database = self.database()?;
        let mut rows = database.prepare("SELECT lower(hex(account)) FROM accounts ORDER BY account").ok()?;
        let accounts = rows.query_map([], |row| row.get::<_, String>(0)).ok()?;
        accounts.flatten().find(|other| other != account)
    }

    /// The directory entry of an account, as JSON that the server would answer with.
    pub(super) fn directory_entry(&self, account: &str) -> Option<serde_json::Value> {
        let database = self.database()?;
        let account: AccountId = account.parse().ok()?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_default();
        let (issuer, certificate) = database
            .query_row(
                "SELECT issuers.envelope, certificates.envelope
                 FROM accounts JOIN statements AS issuers ON issuers.digest = issuer
                      JOIN statements AS certificates ON certificates.digest = certificate
                 WHERE account = ?1",
                [&account.as_bytes()[..]],
                |row| Ok((text(row.get(0)?), text(row.get(1)?))),
            )
            .ok()?;
        let mut rows =
            database.prepare("SELECT envelope FROM key_lists JOIN statements ON digest = key_list WHERE account = ?1 ORDER BY number").ok()?;
        let lists = rows.query_map([&account.as_bytes()[..]], |row| row.get::<_, Vec<u8>>(0)).ok()?;
        let lists: Vec<String> = lists.flatten().map(text).collect();
        Some(serde_json::json!({ "issuer": issuer, "certificate": certificate, "key_lists": lists }))
    }
}
