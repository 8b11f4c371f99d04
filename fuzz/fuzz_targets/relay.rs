#![no_main]

#[path = "../rounds/relay/mod.rs"]
mod relay;

libfuzzer_sys::fuzz_target!(|data: &[u8]| relay::round(data));
