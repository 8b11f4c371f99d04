//! Traces: what has gone of the stores, and what is there behind a message, for whoever asks where
//! one is. Changes no message.

use std::rc::Rc;

use super::channels::Channels;
use super::drops::Dropped;
use super::one::Store;

/// See the module.
#[derive(Debug)]
pub struct Traces<'a, W> {
    pub(super) channels: &'a Channels<W>,
    pub(super) list: &'a mut [Store],
}

impl<W> Traces<'_, W> {
    /// Whether what goes is noted, for [`Traces::next_drop`]. Not of stores in Redis, where
    /// messages go without our knowing.
    pub fn note_drops(&mut self, notes: bool) {
        for store in &mut *self.list {
            if !matches!(store, Store::Redis(_)) {
                store.memory_mut().drops.note_each(notes);
            }
        }
    }

    /// The next message that has gone.
    pub fn next_drop(&mut self) -> Option<Dropped> {
        self.list.iter_mut().find_map(|store| store.memory_mut().drops.pop())
    }

    /// The name of a channel, as that keeps it itself.
    #[must_use]
    pub fn name(&self, name: &[u8]) -> Option<Rc<[u8]>> {
        self.channels.find(name).map(|(_, channel)| Rc::clone(&channel.name))
    }

    /// How many messages a channel has kept behind the one with this sequence number.
    #[must_use]
    pub fn behind(&self, name: &[u8], sequence: u64) -> u64 {
        let found = self.channels.find(name).and_then(|(_, channel)| {
            Some((self.list[channel.store.index()].memory(), channel.queue?))
        });
        let newest = found.and_then(|(memory, queue)| memory.newest_first(queue).next());
        newest.map_or(0, |newest| newest.sequence.saturating_sub(sequence))
    }
}
