//! The directory.

use rusqlite::Connection;
use vault_proto::credentials::{CertificateChain, Member};
use vault_proto::envelope::{Envelope, Statement};
use vault_proto::ids::{AccountId, Digest, KeyId};
use vault_proto::statements::{Certificate, IssuerCertificate, KeyList};
use vault_proto::wire::DirectoryEntry;

use super::recordings::length;
use super::rows::{all, damaged, first, write};
use super::{DirectoryRow, Enrolment, HexPrefix, StoreError};

fn parse<T: Statement>(bytes: &[u8]) -> Result<Envelope<T>, StoreError> {
    Envelope::parse(bytes).map_err(|error| damaged(&error))
}

pub(super) fn member_of_device(
    db: &Connection,
    key: KeyId,
) -> Result<Option<(AccountId, Member)>, StoreError> {
    type Columns = ([u8; 32], Vec<u8>, Vec<u8>, Vec<u8>);
    let row: Option<Columns> = first(
        db,
        "SELECT account, issuer, certificate, envelope
         FROM devices JOIN accounts USING (account) JOIN key_lists USING (account)
         WHERE key_id = ?1 ORDER BY key_lists.number DESC LIMIT 1",
        [key.as_bytes()],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    let Some((account, issuer, certificate, key_list)) = row else {
        return Ok(None);
    };
    let member =
        Member { issuer: parse(&issuer)?, certificate: parse(&certificate)?, key_list: parse(&key_list)? };
    Ok(Some((AccountId::from_bytes(account), member)))
}

pub(super) fn directory_entry(
    db: &Connection,
    account: AccountId,
) -> Result<Option<DirectoryRow>, StoreError> {
    let row: Option<(Vec<u8>, Vec<u8>)> = first(
        db,
        "SELECT issuer, certificate FROM accounts WHERE account = ?1",
        [account.as_bytes()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let Some((issuer, certificate)) = row else {
        return Ok(None);
    };
    let key_lists: Vec<Vec<u8>> = all(
        db,
        "SELECT envelope FROM key_lists WHERE account = ?1 ORDER BY number",
        [account.as_bytes()],
        |row| row.get(0),
    )?;
    let entry = DirectoryEntry {
        issuer: parse(&issuer)?,
        certificate: parse(&certificate)?,
        key_lists: key_lists.iter().map(|bytes| parse(bytes)).collect::<Result<_, _>>()?,
    };
    Ok(Some(DirectoryRow { entry }))
}

pub(super) fn issuers(db: &Connection) -> Result<Vec<Envelope<IssuerCertificate>>, StoreError> {
    let issuers: Vec<Vec<u8>> = all(db, "SELECT DISTINCT issuer FROM accounts", [], |row| row.get(0))?;
    issuers.iter().map(|bytes| parse(bytes)).collect()
}

pub(super) fn by_prefix(
    db: &Connection,
    prefix: &HexPrefix,
    limit: u32,
) -> Result<Vec<AccountId>, StoreError> {
    all(
        db,
        "SELECT account FROM accounts WHERE account BETWEEN ?1 AND ?2 ORDER BY account LIMIT ?3",
        (prefix.low(), prefix.high(), limit),
        |row| Ok(AccountId::from_bytes(row.get(0)?)),
    )
}

/// What an enrolment changed.
pub(super) struct Enrolled {
    /// Whether there is another key list than before.
    pub(super) key_list: bool,
    /// How many bytes more are stored than before.
    pub(super) bytes: i64,
}

pub(super) fn replace_certificate(
    db: &Connection,
    account: AccountId,
    chain: &CertificateChain,
    replaces: Digest,
) -> Result<i64, StoreError> {
    let account = account.as_bytes();
    let (certificate, before) = stored_certificate(db, account)?;
    let stored = certificate.map(|bytes| parse::<Certificate>(&bytes)).transpose()?;
    if stored.map(|certificate| certificate.digest()) != Some(replaces) {
        return Err(StoreError::Conflict);
    }
    write(
        db,
        "UPDATE accounts SET issuer = ?2, certificate = ?3 WHERE account = ?1",
        (account, chain.issuer.bytes(), chain.certificate.bytes()),
    )?;
    more_than(before, chain)
}

/// The certificate of an account, and how many bytes it and its issuer's take.
fn stored_certificate(db: &Connection, account: &[u8]) -> Result<(Option<Vec<u8>>, i64), StoreError> {
    let chain: Option<(Vec<u8>, i64)> = first(
        db,
        "SELECT certificate, length(issuer) + length(certificate) FROM accounts WHERE account = ?1",
        [account],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(chain.map_or((None, 0), |(bytes, length)| (Some(bytes), length)))
}

/// How many bytes more a chain takes than the one in whose place it comes.
fn more_than(before: i64, chain: &CertificateChain) -> Result<i64, StoreError> {
    let now = length(chain.issuer.bytes())?.saturating_add(length(chain.certificate.bytes())?);
    Ok(now.saturating_sub(before))
}

pub(super) fn has_met(db: &Connection, patient: AccountId, other: AccountId) -> Result<bool, StoreError> {
    let found: Option<i64> = first(
        db,
        "SELECT 1 FROM participants AS own JOIN participants AS others USING (number) JOIN recordings USING (number)
         WHERE own.account = ?1 AND others.account = ?2 AND patient = ?1 LIMIT 1",
        [patient.as_bytes(), other.as_bytes()],
        |row| row.get(0),
    )?;
    Ok(found.is_some())
}

pub(super) fn enrol(db: &Connection, enrolment: &Enrolment) -> Result<Enrolled, StoreError> {
    let account = enrolment.account.as_bytes();
    let (certificate, before) = stored_certificate(db, account)?;
    let key_list: Option<Vec<u8>> = first(
        db,
        "SELECT envelope FROM key_lists WHERE account = ?1 ORDER BY number DESC LIMIT 1",
        [account],
        |row| row.get(0),
    )?;
    let stored = match (certificate, key_list) {
        (Some(certificate), Some(key_list)) => {
            Some((parse::<Certificate>(&certificate)?.digest(), parse::<KeyList>(&key_list)?.digest()))
        }
        _ => None,
    };
    if stored != enrolment.replaces {
        return Err(StoreError::Conflict);
    }
    write(
        db,
        "INSERT INTO accounts (account, issuer, certificate) VALUES (?1, ?2, ?3)
         ON CONFLICT (account) DO UPDATE SET issuer = excluded.issuer, certificate = excluded.certificate",
        (account, enrolment.chain.issuer.bytes(), enrolment.chain.certificate.bytes()),
    )?;
    let chain = more_than(before, &enrolment.chain)?;
    if stored.map(|(_, key_list)| key_list) == Some(enrolment.key_list.digest()) {
        return Ok(Enrolled { key_list: false, bytes: chain });
    }
    let list = enrolment.key_list.unverified();
    let number = i64::try_from(list.number).map_err(|_| StoreError::Conflict)?;
    write(
        db,
        "INSERT INTO key_lists (account, number, envelope) VALUES (?1, ?2, ?3)",
        (account, number, enrolment.key_list.bytes()),
    )?;
    write(db, "DELETE FROM devices WHERE account = ?1", [account])?;
    for device in &list.devices {
        write(
            db,
            "INSERT INTO devices (key_id, account) VALUES (?1, ?2)",
            (device.key_id().as_bytes(), account),
        )?;
    }
    let bytes = chain.saturating_add(length(enrolment.key_list.bytes())?);
    Ok(Enrolled { key_list: true, bytes })
}
