//! Accounts, recordings and signed requests for the tests.

mod people;
mod recording;
mod server;

pub(crate) use people::{Organisation, Person, Validity, at};
pub(crate) use recording::{Draft, header};
pub(crate) use server::{Answer, Call, NOW, Server};
