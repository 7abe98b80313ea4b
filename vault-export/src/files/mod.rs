//! The folder of an export: filled from a server, brought up to date, checked offline.

pub(crate) mod check;
pub(crate) mod export;
mod folder;
mod kept;
mod objects;
mod opened;
pub(crate) mod run;
mod sealed;
mod single_file;
mod sums;
