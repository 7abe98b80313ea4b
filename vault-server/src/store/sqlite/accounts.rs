//! The directory.

use rusqlite::Connection;
use vault_proto::envelope::{Envelope, Statement};
use vault_proto::ids::{AccountId, Digest, KeyId};
use vault_proto::members::{CertificateChain, MemberStatements};
use vault_proto::statements::IssuerCertificate;
use vault_proto::wire::DirectoryEntry;

use super::rows::{all, damaged, first, write};
use super::statements;
use super::{DirectoryRow, Enrolment, HexPrefix, StoreError};

fn parse<T: Statement>(bytes: &[u8]) -> Result<Envelope<T>, StoreError> {
    Envelope::parse(bytes).map_err(|error| damaged(&error))
}

pub(super) fn member_of_device(
    db: &Connection,
    key: KeyId,
) -> Result<Option<(AccountId, MemberStatements)>, StoreError> {
    type Columns = ([u8; 32], Vec<u8>, Vec<u8>, Vec<u8>);
    let row: Option<Columns> = first(
        db,
        "SELECT devices.account, issuers.envelope, certificates.envelope, lists.envelope
         FROM devices JOIN accounts USING (account) JOIN key_lists USING (account)
              JOIN statements AS issuers ON issuers.digest = accounts.issuer
              JOIN statements AS certificates ON certificates.digest = accounts.certificate
              JOIN statements AS lists ON lists.digest = key_lists.key_list
         WHERE key_id = ?1 ORDER BY key_lists.number DESC LIMIT 1",
        [key.as_bytes()],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    let Some((account, issuer, certificate, key_list)) = row else {
        return Ok(None);
    };
    let member = MemberStatements {
        issuer: parse(&issuer)?,
        certificate: parse(&certificate)?,
        key_list: parse(&key_list)?,
    };
    Ok(Some((AccountId::from_bytes(account), member)))
}

pub(super) fn directory_entry(
    db: &Connection,
    account: AccountId,
) -> Result<Option<DirectoryRow>, StoreError> {
    let row: Option<(Vec<u8>, Vec<u8>)> = first(
        db,
        "SELECT issuers.envelope, certificates.envelope
         FROM accounts JOIN statements AS issuers ON issuers.digest = issuer
              JOIN statements AS certificates ON certificates.digest = certificate
         WHERE account = ?1",
        [account.as_bytes()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let Some((issuer, certificate)) = row else {
        return Ok(None);
    };
    let key_lists: Vec<Vec<u8>> = all(
        db,
        "SELECT envelope FROM key_lists JOIN statements ON digest = key_list WHERE account = ?1 ORDER BY number",
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
    let issuers: Vec<Vec<u8>> = all(
        db,
        "SELECT envelope FROM statements WHERE digest IN (SELECT issuer FROM accounts)",
        [],
        |row| row.get(0),
    )?;
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
    if stored_certificate(db, account)? != Some(replaces) {
        return Err(StoreError::Conflict);
    }
    set_chain(db, account, chain)
}

/// Digest of the certificate of an account.
fn stored_certificate(db: &Connection, account: AccountId) -> Result<Option<Digest>, StoreError> {
    first(db, "SELECT certificate FROM accounts WHERE account = ?1", [account.as_bytes()], |row| {
        Ok(Digest::from_bytes(row.get(0)?))
    })
}

/// Gives an account this chain. Says how many bytes more are stored than before.
fn set_chain(db: &Connection, account: AccountId, chain: &CertificateChain) -> Result<i64, StoreError> {
    let (issuer, issuer_bytes) = statements::add_statement(db, &chain.issuer)?;
    let (certificate, bytes) = statements::add_statement(db, &chain.certificate)?;
    write(
        db,
        "INSERT INTO accounts (account, issuer, certificate) VALUES (?1, ?2, ?3)
         ON CONFLICT (account) DO UPDATE SET issuer = excluded.issuer, certificate = excluded.certificate",
        (account.as_bytes(), issuer.as_bytes(), certificate.as_bytes()),
    )?;
    Ok(issuer_bytes.saturating_add(bytes))
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
    let key_list: Option<Digest> = first(
        db,
        "SELECT key_list FROM key_lists WHERE account = ?1 ORDER BY number DESC LIMIT 1",
        [account],
        |row| Ok(Digest::from_bytes(row.get(0)?)),
    )?;
    let stored = stored_certificate(db, enrolment.account)?.zip(key_list);
    if stored != enrolment.replaces {
        return Err(StoreError::Conflict);
    }
    let chain = set_chain(db, enrolment.account, &enrolment.chain)?;
    if key_list == Some(enrolment.key_list.digest()) {
        return Ok(Enrolled { key_list: false, bytes: chain });
    }
    let list = enrolment.key_list.unverified();
    let number = i64::try_from(list.number).map_err(|_| StoreError::Conflict)?;
    let (digest, bytes) = statements::add_statement(db, &enrolment.key_list)?;
    write(
        db,
        "INSERT INTO key_lists (account, number, key_list) VALUES (?1, ?2, ?3)",
        (account, number, digest.as_bytes()),
    )?;
    write(db, "DELETE FROM devices WHERE account = ?1", [account])?;
    for device in &list.devices {
        write(
            db,
            "INSERT INTO devices (key_id, account) VALUES (?1, ?2)",
            (device.key_id().as_bytes(), account),
        )?;
    }
    Ok(Enrolled { key_list: true, bytes: chain.saturating_add(bytes) })
}
