//! The memory store: every channel's messages, oldest first, within limits by number, age and
//! bytes. Has no clock and no timers: it is told the time and says when to call again.
//!
//! All messages of a store share one timeout, so the order in which they came is also the order
//! in which they expire and in which they go when memory is short: one list serves both.

use std::collections::VecDeque;
use std::rc::Rc;

use slab::Slab;

use super::lost::{Gap, Lost};
use crate::message::{Cursor, Message, MessageId};

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
            emptied: Vec::new(),
            expired: 0,
            evicted: 0,
        }
    }

    /// Takes other limits. The budget holds at once, the others from the next message and the next
    /// expiry on.
    pub fn reload(&mut self, options: Options) {
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

    /// Removes a queue with all its messages.
    pub fn close(&mut self, queue: QueueId) {
        for node in self.queues.remove(queue.0 as usize).nodes {
            self.unlink(node);
        }
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
        let queue = &self.queues[queue.0 as usize];
        let message = |node: &u32| &self.nodes[*node as usize].message;
        if !cursor.wants(message(queue.nodes.back()?).id) {
            return None;
        }
        let first = queue.nodes.partition_point(|node| !cursor.wants(message(node).id));
        let found = message(queue.nodes.get(first)?);
        let gap = match &queue.lost {
            Some(lost) if first == 0 => lost.gap(cursor, found.sequence),
            _ => Gap::NONE,
        };
        Some((Rc::clone(found), gap))
    }

    /// What lies lost between `cursor` and a message with this sequence number, where no message
    /// between them is still there.
    #[must_use]
    pub fn gap(&self, queue: QueueId, cursor: Cursor, sequence: u64) -> Gap {
        match &self.queues[queue.0 as usize].lost {
            Some(lost) => lost.gap(cursor, sequence),
            None => Gap::NONE,
        }
    }

    /// The newest message of a queue that is gone; 0 if none is.
    #[must_use]
    pub fn lost_through(&self, queue: QueueId) -> MessageId {
        self.queues[queue.0 as usize].lost.as_ref().map_or(MessageId::default(), |l| l.through())
    }

    /// How many messages a queue has.
    #[must_use]
    pub fn len(&self, queue: QueueId) -> usize {
        self.queues[queue.0 as usize].nodes.len()
    }

    /// Whether a queue has no message.
    #[must_use]
    pub fn is_empty(&self, queue: QueueId) -> bool {
        self.len(queue) == 0
    }

    /// Drops every message whose time is up, but for the `min_messages` newest of each queue.
    pub fn expire(&mut self, now_ms: u64) {
        while let Some(due) = self.next_expiry()
            && due <= now_ms
        {
            let node = &self.nodes[self.expiring as usize];
            let queue = node.queue;
            self.expiring = node.newer;
            if self.queues[queue as usize].nodes.len() > self.options.min_messages {
                self.expired += 1;
                self.drop_first(queue);
            }
        }
    }

    /// When [`Memory::expire`] has something to do, milliseconds; `None`: not until a message
    /// comes.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        if self.options.message_timeout_ms == 0 {
            return None;
        }
        let node = self.nodes.get(self.expiring as usize)?;
        Some(node.stored_ms.saturating_add(self.options.message_timeout_ms))
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

    /// Drops the oldest messages of all until there is room for `bytes` more.
    fn make_room(&mut self, bytes: usize) {
        while self.used_bytes + bytes > self.options.max_memory
            && let Some(oldest) = self.nodes.get(self.oldest as usize)
        {
            let queue = oldest.queue;
            self.evicted += 1;
            self.drop_first(queue);
        }
    }

    /// Drops what a new message makes superfluous: above `max_messages`, and those that were kept
    /// beyond their time only for `min_messages`.
    fn trim(&mut self, queue: QueueId, now_ms: u64) {
        let max = self.options.max_messages;
        while max != 0 && self.len(queue) > max {
            self.evicted += 1;
            self.drop_first(queue.0);
        }
        let timeout = self.options.message_timeout_ms;
        while timeout != 0 && self.len(queue) > self.options.min_messages.max(1) {
            let first = self.queues[queue.0 as usize].nodes[0];
            if self.nodes[first as usize].stored_ms.saturating_add(timeout) > now_ms {
                break;
            }
            self.expired += 1;
            self.drop_first(queue.0);
        }
    }

    /// Drops the oldest message of a queue and notes it as lost.
    fn drop_first(&mut self, queue: u32) {
        let entry = &mut self.queues[queue as usize];
        let Some(node) = entry.nodes.pop_front() else { return };
        if entry.nodes.is_empty() {
            entry.nodes = VecDeque::new();
            self.emptied.push(entry.owner);
        }
        let message = self.unlink(node);
        let entry = &mut self.queues[queue as usize];
        entry.lost.get_or_insert_default().note(message.id, message.sequence);
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

    const OPTIONS: Options =
        Options { min_messages: 0, max_messages: 0, message_timeout_ms: 0, max_memory: 1 << 20 };

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
    fn a_message_costs_no_more_memory_than_it_is_charged() {
        // Node and its links, message with its count, the queue's entry, and what the allocator
        // adds to three allocations.
        let bytes = size_of::<Node>() + 16 + size_of::<Message>() + 8 + 3 * 16;
        assert!(bytes <= MESSAGE_OVERHEAD, "{bytes}");
    }
}
