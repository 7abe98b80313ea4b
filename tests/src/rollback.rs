//! What somebody who holds the server's disk does besides putting an older or an edited index there.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// Makes the mark of the objects fit the index of a stopped server, so that the server takes an index that it would
/// refuse: the mark guards against accidents, not against whoever can write it.
pub fn match_mark(data: &Path) {
    let database = Connection::open_with_flags(data.join("vault.db"), OpenFlags::SQLITE_OPEN_READ_WRITE)
        .expect("the index opens");
    let (mark, commits): (i64, i64) = database
        .query_row("SELECT mark, commits FROM vault", (), |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("it has a mark");
    let path = data.join("blobs/mark");
    let text = std::fs::read(&path).expect("the objects have a mark");
    let mut file: serde_json::Value = serde_json::from_slice(&text).expect("the mark is JSON");
    *file.get_mut("mark").expect("a number") = mark.into();
    std::fs::write(&path, file.to_string()).expect("the mark is written");
    std::fs::write(data.join("blobs/commits"), format!("{commits:020}\n")).expect("the count is written");
}
