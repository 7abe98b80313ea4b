//! placeholder
pub mod age_header;
pub mod geometry;
