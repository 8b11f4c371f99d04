//! Log targets: the names by which lines of one kind are switched on and off together. Every other
//! line has its module's path as its target.

use std::sync::atomic::AtomicU64;

/// The access log: one line for each answer, with `--access-log`.
pub const ACCESS: &str = "pushserver::access";

/// The counters that SIGUSR1 asks for.
pub const COUNTERS: &str = "pushserver::counters";

/// Lines that were dropped since the start, of any target.
pub static DROPPED: AtomicU64 = AtomicU64::new(0);
