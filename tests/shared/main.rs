//! Daemons whose store is in Redis: the real binary with a real `redis-server`, alone and several
//! of them, and what their clients see when Redis or the way to it fails. A test that misses the
//! program fails and says so.
//!
//! Figures are those of the specification where a busy machine can keep them: of several tries the
//! second best where answers may come late, a wider bound where it says so.

#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(clippy::unwrap_used, reason = "clippy takes helpers of tests for other code")]

mod away; // Redis is killed, frozen, behind a silent network, busy, read-only, loading, …
mod crowd; // clients that are there before, while and after Redis is away
mod many; // more than may be under way, and publishers that go
mod places; // where Redis is, whose rights suffice there, and other settings
mod proxy; // a network between the daemon and Redis, as bad as a test wants it
mod refusing; // it is there, and refuses all or some: no memory, no rights, rubbish, …
mod restarts; // another Redis answers: with its data or without, or the one that a sentinel names
mod scene; // settings, and short ways to ask
#[cfg(feature = "tls")]
mod secure; // Redis by TLS, with good certificates and bad ones
mod several; // daemons that share one Redis, and clients that change between them
mod slow; // 80 ms to Redis, and 80 back

/// The daemon under test.
const BINARY: &str = env!("CARGO_BIN_EXE_pushserver");
