//! A storage server that lies on purpose, for the real client to refuse.
//!
//! [`HostileServer`] is the real `vault-server`, its router and its stores, behind a listener that changes requests and
//! answers as the [`Fault`]s say that are switched on. Whoever operates a server can do all of this: nothing here needs
//! a secret key, except where a fault says that a reader colludes. It exists in this package only; nothing of it is
//! compiled into the released server.

mod answers;
mod directory;
mod fault;
mod forged_age;
mod objects;
mod server;
mod store_view;

pub use fault::{Fault, FaultKind};
pub use forged_age::{ForgedKey, body_for_two_keys, forge_header, payload_key, seal_chunk};
pub use objects::{Objects, SegmentObjects, edit_payload};
pub use server::{Canned, HostileServer, Seen};
