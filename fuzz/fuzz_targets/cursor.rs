#![no_main]

#[path = "../rounds/cursor.rs"]
mod cursor;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cursor::round(data));
