//! What tests and benches share: they start the daemon, speak to it, and stand in for what it
//! speaks to. Everything is the real binary over real sockets, but for `world`, which is apart.
//! Each wait is for a condition, and has an end; nothing here judges what the daemon does.

#![allow(dead_code, unused_imports, reason = "each uses a part; tests/tidy looks for the rest")]
#![allow(clippy::unwrap_used, reason = "clippy takes helpers of tests for other code")]

mod answer;
mod backend;
mod channels;
mod client;
mod counters;
mod daemon;
mod directory;
mod settings;
mod upstream;
mod vitals;

use std::thread;
use std::time::{Duration, Instant};

pub(crate) use answer::{Answer, header};
pub(crate) use backend::{Backend, Manner};
pub(crate) use client::{Client, post, request, uninterrupted};
pub(crate) use counters::{SIZES, counters};
pub(crate) use daemon::{Daemon, Start};
pub(crate) use settings::{limits, merge, settings, subscriber};
pub(crate) use upstream::{Absent, Upstream};

/// How long anything may take; only a failing test takes so long.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < LONG, "in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
