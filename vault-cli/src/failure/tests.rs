//! The words of the engine's failures, as they are on a command line.

use clap::Parser as _;
use vault_proto::problem::ProblemCode;

use self::one_of_each::{one_of_each, problem, unreachable};
use super::*;
use crate::arguments::Arguments;

#[path = "../../../vault-engine/src/failure/one_of_each.rs"]
mod one_of_each;

/// One of each failure that a person can meet, by the name it has in `words.txt`.
fn every_failure() -> Vec<(&'static str, Failure)> {
    let mut told = one_of_each();
    told.push(("not begun", not_begun(&unreachable().into())));
    told.push(("not begun and refused", not_begun(&problem(ProblemCode::StorageFull, None).into())));
    for typed in [
        ["vault-cli", "seal", "talk.webm", "--patient", "p", "--clinician", "c"].as_slice(),
        &["vault-cli", "resume"],
        &["vault-cli", "export", "folder"],
        &["vault-cli", "open", "01234567"],
    ] {
        let arguments = Arguments::parse_from(typed);
        told.push(("interrupted", interrupted_during(&arguments.command)));
    }
    told
}

/// The words are a contract with whoever explains them on the telephone. After a change that is meant, run the test
/// with `REWRITE_WORDS=1` and read the difference.
#[test]
fn each_failure_has_its_words() {
    let mut text = String::new();
    for (name, failure) in every_failure() {
        let Failure { code, what, means, next, .. } = &failure;
        let next = &spelled(next);
        for line in [what, means, next] {
            assert!(
                !line.is_empty() && !line.contains('\n') && line.ends_with(['.', '?']),
                "{name}: {line:?}"
            );
        }
        text += &format!("[{name}] exit {} ({})\n{what}\n{means}\n{next}\n\n", exit(*code), code.word());
    }
    if std::env::var_os("REWRITE_WORDS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/failure/words.txt"), &text).unwrap();
    }
    assert_eq!(text, include_str!("words.txt"));
}

#[test]
fn every_exit_code_of_the_contract_is_met() {
    let mut met: Vec<u8> = every_failure().iter().map(|(_, failure)| exit(failure.code)).collect();
    met.sort_unstable();
    met.dedup();
    assert_eq!(met, [1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 130]);
}
