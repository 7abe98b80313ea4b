//! C2SP's CCTV vectors for age: what every age program has to open, and what it has to refuse and how.
//!
//! The vectors are in the npm package `cctv-age`, none of them in this repository. `CCTV_AGE_DIR` names the folder that
//! `tests/interop/unpack-cctv.mjs` writes: one inflated file for each. Without the variable the test says that it was
//! skipped; where `CI` is `true` it fails instead.

#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

use std::collections::BTreeMap;
use std::path::Path;

use data_encoding::HEXLOWER;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use vault_core::age_file::{OpenError, open_any};
use vault_core::identity::{Identity, UnwrapError};
use vault_core::passphrase_file::{UnlockError, WorkFactors, unlock_within};
use vault_proto::age_header::Header;

/// Vectors of the package at version 0.2.0, and how many of them are armored. A later version may have more, not fewer.
const ALL: usize = 143;
const ARMORED: usize = 33;

/// What a vector says has to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success,
    NoMatch,
    HmacFailure,
    HeaderFailure,
    PayloadFailure,
}

struct Vector {
    name: String,
    expect: Outcome,
    payload: Option<String>,
    identities: Vec<String>,
    passphrases: Vec<String>,
    file: Vec<u8>,
}

#[test]
fn every_binary_vector_ends_as_it_is_labelled() {
    let Some(folder) = std::env::var_os("CCTV_AGE_DIR") else {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "CCTV_AGE_DIR is not set, and CI must run the vectors"
        );
        println!("SKIPPED: CCTV_AGE_DIR is not set, so no CCTV vector was run");
        return;
    };
    let raw = read_folder(Path::new(&folder));
    assert!(raw.len() >= ALL, "{} vectors found, at least {ALL} expected", raw.len());
    let vectors: Vec<Vector> = raw.iter().filter_map(|(name, bytes)| read_vector(name, bytes)).collect();
    assert_eq!(vectors.len(), raw.len() - ARMORED, "binary vectors");

    let mut wrong = Vec::new();
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for vector in &vectors {
        if let Err(report) = check(vector) {
            wrong.push(format!("{}: {report}", vector.name));
        }
        let class = match vector.expect {
            Outcome::Success => "success",
            Outcome::NoMatch => "no match",
            Outcome::HmacFailure => "HMAC failure",
            Outcome::HeaderFailure => "header failure",
            Outcome::PayloadFailure => "payload failure",
        };
        *ends.entry(class).or_default() += 1;
    }
    println!("{} vectors: {ends:?}", vectors.len());
    assert!(wrong.is_empty(), "{} vectors end otherwise:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(ends.len(), 5, "every class of outcome has to occur");
    for name in ["hybrid_low_order", "hybrid_identity", "x25519_low_order", "stanza_missing_final_line"] {
        assert!(vectors.iter().any(|vector| vector.name == name), "{name} is missing");
    }
}

fn check(vector: &Vector) -> Result<(), String> {
    let mut released = Vec::new();
    let outcome = if vector.identities.is_empty() && !vector.passphrases.is_empty() {
        open_with_passphrases(vector, &mut released)
    } else {
        open_with_identities(vector, &mut released)
    };
    if outcome != vector.expect {
        return Err(format!("{outcome:?} instead of {:?}", vector.expect));
    }
    if let Some(expected) = &vector.payload {
        let hash = HEXLOWER.encode(&Sha256::digest(&released));
        if hash != *expected {
            return Err(format!(
                "{} bytes with hash {hash} were released instead of {expected}",
                released.len()
            ));
        }
    } else if !released.is_empty() {
        return Err(format!("{} bytes were released, and none may be", released.len()));
    }
    if vector.expect != Outcome::HeaderFailure {
        let (header, length) = Header::parse(&vector.file).map_err(|error| error.to_string())?;
        if header.encode() != vector.file[..length] {
            return Err("the header does not encode to the same bytes".to_owned());
        }
    }
    Ok(())
}

fn open_with_identities(vector: &Vector, released: &mut Vec<u8>) -> Outcome {
    let identities: Vec<Identity> = vector
        .identities
        .iter()
        .map(|text| Identity::parse(text).unwrap_or_else(|_| panic!("{}: bad identity", vector.name)))
        .collect();
    let identities: Vec<&Identity> = identities.iter().collect();
    let mut reader = match open_any(&identities, &vector.file[..]) {
        Ok(reader) => reader,
        Err(OpenError::Unwrap(UnwrapError::NoMatch)) => return Outcome::NoMatch,
        Err(OpenError::HeaderMac(_)) => return Outcome::HmacFailure,
        Err(OpenError::Payload(_)) => return Outcome::PayloadFailure,
        Err(_) => return Outcome::HeaderFailure,
    };
    loop {
        match reader.next_chunk() {
            Ok(Some(chunk)) => released.extend_from_slice(chunk),
            Ok(None) => return Outcome::Success,
            Err(_) => return Outcome::PayloadFailure,
        }
    }
}

fn open_with_passphrases(vector: &Vector, released: &mut Vec<u8>) -> Outcome {
    // The vectors have small work factors, for speed, and one too high one, 23.
    let accepted = WorkFactors::new(1, 22);
    let mut outcome = Outcome::NoMatch;
    for passphrase in &vector.passphrases {
        let passphrase = SecretString::from(passphrase.clone());
        match unlock_within(&passphrase, &vector.file, accepted, usize::MAX) {
            Ok(content) => {
                released.extend_from_slice(&content);
                return Outcome::Success;
            }
            Err(UnlockError::WrongPassphrase | UnlockError::NotPassphraseFile) => {}
            Err(_) => outcome = Outcome::HeaderFailure,
        }
    }
    outcome
}

/// The vectors by name, one file each.
fn read_folder(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut vectors = BTreeMap::new();
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        vectors.insert(name, bytes);
    }
    vectors
}

/// Reads a vector's own header and its file; `None` for an armored one, which this program does not read.
fn read_vector(name: &str, bytes: &[u8]) -> Option<Vector> {
    let end =
        bytes.windows(2).position(|pair| pair == b"\n\n").unwrap_or_else(|| panic!("{name}: no header"));
    let text = std::str::from_utf8(&bytes[..end]).unwrap_or_else(|error| panic!("{name}: {error}"));
    if text.lines().any(|line| line == "armored: yes") {
        return None;
    }
    let mut vector = Vector {
        name: name.to_owned(),
        expect: Outcome::Success,
        payload: None,
        identities: Vec::new(),
        passphrases: Vec::new(),
        file: bytes[end + 2..].to_vec(),
    };
    let mut expectations = 0;
    for line in text.lines() {
        let (key, value) = line.split_once(": ").unwrap_or_else(|| panic!("{name}: {line}"));
        match (key, value) {
            ("expect", value) => {
                expectations += 1;
                vector.expect = match value {
                    "success" => Outcome::Success,
                    "no match" => Outcome::NoMatch,
                    "HMAC failure" => Outcome::HmacFailure,
                    "header failure" => Outcome::HeaderFailure,
                    "payload failure" => Outcome::PayloadFailure,
                    other => panic!("{name}: unknown outcome {other}"),
                };
            }
            ("payload", value) => vector.payload = Some(value.to_owned()),
            ("identity", value) => vector.identities.push(value.to_owned()),
            ("passphrase", value) => vector.passphrases.push(value.to_owned()),
            ("file key" | "comment", _) => {}
            _ => panic!("{name}: unknown line {line}"),
        }
    }
    assert_eq!(expectations, 1, "{name}");
    Some(vector)
}
