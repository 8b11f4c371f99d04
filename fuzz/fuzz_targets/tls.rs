#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pushserver::net::talk::play(data));
