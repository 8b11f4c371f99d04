//! Load that knows what must come of it: publishers and subscribers on the real binary, whose every
//! answer is judged by a model; beside them, clients that misbehave, and a watch on what the daemon
//! holds. `benches/soak.rs` is the command, `tests/soak.rs` a short run of it.

pub(crate) mod body;
pub(crate) mod fire;
pub(crate) mod link;
pub(crate) mod mischief;
pub(crate) mod model;
pub(crate) mod publisher;
pub(crate) mod settings;
pub(crate) mod subscriber;
pub(crate) mod watch;
pub(crate) mod wire;
pub(crate) mod words;
