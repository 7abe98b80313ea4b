//! Writes where fuzzing begins: a folder for each parser, into the folder that is named.

use std::io::{self, Write};
use std::path::Path;
use std::{env, fs};

use vault_tests::fuzz::parsers::PARSERS;
use vault_tests::fuzz::seeds::{found, seeds};

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: fuzz-seeds FOLDER"))?;
    for (parser, _) in PARSERS {
        let folder = Path::new(&folder).join(parser);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds(parser).into_iter().chain(found(parser)).enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
        // One name a line: what there is to fuzz.
        writeln!(io::stdout(), "{parser}")?;
    }
    Ok(())
}
