//! (being written)

pub mod location;
pub mod notice;
pub mod options;
