//! The one client of the storage server, for apps and for the command line.
//!
//! * an account: [`account`] makes, unlocks and enrols it in a [`home`]; [`registrar`] certifies it offline;
//! * whose keys to seal to: [`directory`], fail closed; what is remembered of them: [`pins`]; what they are called: [`names`];
//! * [`compare`] lets two people find out that they see the same keys;
//! * [`upload`] seals a source of unknown length into the server as one pipeline of flat memory, and goes on where a process
//!   that died left off;
//! * [`download`] fetches, checks and opens; [`listing`] shows what is there; [`seen`] remembers which recording an id names;
//! * [`export`] is what a person takes home.
//!
//! Nothing the server says is believed beyond what signed statements and this home's pins prove.

pub mod account;
pub mod compare;
pub mod connection;
pub mod directory;
pub mod download;
pub mod error;
pub mod export;
pub mod home;
pub mod listing;
pub mod media;
pub mod media_type;
pub mod names;
pub mod own_list;
pub mod pins;
pub mod registrar;
pub mod remote_track;
pub mod seekable_file;
pub mod seen;
pub mod upload;

pub use error::ClientError;
