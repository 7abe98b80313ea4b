//! What others publish to test with, and what was written down before: outside vectors of every primitive, outside
//! programs that open and seal, the committed vectors of docs/FORMAT.md, and changed inputs for every parser.

mod age_bech32;
mod bip39;
mod cctv_age;
mod format_document;
mod format_vectors;
mod fuzz_smoke;
mod interop;
mod ml_kem;
mod registry_package;
mod x25519;
mod x_wing;
