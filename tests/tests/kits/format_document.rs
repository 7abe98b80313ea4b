//! docs/FORMAT.md against the code: its worked examples are those that the builder of the vectors makes, and its grammar
//! takes the texts that the vectors hold.

use std::path::Path;
use std::process::Command;

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
