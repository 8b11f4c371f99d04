#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pushserver_testkit::rounds::token::round(data));
