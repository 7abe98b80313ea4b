//! What the tests of the workspace share: the builder and the checker of the format's test vectors.

pub mod vectors;
