//! Options of a memory store. Built by `config`, checked there, never checked again.

/// The settings of one memory store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Expiry by time never goes below this many newest messages of a channel.
    pub min_messages: usize,
    /// The newest so many messages of a channel are kept; 0 = unlimited.
    pub max_messages: usize,
    /// How long a message is kept, milliseconds; 0 = for ever.
    pub message_timeout_ms: u64,
    /// Budget of the whole store, bytes: bodies, content types, and
    /// [`MESSAGE_OVERHEAD`](super::MESSAGE_OVERHEAD) for each message. Never exceeded.
    pub max_memory: usize,
    /// Messages that are dropped at once, by expiry or with their channel, so that nobody waits for
    /// a hundred thousand to go; at least 1.
    pub dropped_at_once: usize,
}
