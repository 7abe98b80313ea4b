//! What a person takes home: every file of an export, made of what the engine has opened (FORMAT.md, "Lists and
//! exports").
//!
//! What an export holds is a [`Catalogue`]; of it are made the page that a browser opens from the disk ([`page`]), the
//! FHIR bundles that other systems read ([`bundle`]), and all other [`documents`]. Everything here turns values into
//! bytes with names, or checks such bytes ([`signed`]); whoever has files reads and writes them.

pub mod layout;
mod made;
pub mod signed;
pub mod sums;

pub use self::layout::Form;
pub use self::made::catalogue::{Catalogue, ExportedFile, ExportedRecording, ExportedStatus, Person};
pub use self::made::fhir::{FhirVersion, bundle};
pub use self::made::page::page;
pub use self::made::{documents, folder_names};
