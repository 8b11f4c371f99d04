//! Stores: what channels there are and which messages they keep. Sans-io, and never sees a
//! subscriber or a connection.
//!
//! The hub asks ([`Ask`]) and goes on with the [`Reply`], whether that comes at once or later. It
//! keeps a `W` of its own with each channel (its waiting subscribers), so that one look-up by name
//! finds both; a store never looks at it, and is only told whether somebody waits.

mod ahead;
mod ask;
mod channel;
mod channels;
mod drops;
mod durable;
pub mod memory;
mod names;
mod one;
mod options;
mod record;
pub mod redis;
#[cfg(feature = "testing")]
mod slow;
mod tombstones;
mod traces;
mod view;

use std::rc::Rc;

use self::channels::Channels;
use self::memory::asks::{Asks, gap_among};
use self::one::{Store, due_ms};
use self::redis::link;
use crate::clock::Now;
use crate::message::{Cursor, MessageId, Order};

pub use self::ask::{
    Answer, Ask, AskAll, ChannelKey, ChannelName, Facts, Gap, Made, Named, Owed, Reply, Start,
    StoreId, Ticket,
};
pub use self::drops::{Dropped, Gone};
pub use self::memory::Memory;
pub use self::options::{StoreKind, StoreOptions};
pub use self::record::{Batch, ChannelRecord, MessageRecord, Outcome, Restored};
#[cfg(feature = "testing")]
pub use self::slow::{Fate, Loss};
pub use self::traces::Traces;
pub use self::view::{Listed, View};

/// Idle channels that are removed at once: less than a millisecond.
const TIMERS_AT_ONCE: usize = 512;

/// See the module.
#[derive(Debug)]
pub struct Stores<W> {
    channels: Channels<W>,
    /// A [`StoreId`] is an index into it.
    list: Vec<Store>,
    /// Every id given out is above it.
    first_id: MessageId,
}

impl<W: Default> Stores<W> {
    /// No store yet, for at most so many channels. Every id given out is above `first_id`.
    #[must_use]
    pub fn new(channels_max: usize, first_id: MessageId, now: Now) -> Self {
        let channels = Channels::new(channels_max, first_id, now);
        Self { channels, list: Vec::new(), first_id }
    }

    /// Asks the store that has the channel called `name`.
    pub fn ask(&mut self, name: ChannelName<'_>, ask: Ask<'_>, now: Now) -> Answer<W> {
        let Self { channels, list, .. } = self;
        let (memory, ask) = match &mut list[name.store.index()] {
            Store::Memory(memory) => (memory, ask),
            Store::Durable(durable) => match durable.ask(name, ask) {
                Ok(answer) => return answer,
                Err(ask) => (durable.memory_mut(), ask),
            },
            Store::Redis(redis) => return redis.ask(channels, name, ask, now),
            #[cfg(feature = "testing")]
            Store::Slow(slow) => {
                return slow.ask(name.store, slow::Question::one(name.name, ask));
            }
        };
        Answer::Now(Asks { channels, memory, now }.answer(name, ask))
    }

    /// Asks a store about channels of it, for somebody who counts in this order.
    pub fn ask_all(
        &mut self,
        store: StoreId,
        order: Order,
        ask: AskAll<'_>,
        now: Now,
    ) -> Answer<W> {
        let Self { channels, list, .. } = self;
        let memory = match &mut list[store.index()] {
            Store::Redis(redis) => return redis.ask_all(channels, order, ask, now),
            #[cfg(feature = "testing")]
            Store::Slow(slow) => return slow.ask(store, slow::Question::all(order, ask)),
            store => store.memory_mut(),
        };
        Answer::Now(Asks { channels, memory, now }.answer_all(store, order, ask))
    }

    /// The next answer that comes late, with its ticket. `None` for a ticket: the caller's answer
    /// is lost, but what it tells of the channel has happened.
    pub fn next_reply(&mut self, now: Now) -> Option<(Option<Ticket>, Reply<W>)> {
        let Self { channels, list, .. } = self;
        each(list).find_map(|(id, store)| match store {
            Store::Memory(_) => None,
            Store::Durable(durable) => durable.next_reply(id, channels, now),
            Store::Redis(redis) => redis::next_reply(redis, channels, now),
            #[cfg(feature = "testing")]
            Store::Slow(slow) => slow.next_reply(channels, now),
        })
    }

    /// What a store has to write down next; [`Stores::written`] gives it back.
    pub fn next_batch(&mut self, now: Now) -> Option<Batch> {
        let Self { channels, list, .. } = self;
        each(list).find_map(|(id, store)| match store {
            Store::Durable(durable) => durable.next_batch(id, channels, now),
            _ => None,
        })
    }

    /// A batch was written down, or could not be.
    pub fn written(&mut self, batch: Batch, outcome: Outcome) {
        if let Some(Store::Durable(durable)) = self.list.get_mut(batch.store().index()) {
            durable.take_back(batch, outcome);
        }
    }

    /// Takes what an earlier process has written down of a durable store, one thing after the
    /// other in the order of [`Restored`]; then [`Stores::restored`].
    pub fn restore(&mut self, store: StoreId, restored: Restored, now: Now) {
        let Self { channels, list, .. } = self;
        if let Some(Store::Durable(durable)) = list.get_mut(store.index()) {
            durable.restore(store, restored, channels, now);
        }
    }

    /// Everything is restored.
    pub fn restored(&mut self, now: Now) {
        let Self { channels, list, .. } = self;
        for store in list {
            if let Store::Durable(durable) = store {
                durable.restored(channels, now);
            }
        }
    }

    /// Takes what the network tells of the connection that a store has dialled last.
    pub fn handle_input(&mut self, store: StoreId, input: link::Input<'_>, now: Now) {
        if let Some(Store::Redis(redis)) = self.list.get_mut(store.index()) {
            redis.handle_input(input, now);
        }
    }

    /// Sends what waits for a connection of a store. Once a turn, behind everything that asks.
    /// `is_followed`: whether somebody follows the next channel of a name.
    pub fn flush(&mut self, is_followed: impl Fn(&[u8]) -> bool, now: Now) {
        let Self { channels, list, .. } = self;
        for store in list {
            if let Store::Redis(redis) = store {
                redis.flush(channels, &is_followed, now);
            }
        }
    }

    /// What a store wants of the network next.
    pub fn poll_link(&mut self) -> Option<(StoreId, link::Output)> {
        each(&mut self.list).find_map(|(id, store)| match store {
            Store::Redis(redis) => Some((id, redis.poll_output()?)),
            _ => None,
        })
    }

    /// Nobody waits for this answer any more.
    pub fn forget(&mut self, ticket: Ticket) {
        if let Some(Store::Redis(redis)) = self.list.get_mut(ticket.store().index()) {
            redis.forget(ticket);
        }
    }

    /// From now on the stores take time: `fates` says what becomes of the questions to each.
    #[cfg(feature = "testing")]
    pub fn slow_down(&mut self, fates: &[Fate]) {
        let stores = std::mem::take(&mut self.list);
        let slow = |store| match store {
            Store::Memory(memory) => Store::Slow(slow::Slow::new(memory, fates.to_vec())),
            other => other,
        };
        self.list = stores.into_iter().map(slow).collect();
    }
}

impl<W> Stores<W> {
    /// Takes other settings, every message is kept. A store beyond the end of the list keeps its
    /// settings.
    pub fn reload(&mut self, stores: Vec<StoreOptions>, now: Now) {
        for (index, options) in stores.into_iter().enumerate() {
            let id = StoreId(u16::try_from(index).expect("fewer than 2^16 stores"));
            self.channels.set_timeout(id, options.channel_timeout_ms);
            match self.list.get_mut(index) {
                Some(store) => {
                    store.reload(options, now);
                    self.asks(id, now).settle_emptied();
                }
                None => self.list.push(Store::new(id, options, self.first_id)),
            }
        }
    }

    /// Notes whether anybody waits on a channel. One made to wait on ends when nobody does.
    pub fn set_waited(&mut self, key: ChannelKey, waited: bool, now: Now) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.waited = waited;
        if !waited {
            let store = channel.store;
            self.asks(store, now).settle(key);
        }
    }

    /// Whether anybody waits on a channel, as [`Stores::set_waited`] was told.
    #[must_use]
    pub fn is_waited(&self, key: ChannelKey) -> bool {
        self.channels.get(key).is_some_and(|channel| channel.waited)
    }

    /// What the hub keeps with a channel, if that exists.
    pub fn kept_mut(&mut self, key: ChannelKey) -> Option<&mut W> {
        self.channels.get_mut(key).map(|channel| &mut channel.kept)
    }

    /// What the hub keeps with a channel, if that exists.
    #[must_use]
    pub fn kept(&self, key: ChannelKey) -> Option<&W> {
        self.channels.get(key).map(|channel| &channel.kept)
    }

    /// Every channel, and what the hub keeps with it.
    pub fn iter(&self) -> impl Iterator<Item = (ChannelKey, &W)> {
        self.channels.iter().map(|(key, channel)| (key, &channel.kept))
    }

    /// What is missing between a cursor and a message of a channel that had lost messages through
    /// `lost_through` when it was published. Asks nobody: tells what is known here.
    #[must_use]
    pub fn gap(
        &self,
        channel: ChannelKey,
        cursor: Cursor,
        lost_through: MessageId,
        sequence: u64,
    ) -> Gap {
        if cursor.is_oldest() || lost_through <= cursor.id() {
            return Gap::NONE;
        }
        let known = self.channels.get(channel).and_then(|channel| {
            let memory = self.list[channel.store.index()].memory();
            channel.queue.map(|queue| memory.gap(queue, cursor, sequence))
        });
        known.unwrap_or(Gap::Unknown)
    }

    /// What is missing on these channels of one store between a cursor in the order of the store
    /// and a place. Asks nobody, as [`Stores::gap`].
    #[must_use]
    pub fn gap_among(&self, channels: &[ChannelKey], cursor: Cursor, until: MessageId) -> Gap {
        let store = channels.iter().find_map(|key| Some(self.channels.get(*key)?.store));
        store.map_or(Gap::NONE, |store| {
            let memory = self.list[store.index()].memory();
            gap_among(&self.channels, memory, channels, cursor, until)
        })
    }

    /// The name of a channel.
    #[must_use]
    pub fn name(&self, key: ChannelKey) -> Option<&Rc<[u8]>> {
        self.channels.get(key).map(|channel| &channel.name)
    }

    /// When [`Stores::handle_timeout`] has something to do, milliseconds.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let expiry = self.list.iter().map(Store::memory).filter_map(due_ms).min();
        let others = self.list.iter().filter_map(Store::due_ms);
        [expiry, self.channels.next_deadline(), others.min()].into_iter().flatten().min()
    }

    /// Drops messages and channels whose time is up, a bounded number of them:
    /// [`Stores::poll_timeout`] tells whether there are more.
    pub fn handle_timeout(&mut self, now: Now) {
        self.channels.review();
        for store in &mut self.list {
            store.begin_turn(now);
            let memory = store.memory_mut();
            if due_ms(memory).is_some_and(|due_ms| due_ms <= now.mono_ms) {
                memory.expire(now.mono_ms);
                Asks { channels: &mut self.channels, memory, now }.settle_emptied();
            }
        }
        for _ in 0..TIMERS_AT_ONCE {
            let Some(key) = self.channels.pop_idle(now) else { return };
            let Some(channel) = self.channels.get(key) else { continue };
            let (store, name) = (channel.store, Rc::clone(&channel.name));
            self.asks(store, now).idle_timed_out(key);
            if let Store::Redis(redis) = &mut self.list[store.index()]
                && self.channels.get(key).is_none()
            {
                redis.channel_ended(&name, now);
            }
        }
    }

    /// What has gone, and what has not.
    pub fn traces(&mut self) -> Traces<'_, W> {
        let Self { channels, list, .. } = self;
        Traces { channels, list }
    }

    /// Timers that are set.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.channels.timers()
    }

    /// The longest content of a message that a store takes, bytes.
    #[must_use]
    pub fn message_bytes_max(&self, store: StoreId) -> usize {
        self.list[store.index()].content_bytes_max()
    }

    /// Bytes in a store, as they count against its budget.
    #[must_use]
    pub fn used_bytes(&self, store: StoreId) -> usize {
        self.list[store.index()].memory().used_bytes()
    }

    /// To look at what there is.
    #[must_use]
    pub fn view(&self) -> View<'_, W> {
        View { channels: &self.channels, list: &self.list }
    }

    fn asks(&mut self, store: StoreId, now: Now) -> Asks<'_, W> {
        let Self { channels, list, .. } = self;
        Asks { channels, memory: list[store.index()].memory_mut(), now }
    }

    /// Gives back the room that tables do not need any more. Looks at every slot.
    pub fn shrink(&mut self) {
        self.channels.shrink();
        self.list.iter_mut().for_each(Store::shrink);
    }

    #[cfg(test)]
    pub(crate) fn tombstones(&self) -> &tombstones::Tombstones {
        self.channels.tombstones()
    }

    #[cfg(test)]
    pub(crate) fn find(&self, name: &[u8]) -> Option<ChannelKey> {
        self.channels.find(name).map(|(key, _)| key)
    }

    /// Compares the tables with each other; for tests.
    ///
    /// # Panics
    /// Where they disagree, which is a bug.
    pub fn check_invariants(&self) {
        self.channels.check_invariants();
    }
}

/// All stores with their ids.
fn each(list: &mut [Store]) -> impl Iterator<Item = (StoreId, &mut Store)> {
    list.iter_mut().zip(0..).map(|(store, id)| (StoreId(id), store))
}
