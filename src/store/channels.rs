//! Channels: which there are, by key and by name, and when idle ones end. Never looks at messages.

use std::collections::HashSet;

use super::ask::{ChannelKey, ChannelName, Made, StoreId};
use super::channel::Channel;
use super::names::{Names, Table};
use super::tombstones::{Remains, Tombstones};
use crate::clock::Now;
use crate::message::MessageId;
use crate::wheel::Wheel;

/// Channels that are looked at in one turn after a reload: well below a millisecond.
const CHANNELS_AT_ONCE: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Channels<W> {
    table: Table<Channel<W>>,
    names: Names,
    /// The one found last, if it still lives: subscribers of one channel come in crowds, and to
    /// compare its name costs a tenth of hashing it.
    found: Option<ChannelKey>,
    tombstones: Tombstones,
    idle: Wheel<ChannelKey>,
    channels_max: usize,
    /// Names of channels for which a durable store has agreed to write something, until it settles:
    /// there is room for each of them, even if it ends before that is done.
    agreed: HashSet<Box<[u8]>>,
    /// Of these, how many have no channel now.
    reserved: usize,
    /// `channel_timeout` of each store, milliseconds.
    timeouts_ms: Vec<u64>,
    /// After a reload: the first slot whose timer may be later than it should.
    reviewed: Option<usize>,
}

/// Why there is no channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoChannel {
    /// There is none of that name, and it is not to be made.
    Missing,
    /// `limits.channels` is reached.
    TooMany,
}

impl<W: Default> Channels<W> {
    /// None yet. `first_id` stands for all channels of earlier processes.
    pub(super) fn new(channels_max: usize, first_id: MessageId, now: Now) -> Self {
        Self {
            table: Table::default(),
            names: Names::default(),
            found: None,
            tombstones: Tombstones::new(first_id),
            idle: Wheel::new(now.mono_ms),
            channels_max,
            agreed: HashSet::new(),
            reserved: 0,
            timeouts_ms: Vec::new(),
            reviewed: None,
        }
    }

    /// The channel of that name, made if need be.
    pub(super) fn find_or_make(
        &mut self,
        name: ChannelName<'_>,
        create: bool,
        made: Made,
        now: Now,
    ) -> Result<(ChannelKey, &mut Channel<W>), NoChannel> {
        let key = match self.key_of(name.name) {
            Some(key) => key,
            None if !create => return Err(NoChannel::Missing),
            None if !self.has_room_for(0) => return Err(NoChannel::TooMany),
            None => self.make(name, made, now),
        };
        self.found = Some(key);
        Ok(self.used(key, made, now))
    }

    /// The channel of that name, made if need be: that was agreed to before.
    pub(super) fn find_or_make_agreed(
        &mut self,
        name: ChannelName<'_>,
        made: Made,
        now: Now,
    ) -> (ChannelKey, &mut Channel<W>) {
        let key = match self.names.find(name.name, &self.table) {
            Some(key) => key,
            None => self.make(name, made, now),
        };
        self.used(key, made, now)
    }

    /// Takes what is remembered of a channel from before the start. `made`: `None` if it has ended;
    /// its key, if not. One that is there already stays as it is.
    pub(super) fn restore(
        &mut self,
        name: ChannelName<'_>,
        made: Option<Made>,
        remains: Remains,
        now: Now,
    ) -> Option<ChannelKey> {
        match made {
            Some(_) if self.names.find(name.name, &self.table).is_some() => None,
            Some(made) => {
                let key = self.make_with(name, made, remains, now);
                if remains.last != MessageId::default() {
                    self.table.get_mut(key)?.published(remains.last);
                }
                Some(key)
            }
            None => {
                self.tombstones.put(name.name, remains);
                None
            }
        }
    }

    /// A channel whose messages are there from before the start, made if need be.
    pub(super) fn find_or_restore(
        &mut self,
        name: ChannelName<'_>,
        now: Now,
    ) -> (ChannelKey, &mut Channel<W>) {
        let key = match self.names.find(name.name, &self.table) {
            Some(key) => key,
            None => {
                let none = MessageId::default();
                let none = Remains { last: none, lost_through: none };
                let remains = self.tombstones.take(name.name).unwrap_or(none);
                self.make_with(name, Made::ToPublish, remains, now)
            }
        };
        self.used(key, Made::ToPublish, now)
    }

    /// A channel of several daemons, as this one has it from now on.
    pub(super) fn make_mirror(
        &mut self,
        name: ChannelName<'_>,
        remains: Remains,
        now: Now,
    ) -> ChannelKey {
        let key = self.make_with(name, Made::ToWait, remains, now);
        if let Some(channel) = self.get_mut(key) {
            channel.is_mirror = true;
        }
        key
    }

    fn key_of(&self, name: &[u8]) -> Option<ChannelKey> {
        let is_called_so = |key: &ChannelKey| self.get(*key).is_some_and(|one| *one.name == *name);
        self.found.filter(is_called_so).or_else(|| self.names.find(name, &self.table))
    }

    fn used(&mut self, key: ChannelKey, made: Made, now: Now) -> (ChannelKey, &mut Channel<W>) {
        let channel = self.table.get_mut(key).expect("a named channel lives");
        channel.used(made, now);
        (key, channel)
    }

    fn make(&mut self, name: ChannelName<'_>, made: Made, now: Now) -> ChannelKey {
        let before = self.tombstones.take(name.name).unwrap_or(self.tombstones.others());
        self.make_with(name, made, before, now)
    }

    fn make_with(
        &mut self,
        name: ChannelName<'_>,
        made: Made,
        before: Remains,
        now: Now,
    ) -> ChannelKey {
        self.reserved -= usize::from(self.agreed.contains(name.name));
        let channel = Channel::new(name.name.into(), (name.store, made), before, now);
        let key = self.table.insert(Box::new(channel));
        self.names.insert(key, &mut self.table);
        key
    }
}

impl<W> Channels<W> {
    /// Sets the `channel_timeout` of a store, milliseconds.
    pub(super) fn set_timeout(&mut self, store: StoreId, timeout_ms: u64) {
        match self.timeouts_ms.get_mut(store.index()) {
            Some(before) => {
                if timeout_ms < *before {
                    self.reviewed = Some(0);
                }
                *before = timeout_ms;
            }
            None => self.timeouts_ms.push(timeout_ms),
        }
    }

    /// Takes a channel out, and remembers its ids: it has lost messages through `lost_through`.
    pub(super) fn remove(&mut self, key: ChannelKey, lost_through: MessageId) -> Option<W> {
        self.names.remove(key, &mut self.table);
        let Channel { name, last, idle_timer, kept, is_mirror, .. } = *self.table.remove(key)?;
        self.reserved += usize::from(self.agreed.contains(&*name));
        if let Some(timer) = idle_timer {
            self.idle.cancel(timer);
        }
        if !is_mirror {
            self.tombstones.put(&name, Remains { last, lost_through });
        }
        Some(kept)
    }

    /// Begins the time that an idle channel lives; a timer that is set already looks again.
    pub(super) fn begin_idle(&mut self, key: ChannelKey, now: Now) {
        let Some(channel) = self.table.get_mut(key) else { return };
        channel.used_ms = now.mono_ms;
        if channel.idle_timer.is_none() {
            let due_ms = channel.idle_due_ms(self.timeouts_ms[channel.store.index()]);
            channel.idle_timer = Some(self.idle.set(due_ms, key));
        }
    }

    /// A channel whose timer is due.
    pub(super) fn pop_idle(&mut self, now: Now) -> Option<ChannelKey> {
        let key = self.idle.pop_expired(now.mono_ms)?;
        if let Some(channel) = self.table.get_mut(key) {
            channel.idle_timer = None;
        }
        Some(key)
    }

    /// Whether the time of an idle channel is up; if not, sets its timer anew.
    pub(super) fn is_over(&mut self, key: ChannelKey, now: Now) -> bool {
        let Some(channel) = self.table.get_mut(key) else { return false };
        let due_ms = channel.idle_due_ms(self.timeouts_ms[channel.store.index()]);
        if due_ms > now.mono_ms {
            channel.idle_timer = Some(self.idle.set(due_ms, key));
        }
        due_ms <= now.mono_ms
    }

    /// After a reload: brings forward the timers of channels whose `channel_timeout` is shorter
    /// now, a bounded number of channels at once.
    pub(super) fn review(&mut self) {
        let Some(start) = self.reviewed else { return };
        let end = start + CHANNELS_AT_ONCE;
        for index in start..end {
            let Some((key, channel)) = self.table.at_mut(index) else { continue };
            let Some(timer) = channel.idle_timer else { continue };
            let due_ms = channel.idle_due_ms(self.timeouts_ms[channel.store.index()]);
            if self.idle.due_ms(timer).is_some_and(|at_ms| at_ms > due_ms) {
                self.idle.cancel(timer);
                channel.idle_timer = Some(self.idle.set(due_ms, key));
            }
        }
        self.reviewed = (end < self.table.slots()).then_some(end);
    }

    /// What is left of channels called so, where there is none.
    pub(super) fn remains(&self, name: &[u8]) -> Remains {
        self.tombstones.get(name).unwrap_or(self.tombstones.others())
    }

    /// From now on ids of channels that are not remembered are above this one, too.
    pub(super) fn raise(&mut self, last: MessageId) {
        self.tombstones.raise(last);
    }

    /// Whether so many more channels than there are or will be, and one, are within the limit.
    pub(super) fn has_room_for(&self, more: usize) -> bool {
        self.table.len() + self.reserved + more < self.channels_max
    }

    /// Keeps room for channels that a store agrees to, be they there or not, until it settles them.
    pub(super) fn agree(&mut self, names: impl Iterator<Item = Box<[u8]>>) {
        self.agreed.extend(names);
        self.count_reserved();
    }

    /// What a store has agreed to is done, or never will be.
    pub(super) fn settle_agreed(&mut self, store: StoreId) {
        self.agreed.retain(|name| !name.starts_with(&store.prefix()));
        self.count_reserved();
    }

    fn count_reserved(&mut self) {
        let Self { agreed, names, table, .. } = self;
        self.reserved = agreed.iter().filter(|name| names.find(name, table).is_none()).count();
    }

    /// The channel of that name.
    pub(super) fn find(&self, name: &[u8]) -> Option<(ChannelKey, &Channel<W>)> {
        let key = self.names.find(name, &self.table)?;
        Some((key, self.get(key)?))
    }

    pub(super) fn get(&self, key: ChannelKey) -> Option<&Channel<W>> {
        self.table.get(key).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, key: ChannelKey) -> Option<&mut Channel<W>> {
        self.table.get_mut(key).map(Box::as_mut)
    }

    /// The channel in a slot, if there is one: each keeps its own for as long as it lives.
    pub(super) fn at(&self, slot: usize) -> Option<(ChannelKey, &Channel<W>)> {
        self.table.at(slot).map(|(key, channel)| (key, &**channel))
    }

    /// A number of slots beyond which none has a channel.
    pub(super) fn slots(&self) -> usize {
        self.table.slots()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ChannelKey, &Channel<W>)> {
        self.table.iter().map(|(key, channel)| (key, &**channel))
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn timers(&self) -> usize {
        self.idle.len()
    }

    /// When there is something to do, milliseconds.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        if self.reviewed.is_some() { Some(0) } else { self.idle.next_deadline() }
    }

    pub(super) fn shrink(&mut self) {
        self.table.shrink();
        self.names.shrink();
        self.agreed.shrink_to_fit();
        self.idle.shrink();
    }

    pub(super) fn check_invariants(&self) {
        assert_eq!(self.names.len(), self.table.len(), "one name for each channel");
        for (key, channel) in self.iter() {
            assert_eq!(self.names.find(&channel.name, &self.table), Some(key));
        }
    }

    #[cfg(test)]
    pub(super) fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }
}
