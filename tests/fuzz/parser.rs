//! libFuzzer's entry: the parser that `FUZZ_PARSER` names.
#![no_main]

#[path = "../src/fuzz/parsers.rs"]
mod parsers;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static PARSER: OnceLock<parsers::Parser> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("FUZZ_PARSER").expect("FUZZ_PARSER names a parser");
        let (_, parser) = parsers::PARSERS.iter().find(|(known, _)| *known == name).expect("FUZZ_PARSER names none");
        PARSER.get_or_init(|| *parser);
    },
    |data: &[u8]| {
        if let Some(parser) = PARSER.get() {
            parser(data);
        }
    }
);
