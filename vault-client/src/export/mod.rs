//! Taking recordings home, and checking later that all of them are there (FORMAT.md, "Lists and exports").
//!
//! [`export`] fills a folder or brings it up to date; [`check`] checks one offline. What an export holds is a [`Catalogue`]; of it
//! are made the page that a browser opens from the disk ([`page`]) and the FHIR bundles that other systems read ([`bundle`]).

mod catalogue;
#[cfg(test)]
mod catalogue_fixture;
mod check;
mod fhir;
mod file_address;
mod folder;
mod folder_names;
mod inert_text;
mod kept;
pub(crate) mod objects;
mod opened;
mod page;
mod run;
mod sealed;
mod wording;

pub use self::catalogue::{Catalogue, ExportedFile, ExportedRecording, ExportedStatus, Person};
pub use self::check::{CheckedEntry, CheckedExport, DamagedFile, Finding, check, is_export};
pub use self::fhir::{FhirVersion, bundle};
pub use self::page::page;
pub use self::run::{ExportEvent, ExportRequest, Exported, Form, export};
