#![no_main]

#[path = "../rounds/config.rs"]
mod config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| config::round(data));
