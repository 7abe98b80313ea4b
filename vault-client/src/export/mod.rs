//! Taking recordings home, and checking later that all of them are there (FORMAT.md, "Lists and exports").
//!
//! [`export`] fills a folder or brings it up to date; [`check`] checks one offline. What stands in its files is made by
//! `vault-export`, which knows no files; what writes them makes nothing.

mod check;
mod filling;
mod folder;
mod kept;
mod objects;
mod opened;
mod run;
mod sealed;
mod single_file;

pub use vault_export::{ExportedStatus, Form};

pub use self::check::{CheckedEntry, CheckedExport, DamagedFile, Finding, check, is_export};
pub use self::filling::{ExportRequest, Exported, export};
pub use self::run::ExportEvent;
