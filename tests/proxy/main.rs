//! `--allrequests` over real sockets: the real binary between clients and an upstream that these
//! tests play, byte by byte. What belongs where:
//!
//! * `messages`: what passes of heads, and what is added and removed
//! * `bodies`: framing both ways, streams, back-pressure
//! * `faults`: an upstream that is away, silent, wrong or gone
//! * `clients`: those that leave, or stop in the middle
//! * `descriptors`: none left for the upstream
//! * `smuggling`: what must never reach an upstream
//! * `tunnel`: upgrades
//! * `push`: the proxy beside the push locations
//! * `memory`: constant, however much passes

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod bodies;
mod clients;
mod descriptors;
mod faults;
mod memory;
mod messages;
mod push;
mod smuggling;
mod support;
mod tunnel;
