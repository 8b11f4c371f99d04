//! What there is in the hub, counted: for figures and for tests.

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
