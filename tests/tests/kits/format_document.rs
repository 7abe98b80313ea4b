//! docs/FORMAT.md against the code: its tables have the fields that statements have, its worked examples are those that
//! the builder of the vectors makes, and its grammar takes the texts that the vectors hold.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

use std::path::Path;
use std::process::Command;

use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use vault_proto::statements::{
    Certificate, Device, FinalSeal, Grant, IssuerCertificate, KeyList, Manifest, Revocations,
    SegmentProgress, SegmentSeal,
};
use vault_tests::vectors::{self, worked_examples};

/// The document with what `blocks` say between the fences that name them.
fn with_examples(document: &str, blocks: &[(&str, String)]) -> String {
    let mut text = document.to_owned();
    for (name, block) in blocks {
        let fence = format!("```example-{name}\n");
        let (before, rest) = text.split_once(&fence).unwrap_or_else(|| panic!("no example {name}"));
        let end = if rest.starts_with("```") { 0 } else { rest.find("\n```").unwrap() + 1 };
        text = format!("{before}{fence}{block}{}", &rest[end..]);
    }
    text
}

/// With `REWRITE_EXAMPLES` set the document is written anew.
#[test]
fn the_worked_examples_are_what_the_builder_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/FORMAT.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let blocks = worked_examples::blocks();
    assert_eq!(document.matches("```example-").count(), blocks.len());
    let expected = with_examples(&document, &blocks);
    if std::env::var_os("REWRITE_EXAMPLES").is_some() {
        return std::fs::write(&path, &expected).unwrap();
    }
    assert!(
        document == expected,
        "an example is not what the code makes; REWRITE_EXAMPLES=1 writes them anew"
    );
}

/// What is printed is what is committed, so that a reader can hold the one against the other.
#[test]
fn the_worked_examples_are_those_of_the_vector() {
    let committed = vectors::read(&vectors::folder().join(worked_examples::VECTOR)).unwrap().objects;
    let cast = vectors::cast::Cast::of("hospital");
    let made = worked_examples::recording(&cast).objects;
    assert!(committed.key == made.key && committed.final_seal == made.final_seal);
    assert!(committed.segments[0].header == made.segments[0].header);
    assert!(committed.segments[0].body == made.segments[0].body);
}

#[test]
fn the_grammar_takes_what_the_vectors_hold_and_nothing_that_is_spoilt() {
    let Some(python) = std::env::var_os("EXPORT_PYTHON") else { return };
    let test = concat!(env!("CARGO_MANIFEST_DIR"), "/format/grammar_test.py");
    let output = Command::new(python).arg(test).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Learns which fields a type asks for, and gives it none.
struct Asked<'a>(&'a mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.extend_from_slice(fields);
        Err(Self::Error::custom("nothing but names"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The fields of a statement in the code, in the order of its payload.
fn coded<T: DeserializeOwned>() -> Vec<&'static str> {
    let mut fields = Vec::new();
    assert!(T::deserialize(Asked(&mut fields)).is_err());
    assert!(!fields.is_empty());
    fields
}

/// The fields in the first column of the table that follows on the kind's name.
fn tabled<'a>(document: &'a str, kind: &str) -> Vec<&'a str> {
    let (_, section) =
        document.split_once(&format!("\n**`{kind}`**")).unwrap_or_else(|| panic!("no table of {kind}"));
    let (_, table) = section.split_once("| field | value |\n|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let columns = rows.map(|row| row.split('|').nth(1).unwrap());
    columns.flat_map(|fields| fields.split(',').map(|field| field.trim().trim_matches('`'))).collect()
}

#[test]
fn the_tables_have_the_fields_that_statements_have() {
    let document = include_str!("../../../docs/FORMAT.md");
    let same = |kind, fields: Vec<&str>| assert_eq!(tabled(document, kind), fields, "{kind}");
    same("issuer-certificate", coded::<IssuerCertificate>());
    same("certificate", coded::<Certificate>());
    same("key-list", coded::<KeyList>());
    same("device", coded::<Device>());
    same("revocations", coded::<Revocations>());
    same("manifest", coded::<Manifest>());
    same("grant", coded::<Grant>());
    same("segment-seal", coded::<SegmentSeal>());
    same("segment-progress", coded::<SegmentProgress>());
    same("final-seal", coded::<FinalSeal>());
}
