//! TLS on the port of plain HTTP: with clients that others have written, and with one that does
//! what a client should not. A test that misses such a program fails and says so.

#![cfg(feature = "tls")]
#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(clippy::unwrap_used, reason = "clippy takes helpers of tests for other code")]

mod certificates; // the one for development, files, and a reload
mod client; // TLS that a test holds in its hand
mod clients; // curl, OpenSSL, Python, Node, Java
mod ends; // close_notify, half-closes, cuts
mod hostile; // slow, stalled, mangled and overlong ones
mod notices; // passthrough to https
mod one_port; // which of the two a connection is, and what the application is told

use std::fs;

use serde_json::{Value, json};

use pushserver_testkit::{Daemon, Start, merge, settings};

/// The daemon under test.
const BINARY: &str = env!("CARGO_BIN_EXE_pushserver");

/// A daemon with a certificate for development, of its own.
fn secure(more: Value) -> Daemon {
    start(more).start()
}

fn start(more: Value) -> Start {
    let mut settings = settings();
    merge(&mut settings, json!({"certificate": "development"}));
    merge(&mut settings, more);
    let start = Start::with(BINARY, settings);
    let state = start.file("state");
    fs::create_dir(&state).unwrap();
    let state = state.to_str().unwrap().to_owned();
    start.env("XDG_STATE_HOME", &state)
}

/// The file with the daemon's certificate.
fn trusted(daemon: &Daemon) -> String {
    daemon.file("state/pushserver/localhost.pem").to_str().unwrap().to_owned()
}
