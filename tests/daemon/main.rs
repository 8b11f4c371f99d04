//! The real binary over real sockets, real signals and real files: what no pure test can show.
//!
//! No test sleeps for luck or has a port of its own: each waits for a condition, and fails when
//! it has not come true within [`support::LONG`]. What takes sizes or times to reach has them set
//! small by its settings.

#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(clippy::unwrap_used, reason = "clippy takes helpers of tests for other code")]

mod support;

mod access_log; // --access-log: one line for each request, whatever the request holds
mod command; // arguments, addresses, files and variables that a launcher or systemd uses
mod faults; // clients that break, stall, flood and vanish; streams that are closed
mod limits; // every key of `limits`, and the limit of open files
mod mangled; // requests with errors in them, by chance
mod memory; // memory that comes back and that is bounded, and the counters that show it
mod passthrough; // notices to a backend that answers, fails, hangs or is gone
mod signals; // SIGTERM, SIGINT, SIGHUP: idle, busy, and twice
