#![no_main]

#[path = "../rounds/chunked_body.rs"]
mod chunked_body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| chunked_body::round(data));
