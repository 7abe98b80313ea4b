//! Recordings that a person takes home: a folder that needs neither this program nor a server to be watched.
//!
//! A [`Catalogue`] says what was exported. The same catalogue makes the page that a browser opens from the disk ([`page`]) and the
//! FHIR bundles that other systems read ([`bundle`]).

mod catalogue;
mod fhir;
mod file_address;
mod inert_text;
mod known_media;
mod page;
mod wording;

pub use catalogue::{Catalogue, ExportedFile, ExportedRecording, ExportedStatus, Person};
pub use fhir::{FhirVersion, bundle};
pub use page::page;

#[cfg(test)]
mod catalogue_fixture;
