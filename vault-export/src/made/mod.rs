//! What is made of an export's [`Catalogue`](catalogue::Catalogue): bytes with names, without a file, a clock or a
//! network.

pub(crate) mod catalogue;
#[cfg(test)]
mod catalogue_fixture;
pub mod documents;
pub(crate) mod fhir;
mod file_address;
pub mod folder_names;
mod inert_text;
pub(crate) mod page;
mod wording;
