//! Memory: the messages of one store, oldest first, within limits by number, age and bytes. Has no
//! clock and no timers: it takes the time and says when to call again.
//!
//! All messages of a store share one timeout, so the order in which they came is also the order in
//! which they expire and in which they go when memory is short: one list serves both. A message
//! that expires, or goes with its channel, is invisible at once; its memory is freed in bounded
//! steps.

pub(super) mod asks;
mod list;
mod lost;
mod numbering;
mod options;
mod queue;

use std::rc::Rc;

use slab::Slab;

use self::list::{List, Node, cost};
use self::lost::Lost;
use self::numbering::Numbering;
use self::queue::Queue;
use super::ask::{ChannelKey, Gap};
use super::drops::{Drops, Gone};
use crate::figures::HubFigures;
use crate::message::{Cursor, Message, MessageId, Order};

pub use self::list::MESSAGE_OVERHEAD;
pub use self::options::Options;
pub use self::queue::QueueId;

/// See the module.
#[derive(Debug)]
pub struct Memory {
    options: Options,
    pub(in crate::store) numbering: Numbering,
    /// Somebody follows channels in the order of the store: from then on the places of what is lost
    /// are noted too; what was lost before is unknown.
    pub(in crate::store) notes_places: bool,
    pub(in crate::store) list: List,
    queues: Slab<Queue>,
    /// Queues that were closed with more messages than are dropped at once.
    closed: Vec<QueueId>,
    /// Messages whose time was up at this time are gone for everybody, though some may still have
    /// to be dropped; milliseconds.
    expired_at_ms: u64,
    /// Whether there are messages to drop, by `closed` or by `expired_at_ms`.
    is_behind: bool,
    /// Owners of queues that the last calls emptied.
    emptied: Vec<ChannelKey>,
    /// What went by itself, since the start.
    pub(in crate::store) drops: Drops,
}

impl Memory {
    /// An empty store. Every place that it gives is above `first_id`.
    #[must_use]
    pub fn new(options: Options, first_id: MessageId) -> Self {
        Self {
            options,
            numbering: Numbering::new(first_id),
            notes_places: false,
            list: List::default(),
            queues: Slab::new(),
            closed: Vec::new(),
            expired_at_ms: 0,
            is_behind: false,
            emptied: Vec::new(),
            drops: Drops::default(),
        }
    }

    /// Takes other limits. The budget holds at once, the others from the next message and the next
    /// expiry on.
    pub fn reload(&mut self, options: Options) {
        // What is gone must not come back with a longer time.
        self.drop_gone(usize::MAX);
        self.options = options;
        self.list.rewind_expiring();
        self.make_room(0);
    }

    /// A queue for a channel. Messages up to `forgotten` went with an earlier queue of that
    /// channel; 0 if there was none.
    pub fn open(&mut self, owner: ChannelKey, forgotten: MessageId) -> QueueId {
        let lost = (forgotten != MessageId::default())
            .then(|| Lost::after(forgotten, self.numbering.last_place_of(forgotten)));
        QueueId::at(self.queues.insert(Queue::new(owner, lost)))
    }

    /// A queue for a channel that others have, too: messages up to `kept` are not here.
    pub(in crate::store) fn open_mirror(&mut self, owner: ChannelKey, kept: MessageId) -> QueueId {
        // Who has come to this second has had them, or was told that they are gone.
        let place = MessageId { tag: 0, ..kept };
        let lost = (kept != MessageId::default()).then(|| Lost::after(kept, place));
        QueueId::at(self.queues.insert(Queue::new(owner, lost)))
    }

    /// Removes a queue with all its messages. Where they are many, [`Memory::expire`] has the rest.
    /// `name`: of its channel.
    pub fn close(&mut self, queue: QueueId, name: &Rc<[u8]>) {
        let Self { queues, list, drops, .. } = self;
        let nodes = queues[queue.index()].nodes().iter().rev();
        drops.note_deleted(name, nodes.map(|node| list.node(*node).message.id()));
        self.closed.push(queue);
        // Only closed queues: the caller does not poll `next_emptied` here.
        let is_done = (0..self.options.dropped_at_once).any(|_| !self.drop_one_closed());
        self.is_behind |= !is_done;
    }

    /// How many messages a queue has had.
    pub(in crate::store) fn sequence(&self, queue: Option<QueueId>) -> u64 {
        queue.map_or(0, |queue| self.queues[queue.index()].sequence)
    }

    /// Keeps a message, at the cost of older ones where a limit is reached.
    pub fn append(&mut self, queue: QueueId, message: Message, now_ms: u64) -> Rc<Message> {
        self.make_room(cost(&message.content));
        let message = Rc::new(message);
        let node = self.list.push(queue, Rc::clone(&message), now_ms);
        self.queues[queue.index()].push(node, message.content.bytes());
        self.trim(queue, now_ms);
        message
    }

    /// From now on every message whose time is up is gone, but for the `min_messages` newest of
    /// each queue. Drops a bounded number of them; to be called again while [`Memory::is_behind`].
    pub fn expire(&mut self, now_ms: u64) {
        self.expired_at_ms = now_ms;
        self.is_behind = true;
        self.drop_gone(self.options.dropped_at_once);
    }

    /// The owner of a queue that lost its last message since this was asked before.
    pub fn next_emptied(&mut self) -> Option<ChannelKey> {
        self.emptied.pop()
    }

    /// Gives back the room of tables behind their last entries. Looks at every slot: for when many
    /// messages have gone.
    pub fn shrink(&mut self) {
        self.list.shrink();
        self.queues.shrink_to_fit();
        self.closed.shrink_to_fit();
        self.emptied.shrink_to_fit();
    }

    /// The longest content that is within the budget if it were alone, bytes: nothing longer may be
    /// given to [`Memory::append`].
    #[must_use]
    pub fn content_bytes_max(&self) -> usize {
        self.options.max_memory.saturating_sub(MESSAGE_OVERHEAD)
    }

    /// The first message after `cursor`, and what lies lost between.
    #[must_use]
    pub fn after(&self, queue: QueueId, cursor: Cursor) -> Option<(Rc<Message>, Gap)> {
        let entry = &self.queues[queue.index()];
        if !cursor.wants(self.at(*entry.nodes().back()?).id()) {
            return None;
        }
        let first = self.seen(entry, Order::Channel, cursor);
        let there = first.max(self.gone(entry));
        let found = self.at(*entry.nodes().get(there)?);
        let gap = match &entry.lost {
            _ if there > first => self.gap(queue, cursor, found.sequence),
            Some(lost) if first == 0 => lost.gap(cursor, found.sequence),
            _ => Gap::NONE,
        };
        Some((Rc::clone(found), gap))
    }

    /// What lies lost between `cursor` and a message with this sequence number, where no message
    /// between them is still there.
    #[must_use]
    pub fn gap(&self, queue: QueueId, cursor: Cursor, sequence: u64) -> Gap {
        let entry = &self.queues[queue.index()];
        let lost = match &entry.lost {
            Some(lost) if cursor.id() < lost.through() => return lost.gap(cursor, sequence),
            _ if !self.is_behind || cursor.is_oldest() => return Gap::NONE,
            _ => self.seen(entry, Order::Channel, cursor)..self.gone(entry),
        };
        let first = entry.nodes().get(lost.start).filter(|_| !lost.is_empty());
        first.map_or(Gap::NONE, |node| {
            Gap::Messages(sequence.saturating_sub(self.at(*node).sequence))
        })
    }

    /// The first message behind the place where a cursor stands.
    #[must_use]
    pub fn after_place(&self, queue: QueueId, cursor: Cursor) -> Option<&Rc<Message>> {
        let entry = &self.queues[queue.index()];
        let there = self.seen(entry, Order::Store, cursor).max(self.gone(entry));
        entry.nodes().get(there).map(|node| self.at(*node))
    }

    /// What is lost of a queue between two places, both excluded.
    #[must_use]
    pub fn gap_between(&self, queue: QueueId, cursor: Cursor, until: MessageId) -> Gap {
        if cursor.is_oldest() {
            return Gap::NONE;
        }
        let entry = &self.queues[queue.index()];
        let dropped =
            entry.lost.as_ref().map_or(Gap::NONE, |lost| lost.between(cursor.id(), until));
        let going = self.seen(entry, Order::Store, cursor)..self.gone(entry);
        let going = entry.nodes().range(going.start.min(going.end)..going.end);
        let going = going.filter(|node| self.at(**node).place() < until).count();
        dropped.and(Gap::Messages(going as u64))
    }

    /// The messages of a queue, newest first.
    pub fn newest_first(&self, queue: QueueId) -> impl Iterator<Item = &Rc<Message>> {
        let entry = &self.queues[queue.index()];
        entry.nodes().range(self.gone(entry)..).rev().map(|node| self.at(*node))
    }

    /// The newest message of a queue that is gone; 0 if none is.
    #[must_use]
    pub fn lost_through(&self, queue: QueueId) -> MessageId {
        let entry = &self.queues[queue.index()];
        match (self.gone(entry).checked_sub(1), &entry.lost) {
            (Some(last), _) => self.at(entry.nodes()[last]).id(),
            (None, Some(lost)) => lost.through(),
            (None, None) => MessageId::default(),
        }
    }

    /// How many messages a queue has.
    #[must_use]
    pub fn len(&self, queue: QueueId) -> usize {
        let entry = &self.queues[queue.index()];
        entry.nodes().len() - self.gone(entry)
    }

    /// Bytes of the contents of a queue's messages, with those that are still to be dropped.
    #[must_use]
    pub fn bytes(&self, queue: QueueId) -> usize {
        self.queues[queue.index()].bytes
    }

    /// Whether a queue has no message, not even one that is still to be dropped. Its owner is given
    /// by [`Memory::next_emptied`].
    #[must_use]
    pub fn is_empty(&self, queue: QueueId) -> bool {
        self.queues[queue.index()].nodes().is_empty()
    }

    /// Whether messages that are gone are still to be dropped, by [`Memory::expire`].
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// When [`Memory::expire`] has something to do, milliseconds; `None`: not until a message
    /// comes.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        if self.options.message_timeout_ms == 0 {
            return None;
        }
        self.list.expiring().map(|node| self.due_ms(node))
    }

    /// What there is and what has gone.
    #[must_use]
    pub fn figures(&self) -> HubFigures {
        let messages = self.list.len() as u64;
        let (message_bytes, most) = (self.used_bytes() as u64, self.options.max_memory as u64);
        self.drops.figures(HubFigures {
            messages,
            message_bytes,
            store_limit_bytes: most,
            ..HubFigures::default()
        })
    }

    /// Bytes that count against the budget.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.list.used_bytes()
    }

    fn at(&self, node: u32) -> &Rc<Message> {
        &self.list.node(node).message
    }

    /// How many of a queue's messages a subscriber with this cursor has seen.
    fn seen(&self, queue: &Queue, order: Order, cursor: Cursor) -> usize {
        queue.before(|node| cursor.wants(self.at(node).id_in(order)))
    }

    /// How many of a queue's messages are gone, though they are still to be dropped.
    fn gone(&self, queue: &Queue) -> usize {
        if !self.is_behind || self.options.message_timeout_ms == 0 {
            return 0;
        }
        let nodes = queue.nodes();
        let may_go = nodes.len().saturating_sub(self.options.min_messages);
        nodes
            .partition_point(|node| self.due_ms(self.list.node(*node)) <= self.expired_at_ms)
            .min(may_go)
    }

    /// When a message's time is up, where there is a `message_timeout`; milliseconds.
    fn due_ms(&self, node: &Node) -> u64 {
        node.stored_ms.saturating_add(self.options.message_timeout_ms)
    }

    /// Drops up to `most` messages that are gone, and notes whether there are more.
    fn drop_gone(&mut self, most: usize) {
        for _ in 0..most {
            self.is_behind = self.drop_one_gone();
            if !self.is_behind {
                return;
            }
        }
    }

    /// Drops one message of a closed queue, or that queue; `false`: there is none.
    fn drop_one_closed(&mut self) -> bool {
        let Some(queue) = self.closed.last().copied() else { return false };
        if let Some(node) = self.queues[queue.index()].pop() {
            self.list.remove(node);
        } else {
            self.queues.remove(queue.index());
            self.closed.pop();
        }
        true
    }

    /// Drops one message that is gone, or passes over one that is kept; `false`: there was none.
    fn drop_one_gone(&mut self) -> bool {
        if self.drop_one_closed() {
            return true;
        }
        let Some(node) = self.list.expiring().filter(|_| self.options.message_timeout_ms != 0)
        else {
            return false;
        };
        if self.due_ms(node) > self.expired_at_ms {
            return false;
        }
        let queue = node.queue;
        self.list.pass_expiring();
        if self.queues[queue.index()].nodes().len() > self.options.min_messages {
            self.drop_first(queue, Gone::Expired);
        }
        true
    }

    /// Drops the oldest messages of all until there is room for `bytes` more.
    fn make_room(&mut self, bytes: usize) {
        while self.list.used_bytes() + bytes > self.options.max_memory {
            if self.is_behind {
                self.is_behind = self.drop_one_gone();
                continue;
            }
            let Some(oldest) = self.list.oldest() else { return };
            let queue = oldest.queue;
            self.drop_first(queue, Gone::MaxMemory);
        }
    }

    /// Drops what a new message makes superfluous: above `max_messages`, and those that were kept
    /// beyond their time only for `min_messages`.
    fn trim(&mut self, queue: QueueId, now_ms: u64) {
        let max = self.options.max_messages;
        while max != 0 && self.queues[queue.index()].nodes().len() > max {
            self.drop_first(queue, Gone::MaxMessages);
        }
        if self.options.message_timeout_ms == 0 {
            return;
        }
        // Where they are many, `expire` has the rest.
        for _ in 0..self.options.dropped_at_once {
            let nodes = self.queues[queue.index()].nodes();
            if nodes.len() <= self.options.min_messages.max(1)
                || self.due_ms(self.list.node(nodes[0])) > now_ms
            {
                return;
            }
            self.drop_first(queue, Gone::Expired);
        }
    }

    /// Drops the oldest message of a queue and notes it as lost.
    fn drop_first(&mut self, queue: QueueId, why: Gone) {
        let entry = &mut self.queues[queue.index()];
        let Some(node) = entry.pop() else { return };
        let message = self.list.remove(node);
        entry.lose(&message, self.notes_places);
        self.drops.note(entry.owner, message.id(), why);
        if entry.nodes().is_empty() {
            self.emptied.push(entry.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Content;

    const OPTIONS: Options = Options {
        min_messages: 0,
        max_messages: 0,
        message_timeout_ms: 0,
        max_memory: 1 << 20,
        dropped_at_once: 512,
    };

    fn id(time: u64) -> MessageId {
        MessageId { time, tag: 0 }
    }

    fn owner(number: u64) -> ChannelKey {
        ChannelKey::from_bits(number)
    }

    fn keep(store: &mut Memory, queue: QueueId, time: u64, body: &[u8], now_ms: u64) {
        let content = Content { body, ..Content::default() };
        let (id, place) = store.numbering.next(MessageId::default(), time);
        let message = Message {
            time: id.time,
            tag: id.tag,
            number: place.tag,
            sequence: store.sequence(Some(queue)),
            content: content.into(),
        };
        assert_eq!(message.time, time);
        store.append(queue, message, now_ms);
    }

    fn put(store: &mut Memory, queue: QueueId, time: u64, body: &[u8]) {
        keep(store, queue, time, body, time * 1000);
    }

    fn first(store: &Memory, queue: QueueId, time: u64) -> Option<(u64, Gap)> {
        let cursor = Cursor { time, tag: 0, given: true };
        store.after(queue, cursor).map(|(message, gap)| (message.time, gap))
    }

    #[test]
    fn the_first_message_after_the_cursor_is_found_wherever_the_cursor_is() {
        let mut store = Memory::new(OPTIONS, MessageId::default());
        let queue = store.open(owner(0), MessageId::default());
        assert_eq!(first(&store, queue, 0), None);
        for time in [10, 20, 30] {
            put(&mut store, queue, time, b"x");
        }
        assert_eq!(first(&store, queue, 0), Some((10, Gap::NONE)));
        assert_eq!(first(&store, queue, 5), Some((10, Gap::NONE)));
        assert_eq!(first(&store, queue, 10), Some((20, Gap::NONE)));
        assert_eq!(first(&store, queue, 25), Some((30, Gap::NONE)));
        assert_eq!(first(&store, queue, 30), None);
        assert_eq!(first(&store, queue, 99), None);
    }

    #[test]
    fn max_messages_drops_the_oldest_and_tells_the_gap() {
        let mut store = Memory::new(Options { max_messages: 2, ..OPTIONS }, MessageId::default());
        let queue = store.open(owner(0), MessageId::default());
        for time in 1..=5 {
            put(&mut store, queue, time, b"x");
        }
        assert_eq!(store.len(queue), 2);
        assert_eq!(first(&store, queue, 0), Some((4, Gap::NONE)));
        assert_eq!(first(&store, queue, 1), Some((4, Gap::Messages(2))));
        assert_eq!(first(&store, queue, 3), Some((4, Gap::NONE)));
    }

    #[test]
    fn the_budget_is_exact_and_the_oldest_of_all_channels_goes_first() {
        let room = 2 * (100 + MESSAGE_OVERHEAD);
        let mut store = Memory::new(Options { max_memory: room, ..OPTIONS }, MessageId::default());
        let a = store.open(owner(7), MessageId::default());
        let b = store.open(owner(8), MessageId::default());
        put(&mut store, a, 1, &[0; 100]);
        put(&mut store, b, 2, &[0; 100]);
        assert_eq!(store.used_bytes(), room);
        put(&mut store, b, 3, &[0; 100]);
        assert_eq!((store.len(a), store.len(b)), (0, 2));
        assert_eq!((store.next_emptied(), store.next_emptied()), (Some(owner(7)), None));
        assert_eq!(store.content_bytes_max(), 400);
        assert_eq!((store.len(b), store.used_bytes()), (2, room));
        store.close(b, &b"b"[..].into());
        assert_eq!(store.used_bytes(), 0);
    }

    #[test]
    fn messages_expire_in_time_but_never_below_min_messages() {
        let mut store = Memory::new(
            Options { min_messages: 1, message_timeout_ms: 10_000, ..OPTIONS },
            MessageId::default(),
        );
        let a = store.open(owner(0), MessageId::default());
        let b = store.open(owner(1), MessageId::default());
        put(&mut store, a, 1, b"x");
        put(&mut store, a, 2, b"x");
        put(&mut store, b, 3, b"x");
        assert_eq!(store.next_expiry(), Some(11_000));
        store.expire(10_999);
        assert_eq!((store.len(a), store.len(b)), (2, 1));
        store.expire(60_000);
        assert_eq!((store.len(a), store.len(b)), (1, 1));
        assert_eq!(store.next_expiry(), None);
        // A kept one goes as soon as a newer one takes its place.
        put(&mut store, a, 70, b"x");
        assert_eq!(first(&store, a, 0), Some((70, Gap::NONE)));
        assert_eq!(store.next_expiry(), Some(80_000));
        store.expire(80_000);
        assert_eq!(store.len(a), 1);
    }

    #[test]
    fn a_queue_that_others_drove_out_but_for_one_does_not_keep_its_room() {
        let room = 1000 * MESSAGE_OVERHEAD;
        let mut store = Memory::new(Options { max_memory: room, ..OPTIONS }, MessageId::default());
        let a = store.open(owner(7), MessageId::default());
        let b = store.open(owner(8), MessageId::default());
        for time in 1..=1000 {
            put(&mut store, a, time, b"");
        }
        for time in 1001..2000 {
            put(&mut store, b, time, b"");
        }
        assert_eq!((store.len(a), store.len(b)), (1, 999));
        let queue = store.queues[a.index()].nodes();
        assert!(queue.capacity() <= queue::ROOM_KEPT, "{}", queue.capacity());
    }

    /// A store where one message a millisecond came, from 1 on, and is kept for ten seconds; and
    /// its queue.
    fn filled(options: Options, messages: u64) -> (Memory, QueueId) {
        let mut store =
            Memory::new(Options { message_timeout_ms: 10_000, ..options }, MessageId::default());
        let queue = store.open(owner(7), MessageId::default());
        for time in 1..=messages {
            keep(&mut store, queue, time, b"x", time);
        }
        (store, queue)
    }

    /// The steps in which a store that is behind drops the rest.
    fn steps(store: &mut Memory, now_ms: u64) -> usize {
        std::iter::from_fn(|| store.is_behind().then(|| store.expire(now_ms))).count()
    }

    #[test]
    fn what_has_expired_is_gone_at_once_though_it_is_dropped_in_pieces() {
        const COUNT: u64 = 5000;
        let (mut store, queue) = filled(Options { max_memory: 1 << 30, ..OPTIONS }, COUNT);
        store.expire(14_000);
        assert!(store.is_behind() && store.list.len() > 4000, "{}", store.list.len());
        assert_eq!((store.len(queue), store.lost_through(queue)), (1000, id(4000)));
        let look = |store: &Memory| {
            let cursors = [0, 1, 100, 2500, 3990, 4000, 4001, 5000];
            let found = cursors.map(|time| first(store, queue, time));
            (found, store.gap(queue, Cursor::at(id(3990)), 4000))
        };
        let amid = look(&store);
        assert_eq!(amid.0[0], Some((4001, Gap::NONE)));
        assert_eq!(amid.0[3], Some((4001, Gap::Messages(1500))));
        assert_eq!((amid.0[4], amid.1), (Some((4001, Gap::Messages(10))), Gap::Messages(10)));
        assert_eq!(amid.0[6], Some((4002, Gap::NONE)));
        assert!(steps(&mut store, 14_000) >= 6);
        assert_eq!((store.list.len(), store.figures().expired), (1000, 4000));
        // Runs that are remembered one by one are fewer than these.
        let after = look(&store);
        assert_eq!((&amid.0[4..], amid.1), (&after.0[4..], after.1));
        store.expire(20_000);
        assert_eq!((store.len(queue), store.next_emptied()), (0, None), "not before it is empty");
        steps(&mut store, 20_000);
        assert_eq!((store.list.len(), store.next_emptied()), (0, Some(owner(7))));
    }

    #[test]
    fn messages_that_are_kept_stay_amid_those_that_are_dropped_in_pieces() {
        let options = Options { min_messages: 3, max_memory: 1 << 30, ..OPTIONS };
        let (mut store, queue) = filled(options.clone(), 2000);
        store.expire(15_000);
        assert!(store.is_behind());
        assert_eq!((store.len(queue), first(&store, queue, 0)), (3, Some((1998, Gap::NONE))));
        keep(&mut store, queue, 3000, b"x", 15_000);
        assert_eq!((store.len(queue), first(&store, queue, 0)), (3, Some((1999, Gap::NONE))));
        // Nothing comes back because the settings allow for more.
        store.reload(Options { min_messages: 100, ..options });
        assert_eq!((store.len(queue), store.list.len(), store.is_behind()), (3, 3, false));
    }

    #[test]
    fn a_closed_queue_is_dropped_in_pieces_and_makes_room_before_anything_else_does() {
        let room = 2000 * (1 + MESSAGE_OVERHEAD);
        let (mut store, queue) = filled(Options { max_memory: room, ..OPTIONS }, 1);
        let other = store.open(owner(8), MessageId::default());
        for time in 2..=2000 {
            keep(&mut store, other, time, b"x", time);
        }
        store.close(other, &b"other"[..].into());
        assert!(store.is_behind() && store.list.len() > 1000, "{}", store.list.len());
        let large = vec![b'x'; 1500 * (1 + MESSAGE_OVERHEAD)];
        keep(&mut store, queue, 2001, &large, 2000);
        assert!(store.used_bytes() <= room);
        assert_eq!((store.len(queue), store.figures().evicted), (2, 0));
        steps(&mut store, 2000);
        assert_eq!((store.list.len(), store.figures().expired, store.queues.len()), (2, 0, 1));
    }

    #[test]
    fn a_message_costs_no_more_memory_than_it_is_charged() {
        // Node and its links, message with its count, the queue's entry, and what the allocator
        // adds to three allocations.
        let bytes = size_of::<list::Node>() + 16 + size_of::<Message>() + 8 + 3 * 16;
        assert!(bytes <= MESSAGE_OVERHEAD, "{bytes}");
    }
}
