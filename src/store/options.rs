//! Options of a store. Built by `config`, checked there, never checked again.

use super::memory;

/// One store's settings, and those of the channels in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// What the memory store keeps.
    pub memory: memory::Options,
    /// How long a channel made by a message outlives its last message and held request,
    /// milliseconds.
    pub channel_timeout_ms: u64,
    /// Whether it writes down what it keeps (`persist`). A reload does not change it.
    pub is_durable: bool,
}
