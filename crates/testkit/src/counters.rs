//! Counters: the figures that the daemon writes into its log at SIGUSR1.

use std::collections::BTreeMap;

use crate::daemon::Daemon;
use crate::wait::until;

/// Counters that are 0 when nobody is there and nothing is kept.
pub const SIZES: [&str; 11] = [
    "connections",
    "upstreams",
    "held",
    "fanouts",
    "channels",
    "messages",
    "message_bytes",
    "uploads",
    "upload_bytes",
    "timers",
    "passthrough_queue",
];

/// Asks the daemon for its counters: everything that is counted, by name.
///
/// # Panics
/// If it writes none, or anything else but numbers.
#[track_caller]
pub fn counters(daemon: &Daemon) -> BTreeMap<String, u64> {
    let lines = || daemon.log().into_iter().filter(|line| line.contains("event=counters"));
    let before = lines().count();
    daemon.signal("USR1");
    until("the counters are logged", || lines().count() > before);
    let line = lines().next_back().expect("waited for");
    let (_, fields) = line.split_once("event=counters ").expect("it begins so");
    let number = |field: &str| {
        let (name, value) = field.split_once('=').expect("key=value");
        (name.to_owned(), value.parse().expect("an unsigned integer"))
    };
    fields.split(' ').map(number).collect()
}
