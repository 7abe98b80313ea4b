//! What describes an export as a whole, beside its recordings: for people, for other systems, for whoever opens it
//! without this program, and for whoever checks it.

use std::borrow::Cow;

use serde::Serialize;
use vault_engine::error::ClientError;
use vault_engine::home::own_list::OwnList;
use vault_proto::members::MemberStatements;
use vault_proto::named_statements::NamedStatements;
use vault_proto::object::statement_path;

use crate::layout::proof;
use crate::made::catalogue::Catalogue;
use crate::made::fhir::{FhirVersion, bundle};
use crate::made::page::page;

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its path in the export, separated by `/`.
    pub path: String,
    /// What it holds.
    pub bytes: Cow<'static, [u8]>,
}

impl Document {
    fn made(path: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { path: path.into(), bytes: bytes.into() }
    }

    fn fixed(path: &str, bytes: &'static [u8]) -> Self {
        Self { path: path.to_owned(), bytes: bytes.into() }
    }
}

/// What describes recordings that are opened: each for itself, all of them for other systems, and a page to look at.
///
/// # Errors
/// [`ClientError::Bug`].
pub fn of_opened(catalogue: &Catalogue) -> Result<Vec<Document>, ClientError> {
    let mut documents = Vec::with_capacity(catalogue.recordings.len() + 4);
    for recording in &catalogue.recordings {
        documents.push(Document::made(format!("{}/recording.json", recording.folder), pretty(recording)?));
    }
    for (name, version) in [("fhir/r4.json", FhirVersion::R4), ("fhir/r5.json", FhirVersion::R5)] {
        documents.push(Document::made(name, pretty(&bundle(catalogue, version))?));
    }
    documents.push(Document::made("index.html", page(catalogue).into_bytes()));
    documents.push(Document::fixed("README.txt", include_bytes!("../../script/opened-README.txt")));
    Ok(documents)
}

/// What opens recordings that stay sealed, without this program: how, and with what.
pub fn of_sealed() -> Vec<Document> {
    vec![
        Document::fixed("README.txt", include_bytes!("../../script/sealed-README.txt")),
        Document::fixed("FORMAT.md", include_bytes!("../../../docs/FORMAT.md")),
        Document::fixed("open_recordings.py", include_bytes!("../../script/open_recordings.py")),
        Document::made("bip39-english.txt", vault_core::seed::word_list().into_bytes()),
    ]
}

/// What proves whose export it is, and which recordings the account knew of when it was made.
///
/// # Errors
/// [`ClientError::Bug`].
pub fn of_account(statements: &MemberStatements, list: &OwnList) -> Result<Vec<Document>, ClientError> {
    let mut named = NamedStatements::default();
    statements.put_into(&mut named);
    let statements =
        named.iter().map(|(digest, envelope)| Document::made(statement_path(digest), envelope.to_vec()));
    let list = [
        Document::made(proof::LIST, list.statement.bytes().to_vec()),
        Document::made(proof::LIST_OBJECT, list.object.to_bytes()?),
    ];
    Ok(statements.chain(list).collect())
}

fn pretty<T: Serialize>(value: &T) -> Result<Vec<u8>, ClientError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| ClientError::Bug(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}
