//! Rounds of the fuzz targets: each takes the bytes of one input, and panics where something does
//! not hold that its module names. `fuzz/fuzz_targets` and `tests/fuzz_corpus.rs` call them.

pub mod chunked_body;
pub mod config;
pub mod cursor;
pub mod frames;
pub mod relay;
pub mod request_head;
pub mod resp;
pub mod shared;
pub mod token;
