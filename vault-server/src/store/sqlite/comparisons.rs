//! Comparisons of keys between two accounts.

use rusqlite::Connection;
use vault_proto::ids::{AccountId, ComparisonNonce, Digest};
use vault_proto::timestamp::Timestamp;
use vault_proto::wire::{COMPARISON_LIFETIME, ComparisonSide, ComparisonState, MAX_COMPARISONS};

use super::rows::{first, write};
use super::{StoreError, Stored};

/// One side, with its place in the order of arrival.
struct Row {
    number: i64,
    side: ComparisonSide,
}

/// First second of which a comparison still counts at `at`.
fn oldest(at: Timestamp) -> i64 {
    at.unix_seconds().saturating_sub(COMPARISON_LIFETIME)
}

fn side(
    db: &Connection,
    account: AccountId,
    other: AccountId,
    at: Timestamp,
) -> Result<Option<Row>, StoreError> {
    first(
        db,
        "SELECT number, commitment, nonce FROM comparisons WHERE account = ?1 AND other = ?2 AND created > ?3",
        (account.as_bytes(), other.as_bytes(), oldest(at)),
        |row| {
            let nonce: Option<[u8; 32]> = row.get(2)?;
            Ok(Row {
                number: row.get(0)?,
                side: ComparisonSide {
                    commitment: Digest::from_bytes(row.get(1)?),
                    nonce: nonce.map(ComparisonNonce::from_bytes),
                },
            })
        },
    )
}

/// How many comparisons an account has a side in.
fn sides(db: &Connection, account: AccountId) -> Result<u32, StoreError> {
    let sql = "SELECT count(*) FROM comparisons WHERE account = ?1";
    Ok(first(db, sql, [account.as_bytes()], |row| row.get(0))?.unwrap_or(0))
}

fn remove(db: &Connection, account: AccountId, other: AccountId) -> Result<usize, StoreError> {
    write(
        db,
        "DELETE FROM comparisons WHERE account = ?1 AND other = ?2",
        (account.as_bytes(), other.as_bytes()),
    )
}

pub(super) fn commit(
    db: &Connection,
    account: AccountId,
    other: AccountId,
    commitment: Digest,
    at: Timestamp,
) -> Result<Stored, StoreError> {
    write(db, "DELETE FROM comparisons WHERE created <= ?1", [oldest(at)])?;
    let (own, theirs) = (side(db, account, other, at)?, side(db, other, account, at)?);
    if own.as_ref().is_some_and(|own| own.side.commitment == commitment) {
        return Ok(Stored::Same);
    }
    if own.is_none() && sides(db, account)? >= MAX_COMPARISONS {
        return Err(StoreError::Busy);
    }
    if own.iter().chain(&theirs).any(|row| row.side.nonce.is_some()) {
        remove(db, other, account)?;
    }
    remove(db, account, other)?;
    write(
        db,
        "INSERT INTO comparisons (account, other, commitment, created) VALUES (?1, ?2, ?3, ?4)",
        (account.as_bytes(), other.as_bytes(), commitment.as_bytes(), at.unix_seconds()),
    )?;
    Ok(Stored::New)
}

pub(super) fn reveal(
    db: &Connection,
    account: AccountId,
    other: AccountId,
    nonce: ComparisonNonce,
    at: Timestamp,
) -> Result<Stored, StoreError> {
    let own = side(db, account, other, at)?.ok_or(StoreError::NotFound)?;
    match own.side.nonce {
        Some(stored) if stored == nonce => return Ok(Stored::Same),
        Some(_) => return Err(StoreError::Conflict),
        None => {}
    }
    let theirs = side(db, other, account, at)?.ok_or(StoreError::OutOfOrder)?;
    if own.number > theirs.number && theirs.side.nonce.is_none() {
        return Err(StoreError::OutOfOrder);
    }
    write(db, "UPDATE comparisons SET nonce = ?1 WHERE number = ?2", (nonce.as_bytes(), own.number))?;
    Ok(Stored::New)
}

pub(super) fn state(
    db: &Connection,
    account: AccountId,
    other: AccountId,
    at: Timestamp,
) -> Result<ComparisonState, StoreError> {
    let own = side(db, account, other, at)?.ok_or(StoreError::NotFound)?;
    let theirs = side(db, other, account, at)?;
    Ok(ComparisonState {
        own: own.side,
        first: theirs.as_ref().is_none_or(|theirs| own.number < theirs.number),
        other: theirs.map(|theirs| theirs.side),
    })
}

pub(super) fn withdraw(db: &Connection, account: AccountId, other: AccountId) -> Result<Stored, StoreError> {
    Ok(if remove(db, account, other)? == 0 { Stored::Same } else { Stored::New })
}
