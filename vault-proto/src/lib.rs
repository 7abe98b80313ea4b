//! What the storage server of the recording vault may know.
//!
//! Ids, signed statements, the grammar of sealed headers, the geometry of parts, the wire types and the problem codes.
//! Nothing here can decrypt: no secret key type exists in this crate, and the server links no other crate of the
//! project. Endpoints add `vault-core` on top.
//!
//! The normative documents are `docs/FORMAT.md` (bytes) and `docs/PROTOCOL.md` (HTTP); each module names its section.

pub mod age_header;
pub mod base64;
pub mod byte_ranges;
pub mod compare;
pub mod envelope;
pub mod geometry;
pub mod grants;
pub mod http_signature;
pub mod ids;
pub mod key_chain;
mod key_ids;
pub mod key_object;
pub mod labels;
pub mod members;
pub mod named_statements;
pub mod object;
pub mod problem;
pub mod recording;
pub mod recording_list;
pub mod revocation_entries;
pub mod sealed_header;
#[cfg(test)]
mod signing_fixture;
pub mod statements;
pub mod timestamp;
pub mod tree;
pub mod trust;
pub mod wire;
