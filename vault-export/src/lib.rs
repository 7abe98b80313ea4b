//! Taking recordings home, and checking later that all of them are there (FORMAT.md, "Lists and exports").
//!
//! [`export`] fills a folder or brings it up to date; [`check`] checks one offline. What an export holds is a
//! [`Catalogue`]; of it are made the page that a browser opens from the disk ([`page`]) and the FHIR bundles that other
//! systems read ([`bundle`]). What is made knows no files, and what writes files makes nothing.

mod files;
mod layout;
mod made;

pub use self::files::check::{CheckedEntry, CheckedExport, DamagedFile, Finding, check, is_export};
pub use self::files::export::{ExportRequest, Exported, export};
pub use self::files::run::ExportEvent;
pub use self::layout::Form;
pub use self::made::catalogue::{Catalogue, ExportedFile, ExportedRecording, ExportedStatus, Person};
pub use self::made::fhir::{FhirVersion, bundle};
pub use self::made::page::page;
