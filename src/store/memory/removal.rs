//! How messages go: because their time is up, for the limits, with their channel. What is gone is gone
//! for everybody at once, and dropped piece by piece.

use std::collections::VecDeque;

use super::{Memory, Node, Queue, QueueId};

/// Room for so many messages is kept by a queue that has one, be it used or not.
pub(super) const ROOM_KEPT: usize = 16;

impl Memory {
    /// Removes a queue with all its messages. Where they are many, [`Memory::expire`] has the rest.
    pub fn close(&mut self, queue: QueueId) {
        self.closed.push(queue);
        // None of other queues: nobody would ask here whose they were.
        let is_done = (0..self.options.dropped_at_once).any(|_| !self.drop_one_closed());
        self.is_behind |= !is_done;
    }

    /// From now on every message whose time is up is gone, but for the `min_messages` newest of each
    /// queue. Drops a bounded number of them; to be called again while [`Memory::is_behind`].
    pub fn expire(&mut self, now_ms: u64) {
        self.expired_at_ms = now_ms;
        self.is_behind = true;
        self.drop_gone(self.options.dropped_at_once);
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
        let node = self.nodes.get(self.expiring as usize)?;
        Some(self.due_ms(node))
    }

    /// How many of a queue's messages are gone, though they are still to be dropped.
    pub(super) fn gone(&self, queue: &Queue) -> usize {
        if !self.is_behind || self.options.message_timeout_ms == 0 {
            return 0;
        }
        let is_due = |node: &u32| self.due_ms(&self.nodes[*node as usize]) <= self.expired_at_ms;
        let may_go = queue.nodes.len().saturating_sub(self.options.min_messages);
        queue.nodes.partition_point(is_due).min(may_go)
    }

    /// When a message's time is up, where there is a `message_timeout`; milliseconds.
    pub(super) fn due_ms(&self, node: &Node) -> u64 {
        node.stored_ms.saturating_add(self.options.message_timeout_ms)
    }

    /// Drops up to `most` messages that are gone, and notes whether there are more.
    pub(super) fn drop_gone(&mut self, most: usize) {
        for _ in 0..most {
            self.is_behind = self.drop_one_gone();
            if !self.is_behind {
                return;
            }
        }
    }

    /// Drops one message of a closed queue, or that queue; `false`: there is none.
    fn drop_one_closed(&mut self) -> bool {
        let Some(QueueId(queue)) = self.closed.last().copied() else { return false };
        if let Some(node) = self.queues[queue as usize].nodes.pop_front() {
            self.unlink(node);
        } else {
            self.queues.remove(queue as usize);
            self.closed.pop();
        }
        true
    }

    /// Drops one message that is gone, or passes over one that is kept; `false`: there was none.
    fn drop_one_gone(&mut self) -> bool {
        if self.drop_one_closed() {
            return true;
        }
        if self.next_expiry().is_none_or(|due| due > self.expired_at_ms) {
            return false;
        }
        let node = &self.nodes[self.expiring as usize];
        let queue = node.queue;
        self.expiring = node.newer;
        if self.queues[queue as usize].nodes.len() > self.options.min_messages {
            self.expired += 1;
            self.drop_first(queue);
        }
        true
    }

    /// Drops the oldest messages of all until there is room for `bytes` more.
    pub(super) fn make_room(&mut self, bytes: usize) {
        while self.used_bytes + bytes > self.options.max_memory {
            if self.is_behind {
                self.is_behind = self.drop_one_gone();
                continue;
            }
            let Some(oldest) = self.nodes.get(self.oldest as usize) else { return };
            let queue = oldest.queue;
            self.evicted += 1;
            self.drop_first(queue);
        }
    }

    /// Drops what a new message makes superfluous: above `max_messages`, and those that were kept
    /// beyond their time only for `min_messages`.
    pub(super) fn trim(&mut self, queue: QueueId, now_ms: u64) {
        let max = self.options.max_messages;
        while max != 0 && self.queues[queue.0 as usize].nodes.len() > max {
            self.evicted += 1;
            self.drop_first(queue.0);
        }
        if self.options.message_timeout_ms == 0 {
            return;
        }
        // Where they are many, `expire` has the rest.
        for _ in 0..self.options.dropped_at_once {
            let nodes = &self.queues[queue.0 as usize].nodes;
            if nodes.len() <= self.options.min_messages.max(1)
                || self.due_ms(&self.nodes[nodes[0] as usize]) > now_ms
            {
                return;
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
        } else if entry.nodes.capacity() > ROOM_KEPT
            && entry.nodes.len() < entry.nodes.capacity() / 4
        {
            // By half, so that what stays about as long is not moved each time.
            entry.nodes.shrink_to(entry.nodes.capacity() / 2);
        }
        let message = self.unlink(node);
        let entry = &mut self.queues[queue as usize];
        entry.lost.get_or_insert_default().note(message.id, message.sequence);
    }
}
