//! Whose keys: the directory, believed as far as the pinned root and this home's pins allow, and two people who compare
//! them.

pub mod compare;
pub mod directory;
