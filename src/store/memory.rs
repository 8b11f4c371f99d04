//! (being written)

/// The settings of one memory store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Expiry by time never goes below this many newest messages of a channel.
    pub min_messages: usize,
    /// The newest so many messages of a channel are kept; 0 = unlimited.
    pub max_messages: usize,
    /// How long a message is kept, milliseconds; 0 = for ever.
    pub message_timeout_ms: u64,
    /// Budget of the whole store, bytes.
    pub max_memory: usize,
}
