//! What there is in the hub, counted: for figures and for tests.

use std::fmt;

use super::Hub;
use crate::store::StoreId;

impl Hub {
    /// Requests that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.subscriptions.len()
    }

    /// Channels that exist.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Timers that are set.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.wheel.len()
    }

    /// Bytes in a store, as they count against its budget.
    #[must_use]
    pub fn used_bytes(&self, store: StoreId) -> usize {
        self.stores[store.0 as usize].memory.used_bytes()
    }

    /// Messages in all stores.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.stores.iter().map(|store| store.memory.messages()).sum()
    }

    /// What the messages in all stores count for, bytes.
    fn message_bytes(&self) -> usize {
        self.stores.iter().map(|store| store.memory.used_bytes()).sum()
    }

    /// The numbers of the hub, to be written to the log.
    #[must_use]
    pub fn counted(&self) -> Counted<'_> {
        Counted(self)
    }

    /// About how much memory all this needs, bytes. Costs nothing to ask.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.message_bytes() + self.channels() * CHANNEL_BYTES + self.held() * HOLD_BYTES
    }

    /// Gives back the room that tables do not need any more. Looks at every slot.
    pub fn shrink(&mut self) {
        self.channels.shrink();
        self.names.shrink_to_fit();
        self.subscriptions.shrink();
        self.fanouts.shrink();
        self.wheel.shrink();
        self.outputs.shrink_to(0);
        for store in &mut self.stores {
            store.memory.shrink();
        }
    }

    /// Compares the tables with each other; for tests.
    ///
    /// # Panics
    /// Where they disagree, which is a bug.
    pub fn check_invariants(&self) {
        assert_eq!(self.names.len(), self.channels.len(), "one name for each channel");
        let mut waiting = 0;
        for (key, channel) in self.channels.iter() {
            assert_eq!(self.names.get(&channel.name), Some(&key));
            waiting += channel.waiting.len();
            for (slot, subscription) in channel.waiting.iter().enumerate() {
                let held = self.subscriptions.get(*subscription).expect("who waits is held");
                assert_eq!((held.slot as usize, held.epoch), (slot, channel.epoch));
            }
        }
        assert!(waiting <= self.subscriptions.len(), "who is held waits or is being woken");
        if self.fanouts.is_empty() {
            assert_eq!(waiting, self.subscriptions.len(), "who is held waits");
        }
    }
}

/// A channel: its entry, its name, its queue.
const CHANNEL_BYTES: usize = 400;

/// A subscription, its timer, its place on the channel.
const HOLD_BYTES: usize = 120;

/// The numbers of a hub and its stores: `key=value`, with spaces between.
#[derive(Debug)]
pub struct Counted<'h>(&'h Hub);

impl fmt::Display for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(hub) = self;
        let memories = || hub.stores.iter().map(|store| &store.memory);
        let bytes = hub.message_bytes();
        let expired: u64 = memories().map(crate::store::Memory::expired).sum();
        let evicted: u64 = memories().map(crate::store::Memory::evicted).sum();
        write!(f, "held={} fanouts={} ", hub.held(), hub.fanouts.len())?;
        write!(f, "channels={} messages={} ", hub.channels(), hub.messages())?;
        write!(f, "message_bytes={bytes} expired={expired} evicted={evicted}")
    }
}
