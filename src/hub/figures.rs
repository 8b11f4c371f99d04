//! Figures of the hub: plain counters, and how the log writes them. Never counts by itself.

use std::fmt;

use super::waiters::Waiters;
use crate::store::{Memory, Stores};

/// What there is in the hub and its stores, and what has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubFigures {
    /// Requests that are held.
    pub held: u64,
    /// Fan-outs in progress.
    pub fanouts: u64,
    /// Channels that exist.
    pub channels: u64,
    /// Messages in all stores.
    pub messages: u64,
    /// What these count against the budgets, bytes.
    pub message_bytes: u64,
    /// Messages that went because their time was up, since the start.
    pub expired: u64,
    /// Messages that went because of a limit, since the start.
    pub evicted: u64,
}

/// A channel: its entry, its name, its queue.
const CHANNEL_BYTES: u64 = 400;

/// A subscription, its timer, its place on the channel.
const HOLD_BYTES: u64 = 120;

impl HubFigures {
    pub(super) fn of(held: usize, fanouts: usize, stores: &Stores<Waiters>) -> Self {
        let sum = |count: fn(&Memory) -> usize| stores.memories().map(count).sum::<usize>();
        Self {
            held: held as u64,
            fanouts: fanouts as u64,
            channels: stores.channels() as u64,
            messages: sum(Memory::messages) as u64,
            message_bytes: sum(Memory::used_bytes) as u64,
            expired: stores.memories().map(Memory::expired).sum(),
            evicted: stores.memories().map(Memory::evicted).sum(),
        }
    }

    /// About how much memory all this needs, bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.message_bytes + self.channels * CHANNEL_BYTES + self.held * HOLD_BYTES
    }
}

/// `key=value`, with spaces between.
impl fmt::Display for HubFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { held, fanouts, channels, messages, message_bytes, expired, evicted } = self;
        write!(f, "held={held} fanouts={fanouts} channels={channels} messages={messages} ")?;
        write!(f, "message_bytes={message_bytes} expired={expired} evicted={evicted}")
    }
}
