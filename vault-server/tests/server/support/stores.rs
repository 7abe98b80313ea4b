use std::path::Path;

use vault_proto::ids::{OrganisationId, VaultId};
use vault_server::blob::FileBlobs;
use vault_server::mark::{Mark, MarkFile};
use vault_server::store::SqliteStore;

/// The index in a folder, which is made if there is none.
pub(crate) fn open_store(folder: &Path) -> SqliteStore {
    let path = folder.join("vault.db");
    let marks = MarkFile::open(folder).unwrap().unwrap_or_else(|| {
        let mark = Mark { vault: VaultId::from_bytes([1; 16]), generation: 1, mark: 1 };
        SqliteStore::create(&path, OrganisationId::from_bytes([2; 32]), mark).unwrap();
        MarkFile::create(folder, mark).unwrap()
    });
    SqliteStore::open(&path, marks).unwrap()
}

/// The objects in a folder, which are made if there are none.
pub(crate) fn open_blobs(folder: &Path) -> FileBlobs {
    let root = folder.join("blobs");
    FileBlobs::create(&root).unwrap();
    FileBlobs::open(root, folder.join("leftovers")).unwrap()
}

/// The number that a query of the index in a folder gives.
pub(crate) fn number_in(folder: &Path, sql: &str) -> u32 {
    let database = rusqlite::Connection::open(folder.join("vault.db")).unwrap();
    let mut statement = database.prepare(sql).unwrap();
    let mut rows = statement.query(()).unwrap();
    rows.next().unwrap().unwrap().get(0).unwrap()
}
