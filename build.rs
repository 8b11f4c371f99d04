//! Build script: the linker's arguments for the command `pushserver`.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build.ld");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|given| given == value);
    // A panic aborts there, so that the tables for unwinding serve backtraces only, and without
    // names of functions there are none worth reading. A build with debug information keeps them.
    if is("PROFILE", "release") && is("DEBUG", "false") && is("CARGO_CFG_TARGET_OS", "linux") {
        let root = env::var("CARGO_MANIFEST_DIR").expect("Cargo sets it");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{root}/build.ld");
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    }
}
