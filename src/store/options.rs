//! Options of a store. Built by `config`, checked there, never checked again.

use super::{memory, redis};

/// One store's settings, and those of the channels in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// What the memory store keeps.
    pub memory: memory::Options,
    /// How long a channel made by a message outlives its last message and held request,
    /// milliseconds.
    pub channel_timeout_ms: u64,
    /// Where its messages are. A reload changes what a redis store is told, and nothing else of it.
    pub kind: StoreKind,
}

/// Where the messages of a store are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreKind {
    /// In memory.
    Memory,
    /// In memory, and written down (`persist`).
    Durable,
    /// In Redis; the memory is a mirror of the newest ones.
    Redis(Box<redis::options::Options>),
}
