//! (being written)

pub mod options;
pub mod passthrough;
pub mod warnings;
