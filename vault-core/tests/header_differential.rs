//! Attack 17, parser differences: our header parser against that of the `age` crate, over mutated headers.
//!
//! What ours accepts, theirs accepts with the same stanzas. What theirs accepts and ours refuses is of the few kinds
//! named below, each of which C2SP `age` or our own limits forbid.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use age::DecryptError;
use age_core::format::{FileKey, Stanza as TheirStanza};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use vault_proto::age_header::{Header, HeaderError, MAX_STANZAS, Stanza};

type Plain = (String, Vec<String>, Vec<u8>);

/// An identity of the `age` crate that opens nothing and notes each stanza it is shown.
#[derive(Default)]
struct Notes(RefCell<Vec<Plain>>);

impl age::Identity for Notes {
    fn unwrap_stanza(&self, stanza: &TheirStanza) -> Option<Result<FileKey, DecryptError>> {
        self.0.borrow_mut().push((stanza.tag.clone(), stanza.args.clone(), stanza.body.clone()));
        None
    }
}

/// The stanzas that the `age` crate sees, or `None` if it refuses the header.
fn theirs(header: &[u8]) -> Option<Vec<Plain>> {
    // Behind the header it wants a payload nonce before it answers.
    let file = [header, &[0; 16]].concat();
    let decryptor = age::Decryptor::new(&file[..]).ok()?;
    let notes = Notes::default();
    assert!(decryptor.decrypt(std::iter::once(&notes as &dyn age::Identity)).is_err());
    Some(notes.0.into_inner())
}

fn ours(header: &[u8]) -> Result<(Vec<Plain>, usize), HeaderError> {
    let (parsed, length) = Header::parse(header)?;
    assert_eq!(parsed.encode(), &header[..length], "re-encoding has to give the input back");
    let plain = |stanza: &Stanza| (stanza.tag().to_owned(), stanza.args().to_vec(), stanza.body().to_vec());
    Ok((parsed.stanzas().iter().map(plain).collect(), length))
}

/// Which of the two parsers took a header.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Both,
    Neither,
    OnlyTheirs,
}

fn compare(header: &[u8]) -> Verdict {
    let shown = String::from_utf8_lossy(header).into_owned();
    match (ours(header), theirs(header)) {
        (Ok((ours, _)), Some(theirs)) => {
            assert_eq!(ours, theirs, "two readings of one header: {shown:?}");
            Verdict::Both
        }
        (Ok((ours, _)), None) => {
            // They check in the parser, and we when unwrapping, that a passphrase stanza is alone.
            let passphrase_not_alone = ours.len() > 1 && ours.iter().any(|(tag, ..)| tag == "scrypt");
            assert!(passphrase_not_alone, "only our parser accepts {shown:?}");
            Verdict::Neither
        }
        (Err(_), None) => Verdict::Neither,
        (Err(error), Some(_)) => {
            let known = match error {
                // Their parser still takes the stanza bodies of age's drafts, without a final short line.
                HeaderError::MissingFinalLine { .. } => true,
                HeaderError::TooManyStanzas | HeaderError::TooLong => true,
                _ => false,
            };
            assert!(known, "only theirs accepts, and ours says {error:?}: {shown:?}");
            Verdict::OnlyTheirs
        }
    }
}

fn stanza() -> impl Strategy<Value = Stanza> {
    let tag = prop_oneof!["[!-~]{1,8}", Just("X25519".to_owned()), Just("scrypt".to_owned())];
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..100),
        prop::collection::vec(any::<u8>(), 48),
        prop::collection::vec(any::<u8>(), 32),
    ];
    (tag, prop::collection::vec("[!-~]{1,12}", 0..3), body)
        .prop_map(|(tag, args, body)| Stanza::new(&tag, args, body).unwrap())
}

fn header() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(stanza(), 1..4), any::<[u8; 32]>())
        .prop_map(|(stanzas, mac)| Header::new(stanzas, mac).unwrap().encode())
}

#[derive(Debug, Clone)]
enum Edit {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    DropLine(prop::sample::Index),
    DoubleLine(prop::sample::Index),
    JoinLine(prop::sample::Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    // Bytes that mean something in a header come more often than others.
    let byte = prop_oneof![prop::sample::select(&b"\n\r ->=A/+w\t\0\xff"[..]), any::<u8>()];
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), byte.clone()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (at(), byte).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        at().prop_map(Edit::Remove),
        at().prop_map(Edit::DropLine),
        at().prop_map(Edit::DoubleLine),
        at().prop_map(Edit::JoinLine),
    ]
}

fn apply(header: &mut Vec<u8>, edit: &Edit) {
    if header.is_empty() {
        return;
    }
    let mut lines: Vec<Vec<u8>> = header.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    match edit {
        Edit::Set(at, byte) => {
            let at = at.index(header.len());
            header[at] = *byte;
            return;
        }
        Edit::Insert(at, byte) => return header.insert(at.index(header.len()), *byte),
        Edit::Remove(at) => {
            header.remove(at.index(header.len()));
            return;
        }
        Edit::DropLine(at) => {
            lines.remove(at.index(lines.len()));
        }
        Edit::DoubleLine(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at].clone());
        }
        Edit::JoinLine(at) => {
            let at = at.index(lines.len());
            lines[at].pop();
        }
    }
    *header = lines.concat();
}

#[test]
fn mutated_headers_are_read_alike() {
    let config = Config { cases: 20_000, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, b"header parsers: one reading only");
    let mut runner = TestRunner::new_with_rng(config, rng);
    let verdicts = RefCell::new(BTreeMap::new());
    let run = runner.run(&(header(), prop::collection::vec(edit(), 0..3)), |(mut header, edits)| {
        edits.iter().for_each(|edit| apply(&mut header, edit));
        *verdicts.borrow_mut().entry(compare(&header)).or_insert(0u32) += 1;
        Ok(())
    });
    run.unwrap();
    // The mutations have to reach both sides of the border, or the comparison says nothing.
    let verdicts = verdicts.into_inner();
    println!("{verdicts:?}");
    assert!(verdicts.get(&Verdict::Both).is_some_and(|&count| count > 2_000), "{verdicts:?}");
    assert!(verdicts.get(&Verdict::Neither).is_some_and(|&count| count > 2_000), "{verdicts:?}");
}

#[test]
fn the_known_differences_are_these() {
    let mac = "--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";
    let of = |stanzas: &str| format!("age-encryption.org/v1\n{stanzas}{mac}").into_bytes();
    let full_line = "A".repeat(64);
    for stanzas in ["-> a\n".to_owned(), format!("-> a\n{full_line}\n")] {
        assert_eq!(compare(&of(&stanzas)), Verdict::OnlyTheirs, "{stanzas:?}");
        assert!(matches!(ours(&of(&stanzas)), Err(HeaderError::MissingFinalLine { .. })));
    }
    assert_eq!(compare(&of(&"-> a\n\n".repeat(MAX_STANZAS))), Verdict::Both);
    assert_eq!(compare(&of(&"-> a\n\n".repeat(MAX_STANZAS + 1))), Verdict::OnlyTheirs);
    assert_eq!(compare(&of("-> scrypt\n\n-> a\n\n")), Verdict::Neither);
    assert_eq!(compare(&of("")), Verdict::Neither);
}
