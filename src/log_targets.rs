//! Log targets: the names by which lines of one kind are switched on and off together. Every other
//! line has its module's path as its target.

/// The access log: one line for each answer, with `--access-log`.
pub const ACCESS: &str = "pushserver::access";

/// The counters that SIGUSR1 asks for.
pub const COUNTERS: &str = "pushserver::counters";
