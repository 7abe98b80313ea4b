//! Taking recordings home, and checking later that all of them are there (FORMAT.md, "Lists and exports").
//!
//! [`export`] fills a folder or brings it up to date; [`check`] checks one offline.

pub mod catalogue;
mod check;
pub mod fhir;
mod folder;
mod folder_names;
mod kept;
pub(crate) mod objects;
mod opened;
pub mod page;
mod run;
mod sealed;

pub use self::catalogue::Person;
pub use self::check::{CheckedEntry, CheckedExport, DamagedFile, Finding, check, is_export};
pub use self::run::{ExportEvent, ExportRequest, Exported, Form, export};
