//! The memory store: every channel's messages, oldest first, within limits by number, age and
//! bytes. Has no clock and no timers: it is told the time and says when to call again.
//!
//! All messages of a store share one timeout, so the order in which they came is also the order
//! in which they expire and in which they go when memory is short: one list serves both.

mod lost;
mod removal;

use std::collections::VecDeque;
use std::rc::Rc;

use slab::Slab;

use crate::message::{Cursor, Message, MessageId};
pub use lost::Gap;
use lost::Lost;

/// What a message costs beside its body and content type, bytes: its entries in the store's
/// tables, rounded up. Part of the budget, so that empty messages are bounded too.
pub const MESSAGE_OVERHEAD: usize = 200;

/// The settings of one memory store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Expiry by time never goes below this many newest messages of a channel.
    pub min_messages: usize,
    /// The newest so many messages of a channel are kept; 0 = unlimited.
    pub max_messages: usize,
    /// How long a message is kept, milliseconds; 0 = for ever.
    pub message_timeout_ms: u64,
    /// Budget of the whole store, bytes: bodies, content types, and [`MESSAGE_OVERHEAD`] for each
    /// message. Never exceeded.
    pub max_memory: usize,
    /// Messages that are dropped at once, by expiry or with their channel, so that nobody waits for a
    /// hundred thousand to go; at least 1.
    pub dropped_at_once: usize,
}

/// One channel's messages in a [`Memory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueId(u32);

/// A store in memory.
#[derive(Debug)]
pub struct Memory {
    options: Options,
    nodes: Slab<Node>,
    queues: Slab<Queue>,
    /// Ends of the list of all messages, in the order they came. `NONE` when empty.
    oldest: u32,
    newest: u32,
    /// The oldest message whose time is not up. Those before it are kept for `min_messages`.
    expiring: u32,
    used_bytes: usize,
    /// Queues that were closed with more messages than are dropped at once.
    closed: Vec<QueueId>,
    /// Messages whose time was up at this time are gone for everybody, though some may still have to
    /// be dropped; milliseconds.
    expired_at_ms: u64,
    /// Whether there are messages to drop, by `closed` or by `expired_at_ms`.
    is_behind: bool,
    /// Owners of queues that the last calls emptied.
    emptied: Vec<u64>,
    /// Messages that went because their time was up, since the start.
    expired: u64,
    /// Messages that went because of a limit, since the start.
    evicted: u64,
}

const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Node {
    message: Rc<Message>,
    stored_ms: u64,
    queue: u32,
    older: u32,
    newer: u32,
}

#[derive(Debug)]
struct Queue {
    /// Oldest first; ids ascend.
    nodes: VecDeque<u32>,
    /// Of the next message: how many were kept before it.
    sequence: u64,
    /// `None` until something is lost.
    lost: Option<Box<Lost>>,
    /// What the hub calls this queue's channel.
    owner: u64,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            nodes: Slab::new(),
            queues: Slab::new(),
            oldest: NONE,
            newest: NONE,
            expiring: NONE,
            used_bytes: 0,
            closed: Vec::new(),
            expired_at_ms: 0,
            is_behind: false,
            emptied: Vec::new(),
            expired: 0,
            evicted: 0,
        }
    }

    /// Takes other limits. The budget holds at once, the others from the next message and the next
    /// expiry on.
    pub fn reload(&mut self, options: Options) {
        // What is gone must not come back with a longer time.
        self.drop_gone(usize::MAX);
        self.options = options;
        self.expiring = self.oldest;
        self.make_room(0);
    }

    /// A queue for the channel that the hub calls `owner`. Messages up to `forgotten` went with an
    /// earlier queue of that channel; 0 if there was none.
    pub fn open(&mut self, owner: u64, forgotten: MessageId) -> QueueId {
        let lost = (forgotten != MessageId::default()).then(|| Box::new(Lost::after(forgotten)));
        let queue = Queue { nodes: VecDeque::new(), sequence: 0, lost, owner };
        QueueId(self.queues.insert(queue) as u32)
    }

    /// Whether a message is within the budget if it were alone. To be asked before
    /// [`Memory::append`].
    #[must_use]
    pub fn can_ever_fit(&self, content_type: Option<&[u8]>, body: &[u8]) -> bool {
        cost(content_type, body) <= self.options.max_memory
    }

    /// Keeps a message, at the cost of older ones where a limit is reached.
    pub fn append(
        &mut self,
        queue: QueueId,
        id: MessageId,
        content_type: Option<&[u8]>,
        body: &[u8],
        now_ms: u64,
    ) -> Rc<Message> {
        let bytes = cost(content_type, body);
        self.make_room(bytes);
        let message = Rc::new(Message {
            id,
            sequence: self.queues[queue.0 as usize].sequence,
            content_type: content_type.map(Into::into),
            body: body.into(),
        });
        self.used_bytes += bytes;
        self.link(queue, Rc::clone(&message), now_ms);
        self.trim(queue, now_ms);
        message
    }

    /// The number that the next kept message of a queue will have.
    #[must_use]
    pub fn next_sequence(&self, queue: QueueId) -> u64 {
        self.queues[queue.0 as usize].sequence
    }

    /// The first message after `cursor`, and what lies lost between.
    #[must_use]
    pub fn after(&self, queue: QueueId, cursor: Cursor) -> Option<(Rc<Message>, Gap)> {
        let entry = &self.queues[queue.0 as usize];
        if !cursor.wants(self.message(*entry.nodes.back()?).id) {
            return None;
        }
        let first = self.seen(entry, cursor);
        let there = first.max(self.gone(entry));
        let found = self.message(*entry.nodes.get(there)?);
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
        let entry = &self.queues[queue.0 as usize];
        let lost = match &entry.lost {
            Some(lost) if cursor.id() < lost.through() => return lost.gap(cursor, sequence),
            _ if !self.is_behind || cursor.is_oldest() => return Gap::NONE,
            _ => self.seen(entry, cursor)..self.gone(entry),
        };
        let first = entry.nodes.get(lost.start).filter(|_| !lost.is_empty());
        first.map_or(Gap::NONE, |node| {
            Gap::Messages(sequence.saturating_sub(self.message(*node).sequence))
        })
    }

    /// The newest message of a queue that is gone; 0 if none is.
    #[must_use]
    pub fn lost_through(&self, queue: QueueId) -> MessageId {
        let entry = &self.queues[queue.0 as usize];
        match (self.gone(entry).checked_sub(1), &entry.lost) {
            (Some(last), _) => self.message(entry.nodes[last]).id,
            (None, Some(lost)) => lost.through(),
            (None, None) => MessageId::default(),
        }
    }

    /// How many messages a queue has.
    #[must_use]
    pub fn len(&self, queue: QueueId) -> usize {
        let entry = &self.queues[queue.0 as usize];
        entry.nodes.len() - self.gone(entry)
    }

    /// Whether a queue has no message, not even one that is still to be dropped. Its owner is told by
    /// [`Memory::next_emptied`].
    #[must_use]
    pub fn is_empty(&self, queue: QueueId) -> bool {
        self.queues[queue.0 as usize].nodes.is_empty()
    }

    /// The owner of a queue that lost its last message since this was asked before.
    pub fn next_emptied(&mut self) -> Option<u64> {
        self.emptied.pop()
    }

    /// Gives back the room of tables behind their last entries. Looks at every slot: for when many
    /// messages have gone.
    pub fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
        self.queues.shrink_to_fit();
        self.closed.shrink_to_fit();
        self.emptied.shrink_to_fit();
    }

    /// How many messages there are.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.nodes.len()
    }

    /// How many messages went because their time was up.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// How many messages went for `max_messages` or `max_memory`.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Bytes that count against the budget.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    fn message(&self, node: u32) -> &Rc<Message> {
        &self.nodes[node as usize].message
    }

    /// How many of a queue's messages a subscriber with this cursor has seen.
    fn seen(&self, queue: &Queue, cursor: Cursor) -> usize {
        queue.nodes.partition_point(|node| !cursor.wants(self.message(*node).id))
    }

    fn link(&mut self, queue: QueueId, message: Rc<Message>, now_ms: u64) {
        let older = self.newest;
        let node = Node { message, stored_ms: now_ms, queue: queue.0, older, newer: NONE };
        let index = self.nodes.insert(node) as u32;
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = index,
            None => self.oldest = index,
        }
        self.newest = index;
        if self.expiring == NONE {
            self.expiring = index;
        }
        let queue = &mut self.queues[queue.0 as usize];
        queue.sequence += 1;
        queue.nodes.push_back(index);
    }

    /// Takes a message out of the list of all, and its bytes out of the budget.
    fn unlink(&mut self, index: u32) -> Rc<Message> {
        let node = self.nodes.remove(index as usize);
        match self.nodes.get_mut(node.older as usize) {
            Some(older) => older.newer = node.newer,
            None => self.oldest = node.newer,
        }
        match self.nodes.get_mut(node.newer as usize) {
            Some(newer) => newer.older = node.older,
            None => self.newest = node.older,
        }
        if self.expiring == index {
            self.expiring = node.newer;
        }
        self.used_bytes -= cost(node.message.content_type.as_deref(), &node.message.body);
        node.message
    }
}

fn cost(content_type: Option<&[u8]>, body: &[u8]) -> usize {
    body.len() + content_type.map_or(0, <[u8]>::len) + MESSAGE_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn put(store: &mut Memory, queue: QueueId, time: u64, body: &[u8]) {
        store.append(queue, id(time), None, body, time * 1000);
    }

    fn first(store: &Memory, queue: QueueId, time: u64) -> Option<(u64, Gap)> {
        let cursor = Cursor { time, tag: 0, given: true };
        store.after(queue, cursor).map(|(message, gap)| (message.id.time, gap))
    }

    #[test]
    fn the_first_message_after_the_cursor_is_found_wherever_the_cursor_is() {
        let mut store = Memory::new(OPTIONS);
        let queue = store.open(0, MessageId::default());
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
        let mut store = Memory::new(Options { max_messages: 2, ..OPTIONS });
        let queue = store.open(0, MessageId::default());
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
        let mut store = Memory::new(Options { max_memory: room, ..OPTIONS });
        let a = store.open(7, MessageId::default());
        let b = store.open(8, MessageId::default());
        put(&mut store, a, 1, &[0; 100]);
        put(&mut store, b, 2, &[0; 100]);
        assert_eq!(store.used_bytes(), room);
        put(&mut store, b, 3, &[0; 100]);
        assert_eq!((store.len(a), store.len(b)), (0, 2));
        assert_eq!((store.next_emptied(), store.next_emptied()), (Some(7), None));
        assert!(!store.can_ever_fit(None, &[0; 401]));
        assert_eq!((store.len(b), store.used_bytes()), (2, room));
        store.close(b);
        assert_eq!(store.used_bytes(), 0);
    }

    #[test]
    fn messages_expire_in_time_but_never_below_min_messages() {
        let mut store =
            Memory::new(Options { min_messages: 1, message_timeout_ms: 10_000, ..OPTIONS });
        let a = store.open(0, MessageId::default());
        let b = store.open(1, MessageId::default());
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
        let mut store = Memory::new(Options { max_memory: room, ..OPTIONS });
        let a = store.open(7, MessageId::default());
        let b = store.open(8, MessageId::default());
        for time in 1..=1000 {
            put(&mut store, a, time, b"");
        }
        for time in 1001..2000 {
            put(&mut store, b, time, b"");
        }
        assert_eq!((store.len(a), store.len(b)), (1, 999));
        let queue = &store.queues[a.0 as usize].nodes;
        assert!(queue.capacity() <= removal::ROOM_KEPT, "{}", queue.capacity());
    }

    /// A store where one message a millisecond came, from 1 on, and is kept for ten seconds; and its queue.
    fn filled(options: Options, messages: u64) -> (Memory, QueueId) {
        let mut store = Memory::new(Options { message_timeout_ms: 10_000, ..options });
        let queue = store.open(7, MessageId::default());
        for time in 1..=messages {
            store.append(queue, id(time), None, b"x", time);
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
        assert!(store.is_behind() && store.messages() > 4000, "{}", store.messages());
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
        assert_eq!((store.messages(), store.expired()), (1000, 4000));
        // Runs that are remembered one by one are fewer than these.
        let after = look(&store);
        assert_eq!((&amid.0[4..], amid.1), (&after.0[4..], after.1));
        store.expire(20_000);
        assert_eq!((store.len(queue), store.next_emptied()), (0, None), "not before it is empty");
        steps(&mut store, 20_000);
        assert_eq!((store.messages(), store.next_emptied()), (0, Some(7)));
    }

    #[test]
    fn messages_that_are_kept_stay_amid_those_that_are_dropped_in_pieces() {
        let options = Options { min_messages: 3, max_memory: 1 << 30, ..OPTIONS };
        let (mut store, queue) = filled(options.clone(), 2000);
        store.expire(15_000);
        assert!(store.is_behind());
        assert_eq!((store.len(queue), first(&store, queue, 0)), (3, Some((1998, Gap::NONE))));
        store.append(queue, id(3000), None, b"x", 15_000);
        assert_eq!((store.len(queue), first(&store, queue, 0)), (3, Some((1999, Gap::NONE))));
        // Nothing comes back because the settings allow for more.
        store.reload(Options { min_messages: 100, ..options });
        assert_eq!((store.len(queue), store.messages(), store.is_behind()), (3, 3, false));
    }

    #[test]
    fn a_closed_queue_is_dropped_in_pieces_and_makes_room_before_anything_else_does() {
        let room = 2000 * (1 + MESSAGE_OVERHEAD);
        let (mut store, queue) = filled(Options { max_memory: room, ..OPTIONS }, 1);
        let other = store.open(8, MessageId::default());
        for time in 2..=2000 {
            store.append(other, id(time), None, b"x", time);
        }
        store.close(other);
        assert!(store.is_behind() && store.messages() > 1000, "{}", store.messages());
        let large = vec![b'x'; 1500 * (1 + MESSAGE_OVERHEAD)];
        store.append(queue, id(2001), None, &large, 2000);
        assert!(store.used_bytes() <= room);
        assert_eq!((store.len(queue), store.evicted()), (2, 0));
        steps(&mut store, 2000);
        assert_eq!((store.messages(), store.expired(), store.queues.len()), (2, 0, 1));
    }

    #[test]
    fn a_message_costs_no_more_memory_than_it_is_charged() {
        // Node and its links, message with its count, the queue's entry, and what the allocator
        // adds to three allocations.
        let bytes = size_of::<Node>() + 16 + size_of::<Message>() + 8 + 3 * 16;
        assert!(bytes <= MESSAGE_OVERHEAD, "{bytes}");
    }
}
