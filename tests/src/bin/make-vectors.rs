//! Writes the test vectors of docs/FORMAT.md that are not there yet. What is there is never changed: vectors only
//! append.

use std::io::{self, Write};

use vault_tests::vectors::{folder, scenarios, write};

fn main() -> io::Result<()> {
    let root = folder();
    let mut written = 0;
    for scenario in scenarios() {
        if !root.join(&scenario.name).exists() {
            write(&root, &scenario)?;
            written += 1;
        }
    }
    writeln!(io::stdout(), "{written} new scenarios in {}", root.display())
}
