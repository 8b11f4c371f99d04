//! The transcripts of `tests/transcripts`: what they say, what they run against, and how. Shared by
//! `tests/protocol` and `tests/parity`.

pub mod corpus;
pub mod in_world;
pub mod part;
pub mod run;
pub mod targets;
mod text;
pub mod transcript;
