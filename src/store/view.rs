//! View: what there is in all stores, to look at. Changes nothing, and walks no table.

use super::ask::{ChannelKey, Facts, StoreId};
use super::channels::Channels;
use super::one::Store;
use crate::clock::Now;
use crate::figures::{HubFigures, StoreFigures};

/// See the module.
#[derive(Debug)]
pub struct View<'a, W> {
    pub(super) channels: &'a Channels<W>,
    pub(super) list: &'a [Store],
}

/// A channel among all.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a> {
    /// Its key.
    pub key: ChannelKey,
    /// Its name, with its store's prefix.
    pub name: &'a [u8],
    /// Its store.
    pub store: StoreId,
    /// What publishers are told of it.
    pub facts: Facts,
    /// Of the contents of its messages.
    pub bytes: usize,
}

impl<'a, W> View<'a, W> {
    /// What there is in all stores and what has gone; nothing of held requests.
    #[must_use]
    pub fn figures(&self) -> HubFigures {
        let channels = self.channels.len() as u64;
        let mut all = HubFigures { channels, ..HubFigures::default() };
        self.list.iter().for_each(|store| all.add(&store.memory().figures()));
        all
    }

    /// The numbers of each store in Redis.
    pub fn store_figures(&self, now: Now) -> impl Iterator<Item = StoreFigures> + use<'a, W> {
        self.list.iter().filter_map(move |store| match store {
            Store::Redis(redis) => Some(redis.figures(now)),
            _ => None,
        })
    }

    /// How many slots channels may have.
    #[must_use]
    pub fn channel_slots(&self) -> usize {
        self.channels.slots()
    }

    /// The channel in a slot, if there is one. It keeps its slot for as long as it lives. Of Redis:
    /// as it is known here.
    #[must_use]
    pub fn channel_at(&self, slot: usize, now: Now) -> Option<Listed<'a>> {
        let (key, channel) = self.channels.at(slot)?;
        let memory = self.list[channel.store.index()].memory();
        let bytes = channel.queue.map_or(0, |queue| memory.bytes(queue));
        let facts = channel.facts(memory, now);
        Some(Listed { key, name: &channel.name, store: channel.store, facts, bytes })
    }
}
