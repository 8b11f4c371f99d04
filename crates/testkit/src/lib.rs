//! What the tests, benches and fuzz targets of this repository share. Its API is for this
//! repository only: it changes with the tests.
//!
//! 1. [`wait`], [`random`]: conditions with a deadline; the one source of chance.
//! 2. [`answer`], [`judge`]: one strict reader of HTTP/1.1 answers, and what it says of a whole
//!    connection.
//! 3. [`client`], [`stream`], [`upstream`], [`backend`]: both ends of real sockets.
//! 4. [`directory`], [`mod@settings`], [`daemon`], [`vitals`], [`mod@counters`]: the real binary.
//! 5. [`network`], [`node`], [`peer`], [`record`]: the relay without sockets, in the order of the
//!    reactor.
//! 6. [`redis`], [`fake_redis`]: a real `redis-server`, and one in memory.
//! 7. [`tokens`]: what an application signs.
//! 8. [`transcripts`], [`rounds`]: what is shown of the protocol; what a fuzzer tries.
//!
//! Nothing here checks what the daemon does, except the bytes of its answers.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails where it cannot go on"
)]

pub mod answer;
pub mod backend;
pub mod client;
pub mod counters;
pub mod daemon;
pub mod directory;
pub mod disk;
mod django;
pub mod fake_redis;
mod figures;
pub mod judge;
pub mod network;
pub mod node;
mod notices;
pub mod peer;
mod queues;
pub mod random;
pub mod record;
pub mod redis;
pub mod rounds;
pub mod settings;
pub mod stream;
pub mod tokens;
pub mod transcripts;
pub mod upstream;
pub mod vitals;
pub mod wait;

pub use answer::{Answer, header};
pub use backend::{Backend, Manner};
pub use client::{Client, post, request, uninterrupted};
pub use counters::{SIZES, counters};
pub use daemon::{Daemon, Start};
pub use django::{Django, Taking};
pub use network::Network;
pub use random::Random;
pub use record::Happened;
pub use redis::Redis;
pub use settings::{limits, merge, settings, subscriber};
pub use stream::Stream;
pub use upstream::{Absent, Upstream};
pub use wait::{LONG, until};
