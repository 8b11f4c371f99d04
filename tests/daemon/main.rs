//! The real binary over real sockets, real signals and real files: what no pure test can show.
//!
//! No test sleeps for luck or has a port of its own: each waits for a condition, and fails when it
//! has not come true within [`pushserver_testkit::LONG`]. What takes sizes or times to reach has
//! them set small by its settings.

#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(clippy::unwrap_used, reason = "clippy takes helpers of tests for other code")]

mod access_log; // --access-log: one line for each request, whatever the request holds
#[cfg(target_os = "linux")]
mod clock; // the wall clock is set back
mod command; // arguments, addresses, files and variables that a launcher or systemd uses
mod descriptors; // none left: for connections, and for those to come
mod faults; // clients that break, stall, flood and vanish
mod hostile; // clients that mean harm to the log, to its reader, to the application
mod hosts;
mod inspector; // DNS rebinding: whose names are served at a loopback address
#[cfg(target_os = "linux")]
mod interrupted; // the client of these tests, by a signal
mod killed; // kill -9 while messages are on their way to a store that survives a restart
mod limits; // every key of `limits`
mod mangled; // requests with errors in them, by chance
mod memory; // memory that comes back and that is bounded, and the counters that show it
mod origins; // web pages whose origin is not listed, in the log
mod passthrough; // notices to a backend that answers, fails, hangs or is gone
#[cfg(feature = "persist")]
mod persist;
mod presence; // who is on a channel, as Django is told and as a status location says // a store's file: kills, a full disk, a second daemon
mod reload; // SIGHUP: idle, busy, with good and bad settings
mod revoking; // access that is taken back
mod secrets; // of settings and of requests: shown to nobody
mod signals; // SIGTERM and SIGINT: idle, busy, and twice
mod slow_streams; // streams whose clients do not read, fall silent or go
mod status;
mod streams; // standard streams that are closed, full, slow or without a reader
mod tokens; // signed URLs: the user to Django, keys that change, what is counted and shown
mod websocket; // RFC 6455: each group of rules, whole and byte by byte

/// The daemon under test.
const BINARY: &str = env!("CARGO_BIN_EXE_pushserver");
