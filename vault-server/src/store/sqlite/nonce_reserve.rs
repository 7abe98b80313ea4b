//! Room for the nonces of reads on a disk that has none: the file `read-nonces`, written whole beforehand and
//! overwritten in place, so that a request that only reads is remembered as durably as any other however full the disk
//! is.
//!
//! The file is a row of records of 32 bytes, none of which crosses a sector. The first says below which time nothing is
//! known any more, each other one holds a request or nothing. A request is forgotten only after that time was moved
//! beyond it, by the rules of the table.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use vault_proto::ids::AccountId;

use super::nonces::{NonceId, PRUNE_EVERY_SECONDS};
use super::{NewNonce, NonceUse, StoreError};
use crate::durable::{stop_unless_durable, write_whole_file};

/// Bytes of a record.
const RECORD: usize = 32;
/// Records of the file. Over the time for which they are kept, more than 200 reads a second.
const RECORDS: usize = 65_536;
/// Records that one account may hold, so that some who read much leave room for others.
const MOST_OF_AN_ACCOUNT: u32 = 8_192;
/// How the file begins.
const MAGIC: &[u8; 16] = b"read-nonces v1\n\0";

/// The file, open, and what is in it.
pub(super) struct NonceReserve {
    file: File,
    /// Requests created before it are not known any more.
    floor: i64,
    held: HashMap<NonceId, Held>,
    free: Vec<u32>,
    of_account: HashMap<AccountId, u32>,
    /// Most of one account.
    most: u32,
    /// Up to where forgetting was last tried.
    tried: i64,
}

struct Held {
    created: i64,
    record: u32,
    /// Whose it is; not known after a restart.
    account: Option<AccountId>,
}

fn record(first: &[u8; 16], time: i64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let values = first.iter().copied().chain(time.to_be_bytes());
    for (byte, value) in record.iter_mut().zip(values) {
        *byte = value;
    }
    record
}

/// The first 16 bytes of a record, and its time.
fn read_record(record: &[u8]) -> Option<([u8; 16], i64)> {
    let (first, rest) = record.split_first_chunk()?;
    Some((*first, i64::from_be_bytes(*rest.first_chunk()?)))
}

fn no_room(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StoreError::Full
        }
        _ => StoreError::Failed(format!("the reserve for nonces of reads cannot be written: {error}")),
    }
}

impl NonceReserve {
    /// Writes an empty one. One that is there is replaced: with it, what it knew.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn create(path: &Path) -> io::Result<()> {
        let mut bytes = record(MAGIC, 0).to_vec();
        bytes.resize(RECORD * RECORDS, 0);
        write_whole_file(path, &bytes)
    }

    /// Opens the one at `path`, or makes it where there is none. Without one reads stop when the disk is full, and
    /// nothing else.
    pub(super) fn open_or_create(path: &Path) -> Option<Self> {
        let opened = match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::create(path).and_then(|()| Self::open(path))
            }
            opened => opened,
        };
        opened
            .inspect_err(
                |error| tracing::warn!(%error, "no reserve for nonces: reads stop when the disk is full"),
            )
            .ok()
    }

    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "read-nonces is not what was written");
        if file.metadata()?.len() != u64::try_from(RECORD * RECORDS).unwrap_or(u64::MAX) {
            return Err(damaged());
        }
        let mut bytes = vec![0; RECORD * RECORDS];
        file.read_exact_at(&mut bytes, 0)?;
        let mut records = bytes.chunks(RECORD).map(read_record);
        let floor = match records.next().flatten() {
            Some((magic, floor)) if magic == *MAGIC => floor,
            _ => return Err(damaged()),
        };
        let (mut held, mut free) = (HashMap::new(), Vec::new());
        for (record, content) in (1u32..).zip(records) {
            match content {
                Some((id, created)) if created > 0 && created >= floor => {
                    held.insert(id, Held { created, record, account: None });
                }
                _ => free.push(record),
            }
        }
        // Those at the beginning come first: a limit on the size of files (`ulimit -f`) leaves them.
        free.reverse();
        Ok(Self { file, floor, held, free, of_account: HashMap::new(), most: MOST_OF_AN_ACCOUNT, tried: 0 })
    }

    /// What is known of a request: used, too old, or nothing.
    pub(super) fn knows(&self, id: &NonceId, created: i64) -> Option<NonceUse> {
        if created < self.floor {
            Some(NonceUse::Forgotten)
        } else {
            self.held.contains_key(id).then_some(NonceUse::Repeated)
        }
    }

    /// Adds a request that it does not know; what was created before `before` may be forgotten for it.
    pub(super) fn add(&mut self, id: NonceId, nonce: &NewNonce, before: i64) -> Result<NonceUse, StoreError> {
        if before >= self.tried.saturating_add(PRUNE_EVERY_SECONDS) || self.free.is_empty() {
            self.forget(before)?;
            self.tried = before;
        }
        let of_account = self.of_account.get(&nonce.account).copied().unwrap_or(0);
        if of_account >= self.most || nonce.created <= 0 {
            return Ok(NonceUse::TooMany);
        }
        let Some(place) = self.free.pop() else { return Ok(NonceUse::TooMany) };
        if let Err(error) = self.write(place, &record(&id, nonce.created)) {
            // What part of it is there says nothing that was answered.
            self.free.push(place);
            return Err(error);
        }
        self.held.insert(id, Held { created: nonce.created, record: place, account: Some(nonce.account) });
        self.of_account.insert(nonce.account, of_account.saturating_add(1));
        Ok(NonceUse::Fresh)
    }

    fn write(&self, place: u32, record: &[u8; RECORD]) -> Result<(), StoreError> {
        let offset = u64::from(place).saturating_mul(u64::try_from(RECORD).unwrap_or(u64::MAX));
        self.file.write_all_at(record, offset).map_err(no_room)?;
        stop_unless_durable(self.file.sync_data());
        Ok(())
    }

    /// Forgets what was created before `before`, once it is durable that nothing is known from then.
    fn forget(&mut self, before: i64) -> Result<(), StoreError> {
        let youngest = self.held.values().map(|held| held.created).filter(|created| *created < before).max();
        let Some(youngest) = youngest else { return Ok(()) };
        let floor = self.floor.max(youngest.saturating_add(1));
        self.write(0, &record(MAGIC, floor))?;
        self.floor = floor;
        let (free, of_account) = (&mut self.free, &mut self.of_account);
        self.held.retain(|_, held| {
            if held.created >= floor {
                return true;
            }
            free.push(held.record);
            if let Some(count) = held.account.and_then(|account| of_account.get_mut(&account)) {
                *count = count.saturating_sub(1);
            }
            false
        });
        of_account.retain(|_, count| *count > 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vault_proto::http_signature::Nonce;
    use vault_proto::ids::KeyId;

    use super::*;

    fn nonce(account: u8, created: i64) -> NewNonce {
        NewNonce {
            account: AccountId::from_bytes([account; 32]),
            key: KeyId::from_bytes([account; 32]),
            nonce: Nonce::from_bytes([0; 16]),
            created,
            now: created,
            reads: true,
        }
    }

    /// What was added is known in every later process, for as long as it is not older than what was forgotten; and the
    /// file never changes its length.
    #[test]
    fn what_is_in_it_is_never_fresh_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("read-nonces");
        let mut reserve = NonceReserve::open_or_create(&path).unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        let id = |number: u8| [number; 16];
        for number in 1..=4 {
            let created = 1000 + i64::from(number);
            assert_eq!(reserve.add(id(number), &nonce(number, created), 0).unwrap(), NonceUse::Fresh);
        }
        let mut reserve = NonceReserve::open(&path).unwrap();
        for number in 1..=4 {
            assert_eq!(reserve.knows(&id(number), 1000 + i64::from(number)), Some(NonceUse::Repeated));
        }
        assert_eq!(reserve.knows(&id(5), 1005), None);
        // The two oldest are forgotten, and nothing as old counts any more.
        assert_eq!(reserve.add(id(5), &nonce(5, 2000), 1003).unwrap(), NonceUse::Fresh);
        for _ in 0..2 {
            for number in 1..=2 {
                assert_eq!(reserve.knows(&id(number), 1000 + i64::from(number)), Some(NonceUse::Forgotten));
            }
            for (number, created) in [(3, 1003), (4, 1004), (5, 2000)] {
                assert_eq!(reserve.knows(&id(number), created), Some(NonceUse::Repeated));
            }
            assert_eq!(reserve.free.len(), RECORDS - 1 - 3);
            reserve = NonceReserve::open(&path).unwrap();
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
    }

    /// One account leaves room for others, and gets its own again once its requests are old.
    #[test]
    fn an_account_takes_only_its_share() {
        let folder = tempfile::tempdir().unwrap();
        let mut reserve = NonceReserve::open_or_create(&folder.path().join("read-nonces")).unwrap();
        reserve.most = 3;
        let mut add = |account: u8, number: u8, created, before| {
            reserve.add([number; 16], &nonce(account, created), before).unwrap()
        };
        for number in 1..=3 {
            assert_eq!(add(1, number, 1000, 0), NonceUse::Fresh);
        }
        assert_eq!(add(1, 4, 1000, 0), NonceUse::TooMany);
        assert_eq!(add(2, 5, 1000, 0), NonceUse::Fresh);
        assert_eq!(add(1, 6, 2000, 1001), NonceUse::Fresh);
    }
}
