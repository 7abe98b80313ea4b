//! What a hostile operator, or a registrar who errs, could put into the server's directory: statements signed with the
//! keys of this world, at will, and the rows that hold them.

use std::path::Path;

use rusqlite::Connection;
use secrecy::SecretString;
use vault_core::identity_file::RegistrarSecrets;
use vault_core::seed::Seed;
use vault_proto::envelope::{self, Envelope, payload_digest};
use vault_proto::ids::{AccountId, Digest, KeyId, PublicKey};
use vault_proto::statements::{Certificate, IssuerCertificate, KeyList};
use vault_proto::timestamp::Timestamp;

use crate::command::PASSPHRASE;
use crate::world::{Person, World};

/// A moment, from its text.
pub fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// What a home remembers of accounts.
pub struct Pins;

impl Pins {
    /// What `person` remembers of `other`.
    pub fn of(person: &Person, other: &Person) -> serde_json::Value {
        let text = std::fs::read(Self::file(person, other)).expect("a pin");
        serde_json::from_slice(&text).expect("a pin is JSON")
    }

    /// The file it is in.
    pub fn file(person: &Person, other: &Person) -> std::path::PathBuf {
        person.home.join(format!("pins/{}.json", other.account))
    }
}

/// The keys of this world's registrar.
pub fn registrar(world: &World) -> RegistrarSecrets {
    let file = std::fs::read(world.folder().join("registrar/registrar.age")).expect("the registrar's keys");
    RegistrarSecrets::unlock(&SecretString::from(PASSPHRASE), &file).expect("they open")
}

/// A certificate, signed by this registrar's issuer.
pub fn certificate(registrar: &RegistrarSecrets, certificate: &Certificate) -> Envelope<Certificate> {
    let key_id = KeyId::of_issuer(&PublicKey::from_bytes(registrar.issuer.public()));
    envelope::sign(certificate, key_id, |bytes| registrar.issuer.sign(bytes)).expect("it signs")
}

/// An issuer certificate, signed by this registrar's root.
pub fn issuer(registrar: &RegistrarSecrets, issuer: &IssuerCertificate) -> Envelope<IssuerCertificate> {
    let key_id = KeyId::of_organisation_root(&PublicKey::from_bytes(registrar.root.public()));
    envelope::sign(issuer, key_id, |bytes| registrar.root.sign(bytes)).expect("it signs")
}

/// A key list, signed by the root of this seed.
pub fn key_list(seed: &Seed, list: &KeyList) -> Envelope<KeyList> {
    let root = seed.account_root();
    let key_id = KeyId::of_account_root(&PublicKey::from_bytes(root.public()));
    envelope::sign(list, key_id, |bytes| root.sign(bytes)).expect("it signs")
}

/// The same envelope around another payload: the signature is that of the old one.
pub fn under_old_signature<T: envelope::Statement>(old: &Envelope<T>, statement: &T) -> Vec<u8> {
    let mut envelope: serde_json::Value = serde_json::from_slice(old.bytes()).expect("an envelope");
    let payload = serde_json::to_vec(statement).expect("a payload");
    let base64 = data_encoding::BASE64.encode(&payload);
    let text = String::from_utf8(old.bytes().to_vec()).expect("text");
    let before = envelope.get_mut("payload").expect("a payload").take();
    text.replace(before.as_str().expect("a payload"), &base64).into_bytes()
}

/// The server's directory, as whoever holds its disk reads and writes it.
pub struct Directory(Connection);

impl Directory {
    /// Opens the database of a data folder whose server is stopped.
    pub fn open(data: &Path) -> Self {
        Self(Connection::open(data.join("vault.db")).expect("the database opens"))
    }

    fn id(person: &Person) -> Vec<u8> {
        person.account.parse::<AccountId>().expect("an id").as_bytes().to_vec()
    }

    /// A statement column of an account.
    pub fn statement(&self, person: &Person, column: &str) -> Vec<u8> {
        let sql =
            format!("SELECT envelope FROM accounts JOIN statements ON digest = {column} WHERE account = ?1");
        self.0.query_row(&sql, [Self::id(person)], |row| row.get(0)).expect("the account is stored")
    }

    /// Replaces a statement column of an account.
    pub fn set_statement(&self, person: &Person, column: &str, bytes: &[u8]) {
        let digest = self.add_statement(bytes);
        let sql = format!("UPDATE accounts SET {column} = ?1 WHERE account = ?2");
        assert_eq!(self.0.execute(&sql, (digest, Self::id(person))).expect("it is written"), 1);
    }

    /// Adds a statement, in place of one with another signature; one that is no envelope under the digest of its bytes.
    fn add_statement(&self, bytes: &[u8]) -> Vec<u8> {
        let digest = payload_digest(bytes).unwrap_or_else(|| Digest::of(bytes)).as_bytes().to_vec();
        let sql = "INSERT OR REPLACE INTO statements (digest, envelope) VALUES (?1, ?2)";
        self.0.execute(sql, (&digest, bytes)).expect("it is written");
        digest
    }

    /// A key list of an account.
    pub fn key_list(&self, person: &Person, number: u32) -> Envelope<KeyList> {
        let sql = "SELECT envelope FROM key_lists JOIN statements ON digest = key_list WHERE account = ?1 AND number = ?2";
        let bytes: Vec<u8> =
            self.0.query_row(sql, (Self::id(person), number), |row| row.get(0)).expect("it is stored");
        Envelope::parse(&bytes).expect("a key list")
    }

    /// Stores a key list of an account, in place of one of that number.
    pub fn set_key_list(&self, person: &Person, number: u32, bytes: &[u8]) {
        let digest = self.add_statement(bytes);
        let sql = "INSERT OR REPLACE INTO key_lists (account, number, key_list) VALUES (?1, ?2, ?3)";
        self.0.execute(sql, (Self::id(person), number, digest)).expect("it is written");
    }

    /// Drops a key list of an account.
    pub fn drop_key_list(&self, person: &Person, number: u32) {
        let sql = "DELETE FROM key_lists WHERE account = ?1 AND number = ?2";
        assert_eq!(self.0.execute(sql, (Self::id(person), number)).expect("it is written"), 1);
    }

    /// Drops an account.
    pub fn drop_account(&self, person: &Person) {
        for table in ["devices", "key_lists", "accounts"] {
            let sql = format!("DELETE FROM {table} WHERE account = ?1");
            self.0.execute(&sql, [Self::id(person)]).expect("it is written");
        }
    }
}
