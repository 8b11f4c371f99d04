//! Soak: random load on the real daemon. Publishers and subscribers do what chance says, and a
//! model judges every answer; hostile clients run beside them, and the daemon's memory and
//! descriptors are watched. `main.rs` is the command; `tests/soak.rs` of the daemon's package is a
//! short run of it. The API is for this repository only.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a run ends where it cannot go on"
)]

mod body;
mod events;
mod fleet;
mod follower;
mod hostile;
mod link;
mod load;
mod message;
mod model;
mod pool;
mod progress;
mod publisher;
mod rest;
mod run;
mod settings;
mod shared;
mod subscriber;
mod targets;
mod watch;
mod wire;
mod witness;

pub use self::events::{Faults, Seen};
pub use self::fleet::Fleet;
pub use self::load::Load;
pub use self::run::{exactness, several, soak};
pub use self::settings::settings;
pub use self::shared::{Mutation, Options, Tally};
