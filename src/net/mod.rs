//! (being written)

pub mod error;
pub mod holder;
pub mod listener;
pub mod options;
pub mod passthrough;
pub mod signals;
pub mod stdin;
pub mod warnings;
