//! `--allrequests` over real sockets: the real binary between clients and an upstream that these
//! tests play, byte by byte. What belongs where:
//!
//! * `messages`: what passes of heads, and what is added and removed
//! * `bodies`: framing both ways, streams, back-pressure
//! * `early`: answers before the request is whole, `Expect: 100-continue`
//! * `faults`: an upstream that is away, silent, wrong or gone
//! * `clients`: those that leave, or stop in the middle
//! * `descriptors`: none left for the upstream
//! * `smuggling`: what must never reach an upstream
//! * `tunnel`: upgrades
//! * `fields`: what is mended, counted down, vouched for, replaced
//! * `handover`: messages that the upstream hands over to a publisher location
//! * `push`: the proxy beside the push locations
//! * `memory`: constant, however much passes
//! * `machine`: without sockets, so wherever bytes are split and whenever something is due

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod bodies;
mod clients;
mod descriptors;
mod early;
mod faults;
mod fields;
mod handover;
mod machine;
#[cfg(target_os = "linux")]
mod memory;
mod messages;
mod push;
mod smuggling;
mod tunnel;

use pushserver_testkit::{Daemon, Start, Upstream, merge};
use serde_json::{Value, json};

/// The daemon under test.
const BINARY: &str = env!("CARGO_BIN_EXE_pushserver");

/// A daemon in front of an upstream, with these further settings.
#[track_caller]
fn start(upstream: &str, more: Value) -> Daemon {
    let mut settings = json!({"allrequests": upstream});
    merge(&mut settings, more);
    Daemon::start(BINARY, settings)
}

/// A daemon that logs each dial that fails.
#[track_caller]
fn verbose(upstream: &str) -> Daemon {
    Start::with(BINARY, json!({"allrequests": upstream})).args(["-v"]).start()
}

/// A daemon in front of `upstream`.
#[track_caller]
fn before(upstream: &Upstream) -> Daemon {
    start(&upstream.url(), json!({}))
}

/// A request without a body.
fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

/// A small answer.
fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
