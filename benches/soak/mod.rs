//! Load that knows what must come of it: publishers and subscribers on the real binary, whose every
//! answer is judged by a model; beside them, clients that misbehave, and a watch on what the daemon
//! holds. `benches/soak.rs` is the command, `tests/soak.rs` a short run of it.

pub(crate) mod body;
pub(crate) mod fire;
pub(crate) mod link;
pub(crate) mod mischief;
pub(crate) mod model;
pub(crate) mod publisher;
#[path = "../../tests/simulation/random.rs"]
pub(crate) mod random;
pub(crate) mod settings;
pub(crate) mod subscriber;
#[path = "../../tests/support/mod.rs"]
pub(crate) mod support;
pub(crate) mod watch;
pub(crate) mod wire;
pub(crate) mod words;
