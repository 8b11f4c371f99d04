//! Asks: how a question about a channel is answered from the memory of its store, and which
//! channels end with that.

use std::borrow::Cow;
use std::collections::BinaryHeap;
use std::rc::Rc;

use super::Memory;
use crate::clock::Now;
use crate::message::{Content, Cursor, First, Message, MessageId, Order};
use crate::store::ask::{
    Ask, AskAll, ChannelKey, ChannelName, Gap, Made, Owed, Reply, Start, StoreId,
};
use crate::store::channels::{Channels, NoChannel};
use crate::store::record::{ChannelRecord, MessageRecord};

/// See the module.
pub(in crate::store) struct Asks<'a, W> {
    pub(in crate::store) channels: &'a mut Channels<W>,
    /// Of one store; only questions about its channels are asked.
    pub(in crate::store) memory: &'a mut Memory,
    pub(in crate::store) now: Now,
}

impl<W: Default> Asks<'_, W> {
    /// Answers a question about the channel called `name`, and settles the channels it emptied.
    pub(in crate::store) fn answer(&mut self, name: ChannelName<'_>, ask: Ask<'_>) -> Reply<W> {
        let answer = match ask {
            Ask::Append { content, create, keep } => self.append(name, create, (content, keep)),
            Ask::Next(start) => self.next(name, start),
            Ask::Create => self.create(name),
            Ask::Inspect => self.inspect(name),
            Ask::Delete => self.delete(name),
        };
        answer.unwrap_or_else(|no_channel| match no_channel {
            NoChannel::Missing => Reply::Missing { name: None },
            NoChannel::TooMany => Reply::TooManyChannels,
        })
    }

    /// Answers a question about channels of a store.
    pub(in crate::store) fn answer_all(
        &mut self,
        store: StoreId,
        order: Order,
        ask: AskAll<'_>,
    ) -> Reply<W> {
        if order == Order::Store {
            self.memory.notes_places = true;
        }
        match ask {
            AskAll::Follow(names, start) => self.follow(store, order, names, start),
            AskAll::Read(channels, cursor) => {
                let owed = self.owed(order, channels, cursor);
                Reply::Followed { channels: Box::default(), cursor, owed }
            }
        }
    }

    fn append(
        &mut self,
        name: ChannelName<'_>,
        create: bool,
        (content, keep): (Content<Cow<'_, [u8]>>, bool),
    ) -> Result<Reply<W>, NoChannel> {
        let Self { channels, memory, now } = self;
        if keep && content.bytes() > memory.content_bytes_max() {
            return Ok(Reply::TooLarge);
        }
        let (key, channel) = channels.find_or_make(name, create, Made::ToPublish, *now)?;
        let (MessageId { time, tag }, place) = memory.numbering.next(channel.last, now.unix_s);
        let sequence = memory.sequence(channel.queue);
        let content = content.into();
        let message = Message { time, tag, number: place.tag, sequence, content };
        Ok(self.publish(key, message, keep))
    }

    /// Publishes a message that is written down.
    pub(in crate::store) fn append_written(
        &mut self,
        store: StoreId,
        record: MessageRecord,
        keep: bool,
    ) -> Reply<W> {
        let Self { channels, memory, now } = self;
        let name = &store.name_of(&record.channel);
        let name = ChannelName { store, name };
        let (key, channel) = channels.find_or_make_agreed(name, Made::ToPublish, *now);
        let message = record.message(memory.sequence(channel.queue));
        self.publish(key, message, keep)
    }

    /// Makes a channel that is written down.
    pub(in crate::store) fn create_written(&mut self, store: StoreId, name: &[u8]) -> Reply<W> {
        let name = ChannelName { store, name };
        let (key, _) = self.channels.find_or_make_agreed(name, Made::OnRequest, self.now);
        self.settle(key);
        self.answer(name, Ask::Inspect)
    }

    /// Takes a message that was written down before the start; `false`: it takes none that does not
    /// come after all that its channel has, or has lost.
    pub(in crate::store) fn restore(&mut self, store: StoreId, record: MessageRecord) -> bool {
        let Self { channels, memory, now } = self;
        let name = &store.name_of(&record.channel);
        let (key, channel) = channels.find_or_restore(ChannelName { store, name }, *now);
        let lost_through = channel.lost_through(memory);
        let newest = channel.queue.and_then(|queue| memory.newest_first(queue).next());
        if record.id() <= newest.map_or(lost_through, |newest| newest.id()) {
            self.settle(key);
            return false;
        }
        channel.restored(record.id(), record.before);
        let forgotten = channel.forgotten;
        let queue = *channel.queue.get_or_insert_with(|| memory.open(key, forgotten));
        let age_ms = now.unix_s.saturating_sub(record.place.time).saturating_mul(1000);
        let message = record.message(memory.sequence(Some(queue)));
        memory.append(queue, message, now.mono_ms.saturating_sub(age_ms));
        // One that is more than the budget now is lost.
        memory.make_room(0);
        self.settle_emptied();
        true
    }

    /// Publishes a message that has its id.
    pub(in crate::store) fn publish(
        &mut self,
        key: ChannelKey,
        message: Message,
        keep: bool,
    ) -> Reply<W> {
        let Self { channels, memory, now } = self;
        let channel = channels.get_mut(key).expect("its caller has found it");
        channel.published(message.id());
        let message = if keep {
            let forgotten = channel.forgotten;
            let queue = *channel.queue.get_or_insert_with(|| memory.open(key, forgotten));
            memory.append(queue, message, now.mono_ms)
        } else {
            Rc::new(message)
        };
        let lost_through = channel.lost_through(memory);
        let facts = channel.facts(memory, *now);
        self.settle_emptied();
        if !keep {
            self.settle(key);
        }
        Reply::Appended { channel: key, message, kept: keep, lost_through, facts }
    }

    fn next(&mut self, name: ChannelName<'_>, start: Start) -> Result<Reply<W>, NoChannel> {
        let Start { mut cursor, first, create, waits } = start;
        // Made for one that does not wait, it would end at once.
        let made = self.channels.find_or_make(name, create && waits, Made::ToWait, self.now);
        let (key, channel) = match made {
            Err(NoChannel::Missing) if create => {
                if cursor.is_oldest() && first != First::Oldest {
                    cursor = match first {
                        First::Since(id) => self.since(id, MessageId::default()),
                        _ => self.second_before(),
                    };
                }
                return Ok(Reply::Nothing { channel: None, last: cursor.id(), cursor });
            }
            made => made?,
        };
        channel.asked_ms = Some(self.now.mono_ms);
        let (last, queue) = (channel.last, channel.queue);
        if cursor.is_oldest() && first != First::Oldest {
            cursor = self.begin(Order::Channel, &[key], first);
        }
        let found = match queue {
            // Most have seen the last one: no message is looked at.
            Some(queue) if cursor.wants(last) => self.memory.after(queue, cursor),
            _ => None,
        };
        Ok(match found {
            Some((message, gap)) => Reply::Found { message, gap },
            None => Reply::Nothing { channel: Some(key), last, cursor },
        })
    }

    fn follow(&mut self, store: StoreId, order: Order, names: &[&[u8]], start: Start) -> Reply<W> {
        let Start { mut cursor, first, create, waits } = start;
        if !create
            && let Some(missing) = names.iter().find(|name| self.channels.find(name).is_none())
        {
            return Reply::Missing { name: Some((*missing).into()) };
        }
        let mut found = Vec::with_capacity(names.len());
        let mut is_full = false;
        for name in names {
            let name = ChannelName { store, name };
            match self.channels.find_or_make(name, create && waits, Made::ToWait, self.now) {
                Ok((key, channel)) => {
                    channel.asked_ms = Some(self.now.mono_ms);
                    found.push(key);
                }
                Err(NoChannel::Missing) => {}
                Err(NoChannel::TooMany) => is_full = true,
            }
        }
        if is_full {
            found.into_iter().for_each(|key| self.settle(key));
            return Reply::TooManyChannels;
        }
        if cursor.is_oldest() && first != First::Oldest {
            cursor = self.begin(order, &found, first);
        }
        let owed = self.owed(order, &found, cursor);
        Reply::Followed { channels: found.into(), cursor, owed }
    }

    fn create(&mut self, name: ChannelName<'_>) -> Result<Reply<W>, NoChannel> {
        let (key, _) = self.channels.find_or_make(name, true, Made::OnRequest, self.now)?;
        self.settle(key);
        self.inspect(name)
    }
}

impl<W> Asks<'_, W> {
    /// Where a subscriber without a cursor begins.
    fn begin(&self, order: Order, keys: &[ChannelKey], first: First) -> Cursor {
        let channels = keys.iter().filter_map(|key| self.channels.get(*key));
        match first {
            First::Oldest => Cursor::OLDEST,
            First::Newest if order == Order::Store => {
                Cursor::at(self.memory.numbering.newest_seen())
            }
            First::Newest => {
                let before = self.second_before();
                channels.map(|channel| channel.newest(before)).next().unwrap_or(before)
            }
            First::Last(count) => {
                let queues = channels.filter_map(|channel| channel.queue);
                let newest = queues.map(|queue| self.memory.newest_first(queue));
                // Where there are none, its next poll must not begin with the newest of then.
                before_newest(newest.collect(), order, count)
                    .unwrap_or_else(|| self.begin(order, keys, First::Newest))
            }
            First::Since(id) => {
                let newest = match order {
                    Order::Channel => channels.map(|channel| channel.last).max(),
                    Order::Store => Some(self.memory.numbering.newest_seen()),
                };
                self.since(id, newest.unwrap_or_default())
            }
        }
    }

    /// Behind an id that is not ahead of this store, whose newest is `newest`: what is published
    /// from now on lies behind it.
    fn since(&self, id: MessageId, newest: MessageId) -> Cursor {
        let second = self.memory.numbering.second_seen(self.now.unix_s);
        let is_ahead = id > newest && id.time >= second;
        if is_ahead { self.second_before() } else { Cursor::at(id) }
    }

    /// Where somebody begins who wants what is published from now on, on a channel without
    /// messages.
    fn second_before(&self) -> Cursor {
        let second = self.memory.numbering.second_seen(self.now.unix_s);
        Cursor::at(MessageId { time: second.saturating_sub(1), tag: 0 })
    }

    /// The first message after a cursor on these channels, and what is missing before it.
    fn owed(&self, order: Order, channels: &[ChannelKey], cursor: Cursor) -> Option<Owed> {
        if let ([key], Order::Channel) = (channels, order) {
            let (message, gap) = self.memory.after(self.channels.get(*key)?.queue?, cursor)?;
            let name = Rc::clone(&self.channels.get(*key)?.name);
            return Some(Owed { message, gap, counts_ids: false, name });
        }
        let there = channels.iter().filter_map(|key| {
            let channel = self.channels.get(*key)?;
            let message = self.memory.after_place(channel.queue?, cursor)?;
            Some((message, &channel.name))
        });
        let (message, name) = there.min_by_key(|(message, _)| message.place())?;
        let message = Rc::clone(message);
        let gap = gap_among(self.channels, self.memory, channels, cursor, message.place());
        Some(Owed { message, gap, counts_ids: false, name: Rc::clone(name) })
    }

    fn inspect(&self, name: ChannelName<'_>) -> Result<Reply<W>, NoChannel> {
        let (key, channel) = self.channels.find(name.name).ok_or(NoChannel::Missing)?;
        Ok(Reply::Exists { channel: Some(key), facts: channel.facts(self.memory, self.now) })
    }

    fn delete(&mut self, name: ChannelName<'_>) -> Result<Reply<W>, NoChannel> {
        let (key, channel) = self.channels.find(name.name).ok_or(NoChannel::Missing)?;
        let facts = channel.facts(self.memory, self.now);
        let kept = self.remove(key).ok_or(NoChannel::Missing)?;
        Ok(Reply::Deleted { channel: key, facts, kept })
    }

    /// Settles the channels whose last message went.
    pub(in crate::store) fn settle_emptied(&mut self) {
        let Self { channels, memory, .. } = self;
        memory.drops.name(|key| channels.get(key).map(|channel| Rc::clone(&channel.name)));
        while let Some(owner) = self.memory.next_emptied() {
            self.note(owner, false);
            self.settle(owner);
        }
    }

    /// Removes a channel that nothing keeps alive, or sets the timer that will.
    pub(in crate::store) fn settle(&mut self, key: ChannelKey) {
        let channel = self.channels.get(key).filter(|channel| channel.is_idle(self.memory));
        match channel.map(|channel| (channel.made, channel.is_mirror)) {
            None => {}
            Some((Made::ToWait, false)) => drop(self.remove(key)),
            Some(_) => self.channels.begin_idle(key, self.now),
        }
    }

    /// Removes a channel whose timer was due, if nothing has kept it alive meanwhile.
    pub(in crate::store) fn idle_timed_out(&mut self, key: ChannelKey) {
        let is_idle = self.channels.get(key).is_some_and(|channel| channel.is_idle(self.memory));
        if is_idle && self.channels.is_over(key, self.now) {
            self.remove(key);
        }
    }

    /// Notes what is remembered of a channel, where that is written down; `has_ended`: the channel
    /// has.
    fn note(&mut self, key: ChannelKey, has_ended: bool) {
        let Some(mut notes) = self.memory.list.notes.take() else { return };
        let record = self.channels.get(key).and_then(|channel| channel.record(self.memory));
        notes.channels.extend(
            record
                .map(|record| ChannelRecord { made: record.made.filter(|_| !has_ended), ..record }),
        );
        self.memory.list.notes = Some(notes);
    }

    /// Removes a channel with its messages; gives what the hub kept with it.
    pub(in crate::store) fn remove(&mut self, key: ChannelKey) -> Option<W> {
        self.note(key, true);
        let channel = self.channels.get(key)?;
        let (lost_through, queue) = (channel.lost_through(self.memory), channel.queue);
        if let Some(queue) = queue {
            self.memory.close(queue, &channel.name);
        }
        self.channels.remove(key, lost_through)
    }
}

/// Just before the newest `count` of all these messages, each list newest first; `None`: there are
/// no messages.
fn before_newest<'m>(
    mut lists: Vec<impl Iterator<Item = &'m Rc<Message>>>,
    order: Order,
    count: u32,
) -> Option<Cursor> {
    let mut heads: BinaryHeap<(MessageId, usize)> = BinaryHeap::new();
    let count_of_lists = lists.len();
    let mut go_on = |heads: &mut BinaryHeap<_>, index: usize| {
        heads.extend(lists[index].next().map(|message| (message.id_in(order), index)));
    };
    let mut first = None;
    (0..count_of_lists).for_each(|index| go_on(&mut heads, index));
    for _ in 0..count {
        let Some((id, index)) = heads.pop() else { break };
        first = Some(id);
        go_on(&mut heads, index);
    }
    first.map(Cursor::before)
}

/// What is lost of these channels between a cursor in the order of the store and a place.
pub(in crate::store) fn gap_among<W>(
    all: &Channels<W>,
    memory: &Memory,
    channels: &[ChannelKey],
    cursor: Cursor,
    until: MessageId,
) -> Gap {
    let channels = channels.iter().filter_map(|key| all.get(*key));
    let gaps = channels.map(|channel| match channel.queue {
        Some(queue) => memory.gap_between(queue, cursor, until),
        None if cursor.is_oldest() => Gap::NONE,
        None if cursor.id() < memory.numbering.last_place_of(channel.forgotten) => Gap::Unknown,
        None => Gap::NONE,
    });
    gaps.fold(Gap::NONE, Gap::and)
}
