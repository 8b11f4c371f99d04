//! What the store asks of Redis, on a real `redis-server`, with a clock and a network that are
//! those of the machine. A test that misses the program fails and says so.

mod in_memory;
mod link;
mod lives;
mod model;
mod refusals;
mod scripts;
mod sentinel;
mod store;
mod wire;
