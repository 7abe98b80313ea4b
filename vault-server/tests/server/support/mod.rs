//! Accounts, recordings and signed requests for the tests.

mod attackers;
mod people;
mod recording;
mod server;
mod small_disk;
mod stores;

pub(crate) use attackers::{PATIENT, who_takes_nothing};
pub(crate) use people::{Organisation, Person, Validity, YEAR, at};
pub(crate) use recording::{Draft, header, key_object, statements};
pub(crate) use server::{Answer, Call, NOW, Server, clinic};
pub(crate) use small_disk::SmallDisk;
pub(crate) use stores::{number_in, open_blobs, open_store};
